"""Inspection: a server's ramdisk tells what the server has in it, and what its NICs hear of their switches."""

from __future__ import annotations

from datetime import timedelta

import structlog

from ironlane.conductor.phases.ramdisk import join_provider, leave_provider
from ironlane.conductor.work import OFF, ON, Done, Failed, Result, Wait, Work
from ironlane.model.states import ProvisionState as S
from ironlane.power.base import BootDevice
from ironlane.store import baremetal_ports, cabling, inspection
from ironlane.store.database import Tx
from ironlane.store.provisioning import Phase
from ironlane.store.ramdisks import forget_ramdisk

log = structlog.get_logger(__name__)


async def inspect(work: Work) -> Result:
    """`inspecting`: off; onto the inspection network; later off it again, and back to manageable."""
    if work.node.step == "leave":
        return await leave_provider(work, Done(S.MANAGEABLE, changes={**OFF, "inspection_finished_at": work.now}))
    return await join_provider(work, Phase.INSPECTION, S.INSPECT_WAIT)


async def await_inspected(work: Work) -> Result:
    """`inspect wait`: boot the ramdisk, wait for its inventory, and draw from it."""
    node = work.node
    if node.step != "booted":
        await work.power_off()  # what an earlier ramdisk says must not be taken for the answer of this one

        def forget(tx: Tx) -> None:
            forget_ramdisk(tx, node.id)
            inspection.forget(tx, node.id)

        await work.write(forget)
        await work.boot(BootDevice.PXE, persistent=False)
        changes = {**ON, "boot_device": BootDevice.PXE.value, "inspection_started_at": work.now}
        return Done(step="booted", changes={**changes, "inspection_finished_at": None})
    drawn = await work.write(lambda tx: inspection.draw(tx, node, work.settings.add_ports))
    if drawn is not None:
        log.info("node inspected", node=node.label, ports_added=drawn.added, links_filled=drawn.filled)
        for problem in drawn.problems:
            log.warning("lldp not understood", node=node.label, problem=problem)
        return Done(S.INSPECTING, step="leave")
    left = work.settings.report_timeout - (work.now - (node.provision_updated_at or work.now))
    if left <= timedelta(0):
        policy = work.settings.cabling
        nics = await work.store.read(lambda tx: baremetal_ports.of_node(tx, node.id))
        known = await work.store.read(lambda tx: cabling.contradictions(tx, node, nics, policy))
        if known:
            return Failed(f"no inventory from the ramdisk within {work.settings.report_timeout}: {'; '.join(known)}")
        return Failed(
            f"no inventory from the ramdisk within {work.settings.report_timeout}; look at the server's console: does"
            " it boot over PXE, from the NIC whose switch port is recorded, and is the ramdisk told where to send it"
            " (ipa-inspection-callback-url)?"
        )
    return Wait("the ramdisk's inventory", min(left, timedelta(seconds=10)))
