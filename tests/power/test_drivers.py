"""What all drivers have in common, and what the API may show of `driver_info`."""

from __future__ import annotations

import pytest

from ironlane.model.errors import Invalid
from ironlane.power.base import PowerDriver, PowerState
from ironlane.power.drivers import DRIVERS


@pytest.fixture(params=sorted(DRIVERS))
async def driver(request):
    driver = DRIVERS[request.param]()
    yield driver
    await driver.close()


def test_the_names_are_those_of_the_baremetal_api():
    assert set(DRIVERS) == {"ipmi", "redfish", "fake-hardware"}


async def test_every_driver_describes_its_keys(driver: PowerDriver):
    assert driver.required <= set(driver.properties)
    assert all(text.endswith(".") for text in driver.properties.values())


async def test_missing_keys_are_named(driver: PowerDriver):
    for key in driver.required:
        with pytest.raises(Invalid) as caught:
            driver.validate({})
        assert caught.value.field == f"driver_info.{key}"
        assert key in str(caught.value)


async def test_error_is_no_state_to_ask_for(driver: PowerDriver):
    with pytest.raises(Invalid):
        await driver.set_power({"ipmi_address": "127.0.0.1", "redfish_address": "127.0.0.1"}, PowerState.ERROR)


async def test_keys_of_others_are_tolerated(driver: PowerDriver):
    info = {"ipmi_address": "127.0.0.1", "redfish_address": "127.0.0.1", "deploy_kernel": "file:///kernel"}
    driver.validate(info)
