"""The power sync: what the BMCs say of the servers' power, asked at regular times and compared with what is on record.

Each node has its own moment in the interval, so that the BMCs are asked evenly. A BMC that does not answer is asked
less and less often, up to ten minutes; after several times its node is in maintenance with fault `power failure`, as in
Ironic, and comes out of it by itself when the BMC answers again.
"""

from __future__ import annotations

import asyncio
import heapq
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
import structlog

from ironlane.conductor.ring import Ring
from ironlane.conductor.work import power_driver
from ironlane.model.errors import IronlaneError
from ironlane.model.node import Node
from ironlane.model.states import WORKING, ProvisionState
from ironlane.power.base import PowerDriver, PowerState
from ironlane.store import leases
from ironlane.store import nodes as node_rows
from ironlane.store.database import Store, Tx
from ironlane.store.leases import Lease
from ironlane.store.tables import nodes

log = structlog.get_logger(__name__)

FAULT = "power failure"
_SLOWEST = 600.0
"""Seconds between two questions to a BMC that does not answer, at the most."""
_UNASKED = WORKING | {ProvisionState.ENROLL}
"""States in which the loop has the power in hand, or nobody knows yet whether the credentials work."""


@dataclass(frozen=True, slots=True)
class PowerSyncSettings:
    """`interval` in seconds, 0: never. `force`: a server that differs is put right, instead of the record."""

    interval: float = 60.0
    force: bool = False
    failures: int = 3
    """So many times in a row without an answer are a fault."""
    at_once: int = 64
    """BMCs that are asked at the same time."""


