"""The lab's Redfish server, spoken to without our own driver."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from ironlane.lab.bmc import RedfishBmcs
from ironlane.lab.machine import BootDevice, Power

SYSTEM = "/redfish/v1/Systems/1"
RESET = f"{SYSTEM}/Actions/ComputerSystem.Reset"
SESSIONS = "/redfish/v1/SessionService/Sessions"
ADMIN = aiohttp.encode_basic_auth("admin", "one")


class SwitchedMachine:
    name = "server-1"

    def __init__(self) -> None:
        self.power: Power = "off"
        self.boot_device: BootDevice = "disk"
        self.boot_persistent = True
        self.resets = 0

    def set_boot_device(self, device: BootDevice, persistent: bool = False) -> None:
        self.boot_device, self.boot_persistent = device, persistent

    async def power_on(self) -> None:
        self.power = "on"

    async def power_off(self) -> None:
        self.power = "off"

    async def reset(self) -> None:
        self.resets += 1


class Client:
    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.http, self.url = http, url

    async def __call__(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        headers = {"Authorization": ADMIN} if headers is None else headers
        async with self.http.request(method, self.url + path, json=body, headers=headers) as answer:
            assert answer.headers["OData-Version"] == "4.0"
            self.headers = answer.headers
            return answer.status, await answer.json() if answer.content_length else None


@pytest.fixture
async def bmcs():
    bmcs = RedfishBmcs()
    bmcs.add("1", SwitchedMachine(), "admin", "one")
    bmcs.add("2", SwitchedMachine(), "admin", "two")
    await bmcs.start()
    yield bmcs
    await bmcs.stop()


@pytest.fixture
async def ask(bmcs: RedfishBmcs):
    async with aiohttp.ClientSession() as http:
        yield Client(http, bmcs.url)


@pytest.fixture
def machine(bmcs: RedfishBmcs):
    return bmcs.systems["1"].machine


async def test_it_listens_on_loopback_only(bmcs):
    assert bmcs.url.startswith("http://127.0.0.1:")
    assert {address[0] for address in bmcs._runner.addresses} == {"127.0.0.1"}


async def test_the_way_from_the_root_to_the_system(ask):
    assert await ask("GET", "/redfish", headers={}) == (200, {"v1": "/redfish/v1/"})
    for path in ("/redfish/v1", "/redfish/v1/"):
        status, root = await ask("GET", path, headers={})
        assert (status, root["Systems"]) == (200, {"@odata.id": "/redfish/v1/Systems"})
    assert (await ask("GET", "/redfish/v1/odata", headers={}))[0] == 200
    status, systems = await ask("GET", root["Systems"]["@odata.id"])
    assert (status, systems["Members"]) == (200, [{"@odata.id": SYSTEM}]), "only what the credentials open"
    status, system = await ask("GET", SYSTEM)
    assert (status, system["PowerState"], system["Id"]) == (200, "Off", "1")
    assert system["Actions"]["#ComputerSystem.Reset"]["target"] == RESET


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("On", "off", "on"),
        ("ForceOn", "off", "on"),
        ("On", "on", "on"),
        ("ForceOff", "on", "off"),
        ("GracefulShutdown", "on", "off"),
    ],
)
async def test_power(ask, machine, kind, before, after):
    machine.power = before
    assert await ask("POST", RESET, {"ResetType": kind}) == (204, None)
    assert machine.power == after
    assert (await ask("GET", SYSTEM))[1]["PowerState"].lower() == after


async def test_restarts(ask, machine):
    status, problem = await ask("POST", RESET, {"ResetType": "ForceRestart"})
    assert (status, problem["error"]["code"]) == (409, "Base.1.19.ResourceCannotBeReset")
    machine.power = "on"
    for kind in ("ForceRestart", "GracefulRestart", "PowerCycle"):
        assert (await ask("POST", RESET, {"ResetType": kind}))[0] == 204
    assert machine.resets == 3


async def test_boot(ask, machine):
    boot = {"BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once"}
    assert (await ask("PATCH", SYSTEM, {"Boot": boot}))[0] == 204
    assert (machine.boot_device, machine.boot_persistent) == ("pxe", False)
    shown = (await ask("GET", SYSTEM))[1]["Boot"]
    assert boot.items() <= shown.items()
    assert shown["BootSourceOverrideMode"] == "UEFI"
    await ask("PATCH", SYSTEM, {"Boot": {"BootSourceOverrideMode": "Legacy"}})
    assert (await ask("GET", SYSTEM))[1]["Boot"]["BootSourceOverrideMode"] == "Legacy"
    await ask("PATCH", SYSTEM, {"Boot": {"BootSourceOverrideEnabled": "Disabled"}})
    assert (machine.boot_device, machine.boot_persistent) == ("disk", True)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("POST", RESET, {"ResetType": "Explode"}, 400, "ActionParameterValueNotInList"),
        ("POST", RESET, {}, 400, "PropertyMissing"),
        ("POST", RESET, {"ResetType": 1}, 400, "PropertyValueTypeError"),
        ("POST", RESET, [], 400, "MalformedJSON"),
        ("PATCH", SYSTEM, {"Boot": {"BootSourceOverrideTarget": "Cd"}}, 400, "PropertyValueNotInList"),
        ("PATCH", SYSTEM, {"Boot": {"BootOrder": []}}, 400, "PropertyUnknown"),
        ("PATCH", SYSTEM, {"Boot": 1}, 400, "PropertyValueTypeError"),
        ("PATCH", SYSTEM, {"PowerState": "On"}, 400, "PropertyNotWritable"),
        ("GET", "/redfish/v1/Systems/9", None, 404, "ResourceMissingAtURI"),
        ("GET", "/redfish/v1/Systems/2", None, 403, "InsufficientPrivilege"),
        ("GET", "/redfish/v1/Chassis", None, 404, "GeneralError"),
        ("DELETE", SYSTEM, None, 405, "GeneralError"),
        ("DELETE", f"{SESSIONS}/9", None, 404, "ResourceMissingAtURI"),
    ],
)
async def test_errors_are_redfish_errors(ask, *, method, path, body, status, message):
    got, problem = await ask(method, path, body)
    assert got == status
    [info] = problem["error"]["@Message.ExtendedInfo"]
    assert info["MessageId"] == problem["error"]["code"] == f"Base.1.19.{message}"
    assert info["Message"]
    assert (status == 405) == ("Allow" in ask.headers)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Basic ???"},
        {"Authorization": "Bearer x"},
        {"Authorization": aiohttp.encode_basic_auth("admin", "no")},
        {"X-Auth-Token": "x"},
    ],
)
async def test_wrong_credentials(ask, headers):
    assert (await ask("GET", SYSTEM, headers=headers))[0] == 401
    assert ask.headers["WWW-Authenticate"].startswith("Basic")


async def test_sessions(ask, bmcs):
    status, _ = await ask("POST", SESSIONS, {"UserName": "admin", "Password": "no"}, headers={})
    assert status == 401
    status, session = await ask("POST", SESSIONS, {"UserName": "admin", "Password": "one"}, headers={})
    assert (status, session["Password"]) == (201, None)
    token, location = {"X-Auth-Token": ask.headers["X-Auth-Token"]}, ask.headers["Location"]
    assert (await ask("GET", SYSTEM, headers=token))[0] == 200
    assert (await ask("GET", SESSIONS, headers=token))[1]["Members"] == [{"@odata.id": location}]
    assert (await ask("GET", location, headers=token))[1] == session
    stranger = {"Authorization": aiohttp.encode_basic_auth("admin", "two")}
    assert (await ask("DELETE", location, headers=stranger))[0] == 404
    assert (await ask("GET", "/redfish/v1/SessionService", headers=token))[1]["ServiceEnabled"]
    assert (await ask("DELETE", location, headers=token))[0] == 204
    assert (await ask("GET", SYSTEM, headers=token))[0] == 401
    assert bmcs.session_count == 0


async def test_faults_of_one_system_leave_the_others_alone(ask, bmcs, machine):
    system = bmcs.systems["1"]
    other = {"Authorization": aiohttp.encode_basic_auth("admin", "two")}
    system.unavailable = True
    assert (await ask("GET", SYSTEM))[0] == 503
    system.unavailable, system.refuse = False, True
    with pytest.raises(aiohttp.ClientConnectionError):
        await ask("POST", RESET, {"ResetType": "On"})
    system.refuse, system.hang = False, True
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ask("GET", SYSTEM), 0.1)
    assert (await ask("GET", "/redfish/v1/Systems/2", headers=other))[0] == 200
    system.hang, system.ignore_power = False, True
    assert (await ask("POST", RESET, {"ResetType": "On"}))[0] == 204
    assert machine.power == "off"


async def test_systems_come_and_go(ask, bmcs):
    with pytest.raises(ValueError, match="already"):
        bmcs.add("1", SwitchedMachine(), "admin", "x")
    bmcs.remove("1")
    bmcs.add("3", SwitchedMachine(), "admin", "one")
    assert (await ask("GET", SYSTEM))[0] == 404
    assert (await ask("GET", "/redfish/v1/Systems/3"))[0] == 200


async def test_stop_answers_what_hangs_and_frees_the_port(bmcs, ask):
    bmcs.systems["1"].hang = True
    hanging = asyncio.create_task(ask("GET", SYSTEM))
    await asyncio.sleep(0.05)
    port = int(bmcs.url.rsplit(":", 1)[1])
    await bmcs.stop()
    assert (await hanging)[0] == 503
    with pytest.raises(RuntimeError):
        _ = bmcs.url
    await bmcs.start(port)
    assert bmcs.url.endswith(f":{port}")


def test_passwords_are_not_shown(bmcs):
    assert "one" not in repr(bmcs.systems["1"])
