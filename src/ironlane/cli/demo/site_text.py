"""The site file of the demo's racks, written for the addresses at which they happen to run."""

from __future__ import annotations

from ipaddress import IPv4Interface

import yaml

from ironlane.lab.rack import RackDescription, ServerDescription, VirtualRack

CLEANING_VLAN, PROVISIONING_VLAN = 100, 101
PROVIDER_VLANS = {
    CLEANING_VLAN: IPv4Interface("10.100.0.1/24"),
    PROVISIONING_VLAN: IPv4Interface("10.101.0.1/24"),
}
"""The provider networks, and where the conductor's services are in them."""

SECRETS = {"IRONLANE_SECRET_SWITCHES": "admin", "IRONLANE_SECRET_BMCS": "admin"}
"""Passwords of the virtual devices, as the service's environment has them."""


def site_text(rack: VirtualRack) -> str:
    """A complete site file for a running rack."""
    description = rack.description
    site = {
        "name": "demo",
        "physical_networks": [{"name": "physnet1", "tenant_vlans": ["200-299"]}],
        "networks": [_network("cleaning", CLEANING_VLAN), _network("provisioning", PROVISIONING_VLAN)],
        "racks": [{"name": name} for name in sorted({_rack_of(s.name) for s in description.switches})],
        "switches": _switches(rack),
        "nodes": [_node(rack, server) for server in description.servers],
    }
    return yaml.safe_dump(site, sort_keys=False)


def _network(name: str, vlan: int) -> dict[str, object]:
    interface = PROVIDER_VLANS[vlan]
    base = str(interface.network.network_address).rsplit(".", 1)[0]
    return {
        "name": name,
        "physical_network": "physnet1",
        "vlan": vlan,
        "subnet": {
            "cidr": str(interface.network),
            "gateway": str(interface.ip),
            "pool": f"{base}.10-{base}.250",
        },
    }


def _switches(rack: VirtualRack) -> list[dict[str, object]]:
    peers = {one: other for pair in rack.description.pairs for one, other in (pair, pair[::-1])}
    return [
        {
            "name": switch.name,
            "rack": _rack_of(switch.name),
            "kind": "openconfig",
            "address": "127.0.0.1",
            "port": rack.netconf[switch.name].port,
            "username": switch.username,
            "secret": "switches",
            "mac": switch.mac,
            "mlag_peer": peers[switch.name],
            "physical_network": "physnet1",
            "options": {"host_key": rack.netconf[switch.name].host_key},
            "ports": list(switch.ports),
        }
        for switch in rack.description.switches
    ]


def _node(rack: VirtualRack, server: ServerDescription) -> dict[str, object]:
    return {
        "name": server.name,
        "rack": _rack_of(server.name),
        "driver": "redfish",
        "bmc": {
            "address": rack.redfish.url if rack.redfish else "",
            "username": server.bmc_username,
            "password_secret": "bmcs",
        },
        "driver_info": {"redfish_system_id": f"/redfish/v1/Systems/{server.name}"},
        "resource_class": "baremetal",
        "nics": [
            {"name": nic.name, "address": nic.mac, "switch": nic.switch, "port": nic.port, "pxe": nic.name == "eth0"}
            for nic in server.nics
        ],
        "portgroups": [
            {
                "name": "bond0",
                "mode": "802.3ad",
                "priority": 10,
                "properties": {"lacp_rate": "fast", "miimon": 100},
                "nics": [nic.name for nic in server.nics],
            }
        ],
    }


def _rack_of(name: str) -> str:
    """`rack-1` for `leaf-1a` and `server-1-7`."""
    number = name.split("-")[1]
    return f"rack-{''.join(c for c in number if c.isdigit())}"


def demo_racks(pairs: int, servers: int) -> RackDescription:
    """The racks that the demo plugs together."""
    from ironlane.lab.rack import standard_racks

    return standard_racks(pairs, servers, bond_mode="802.3ad", vlans=PROVIDER_VLANS)
