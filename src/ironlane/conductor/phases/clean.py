"""Cleaning: a server is wiped on the cleaning network, between one tenant and the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ironlane.agent.client import Agent
from ironlane.conductor.phases.agent import Job, Listed, Step, about, advance, asked_for, by_priority, name_of, steps_of
from ironlane.conductor.phases.ramdisk import await_ramdisk, join_provider, leave_provider
from ironlane.conductor.work import OFF, Done, Result, Work
from ironlane.model.states import ProvisionState as S
from ironlane.store.provisioning import Phase

ASKED = "user_clean_steps"
"""Key in `driver_internal_info`: the steps that a client asked for with target `clean`."""

FORGET: Mapping[str, None] = dict.fromkeys(
    ("clean_steps", "clean_step_index", "clean_reboot", "clean_restarts", "hardware_manager_version", ASKED)
)


async def clean(work: Work) -> Result:
    """`cleaning`: off; onto the cleaning network; later off it again, and only then available."""
    automated = work.node.target_provision_state is not S.MANAGEABLE
    if work.node.step == "leave" or (automated and not work.node.automated_clean):
        done = Done(work.node.target_provision_state or S.AVAILABLE, changes=OFF, info=FORGET)
        return await leave_provider(work, done)
    return await join_provider(work, Phase.CLEANING, S.CLEAN_WAIT)


async def await_cleaned(work: Work) -> Result:
    """`clean wait`: boot the ramdisk, and have its agent wipe the server step by step."""
    return await await_ramdisk(work, S.CLEANING, _with_agent)


async def _with_agent(work: Work) -> Result:
    async def done(_agent: Agent) -> Result:
        return Done(S.CLEANING, step="leave")

    advice = "put it right, then manage and provide the node again"
    return await advance(work, Job("clean", work.settings.clean_timeout, _steps, _order, advice), done)


async def _steps(work: Work, agent: Agent) -> Listed:
    """Those that a client asked for; else all that have a priority."""
    known = await steps_of(work, agent, "clean")
    if work.node.target_provision_state is S.MANAGEABLE:
        asked = work.node.driver_internal_info.get(ASKED) or []
        return Listed(asked_for(known.steps, asked, "clean"), known.version)
    chosen = work.settings.clean_priorities
    steps = [
        {**step, "priority": chosen.get(name_of(step), chosen.get(str(step["step"]), step.get("priority")))}
        for step in known.steps
    ]
    return Listed(by_priority(steps), known.version)


async def _order(work: Work, _agent: Agent, step: Step) -> tuple[str, Mapping[str, Any]]:
    version = work.node.driver_internal_info.get("hardware_manager_version")
    return "clean.execute_clean_step", {"step": dict(step), **await about(work), "clean_version": version}
