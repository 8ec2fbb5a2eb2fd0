"""What must hold between the parts of a site file: names, VLANs, cabling, peers."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from ironlane.model.link import lag_mode
from ironlane.site.fields import Fields
from ironlane.site.read import Draft, Entry
from ironlane.site.types import Network, Nic, Node, PhysicalNetwork, Portgroup, Switch

T = TypeVar("T")
Found = Sequence[tuple[T, Entry]]


def check(draft: Draft) -> None:
    """Note every contradiction at the place where it is best put right. Values that could not be read are skipped."""
    for section in (draft.physical_networks, draft.networks, draft.racks, draft.switches, draft.nodes):
        _unique(((item.name, entry.fields) for item, entry in section), "name", lambda name: f"{name} is there already")
    # Of two with one name the first counts, so that the second is told once and not with all that it upsets.
    physical = {network.name: network for network, _ in reversed(draft.physical_networks) if network.name}
    switches = {switch.name: switch for switch, _ in reversed(draft.switches) if switch.name}
    racks = {rack.name for rack, _ in draft.racks}
    _networks(draft.networks, physical)
    _switches(draft.switches, draft.networks, physical, racks)
    _peers(draft.switches, switches)
    for node, entry in draft.nodes:
        _known(entry.fields, "rack", node.rack, racks)
        _out_of_band(node, entry.fields)
        _nics(node, entry, switches)
        _portgroups(node, entry, switches)
    _wiring(draft)


def _unique(items: Iterable[tuple[str, Fields]], key: str, message: Callable[[str], str]) -> None:
    """Note every repetition of a value, at the later place."""
    seen: dict[str, int] = {}
    for value, fields in items:
        if value and value in seen:
            fields.problem(key, f"{message(value)} (line {seen[value]})")
        elif value:
            seen[value] = fields.line


def _known(fields: Fields, key: str, name: str | None, names: Iterable[str], noun: str | None = None) -> bool:
    if not name:
        return False
    if name in names:
        return True
    fields.problem(key, f"there is no {noun or key.replace('_', ' ')} {name!r} in this file")
    return False


def _networks(networks: Found[Network], physical: Mapping[str, PhysicalNetwork]) -> None:
    _unique(
        ((f"{n.physical_network} {n.vlan}" if n.vlan else "", entry.fields) for n, entry in networks),
        "vlan",
        lambda place: f"VLAN {place.split()[1]} of {place.split()[0]} belongs to another network",
    )
    taken: list[tuple[str, ipaddress.IPv4Network | ipaddress.IPv6Network]] = []
    for network, entry in networks:
        if _known(entry.fields, "physical_network", network.physical_network, physical):
            home = physical[network.physical_network]
            _outside_tenants(entry.fields, "vlan", network.vlan, home)
            if network.mtu is not None and network.mtu > home.mtu:
                entry.fields.problem("mtu", f"{network.mtu} is more than physical network {home.name} has: {home.mtu}")
        if network.subnet is not None and network.subnet.cidr and entry.subnet is not None:
            cidr = ipaddress.ip_network(network.subnet.cidr)
            for other, theirs in taken:
                if cidr.version == theirs.version and cidr.overlaps(theirs):
                    entry.subnet.problem("cidr", f"{cidr} overlaps {theirs} of network {other}")
            taken.append((network.name, cidr))


def _outside_tenants(fields: Fields, key: str, vlan: int | None, home: PhysicalNetwork) -> None:
    for span in home.tenant_vlans:
        if vlan is not None and span.holds(vlan):
            fields.problem(key, f"VLAN {vlan} lies in the tenant range {span} of physical network {home.name}")


def _switches(
    switches: Found[Switch], networks: Found[Network], physical: Mapping[str, PhysicalNetwork], racks: Iterable[str]
) -> None:
    _unique(((s.mac or "", e.fields) for s, e in switches), "mac", lambda mac: f"{mac} belongs to another switch")
    _unique(
        ((s.datapath_id or "", e.fields) for s, e in switches),
        "datapath_id",
        lambda ident: f"{ident} belongs to another switch",
    )
    taken = {(network.physical_network, network.vlan): network.name for network, _ in networks}
    for switch, entry in switches:
        _known(entry.fields, "rack", switch.rack, racks)
        if _known(entry.fields, "physical_network", switch.physical_network, physical):
            _outside_tenants(entry.fields, "idle_vlan", switch.idle_vlan, physical[switch.physical_network])
        owner = taken.get((switch.physical_network, switch.idle_vlan or 0))
        if owner is not None and switch.idle_vlan:
            entry.fields.problem("idle_vlan", f"VLAN {switch.idle_vlan} belongs to network {owner}")


def _peers(found: Found[Switch], switches: Mapping[str, Switch]) -> None:
    for switch, entry in found:
        fields = entry.fields
        if not _known(fields, "mlag_peer", switch.mlag_peer, switches, "switch"):
            continue
        peer = switches[str(switch.mlag_peer)]
        if peer.mlag_peer == peer.name != switch.name:
            continue  # told at the peer
        if peer.name == switch.name:
            fields.problem("mlag_peer", "is the switch itself")
        elif peer.mlag_peer != switch.name and (peer.mlag_peer is None or peer.mlag_peer in switches):
            fields.problem(
                "mlag_peer", f"{peer.name} names {peer.mlag_peer or 'no peer'} as its peer, not {switch.name}"
            )
        elif peer.physical_network != switch.physical_network and peer.name > switch.name:
            fields.problem("mlag_peer", f"{peer.name} is on another physical network: {peer.physical_network}")


def _out_of_band(node: Node, fields: Fields) -> None:
    if node.bmc is None and node.driver in ("ipmi", "redfish"):
        fields.problem("bmc", f"is missing: driver {node.driver} has to reach the node out of band")


def _nics(node: Node, entry: Entry, switches: Mapping[str, Switch]) -> None:
    _unique(
        ((nic.name, f) for nic, f in zip(node.nics, entry.nics, strict=True)), "name", lambda n: f"{n} is there already"
    )
    for nic, fields in zip(node.nics, entry.nics, strict=True):
        if not _known(fields, "switch", nic.switch, switches) or nic.port is None:
            continue
        if nic.port not in switches[str(nic.switch)].ports and switches[str(nic.switch)].ports:
            fields.problem("port", f"{nic.port!r} is not among the ports of switch {nic.switch}")
    if node.nics and not any(nic.pxe for nic in node.nics):
        entry.fields.problem("nics", "none has pxe: true, so the node could not be booted to be cleaned or deployed")


def _portgroups(node: Node, entry: Entry, switches: Mapping[str, Switch]) -> None:
    groups = list(zip(node.portgroups, entry.portgroups, strict=True))
    _unique(((group.name, fields) for group, fields in groups), "name", lambda name: f"{name} is there already")
    nics = {nic.name: nic for nic in node.nics}
    member_of: dict[str, str] = {}
    for group, fields in groups:
        for name in group.nics:
            if not _known(fields, "nics", name, nics, "NIC"):
                continue
            if name in member_of:
                fields.problem("nics", f"{name} is in portgroup {member_of[name]} already")
            member_of.setdefault(name, group.name)
        members = [nics[name] for name in dict.fromkeys(group.nics) if name in nics]
        _bundle(group, fields, members, switches)


def _bundle(group: Portgroup, fields: Fields, members: Sequence[Nic], switches: Mapping[str, Switch]) -> None:
    """The links of one portgroup can be one link: on one physical network, and a LAG on a switch or a pair."""
    cabled = sorted({str(nic.switch) for nic in members if nic.switch in switches})
    homes = sorted({switches[name].physical_network for name in cabled})
    if len(homes) > 1:
        fields.problem("nics", f"are on different physical networks: {', '.join(homes)}")
    if len(cabled) < 2 or not group.mode or lag_mode(group.mode, where="") is None:
        return
    if len(cabled) > 2 or (
        switches[cabled[0]].mlag_peer != cabled[1]
        and switches[cabled[1]].mlag_peer != cabled[0]  # one-sided: told there
    ):
        fields.problem(
            "nics", f"{group.mode} is a LAG, and {', '.join(cabled)} are no pair: name each as the other's mlag_peer"
        )


def _wiring(draft: Draft) -> None:
    """What is unique over all nodes: MAC addresses, switch ports, BMCs."""
    nics = [
        (node, nic, fields) for node, entry in draft.nodes for nic, fields in zip(node.nics, entry.nics, strict=True)
    ]
    switch_macs = {switch.mac: switch.name for switch, _ in draft.switches if switch.mac}
    for _, nic, fields in nics:
        if nic.address in switch_macs:
            fields.problem("address", f"{nic.address} is the MAC address of switch {switch_macs[nic.address]}")
    _taken(((nic.address, node, nic, fields) for node, nic, fields in nics), "address", "{value} is that of {owner}")
    cables = ((f"{nic.switch}/{nic.port}" if nic.switch and nic.port else "", node, nic, f) for node, nic, f in nics)
    _taken(cables, "port", "{owner} is cabled to {value} already")
    bmcs: dict[tuple[object, ...], str] = defaultdict(str)
    for node, entry in draft.nodes:
        if node.bmc is None or not node.bmc.address or node.driver == "fake-hardware":
            continue
        # One Redfish service may serve many systems.
        place = (node.bmc.address, node.bmc.port, str(node.driver_info.get("redfish_system_id", "")))
        if bmcs[place]:
            entry.fields.problem("bmc", f"{node.bmc.address} is the BMC of node {bmcs[place]} already")
        bmcs[place] = bmcs[place] or node.name


def _taken(items: Iterable[tuple[str, Node, Nic, Fields]], key: str, message: str) -> None:
    owners: dict[str, str] = {}
    for value, node, nic, fields in items:
        if value and value in owners:
            fields.problem(key, message.format(value=value, owner=owners[value]))
        elif value:
            owners[value] = f"NIC {nic.name} of node {node.name}"
