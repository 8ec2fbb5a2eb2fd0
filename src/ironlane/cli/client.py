"""One HTTP session with a running service, for the commands that talk to it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp

from ironlane.cli import credentials
from ironlane.model.errors import IronlaneError

TIMEOUT = 60.0
"""Seconds that one request may take."""

BAREMETAL_VERSION = "1.94"
"""Microversion of the Baremetal API that the commands speak: names, physical networks and descriptions of ports."""


_Request = tuple[str, str, object | None, Mapping[str, str] | None, float]
"""Method, path, body, query, and how many seconds it may take."""


class Unreachable(IronlaneError):
    """Nobody answers at the service's address, or not with what the APIs promise."""


class Refused(IronlaneError):
    """The service answered with an error; the message is its own."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """Requests to `url` (such as `http://127.0.0.1:9797`); paths begin with `/fabric`, `/networking` or `/baremetal`.

    Redirects are not followed, so that a password never goes where the operator did not send it. Credentials are those
    of the environment, once the service asks for some: see `ironlane.cli.credentials`.
    """

    def __init__(self, url: str, environ: Mapping[str, str] = os.environ) -> None:
        self._url = url.rstrip("/")
        self._environ = environ
        self._session: aiohttp.ClientSession | None = None
        self._credentials: Mapping[str, str] = {}
        self._logging_in = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT),
            # The service hangs up on a connection that is idle for 5 s; a request must not meet that.
            connector=aiohttp.TCPConnector(limit=64, keepalive_timeout=3, ssl=credentials.tls(self._environ)),
            headers={
                "Accept": "application/json",
                "X-OpenStack-Ironic-API-Version": BAREMETAL_VERSION,
            },
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        return await self.request("GET", path, query=query)

    async def request(
        self,
        method: str,
        path: str,
        body: object | None = None,
        query: Mapping[str, str] | None = None,
        seconds: float = TIMEOUT,
    ) -> Any:
        """Send a request and return the JSON of its answer (None when it has no body); it may take so many seconds.

        Raises:
            Refused: the service said no.
            Unreachable: it said nothing, or nothing that could be read.
            NotLoggedIn: it asks for credentials that there are none of.
        """
        what = (method, path, body, query, seconds)
        used = self._credentials
        status, value, challenge = await self._send(what, used)
        if status == 401 and challenge:
            status, value, _ = await self._send(what, await self._log_in(challenge, used))
        if status >= 300:
            raise Refused(_message(value) or f"{method} {path} was answered with status {status}", status)
        return value

    async def _log_in(self, challenge: str, used: Mapping[str, str]) -> Mapping[str, str]:
        """Credentials that are newer than those `used`; many requests that are refused at once log in once."""
        if self._session is None:
            raise RuntimeError("the client is not open")
        async with self._logging_in:
            if self._credentials is used:
                self._credentials = await credentials.answer_to(challenge, self._url, self._session, self._environ)
            return self._credentials

    async def _send(self, what: _Request, headers: Mapping[str, str]) -> tuple[int, Any, str]:
        """Status, JSON and `WWW-Authenticate` of the answer."""
        if self._session is None:
            raise RuntimeError("the client is not open")
        method, path, body, query, seconds = what
        try:
            async with self._session.request(
                method,
                self._url + path,
                json=body,
                params=query,
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=seconds),
            ) as answer:
                value = await answer.json(content_type=None) if await answer.read() else None
                return answer.status, value, answer.headers.get("WWW-Authenticate", "")
        except TimeoutError as error:
            raise Unreachable(f"{self._url} did not answer within {seconds:.0f} s") from error
        except aiohttp.ClientError as error:
            raise Unreachable(f"{self._url} cannot be reached: {error}") from error
        except ValueError as error:
            raise Unreachable(f"{method} {self._url}{path} was answered with something that is not JSON") from error


def _message(value: object) -> str:
    """The message in an error's body: the fabric API's `error.message`, Neutron's and Ironic's shapes."""
    if not isinstance(value, dict):
        return ""
    for name in ("error", "NeutronError", "error_message"):
        inner = value.get(name)
        if isinstance(inner, dict):
            return str(inner.get("message") or inner.get("faultstring") or inner)
        if isinstance(inner, str):
            return inner
    return ""
