"""One HTTP session with a running service, for the commands that talk to it."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp

from ironlane.model.errors import IronlaneError

TIMEOUT = 60.0
"""Seconds that one request may take."""

BAREMETAL_VERSION = "1.94"
"""Microversion of the Baremetal API that the commands speak: names, physical networks and descriptions of ports."""


class Unreachable(IronlaneError):
    """Nobody answers at the service's address, or not with what the APIs promise."""


class Refused(IronlaneError):
    """The service answered with an error; the message is its own."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """Requests to `url` (such as `http://127.0.0.1:9797`); paths begin with `/fabric`, `/networking` or `/baremetal`.

    Redirects are not followed, so that a password never goes where the operator did not send it.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT),
            # The service hangs up on a connection that is idle for 5 s; a request must not meet that.
            connector=aiohttp.TCPConnector(limit=64, keepalive_timeout=3),
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
        """
        if self._session is None:
            raise RuntimeError("the client is not open")
        try:
            async with self._session.request(
                method,
                self._url + path,
                json=body,
                params=query,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=seconds),
            ) as answer:
                value = await answer.json(content_type=None) if await answer.read() else None
        except TimeoutError as error:
            raise Unreachable(f"{self._url} did not answer within {seconds:.0f} s") from error
        except aiohttp.ClientError as error:
            raise Unreachable(f"{self._url} cannot be reached: {error}") from error
        except ValueError as error:
            raise Unreachable(f"{method} {self._url}{path} was answered with something that is not JSON") from error
        if answer.status >= 300:
            raise Refused(_message(value) or f"{method} {path} was answered with status {answer.status}", answer.status)
        return value


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
