"""The agent's work, step by step: which are due, which is under way, and what came of it.

The list is kept in `driver_internal_info` (`clean_steps`, `clean_step_index`; `deploy_…`), so that a conductor that
takes over goes on where the other one stopped. Whether a step was begun is asked of the agent itself, which lists the
commands of its boot: a command whose answer was lost is not given twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from ironlane.agent.client import Agent, Command, CommandStatus
from ironlane.conductor.work import Done, Failed, Result, Wait, Work
from ironlane.model.errors import Permanent
from ironlane.model.secrets import masked
from ironlane.store import baremetal_ports
from ironlane.store.ramdisks import AGENT_CA, AGENT_TOKEN, AGENT_URL, LAST_COMMAND

Step = Mapping[str, Any]
"""A step as the agent and the Baremetal API know it: `{interface, step, priority, reboot_requested?, args?}`."""

STEPS = "steps"
"""The node's `step` while the agent goes through the list."""

_RESTARTS = 2
"""How often the list is begun anew because the ramdisk is another one than it was."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The steps that an agent will be taken through, in order, and the version of the ramdisk that they are from."""

    steps: Sequence[Step]
    version: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job:
    """A kind of work of the agent's.

    `kind` is `clean`, `deploy` or `service`; `limit` how long all of it may take. `steps` finds out what is to
    be done, `order` the command and the parameters for one step. `advice` is what an operator does after a failure.
    """

    kind: str
    limit: timedelta
    steps: Callable[[Work, Agent], Awaitable[Listed]]
    order: Callable[[Work, Agent, Step], Awaitable[tuple[str, Mapping[str, Any]]]]
    advice: str

    def key(self, name: str) -> str:
        """Key in `driver_internal_info`."""
        return f"{self.kind}_{name}"


async def advance(work: Work, job: Job, done: Callable[[Agent], Awaitable[Result]]) -> Result:
    """Do the next thing of a job; `done` follows when there is nothing left."""
    node, info, agent = work.node, work.node.driver_internal_info, agent_of(work)
    if work.now - (node.provision_updated_at or work.now) > job.limit:
        return Failed(f"the agent was at work for longer than {job.limit}; {job.advice}")
    if node.step != STEPS:
        if info.get(job.key("reboot")):  # a step asked for it: on with the list, in another boot
            return Done(step=STEPS, info={job.key("reboot"): None})
        listed = await job.steps(work, agent)
        return Done(
            step=STEPS,
            info={
                job.key("steps"): [dict(step) for step in listed.steps],
                job.key("step_index"): 0,
                "hardware_manager_version": dict(listed.version),
            },
        )
    steps, index = info.get(job.key("steps")) or [], int(info.get(job.key("step_index")) or 0)
    if index >= len(steps):
        return await done(agent)
    step = steps[index]
    command = await _given(work, agent, job, step, index)
    if command is None:
        name, params = await job.order(work, agent, step)
        command = await work.agents.run(agent, name, params)
        if command.status is CommandStatus.RUNNING:
            return Done(step=STEPS, info={LAST_COMMAND: {"id": command.id, "index": index}})
    return _outcome(work, job, step, command)


async def _given(work: Work, agent: Agent, job: Job, step: Step, index: int) -> Command | None:
    """The command that the agent was given for a step; None if it was given none."""
    commands = await work.agents.commands(agent)
    recorded = work.node.driver_internal_info.get(LAST_COMMAND) or {}
    if recorded.get("index") == index:
        found = next((command for command in commands if command.id == recorded.get("id")), None)
        if found is None:
            raise Permanent(
                f"the agent knows nothing any more of {job.kind} step {name_of(step)}, which it was at: it was started"
                f" anew; look at the server's console, then {job.advice}"
            )
        return found
    # The answer to the order may have been lost with a conductor. What is listed was given after the step before.
    latest = commands[-1] if commands else None
    if latest is None or latest.id == recorded.get("id") or not _is_order(latest, step):
        return None
    return latest


def _is_order(command: Command, step: Step) -> bool:
    if command.name in {"execute_clean_step", "execute_deploy_step", "execute_service_step"}:
        given = command.params.get("step")
        return isinstance(given, Mapping) and name_of(given) == name_of(step)
    return command.name == ORDERS.get(name_of(step))


ORDERS: Mapping[str, str] = {
    "deploy.write_image": "prepare_image",
    "deploy.prepare_instance_boot": "install_bootloader",
}
"""Steps of our own, and the commands that they are for the agent."""


