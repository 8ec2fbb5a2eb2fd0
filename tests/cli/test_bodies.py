"""What of a node in the site file becomes `driver_info`, a port and a portgroup."""

from __future__ import annotations

import pytest

from ironlane.cli.apply.bodies import node_body, password_of, portgroup_body
from ironlane.site.types import Bmc, Nic, Node, Portgroup


@pytest.mark.parametrize(
    ("driver", "bmc", "info"),
    [
        ("ipmi", Bmc("192.0.2.9"), {"ipmi_address": "192.0.2.9"}),
        (
            "ipmi",
            Bmc("bmc.example", 6230, "admin", "bmcs"),
            {"ipmi_address": "bmc.example", "ipmi_port": 6230, "ipmi_username": "admin"},
        ),
        ("redfish", Bmc("192.0.2.9"), {"redfish_address": "https://192.0.2.9"}),
        ("redfish", Bmc("2001:db8::9", 8443), {"redfish_address": "https://[2001:db8::9]:8443"}),
        (
            "redfish",
            Bmc("http://127.0.0.1:8000", None, "u"),
            {"redfish_address": "http://127.0.0.1:8000", "redfish_username": "u"},
        ),
        ("fake-hardware", Bmc("192.0.2.9", 1, "u", "bmcs"), {}),
        ("fake-hardware", None, {}),
    ],
)
def test_how_to_reach_a_bmc(driver: str, bmc: Bmc | None, info: dict[str, object]) -> None:
    assert node_body(Node("n1", driver, bmc))["driver_info"] == info


def test_where_the_password_goes() -> None:
    bmc = Bmc("192.0.2.9", password_secret="bmcs")
    assert password_of(Node("n1", "ipmi", bmc)) == ("ipmi_password", "bmcs")
    assert password_of(Node("n1", "redfish", bmc)) == ("redfish_password", "bmcs")
    assert password_of(Node("n1", "fake-hardware", bmc)) is None
    assert password_of(Node("n1", "ipmi", Bmc("192.0.2.9"))) is None


def test_a_portgroup_has_the_address_of_its_first_nic_that_boots() -> None:
    nics = (Nic("eth0", "52:54:00:00:00:00"), Nic("eth1", "52:54:00:00:00:01", pxe=True))
    group = Portgroup("bond0", ("eth0", "eth1"), priority=3, properties={"miimon": 100})
    body = portgroup_body(Node("n1", "ipmi", nics=nics, portgroups=(group,)), group)
    assert (body["name"], body["address"]) == ("n1-bond0", "52:54:00:00:00:01")
    assert body["properties"] == {"miimon": 100, "priority": 3}
