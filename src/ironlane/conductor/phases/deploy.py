"""Deployment: a server is written on the provisioning network, and then started on its tenant's.

With the deploy interface `ramdisk` nothing is written: the tenant's own ramdisk is booted on the tenant's network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from ironlane.agent.client import Agent, CommandStatus
from ironlane.conductor.phases.agent import (
    Job,
    Listed,
    Step,
    about,
    advance,
    agent_of,
    asked_for,
    by_priority,
    name_of,
    steps_of,
)
from ironlane.conductor.phases.ramdisk import NOBODY, await_ramdisk, join_provider, leave_provider
from ironlane.conductor.phases.tenant import admit, join_tenant, tenant_joined
from ironlane.conductor.work import OFF, ON, Done, Result, Wait, Work
from ironlane.model.errors import IronlaneError, Permanent
from ironlane.model.image import LOOKED_UP, boot_mode, check_image, image_info, is_looked_up, named_image
from ironlane.model.states import ProvisionState as S
from ironlane.power.base import BootDevice, PowerState
from ironlane.store import ports, vifs
from ironlane.store.database import Tx
from ironlane.store.provisioning import Phase
from ironlane.store.ramdisks import AGENT_URL

log = structlog.get_logger(__name__)

ASKED = "user_deploy_steps"
"""Key in `driver_internal_info`: the steps that a client asked for, beside those that have a priority."""

FORGET: Mapping[str, None] = dict.fromkeys(
    (LOOKED_UP, "deploy_steps", "deploy_step_index", "deploy_reboot", "deploy_restarts", "hardware_manager_version")
)

WRITE: Step = {"interface": "deploy", "step": "write_image", "priority": 80}
BOOTLOADER: Step = {"interface": "deploy", "step": "prepare_instance_boot", "priority": 60}
"""Steps of our own, with Ironic's names and priorities."""


async def deploy(work: Work) -> Result:
    """`deploying`: off; onto the provisioning network; later off it, verified; then the tenant's networks; then on."""
    step = work.node.step
    if step == "halt":
        return await _halt(work)
    if step == "leave":
        return await leave_provider(work, Done(step="tenant", changes=OFF, info=FORGET))
    if step == "tenant":
        return await work.write(lambda tx: join_tenant(tx, work.node, Done(step="start"), work.settings.cabling))
    if step == "start":
        return await start(work)
    # What is known to be wrong is told before the server is written, and once more before its tenant's networks.
    held_up = await work.write(lambda tx: admit(tx, work.node, work.settings.cabling))
    if held_up is not None:
        return held_up
    looked_up = await _look_up(work)
    if looked_up is not None:
        return looked_up
    if work.node.deploy_interface == "ramdisk":
        return await prepare_ramdisk(work)
    return await join_provider(work, Phase.PROVISIONING, S.DEPLOY_WAIT)


async def _look_up(work: Work) -> Result | None:
    """What the image service says of an image that is named by its id; None when that is known."""
    image, service = named_image(work.node), work.settings.images
    if work.node.deploy_interface != "direct" or image is None or service is None or is_looked_up(work.node):
        return None
    return Done(info={LOOKED_UP: {"of": image, **await service.find(image)}})


async def await_deployed(work: Work) -> Result:
    """`wait call-back`: boot the ramdisk, and have its agent write the image."""
    return await await_ramdisk(work, S.DEPLOYING, _with_agent)


async def _with_agent(work: Work) -> Result:
    async def done(agent: Agent) -> Result:
        return await _tear_down(work, agent)

    advice = "put it right, then deploy the node again"
    return await advance(work, Job("deploy", work.settings.deploy_timeout, _steps, _order, advice), done)


async def _steps(work: Work, agent: Agent) -> Listed:
    """Ours, and those of the agent that have a priority or that a client asked for."""
    check_image(work.node)
    known = await steps_of(work, agent, "deploy")
    asked = asked_for(known.steps, work.node.driver_internal_info.get(ASKED) or [], "deploy")
    names = {name_of(step) for step in asked}
    own = [WRITE] if _keeps_boot_sector(work) else [WRITE, BOOTLOADER]
    steps = [*own, *asked, *(step for step in known.steps if name_of(step) not in names)]
    return Listed(by_priority(steps), known.version)


