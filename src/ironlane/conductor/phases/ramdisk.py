"""What all phases with a ramdisk share: onto a provider network, boot and wait, and off it again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from ironlane.conductor.work import OFF, ON, Done, Failed, Result, Wait, Work
from ironlane.model.states import ProvisionState
from ironlane.power.base import BootDevice
from ironlane.store import provisioning, vifs
from ironlane.store.database import Tx
from ironlane.store.provisioning import Phase
from ironlane.store.ramdisks import AGENT_KEYS, AGENT_URL, NEW_BOOT, forget_ramdisk

NOBODY = dict.fromkeys(AGENT_KEYS)
"""`driver_internal_info` of a node whose ramdisk is gone."""


async def join_provider(work: Work, phase: Phase, waiting: ProvisionState) -> Result:
    """Off, and onto the network of the phase; then `waiting`."""
    await work.power_off()
    options = await work.settings.boot.prepare(work.node, phase.name.lower())

    def join(tx: Tx) -> Result:
        vifs.unplug(tx, work.node)
        joined = Done(waiting, changes={**OFF, **NEW_BOOT}, info=NOBODY)
        if work.node.network_interface == "noop":
            return joined
        if phase is Phase.PROVISIONING:
            vifs.remap(tx, work.node)  # priorities may have changed since the VIFs were attached
        port = provisioning.plug(tx, work.node, phase, work.network(phase), options)
        status, reason = provisioning.status_of(tx, port)
        if status != "ACTIVE":
            return Wait(f"provision port {port}: {reason}")
        return joined

    return await work.write(join)


async def await_ramdisk(work: Work, following: ProvisionState, agent: Callable[[Work], Awaitable[Result]]) -> Result:
    """Boot the ramdisk; then `agent` goes on, as soon as one is there. A ramdisk without one is waited for until it
    reports by itself that it is done."""
    node = work.node
    if node.step is None:
        return await _boot(work)
    if node.agent_report == "error":
        return Failed(f"the ramdisk reported: {node.agent_message or 'an error without a message'}")
    if node.has_agent and AGENT_URL in node.driver_internal_info:
        return _silent(work) or await agent(work)
    if node.agent_report == "end" and not node.has_agent:
        return Done(following, step="leave")
    began = node.agent_seen_at if node.agent_report else node.provision_updated_at
    left = work.settings.report_timeout - (work.now - (began or work.now))
    if left <= timedelta(0):
        return Failed(
            f"no report from the ramdisk within {work.settings.report_timeout}; look at the server's console:"
            " does it boot over PXE, and from the right NIC? The conductor's log names boot files that are not there"
        )
    return Wait("the ramdisk's report", min(left, timedelta(seconds=10)))


async def leave_provider(work: Work, done: Done) -> Result:
    """Off, and off all provider networks, read back; then `done`."""
    await work.power_off()
    return await slip_off(work, done)


async def slip_off(work: Work, done: Done) -> Result:
    """`leave_provider`, but that the ramdisk goes on running."""
    await work.write(lambda tx: provisioning.unplug(tx, work.node))
    left = await work.store.read(lambda tx: provisioning.on_provider_networks(tx, work.node))
    if left:
        return Wait(f"{left[0].switch_port} to leave VLAN {left[0].vlan}")
    await work.settings.boot.discard(work.node.id)
    return Done(done.state, done.step, done.changes, {**done.info, **NOBODY})


async def _boot(work: Work) -> Result:
    # This may be the second time, after a crash: then a ramdisk may be running, and have its token.
    await work.power_off()
    await work.write(lambda tx: forget_ramdisk(tx, work.node.id))
    await work.boot(BootDevice.PXE, persistent=False)
    return Done(step="booted", changes={**ON, "boot_device": BootDevice.PXE.value})


def _silent(work: Work) -> Failed | None:
    seen = work.node.agent_seen_at or work.now
    if work.now - seen <= work.settings.agent_silence:
        return None
    return Failed(
        f"the agent on the server was last heard of at {seen:%Y-%m-%d %H:%M:%S} UTC, which is longer ago than"
        f" {work.settings.agent_silence}; look at the server's console: it may have crashed or rebooted"
    )
