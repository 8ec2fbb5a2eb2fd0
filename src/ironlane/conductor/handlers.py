"""What is done in each state of a node's life: one handler a state, each idempotent.

A handler looks at the node, does the next thing, and says what follows: `Done` (go on, to a state and a step in it),
`Wait` (for a row or an event), `Retry` (with back-off) or `Failed`. It may be run again at any point, because the
process may have died at any point; so it asks for what should be, never for a change.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from ironlane.boot.dhcp_options import BootSettings, pxe_options
from ironlane.model.errors import IronlaneError, Permanent
from ironlane.model.node import Node
from ironlane.model.states import ProvisionState
from ironlane.power.base import BootDevice, PowerDriver, PowerState
from ironlane.store import provisioning, vifs
from ironlane.store.attachments import of_host
from ironlane.store.database import Store, Transaction, Tx
from ironlane.store.nodes import NEW_BOOT, forget_ramdisk
from ironlane.store.provisioning import Phase

S = ProvisionState
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Done:
    """Go on at once: to `state` (None: stay), at `step` in it. `changes` are written with it."""

    state: ProvisionState | None = None
    step: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wait:
    """Look again when something of the node changes, or after `delay` at the latest."""

    reason: str
    delay: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Retry:
    """Something did not work now: again, with back-off."""

    error: IronlaneError


@dataclass(frozen=True, slots=True)
class Failed:
    """It will not work: the node goes to the state's failure state with this as `last_error`."""

    reason: str


Result = Done | Wait | Retry | Failed


@dataclass(frozen=True, slots=True)
class LifecycleSettings:
    """A conductor's own networks and patience. A node's `driver_info` may name other networks."""

    cleaning_network: str = "cleaning"
    provisioning_network: str = "provisioning"
    report_timeout: timedelta = timedelta(minutes=30)
    """How long a booted server may take for its report."""
    first_retry: timedelta = timedelta(seconds=1)
    last_retry: timedelta = timedelta(minutes=1)
    attempts: int = 8
    """How often a step is tried while the out-of-band side fails, before the node is failed."""
    boot: BootSettings = field(default_factory=BootSettings)


@dataclass(frozen=True, slots=True)
class Work:
    """All that a handler may use: the node as it was read, its power driver, the rows.

    `guard` raises Temporary once the node is another conductor's, or a client has asked for something else: a handler
    may be far behind, when a BMC takes its time, and must not do then what nobody wants any more.
    """

    node: Node
    power: PowerDriver
    store: Store
    settings: LifecycleSettings
    guard: Transaction[None]

    @property
    def now(self) -> datetime:
        return self.store.now()

    @property
    def driver_info(self) -> Mapping[str, Any]:
        """What the power driver is given: the operator's `driver_info`, and which node it is."""
        return {**self.node.driver_info, "node_uuid": self.node.id}

    async def write(self, change: Transaction[T]) -> T:
        """Change rows, if the node is still to be worked on as it was read."""

        def guarded(tx: Tx) -> T:
            self.guard(tx)
            return change(tx)

        return await self.store.write(guarded)

    async def power_off(self) -> None:
        await self._set_power(PowerState.OFF)

    async def boot(self, device: BootDevice, *, persistent: bool) -> None:
        """Off, then on from the device: whatever ran before is not what runs after."""
        await self.power_off()
        await self.power.set_boot_device(self.driver_info, device, persistent=persistent)
        await self._set_power(PowerState.ON)

    async def _set_power(self, state: PowerState) -> None:
        await self.store.read(self.guard)
        await self.power.set_power(self.driver_info, state)

    def network(self, phase: Phase) -> str:
        """Name or UUID of the network of a phase: the node's own, else the conductor's."""
        if phase is Phase.CLEANING:
            return str(self.node.driver_info.get("cleaning_network") or self.settings.cleaning_network)
        return str(self.node.driver_info.get("provisioning_network") or self.settings.provisioning_network)


ON, OFF = {"power_state": PowerState.ON.value}, {"power_state": PowerState.OFF.value}


async def verify(work: Work) -> Result:
    """`verifying`: the BMC answers with the credentials given."""
    work.power.validate(work.driver_info)
    state = await work.power.get_power(work.driver_info)
    return Done(S.MANAGEABLE, changes={"power_state": state.value})


async def clean(work: Work) -> Result:
    """`cleaning`: off; onto the cleaning network; later off it again, and only then available."""
    if work.node.step == "leave":
        return await _leave_provider(work, Done(work.node.target_provision_state or S.AVAILABLE, changes=OFF))
    return await _join_provider(work, Phase.CLEANING, S.CLEAN_WAIT)


async def await_cleaned(work: Work) -> Result:
    """`clean wait`: boot the ramdisk, then wait for its report."""
    return await _boot_and_wait(work, S.CLEANING)


async def deploy(work: Work) -> Result:
    """`deploying`: off; onto the provisioning network; later off it, verified; then the tenant's networks; then on."""
    if work.node.step == "leave":
        return await _leave_provider(work, Done(step="tenant", changes=OFF))
    if work.node.step == "tenant":
        return await work.write(lambda tx: _join_tenant(tx, work.node, Done(step="start")))
    if work.node.step == "start":
        return await _start(work)
    return await _join_provider(work, Phase.PROVISIONING, S.DEPLOY_WAIT)


async def await_deployed(work: Work) -> Result:
    """`wait call-back`: boot the ramdisk, then wait for its report."""
    return await _boot_and_wait(work, S.DEPLOYING)


