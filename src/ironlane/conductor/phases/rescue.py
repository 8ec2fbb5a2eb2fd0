"""Rescue: a ramdisk that its tenant can log in to, on the tenant's own networks, in the place of the disk's system.

As Ironic does it: the ramdisk is booted on the rescuing network and given the password there; then, still running, it
is moved to the tenant's networks. A server that its tenant has a shell on is on no network of ours (ADR 19).
"""

from __future__ import annotations

from ironlane.agent.client import CommandStatus
from ironlane.conductor.phases.agent import agent_of
from ironlane.conductor.phases.deploy import prepare_ramdisk, start
from ironlane.conductor.phases.ramdisk import await_ramdisk, join_provider, slip_off
from ironlane.conductor.phases.tenant import join_tenant, unplug_all
from ironlane.conductor.work import OFF, Done, Failed, Result, Wait, Work
from ironlane.model.states import ProvisionState as S
from ironlane.store.attachments import of_host
from ironlane.store.provisioning import Phase

PASSWORD = "hashed_rescue_password"  # noqa: S105  # the key, not the password
"""Key in `driver_internal_info`: what the ramdisk's user is to have as its password, as crypt(3) writes it."""


async def rescue(work: Work) -> Result:
    """`rescuing`: off; onto the rescuing network; later off it, verified, and onto the tenant's networks, running."""
    if work.node.step == "leave":
        return await slip_off(work, Done(step="tenant", info={PASSWORD: None}))
    if work.node.step == "tenant":
        policy = work.settings.cabling
        return await work.write(lambda tx: join_tenant(tx, work.node, Done(S.RESCUE), policy, bundled=False))
    return await join_provider(work, Phase.RESCUING, S.RESCUE_WAIT)


async def await_rescued(work: Work) -> Result:
    """`rescue wait`: boot the ramdisk, and have its agent set the password."""
    return await await_ramdisk(work, S.RESCUING, _finalize)


async def _finalize(work: Work) -> Result:
    """The agent's last command: it ends itself after that, so that nobody on the tenant's networks can command it.

    If its answer is lost, it is not known whether the password was set, and asking again is met by silence: the node
    fails, and is rescued again.
    """
    password = work.store.vault.opened(work.node.driver_internal_info).get(PASSWORD)
    if not password:
        return Failed("no rescue password is on record any more; rescue the node again, with one")
    params = {"rescue_password": password, "hashed": True}
    command = await work.agents.run(agent_of(work), "rescue.finalize_rescue", params, wait=True)
    if command.status is not CommandStatus.SUCCEEDED:
        reason = command.error or "it does not say why"
        return Failed(f"the agent did not set the rescue password: {reason}; put it right, then rescue the node again")
    return Done(S.RESCUING, step="leave")


async def unrescue(work: Work) -> Result:
    """`unrescuing`: off all networks, verified, and off; then the tenant's networks as they were, and on."""
    return await return_to_tenant(work)


async def return_to_tenant(work: Work) -> Result:
    """From a ramdisk, or whatever a failure left, to the tenant's networks and the tenant's system."""
    if work.node.step == "tenant":
        return await work.write(lambda tx: join_tenant(tx, work.node, Done(step="start"), work.settings.cabling))
    if work.node.step == "start":
        return await start(work)
    # The switches first, as everywhere: a BMC that does not answer keeps nobody on a network.
    await work.write(lambda tx: unplug_all(tx, work.node))
    await work.power_off()
    left = await work.store.read(lambda tx: of_host(tx, work.node.id))
    if left:
        return Wait(f"{len(left)} switch ports to leave their networks, first {left[0].switch_port}")
    await work.settings.boot.discard(work.node.id)
    if work.node.deploy_interface == "ramdisk":
        return await prepare_ramdisk(work)
    return Done(step="tenant", changes=OFF)
