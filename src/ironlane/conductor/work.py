"""What a handler of the lifecycle loop is given, and what it may answer.

A handler looks at the node, does the next thing, and says what follows: `Done` (go on, to a state and a step in it),
`Wait` (for a row or an event), `Retry` (with back-off) or `Failed`. It may be run again at any point, because the
process may have died at any point; so it asks for what should be, never for a change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from ironlane.agent.client import AgentClient
from ironlane.boot.image_service import ImageService
from ironlane.boot.network_boot import FixedBoot, NetworkBoot
from ironlane.model.cabling import CablingPolicy
from ironlane.model.errors import IronlaneError, Permanent
from ironlane.model.node import Node
from ironlane.model.states import ProvisionState
from ironlane.power.base import BootDevice, BootMode, PowerDriver, PowerState
from ironlane.store.database import Store, Transaction, Tx
from ironlane.store.inspection import AddPorts
from ironlane.store.provisioning import Phase

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Done:
    """Go on at once: to `state` (None: stay), at `step` in it. `changes` are columns that are written with it, `info`
    keys of `driver_internal_info` (None: off). `again`: look at once even where the loop has nothing to do."""

    state: ProvisionState | None = None
    step: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)
    again: bool = False


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
    inspection_network: str = ""
    """Empty: the cleaning network."""
    rescuing_network: str = ""
    """Empty: the provisioning network."""
    servicing_network: str = ""
    """Empty: the provisioning network."""
    add_ports: AddPorts = AddPorts.ALL
    """Which NICs of an inspected server become baremetal ports."""
    cabling: CablingPolicy = field(default_factory=CablingPolicy)
    report_timeout: timedelta = timedelta(minutes=30)
    """How long a booted server may take for its report, or until its agent is heard of."""
    agent_silence: timedelta = timedelta(minutes=5)
    """How long an agent at work may be silent; it is told to send heartbeats several times in this span."""
    agent_poll: timedelta = timedelta(minutes=3)
    """After how long without a heartbeat an agent at work is asked how far it is: one that it sent may have been lost.
    It sends one more when it is done."""
    clean_timeout: timedelta = timedelta(hours=24)
    deploy_timeout: timedelta = timedelta(hours=2)
    service_timeout: timedelta = timedelta(hours=24)
    """How long the agent may work in all."""
    shutdown: timedelta = timedelta(seconds=30)
    """How long a ramdisk may take to shut itself down before the power is cut."""
    clean_priorities: Mapping[str, int] = field(default_factory=dict)
    """Priorities of the agent's clean steps other than its own ones; 0 leaves a step out."""
    soft_timeout: timedelta = timedelta(minutes=10)
    """How long an operating system may take to shut down when a client gives no timeout."""
    first_retry: timedelta = timedelta(seconds=1)
    last_retry: timedelta = timedelta(minutes=1)
    attempts: int = 8
    """How often a step is tried while the out-of-band side fails, before the node is failed."""
    boot: NetworkBoot = field(default_factory=FixedBoot)
    images: ImageService | None = None
    """Where images that are named by their id are looked up; None: nowhere."""


@dataclass(frozen=True, slots=True)
class Work:
    """All that a handler may use: the node as it was read, its power driver, the rows.

    `guard` raises Temporary once the node is another conductor's, or a client has asked for something else: a handler
    may be far behind, when a BMC takes its time, and must not do then what nobody wants any more.
    """

    node: Node
    power: PowerDriver
    agents: AgentClient
    store: Store
    settings: LifecycleSettings
    guard: Transaction[None]

    @property
    def now(self) -> datetime:
        return self.store.now()

    @property
    def driver_info(self) -> Mapping[str, Any]:
        """What the power driver is given: the operator's `driver_info` with its secrets, and which node it is.

        Raises:
            Permanent: a secret cannot be read; the encryption key has changed.
        """
        return {**self.store.vault.opened(self.node.driver_info), "node_uuid": self.node.id}

    async def write(self, change: Transaction[T]) -> T:
        """Change rows, if the node is still to be worked on as it was read."""

        def guarded(tx: Tx) -> T:
            self.guard(tx)
            return change(tx)

        return await self.store.write(guarded)

    @property
    def boot_mode(self) -> BootMode | None:
        """UEFI or BIOS if the node's capabilities say which; else it stays as the BMC has it."""
        asked = self.node.capabilities.get("boot_mode")
        return BootMode(asked) if asked in set(BootMode) else None

    async def power_off(self) -> None:
        await self._set_power(PowerState.OFF)

    async def boot(self, device: BootDevice, *, persistent: bool) -> None:
        """Off, then on from the device: whatever ran before is not what runs after."""
        await self.power_off()
        await self.power.set_boot_device(self.driver_info, device, persistent=persistent, mode=self.boot_mode)
        await self._set_power(PowerState.ON)

    async def _set_power(self, state: PowerState) -> None:
        await self.store.read(self.guard)
        await self.power.set_power(self.driver_info, state)

    def network(self, phase: Phase) -> str:
        """Name or UUID of the network of a phase: the node's own, else the conductor's."""
        name = f"{phase.name.lower()}_network"
        own = self.node.driver_info.get(name) or getattr(self.settings, name)
        return str(own) if own else self.network(_INSTEAD[phase])


_INSTEAD: Mapping[Phase, Phase] = {
    Phase.INSPECTION: Phase.CLEANING,
    Phase.RESCUING: Phase.PROVISIONING,
    Phase.SERVICING: Phase.PROVISIONING,
}
"""Phases that need no network of their own, and whose they use then."""

ON, OFF = {"power_state": PowerState.ON.value}, {"power_state": PowerState.OFF.value}


def power_driver(drivers: Mapping[str, PowerDriver], node: Node) -> PowerDriver:
    """The driver that a node names.

    Raises:
        Permanent: this conductor does not have it.
    """
    if node.driver not in drivers:
        raise Permanent(f"driver {node.driver!r} of node {node.label} is not known; known are {', '.join(drivers)}")
    return drivers[node.driver]
