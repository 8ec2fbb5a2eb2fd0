"""Cleaning: a server is wiped on the cleaning network, between one tenant and the next."""

from __future__ import annotations

from ironlane.conductor.phases.ramdisk import boot_and_wait, join_provider, leave_provider
from ironlane.conductor.work import OFF, Done, Result, Work
from ironlane.model.states import ProvisionState as S
from ironlane.store.provisioning import Phase


async def clean(work: Work) -> Result:
    """`cleaning`: off; onto the cleaning network; later off it again, and only then available."""
    if work.node.step == "leave":
        return await leave_provider(work, Done(work.node.target_provision_state or S.AVAILABLE, changes=OFF))
    return await join_provider(work, Phase.CLEANING, S.CLEAN_WAIT)


async def await_cleaned(work: Work) -> Result:
    """`clean wait`: boot the ramdisk, then wait for its report."""
    return await boot_and_wait(work, S.CLEANING)
