"""The lab's IPMI BMC, spoken to by ipmitool and in bytes."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket

import pytest

from ironlane.lab.ipmi import IpmiBmc
from ironlane.lab.machine import BootDevice, Power

needs_ipmitool = pytest.mark.skipif(shutil.which("ipmitool") is None, reason="ipmitool is not installed")

SECRET = "secret"


class SwitchedMachine:
    name = "server-1"

    def __init__(self) -> None:
        self.power: Power = "off"
        self.boot_device: BootDevice = "disk"
        self.boot_persistent = True
        self.resets = 0
        self.slowness = 0.0

    def set_boot_device(self, device: BootDevice, persistent: bool = False) -> None:
        self.boot_device, self.boot_persistent = device, persistent

    async def power_on(self) -> None:
        self.power = "on"

    async def power_off(self) -> None:
        self.power = "off"

    async def reset(self) -> None:
        self.resets += 1
        await asyncio.sleep(self.slowness)


@pytest.fixture
async def bmc():
    bmc = IpmiBmc(SwitchedMachine(), "admin", SECRET)
    await bmc.start()
    yield bmc
    await bmc.stop()


async def ipmitool(bmc: IpmiBmc, *arguments: str, secret: str = SECRET, user: str = "admin") -> tuple[int, str]:
    child = await asyncio.create_subprocess_exec(
        *("ipmitool", "-v", "-I", "lanplus", "-H", "127.0.0.1", "-p", str(bmc.port), "-U", user, "-E", "-N", "1"),
        *arguments,
        env=os.environ | {"IPMI_PASSWORD": secret, "LC_ALL": "C"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await child.communicate()
    return child.returncode or 0, out.decode()


async def test_it_listens_on_loopback_only(bmc):
    assert bmc._transport.get_extra_info("sockname")[0] == "127.0.0.1"


@needs_ipmitool
@pytest.mark.parametrize("suite", ["3", "17"])
async def test_power(bmc, suite):
    machine = bmc.machine
    assert "Chassis Power is off" in (await ipmitool(bmc, "-C", suite, "chassis", "power", "status"))[1]
    for action, power in (("on", "on"), ("off", "off"), ("on", "on"), ("soft", "off")):
        assert (await ipmitool(bmc, "-C", suite, "chassis", "power", action))[0] == 0
        assert machine.power == power


@needs_ipmitool
async def test_cycle_and_reset_need_a_server_that_is_on(bmc):
    assert (await ipmitool(bmc, "chassis", "power", "cycle"))[0] != 0
    bmc.machine.power = "on"
    for action in ("cycle", "reset"):
        assert (await ipmitool(bmc, "chassis", "power", action))[0] == 0
    assert bmc.machine.resets == 2
    assert (await ipmitool(bmc, "chassis", "power", "diag"))[0] != 0


@needs_ipmitool
async def test_a_repeated_request_is_not_carried_out_twice(bmc):
    bmc.machine.power, bmc.machine.slowness = "on", 1.5  # ipmitool repeats after a second
    assert (await ipmitool(bmc, "chassis", "power", "reset"))[0] == 0
    assert bmc.machine.resets == 1


@needs_ipmitool
async def test_boot_device(bmc):
    machine = bmc.machine
    assert (await ipmitool(bmc, "chassis", "bootdev", "pxe", "options=efiboot"))[0] == 0
    assert (machine.boot_device, machine.boot_persistent, bmc.uefi) == ("pxe", False, True)
    shown = (await ipmitool(bmc, "chassis", "bootparam", "get", "5"))[1]
    assert "Force PXE" in shown
    assert "only next boot" in shown
    assert "BIOS EFI boot" in shown
    assert (await ipmitool(bmc, "chassis", "bootdev", "pxe", "options=persistent"))[0] == 0
    assert (machine.boot_device, machine.boot_persistent, bmc.uefi) == ("pxe", True, False)
    assert (await ipmitool(bmc, "chassis", "bootdev", "none"))[0] == 0
    assert (machine.boot_device, machine.boot_persistent) == ("disk", True)
    assert "Invalid data field" in (await ipmitool(bmc, "chassis", "bootdev", "floppy"))[1]
    assert (await ipmitool(bmc, "chassis", "bootparam", "get", "6"))[0] != 0


@needs_ipmitool
async def test_wrong_credentials_and_privileges(bmc):
    assert "RAKP 2 HMAC is invalid" in (await ipmitool(bmc, "mc", "info", secret="wrong"))[1]
    assert "unauthorized name" in (await ipmitool(bmc, "mc", "info", user="bob"))[1]
    assert (await ipmitool(bmc, "-L", "USER", "chassis", "power", "status"))[0] == 0
    assert "Insufficient privilege" in (await ipmitool(bmc, "-L", "USER", "chassis", "power", "on"))[1]
    assert bmc.machine.power == "off"


@needs_ipmitool
async def test_device_id_and_a_command_that_it_has_not(bmc):
    assert "IPMI Version              : 2.0" in (await ipmitool(bmc, "mc", "info"))[1]
    assert (await ipmitool(bmc, "sensor", "list"))[0] != 0


@needs_ipmitool
async def test_an_ignored_power_command_is_acknowledged(bmc):
    bmc.ignore_power = True
    assert (await ipmitool(bmc, "chassis", "power", "on"))[0] == 0
    assert bmc.machine.power == "off"


async def test_sessions_are_bounded_and_rubbish_is_dropped(bmc):
    opening = bytes([1, 0, 0, 0]) + b"abcd" + b"".join(bytes([n, 0, 0, 8, 1, 0, 0, 0]) for n in range(3))
    header = b"\x06\x00\xff\x07\x06\x10" + bytes(8) + len(opening).to_bytes(2, "little")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        address = ("127.0.0.1", bmc.port)
        for data in (b"", b"\x06\x00\xff\x07", header, header[:-2] + b"\xff\xff", b"x" * 100, header + opening[:9]):
            client.sendto(data, address)
        for kind in (0x00, 0x12, 0x14, 0xC0, 0x7F):
            client.sendto(header[:5] + bytes([kind]) + header[6:] + opening, address)
        for _ in range(20):
            client.sendto(header + opening, address)
            while (await loop.sock_recv(client, 500))[5] != 0x11:
                pass
        assert len(bmc._sessions) == 16
        bmc.hang = True
        client.sendto(header + opening, address)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.sock_recv(client, 500), 0.05)


async def test_a_stopped_bmc_frees_its_port(bmc):
    port = bmc.port
    await bmc.stop()
    with pytest.raises(RuntimeError, match="not running"):
        _ = bmc.port
    await bmc.start(port)
    assert bmc.port == port
