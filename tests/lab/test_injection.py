"""A switch that only says that it did what it was told, of each kind: its driver is none the wiser until it looks."""

from __future__ import annotations

import pytest

from ironlane.model.fabric import PortConfig, SwitchId, Vlan
from ironlane.model.plan import diff
from ironlane.switches.base import Access
from ironlane.switches.kinds import KINDS
from tests.faults.rack import PASSWORD, PORT_NAMES, Rack

WANTED = PortConfig(untagged=Vlan(200), description="ironlane host-1")


@pytest.mark.parametrize("kind", PORT_NAMES)
async def test_a_deaf_switch_accepts_everything_and_does_nothing(kind: str) -> None:
    async with Rack.running([kind], [None]) as rack:
        leaf = next(iter(rack.leaves.values()))
        body, port = leaf.body(), leaf.owned[0]
        access = Access(SwitchId(leaf.name), "127.0.0.1", leaf.plane.port, "admin", PASSWORD, body["options"], 10.0)
        driver = KINDS[body["kind"]](access)
        try:
            before = await driver.observe(leaf.owned)
            forwarding = dict(leaf.switch.forwarding)
            plan = diff(access.switch, {port: WANTED}, before)
            leaf.faults.go_deaf()
            assert not leaf.faults.shut(port)
            await driver.apply(plan)
            assert await driver.observe(leaf.owned) == before
            assert leaf.switch.forwarding == forwarding
            await leaf.faults.clear()
            await driver.apply(plan)
            assert (await driver.observe(leaf.owned))[port] == WANTED
            assert leaf.switch.forwarding[port].pvid == WANTED.untagged
        finally:
            await driver.close()