def _outcome(work: Work, job: Job, step: Step, command: Command) -> Result:
    info = work.node.driver_internal_info
    steps, index = info.get(job.key("steps")) or [], int(info.get(job.key("step_index")) or 0)
    if command.status is CommandStatus.RUNNING:
        doing = f"the agent: {job.kind} step {name_of(step)}, {index + 1} of {len(steps)}"
        return Wait(doing, min(work.settings.agent_poll, work.settings.agent_silence))
    if command.status is CommandStatus.SUCCEEDED:
        following = {job.key("step_index"): index + 1, LAST_COMMAND: {"id": command.id, "index": index}}
        if step.get("reboot_requested"):
            return Done(step=None, info={**following, job.key("reboot"): True})
        return Done(step=STEPS, info=following)
    restarts = int(info.get(job.key("restarts")) or 0)
    if command.status is CommandStatus.VERSION_MISMATCH and restarts < _RESTARTS:
        return Done(step="booted", info={job.key("restarts"): restarts + 1, LAST_COMMAND: None})
    reason = command.error or "it does not say why"
    return Failed(f"{job.kind} step {name_of(step)} failed on the server: {reason}; {job.advice}")


def agent_of(work: Work) -> Agent:
    """The agent on the node, as its heartbeats told.

    Raises:
        Permanent: its token cannot be read; the encryption key has changed.
    """
    info = work.store.vault.opened(work.node.driver_internal_info)
    verify = work.node.driver_info.get("agent_verify_ca", True)
    words = {"true": True, "false": False}
    verify = words.get(verify.lower(), verify) if isinstance(verify, str) else bool(verify)
    return Agent(str(info[AGENT_URL]), str(info.get(AGENT_TOKEN) or ""), str(info.get(AGENT_CA) or ""), verify)


async def about(work: Work) -> dict[str, Any]:
    """`node` and `ports` as the agent's steps want them, without secrets."""
    node = work.node
    ports = await work.store.read(lambda tx: baremetal_ports.of_node(tx, node.id))
    return {
        "node": {
            "uuid": node.id,
            "name": node.name,
            "driver": node.driver,
            "driver_info": masked(node.driver_info),
            "driver_internal_info": {**_ERASURE, **masked(node.driver_internal_info)},
            "instance_info": masked(node.instance_info),
            "instance_uuid": node.instance_uuid,
            "properties": dict(node.properties),
            "extra": dict(node.extra),
            "provision_state": node.provision_state.value,
        },
        "ports": [
            {"uuid": port.id, "address": port.address, "pxe_enabled": port.pxe_enabled, "extra": dict(port.extra)}
            for port in ports
        ],
    }


_ERASURE = {
    "agent_erase_devices_iterations": 1,
    "agent_erase_devices_zeroize": True,
    "agent_continue_if_secure_erase_failed": False,
    "agent_continue_if_ata_erase_failed": False,
    "agent_enable_nvme_secure_erase": True,
    "agent_enable_ata_secure_erase": True,
    "agent_erase_skip_read_only": False,
    "disk_erasure_concurrency": 4,
}
"""How the agent erases disks, unless the node says otherwise: Ironic's defaults."""


def name_of(step: Step) -> str:
    """`deploy.erase_devices`."""
    return f"{step.get('interface') or 'deploy'}.{step.get('step')}"


async def steps_of(work: Work, agent: Agent, kind: str) -> Listed:
    """All steps that the agent has for a kind of work, whatever their priority.

    Raises:
        Permanent: it does not tell them, or not in a form that is understood.
    """
    command = await work.agents.run(agent, f"{kind}.get_{kind}_steps", await about(work), wait=True)
    managers = command.result.get(f"{kind}_steps")
    if command.status is not CommandStatus.SUCCEEDED or not isinstance(managers, Mapping):
        raise Permanent(f"the agent does not tell its {kind} steps: {command.error or 'the answer has none'}")
    found = []
    for steps in managers.values():
        for step in steps if isinstance(steps, list) else []:
            if not isinstance(step, Mapping) or not isinstance(step.get("step"), str):
                raise Permanent(f"the agent tells a {kind} step without a name")
            found.append({"interface": "deploy", **step})
    version = command.result.get("hardware_manager_version")
    return Listed(found, version if isinstance(version, Mapping) else {})


def asked_for(steps: Sequence[Step], asked: Sequence[Step], kind: str) -> list[Step]:
    """The steps that a client named, with its arguments.

    Raises:
        Permanent: the agent does not have one.
    """
    known = {name_of(step): step for step in steps}
    missing = [name_of(step) for step in asked if name_of(step) not in known]
    if missing:
        raise Permanent(
            f"the agent has no {kind} step {missing[0]}; it has {', '.join(sorted(known)) or 'none'}. Name one of"
            " those, or boot a ramdisk that has it"
        )
    return [{**known[name_of(step)], **step} for step in asked]


def by_priority(steps: Sequence[Step]) -> list[Step]:
    """Those with a priority, the highest first."""
    return sorted((step for step in steps if _priority(step) > 0), key=lambda s: (-_priority(s), name_of(s)))


def _priority(step: Step) -> int:
    value = step.get("priority")
    return value if isinstance(value, int) else 0
