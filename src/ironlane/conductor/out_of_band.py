"""What a client asks of a node's BMC: power, soft and hard, and the boot device.

While the lifecycle loop itself works on the node such wishes wait, because it needs the power for its own ends.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from ironlane.conductor.work import Done, Failed, Result, Wait, Work
from ironlane.model.states import WORKING
from ironlane.power.base import BootDevice, PowerState

ORDERED = "power_ordered_at"
"""Key in `driver_internal_info`: when the operating system was asked to shut down."""
TIMEOUT = "power_timeout"
"""Key in `driver_internal_info`: how many seconds the client allows for the change."""

_POLL = timedelta(seconds=2)
_FINISHED = {ORDERED: None, TIMEOUT: None}


async def out_of_band(work: Work) -> Result | None:
    """The next thing that a client asked for; None when there is nothing."""
    node = work.node
    if node.provision_state in WORKING:
        return None
    if node.boot_device_due and node.boot_device:
        device = BootDevice(node.boot_device)
        await work.power.set_boot_device(
            work.driver_info, device, persistent=node.boot_device_persistent, mode=work.boot_mode
        )
        return Done(step=node.step, changes={"boot_device_due": False})
    if node.target_power_state is None:
        return None
    if node.target_power_state.startswith("soft"):
        return await _softly(work)
    timeout = node.driver_internal_info.get(TIMEOUT)
    limit = float(timeout) if timeout else None
    if node.target_power_state == "rebooting":
        await work.power.reboot(work.driver_info, limit)
    else:
        on = node.target_power_state.endswith("on")
        await work.power.set_power(work.driver_info, PowerState.ON if on else PowerState.OFF, limit)
    return await _done(work)


async def _softly(work: Work) -> Result:
    """Ask the operating system, then look again and again: the conductor waits for no server meanwhile."""
    node, info = work.node, work.node.driver_internal_info
    if await work.power.get_power(work.driver_info) is PowerState.OFF:
        if node.target_power_state == "soft rebooting":  # on record first: it must not be taken for one to shut down
            return Done(step=node.step, changes={"target_power_state": "power on"}, info=_FINISHED)
        return await _done(work)
    if ORDERED not in info:
        await work.power.shut_down(work.driver_info)
        return Done(step=node.step, info={ORDERED: work.now.isoformat()}, again=True)
    limit = timedelta(seconds=float(info.get(TIMEOUT) or work.settings.soft_timeout.total_seconds()))
    if work.now - datetime.fromisoformat(str(info[ORDERED])) > limit:
        return Failed(
            f"the operating system did not shut down within {limit} after it was asked to; look at the server's"
            " console, or power it off without asking"
        )
    return Wait("the operating system to shut down", min(_POLL, limit))


async def _done(work: Work) -> Result:
    state = await work.power.get_power(work.driver_info)
    changes = {"power_state": state.value, "target_power_state": None, "last_error": None}
    return Done(step=work.node.step, changes=changes, info=_FINISHED)
