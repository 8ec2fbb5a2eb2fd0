"""Deployment: a server is written on the provisioning network, and then started on its tenant's."""

from __future__ import annotations

from ironlane.conductor.phases.ramdisk import boot_and_wait, join_provider, leave_provider
from ironlane.conductor.phases.tenant import join_tenant, pass_gate, tenant_joined
from ironlane.conductor.work import OFF, ON, Done, Result, Work
from ironlane.model.states import ProvisionState as S
from ironlane.power.base import BootDevice
from ironlane.store.provisioning import Phase


async def deploy(work: Work) -> Result:
    """`deploying`: off; onto the provisioning network; later off it, verified; then the tenant's networks; then on."""
    if work.node.step == "leave":
        return await leave_provider(work, Done(step="tenant", changes=OFF))
    if work.node.step == "tenant":
        return await work.write(lambda tx: join_tenant(tx, work.node, Done(step="start"), work.settings.cabling))
    if work.node.step == "start":
        return await _start(work)
    # What is known to be wrong is told before the server is written, and once more before its tenant's networks.
    await work.write(lambda tx: pass_gate(tx, work.node, work.settings.cabling))
    return await join_provider(work, Phase.PROVISIONING, S.DEPLOY_WAIT)


async def await_deployed(work: Work) -> Result:
    """`wait call-back`: boot the ramdisk, then wait for its report."""
    return await boot_and_wait(work, S.DEPLOYING)


async def _start(work: Work) -> Result:
    """Boot from disk on the tenant's networks: before and after it, they must be those that were read back."""
    changes = {**ON, "boot_device": BootDevice.DISK.value, "boot_device_persistent": True}
    done = Done(S.ACTIVE, changes=changes)
    joined = await work.store.read(lambda tx: tenant_joined(tx, work.node, done))
    if joined is done:
        await work.boot(BootDevice.DISK, persistent=True)
        joined = await work.store.read(lambda tx: tenant_joined(tx, work.node, done))
    return done if joined is done else Done(step="tenant")  # back: waiting here would boot it again and again
