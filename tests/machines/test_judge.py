"""The judge of the machines' lab finds each thing that is not as it has to be, and nothing in a run that is sound.

No QEMU: the servers here are what they told on their consoles, in the words of the lab's ramdisk and firmware.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from ironlane.cli.machines.judge import Judge
from ironlane.lab.machines.rack import HERE, SERVERS, SWITCHES, TENANTS, WITNESS, MachineRack, ServerPlan

RED, BLUE = TENANTS
SYSTEM, RAMDISK = 3, 5
TAGGED = "lacp_status: negotiated\nmember swp1: enabled\n  may_enable: true\nmember swp2: enabled\n"


@dataclass
class Server:
    """What a server told in each of its boots, and what is on its disk."""

    disk: Path
    consoles: list[list[str]]
    power: str = "off"

    @property
    def boots(self) -> int:
        return len(self.consoles)

    def shown(self, boot: int = -1) -> list[str]:
        return self.consoles[boot]

    def told(self, boot: int = -1) -> list[str]:
        return [line.removeprefix("lab: ") for line in self.shown(boot) if line.startswith("lab: ")]


@dataclass
class Peer:
    """A host that reaches these addresses."""

    name: str
    answered: set[IPv4Address] = field(default_factory=set)

    async def reaches(self, address: IPv4Address) -> bool:
        return address in self.answered


@dataclass
class Leaf:
    name: str
    mac: str
    bond: str = TAGGED

    async def show(self, *_question: str) -> str:
        return self.bond


ADDRESSES = {plan.name: plan.tenant.here.network[100] for plan in SERVERS}


def looked(*reached: IPv4Address) -> list[str]:
    everybody = [WITNESS.ip, HERE.ip, *(tenant.peer.ip for tenant in TENANTS)]
    return [f"lab: {'reaches' if ip in reached else 'does not reach'} {ip}" for ip in everybody] + [
        "lab: looked around"
    ]


def console(plan: ServerPlan, boot: int) -> list[str]:
    stage = ["  NBP filename is Zm9v/snponly.efi", "  NBP file downloaded successfully."]
    firmware = [*(stage if plan.firmware == "uefi" and boot != SYSTEM else []), f"lab: firmware {plan.firmware}"]
    if boot in (SYSTEM, RAMDISK):
        source = "disk" if boot == SYSTEM else "the network"
        bond = [f"lab: LACP with {SWITCHES[plan.links[0].switch]} over 2 links"] if len(plan.links) > 1 else []
        lines = [f"lab: booted from {source}", f"lab: address {ADDRESSES[plan.name]}"]
        return [*firmware, *lines, *bond, *looked(plan.tenant.peer.ip)]
    lines = [*firmware, "lab: ramdisk booted over eth0", *looked(WITNESS.ip, HERE.ip)]
    done = {
        0: [*(f"lab: LLDP on eth{n}: 4 TLVs" for n in range(len(plan.links))), "lab: inventory goes out"],
        2: ["lab: image written to /dev/vda"],
    }
    return [*lines, *done.get(boot, ["lab: erase_devices_metadata done", "lab: erase_devices done"])]


def sound(folder: Path) -> MachineRack:
    """A run as it has to be, up to the moment when the tenants' systems run."""
    machines = {}
    for plan in SERVERS:
        disk = folder / f"{plan.name}.disk"
        disk.write_bytes(bytes(1 << 20) + b"system")
        machines[plan.name] = Server(disk, [console(plan, boot) for boot in range(SYSTEM + 1)], "on")
    own = {f"{plan.tenant.name}-peer": {ADDRESSES[plan.name]} for plan in SERVERS}
    peers = {name: Peer(name, own.get(name, set())) for name in ("witness", "red-peer", "blue-peer")}
    leaves = {name: Leaf(name, mac) for name, mac in SWITCHES.items()}
    return MachineRack(folder, SERVERS, "tcg", switches=leaves, machines=machines, peers=peers)  # type: ignore[arg-type]


def over(rack: MachineRack) -> None:
    """From there on: undeployed and cleaned; and the tenants' systems are running again, booted from the network."""
    for plan in SERVERS:
        server: Server = rack.machines[plan.name]  # type: ignore[assignment]
        server.consoles += [console(plan, boot) for boot in range(SYSTEM + 1, RAMDISK + 1)]
        server.disk.write_bytes(bytes(2 << 20))


async def judged(rack: MachineRack, spoil: Callable[[MachineRack], None] = lambda _rack: None) -> list[str]:
    """What is said of a whole run, whose end `spoil` has made not so sound."""
    judge = Judge(rack)
    await judge.tenants()
    over(rack)
    await judge.tenants(installed=False)
    for server in rack.machines.values():
        server.power = "off"  # type: ignore[misc]
    spoil(rack)
    await judge.lives()
    assert judge.checked > 100
    return judge.complaints


async def test_a_sound_run_is_found_sound(tmp_path: Path) -> None:
    assert await judged(sound(tmp_path)) == []


