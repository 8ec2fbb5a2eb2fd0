"""A Redfish server for the BMCs of many virtual servers, on one port of 127.0.0.1.

Each system stands for a BMC of its own: it has its own credentials, and the collection of systems shows a client only
what its credentials open. So a client that knows one server's password finds the sole system behind the address.

Source: DMTF DSP0266 1.20 (protocol, errors, sessions), schemas ServiceRoot, ComputerSystem and SessionService v1, and
the Base message registry.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import json
import secrets
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from ironlane.lab.machine import Machine

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_ROOT = "/redfish/v1"
_SYSTEMS = f"{_ROOT}/Systems"
_SESSIONS = f"{_ROOT}/SessionService/Sessions"
_OPEN_TO_ALL = frozenset(
    {("GET", "/redfish"), ("GET", _ROOT), ("GET", f"{_ROOT}/"), ("GET", f"{_ROOT}/odata"), ("POST", _SESSIONS)}
)
_RESETS = ("On", "ForceOn", "ForceOff", "GracefulShutdown", "ForceRestart", "GracefulRestart", "PowerCycle")
_TARGETS = {"Pxe": "pxe", "Hdd": "disk"}
_ENABLED = ("Once", "Continuous", "Disabled")
_MODES = ("UEFI", "Legacy")
_CREDENTIALS = web.RequestKey("credentials", tuple[str, str])


@dataclass
class RedfishSystem:
    """One virtual server behind the Redfish server, and what is wrong with its BMC."""

    ident: str
    machine: Machine
    username: str
    password: str = field(repr=False)
    hang: bool = False
    """Take requests and never answer."""
    refuse: bool = False
    """Break the connection instead of answering."""
    unavailable: bool = False
    """Answer 503, as a BMC does that is starting."""
    ignore_power: bool = False
    """Acknowledge power commands without carrying them out."""
    forget_boot_mode: bool = False
    """Fall back to legacy boot when a client sets a boot device without saying the mode, as some BMCs do."""
    boot_mode: str = "UEFI"
    guid: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def path(self) -> str:
        return f"{_SYSTEMS}/{self.ident}"

    def opens_for(self, username: str, password: str) -> bool:
        same_name = hmac.compare_digest(self.username.encode(), username.encode())
        return hmac.compare_digest(self.password.encode(), password.encode()) and same_name


@dataclass(frozen=True)
class _Session:
    ident: str
    token: str = field(repr=False)
    username: str
    password: str = field(repr=False)


class RedfishBmcs:
    """The server. `add()` systems before or after `start()`; `url` is what a client takes for the BMC's address."""

    def __init__(self) -> None:
        self.systems: dict[str, RedfishSystem] = {}
        self.sessions_available = True
        """False makes a service without sessions, where clients need basic authentication."""
        self._sessions: dict[str, _Session] = {}
        self._runner: web.AppRunner | None = None
        self._port = 0
        self._stopping = asyncio.Event()

    def add(self, system_id: str, machine: Machine, username: str, password: str) -> RedfishSystem:
        """Put a server behind the Redfish server; the answer's attributes make its BMC misbehave."""
        if system_id in self.systems:
            raise ValueError(f"there is a system {system_id} already")
        system = RedfishSystem(system_id, machine, username, password)
        self.systems[system_id] = system
        return system

    def remove(self, system_id: str) -> None:
        """Take a server away; it is 404 from now on."""
        del self.systems[system_id]

    def end_sessions(self) -> None:
        """Forget all sessions, as a BMC does that restarts: their tokens are 401 from now on."""
        self._sessions.clear()

    @property
    def session_count(self) -> int:
        return len(self._sessions)

    async def start(self, port: int = 0) -> None:
        """Listen on 127.0.0.1 (never elsewhere: passwords of a lab are no secrets); 0 takes any free port."""
        self._stopping.clear()
        app = web.Application(middlewares=[self._guard])
        app.add_routes(self._routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self._port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close all connections; requests that hang are answered with 503."""
        self._stopping.set()
        self._sessions.clear()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def url(self) -> str:
        """Such as "http://127.0.0.1:40123"; only after `start`."""
        if self._runner is None:
            raise RuntimeError("the Redfish server is not running")
        return f"http://127.0.0.1:{self._port}"

    # --- requests

    def _routes(self) -> list[web.RouteDef]:
        return [
            web.get("/redfish", self._versions),
            web.get(_ROOT, self._service_root),
            web.get(f"{_ROOT}/", self._service_root),
            web.get(f"{_ROOT}/odata", self._odata),
            web.get(f"{_ROOT}/SessionService", self._session_service),
            web.get(_SESSIONS, self._list_sessions),
            web.post(_SESSIONS, self._log_in),
            web.get(f"{_SESSIONS}/{{session}}", self._show_session),
            web.delete(f"{_SESSIONS}/{{session}}", self._log_out),
            web.get(_SYSTEMS, self._list_systems),
            web.get(f"{_SYSTEMS}/{{system}}", self._show_system),
            web.patch(f"{_SYSTEMS}/{{system}}", self._change_system),
            web.post(f"{_SYSTEMS}/{{system}}/Actions/ComputerSystem.Reset", self._reset),
        ]

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Faults, credentials, and Redfish's own error bodies for all that goes wrong."""
        try:
            system = self.systems.get(request.match_info.get("system", ""))
            if system is not None:
                await self._misbehave(request, system)
            if (request.method, request.path) not in _OPEN_TO_ALL:
                request[_CREDENTIALS] = self._credentials(request)
            response = await handler(request)
        except _Problem as problem:
            response = problem.response()
        except web.HTTPException as error:
            response = _Problem(error.status, "GeneralError", error.reason).response()
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
        response.headers["OData-Version"] = "4.0"
        response.headers["Cache-Control"] = "no-cache"
        return response

    async def _misbehave(self, request: web.Request, system: RedfishSystem) -> None:
        if system.hang:
            await self._stopping.wait()
        if system.refuse and request.transport is not None:
            request.transport.abort()
        if system.hang or system.refuse or system.unavailable:
            raise _Problem(503, "ServiceTemporarilyUnavailable", "The service is temporarily unavailable.")

    def _credentials(self, request: web.Request) -> tuple[str, str]:
        """User name and password, from the session's token or from the basic authentication header."""
        token = request.headers.get("X-Auth-Token")
        if token is not None:
            for session in self._sessions.values():
                if hmac.compare_digest(session.token.encode(), token.encode()):
                    return session.username, session.password
            raise _Problem(401, "NoValidSession", "There is no valid session established with the implementation.")
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                username, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                username = password = ""
            if self._known(username, password):
                return username, password
        raise _Problem(401, "ResourceAtUriUnauthorized", "The credentials are missing or wrong.")

    def _known(self, username: str, password: str) -> bool:
        return any(system.opens_for(username, password) for system in self.systems.values())

    def _system(self, request: web.Request) -> RedfishSystem:
        ident = request.match_info["system"]
        system = self.systems.get(ident)
        if system is None:
            raise _missing("ComputerSystem", ident)
        if not system.opens_for(*request[_CREDENTIALS]):
            raise _Problem(403, "InsufficientPrivilege", "The account has no privileges for this system.")
        return system

    # --- service and sessions

    async def _versions(self, request: web.Request) -> web.Response:  # noqa: ARG002
        return _json({"v1": f"{_ROOT}/"})

    async def _odata(self, request: web.Request) -> web.Response:  # noqa: ARG002
        members = {"Service": f"{_ROOT}/", "Systems": _SYSTEMS, "Sessions": _SESSIONS}
        value = [{"name": name, "kind": "Singleton", "url": url} for name, url in members.items()]
        return _json({"@odata.context": f"{_ROOT}/$metadata", "value": value})

    async def _service_root(self, request: web.Request) -> web.Response:  # noqa: ARG002
        return _json(
            {
                "@odata.id": f"{_ROOT}/",
                "@odata.type": "#ServiceRoot.v1_16_0.ServiceRoot",
                "Id": "RootService",
                "Name": "BMCs of the virtual rack",
                "RedfishVersion": "1.20.0",
                "Systems": _link(_SYSTEMS),
                "SessionService": _link(f"{_ROOT}/SessionService"),
                "Links": {"Sessions": _link(_SESSIONS)},
            }
        )

    async def _session_service(self, request: web.Request) -> web.Response:  # noqa: ARG002
        return _json(
            {
                "@odata.id": f"{_ROOT}/SessionService",
                "@odata.type": "#SessionService.v1_1_9.SessionService",
                "Id": "SessionService",
                "Name": "Session Service",
                "ServiceEnabled": self.sessions_available,
                "Sessions": _link(_SESSIONS),
            }
        )

    async def _list_sessions(self, request: web.Request) -> web.Response:
        own = [session for session in self._sessions.values() if self._owns(request, session)]
        return _collection(
            _SESSIONS, "SessionCollection", "Sessions", [f"{_SESSIONS}/{session.ident}" for session in own]
        )

    async def _log_in(self, request: web.Request) -> web.Response:
        if not self.sessions_available:
            raise _missing("SessionCollection", "Sessions")
        body = await _object(request)
        username, password = (_required(body, name, str) for name in ("UserName", "Password"))
        if not self._known(username, password):
            raise _Problem(401, "ResourceAtUriUnauthorized", "The credentials are wrong.")
        session = _Session(secrets.token_hex(4), secrets.token_urlsafe(24), username, password)
        self._sessions[session.ident] = session
        response = _json(_show(session), 201)
        response.headers["X-Auth-Token"] = session.token
        response.headers["Location"] = f"{_SESSIONS}/{session.ident}"
        return response

    async def _show_session(self, request: web.Request) -> web.Response:
        return _json(_show(self._session(request)))

    async def _log_out(self, request: web.Request) -> web.Response:
        del self._sessions[self._session(request).ident]
        return web.Response(status=204)

    def _session(self, request: web.Request) -> _Session:
        ident = request.match_info["session"]
        session = self._sessions.get(ident)
        if session is None or not self._owns(request, session):
            raise _missing("Session", ident)
        return session

    def _owns(self, request: web.Request, session: _Session) -> bool:
        return (session.username, session.password) == request[_CREDENTIALS]

    # --- systems

    async def _list_systems(self, request: web.Request) -> web.Response:
        visible = [system.path for system in self.systems.values() if system.opens_for(*request[_CREDENTIALS])]
        return _collection(_SYSTEMS, "ComputerSystemCollection", "Systems", visible)

    async def _show_system(self, request: web.Request) -> web.Response:
        system = self._system(request)
        machine = system.machine
        return _json(
            {
                "@odata.id": system.path,
                "@odata.type": "#ComputerSystem.v1_20_0.ComputerSystem",
                "Id": system.ident,
                "Name": machine.name,
                "UUID": system.guid,
                "SystemType": "Virtual",
                "Status": {"State": "Enabled", "Health": "OK"},
                "PowerState": "On" if machine.power == "on" else "Off",
                "Boot": {
                    "BootSourceOverrideEnabled": "Continuous" if machine.boot_persistent else "Once",
                    "BootSourceOverrideTarget": "Pxe" if machine.boot_device == "pxe" else "Hdd",
                    "BootSourceOverrideTarget@Redfish.AllowableValues": list(_TARGETS),
                    "BootSourceOverrideMode": system.boot_mode,
                    "BootSourceOverrideMode@Redfish.AllowableValues": list(_MODES),
                },
                "Actions": {
                    "#ComputerSystem.Reset": {
                        "target": f"{system.path}/Actions/ComputerSystem.Reset",
                        "ResetType@Redfish.AllowableValues": list(_RESETS),
                    }
                },
            }
        )

    async def _change_system(self, request: web.Request) -> web.Response:
        system = self._system(request)
        body = await _object(request)
        for name in body:
            if name != "Boot":
                raise _Problem(400, "PropertyNotWritable", f"The property {name} is read only or unknown.")
        self._change_boot(system, _required(body, "Boot", dict))
        return web.Response(status=204)

    def _change_boot(self, system: RedfishSystem, boot: Mapping[str, Any]) -> None:
        machine = system.machine
        allowed = {
            "BootSourceOverrideTarget": (*_TARGETS, "None"),
            "BootSourceOverrideEnabled": _ENABLED,
            "BootSourceOverrideMode": _MODES,
        }
        for name, value in boot.items():
            if name not in allowed:
                raise _Problem(400, "PropertyUnknown", f"The property Boot/{name} is not known or not writable.")
            if value not in allowed[name]:
                raise _Problem(400, "PropertyValueNotInList", f"The value {value!r} of Boot/{name} is not in the list.")
        mode = boot.get("BootSourceOverrideMode")
        if mode is not None or system.forget_boot_mode:
            system.boot_mode = mode or "Legacy"
        target = boot.get("BootSourceOverrideTarget", "Pxe" if machine.boot_device == "pxe" else "Hdd")
        enabled = boot.get("BootSourceOverrideEnabled", "Continuous" if machine.boot_persistent else "Once")
        if target == "None" or enabled == "Disabled":  # no override: this machine's own order is the disk
            machine.set_boot_device("disk", persistent=True)
        else:
            machine.set_boot_device("pxe" if target == "Pxe" else "disk", persistent=enabled == "Continuous")

    async def _reset(self, request: web.Request) -> web.Response:
        system = self._system(request)
        kind = _required(await _object(request), "ResetType", str)
        if kind not in _RESETS:
            raise _Problem(400, "ActionParameterValueNotInList", f"The value {kind!r} of ResetType is not in the list.")
        if not system.ignore_power:
            machine = system.machine
            if kind in ("On", "ForceOn"):
                await machine.power_on()
            elif kind in ("ForceOff", "GracefulShutdown"):
                await machine.power_off()
            elif machine.power == "off":
                raise _Problem(409, "ResourceCannotBeReset", "The system is off and cannot be restarted.")
            else:
                await machine.reset()
        return web.Response(status=204)


class _Problem(Exception):
    """An answer that is an error: DSP0266 8.6, with a message of the Base registry."""

    def __init__(self, status: int, message: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.message = message
        self.text = text

    def response(self) -> web.Response:
        ident = f"Base.1.19.{self.message}"
        info = {"MessageId": ident, "Message": self.text, "MessageSeverity": "Critical", "Resolution": "None."}
        body = {"error": {"code": ident, "message": self.text, "@Message.ExtendedInfo": [info]}}
        response = _json(body, self.status)
        if self.status == 401:
            response.headers["WWW-Authenticate"] = 'Basic realm="Redfish"'
        if self.status == 503:
            response.headers["Retry-After"] = "10"
        return response


def _missing(kind: str, ident: str) -> _Problem:
    return _Problem(404, "ResourceMissingAtURI", f"There is no resource of type {kind} named '{ident}'.")


def _json(body: Mapping[str, Any], status: int = 200) -> web.Response:
    return web.json_response(body, status=status)


def _link(path: str) -> dict[str, str]:
    return {"@odata.id": path}


def _collection(path: str, kind: str, name: str, members: list[str]) -> web.Response:
    return _json(
        {
            "@odata.id": path,
            "@odata.type": f"#{kind}.{kind}",
            "Name": name,
            "Members@odata.count": len(members),
            "Members": [_link(member) for member in members],
        }
    )


def _show(session: _Session) -> dict[str, Any]:
    return {
        "@odata.id": f"{_SESSIONS}/{session.ident}",
        "@odata.type": "#Session.v1_7_0.Session",
        "Id": session.ident,
        "Name": "Session",
        "UserName": session.username,
        "Password": None,
    }


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read() or b"null")
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise _Problem(400, "MalformedJSON", "The request body is not a JSON object.")
    return body


def _required(body: Mapping[str, Any], name: str, kind: type) -> Any:
    if name not in body:
        raise _Problem(400, "PropertyMissing", f"The property {name} is required and missing.")
    if not isinstance(body[name], kind):
        raise _Problem(400, "PropertyValueTypeError", f"The value of {name} is of the wrong type.")
    return body[name]