class PowerSync:
    """Runs from `start` to `stop`.

    Args:
        store: the database.
        lease: gives the lease to act under; raises Temporary when there is none.
        ring: gives the ring of live conductors.
        power: power drivers by the name that nodes use.
        settings: how often, and what then.
        ttl: how long a lease lives without heartbeat.
    """

    def __init__(
        self,
        store: Store,
        *,
        lease: Callable[[], Lease],
        ring: Callable[[], Ring],
        power: Mapping[str, PowerDriver],
        settings: PowerSyncSettings,
        ttl: timedelta,
    ) -> None:
        self._store = store
        self._lease = lease
        self._ring = ring
        self._ttl = ttl
        self._power = power
        self._settings = settings
        self._places = asyncio.Semaphore(settings.at_once)
        self._plan: list[tuple[float, str]] = []
        self._known: set[str] = set()
        self._failures: dict[str, int] = {}
        self._asking: set[asyncio.Task[None]] = set()
        self._ticking: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._settings.interval > 0:
            self._ticking = asyncio.create_task(self._tick(), name="power-sync")

    async def stop(self) -> None:
        """Ask nobody any more; questions under way are dropped."""
        tasks = [*self._asking, *([self._ticking] if self._ticking else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        looked = -self._settings.interval
        while True:
            try:
                if loop.time() - looked >= min(self._settings.interval, 10.0):
                    looked = loop.time()
                    self._take(self._mine(await self._store.read(_askable_nodes)))
                await self._ask_due()
            except IronlaneError as error:  # no lease, no database
                log.warning("power sync has to wait", error=error.message)
            except Exception:
                log.exception("power sync failed unexpectedly")
            await asyncio.sleep(min(1.0, self._settings.interval))

    def _mine(self, found: Iterable[sa.Row[Any]]) -> list[str]:
        hostname, ring = self._lease().hostname, self._ring()
        return [row.id for row in found if ring.node_owner(row.id, row.conductor_group, row.driver) == hostname]

    def _take(self, mine: Collection[str]) -> None:
        """Plan the nodes that are new here, each at its own moment of the interval; forget those that are gone."""
        now = asyncio.get_running_loop().time()
        for ident in set(mine) - self._known:
            self._known.add(ident)
            phase = zlib.crc32(ident.encode()) / 2**32 * self._settings.interval
            heapq.heappush(self._plan, (now + phase, ident))
        gone = self._known - set(mine)
        if gone:
            self._known -= gone
            self._plan = [(when, ident) for when, ident in self._plan if ident not in gone]
            heapq.heapify(self._plan)
            for ident in gone:
                self._failures.pop(ident, None)

    async def _ask_due(self) -> None:
        due = []
        now = asyncio.get_running_loop().time()
        while self._plan and self._plan[0][0] <= now:
            due.append(heapq.heappop(self._plan)[1])
        if not due:
            return
        for node in await self._store.read(lambda tx: node_rows.find(tx, nodes.c.id.in_(due))):
            task = asyncio.create_task(self._ask(node), name=f"power-sync-{node.id}")
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _ask(self, node: Node) -> None:
        began = asyncio.get_running_loop().time()
        failures = self._failures.get(node.id, 0)
        try:
            if _askable(node):
                async with self._places:
                    failures = await self._compare(node, failures)
        finally:
            # The moment in the interval stays as it is, however long the answer took.
            delay = min(self._settings.interval * 2**failures, max(_SLOWEST, self._settings.interval))
            if node.id in self._known:
                self._failures[node.id] = failures
                heapq.heappush(self._plan, (began + delay, node.id))

    async def _compare(self, node: Node, failures: int) -> int:
        """Ask, and record what differs. Returns how many times in a row there was no answer."""
        try:
            driver = power_driver(self._power, node)
            info = {**self._store.vault.opened(node.driver_info), "node_uuid": node.id}
            found = await driver.get_power(info)
            if self._differs(node, found) and self._settings.force and node.power_state is not None:
                log.warning("power differs and is put right", node=node.label, is_=found.value, was=node.power_state)
                await driver.set_power(info, PowerState(node.power_state))
                found = PowerState(node.power_state)
        except IronlaneError as error:
            if failures + 1 >= self._settings.failures and node.fault != FAULT:
                await self._record(node, _fault(error.message))
            return failures + 1
        except Exception:
            log.exception("power sync of a node failed unexpectedly", node=node.label)
            return failures + 1
        changes: dict[str, object] = {}
        if node.fault == FAULT:
            log.info("BMC answers again", node=node.label)
            changes = {"maintenance": False, "maintenance_reason": None, "fault": None, "last_error": None}
        if self._differs(node, found):
            changes["power_state"] = found.value
            if node.power_state in set(PowerState):
                log.warning("power differs and is recorded", node=node.label, is_=found.value, was=node.power_state)
        if changes:
            await self._record(node, changes)
        return 0

    def _differs(self, node: Node, found: PowerState) -> bool:
        return node.power_state != found.value

    async def _record(self, node: Node, changes: Mapping[str, object]) -> None:
        lease = self._lease()

        def write(tx: Tx) -> None:
            if not leases.claim(tx, nodes, node.id, lease, self._ttl):  # another conductor still has it
                return
            now = node_rows.by_id(tx, node.id)
            if now.generation == node.generation and _askable(now):  # else the answer may be of before
                node_rows.update(tx, node.id, changes)

        await self._store.write(write)


def _askable_nodes(tx: Tx) -> Sequence[sa.Row[Any]]:
    """All nodes whose power may be asked for, with what the ring has to know of them."""
    unasked = nodes.c.provision_state.in_([state.value for state in _UNASKED])
    ours = nodes.c.maintenance.is_(False) | (nodes.c.fault == FAULT)
    return tx.all(sa.select(nodes.c.id, nodes.c.conductor_group, nodes.c.driver).where(~unasked, ours))


def _askable(node: Node) -> bool:
    """Whether nobody else has the power in hand."""
    idle = node.provision_state not in _UNASKED and node.target_power_state is None
    return idle and (not node.maintenance or node.fault == FAULT)


def _fault(reason: str) -> dict[str, object]:
    told = f"the power state could not be read several times in a row: {reason}"
    log.warning("BMC does not answer", reason=reason)
    return {
        "power_state": PowerState.ERROR.value,
        "maintenance": True,
        "maintenance_reason": told,
        "fault": FAULT,
        "last_error": told,
    }
