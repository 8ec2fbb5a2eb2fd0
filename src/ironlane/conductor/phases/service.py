"""Servicing: a deployed server leaves its tenant's networks for a while, and its agent takes service steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ironlane.agent.client import Agent
from ironlane.conductor.phases.agent import Job, Listed, Step, about, advance, asked_for, steps_of
from ironlane.conductor.phases.ramdisk import await_ramdisk, join_provider, leave_provider
from ironlane.conductor.phases.rescue import return_to_tenant
from ironlane.conductor.work import OFF, Done, Result, Work
from ironlane.model.states import ProvisionState as S
from ironlane.store.provisioning import Phase

ASKED = "user_service_steps"
"""Key in `driver_internal_info`: the steps that a client asked for. Without any the node only goes back."""

FORGET: Mapping[str, None] = dict.fromkeys(
    ("service_steps", "service_step_index", "service_reboot", "service_restarts", "hardware_manager_version", ASKED)
)


async def service(work: Work) -> Result:
    """`servicing`: off; onto the servicing network; later off it, verified; then the tenant's networks, and on."""
    if work.node.step == "leave":
        return await leave_provider(work, Done(step="return", changes=OFF, info=FORGET))
    if work.node.step is None and work.node.driver_internal_info.get(ASKED):
        return await join_provider(work, Phase.SERVICING, S.SERVICE_WAIT)
    return await return_to_tenant(work)


async def await_serviced(work: Work) -> Result:
    """`service wait`: boot the ramdisk, and have its agent take the steps."""
    return await await_ramdisk(work, S.SERVICING, _with_agent)


async def _with_agent(work: Work) -> Result:
    async def done(_agent: Agent) -> Result:
        return Done(S.SERVICING, step="leave")

    advice = "put it right, then service the node again, or abort to have it back as it is"
    return await advance(work, Job("service", work.settings.service_timeout, _steps, _order, advice), done)


async def _steps(work: Work, agent: Agent) -> Listed:
    known = await steps_of(work, agent, "service")
    asked = work.node.driver_internal_info.get(ASKED) or []
    return Listed(asked_for(known.steps, asked, "service"), known.version)


async def _order(work: Work, _agent: Agent, step: Step) -> tuple[str, Mapping[str, Any]]:
    version = work.node.driver_internal_info.get("hardware_manager_version")
    return "service.execute_service_step", {"step": dict(step), **await about(work), "service_version": version}
