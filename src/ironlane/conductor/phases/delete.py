"""Deleting: a server leaves its tenant."""

from __future__ import annotations

from typing import Any

from ironlane.conductor.phases.tenant import unplug_all
from ironlane.conductor.work import OFF, Done, Result, Wait, Work
from ironlane.model.node import Node
from ironlane.model.states import ProvisionState as S
from ironlane.store import allocations, ports, vifs
from ironlane.store.attachments import of_host
from ironlane.store.database import Tx

_BOOT_OPTIONS = frozenset({"59", "60", "66", "67", "150", "255"})
"""DHCP options that lead to boot files."""


async def delete(work: Work) -> Result:
    """`deleting`: off, and off every network; then cleaned for the next tenant."""
    # The switches first: a server whose BMC does not answer must not stay on its tenant's networks for that.
    await work.write(lambda tx: unplug_all(tx, work.node))
    await work.power_off()
    left = await work.store.read(lambda tx: of_host(tx, work.node.id))
    if left:
        return Wait(f"{len(left)} switch ports to leave their networks, first {left[0].switch_port}")
    await work.settings.boot.discard(work.node.id)

    def detach(tx: Tx) -> None:
        if work.node.deploy_interface == "ramdisk":
            _lead_nowhere(tx, work.node)
        vifs.detach_all(tx, work.node)
        if work.node.allocation_uuid is not None:  # it is met no more; as Ironic, it goes with the instance
            allocations.forget(tx, work.node.allocation_uuid)

    await work.write(detach)
    following = S.CLEANING if work.node.automated_clean else S.AVAILABLE
    changes: dict[str, Any] = {**OFF, "instance_uuid": None, "allocation_uuid": None}
    changes |= {"instance_name": None, "instance_info": {}}
    return Done(following, changes=changes)


def _lead_nowhere(tx: Tx, node: Node) -> None:
    """The tenant's ports are its own again: nothing in them leads to boot files that are gone."""
    for vif in vifs.listed(tx, node.id):
        options = [
            {**option, "opt_value": None}
            for option in ports.get(tx, vif).extra_dhcp_opts
            if str(option["opt_name"]).rpartition(",")[2] in _BOOT_OPTIONS
        ]
        ports.update(tx, vif, {"extra_dhcp_opts": options})
