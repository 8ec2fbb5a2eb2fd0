"""Redfish: power and boot device of a `ComputerSystem`.

Source: DMTF DSP0266 (protocol) and the schema ComputerSystem v1; key names are the Baremetal API's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ironlane.model.errors import Invalid, Permanent, Temporary
from ironlane.power.base import BootDevice, BootMode, PowerState
from ironlane.power.driver_info import boolean, choice, invalid, is_host, require, secret, text
from ironlane.power.locks import KeyedLocks
from ironlane.power.redfish_client import Answer, Endpoint, RedfishClient, Refused, local_path
from ironlane.power.waiting import Patience, until_reported

_SYSTEMS = "/redfish/v1/Systems"
_POWER = {
    "On": PowerState.ON,
    "Off": PowerState.OFF,
    # On its way: not there yet, so still what it was.
    "PoweringOn": PowerState.OFF,
    "PoweringOff": PowerState.ON,
    "Paused": PowerState.ON,
}
_ON_ITS_WAY = {"PoweringOn": PowerState.ON, "PoweringOff": PowerState.OFF}
_RESETS: Mapping[PowerState, Sequence[str]] = {
    PowerState.ON: ("On", "ForceOn"),
    PowerState.OFF: ("ForceOff", "GracefulShutdown"),
}
"""ResetType for each state, best first. GracefulShutdown is for BMCs that have no ForceOff."""
_MODES = {BootMode.UEFI: "UEFI", BootMode.BIOS: "Legacy"}
_TARGETS = {BootDevice.PXE: "Pxe", BootDevice.DISK: "Hdd"}


@dataclass(frozen=True)
class _System:
    path: str
    body: Mapping[str, Any]
    etag: str


class RedfishPower:
    """Drives BMCs that speak Redfish.

    `timeout` bounds one request, in seconds; `connections` the sockets to all BMCs together. One server gets one
    request at a time.

    Plain http sends the password for all to read, so `redfish_address` may say http:// only for a loopback address;
    `allow_plain_http=True` lifts that for all nodes of the driver, for management networks that are trusted.
    """

    required = frozenset({"redfish_address"})
    properties: Mapping[str, str] = {
        "redfish_address": "URL of the Redfish service, such as https://bmc-17.example or https://192.0.2.17:8443. "
        "Without a scheme https is meant; http:// only for a loopback address. Required.",
        "redfish_system_id": "Path of the server's ComputerSystem, such as /redfish/v1/Systems/1. Needed when the "
        "service has more than one.",
        "redfish_username": "User name.",
        "redfish_password": "Password.",
        "redfish_verify_ca": "true: the certificate must be signed by a CA that the conductor's host trusts; a path: "
        "by the CA in that file or directory; false: not verified. Default true.",
        "redfish_auth_type": "'session', 'basic', or 'auto': session, and basic where there are none. Default 'auto'.",
    }

    def __init__(
        self,
        *,
        timeout: float = 15.0,
        patience: Patience = Patience(),  # noqa: B008 - frozen
        connections: int = 1000,
        allow_plain_http: bool = False,
    ) -> None:
        self._patience = patience
        self._allow_plain_http = allow_plain_http
        self._client = RedfishClient(timeout=timeout, connections=connections)
        self._one_at_a_time = KeyedLocks()
        self._sole: dict[Endpoint, str] = {}

    def validate(self, driver_info: Mapping[str, Any]) -> None:
        """Raise `Invalid` naming the key that cannot work."""
        require(driver_info, self.required)
        self._endpoint(driver_info)
        _system_id(driver_info)

    async def get_power(self, driver_info: Mapping[str, Any]) -> PowerState:
        """`PowerState` of the system; one that is powering on is not on yet, one that is powering off not off."""
        return _power(await self._system(driver_info))

    async def set_power(self, driver_info: Mapping[str, Any], state: PowerState, timeout: float | None = None) -> None:
        """Reset with On or ForceOff (or the nearest that the BMC offers), then wait for its report."""
        if state is PowerState.ERROR:
            raise Invalid("A server can be set to 'power on' or 'power off', not to 'error'")
        endpoint = self._endpoint(driver_info)
        system = await self._system(driver_info)
        if _power(system) is state:
            return
        reset = "what it is already doing"
        if _ON_ITS_WAY.get(system.body.get("PowerState", "")) is not state:
            reset = await self._reset(driver_info, endpoint, system, _RESETS[state], f"'{state}'")
        await until_reported(
            lambda: self.get_power(driver_info),
            state,
            self._patience.for_client(timeout),
            bmc=f"{endpoint.name}, {system.path},",
            asked=reset,
        )

    async def shut_down(self, driver_info: Mapping[str, Any]) -> None:
        """Reset with GracefulShutdown."""
        system = await self._system(driver_info)
        if _power(system) is not PowerState.OFF:
            await self._reset(
                driver_info, self._endpoint(driver_info), system, ("GracefulShutdown",), "a soft power off"
            )

    async def reboot(self, driver_info: Mapping[str, Any], timeout: float | None = None) -> None:
        """Off and on, each read back: ForceRestart would not tell whether the server was ever off."""
        await self.set_power(driver_info, PowerState.OFF, timeout)
        await self.set_power(driver_info, PowerState.ON, timeout)

    async def get_boot_device(self, driver_info: Mapping[str, Any]) -> BootDevice | None:
        """The boot override; None if there is none or it names some other device."""
        boot = _mapping((await self._system(driver_info)).body, "Boot")
        if boot.get("BootSourceOverrideEnabled") not in ("Once", "Continuous"):
            return None
        target = boot.get("BootSourceOverrideTarget")
        return next((device for device, word in _TARGETS.items() if word == target), None)

    async def set_boot_device(
        self,
        driver_info: Mapping[str, Any],
        device: BootDevice,
        *,
        persistent: bool = False,
        mode: BootMode | None = None,
    ) -> None:
        """Override the boot source. Without `mode`, Legacy or UEFI boot stays as the BMC reports it."""
        system = await self._system(driver_info)
        boot = _mapping(system.body, "Boot")
        target = _TARGETS[device]
        allowed = boot.get("BootSourceOverrideTarget@Redfish.AllowableValues")
        if isinstance(allowed, list) and target not in allowed:
            raise Permanent(
                f"{self._endpoint(driver_info).name}, {system.path}, cannot boot from {target}: it offers "
                f"{', '.join(map(str, allowed))[:200]}"
            )
        wanted = {
            "BootSourceOverrideTarget": target,
            "BootSourceOverrideEnabled": "Continuous" if persistent else "Once",
        }
        kept = boot.get("BootSourceOverrideMode")
        if mode is not None and kept != _MODES[mode]:
            await self._patch_boot(driver_info, system, {**wanted, "BootSourceOverrideMode": _MODES[mode]})
            return
        with_mode = {**wanted, "BootSourceOverrideMode": kept}
        # Some BMCs cannot write the mode at all, some fall back to Legacy or refuse when it is left out.
        try:
            await self._patch_boot(driver_info, system, wanted)
        except Refused as error:
            if error.status != 400 or not kept:
                raise
            await self._patch_boot(driver_info, system, with_mode)
            return
        if kept:
            after = await self._system(driver_info)
            if _mapping(after.body, "Boot").get("BootSourceOverrideMode", kept) != kept:
                await self._patch_boot(driver_info, after, with_mode)

    async def close(self) -> None:
        """Log out of all sessions and close all connections."""
        await self._client.close()

    # --- the resources

    async def _request(
        self,
        driver_info: Mapping[str, Any],
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        endpoint = self._endpoint(driver_info)
        async with self._one_at_a_time(f"{endpoint.origin} {_system_id(driver_info)}"):
            return await self._client.request(endpoint, method, path, body, headers)

    async def _system(self, driver_info: Mapping[str, Any]) -> _System:
        path = _system_id(driver_info)
        if path:
            answer = await self._request(driver_info, "GET", path)
        else:
            path, answer = await self._get_sole_system(driver_info)
        etag = answer.headers.get("ETag") or answer.body.get("@odata.etag") or ""
        return _System(path, answer.body, str(etag))

    async def _get_sole_system(self, driver_info: Mapping[str, Any]) -> tuple[str, Answer]:
        """The only member of the collection of systems; its path is remembered for as long as it is right."""
        endpoint = self._endpoint(driver_info)
        if endpoint in self._sole:
            try:
                return self._sole[endpoint], await self._request(driver_info, "GET", self._sole[endpoint])
            except Refused as error:
                if error.status != 404:
                    raise
        members = (await self._request(driver_info, "GET", _SYSTEMS)).body.get("Members")
        if not isinstance(members, list) or len(members) != 1 or not isinstance(members[0], Mapping):
            count = len(members) if isinstance(members, list) else 0
            raise Permanent(f"{endpoint.name} has {count} systems, so the server must be named: set redfish_system_id")
        path = local_path(endpoint, members[0].get("@odata.id"))
        answer = await self._request(driver_info, "GET", path)
        self._sole[endpoint] = path
        return path, answer

    async def _reset(
        self, driver_info: Mapping[str, Any], endpoint: Endpoint, system: _System, words: Sequence[str], aim: str
    ) -> str:
        """POST the action with the first of `words` (ResetTypes) that the BMC offers; return it."""
        action = _mapping(_mapping(system.body, "Actions"), "#ComputerSystem.Reset")
        allowed = await self._allowed_resets(driver_info, action)
        candidates = [word for word in words if allowed is None or word in allowed]
        if not candidates:
            raise Permanent(
                f"{endpoint.name}, {system.path}, offers no ResetType that leads to {aim}: it has "
                f"{', '.join(map(str, allowed or []))[:200] or 'none'}"
            )
        target = action.get("target") or f"{system.path.rstrip('/')}/Actions/ComputerSystem.Reset"
        await self._request(driver_info, "POST", target, {"ResetType": candidates[0]})
        return candidates[0]

    async def _allowed_resets(self, driver_info: Mapping[str, Any], action: Mapping[str, Any]) -> list[Any] | None:
        """Allowed values of ResetType, from the action or from its ActionInfo; None where the BMC does not say."""
        allowed = action.get("ResetType@Redfish.AllowableValues")
        if isinstance(allowed, list):
            return allowed
        info = action.get("@Redfish.ActionInfo")
        if not isinstance(info, str):
            return None
        parameters = (await self._request(driver_info, "GET", info)).body.get("Parameters")
        for parameter in parameters if isinstance(parameters, list) else []:
            if isinstance(parameter, Mapping) and parameter.get("Name") == "ResetType":
                values = parameter.get("AllowableValues")
                return values if isinstance(values, list) else None
        return None

    async def _patch_boot(self, driver_info: Mapping[str, Any], system: _System, boot: Mapping[str, Any]) -> None:
        headers = {"If-Match": system.etag} if system.etag else None
        try:
            await self._request(driver_info, "PATCH", system.path, {"Boot": boot}, headers)
        except Refused as error:
            if error.status != 412 or not system.etag:
                raise
            # The system changed since it was read (its sensors, its clock): our three properties do not depend on it.
            await self._request(driver_info, "PATCH", system.path, {"Boot": boot})

    # --- driver_info

    def _endpoint(self, driver_info: Mapping[str, Any]) -> Endpoint:
        return Endpoint(
            origin=_origin(driver_info, plain_http=self._allow_plain_http),
            username=text(driver_info, "redfish_username"),
            password=secret(driver_info, "redfish_password"),
            auth_type=choice(driver_info, "redfish_auth_type", ("auto", "basic", "session"), "auto"),
            verify=_verify(driver_info),
        )


def _origin(driver_info: Mapping[str, Any], *, plain_http: bool) -> str:
    """Scheme, host and port of `redfish_address`, such as "https://192.0.2.17:8443"."""
    key = "redfish_address"
    address = text(driver_info, key).rstrip("/")
    try:
        parts = urlsplit(address if "://" in address else f"https://{address}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise invalid(key, "is not a URL") from None
    if "@" in parts.netloc:
        raise invalid(key, "must not contain credentials; use redfish_username and redfish_password")
    if parts.scheme not in ("http", "https") or parts.path or parts.query or parts.fragment or not is_host(host):
        raise invalid(key, "must be https://HOST or https://HOST:PORT")
    if parts.scheme == "http" and not plain_http and not _is_loopback(host):
        raise invalid(key, "must be https://, since http:// would send the password in clear text")
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}" + (f":{port}" if port is not None else "")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _verify(driver_info: Mapping[str, Any]) -> bool | str:
    value = driver_info.get("redfish_verify_ca", True)
    if isinstance(value, str) and value.startswith("/"):
        return text(driver_info, "redfish_verify_ca")
    verify = boolean(value)
    if verify is None:
        raise invalid("redfish_verify_ca", "must be true, false or the absolute path of a CA file or directory")
    return verify


def _system_id(driver_info: Mapping[str, Any]) -> str:
    path = text(driver_info, "redfish_system_id")
    if path and (not path.startswith("/") or path.startswith("//") or any(char in path for char in "?# ")):
        raise invalid("redfish_system_id", "must be a path such as /redfish/v1/Systems/1")
    return path


def _mapping(body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = body.get(key)
    return value if isinstance(value, Mapping) else {}


def _power(system: _System) -> PowerState:
    if "PowerState" not in system.body:
        raise Temporary(f"{system.path} does not report a power state; check that it is a ComputerSystem")
    return _POWER.get(str(system.body["PowerState"]), PowerState.ERROR)
