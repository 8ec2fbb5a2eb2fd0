"""The lifecycle loop, per node: claim it, run its state's handler, record what follows.

All waiting is on rows and events; nothing sleeps. The state table is in `handlers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
import structlog

from ironlane.agent.client import AgentClient
from ironlane.conductor.handlers import HANDLERS
from ironlane.conductor.out_of_band import ORDERED, TIMEOUT, out_of_band
from ironlane.conductor.ring import Ring
from ironlane.conductor.work import Done, Failed, LifecycleSettings, Result, Retry, Wait, Work, power_driver
from ironlane.model.errors import IronlaneError, NotFound, Temporary
from ironlane.model.node import Node
from ironlane.model.states import FAILURE, WORKING, ProvisionState
from ironlane.power.base import PowerDriver
from ironlane.store import history, leases
from ironlane.store import nodes as node_rows
from ironlane.store.database import Store, Tx
from ironlane.store.history import EventType, Severity
from ironlane.store.leases import Lease
from ironlane.store.tables import nodes

log = structlog.get_logger(__name__)

AT_ONCE = timedelta(0)
WAITING_FOR = "waiting_for"
"""Key in `driver_internal_info`: what the node waits for, in a sentence for the operator."""


class LifecycleLoop:
    """Takes every node that this conductor owns through its life.

    Args:
        store: the database.
        lease: gives the lease to act under; raises Temporary when there is none.
        ring: gives the ring of live conductors.
        power: power drivers by the name that nodes use.
        agents: talks to the agents in ramdisks.
        settings: this conductor's networks and patience.
        ttl: how long a lease lives without heartbeat.
    """

    def __init__(
        self,
        store: Store,
        *,
        lease: Callable[[], Lease],
        ring: Callable[[], Ring],
        power: Mapping[str, PowerDriver],
        agents: AgentClient,
        settings: LifecycleSettings,
        ttl: timedelta,
    ) -> None:
        self._store = store
        self._lease = lease
        self._ring = ring
        self._power = power
        self._agents = agents
        self._settings = settings
        self._ttl = ttl

    async def advance(self, ident: str) -> timedelta | None:
        """Do what is due for one node. Returns after how long to look again, None when there is nothing to wait for."""
        lease = self._lease()
        node = await self._store.write(lambda tx: self._claim(tx, ident, lease))
        if node is None:
            return None
        try:
            guard = partial(_guard, node=node, lease=lease)
            work = Work(node, power_driver(self._power, node), self._agents, self._store, self._settings, guard)
            result = await out_of_band(work) or await self._handle(work)
        except Temporary as error:
            result = Retry(error)
        except IronlaneError as error:
            result = Failed(error.message)
        except Exception as error:
            # A fault of ours or an answer that no driver foresaw. Its text may hold anything, so only the log has it.
            log.exception("node step failed unexpectedly", node=node.label)
            result = Retry(Temporary(f"unexpected {type(error).__name__}; the log of the service has more"))
        return await self._store.write(lambda tx: self._record(tx, node, result, lease))

    def _claim(self, tx: Tx, ident: str, lease: Lease) -> Node | None:
        try:
            node = node_rows.by_id(tx, ident)
        except NotFound:  # deleted, or a host that is no node of ours
            return None
        owner = self._ring().node_owner(node.id, node.conductor_group, node.driver)
        if owner != lease.hostname:
            if node.conductor == lease.hostname:
                leases.release(tx, nodes, node.id, lease)
            return None
        return node if leases.claim(tx, nodes, node.id, lease, self._ttl) else None

    async def _handle(self, work: Work) -> Result:
        handler = HANDLERS.get(work.node.provision_state)
        return Done() if handler is None else await handler(work)

    def _record(self, tx: Tx, node: Node, result: Result, lease: Lease) -> timedelta | None:
        if _generation(tx, node, lease) != node.generation:
            return AT_ONCE  # a client has asked for something else meanwhile; what came out is of no more use
        changes, delay = self._outcome(node, result)
        # What the ramdisk reported meanwhile stays.
        info = {**node_rows.by_id(tx, node.id).driver_internal_info, WAITING_FOR: None}
        info |= {WAITING_FOR: result.reason} if isinstance(result, Wait) else {}
        info |= result.info if isinstance(result, Done) else {}
        if changes.get("target_power_state", node.target_power_state) is None:
            info |= {ORDERED: None, TIMEOUT: None}
        changes["driver_internal_info"] = {key: value for key, value in info.items() if value is not None}
        changes["due_at"] = None if delay is None else tx.now + delay
        if changes.get("provision_state", node.provision_state) != node.provision_state:
            changes["provision_updated_at"] = tx.now
            before, after = node.provision_state.value, changes["provision_state"].value
            log.info("node changed state", node=node.label, before=before, after=after)
        self._note(tx, node, changes, lease)
        node_rows.update(tx, node.id, changes)
        tx.hints.clear()  # our own due time is in the return value
        return delay

    def _note(self, tx: Tx, node: Node, changes: Mapping[str, Any], lease: Lease) -> None:
        """The node's history: changes of state, and what went wrong for good, not what is tried again."""
        reason = None if changes["attempts"] else changes.get("last_error")
        after = changes.get("provision_state", node.provision_state)
        moved = "" if after is node.provision_state else f"from {node.provision_state.value} to {after.value}"
        event = ": ".join(filter(None, (moved, reason)))
        if not event:
            return
        failed = EventType.PROVISION if node.provision_state in WORKING else EventType.POWER
        history.record(
            tx,
            node.id,
            event,
            event_type=failed if reason else EventType.TRANSITION,
            severity=Severity.ERROR if reason else Severity.INFO,
            conductor=lease.hostname,
        )

    def _outcome(self, node: Node, result: Result) -> tuple[dict[str, Any], timedelta | None]:
        """Columns to write, and after how long to look again."""
        if isinstance(result, Done):
            return self._done(node, result)
        if isinstance(result, Wait):
            return {"attempts": 0}, result.delay
        if isinstance(result, Retry) and node.attempts + 1 < self._settings.attempts:
            delay = min(self._settings.first_retry * (1 << min(node.attempts, 16)), self._settings.last_retry)
            log.warning("node step failed", node=node.label, error=result.error.message, attempts=node.attempts + 1)
            return {"attempts": node.attempts + 1, "last_error": result.error.message}, delay
        reason = result.error.message if isinstance(result, Retry) else result.reason
        return self._failed(node, reason)

    def _done(self, node: Node, result: Done) -> tuple[dict[str, Any], timedelta | None]:
        changes: dict[str, Any] = {
            **result.changes,
            "step": result.step,
            "attempts": 0,
        }
        state = result.state or node.provision_state
        if result.state is not None:
            changes["provision_state"] = state
            changes["last_error"] = None
            if state not in WORKING:
                changes["target_provision_state"] = None
        wished = "boot_device_due" in result.changes or "target_power_state" in result.changes
        again = state in WORKING or wished or result.again
        return changes, AT_ONCE if again else None

    def _failed(self, node: Node, reason: str) -> tuple[dict[str, Any], timedelta | None]:
        log.error("node failed", node=node.label, state=node.provision_state, reason=reason)
        changes: dict[str, Any] = {
            "last_error": reason,
            "attempts": 0,
            "step": None,
            "target_power_state": None,
            "boot_device_due": False,
        }
        if node.provision_state not in WORKING:
            # What a client asked of the BMC has failed and is given up; what else is to be done still is.
            pending = node.target_power_state is not None or node.boot_device_due
            return changes, AT_ONCE if pending else None
        state = FAILURE[node.provision_state]
        changes |= {"provision_state": state, "target_provision_state": node.target_provision_state}
        if state is ProvisionState.CLEAN_FAILED:
            # As Ironic: a server that was not wiped is kept from everybody until an operator has looked at it.
            changes |= {"maintenance": True, "maintenance_reason": reason, "fault": "clean failure"}
        return changes, AT_ONCE


def _generation(tx: Tx, node: Node, lease: Lease) -> int:
    if not leases.holds(tx, nodes, node.id, lease):
        raise Temporary(f"node {node.label} belongs to another conductor now")
    return int(tx.execute(sa.select(nodes.c.generation).where(nodes.c.id == node.id)).scalar_one())


def _guard(tx: Tx, node: Node, lease: Lease) -> None:
    if _generation(tx, node, lease) != node.generation:
        raise Temporary(f"node {node.label} is asked for something else now")
