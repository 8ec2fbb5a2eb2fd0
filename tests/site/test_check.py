"""Site files, sound and broken: every mistake is told at its line, and all of them at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from ironlane.model.inventory import VlanRange
from ironlane.site.check import BrokenSite, read_site
from ironlane.site.types import Site

SOUND = """\
name: test
planes:
  management: {cidr: 192.0.2.0/25, gateway: 192.0.2.1}
physical_networks:
  - name: physnet1
    tenant_vlans: [200-299, 310]
    mtu: 9000
  - name: physnet2
    tenant_vlans: [200-299]
networks:
  - name: cleaning
    physical_network: physnet1
    vlan: 100
    subnet:
      cidr: 10.0.0.0/24
      gateway: 10.0.0.1
      pool: 10.0.0.10-10.0.0.99
  - name: provisioning
    physical_network: physnet1
    vlan: 101
racks:
  - name: r1
switch_templates:
  leaf:
    kind: openconfig
    physical_network: physnet1
    idle_vlan: 99
    ports: ["Ethernet1/[1-4]"]
    options: {lag_name: "ae{number}", confirm_timeout: 20}
switches:
  - name: leaf-a
    template: leaf
    rack: r1
    address: 192.0.2.11
    mac: 02:00:00:00:00:0a
    mlag_peer: leaf-b
    options: {confirm_timeout: 60}
  - name: leaf-b
    template: leaf
    rack: r1
    address: 192.0.2.12
    mac: 0200.0000.000b
    mlag_peer: leaf-a
  - name: ovs
    kind: openvswitch
    address: unix:/run/ovs.sock
    datapath_id: 0000020000000001
    physical_network: physnet2
    ports: [p1, p2]
nodes:
  - name: n1
    rack: r1
    driver: ipmi
    bmc: {address: 192.0.2.101, username: admin, password_secret: n1-bmc}
    resource_class: large
    properties: {cpus: 8}
    nics:
      - {name: eth0, address: 52:54:00:00:01:00, switch: leaf-a, port: Ethernet1/1, pxe: true}
      - {name: eth1, address: 52:54:00:00:01:01, switch: leaf-b, port: Ethernet1/1}
    portgroups:
      - {name: bond0, mode: 802.3ad, priority: 5, nics: [eth0, eth1]}
  - name: n2
    driver: fake-hardware
    nics:
      - {name: eth0, address: 52-54-00-00-02-00, pxe: true}
