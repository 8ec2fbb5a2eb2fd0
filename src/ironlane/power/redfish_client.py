"""The HTTP conversation with a Redfish service: TLS, authentication, and what an answer means.

Source: DMTF DSP0266 1.20: 6 (protocol), 8 (service responses, errors), 13 (security: sessions and basic
authentication).
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from ironlane.model.errors import IronlaneError, Permanent, Temporary
from ironlane.power.locks import KeyedLocks

_LARGEST = 4 * 1024 * 1024
"""Bytes of an answer that are read at most; a BMC must not be able to fill the conductor's memory."""
_HEADERS = {"Accept": "application/json", "OData-Version": "4.0"}
_SESSIONS = "/redfish/v1/SessionService/Sessions"


@dataclass(frozen=True)
class Endpoint:
    """A Redfish service and how to log in to it.

    `verify` is False, True (the CAs that the host trusts) or the path of a CA file or directory.
    """

    origin: str
    username: str
    password: str = field(repr=False)
    auth_type: str = "auto"
    verify: bool | str = True

    @property
    def name(self) -> str:
        return f"BMC {self.origin} (Redfish)"

    def scrubbed(self, text: str) -> str:
        """`text` without the password, should the BMC have repeated it."""
        return text.replace(self.password, "******") if self.password else text


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: Mapping[str, Any] = field(repr=False)


class Refused(Permanent):
    """The service answered with a 4xx; `status` says which."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message, code="Permanent")
        self.status = status


class RedfishClient:
    """One HTTP client for all BMCs. Each request is bounded by `timeout` seconds.

    `connections` bounds the sockets of all BMCs together. A BMC's session is opened when first needed, used until the
    BMC ends it, and logged out of in `close()`, because many BMCs have room for few.
    """

    def __init__(self, *, timeout: float, connections: int) -> None:
        self._timeout = timeout
        self._connections = connections
        self._http: aiohttp.ClientSession | None = None
        self._logins: dict[Endpoint, _Login] = {}
        self._basic: set[Endpoint] = set()
        self._logging_in = KeyedLocks()
        self._trust: dict[tuple[str, int], ssl.SSLContext] = {}

    async def request(
        self,
        endpoint: Endpoint,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request and return the answer if it is a 2xx.

        Raises:
            Temporary: no answer, 408, 409, 429, 5xx, or something that is not Redfish.
            Refused: any other 4xx, 401 and 403 naming the credentials.
            Permanent: the certificate is not trusted, or the service points elsewhere.
        """
        path = local_path(endpoint, path)
        login = await self._login(endpoint)
        answer = await self._send(endpoint, method, path, login, body=body, headers=headers)
        if answer.status == 401 and login is not None:
            # The session may have run out; that is found out by trying again with a new one, once.
            if self._logins.get(endpoint) is login:
                del self._logins[endpoint]
            login = await self._login(endpoint)
            answer = await self._send(endpoint, method, path, login, body=body, headers=headers)
        return _checked(endpoint, method, path, answer)

    async def close(self) -> None:
        """Log out everywhere, as far as BMCs answer within two seconds, and close all connections."""
        logins, self._logins = self._logins, {}
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                await asyncio.gather(*(self._log_out(*item) for item in logins.items()), return_exceptions=True)
        if self._http is not None:
            await self._http.close()
            self._http = None

    # --- authentication

    async def _login(self, endpoint: Endpoint) -> _Login | None:
        """The session to use, or None for basic authentication."""
        if endpoint.auth_type == "basic" or endpoint in self._basic:
            return None
        async with self._logging_in(f"{endpoint.origin} {endpoint.username}"):
            if endpoint in self._basic:
                return None
            if endpoint not in self._logins:
                login = await self._log_in(endpoint)
                if login is None:
                    self._basic.add(endpoint)
                    return None
                self._logins[endpoint] = login
            return self._logins[endpoint]

    async def _log_in(self, endpoint: Endpoint) -> _Login | None:
        credentials = {"UserName": endpoint.username, "Password": endpoint.password}
        answer = await self._send(endpoint, "POST", _SESSIONS, _ANONYMOUS, body=credentials)
        token = answer.headers.get("X-Auth-Token")
        if answer.status in (200, 201) and token:
            location = answer.headers.get("Location") or str(answer.body.get("@odata.id", ""))
            return _Login(token, local_path(endpoint, location) if location else "")
        if endpoint.auth_type == "auto" and answer.status in (200, 201, 404, 405, 501):
            return None  # a service without sessions
        if "SessionLimitExceeded" in str(answer.body):
            raise Temporary(f"{endpoint.name} has no room for another session; end some, or wait until they run out")
        if answer.status == 400:  # some say so when the password is wrong
            raise _credentials_refused(endpoint, answer)
        _checked(endpoint, "POST", _SESSIONS, answer)
        raise Permanent(f"{endpoint.name} opens no session; set redfish_auth_type to basic")

    async def _log_out(self, endpoint: Endpoint, login: _Login) -> None:
        if login.path:
            await self._send(endpoint, "DELETE", login.path, login)

    # --- transport

    async def _send(
        self,
        endpoint: Endpoint,
        method: str,
        path: str,
        login: _Login | None,
        *,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        sent = {**_HEADERS, **(headers or {})}
        if login is None:
            sent["Authorization"] = aiohttp.encode_basic_auth(endpoint.username, endpoint.password)
        elif login.token:
            sent["X-Auth-Token"] = login.token
        trust = await self._tls(endpoint)
        failure: IronlaneError
        try:
            async with self._client().request(
                method,
                endpoint.origin + path,
                json=body,
                headers=sent,
                ssl=trust,
                allow_redirects=False,  # credentials go to the address that the operator wrote, and nowhere else
            ) as response:
                return Answer(response.status, response.headers, await _body(endpoint, response))
        except TimeoutError:
            failure = Temporary(
                f"{endpoint.name} did not answer {method} {path} within {self._timeout:g} s; check that it is alive"
            )
        except aiohttp.ClientConnectorCertificateError as error:
            failure = Permanent(
                f"{endpoint.name} shows a certificate that is not trusted: {endpoint.scrubbed(str(error))}; set "
                "redfish_verify_ca to the file of the CA that signed it"
            )
        except aiohttp.InvalidURL:
            failure = Permanent(f"{endpoint.name} has no resource of the name {path!r}; check redfish_system_id")
        except (aiohttp.ClientError, OSError) as error:
            reason = endpoint.scrubbed(str(error)) or type(error).__name__
            failure = Temporary(f"{endpoint.name} cannot be talked to: {reason}")
        # Raised here, without cause and context: aiohttp's errors carry the request's headers, and so the password.
        raise failure

    def _client(self) -> aiohttp.ClientSession:
        if self._http is None:
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections),
                cookie_jar=aiohttp.DummyCookieJar(),  # nothing that one BMC says may reach another
                timeout=aiohttp.ClientTimeout(total=self._timeout),
            )
        return self._http

    async def _tls(self, endpoint: Endpoint) -> ssl.SSLContext | bool:
        if isinstance(endpoint.verify, bool):
            return endpoint.verify
        try:
            return await asyncio.to_thread(self._trusting, endpoint.verify)
        except OSError as error:  # ssl.SSLError is one too
            raise Permanent(
                f"{endpoint.name}: the CA certificates in {endpoint.verify} (redfish_verify_ca) cannot be read on the "
                f"conductor's host: {error}"
            ) from error

    def _trusting(self, path: str) -> ssl.SSLContext:
        """A context that trusts the CAs in a file or a directory; made anew when that has changed."""
        key = path, os.stat(path).st_mtime_ns
        if key not in self._trust:
            directory = os.path.isdir(path)
            self._trust[key] = ssl.create_default_context(
                cafile=None if directory else path, capath=path if directory else None
            )
        return self._trust[key]


