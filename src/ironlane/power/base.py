"""The contract that every power driver fulfils."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol


class PowerState(StrEnum):
    """What the BMC says of the server, in the Baremetal API's words."""

    ON = "power on"
    OFF = "power off"
    ERROR = "error"


class BootDevice(StrEnum):
    """Where the server boots from next, in the Baremetal API's words."""

    PXE = "pxe"
    DISK = "disk"


class BootMode(StrEnum):
    """How the firmware boots, in the Baremetal API's words."""

    UEFI = "uefi"
    BIOS = "bios"


class PowerDriver(Protocol):
    """Talks to BMCs of one kind; one instance serves all nodes of its kind, many at a time.

    `driver_info` is the node's, as the operator stored it (secrets included; never log it), with the key `node_uuid`
    added by the conductor, so that a driver without a device can tell nodes apart. All conversations raise

    * `ironlane.model.errors.Temporary` when the BMC cannot be reached or answers too late, and
    * `ironlane.model.errors.Permanent` when it refuses (wrong password, unknown device).
    """

    required: frozenset[str]
    """Keys that `driver_info` must have."""
    properties: Mapping[str, str]
    """Every key of `driver_info` that the driver understands, with what it means."""

    def validate(self, driver_info: Mapping[str, Any]) -> None:
        """Raise `Invalid` naming the field when `driver_info` cannot work. Talks to nobody."""
        ...

    async def get_power(self, driver_info: Mapping[str, Any]) -> PowerState: ...

    async def set_power(self, driver_info: Mapping[str, Any], state: PowerState, timeout: float | None = None) -> None:
        """Ask for the state and return when the BMC *reports* it. Asking for what already is does nothing.

        `timeout`: after so many seconds it is given up; None: the driver's own patience.
        """
        ...

    async def shut_down(self, driver_info: Mapping[str, Any]) -> None:
        """Have the operating system asked to shut down, as by the power button; returns when the BMC has taken that."""
        ...

    async def reboot(self, driver_info: Mapping[str, Any], timeout: float | None = None) -> None:
        """Off (if on), then on; returns when the BMC reports on."""
        ...

    async def get_boot_device(self, driver_info: Mapping[str, Any]) -> BootDevice | None: ...

    async def set_boot_device(
        self,
        driver_info: Mapping[str, Any],
        device: BootDevice,
        *,
        persistent: bool = False,
        mode: BootMode | None = None,
    ) -> None:
        """For the next boot or for all. `mode` None: as it is."""
        ...

    async def close(self) -> None: ...
