"""The DHCP loop: who changes a port waits for the engine, and hears of it whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ironlane.conductor.dhcp import DhcpLoop
from ironlane.model.dhcp import Answers
from ironlane.model.errors import Temporary
from ironlane.store import networks, physical_networks, ports, subnets
from ironlane.store.database import Store, Tx
from ironlane.store.networks import NewNetwork
from ironlane.store.ports import NewPort
from ironlane.store.subnets import NewSubnet

MAC = "02:00:00:00:00:05"


class MemoryEngine:
    """Answers from memory. `gate`: applying waits for it; `fail`: so many times it does not work."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.answers = Answers()
        self.applied = 0
        self.fail = 0
        self.unforeseen = 0
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        pass

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        async with self._lock:
            yield

    async def apply(self, answers: Answers) -> None:
        await self.gate.wait()
        if self.fail:
            self.fail -= 1
            self.answers = Answers()
            raise Temporary("does not work")
        self.answers = answers
        self.applied += 1

    async def broken(self) -> str:
        if self.unforeseen:
            self.unforeseen -= 1
            raise RuntimeError("unforeseen")
        await asyncio.Event().wait()
        return ""

    def state(self) -> dict[str, Any]:
        return {"state": "ok"}

    async def close(self) -> None:
        pass


@asynccontextmanager
async def running(store: Store) -> AsyncIterator[tuple[MemoryEngine, DhcpLoop, str]]:
    def furnish(tx: Tx) -> str:
        physical_networks.put(tx, "physnet1", [(200, 299)], 1500, 0)
        network = networks.create(tx, NewNetwork(name="n", physical_network="physnet1", segmentation_id=10))
        subnets.create(tx, NewSubnet(network.id, "10.0.0.0/24", 4))
        return network.id

    network = await store.write(furnish)
    engine = MemoryEngine()
    loop = DhcpLoop(store, engine, interval=0.05)
    await loop.start()
    try:
        yield engine, loop, network
    finally:
        await loop.stop()


async def test_a_write_returns_when_the_engine_has_taken_it_in(store: Store) -> None:
    async with running(store) as (engine, _, network):
        engine.gate.clear()
        writing = asyncio.create_task(store.write(lambda tx: ports.create(tx, NewPort(network, mac_address=MAC))))
        rows = 0
        while not rows:
            rows = len(await store.read(ports.find))
        assert not writing.done()
        engine.gate.set()
        port = await writing
        assert [r.mac for r in engine.answers.reservations.values()] == [MAC]
        await store.write(lambda tx: ports.delete(tx, port.id))
        assert not engine.answers.reservations


async def test_changes_that_come_together_are_applied_together(store: Store) -> None:
    async with running(store) as (engine, _, network):
        engine.gate.clear()
        before = engine.applied
        writes = [store.write(lambda tx: ports.create(tx, NewPort(network))) for _ in range(50)]
        gathered = asyncio.gather(*writes)
        while len(await store.read(ports.find)) < 50:
            pass
        engine.gate.set()
        await gathered
        assert len(engine.answers.reservations) == 50
        assert engine.applied - before <= 5


async def test_an_engine_that_fails_is_tried_again_and_holds_nobody_up(store: Store) -> None:
    async with running(store) as (engine, loop, network):
        engine.fail = 3
        await store.write(lambda tx: ports.create(tx, NewPort(network, mac_address=MAC)))
        assert loop.state()["state"] == "failing"
        assert loop.state()["reason"] == "does not work"
        await _until(lambda: loop.state()["state"] == "ok")
        assert [r.mac for r in engine.answers.reservations.values()] == [MAC]


async def test_the_loop_outlives_what_nobody_foresaw(store: Store) -> None:
    async with running(store) as (engine, _, network):
        engine.unforeseen = 2
        await _until(lambda: not engine.unforeseen)
        await store.write(lambda tx: ports.create(tx, NewPort(network, mac_address=MAC)))
        assert [r.mac for r in engine.answers.reservations.values()] == [MAC]


@pytest.mark.parametrize("by_hint", [True, False])
async def test_every_change_that_matters_is_seen(store: Store, by_hint: bool) -> None:
    """By its hint; and without one, as from another process, by looking."""
    async with running(store) as (engine, loop, network):
        if not by_hint:
            store.answer_with(_deaf)
        port = await store.write(lambda tx: ports.create(tx, NewPort(network, mac_address=MAC)))
        (subnet,) = await store.read(lambda tx: subnets.of_network(tx, network))

        async def seen(change: Any, true: Any) -> None:
            await store.write(change)
            assert true() or not by_hint
            await _until(true)

        def one() -> Any:
            return engine.answers.reservations[port.id]

        await _until(lambda: port.id in engine.answers.reservations)
        option = [{"opt_name": "67", "opt_value": "x", "ip_version": 4}]
        await seen(lambda tx: ports.update(tx, port.id, {"extra_dhcp_opts": option}), lambda: one().options)
        other = {"mac_address": "02:00:00:00:00:06"}
        await seen(lambda tx: ports.update(tx, port.id, other), lambda: one().mac == other["mac_address"])
        moved = {"fixed_ips": [{"ip_address": "10.0.0.77"}]}
        await seen(lambda tx: ports.update(tx, port.id, moved), lambda: str(one().addresses[0][1]) == "10.0.0.77")
        served = lambda: engine.answers.subnets[subnet.id]  # noqa: E731
        await seen(lambda tx: networks.update(tx, network, {"mtu": 1400}), lambda: served().mtu == 1400)
        await seen(lambda tx: subnets.update(tx, subnet.id, {"gateway_ip": ""}), lambda: served().gateway is None)
        down = {"admin_state_up": False}
        await seen(lambda tx: ports.update(tx, port.id, down), lambda: not engine.answers.reservations)
        await seen(lambda tx: networks.update(tx, network, down), lambda: not engine.answers.subnets)
        assert loop.state()["state"] == "ok"


async def _deaf(_ids: set[str]) -> None:
    return None


async def _until(true: Any) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)