def said(server: str, boot: int, old: str, new: str) -> Callable[[MachineRack], None]:
    """It told something else than it has to."""

    def spoil(rack: MachineRack) -> None:
        lines = rack.machines[server].consoles[boot]  # type: ignore[attr-defined]
        lines[lines.index(old)] = new

    return spoil


def _bond(rack: MachineRack) -> None:
    rack.switches["leaf-1"].bond = TAGGED.replace("swp2: enabled", "swp2: disabled")  # type: ignore[attr-defined]


def _foreigner(rack: MachineRack) -> None:
    rack.peers["blue-peer"].answered.add(ADDRESSES["server-1"])  # type: ignore[attr-defined]


def _lonely(rack: MachineRack) -> None:
    rack.peers["red-peer"].answered.clear()  # type: ignore[attr-defined]


def _unwritten(rack: MachineRack) -> None:
    rack.machines["server-1"].disk.write_bytes(bytes(1 << 20))


ANOTHER_TENANT = said("server-1", SYSTEM, f"lab: does not reach {BLUE.peer.ip}", f"lab: reaches {BLUE.peer.ip}")


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (
            said("server-2", SYSTEM, f"lab: does not reach {WITNESS.ip}", f"lab: reaches {WITNESS.ip}"),
            "server-2: provisioning (10.101.0.9) reached",
        ),
        (ANOTHER_TENANT, "server-1: blue (198.51.100.9) reached"),
        (
            said("server-1", SYSTEM, f"lab: reaches {RED.peer.ip}", f"lab: does not reach {RED.peer.ip}"),
            "server-1: red (192.0.2.9) not reached",
        ),
        (
            said("server-2", SYSTEM, f"lab: address {ADDRESSES['server-2']}", "lab: address 10.101.0.100"),
            "server-2 has the address 10.101.0.100",
        ),
        (_foreigner, "blue-peer reaches server-1"),
        (_lonely, "red-peer does not reach server-1"),
        (_bond, "leaf-1 has no bond with server-1"),
        (_unwritten, "the disk of server-1 is empty"),
    ],
)
async def test_what_is_wrong_while_tenants_run_is_said(
    tmp_path: Path, spoil: Callable[[MachineRack], None], complaint: str
) -> None:
    rack = sound(tmp_path)
    spoil(rack)
    judge = Judge(rack)
    await judge.tenants()
    assert [text for text in judge.complaints if text.startswith(complaint)], judge.complaints


def _left(rack: MachineRack) -> None:
    rack.machines["server-1"].disk.write_bytes(bytes((2 << 20) - 1) + b"\x01")


def _running(rack: MachineRack) -> None:
    rack.machines["server-2"].power = "on"  # type: ignore[misc]


def _again(rack: MachineRack) -> None:
    rack.machines["server-2"].consoles.insert(3, console(SERVERS[1], 2))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (_left, "there is something left on the disk of server-1"),
        (_running, "server-2 is not off"),
        (_again, "server-2 was booted 7 times, not 6"),
        (ANOTHER_TENANT, "server-1, the tenant's system: blue (198.51.100.9) reached"),
        (
            said("server-1", 4, f"lab: does not reach {RED.peer.ip}", f"lab: reaches {RED.peer.ip}"),
            "server-1, cleaning: red (192.0.2.9) reached",
        ),
        (
            said("server-1", 1, f"lab: reaches {WITNESS.ip}", "lab: nothing"),
            "server-1, cleaning: provisioning (10.101.0.9) not reached",
        ),
        (said("server-2", 4, "lab: erase_devices done", "lab: heartbeat"), "server-2, cleaning: never said"),
        (said("server-1", 0, "lab: LLDP on eth1: 4 TLVs", "lab: heartbeat"), "server-1, inspection: never said"),
        (said("server-1", 2, "lab: firmware uefi", "lab: firmware bios"), "server-1, deployment: never said"),
        (
            said("server-1", 2, "  NBP file downloaded successfully.", "  PXE-E18: Server response timeout."),
            "server-1, deployment: UEFI did not load iPXE by TFTP",
        ),
        (said("server-2", SYSTEM, "lab: booted from disk", "lab: ramdisk booted over eth0"), "server-2, the tenant's"),
        (
            said("server-1", RAMDISK, f"lab: does not reach {WITNESS.ip}", f"lab: reaches {WITNESS.ip}"),
            "server-1, the tenant's ramdisk: provisioning (10.101.0.9) reached",
        ),
    ],
)
async def test_what_is_wrong_in_a_whole_life_is_said(
    tmp_path: Path, spoil: Callable[[MachineRack], None], complaint: str
) -> None:
    complaints = await judged(sound(tmp_path), spoil)
    assert [text for text in complaints if text.startswith(complaint)], complaints


async def test_a_ramdisk_of_a_tenant_that_writes_to_the_disk_is_said(tmp_path: Path) -> None:
    rack = sound(tmp_path)
    over(rack)
    rack.machines["server-2"].disk.write_bytes(bytes(1 << 20) + b"\x01")
    judge = Judge(rack)
    await judge.tenants(installed=False)
    assert judge.complaints == ["the disk of server-2 is written"]