@dataclass(frozen=True)
class _Login:
    token: str = field(repr=False)
    path: str


_ANONYMOUS = _Login("", "")


def local_path(endpoint: Endpoint, link: object) -> str:
    """The path of a link that the service gave us.

    A host in it is not looked at: BMCs often do not know the name by which they are reached, and requests go to the
    address that the operator wrote in any case.

    Raises:
        Permanent: there is no absolute path in it.
    """
    path = urlsplit(link).path if isinstance(link, str) else ""
    if not path.startswith("/") or path.startswith("//"):
        raise Permanent(f"{endpoint.name} gives a link that is no path: {endpoint.scrubbed(repr(link))[:100]}")
    return path


async def _body(endpoint: Endpoint, response: aiohttp.ClientResponse) -> Mapping[str, Any]:
    data = bytearray()
    async for chunk in response.content.iter_chunked(65536):
        data += chunk
        if len(data) > _LARGEST:
            raise Temporary(f"{endpoint.name} sends an answer of more than {_LARGEST} bytes")
    if not data.strip():
        return {}
    try:
        parsed = json.loads(data)
    except (ValueError, RecursionError):
        parsed = None
    if isinstance(parsed, dict):
        return parsed
    if response.status >= 300:
        return {}
    raise Temporary(
        f"{endpoint.name} answers with something that is not a JSON object; check that redfish_address is a Redfish "
        "service, and whether its firmware is being updated"
    )


def _checked(endpoint: Endpoint, method: str, path: str, answer: Answer) -> Answer:
    status = answer.status
    if 200 <= status < 300:
        return answer
    said = endpoint.scrubbed(_message(answer.body))
    what = f"{endpoint.name} answers {method} {path} with {status}{f' ({said})' if said else ''}"
    if status in (401, 403):
        raise _credentials_refused(endpoint, answer)
    if 300 <= status < 400:
        raise Permanent(f"{what} and points elsewhere; write the address that it points to into redfish_address")
    if status == 404:
        raise Refused(f"{what}; check redfish_system_id", status)
    if status in (408, 409, 429) or (status >= 500 and status != 501):
        raise Temporary(f"{what}; it is busy or has a fault of its own")
    raise Refused(what, status)


def _credentials_refused(endpoint: Endpoint, answer: Answer) -> Refused:
    said = endpoint.scrubbed(_message(answer.body))
    return Refused(
        f"{endpoint.name} refuses the credentials of user {endpoint.username!r} with {answer.status}: check "
        f"redfish_username, redfish_password and the user's role{f' ({said})' if said else ''}",
        answer.status,
    )


def _message(body: Mapping[str, Any]) -> str:
    """The service's own words (DSP0266 8.6, "Error responses"), at most 200 characters, without line ends."""
    error = body.get("error")
    if not isinstance(error, Mapping):
        return ""
    extended = error.get("@Message.ExtendedInfo")
    texts = (
        [item.get("Message") for item in extended if isinstance(item, Mapping)] if isinstance(extended, list) else []
    )
    words = " ".join(str(text) for text in texts if text) or str(error.get("message", ""))
    return " ".join(words.split())[:200]
