"""A virtual rack with gNMI switches, from a site file."""

from __future__ import annotations

from pathlib import Path

import pytest

from ironlane.cli.site import load
from ironlane.lab.from_site import describe
from ironlane.lab.rack import VirtualRack
from ironlane.model.errors import Invalid
from ironlane.model.fabric import PortConfig, SwitchId, Vlan
from ironlane.model.plan import Change, Plan
from ironlane.switches.base import Access
from ironlane.switches.kinds import KINDS

RACK = Path(__file__).parents[2] / "examples" / "virtual-rack.yaml"
OPTIONS = "options: {insecure_host_key: true}"


def site_file(tmp_path: Path, options: str) -> Path:
    text = RACK.read_text().replace("kind: openconfig", "kind: gnmi").replace(OPTIONS, options)
    for port in ("18301", "18302", "18400"):
        text = text.replace(port, f"{int(port) + 40000}")
    path = tmp_path / "site.yaml"
    path.write_text(text)
    return path


async def test_its_switches_speak_gnmi_and_forward(tmp_path: Path) -> None:
    site = load(site_file(tmp_path, "options: {tls: false}"))
    description = describe(site, lambda name: f"secret of {name}")
    assert [switch.gnmi_port for switch in description.switches] == [58301, 58302]
    free = type(description)(
        tuple(type(s)(s.name, s.mac, s.ports, s.username, s.password, gnmi_port=0) for s in description.switches)
    )
    async with VirtualRack(free, redfish=False) as rack:
        assert not rack.netconf
        leaf = site.switches[0]
        port = rack.gnmi[leaf.name].port
        access = Access(SwitchId(leaf.name), "127.0.0.1", port, leaf.username, "secret of switches", leaf.options)
        driver = KINDS[leaf.kind](access)
        shut, wanted = PortConfig(enabled=False), PortConfig(untagged=Vlan(200))
        await driver.apply(Plan(access.switch, (Change("Ethernet1/1", shut, wanted),)))
        assert await driver.observe(["Ethernet1/1"]) == {"Ethernet1/1": wanted}
        assert rack.switches[leaf.name].forwarding["Ethernet1/1"].pvid == 200
        await driver.close()


def test_a_switch_that_wants_tls_cannot_be_pretended(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="leaf-a: a virtual gnmi switch has no certificate; give it"):
        describe(load(site_file(tmp_path, "options: {}")), str)
