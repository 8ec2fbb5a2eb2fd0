"""The Redfish driver against the lab's Redfish server."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from ironlane.lab.bmc import RedfishBmcs, RedfishSystem
from ironlane.model.errors import IronlaneError, Permanent, Temporary
from ironlane.power.base import BootDevice, BootMode, PowerState
from ironlane.power.redfish import RedfishPower
from ironlane.power.waiting import Patience

from .machines import PASSWORD, SwitchedMachine, assert_no_secret

QUICK = Patience(interval=0.01, limit=0.1)


@pytest.fixture
async def bmcs():
    bmcs = RedfishBmcs()
    await bmcs.start()
    yield bmcs
    await bmcs.stop()


@pytest.fixture
async def power():
    power = RedfishPower(timeout=0.5, patience=QUICK)
    yield power
    await power.close()


@pytest.fixture
def machine() -> SwitchedMachine:
    return SwitchedMachine()


@pytest.fixture
def system(bmcs: RedfishBmcs, machine: SwitchedMachine) -> RedfishSystem:
    return bmcs.add("1", machine, "admin", PASSWORD)


@pytest.fixture
def info(bmcs: RedfishBmcs, system: RedfishSystem) -> dict[str, object]:
    return {
        "redfish_address": bmcs.url,
        "redfish_system_id": system.path,
        "redfish_username": "admin",
        "redfish_password": PASSWORD,
    }


async def test_power_on_off_and_reboot(power, info, machine):
    assert await power.get_power(info) is PowerState.OFF
    await power.set_power(info, PowerState.ON)
    assert machine.power == "on"
    await power.set_power(info, PowerState.ON)
    assert machine.done == ["on"], "asking for what is does nothing"
    await power.reboot(info)
    assert machine.done == ["on", "off", "on"]
    await power.set_power(info, PowerState.OFF)
    assert await power.get_power(info) is PowerState.OFF
    await power.reboot(info)
    assert machine.power == "on"


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("device", list(BootDevice))
async def test_boot_device(power, info, machine, device, persistent):
    await power.set_boot_device(info, device, persistent=persistent)
    assert (machine.boot_device, machine.boot_persistent) == (device.value, persistent)
    assert await power.get_boot_device(info) is device


@pytest.mark.parametrize("mode", ["UEFI", "Legacy"])
@pytest.mark.parametrize("forgets", [False, True])
async def test_the_boot_mode_is_kept(power, info, system, mode, forgets):
    system.boot_mode, system.forget_boot_mode = mode, forgets
    await power.set_boot_device(info, BootDevice.PXE)
    assert system.boot_mode == mode


@pytest.mark.parametrize("mode", list(BootMode))
@pytest.mark.parametrize("before", ["UEFI", "Legacy"])
async def test_the_boot_mode_that_is_asked_for_is_set(power, info, system, *, mode, before):
    system.boot_mode = before
    await power.set_boot_device(info, BootDevice.PXE, mode=mode)
    assert system.boot_mode == {"uefi": "UEFI", "bios": "Legacy"}[mode]
    assert await power.get_boot_device(info) is BootDevice.PXE


async def test_a_soft_power_off_is_only_asked_for(power, info, system, machine):
    await power.shut_down(info)
    assert machine.done == [], "it is off"
    await power.set_power(info, PowerState.ON)
    system.ignore_power = True
    await power.shut_down(info)
    assert machine.power == "on"
    system.ignore_power = False
    await power.shut_down(info)
    assert machine.power == "off"


async def test_a_timeout_of_the_clients_is_kept_to(power, info, system):
    system.ignore_power = True
    with pytest.raises(Temporary, match=r"after 0\.05 s it still reports"):
        await power.set_power(info, PowerState.ON, 0.05)


@pytest.mark.parametrize("auth_type", ["auto", "session", "basic", None])
async def test_authentication(power, info, bmcs, auth_type):
    info = info | {"redfish_auth_type": auth_type}
    for _ in range(3):
        await power.get_power(info)
    assert bmcs.session_count == (0 if auth_type == "basic" else 1), "one session serves all requests"
    await power.close()
    assert bmcs.session_count == 0, "logged out"


async def test_a_session_that_ran_out_is_renewed(power, info, bmcs):
    await power.get_power(info)
    bmcs.end_sessions()
    assert await power.get_power(info) is PowerState.OFF
    assert bmcs.session_count == 1


async def test_no_sessions_means_basic(power, info, bmcs):
    bmcs.sessions_available = False
    assert await power.get_power(info) is PowerState.OFF
    with pytest.raises(Permanent, match=r"404"):
        await power.get_power(info | {"redfish_auth_type": "session"})


async def test_the_sole_system_is_found(power, info, bmcs, machine):
    sole = {key: value for key, value in info.items() if key != "redfish_system_id"}
    await power.set_power(sole, PowerState.ON)
    assert machine.power == "on"
    bmcs.remove("1")
    bmcs.add("renamed", machine, "admin", PASSWORD)
    assert await power.get_power(sole) is PowerState.ON
    bmcs.add("2", SwitchedMachine(), "admin", PASSWORD)
    newcomer = RedfishPower(timeout=0.5)
    with pytest.raises(Permanent, match=r"2 systems.*redfish_system_id"):
        await newcomer.get_power(sole)
    await newcomer.close()


@pytest.mark.parametrize("auth_type", ["auto", "session", "basic"])
@pytest.mark.parametrize("wrong", [{"redfish_password": "Falsch-99"}, {"redfish_username": "bob"}])
async def test_wrong_credentials_are_permanent(power, info, auth_type, wrong, caplog):
    caplog.set_level(logging.DEBUG)
    info = info | {"redfish_auth_type": auth_type} | wrong
    with pytest.raises(Permanent, match=r"refuses the credentials of user.*check redfish_username") as caught:
        await power.get_power(info)
    assert_no_secret(caught.value, PASSWORD, "Falsch-99")
    assert "Falsch-99" not in caplog.text
    assert PASSWORD not in caplog.text


async def test_a_system_of_somebody_else_is_permanent(power, info, bmcs):
    other = bmcs.add("2", SwitchedMachine(), "admin", "other")
    with pytest.raises(Permanent, match="403"):
        await power.get_power(info | {"redfish_system_id": other.path})


async def test_an_unknown_system_is_permanent(power, info):
    with pytest.raises(Permanent, match=r"404.*check redfish_system_id"):
        await power.get_power(info | {"redfish_system_id": "/redfish/v1/Systems/none"})


async def test_503_is_temporary(power, info, system):
    system.unavailable = True
    with pytest.raises(Temporary, match=r"503.*temporarily unavailable"):
        await power.get_power(info)
    system.unavailable = False
    assert await power.get_power(info) is PowerState.OFF


@pytest.mark.parametrize("auth_type", ["session", "basic"])
async def test_a_broken_connection_is_temporary(power, info, system, auth_type):
    system.refuse = True
    with pytest.raises(Temporary, match="cannot be talked to") as caught:
        await power.get_power(info | {"redfish_auth_type": auth_type})
    assert_no_secret(caught.value)


async def test_nobody_there_is_temporary(power, info):
    with pytest.raises(Temporary, match="cannot be talked to") as caught:
        await power.get_power(info | {"redfish_address": "http://127.0.0.1:1"})
    assert_no_secret(caught.value)


async def test_a_name_that_does_not_resolve_is_temporary(power, info):
    with pytest.raises(Temporary, match="cannot be talked to"):
        await power.get_power(info | {"redfish_address": "https://bmc.invalid"})


async def test_no_answer_is_temporary(power, info, system):
    system.hang = True
    with pytest.raises(Temporary, match=r"did not answer GET .* within 0.5 s") as caught:
        await power.get_power(info)
    assert_no_secret(caught.value)


async def test_an_ignored_power_command_is_temporary_and_says_so(power, info, system):
    system.ignore_power = True
    with pytest.raises(Temporary, match=r"accepted On but after 0.1 s it still reports 'power off'"):
        await power.set_power(info, PowerState.ON)


async def test_cancelling_leaves_the_driver_usable(power, info, system):
    system.hang = True
    task = asyncio.create_task(power.get_power(info))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    system.hang = False
    assert await power.get_power(info) is PowerState.OFF


async def test_one_hanging_bmc_of_fifty_holds_up_nobody(bmcs):
    power = RedfishPower(timeout=1.5, patience=QUICK)
    infos = []
    for number in range(50):
        system = bmcs.add(f"n{number}", SwitchedMachine(), f"user-{number}", PASSWORD)
        system.hang = number == 7
        infos.append(
            {
                "redfish_address": bmcs.url,
                "redfish_system_id": system.path,
                "redfish_username": system.username,
                "redfish_password": PASSWORD,
            }
        )
    finished: dict[int, float] = {}
    begin = time.monotonic()

    async def switch(number: int) -> PowerState | IronlaneError:
        try:
            await power.set_power(infos[number], PowerState.ON)
            return await power.get_power(infos[number])
        except IronlaneError as error:
            return error
        finally:
            finished[number] = time.monotonic() - begin

    results = await asyncio.gather(*(switch(number) for number in range(50)))
    await power.close()
    assert isinstance(results.pop(7), Temporary)
    assert set(results) == {PowerState.ON}
    slow = finished.pop(7)
    assert max(finished.values()) < slow


async def test_one_server_gets_one_request_at_a_time(power, info):
    running, most = 0, 0
    request = power._client.request

    async def counted(*args, **kwargs):
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return await request(*args, **kwargs)
        finally:
            running -= 1

    power._client.request = counted
    await asyncio.gather(*(power.get_power(info) for _ in range(5)))
    assert most == 1
