"""A machine for a BMC to switch, and checks that all drivers share."""

from __future__ import annotations

from ironlane.lab.machine import BootDevice, Power

PASSWORD = "Geheim-17!pw"


class SwitchedMachine:
    """Has power and a boot device, and nothing that boots. It keeps a list of what was done to it."""

    def __init__(self, name: str = "server-1") -> None:
        self.name = name
        self.power: Power = "off"
        self.boot_device: BootDevice = "disk"
        self.boot_persistent = True
        self.done: list[str] = []

    def set_boot_device(self, device: BootDevice, persistent: bool = False) -> None:
        self.boot_device, self.boot_persistent = device, persistent

    async def power_on(self) -> None:
        self.power = "on"
        self.done.append("on")

    async def power_off(self) -> None:
        self.power = "off"
        self.done.append("off")

    async def reset(self) -> None:
        self.done.append("reset")


def assert_no_secret(error: BaseException, *secrets: str) -> None:
    """Neither the error nor anything that led to it shows a secret."""
    seen: list[BaseException] = []
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is None or one in seen:
            continue
        seen.append(one)
        todo += [one.__cause__, one.__context__]
        for text in (str(one), repr(one), repr(one.args), repr(getattr(one, "__dict__", ""))):
            for secret in secrets or (PASSWORD,):
                assert secret not in text
