"""Ironlane and Neutron are killed at random moments while servers move from network to network.

`IRONLANE_OPENSTACK_SEED` repeats a run's choices (the processes keep their own time, so not its every moment);
`IRONLANE_OPENSTACK_KILLS` is how often to kill.
"""

from __future__ import annotations

import asyncio
import os
import random
import uuid
from pathlib import Path
from typing import Any

import pytest

from ironlane.lab.rack import ServerDescription
from tests.openstack import neutron
from tests.openstack.bed import AWAY, PROVISIONING, Bed, until

pytestmark = [
    pytest.mark.openstack,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:openstack"),
]

KILLS = int(os.environ.get("IRONLANE_OPENSTACK_KILLS", "6"))
LONGEST = 3.0
"""Seconds between two kills, at most, while both sides are up."""


class Mover:
    """Moves one server as Ironic does: its port leaves one network before another of its ports joins the next."""

    def __init__(self, bed: Bed, server: ServerDescription, ports: dict[str, str], chance: random.Random) -> None:
        self._bed = bed
        self._chance = chance
        self._nics = server.nics[:2]
        self.host = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        self.ports = ports
        self.at = ""
        """The network that it is on; empty for none."""
        self.moves = 0

    async def run(self, done: asyncio.Event) -> None:
        """Until `done`, and the move that is under way then is finished."""
        while not done.is_set():
            await self._insist(self._leave)
            self.at = self._chance.choice([*self.ports, ""])
            await self._insist(self._join)
            self.moves += 1
            await asyncio.sleep(self._chance.random())

    async def _insist(self, step: Any) -> None:
        """A client that is told nothing, or an error, asks again."""
        while True:
            try:
                await step()
                return
            except AWAY:
                await asyncio.sleep(0.3)

    async def _leave(self) -> None:
        if self.at:
            await self._bed.cloud.unbind(self.ports[self.at])

    async def _join(self) -> None:
        if self.at == "provisioning":
            await self._bed.cloud.bind(self.ports[self.at], self.host, self._bed.profile(self._nics[:1]))
        elif self.at:
            await self._bed.cloud.bind(self.ports[self.at], self.host, self._bed.profile(self._nics, "802.3ad"))

    def expected(self, vlans: dict[str, int]) -> list[set[int]]:
        """What its switch ports should carry."""
        here = {vlans[self.at]} if self.at else set()
        return [here, set() if self.at == "provisioning" else here]

    async def settled(self, vlans: dict[str, int]) -> bool:
        statuses = {name: await self._bed.cloud.status(port) for name, port in self.ports.items()}
        wanted = {name: "ACTIVE" if name == self.at else "DOWN" for name in self.ports}
        return statuses == wanted and self._bed.carried(self._nics) == self.expected(vlans)


async def test_nothing_is_lost_whoever_is_killed_during_bindings(tmp_path: Path) -> None:
    try:
        made = await asyncio.to_thread(neutron.environment)
    except neutron.Unavailable as why:
        pytest.skip(f"no Neutron on this machine: {why}")
    seed = int(os.environ.get("IRONLANE_OPENSTACK_SEED") or random.SystemRandom().getrandbits(32))
    print(f"IRONLANE_OPENSTACK_SEED={seed}")
    chance = random.Random(seed)
    async with Bed.running(made, tmp_path) as bed:
        found = {"provisioning": await bed.cloud.network("provisioning", PROVISIONING)}
        found |= {name: await bed.cloud.network(name) for name in ("red", "blue")}
        vlans = {name: int(network.provider_segmentation_id) for name, network in found.items()}
        tenants = {vlan: name for name, vlan in vlans.items() if name != "provisioning"}
        movers = []
        for server in bed.servers:
            ports = {name: await bed.cloud.port(network) for name, network in found.items()}
            movers.append(Mover(bed, server, ports, random.Random(chance.random())))
        watch = bed.rack.watch([PROVISIONING], tenants.get)
        done = asyncio.Event()
        moving = [asyncio.create_task(mover.run(done)) for mover in movers]
        for _ in range(KILLS):
            await asyncio.sleep(chance.uniform(0.0, LONGEST))
            await _kill(bed, chance)
        done.set()
        await asyncio.gather(*moving)
        story = f"seed {seed}: " + ", ".join(f"{m.host} to {m.at or 'nowhere'} after {m.moves}" for m in movers)
        for mover in movers:
            await until(lambda mover=mover: mover.settled(vlans), f"consistency; {story}")  # type: ignore[misc]
        assert {port for m in movers for name, port in m.ports.items() if name == m.at} == set(await bed.bindings())
        assert watch.commits > 0
        assert watch.violations == [], story
        assert sum(mover.moves for mover in movers) >= len(movers)


async def _kill(bed: Bed, chance: random.Random) -> None:
    """One side or both, and back again in any order."""
    victims = chance.choice([("ironlane",), ("neutron",), ("ironlane", "neutron"), ("neutron", "ironlane")])
    print("kill", *victims, flush=True)
    for victim in victims:
        await (bed.kill_ironlane() if victim == "ironlane" else bed.neutron.kill())
        await asyncio.sleep(chance.random())
    for victim in victims:
        await (bed.start_ironlane() if victim == "ironlane" else bed.neutron.start())
