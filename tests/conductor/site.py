"""A small site on any store, with switches in memory and machines that only remember; the two loops over it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import sqlalchemy as sa

from ironlane.agent.client import AgentClient
from ironlane.conductor.fabric import FabricLoop, FabricSettings, driver_factory
from ironlane.conductor.lifecycle import LifecycleLoop
from ironlane.conductor.members import Members
from ironlane.conductor.work import LifecycleSettings
from ironlane.conductor.worker import Worker
from ironlane.model.errors import Permanent, Temporary
from ironlane.model.fabric import PortConfig, SwitchId
from ironlane.model.node import Node
from ironlane.model.plan import Change, Plan
from ironlane.power.fake import FakePower
from ironlane.store import (
    baremetal_ports,
    leases,
    networks,
    nodes,
    physical_networks,
    portgroups,
    ports,
    ramdisks,
    switches,
    vifs,
)
from ironlane.store.database import Store, Tx
from ironlane.store.leases import Membership
from ironlane.store.networks import NewNetwork
from ironlane.store.ports import NewPort
from ironlane.store.switches import SwitchSpec
from ironlane.store.tables import nodes as node_rows
from ironlane.store.tables import ports as port_rows
from ironlane.store.tables import switches as switch_rows
from ironlane.switches.base import Access, Capabilities

PORTS = [f"p{number}" for number in range(1, 7)]
MACS = {"leaf-1": "02:00:00:00:00:01", "leaf-2": "02:00:00:00:00:02"}
CLEANING, PROVISIONING = 10, 11
TTL = timedelta(seconds=30)


@dataclass
class MemorySwitch:
    """A switch as a dictionary. `fail_applies` commits are lost, after `half` of the changes were made.

    A commit with a change that `refuse` is true of is refused as a whole.
    """

    name: str
    carried: dict[str, PortConfig] = field(default_factory=lambda: dict.fromkeys(PORTS, PortConfig()))
    history: list[dict[str, PortConfig]] = field(default_factory=list)
    fail_applies: int = 0
    half: bool = False
    refuse: Callable[[Change], bool] = lambda _change: False
    unreachable: bool = False
    commits: int = 0
    capabilities = Capabilities(atomic_commit=True)

    async def observe(self, ports: Collection[str]) -> Mapping[str, PortConfig]:
        await asyncio.sleep(0)
        if self.unreachable:
            raise Temporary(f"{self.name} does not answer")
        return {name: self.carried[name] for name in ports if name in self.carried}

    def render(self, plan: Plan) -> tuple[str, ...]:
        return tuple(f"{change.port}: {change.after}" for change in plan.changes)

    async def apply(self, plan: Plan) -> None:
        await asyncio.sleep(0)
        if self.unreachable:
            raise Temporary(f"{self.name} does not answer")
        refused = [change.port for change in plan.changes if self.refuse(change)]
        if refused:
            raise Permanent(f"{self.name} refuses the commit")
        changes = plan.changes
        if self.fail_applies:
            self.fail_applies -= 1
            changes = changes[: len(changes) // 2] if self.half else ()
            self._take(changes)
            raise Temporary(f"{self.name} lost the session in the middle of a commit")
        self.commits += 1
        self._take(changes)

    def _take(self, changes: Collection[object]) -> None:
        for change in changes:
            self.carried[change.port] = change.after  # type: ignore[attr-defined]
        self.history.append(dict(self.carried))

    async def close(self) -> None:
        pass


class Site:
    """Two leaves, a cleaning and a provisioning network, and a conductor that can be stopped and started again."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.leaves = {name: MemorySwitch(name) for name in MACS}
        self.power = FakePower()
        self.agents = AgentClient(timeout=5.0)
        self.audit = timedelta(minutes=5)
        self.settings = LifecycleSettings(first_retry=timedelta(milliseconds=5), last_retry=timedelta(milliseconds=50))

    async def furnish(self) -> None:
        def work(tx: Tx) -> None:
            physical_networks.put(tx, "physnet1", [(200, 299)], 1500, 0)
            for name, mac in MACS.items():
                switches.put(tx, SwitchSpec(SwitchId(name), "memory", "", frozenset(PORTS), "physnet1", mac))
            for name, vlan in (("cleaning", CLEANING), ("provisioning", PROVISIONING)):
                networks.create(tx, NewNetwork(name=name, physical_network="physnet1", segmentation_id=vlan))

        await self.store.write(work)

    @asynccontextmanager
    async def conductor(self, hostname: str = "c1", ttl: timedelta = TTL):  # type: ignore[no-untyped-def]
        """The two loops, running."""
        me = Membership(hostname, [{"name": "fake-hardware", "required": [], "properties": {}}])
        members = Members(self.store, me, ttl=ttl)
        await members.start()
        fabric = FabricLoop(
            self.store,
            members,
            driver_factory({"memory": self._driver}),
            lambda name: name,
            FabricSettings(
                first_retry=timedelta(milliseconds=5), last_retry=timedelta(milliseconds=50), audit=self.audit
            ),
        )
        lifecycle = LifecycleLoop(
            self.store,
            lease=lambda: members.lease,
            ring=lambda: members.ring,
            power={"fake-hardware": self.power},
            agents=self.agents,
            settings=self.settings,
            ttl=members.ttl,
        )
        workers = {
            "switch": Worker("switch", fabric.converge, self._due(switch_rows), interval=0.05),
            "node": Worker("node", lifecycle.advance, self._due(node_rows), interval=0.05),
        }
        stop_listening = self.store.listen(
            lambda hint: workers[hint.kind].poke(hint.id) if hint.kind in workers else None
        )
        for worker in workers.values():
            worker.start()
        try:
            yield workers
        finally:
            stop_listening()
            for worker in workers.values():
                await worker.stop()
            await fabric.close()
            await members.stop()

    def assert_nothing_was_carried(self) -> None:
        for leaf in self.leaves.values():
            assert not any(config.vlans for moment in leaf.history for config in moment.values())

    def _driver(self, access: Access) -> MemorySwitch:
        return self.leaves[access.switch]

    def _due(self, table: sa.Table):  # type: ignore[no-untyped-def]
        return lambda waiting: self.store.read(lambda tx: leases.due(tx, table, waiting=waiting))

    async def node(self, number: int, *, priorities: tuple[int, ...] = (0,), mode: str = "802.3ad") -> Node:
        """A node with a portgroup over both leaves for each priority given."""

        def work(tx: Tx) -> Node:
            node = nodes.create(tx, {"name": f"node-{number}", "driver": "fake-hardware", "automated_clean": True})
            for index, priority in enumerate(priorities):
                port = PORTS[number * len(priorities) + index - len(priorities)]
                base = f"52:54:00:{number:02x}:{index:02x}"
                group = portgroups.create(
                    tx,
                    {
                        "node_id": node.id,
                        "name": f"bond-{number}-{index}",
                        "address": f"{base}:01",
                        "mode": mode,
                        "properties": {"priority": priority},
                    },
                )
                for side, leaf in enumerate(MACS, 1):
                    baremetal_ports.create(
                        tx,
                        {
                            "node_id": node.id,
                            "portgroup_id": group.id,
                            "address": f"{base}:{side:02x}",
                            "pxe_enabled": side == 1,
                            "physical_network": "physnet1",
                            "local_link_connection": {"switch_id": MACS[leaf], "port_id": port, "switch_info": leaf},
                        },
                    )
            return node

        return await self.store.write(work)

    async def tenant_port(self, name: str) -> str:
        """A port on a tenant network of that name, which is made when it is not there. Returns its UUID."""

        def work(tx: Tx) -> str:
            network = networks.create(tx, NewNetwork(name=name, project_id=name))
            return ports.create(tx, NewPort(network.id, project_id=name)).id

        return await self.store.write(work)

    async def vlan(self, port: str) -> int:
        def work(tx: Tx) -> int:
            return networks.get(tx, ports.get(tx, port).network_id).vlan or 0

        return await self.store.read(work)

    async def attach(self, node: Node, port: str) -> None:
        await self.store.write(lambda tx: vifs.attach(tx, nodes.by_id(tx, node.id), port))

    async def ask(self, node: Node, verb: str) -> None:
        await self.store.write(lambda tx: nodes.request_state(tx, nodes.by_id(tx, node.id), verb))

    async def report(self, node: Node, status: str = "end", message: str = "") -> None:
        """The ramdisk on the node looks itself up, and reports."""

        def work(tx: Tx) -> None:
            addresses = [port.address for port in baremetal_ports.of_node(tx, node.id)]
            _, token = ramdisks.record_lookup(tx, addresses, None)
            ramdisks.record_heartbeat(tx, node.id, token, status=status, message=message)

        await self.store.write(work)

    async def until(self, condition: Callable[[Tx], bool], what: str, seconds: float = 30.0) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not await self.store.read(condition):  # noqa: ASYNC110 - rows change in threads
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"not within {seconds} s: {what}; rows: {await self._rows()}") from None

    async def until_state(self, node: Node, state: str, step: str | None = None) -> Node:
        def reached(tx: Tx) -> bool:
            now = nodes.by_id(tx, node.id)
            return now.provision_state == state and (step is None or now.step == step)

        await self.until(reached, f"{node.name} in state {state}")
        return await self.store.read(lambda tx: nodes.by_id(tx, node.id))

    async def _rows(self) -> object:
        def work(tx: Tx) -> object:
            columns = node_rows.c
            return (
                tx.all(sa.select(columns.name, columns.provision_state, columns.step, columns.last_error)),
                tx.all(sa.select(columns.driver_internal_info)),
                tx.all(sa.select(switch_rows.c.id, switch_rows.c.state, switch_rows.c.reason)),
                tx.all(sa.select(port_rows.c.id, port_rows.c.status, port_rows.c.status_reason)),
            )

        return await self.store.read(work)

    async def to_available(self, node: Node) -> None:
        await self.ask(node, "manage")
        await self.until_state(node, "manageable")
        await self.ask(node, "provide")
        await self.until_state(node, "clean wait", "booted")
        await self.report(node)
        await self.until_state(node, "available")

    async def to_active(self, node: Node) -> None:
        await self.ask(node, "active")
        await self.until_state(node, "wait call-back", "booted")
        await self.report(node)
        await self.until_state(node, "active")

    def carried(self) -> dict[str, dict[str, PortConfig]]:
        """What the switches carry but for descriptions, without idle ports."""
        return {
            name: {
                port: replace(config, description="")
                for port, config in leaf.carried.items()
                if config.enabled and config.vlans
            }
            for name, leaf in self.leaves.items()
        }

    def assert_walls_stood(self) -> None:
        """I1 over all that was ever carried: per commit, no server on both sides; replays both leaves in order."""
        for leaf in self.leaves.values():
            for moment in leaf.history:
                sides: dict[str, set[bool]] = {}
                for config in moment.values():
                    for vlan in config.vlans:
                        sides.setdefault(config.description, set()).add(vlan in {CLEANING, PROVISIONING})
                assert all(len(both) == 1 for both in sides.values())
