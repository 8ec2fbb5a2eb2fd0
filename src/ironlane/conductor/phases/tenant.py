"""A node on its tenant's networks: onto them, and off every network."""

from __future__ import annotations

from ironlane.conductor.work import Done, Result, Wait
from ironlane.model.cabling import CablingPolicy
from ironlane.model.node import Node
from ironlane.store import cabling, provisioning, vifs
from ironlane.store.database import Tx


def join_tenant(tx: Tx, node: Node, done: Done, policy: CablingPolicy) -> Result:
    pass_gate(tx, node, policy)
    vifs.plug(tx, node)
    return tenant_joined(tx, node, done)


def pass_gate(tx: Tx, node: Node, policy: CablingPolicy) -> None:
    """Refuse to go on with a server whose cables are not where the record says: its tenant would get another's port.

    Raises:
        Conflict: as `cabling.gate`.
    """
    cabling.gate(tx, node, vifs.nics(tx, node.id), policy)


def tenant_joined(tx: Tx, node: Node, done: Done) -> Result:
    for vif in vifs.listed(tx, node.id):
        status, reason = provisioning.status_of(tx, vif)
        if status != "ACTIVE":
            return Wait(f"tenant port {vif}: {reason}")
    return done


def unplug_all(tx: Tx, node: Node) -> None:
    vifs.unplug(tx, node)
    provisioning.unplug(tx, node)
