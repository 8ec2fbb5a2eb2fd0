"""Taking a server into care: its BMC is tried, it is adopted, and what a failure left behind is cleared away."""

from __future__ import annotations

from ironlane.conductor.phases.rescue import PASSWORD
from ironlane.conductor.phases.tenant import join_tenant, unplug_all
from ironlane.conductor.work import Done, Result, Work
from ironlane.model.states import ProvisionState as S
from ironlane.store import provisioning


async def verify(work: Work) -> Result:
    """`verifying`: the BMC answers with the credentials given."""
    work.power.validate(work.driver_info)
    state = await work.power.get_power(work.driver_info)
    return Done(S.MANAGEABLE, changes={"power_state": state.value})


async def adopt(work: Work) -> Result:
    """`adopting`: take over a server that runs already; its switch ports are put right, it is not rebooted."""
    work.power.validate(work.driver_info)
    state = await work.power.get_power(work.driver_info)
    done = Done(S.ACTIVE, changes={"power_state": state.value})
    return await work.write(lambda tx: join_tenant(tx, work.node, done, work.settings.cabling))


async def tidy(work: Work) -> Result:
    """After a failure or an abort: nothing of the node stays on any network. It is left running, to be looked at."""
    await work.write(lambda tx: unplug_all(tx, work.node))
    await work.settings.boot.discard(work.node.id)
    return Done(info={PASSWORD: None})


async def tidy_boot(work: Work) -> Result:
    """`manageable`: the node may have come here before it was tidied up; no ramdisk's network is left for it."""
    await work.write(lambda tx: provisioning.unplug(tx, work.node))
    await work.settings.boot.discard(work.node.id)
    return Done()
