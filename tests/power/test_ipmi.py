"""The IPMI driver, through the real ipmitool, against the lab's IPMI BMC."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ironlane.lab.ipmi import IpmiBmc
from ironlane.model.errors import Invalid, Permanent, Temporary
from ironlane.power.base import BootDevice, BootMode, PowerState
from ironlane.power.ipmi import IpmiPower
from ironlane.power.waiting import Patience

from .machines import PASSWORD, SwitchedMachine, assert_no_secret

needs_ipmitool = pytest.mark.skipif(shutil.which("ipmitool") is None, reason="ipmitool is not installed")
QUICK = Patience(interval=0.01, limit=0.05)


@pytest.fixture
async def bmc():
    bmc = IpmiBmc(SwitchedMachine(), "admin", PASSWORD)
    await bmc.start()
    yield bmc
    await bmc.stop()


@pytest.fixture
def info(bmc: IpmiBmc) -> dict[str, object]:
    return {
        "ipmi_address": "127.0.0.1",
        "ipmi_port": str(bmc.port),
        "ipmi_username": "admin",
        "ipmi_password": PASSWORD,
    }


@pytest.fixture
async def power():
    power = IpmiPower(timeout=5, patience=QUICK)
    yield power
    await power.close()


@needs_ipmitool
async def test_power_on_off_and_reboot(power, info, bmc):
    assert await power.get_power(info) is PowerState.OFF
    await power.set_power(info, PowerState.ON)
    assert bmc.machine.power == "on"
    await power.set_power(info, PowerState.ON)
    assert bmc.machine.done == ["on"], "asking for what is does nothing"
    await power.reboot(info)
    assert bmc.machine.done == ["on", "off", "on"]


@needs_ipmitool
@pytest.mark.parametrize("uefi", [False, True])
@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("device", list(BootDevice))
async def test_boot_device(power, info, bmc, device, *, persistent, uefi):
    bmc.uefi = uefi
    await power.set_boot_device(info, device, persistent=persistent)
    assert (bmc.machine.boot_device, bmc.machine.boot_persistent) == (device.value, persistent)
    assert bmc.uefi is uefi, "the mode is kept"
    assert await power.get_boot_device(info) is device


@needs_ipmitool
@pytest.mark.parametrize("mode", list(BootMode))
async def test_the_boot_mode_that_is_asked_for_is_set(power, info, bmc, mode):
    bmc.uefi = mode is BootMode.BIOS
    await power.set_boot_device(info, BootDevice.PXE, mode=mode)
    assert bmc.uefi is (mode is BootMode.UEFI)


@needs_ipmitool
async def test_a_soft_power_off_is_only_asked_for(power, info, bmc):
    await power.shut_down(info)
    assert bmc.machine.done == [], "it is off"
    await power.set_power(info, PowerState.ON)
    bmc.ignore_power = True
    await power.shut_down(info)
    assert bmc.machine.power == "on"
    bmc.ignore_power = False
    await power.shut_down(info)
    assert bmc.machine.power == "off"


@needs_ipmitool
@pytest.mark.parametrize("suite", [3, 17])
async def test_cipher_suites(power, info, suite):
    assert await power.get_power(info | {"ipmi_cipher_suite": suite}) is PowerState.OFF


@needs_ipmitool
@pytest.mark.parametrize("wrong", [{"ipmi_password": "Falsch-99"}, {"ipmi_username": "bob"}, {"ipmi_password": None}])
async def test_wrong_credentials_are_permanent(power, info, wrong, caplog):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(Permanent, match=r"refuses the credentials of user.*check ipmi_username") as caught:
        await power.get_power(info | wrong)
    assert_no_secret(caught.value, PASSWORD, "Falsch-99")
    assert PASSWORD not in caplog.text


@needs_ipmitool
async def test_too_little_privilege_is_permanent(power, info):
    with pytest.raises(Permanent, match="privilege level USER: check ipmi_priv_level"):
        await power.set_power(info | {"ipmi_priv_level": "user"}, PowerState.ON)
    with pytest.raises(Permanent, match="privilege level USER: check ipmi_priv_level"):
        await power.set_boot_device(info | {"ipmi_priv_level": "user"}, BootDevice.PXE)


@needs_ipmitool
@pytest.mark.parametrize("wrong", [{"ipmi_cipher_suite": 1}, {"ipmi_protocol_version": "1.5"}])
async def test_a_protocol_that_the_bmc_has_not_is_permanent(power, info, wrong):
    with pytest.raises(Permanent, match="check ipmi_protocol_version and ipmi_cipher_suite"):
        await power.get_power(info | wrong)


@needs_ipmitool
async def test_no_answer_is_temporary_and_the_child_is_gone(info, bmc):
    bmc.hang = True
    hasty = IpmiPower(timeout=0.3)
    with pytest.raises(Temporary, match=r"did not answer 'chassis power status' within 0.3 s") as caught:
        await hasty.get_power(info)
    await hasty.close()
    assert_no_secret(caught.value)
    assert not _children()


@needs_ipmitool
async def test_cancelling_kills_the_child(power, info, bmc):
    bmc.hang = True
    task = asyncio.create_task(power.get_power(info))
    await _until(lambda: bool(_children()))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not _children()
    bmc.hang = False
    assert await power.get_power(info) is PowerState.OFF


@needs_ipmitool
async def test_a_name_that_does_not_resolve_is_temporary(power, info):
    with pytest.raises(Temporary, match="Address lookup"):
        await power.get_power(info | {"ipmi_address": "bmc.invalid"})


@needs_ipmitool
async def test_an_ignored_power_command_is_temporary_and_says_so(power, info, bmc):
    bmc.ignore_power = True
    with pytest.raises(Temporary, match=r"accepted chassis power on but after 0.05 s it still reports 'power off'"):
        await power.set_power(info, PowerState.ON)


@needs_ipmitool
async def test_the_password_is_in_no_command_line(power, info, bmc):
    bmc.hang = True
    task = asyncio.create_task(power.get_power(info))
    await _until(lambda: any(b"ipmitool" in line for line in _children().values()))
    lines = list(_children().values())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert all(PASSWORD.encode() not in line for line in lines)


@needs_ipmitool
async def test_one_hanging_bmc_of_fifty_holds_up_nobody():
    power = IpmiPower(timeout=12, patience=QUICK, concurrency=8)
    bmcs = [IpmiBmc(SwitchedMachine(), "admin", PASSWORD) for _ in range(50)]
    for bmc in bmcs:
        await bmc.start()
    bmcs[7].hang = True
    begin = time.monotonic()
    tasks = [
        asyncio.create_task(
            power.get_power(
                {
                    "ipmi_address": "127.0.0.1",
                    "ipmi_port": bmc.port,
                    "ipmi_username": "admin",
                    "ipmi_password": PASSWORD,
                }
            )
        )
        for bmc in bmcs
    ]
    hanging = tasks.pop(7)
    assert set(await asyncio.gather(*tasks)) == {PowerState.OFF}
    assert not hanging.done(), f"49 answers after {time.monotonic() - begin:.1f} s, and the fiftieth still awaited"
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)
    await power.close()
    for bmc in bmcs:
        await bmc.stop()


@pytest.fixture
async def scripted(tmp_path: Path):
    """Makes a driver whose ipmitool is a shell script."""
    made: list[IpmiPower] = []

    def make(script: str) -> IpmiPower:
        tool = tmp_path / "ipmitool"
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
        made.append(IpmiPower(ipmitool=str(tool)))
        return made[-1]

    yield make
    for driver in made:
        await driver.close()


async def test_without_ipmitool_it_says_what_to_install(info):
    power = IpmiPower(ipmitool="/nonexistent/ipmitool")
    with pytest.raises(Permanent, match=r"/nonexistent/ipmitool is not installed.*install it"):
        await power.get_power(info)
    await power.close()


async def test_nothing_of_the_environment_but_what_it_needs(scripted, info):
    power = scripted('[ "$(env | cut -d= -f1 | grep -v ^_ | sort | xargs)" = "$*" ] || env >&2; exit 1')
    with pytest.raises(Temporary) as caught:
        await power.get_power(info)
    seen = {word.split("=")[0] for word in str(caught.value).split("; ") if "=" in word}
    assert {"LC_ALL", "PATH"} <= {key.split()[-1] for key in seen} <= {"HOME", "IPMI_PASSWORD", "LC_ALL", "PATH", "PWD"}


async def test_the_home_of_the_children_is_removed(scripted, info):
    power = scripted('echo "Chassis Power is $(test -f $HOME/.local/usr/share/misc/* && echo on || echo off)"')
    assert await power.get_power(info) is PowerState.ON
    home = power._home.name
    assert os.path.isdir(home)  # noqa: ASYNC240 - a test may block
    await power.close()
    assert not os.path.exists(home)  # noqa: ASYNC240


@pytest.mark.parametrize(
    ("script", "kind", "text"),
    [
        ("echo 'Chassis Power is on'", None, PowerState.ON),
        ("echo 'Chassis Power is undefined'", None, PowerState.ERROR),
        ("echo 'RAKP 4 message indicates an error : invalid integrity check value' >&2; exit 1", Permanent, "password"),
        ("echo 'Error: no response from RAKP 1 message' >&2; exit 1", Temporary, "no response"),
        ("echo 'Get Chassis Power Status failed: Invalid command' >&2; exit 1", Permanent, "refuses 'chassis power"),
        ('echo "Chassis $IPMI_PASSWORD busy" >&2; exit 1', Temporary, r"Chassis \*\*\*\*\*\* busy"),
        ("exit 3", Temporary, "does not carry out"),
    ],
)
async def test_what_ipmitool_says_becomes_the_right_error(scripted, info, *, script, kind, text):
    power = scripted(script)
    if kind is None:
        assert await power.get_power(info) is text
        return
    with pytest.raises(kind, match=text) as caught:
        await power.get_power(info)
    assert_no_secret(caught.value)


async def test_boot_flags_that_make_no_sense_are_temporary(scripted, info):
    with pytest.raises(Temporary, match="boot flags"):
        await scripted("echo ' 01 05'").get_boot_device(info)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ipmi_address", "-oOem"),
        ("ipmi_address", "bmc;reboot"),
        ("ipmi_address", "bmc 1"),
        ("ipmi_address", 7),
        ("ipmi_address", "fe80::1%eth0;x"),
        ("ipmi_port", 0),
        ("ipmi_port", "65536"),
        ("ipmi_port", "x"),
        ("ipmi_port", True),
        ("ipmi_username", "-x"),
        ("ipmi_username", "seventeen-letters"),
        ("ipmi_username", "a\nb"),
        ("ipmi_username", 7),
        ("ipmi_password", "x" * 21),
        ("ipmi_password", "a\0b"),
        ("ipmi_password", 12345),
        ("ipmi_priv_level", "ROOT"),
        ("ipmi_cipher_suite", 0),
        ("ipmi_cipher_suite", 18),
        ("ipmi_protocol_version", "3.0"),
        ("ipmi_disable_boot_timeout", "perhaps"),
        ("ipmi_bridging", "single"),
    ],
)
def test_driver_info_that_cannot_work_is_named(info, key, value):
    with pytest.raises(Invalid) as caught:
        IpmiPower().validate(info | {key: value})
    assert caught.value.field == f"driver_info.{key}"
    assert_no_secret(caught.value, PASSWORD, "12345", "x" * 21)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"ipmi_address": "2001:db8::1"},
        {"ipmi_address": "bmc_1.rack-2.example."},
        {"ipmi_port": None, "ipmi_username": None, "ipmi_password": None},
        {"ipmi_priv_level": "operator", "ipmi_cipher_suite": "17"},
        {"ipmi_protocol_version": "1.5", "ipmi_bridging": "no", "ipmi_disable_boot_timeout": "False"},
    ],
)
def test_driver_info_that_can_work(info, more):
    IpmiPower().validate(info | more)


def test_a_password_for_2_0_may_be_too_long_for_1_5(info):
    longer = info | {"ipmi_password": "x" * 17}
    IpmiPower().validate(longer)
    with pytest.raises(Invalid, match="16 bytes"):
        IpmiPower().validate(longer | {"ipmi_protocol_version": "1.5"})
    with pytest.raises(Invalid, match=r"needs ipmi_protocol_version 2\.0"):
        IpmiPower().validate(info | {"ipmi_protocol_version": "1.5", "ipmi_cipher_suite": 3})


def _children() -> dict[str, bytes]:
    """Process id → command line of our children."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            try:
                found[child] = Path(f"/proc/{child}/cmdline").read_bytes()
            except OSError:
                continue
    return found


async def _until(true: Callable[[], bool]) -> None:
    """The kernel sends no event for these."""
    for _ in range(500):
        if true():
            return
        await asyncio.sleep(0.01)
    pytest.fail("waited 5 s in vain")
