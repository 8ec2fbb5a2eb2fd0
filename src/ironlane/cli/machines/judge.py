"""What has to be so: who reaches whom, what each boot was, and what is left on the disks."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

from ironlane.lab.machines.rack import MachineRack, ServerPlan

_LIFE = ("inspection", "cleaning", "deployment", "the tenant's system", "cleaning", "the tenant's ramdisk")
_SYSTEM, _RAMDISK = 3, 5
_FIRST = {_SYSTEM: "booted from disk", _RAMDISK: "booted from the network"}
_FIRST_STAGE = re.compile(r"NBP filename is \S+/snponly\.efi\b.*NBP file downloaded successfully\.", re.DOTALL)
"""UEFI's own words when it has loaded iPXE by TFTP."""


@dataclass(slots=True)
class Judge:
    """Looks, and keeps what is wrong in `complaints`."""

    rack: MachineRack
    complaints: list[str] = field(default_factory=list)
    checked: int = 0

    async def tenants(self, *, installed: bool = True) -> None:
        """While the tenants' systems run: their own peer and nobody else, seen from both sides; and their bonds.

        Not `installed`: they were booted from the network, and their disks are not theirs.
        """
        found: list[tuple[ServerPlan, IPv4Address]] = []
        for plan in self.rack.plans:
            told = self.rack.machines[plan.name].told()
            self._reached(plan.name, told, {plan.tenant.name})
            written = await asyncio.to_thread(_written, self.rack.machines[plan.name].disk)
            is_written = "is written" if written else "is empty"
            self._check(written is installed, f"the disk of {plan.name} {is_written}")
            if len(plan.links) > 1:
                await self._bond(plan, told)
            address = next((IPv4Address(line.split()[1]) for line in told if line.startswith("address ")), None)
            self._check(address in plan.tenant.here.network, f"{plan.name} has the address {address}")
            if address is not None:
                found.append((plan, address))
        await asyncio.gather(*(self._reached_by(plan, address) for plan, address in found))

    async def lives(self) -> None:
        """When all is over: each server's boots, with all that they told."""
        for plan in self.rack.plans:
            machine = self.rack.machines[plan.name]
            name = plan.name
            self._check(machine.boots == len(_LIFE), f"{name} was booted {machine.boots} times, not {len(_LIFE)}")
            for boot, purpose in enumerate(_LIFE[: machine.boots]):
                told = machine.told(boot)
                first = _FIRST.get(boot, "ramdisk booted over eth0")
                self._said(f"{name}, {purpose}", told, [first, f"firmware {plan.firmware}"])
                reached = {plan.tenant.name} if boot in _FIRST else {"provisioning", "conductor"}
                self._reached(f"{name}, {purpose}", told, reached)
                if plan.firmware == "uefi" and boot != _SYSTEM:
                    loaded = _FIRST_STAGE.search("\n".join(machine.shown(boot)))
                    self._check(loaded is not None, f"{name}, {purpose}: UEFI did not load iPXE by TFTP")
            lldp = [f"LLDP on eth{n}: 4 TLVs" for n in range(len(plan.links))]
            self._said(f"{name}, inspection", machine.told(0), [*lldp, "inventory goes out"])
            self._said(f"{name}, deployment", machine.told(2), ["image written to /dev/vda"])
            for boot in (1, 4):
                self._said(
                    f"{name}, cleaning", machine.told(boot), ["erase_devices_metadata done", "erase_devices done"]
                )
            empty = not await asyncio.to_thread(_written, machine.disk)
            self._check(empty, f"there is something left on the disk of {name}")
            self._check(machine.power == "off", f"{name} is not off")

    async def _bond(self, plan: ServerPlan, told: Sequence[str]) -> None:
        """Negotiated, as both ends say."""
        switch = self.rack.switches[plan.links[0].switch]
        self._said(plan.name, told, [f"LACP with {switch.mac} over {len(plan.links)} links"])
        shown = await switch.show("bond/show")
        members = re.findall(r"^member (\S+): enabled", shown, re.MULTILINE)
        negotiated = "lacp_status: negotiated" in shown and sorted(members) == sorted(link.port for link in plan.links)
        self._check(negotiated, f"{switch.name} has no bond with {plan.name}: {' '.join(shown.split())}")

    async def _reached_by(self, plan: ServerPlan, address: IPv4Address) -> None:
        """Of all peers its tenant's and no other."""
        peers = list(self.rack.peers.values())
        found = await asyncio.gather(*(peer.reaches(address) for peer in peers))
        for peer, reaches in zip(peers, found, strict=True):
            wanted = peer.name == f"{plan.tenant.name}-peer"
            self._check(reaches is wanted, f"{peer.name} {'reaches' if reaches else 'does not reach'} {plan.name}")

    def _reached(self, who: str, told: Sequence[str], wanted: Iterable[str]) -> None:
        """Of all witnesses, exactly the wanted ones, and each of the others looked for in vain at least once."""
        wanted = set(wanted)
        for name, address in self.rack.witnesses.items():
            yes, no = f"reaches {address}" in told, f"does not reach {address}" in told
            right = yes if name in wanted else no and not yes
            self._check(right, f"{who}: {name} ({address}) {'reached' if yes else 'not reached'}")

    def _said(self, who: str, told: Sequence[str], lines: Iterable[str]) -> None:
        for line in lines:
            self._check(line in told, f"{who}: never said {line!r}")

    def _check(self, right: bool, complaint: str) -> None:
        self.checked += 1
        if not right:
            self.complaints.append(complaint)


def _written(disk: Path) -> bool:
    """Whether there is anything but zeros on it."""
    with disk.open("rb") as file:
        return any(chunk.count(0) != len(chunk) for chunk in iter(lambda: file.read(1 << 20), b""))
