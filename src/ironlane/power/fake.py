"""The driver that only remembers, for nodes that have no BMC. No machine is behind it: nothing is ever switched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ironlane.model.errors import Invalid
from ironlane.power.base import BootDevice, BootMode, PowerState


class FakePower:
    """Ironic's `fake-hardware`: answers with what it was last told, and says "power off" until told anything.

    The memory is this process's, so a restart or a change of the owning conductor forgets it. Nodes are told apart by
    `fake_machine`, else by `node_uuid`, which the conductor adds to what it passes; with neither they share one state.
    """

    required: frozenset[str] = frozenset()
    properties: Mapping[str, str] = {
        "fake_machine": "Name of the pretended machine; nodes that give the same name share one power state. Optional.",
    }

    def __init__(self) -> None:
        self._power: dict[str, PowerState] = {}
        self._boot: dict[str, BootDevice] = {}

    def validate(self, driver_info: Mapping[str, Any]) -> None:
        """Raise `Invalid` when `fake_machine` is not a string."""
        if not isinstance(driver_info.get("fake_machine", ""), str):
            raise Invalid("must be a string", field="driver_info.fake_machine")

    async def get_power(self, driver_info: Mapping[str, Any]) -> PowerState:
        return self._power.get(_machine(driver_info), PowerState.OFF)

    async def set_power(
        self,
        driver_info: Mapping[str, Any],
        state: PowerState,
        timeout: float | None = None,  # noqa: ARG002 - it takes no time
    ) -> None:
        if state is PowerState.ERROR:
            raise Invalid("A server can be set to 'power on' or 'power off', not to 'error'")
        self._power[_machine(driver_info)] = state

    async def shut_down(self, driver_info: Mapping[str, Any]) -> None:
        self._power[_machine(driver_info)] = PowerState.OFF

    async def reboot(self, driver_info: Mapping[str, Any], timeout: float | None = None) -> None:  # noqa: ARG002
        self._power[_machine(driver_info)] = PowerState.ON

    async def get_boot_device(self, driver_info: Mapping[str, Any]) -> BootDevice | None:
        return self._boot.get(_machine(driver_info))

    async def set_boot_device(
        self,
        driver_info: Mapping[str, Any],
        device: BootDevice,
        *,
        persistent: bool = False,  # noqa: ARG002 - without boots there is no "next boot only"
        mode: BootMode | None = None,  # noqa: ARG002 - nor firmware
    ) -> None:
        self._boot[_machine(driver_info)] = device

    async def close(self) -> None:
        """Forget everything."""
        self._power.clear()
        self._boot.clear()


def _machine(driver_info: Mapping[str, Any]) -> str:
    return str(driver_info.get("fake_machine") or driver_info.get("node_uuid") or "")