def _keeps_boot_sector(work: Work) -> bool:
    """A whole disk that boots by BIOS has its boot loader in it. UEFI has to be told of every new one."""
    info = image_info(work.node, work.node.instance_info)
    return info["image_type"] == "whole-disk" and boot_mode(work.node) == "bios"


async def _order(work: Work, agent: Agent, step: Step) -> tuple[str, Mapping[str, Any]]:
    name, node = name_of(step), work.node
    if name == name_of(WRITE):
        instance = work.store.vault.opened(node.instance_info)
        configdrive = instance.get("configdrive")
        return "standby.prepare_image", {
            "image_info": image_info(node, instance),
            **({"configdrive": configdrive} if configdrive else {}),
        }
    if name == name_of(BOOTLOADER):
        written = await work.agents.run(agent, "standby.get_partition_uuids", {}, wait=True)
        if written.status is not CommandStatus.SUCCEEDED:
            raise Permanent(f"the agent does not tell what it has written: {written.error}")
        return "image.install_bootloader", {
            "root_uuid": written.result.get("root uuid"),
            "efi_system_part_uuid": written.result.get("efi system partition uuid"),
            "prep_boot_part_uuid": written.result.get("PReP Boot partition uuid"),
            "target_boot_mode": boot_mode(node),
        }
    version = node.driver_internal_info.get("hardware_manager_version")
    return "deploy.execute_deploy_step", {"step": dict(step), **await about(work), "deploy_version": version}


async def _tear_down(work: Work, agent: Agent) -> Result:
    """All is written, and on the disk for certain before the ramdisk is shut down."""
    synced = await work.agents.run(agent, "standby.sync", {}, wait=True)
    if synced.status is not CommandStatus.SUCCEEDED:
        raise Permanent(f"the agent could not write its buffers to the disk: {synced.error}; deploy the node again")
    return Done(S.DEPLOYING, step="halt")


async def _halt(work: Work) -> Result:
    """Have the ramdisk shut itself down. Nothing depends on it: what is not off in time has its power cut."""
    began = work.node.provision_updated_at or work.now
    if work.now - began > work.settings.shutdown or await work.power.get_power(work.driver_info) is PowerState.OFF:
        return Done(step="leave")
    if AGENT_URL in work.node.driver_internal_info:
        try:
            await work.agents.run(agent_of(work), "standby.power_off", {})
        except IronlaneError as error:  # it may be off before it has answered
            log.info("ramdisk did not take the order to shut down", node=work.node.label, error=error.message)
        return Done(step="halt", info=NOBODY)
    return Wait("the ramdisk to shut down", work.settings.shutdown / 15)


async def prepare_ramdisk(work: Work) -> Result:
    """The tenant's kernel and ramdisk are made ready, and its ports' DHCP options lead to them, at each boot."""
    await work.power_off()
    options = await work.settings.boot.prepare(work.node, "provisioning")

    def lead_there(tx: Tx) -> Result:
        vifs.remap(tx, work.node)
        for vif in vifs.listed(tx, work.node.id):
            ports.update(tx, vif, {"extra_dhcp_opts": [dict(option) for option in options]})
        return Done(step="tenant", changes=OFF)

    return await work.write(lead_there)


async def start(work: Work) -> Result:
    """Boot on the tenant's networks: before and after it, they must be those that were read back."""
    device = BootDevice.PXE if work.node.deploy_interface == "ramdisk" else BootDevice.DISK
    changes = {**ON, "boot_device": device.value, "boot_device_persistent": True}
    done = Done(S.ACTIVE, changes=changes)
    joined = await work.store.read(lambda tx: tenant_joined(tx, work.node, done))
    if joined is done:
        await work.boot(device, persistent=True)
        joined = await work.store.read(lambda tx: tenant_joined(tx, work.node, done))
    return done if joined is done else Done(step="tenant")  # back: waiting here would boot it again and again
