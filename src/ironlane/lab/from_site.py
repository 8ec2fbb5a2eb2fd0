"""A virtual rack for a site file: what a person would plug together after reading it."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Interface, ip_address, ip_network
from urllib.parse import urlsplit

from ironlane.lab.installed import BondPlan
from ironlane.lab.rack import (
    NicDescription,
    RackDescription,
    ServerDescription,
    ServicesDescription,
    SwitchDescription,
)
from ironlane.model.errors import Invalid
from ironlane.site.types import Bmc, Network, Node, Site, Switch

SERVICES = "services"
"""Name of the host that stands for the conductor's side of the provider networks."""


def describe(site: Site, read_secret: Callable[[str], str]) -> RackDescription:
    """The racks of a site as a virtual data centre on this machine.

    Switches speak NETCONF or gNMI at the site file's ports; all BMCs are systems of one Redfish server. The services
    host is present in each provider network that has a gateway, at that address.

    Raises:
        Invalid: something that cannot be pretended: another kind of switch or BMC, or an address of another machine.
    """
    return RackDescription(
        switches=tuple(_switch(switch, read_secret) for switch in site.switches),
        servers=tuple(_server(node, read_secret) for node in site.nodes),
        pairs=tuple(sorted({_pair(s.name, s.mlag_peer) for s in site.switches if s.mlag_peer})),
        services=_services(site),
        redfish_port=_redfish_port(site),
    )


def _switch(switch: Switch, read_secret: Callable[[str], str]) -> SwitchDescription:
    _require_here(switch.address, f"switch {switch.name}")
    if switch.kind not in ("openconfig", "gnmi"):
        raise Invalid(
            f"switch {switch.name}: the virtual rack has openconfig and gnmi switches only, not {switch.kind}"
        )
    if switch.kind == "gnmi" and switch.options.get("tls", True):
        raise Invalid(
            f"switch {switch.name}: a virtual gnmi switch has no certificate; give it options: {{tls: false}}"
        )
    if switch.mac is None:
        raise Invalid(f"switch {switch.name}: a virtual switch needs a mac")
    return SwitchDescription(
        name=switch.name,
        mac=switch.mac,
        ports=switch.ports,
        username=switch.username,
        password=read_secret(switch.secret) if switch.secret else "",
        netconf_port=switch.port or 830,
        gnmi_port=switch.port or 9339 if switch.kind == "gnmi" else None,
    )


def _server(node: Node, read_secret: Callable[[str], str]) -> ServerDescription:
    if node.driver != "redfish" or node.bmc is None:
        raise Invalid(f"node {node.name}: virtual servers have redfish BMCs only, not {node.driver}")
    group = max(node.portgroups, key=lambda group: group.priority, default=None)
    nics = [NicDescription(nic.name, nic.address, nic.switch, nic.port) for nic in node.nics if nic.switch and nic.port]
    return ServerDescription(
        name=node.name,
        nics=tuple(nics),
        pxe_nics=tuple(nic.name for nic in node.nics if nic.pxe),
        bond=BondPlan(group.mode, group.nics) if group is not None and len(group.nics) > 1 else None,
        bmc_username=node.bmc.username,
        bmc_password=read_secret(node.bmc.password_secret) if node.bmc.password_secret else "",
    )


def _pair(first: str, second: str) -> tuple[str, str]:
    return (first, second) if first < second else (second, first)


def _services(site: Site) -> tuple[ServicesDescription, ...]:
    presence = _presence(site)
    if not presence:
        return ()
    return (ServicesDescription(SERVICES, "02:5a:00:ff:00:01", {n.vlan: interface for n, interface in presence}),)


def _presence(site: Site) -> list[tuple[Network, IPv4Interface]]:
    found = []
    for network in site.networks:
        if network.subnet is not None and network.subnet.gateway is not None:
            cidr = ip_network(network.subnet.cidr)
            if cidr.version == 4:
                found.append((network, IPv4Interface(f"{network.subnet.gateway}/{cidr.prefixlen}")))
    return found


def _redfish_port(site: Site) -> int:
    ports = {_port_of(node.bmc, node.name) for node in site.nodes if node.bmc is not None}
    if len(ports) > 1:
        raise Invalid(f"virtual BMCs share one Redfish server; the site names several ports: {sorted(ports)}")
    return ports.pop() if ports else 0


def _port_of(bmc: Bmc, node: str) -> int:
    url = urlsplit(bmc.address if "//" in bmc.address else f"//{bmc.address}")
    _require_here(url.hostname or "", f"BMC of {node}")
    return bmc.port or url.port or 443


def _require_here(address: str, what: str) -> None:
    try:
        here = address == "localhost" or ip_address(address).is_loopback
    except ValueError:
        here = False
    if not here:
        raise Invalid(f"{what} is at {address}; virtual ones are on this machine only, as 127.0.0.1")