async def delete(work: Work) -> Result:
    """`deleting`: off, and off every network; then cleaned for the next tenant."""
    # The switches first: a server whose BMC does not answer must not stay on its tenant's networks for that.
    await work.write(lambda tx: _unplug_all(tx, work.node))
    await work.power_off()
    left = await work.store.read(lambda tx: of_host(tx, work.node.id))
    if left:
        return Wait(f"{len(left)} switch ports to leave their networks, first {left[0].switch_port}")
    await work.write(lambda tx: vifs.detach_all(tx, work.node))
    following = S.CLEANING if work.node.automated_clean else S.AVAILABLE
    return Done(following, changes={**OFF, "instance_uuid": None, "instance_info": {}})


async def adopt(work: Work) -> Result:
    """`adopting`: take over a server that runs already; its switch ports are put right, it is not rebooted."""
    work.power.validate(work.driver_info)
    state = await work.power.get_power(work.driver_info)
    done = Done(S.ACTIVE, changes={"power_state": state.value})
    return await work.write(lambda tx: _join_tenant(tx, work.node, done))


async def tidy(work: Work) -> Result:
    """After a failure or an abort: nothing of the node stays on any network. It is left running, to be looked at."""
    await work.write(lambda tx: _unplug_all(tx, work.node))
    return Done()


async def tidy_boot(work: Work) -> Result:
    """`manageable`: the node may have come here before it was tidied up; no ramdisk's network is left for it."""
    await work.write(lambda tx: provisioning.unplug(tx, work.node))
    return Done()


HANDLERS: Mapping[ProvisionState, Callable[[Work], Awaitable[Result]]] = {
    S.VERIFYING: verify,
    S.MANAGEABLE: tidy_boot,
    S.CLEANING: clean,
    S.CLEAN_WAIT: await_cleaned,
    S.CLEAN_FAILED: tidy,
    S.DEPLOYING: deploy,
    S.DEPLOY_WAIT: await_deployed,
    S.DEPLOY_FAILED: tidy,
    S.DELETING: delete,
    S.ERROR: tidy,
    S.ADOPTING: adopt,
}
"""The state table. In states without a handler there is nothing to do."""


# --- pieces that several states share --------------------------------------------------------------------------


async def _join_provider(work: Work, phase: Phase, waiting: ProvisionState) -> Result:
    await work.power_off()
    options = pxe_options(work.settings.boot)

    def join(tx: Tx) -> Result:
        vifs.unplug(tx, work.node)
        if phase is Phase.PROVISIONING:
            vifs.remap(tx, work.node)  # priorities may have changed since the VIFs were attached
        port = provisioning.plug(tx, work.node, phase, work.network(phase), options)
        status, reason = provisioning.status_of(tx, port)
        if status != "ACTIVE":
            return Wait(f"provision port {port}: {reason}")
        return Done(waiting, changes={**OFF, **NEW_BOOT})

    return await work.write(join)


async def _boot_and_wait(work: Work, following: ProvisionState) -> Result:
    node = work.node
    if node.step != "booted":
        # This may be the second time, after a crash: then a ramdisk may be running, and have its token.
        await work.power_off()
        await work.write(lambda tx: forget_ramdisk(tx, node.id))
        await work.boot(BootDevice.PXE, persistent=False)
        return Done(step="booted", changes={**ON, "boot_device": BootDevice.PXE.value})
    if node.agent_report == "end":
        return Done(following, step="leave")
    if node.agent_report == "error":
        return Failed(f"the ramdisk reported: {node.agent_message or 'an error without a message'}")
    began = node.agent_seen_at if node.agent_report else node.provision_updated_at
    left = work.settings.report_timeout - (work.now - (began or work.now))
    if left <= timedelta(0):
        return Failed(
            f"no report from the ramdisk within {work.settings.report_timeout}; look at the server's console:"
            " does it boot over PXE, and from the right NIC?"
        )
    return Wait("the ramdisk's report", min(left, timedelta(seconds=10)))


async def _leave_provider(work: Work, done: Done) -> Result:
    await work.power_off()
    await work.write(lambda tx: provisioning.unplug(tx, work.node))
    left = await work.store.read(lambda tx: provisioning.on_provider_networks(tx, work.node))
    if left:
        return Wait(f"{left[0].switch_port} to leave VLAN {left[0].vlan}")
    return done


async def _start(work: Work) -> Result:
    """Boot from disk on the tenant's networks: before and after it, they must be those that were read back."""
    changes = {**ON, "boot_device": BootDevice.DISK.value, "boot_device_persistent": True}
    done = Done(S.ACTIVE, changes=changes)
    joined = await work.store.read(lambda tx: _tenant_joined(tx, work.node, done))
    if joined is done:
        await work.boot(BootDevice.DISK, persistent=True)
        joined = await work.store.read(lambda tx: _tenant_joined(tx, work.node, done))
    return done if joined is done else Done(step="tenant")  # back: waiting here would boot it again and again


def _join_tenant(tx: Tx, node: Node, done: Done) -> Result:
    vifs.plug(tx, node)
    return _tenant_joined(tx, node, done)


def _tenant_joined(tx: Tx, node: Node, done: Done) -> Result:
    for vif in vifs.listed(tx, node.id):
        status, reason = provisioning.status_of(tx, vif)
        if status != "ACTIVE":
            return Wait(f"tenant port {vif}: {reason}")
    return done


def _unplug_all(tx: Tx, node: Node) -> None:
    vifs.unplug(tx, node)
    provisioning.unplug(tx, node)


def power_driver(drivers: Mapping[str, PowerDriver], node: Node) -> PowerDriver:
    """The driver that a node names.

    Raises:
        Permanent: this conductor does not have it.
    """
    if node.driver not in drivers:
        raise Permanent(f"driver {node.driver!r} of node {node.label} is not known; known are {', '.join(drivers)}")
    return drivers[node.driver]