"""


def problems(text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(BrokenSite) as caught:
        read_site(text)
    return [(problem.line, problem.path, problem.message) for problem in caught.value.problems]


def sound() -> Site:
    return read_site(SOUND)


def test_a_sound_file_becomes_values() -> None:
    site = sound()
    assert site.physical_networks[0].tenant_vlans == (VlanRange(200, 299), VlanRange(310, 310))
    assert [pool.last for pool in site.networks[0].subnet.pools] == ["10.0.0.99"]  # type: ignore[union-attr]
    assert site.switch("leaf-a").ports == ("Ethernet1/1", "Ethernet1/2", "Ethernet1/3", "Ethernet1/4")
    assert site.switch("leaf-b").mac == "02:00:00:00:00:0b"
    assert site.switch("ovs").switch_id == "0000020000000001"
    assert site.nodes[1].nics[0].address == "52:54:00:00:02:00"
    assert site.nodes[0].portgroups[0].priority == 5


def test_an_item_is_joined_with_its_template_key_by_key() -> None:
    site = sound()
    assert site.switch("leaf-a").options == {"confirm_timeout": 60, "lag_name": "ae{number}"}
    assert site.switch("leaf-b").options == {"confirm_timeout": 20, "lag_name": "ae{number}"}
    assert site.switch("leaf-a").idle_vlan == 99


def test_the_examples_are_sound() -> None:
    folder = Path(__file__).parents[2] / "examples"
    lab = read_site((folder / "lab-site.yaml").read_text())
    assert (len(lab.racks), len(lab.switches), len(lab.nodes)) == (2, 4, 16)
    assert all(len(node.nics) == 2 and node.portgroups[0].mode == "802.3ad" for node in lab.nodes)
    assert len(read_site((folder / "first-rack.yaml").read_text()).nodes) == 1


BROKEN = {
    "unknown key": ("mtu: 9000", "mut: 9000", 7, "physical_networks[0].mut", "is not known here"),
    "unknown section": ("planes:", "plains:", 2, "plains", "is not known here"),
    "unknown plane": (
        "  management:",
        "  managment:",
        3,
        "planes.managment",
        "is not known here; known are management",
    ),
    "plane's address": ("192.0.2.0/25", "192.0.2.9/25", 3, "planes.management.cidr", "has host bits set"),
    "plane's gateway": ("gateway: 192.0.2.1}", "gateway: 192.0.3.1}", 3, "planes.management.gateway", "no host's"),
    "key twice": (
        "    mtu: 9000",
        "    mtu: 9000\n    mtu: 1500",
        8,
        "physical_networks[0].mtu",
        "twice, first on line 7",
    ),
    "text for a number": ("mtu: 9000", "mtu: large", 7, "physical_networks[0].mtu", "must be a whole number"),
    "number in quotes": ("vlan: 100", "vlan: '100'", 13, "networks[0].vlan", "must be a whole number"),
    "VLAN out of range": ("vlan: 100", "vlan: 4095", 13, "networks[0].vlan", "4095 is not from 1 to 4094"),
    "range upside down": ("[200-299, 310]", "[299-200]", 6, "physical_networks[0].tenant_vlans", "upside down"),
    "range out of range": ("[200-299, 310]", "[200-5000]", 6, "physical_networks[0].tenant_vlans", "5000 is not from"),
    "ranges overlap": (
        "[200-299, 310]",
        "[200-299, 250]",
        6,
        "physical_networks[0].tenant_vlans",
        "200-299 and 250 overlap",
    ),
    "no range": ("[200-299, 310]", "[many]", 6, "physical_networks[0].tenant_vlans[0]", "neither a VLAN"),
    "network in tenant range": ("vlan: 100", "vlan: 310", 13, "networks[0].vlan", "tenant range 310"),
    "VLAN of two networks": ("vlan: 101", "vlan: 100", 20, "networks[1].vlan", "belongs to another network (line 11)"),
    "VLAN missing": ("    vlan: 101\n", "", 18, "networks[1].vlan", "is missing"),
    "idle VLAN of a network": (
        "idle_vlan: 99",
        "idle_vlan: 100",
        27,
        "switch_templates.leaf.idle_vlan",
        "network cleaning",
    ),
    "idle VLAN of tenants": ("idle_vlan: 99", "idle_vlan: 250", 27, "switch_templates.leaf.idle_vlan", "tenant range"),
    "network on no physnet": (
        "    physical_network: physnet1\n    vlan: 101",
        "    physical_network: nowhere\n    vlan: 101",
        19,
        "networks[1].physical_network",
        "there is no physical network 'nowhere'",
    ),
    "network's MTU": (
        "    vlan: 101",
        "    vlan: 101\n    mtu: 9001",
        21,
        "networks[1].mtu",
        "more than physical network",
    ),
    "cidr": ("cidr: 10.0.0.0/24", "cidr: ten", 15, "networks[0].subnet.cidr", "write the network's first address"),
    "gateway elsewhere": (
        "gateway: 10.0.0.1",
        "gateway: 10.0.1.1",
        16,
        "networks[0].subnet.gateway",
        "no host's address",
    ),
    "gateway is broadcast": ("gateway: 10.0.0.1", "gateway: 10.0.0.255", 16, "networks[0].subnet.gateway", "no host's"),
    "pool elsewhere": ("10.0.0.10-", "10.0.1.10-", 17, "networks[0].subnet.pool", "not within"),
    "pool upside down": ("10.0.0.10-10.0.0.99", "10.0.0.99-10.0.0.10", 17, "networks[0].subnet.pool", "upside down"),
    "pool of one end": ("10.0.0.10-10.0.0.99", "10.0.0.10", 17, "networks[0].subnet.pool", "no range of addresses"),
    "gateway in pool": (
        "10.0.0.10-10.0.0.99",
        "10.0.0.1-10.0.0.99",
        17,
        "networks[0].subnet.pool",
        "contains the gateway",
    ),
    "rack twice": (
        "  - name: r1\n",
        "  - name: r1\n  - name: r1\n",
        23,
        "racks[1].name",
        "r1 is there already (line 22)",
    ),
    "unknown kind": (
        "kind: openvswitch",
        "kind: ovs",
        45,
        "switches[2].kind",
        "none of openvswitch, openconfig, gnmi, cli",
    ),
    "unknown template": (
        "name: ovs",
        "name: ovs\n    template: leave",
        45,
        "switches[2].template",
        "no switch template 'leave'",
    ),
    "unknown rack": (
        "rack: r1\n    address: 192.0.2.11",
        "rack: r9\n    address: 192.0.2.11",
        33,
        "switches[0].rack",
        "there is no rack 'r9'",
    ),
    "switch twice": ("- name: ovs", "- name: leaf-b", 44, "switches[2].name", "leaf-b is there already (line 38)"),
    "switch's name": ("- name: ovs", "- name: o/v/s", 44, "switches[2].name", "is no name"),
    "MAC of two switches": ("0200.0000.000b", "02-00-00-00-00-0a", 42, "switches[1].mac", "belongs to another switch"),
    "neither MAC nor dpid": (
        "    datapath_id: 0000020000000001\n",
        "",
        44,
        "switches[2].mac",
        "or datapath_id must be given",
    ),
    "MAC for a dpid": (
        "datapath_id: 0000020000000001",
        "datapath_id: 02:00:00:00:00:0c",
        47,
        "switches[2].datapath_id",
        "16 hex digits",
    ),
    "login in an address": (
        "address: unix:/run/ovs.sock",
        "address: http://a:b@c",
        46,
        "switches[2].address",
        "must not carry a login",
    ),
    "secret in the file": (
        "unix:/run/ovs.sock",
        "unix:/s\n    secret: p4$$ word",
        47,
        "switches[2].secret",
        "never the secret itself",
    ),
    "peer unknown": ("mlag_peer: leaf-b", "mlag_peer: leaf-z", 36, "switches[0].mlag_peer", "no switch 'leaf-z'"),
    "peer is itself": ("mlag_peer: leaf-b", "mlag_peer: leaf-a", 36, "switches[0].mlag_peer", "the switch itself"),
    "peer of another": ("    mlag_peer: leaf-a\n", "", 36, "switches[0].mlag_peer", "leaf-b names no peer"),
    "port twice": ("[p1, p2]", "[p1, p2, p1]", 49, "switches[2].ports[2]", "names p1 again"),
    "port range": ("[p1, p2]", "['p[1-2', p2]", 49, "switches[2].ports[0]", "unmatched brackets"),
    "no ports": ("    ports: [p1, p2]\n", "", 44, "switches[2].ports", "is missing"),
    "port number": (
        "unix:/run/ovs.sock",
        "unix:/s\n    port: 65536",
        47,
        "switches[2].port",
        "65536 is not from 1 to 65535",
    ),
    "a file is named by its path": (
        "options: {confirm_timeout: 60}",
        "options: {known_hosts: /etc/ssh/ssh_known_hosts}",
        37,
        "switches[0].options",
        "known_hosts must be the name",
    ),
    "options are no mapping": (
        "options: {confirm_timeout: 60}",
        "options: [60]",
        37,
        "switches[0].options",
        "must be a mapping",
    ),
    "driver": ("driver: ipmi", "driver: ilo", 53, "nodes[0].driver", "none of ipmi, redfish, fake-hardware"),
    "no BMC": (
        "    bmc: {address: 192.0.2.101, username: admin, password_secret: n1-bmc}\n",
        "",
        51,
        "nodes[0].bmc",
        "is missing",
    ),
    "BMC without address": ("address: 192.0.2.101, ", "", 54, "nodes[0].bmc.address", "is missing"),
    "password in the file": (
        "resource_class: large",
        "driver_info: {ipmi_password: x}",
        55,
        "nodes[0].driver_info",
        "no secrets in this file",
    ),
    "node's rack": ("rack: r1\n    driver", "rack: r2\n    driver", 52, "nodes[0].rack", "there is no rack 'r2'"),
    "node twice": ("- name: n2", "- name: n1", 62, "nodes[1].name", "n1 is there already (line 51)"),
    "node without NICs": (
        "    nics:\n      - {name: eth0, address: 52-54-00-00-02-00, pxe: true}\n",
        "",
        62,
        "nodes[1].nics",
        "is missing",
    ),
    "no NIC boots": ("02-00, pxe: true", "02-00", 64, "nodes[1].nics", "none has pxe: true"),
    "pxe is a word": ("02-00, pxe: true", "02-00, pxe: yes", 65, "nodes[1].nics[0].pxe", "must be true or false"),
    "no MAC": ("52:54:00:00:01:01", "52:54:00:00:01", 59, "nodes[0].nics[1].address", "is not a MAC address"),
    "multicast MAC": ("52:54:00:00:01:01", "53:54:00:00:01:01", 59, "nodes[0].nics[1].address", "multicast"),
    "MAC twice": (
        "52-54-00-00-02-00",
        "52:54:00:00:01:01",
        65,
        "nodes[1].nics[0].address",
        "that of NIC eth1 of node n1",
    ),
    "MAC of a switch": (
        "52-54-00-00-02-00",
        "02:00:00:00:00:0a",
        65,
        "nodes[1].nics[0].address",
        "MAC address of switch leaf-a",
    ),
    "NIC twice": (
        "02-00, pxe: true}",
        "02-00, pxe: true}\n      - {name: eth0, address: 52-54-00-00-02-01}",
        66,
        "nodes[1].nics[1].name",
        "eth0 is there already",
    ),
    "switch of a NIC": (
        "switch: leaf-b, port",
        "switch: leaf-z, port",
        59,
        "nodes[0].nics[1].switch",
        "no switch 'leaf-z'",
    ),
    "port of a NIC": (
        "leaf-b, port: Ethernet1/1}",
        "leaf-b, port: Ethernet1/9}",
        59,
        "nodes[0].nics[1].port",
        "not among the ports of switch leaf-b",
    ),
    "half a cable": (
        "02-00, pxe",
        "02-00, switch: ovs, pxe",
        65,
        "nodes[1].nics[0].port",
        "a switch and a port, or neither",
    ),
    "cabled twice": (
        "02-00, pxe",
        "02-00, switch: leaf-b, port: Ethernet1/1, pxe",
        65,
        "nodes[1].nics[0].port",
        "NIC eth1 of node n1 is cabled to leaf-b/Ethernet1/1",
    ),
    "group mode": ("mode: 802.3ad", "mode: lacp", 61, "nodes[0].portgroups[0].mode", "unknown bonding mode 'lacp'"),
    "group member": ("nics: [eth0, eth1]", "nics: [eth0, eth7]", 61, "nodes[0].portgroups[0].nics", "no NIC 'eth7'"),
    "group priority": ("priority: 5", "priority: high", 61, "nodes[0].portgroups[0].priority", "whole number"),
    "priority in properties": (
        "priority: 5",
        "properties: {priority: 5}",
        61,
        "nodes[0].portgroups[0].properties",
        "own key",
    ),
    "LACP rate": (
        "priority: 5",
        "properties: {lacp_rate: quick}",
        61,
        "nodes[0].portgroups[0].properties",
        "slow or fast",
    ),
    "NIC in two groups": (
        "nics: [eth0, eth1]}\n",
        "nics: [eth0, eth1]}\n      - {name: bond1, mode: active-backup, nics: [eth1]}\n",
        62,
        "nodes[0].portgroups[1].nics",
        "eth1 is in portgroup bond0 already",
    ),
    "alias": ("rack: r1\n    driver", "rack: *r\n    driver", 52, "", "aliases (*r) are not supported"),
    "tab": ("    vlan: 100", "\tvlan: 100", 13, "", "not YAML"),
    "two documents": ("racks:", "---\nracks:", 21, "", "not YAML"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_one_mistake(case: str) -> None:
    old, new, line, path, message = BROKEN[case]
    text = SOUND
    assert text.count(old) >= 1, "the case replaces nothing"
    found = problems(text.replace(old, new, 1))
    assert [(found_line, found_path) for found_line, found_path, _ in found] == [(line, path)]
    assert message in found[0][2]


def test_a_lag_across_switches_that_are_no_pair() -> None:
    text = SOUND
    text = text.replace("    mlag_peer: leaf-b\n", "").replace("    mlag_peer: leaf-a\n", "")
    assert problems(text) == [
        (
            59,
            "nodes[0].portgroups[0].nics",
            "802.3ad is a LAG, and leaf-a, leaf-b are no pair: name each as the other's mlag_peer",
        ),
    ]
    assert read_site(text.replace("mode: 802.3ad", "mode: active-backup"))


def test_all_mistakes_are_told_at_once_in_the_order_of_lines() -> None:
    text = (
        SOUND.replace("mtu: 9000", "mtu: x")
        .replace("kind: openvswitch", "kind: y")
        .replace("driver: ipmi", "driver: z")
    )
    assert [line for line, _, _ in problems(text)] == [7, 45, 53]


def test_a_templates_mistake_is_told_once() -> None:
    found = problems(SOUND.replace("kind: openconfig", "kind: junos"))
    assert [(line, path) for line, path, _ in found] == [(25, "switch_templates.leaf.kind")]


@pytest.mark.parametrize(
    "text",
    ["", "# only a comment\n", "null", "- a\n- b\n", "just text", "{", "\x00", "a: [", "[" * 2000, "name: &a [*a]"],
)
def test_what_is_no_site_at_all(text: str) -> None:
    assert problems(text)


def test_numbers_are_read_as_people_write_them() -> None:
    """YAML 1.1 would make a number of 10:22:33:44:55:06 and of 0000020000000001, and true of on."""
    text = SOUND.replace("52-54-00-00-02-00", "10:22:33:44:55:06")
    text = text.replace("{cpus: 8}", "{a: on, b: 1_0, c: 010, d: 1.5, e: ~, f: '8', g: 1e999}")
    site = read_site(text)
    assert site.nodes[1].nics[0].address == "10:22:33:44:55:06"
    assert site.nodes[0].properties == {
        "a": "on",
        "b": "1_0",
        "c": 10,
        "d": 1.5,
        "e": None,
        "f": "8",
        "g": "1e999",
    }
