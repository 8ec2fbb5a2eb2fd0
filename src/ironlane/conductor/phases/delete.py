"""Deleting: a server leaves its tenant."""

from __future__ import annotations

from ironlane.conductor.phases.tenant import unplug_all
from ironlane.conductor.work import OFF, Done, Result, Wait, Work
from ironlane.model.states import ProvisionState as S
from ironlane.store import vifs
from ironlane.store.attachments import of_host


async def delete(work: Work) -> Result:
    """`deleting`: off, and off every network; then cleaned for the next tenant."""
    # The switches first: a server whose BMC does not answer must not stay on its tenant's networks for that.
    await work.write(lambda tx: unplug_all(tx, work.node))
    await work.power_off()
    left = await work.store.read(lambda tx: of_host(tx, work.node.id))
    if left:
        return Wait(f"{len(left)} switch ports to leave their networks, first {left[0].switch_port}")
    await work.write(lambda tx: vifs.detach_all(tx, work.node))
    following = S.CLEANING if work.node.automated_clean else S.AVAILABLE
    return Done(following, changes={**OFF, "instance_uuid": None, "instance_info": {}})
