"""The agent's command API, as a client: `POST {callback_url}/v1/commands/`, `GET {callback_url}/v1/commands/`.

An agent runs one command at a time. A synchronous one is answered with its outcome; an asynchronous one with status
RUNNING, and is asked about again. Commands of one boot stay listed, oldest first.

Source: ironic-python-agent, `api/app.py`, `extensions/base.py` and `errors.py`.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import aiohttp

from ironlane.model.errors import IronlaneError, Permanent, Temporary

_LARGEST = 4 * 1024 * 1024
"""Bytes of an answer that are read at most: what runs on a server must not fill the conductor's memory."""


class CommandStatus(StrEnum):
    """How far a command is."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    VERSION_MISMATCH = "CLEAN_VERSION_MISMATCH"
    """The ramdisk is another one than the one whose steps are being gone through. Said of deploy steps, too."""


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent as it made itself known: where it listens, what proves us to it, and what its certificate is signed by.

    `certificate` is the CA that it sent (PEM); without one `verify` counts: True, False, or the path of a CA file.
    """

    url: str
    token: str = field(repr=False)
    certificate: str = field(default="", repr=False)
    verify: bool | str = True


@dataclass(frozen=True, slots=True)
class Command:
    """A command that an agent was given. `name` is without its extension: `prepare_image`."""

    id: str
    name: str
    status: CommandStatus
    params: Mapping[str, Any] = field(default_factory=dict, repr=False)
    result: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    """What went wrong, in the agent's words."""


class AgentClient:
    """One HTTP client for all agents. A request takes at most `timeout` seconds.

    `proxy` is the HTTP proxy through which agents are reached, for conductors that are not on the provisioning network
    themselves. Redirects are not followed: what a server sends must not lead us anywhere else.
    """

    def __init__(self, *, timeout: float = 60.0, proxy: str = "", connections: int = 256) -> None:
        self._timeout = timeout
        self._proxy = proxy or None
        self._connections = connections
        self._http: aiohttp.ClientSession | None = None

    async def run(self, agent: Agent, name: str, params: Mapping[str, Any], *, wait: bool = False) -> Command:
        """Give a command (`standby.prepare_image`); with `wait` the answer comes when it is over.

        Raises:
            Temporary: no answer, or the agent is busy with another command.
            Permanent: it refuses the token, the command or its parameters, or its certificate is not to be trusted.
        """
        query = {"wait": "true" if wait else "false"}
        body = await self._send(agent, "POST", name, query, {"name": name, "params": dict(params)})
        return _command(agent, body)

    async def commands(self, agent: Agent) -> list[Command]:
        """All commands of this boot, the latest last.

        Raises:
            Temporary, Permanent: as `run`.
        """
        body = await self._send(agent, "GET", "the list of commands", {}, None)
        listed = body.get("commands")
        if not isinstance(listed, list):
            raise Temporary(f"{_name(agent)} does not list its commands; is that an ironic-python-agent?")
        return [_command(agent, item) for item in listed]

    async def close(self) -> None:
        """Close all connections."""
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def _send(
        self, agent: Agent, method: str, what: str, query: Mapping[str, str], body: Mapping[str, Any] | None
    ) -> Mapping[str, Any]:
        failure: IronlaneError
        try:
            async with self._client().request(
                method,
                f"{agent.url.rstrip('/')}/v1/commands/",
                params={**query, "agent_token": agent.token},
                json=body,
                ssl=_trust(agent),
                proxy=self._proxy,
                allow_redirects=False,
            ) as response:
                return _checked(agent, what, response.status, await _read(agent, response))
        except TimeoutError:
            failure = Temporary(f"{_name(agent)} did not answer {what} within {self._timeout:g} s")
        except aiohttp.ClientConnectorCertificateError:
            failure = Permanent(f"{_name(agent)} shows a certificate that is not of the CA which its heartbeat named")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = Temporary(f"{_name(agent)} cannot be talked to: {_scrubbed(agent, error)}")
        # Raised here, without cause and context: aiohttp's errors carry the URL, and so the token.
        raise failure

    def _client(self) -> aiohttp.ClientSession:
        if self._http is None:
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=self._timeout),
            )
        return self._http


def _trust(agent: Agent) -> ssl.SSLContext | bool:
    if agent.certificate:
        return _trusting(agent.certificate, "")
    return _trusting("", agent.verify) if isinstance(agent.verify, str) else agent.verify


@lru_cache(maxsize=1024)
def _trusting(certificate: str, path: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cadata=certificate or None, cafile=path or None)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise Permanent(f"the CA certificate of the agent ({path or 'sent by it'}) cannot be used: {error}") from None


async def _read(agent: Agent, response: aiohttp.ClientResponse) -> Mapping[str, Any]:
    data = bytearray()
    async for chunk in response.content.iter_chunked(65536):
        data += chunk
        if len(data) > _LARGEST:
            raise Temporary(f"{_name(agent)} sends an answer of more than {_LARGEST} bytes")
    try:
        parsed = json.loads(data)
    except (ValueError, RecursionError):
        parsed = None
    return parsed if isinstance(parsed, dict) else {}


def _checked(agent: Agent, what: str, status: int, body: Mapping[str, Any]) -> Mapping[str, Any]:
    if status == 200 and body:
        return body
    said = _scrubbed(agent, body.get("faultstring") or (_said(body) if body else ""))
    told = f"{_name(agent)} answers {what} with {status}{f' ({said})' if said else ''}"
    if status == 401:
        raise Permanent(f"{told}: it does not take our token, so it is another ramdisk than the one that was booted")
    if 400 <= status < 500 and status not in (408, 409, 429):
        raise Permanent(told)
    raise Temporary(told)


def _command(agent: Agent, body: object) -> Command:
    if not isinstance(body, Mapping):
        raise Temporary(f"{_name(agent)} tells of a command that is no JSON object")
    try:
        status = CommandStatus(str(body.get("command_status")))
    except ValueError:
        raise Permanent(
            f"{_name(agent)} tells of a command with status {str(body.get('command_status'))[:40]!r}, which is unknown"
        ) from None
    return Command(
        id=str(body.get("id") or ""),
        name=str(body.get("command_name") or "").rpartition(".")[2],  # some that fail at once are listed in full
        status=status,
        params=_mapping(body.get("command_params")),
        result=_mapping(body.get("command_result")),
        error=_scrubbed(agent, _said(body.get("command_error"))) if body.get("command_error") else "",
    )


def _said(error: object) -> object:
    """`{"type", "code", "message", "details"}`; of old agents a mere text."""
    if not isinstance(error, Mapping):
        return error
    message, details = str(error.get("message") or ""), str(error.get("details") or "")
    return f"{message}: {details}" if message and details else message or details or str(dict(error))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _scrubbed(agent: Agent, said: object) -> str:
    """In one line, bounded, and without the token."""
    text = " ".join(str(said).split())
    for token in filter(None, {agent.token, quote(agent.token, safe="")}):
        text = text.replace(token, "******")
    return text if len(text) <= 500 else f"{text[:500]}…"


def _name(agent: Agent) -> str:
    return f"the agent at {agent.url}"
