"""What a BMC can do to the machine it sits in: the seam between `lab.bmc` and `lab.server`."""

from __future__ import annotations

from typing import Literal, Protocol

Power = Literal["on", "off"]
"""A machine has power or it has not; there is nothing in between for the BMC to see."""

BootDevice = Literal["pxe", "disk"]
"""Where the firmware looks for something to boot."""


class Machine(Protocol):
    """A server as its BMC sees and drives it.

    All methods are safe to repeat. The coroutines return once the power state has changed; booting goes on by itself.
    """

    @property
    def name(self) -> str:
        """The server's name in the rack ("server-1")."""
        ...

    @property
    def power(self) -> Power: ...

    @property
    def boot_device(self) -> BootDevice:
        """Where the next boot looks: the one-time device if one is set, else the persistent one."""
        ...

    @property
    def boot_persistent(self) -> bool:
        """False while a one-time boot device is set that no boot has used up yet."""
        ...

    def set_boot_device(self, device: BootDevice, persistent: bool = False) -> None:
        """Choose for the next boot only, or (persistent) for all from now on.

        Raises:
            ValueError: not a boot device that the machine has.
        """
        ...

    async def power_on(self) -> None:
        """Apply power and start to boot; does nothing when it is on."""
        ...

    async def power_off(self) -> None:
        """Cut power: the boot process or the OS is gone when this returns; does nothing when it is off."""
        ...

    async def reset(self) -> None:
        """Off (if on), then on."""
        ...
