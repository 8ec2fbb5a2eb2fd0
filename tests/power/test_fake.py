from __future__ import annotations

import pytest

from ironlane.model.errors import Invalid
from ironlane.power.base import BootDevice, PowerState
from ironlane.power.fake import FakePower


async def test_it_remembers_power_and_boot_device():
    power = FakePower()
    one = {"node_uuid": "1"}
    assert await power.get_power(one) is PowerState.OFF
    assert await power.get_boot_device(one) is None
    await power.set_power(one, PowerState.ON)
    await power.set_boot_device(one, BootDevice.PXE)
    assert await power.get_power(one) is PowerState.ON
    assert await power.get_boot_device(one) is BootDevice.PXE
    await power.set_power(one, PowerState.OFF)
    await power.reboot(one)
    assert await power.get_power(one) is PowerState.ON
    await power.close()
    assert await power.get_power(one) is PowerState.OFF


async def test_nodes_are_told_apart():
    power = FakePower()
    await power.set_power({"node_uuid": "1"}, PowerState.ON)
    assert await power.get_power({"node_uuid": "2"}) is PowerState.OFF
    await power.set_power({"node_uuid": "1", "fake_machine": "shared"}, PowerState.ON)
    assert await power.get_power({"node_uuid": "2", "fake_machine": "shared"}) is PowerState.ON


def test_a_name_is_a_string():
    FakePower().validate({})
    with pytest.raises(Invalid, match="fake_machine"):
        FakePower().validate({"fake_machine": 7})
