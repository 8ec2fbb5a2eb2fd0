"""What hardware may have and Ironlane's drivers have not: answered as Ironic does for a node whose interface is `no-…`.

What is looked at is empty; what would be done is refused with 400, `UnsupportedDriverExtension`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.responses import Response

from ironlane.api.baremetal.call import Call, ok
from ironlane.api.baremetal.conductors import find_driver
from ironlane.model.errors import Invalid, NotFound
from ironlane.store import nodes

Handler = Callable[[Call], Awaitable[Response]]


def _refusing(name: str, what: str) -> Handler:
    async def refuse(call: Call) -> Response:
        node = await call.store.read(lambda tx: nodes.get(tx, call.path("node")))
        raise _refused(node.driver, what)

    refuse.__name__ = name
    refuse.__doc__ = f"Refuse {what}: no driver has it."
    return refuse


def _refused(driver: str, what: str) -> Invalid:
    return Invalid(
        f"Driver {driver} does not support {what} (disabled or not implemented).", code="UnsupportedDriverExtension"
    )


console = _refusing("console", "a console")
raid = _refusing("raid", "RAID configuration")
boot_mode = _refusing("boot_mode", "a change of the boot mode; properties.capabilities has the one to boot with")
secure_boot = _refusing("secure_boot", "secure boot")
inject_nmi = _refusing("inject_nmi", "non-maskable interrupts")
indicators = _refusing("indicators", "indicators")
virtual_media = _refusing("virtual_media", "virtual media")
vendor_passthru = _refusing("vendor_passthru", "vendor passthru methods")


async def bios(call: Call) -> Response:
    """The BIOS settings of a node: none are known."""
    await call.store.read(lambda tx: nodes.get(tx, call.path("node")))
    return ok({"bios": []})


async def bios_setting(call: Call) -> Response:
    """One BIOS setting of a node: there is none."""
    node = await call.store.read(lambda tx: nodes.get(tx, call.path("node")))
    raise NotFound(f"BIOS setting of node {node.label}", call.path("setting"), code="BIOSSettingNotFound")


async def firmware(call: Call) -> Response:
    """The firmware components of a node: none are known."""
    await call.store.read(lambda tx: nodes.get(tx, call.path("node")))
    return ok({"firmware": []})


async def vendor_methods(call: Call) -> Response:
    """The vendor passthru methods of a node: none."""
    await call.store.read(lambda tx: nodes.get(tx, call.path("node")))
    return ok({})


async def driver_vendor_methods(call: Call) -> Response:
    """The vendor passthru methods of a driver: none."""
    await find_driver(call)
    return ok({})


async def logical_disks(call: Call) -> Response:
    """Refuse the properties of logical disks: no driver has RAID."""
    driver, _ = await find_driver(call)
    raise _refused(driver.name, "RAID configuration")
