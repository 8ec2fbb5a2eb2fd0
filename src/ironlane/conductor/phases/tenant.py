"""A node on its tenant's networks: onto them, and off every network."""

from __future__ import annotations

from datetime import timedelta

from ironlane.conductor.work import Done, Result, Wait
from ironlane.model.cabling import CablingPolicy
from ironlane.model.errors import Conflict
from ironlane.model.node import Node
from ironlane.store import cabling, provisioning, switches, vifs
from ironlane.store.database import Tx


def join_tenant(tx: Tx, node: Node, done: Done, policy: CablingPolicy, *, bundled: bool = True) -> Result:
    pass_gate(tx, node, policy)
    vifs.plug(tx, node, bundled=bundled)
    return tenant_joined(tx, node, done)


def pass_gate(tx: Tx, node: Node, policy: CablingPolicy) -> None:
    """Refuse to go on with a server whose cables are not where the record says: its tenant would get another's port.

    Raises:
        Conflict: as `cabling.gate`.
    """
    cabling.gate(tx, node, vifs.nics(tx, node.id), policy)


A_MOMENT = timedelta(seconds=1)

LOOK = "look"
"""The node's `step` while switches are read again that may have been wrong about it."""


def admit(tx: Tx, node: Node, policy: CablingPolicy) -> Result | None:
    """`pass_gate` before anything is done. None: it passed. What a switch showed may be long past, because the cables
    were changed or another server was there; so it is read again before the server is refused for it.

    Raises:
        Conflict: as `pass_gate`, and it still is so.
    """
    try:
        pass_gate(tx, node, policy)
    except Conflict:
        accusers = cabling.accusers(tx, node, vifs.nics(tx, node.id), policy)
        if accusers and node.step != LOOK:
            for switch in accusers:
                switches.make_audit_due(tx, switch)
            return Done(step=LOOK)
        unread = [switch for switch in sorted(accusers) if switches.get(tx, switch).audit_due]
        if unread:
            return Wait(f"switch {unread[0]} to be read: it showed somebody else on a port of the node", A_MOMENT)
        raise
    return None


def tenant_joined(tx: Tx, node: Node, done: Done) -> Result:
    for vif in vifs.listed(tx, node.id):
        status, reason = provisioning.status_of(tx, vif)
        if status != "ACTIVE":
            return Wait(f"tenant port {vif}: {reason}")
    return done


def unplug_all(tx: Tx, node: Node) -> None:
    vifs.unplug(tx, node)
    provisioning.unplug(tx, node)
