"""Which NIC or portgroup a tenant port (VIF) is attached to, and what its binding profile says then.

The order is Ironic's with our portgroup priority before it, so that with no priority set both choose alike.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ironlane.model.errors import Conflict, Invalid
from ironlane.model.link import parse_link
from ironlane.model.node import BaremetalPort, Portgroup

Place = BaremetalPort | Portgroup
"""What can hold one VIF."""


def choose(
    vif: str,
    physical_networks: Collection[str],
    ports: Sequence[BaremetalPort],
    portgroups: Sequence[Portgroup],
    *,
    port_uuid: str | None = None,
    portgroup_uuid: str | None = None,
) -> Place:
    """The place that a VIF takes among a node's NICs and portgroups.

    Best first: higher priority; a physical network that is one of the VIF network's (`physical_networks`; empty means
    that any will do); portgroups; PXE-enabled NICs; the order given. `port_uuid` and `portgroup_uuid` narrow it.

    Raises:
        Conflict: `VifAlreadyAttached` (to this node), or `PortgroupPhysnetInconsistent`.
        Invalid: `NoFreePhysicalPorts`.
    """
    places: list[Place] = [*ports, *portgroups]
    holder = next((place for place in places if place.vif == vif), None)
    if holder is not None:
        kind = "portgroup" if isinstance(holder, Portgroup) else "port"
        raise Conflict(f"VIF {vif} is already attached to {kind} {holder.id}", code="VifAlreadyAttached")
    candidates = free_places(physical_networks, ports, portgroups)
    for portgroup in (place for place in candidates if isinstance(place, Portgroup)):
        _require_one_physical_network(portgroup, ports)
    if port_uuid is not None:
        candidates = [c for c in candidates if isinstance(c, BaremetalPort) and c.id == port_uuid]
    if portgroup_uuid is not None:
        candidates = [c for c in candidates if isinstance(c, Portgroup) and c.id == portgroup_uuid]
    if not candidates:
        asked = f" that is {port_uuid or portgroup_uuid}" if port_uuid or portgroup_uuid else ""
        raise Invalid(
            f"Cannot attach VIF {vif} to the node: no free physical port or portgroup{asked}"
            f"{_on(physical_networks)} is left; detach another VIF, or add a port with local_link_connection",
            code="NoFreePhysicalPorts",
        )
    return max(candidates, key=lambda place: _rank(place, ports, physical_networks))


def free_places(
    physical_networks: Collection[str], ports: Sequence[BaremetalPort], portgroups: Sequence[Portgroup]
) -> list[Place]:
    """What could hold a VIF now: single NICs, then portgroups or the free NICs of portgroups that are broken into.

    A portgroup with a VIF of its own is out together with its members; one with a VIF on a member lends the others.
    """
    broken = {port.portgroup_id for port in ports if port.vif is not None}
    free: list[Place] = []
    members: dict[str, list[BaremetalPort]] = {}
    for port in ports:
        if port.vif is not None or not has_link(port) or not _allowed(port, physical_networks):
            continue
        if port.portgroup_id is None:
            free.append(port)
        else:
            members.setdefault(port.portgroup_id, []).append(port)
    for portgroup in portgroups:
        if portgroup.vif is not None:
            continue
        if portgroup.id in broken:
            free.extend(members.get(portgroup.id, []))
        elif members.get(portgroup.id):
            free.append(portgroup)
    return free


def has_link(port: BaremetalPort) -> bool:
    """Whether it is known where the NIC is cabled."""
    try:
        parse_link(dict(port.local_link_connection), where="local_link_connection")
    except Invalid:
        return False
    return True


def members_of(portgroup: Portgroup, ports: Sequence[BaremetalPort]) -> list[BaremetalPort]:
    """The NICs of a portgroup, in the order given."""
    return [port for port in ports if port.portgroup_id == portgroup.id]


def primary_nic(portgroup: Portgroup, members: Sequence[BaremetalPort]) -> BaremetalPort | None:
    """The NIC whose MAC is the portgroup's: the one of its `address`, else the first PXE-enabled, else the lowest MAC.

    None when there are no members.
    """
    ordered = sorted(members, key=lambda port: (port.address != portgroup.address, not port.pxe_enabled, port.address))
    return ordered[0] if ordered else None


def pxe_nic(ports: Sequence[BaremetalPort], portgroups: Sequence[Portgroup]) -> BaremetalPort | None:
    """The NIC that a node boots over while it is cleaned or provisioned; None when it has none that could.

    That is the primary NIC of the portgroup with the highest priority, else the first single NIC. Only NICs that are
    PXE-enabled and whose link is known count.
    """
    bootable = [port for port in ports if port.pxe_enabled and has_link(port)]
    for portgroup in sorted(portgroups, key=lambda group: -group.priority):
        primary = primary_nic(portgroup, members_of(portgroup, bootable))
        if primary is not None:
            return primary
    return bootable[0] if bootable else None


def mac_of(place: Place, ports: Sequence[BaremetalPort]) -> str | None:
    """The MAC that a VIF takes there: the NIC's, or that of the portgroup's primary NIC."""
    if isinstance(place, BaremetalPort):
        return place.address
    primary = primary_nic(place, members_of(place, ports))
    return place.address or (primary.address if primary else None)


def links_of(place: Place, ports: Sequence[BaremetalPort]) -> list[BaremetalPort]:
    """The NICs whose switch ports join the network when the place is plugged: all members with a known link."""
    nics = [place] if isinstance(place, BaremetalPort) else members_of(place, ports)
    return [nic for nic in nics if has_link(nic)]


def binding_profile(ports: Sequence[BaremetalPort], portgroup: Portgroup | None) -> dict[str, Any]:
    """`binding:profile` of a network port on these NICs, as Ironic sends it.

    `{local_link_information: [...], local_group_information?: {id, name, bond_mode, bond_properties},
    physical_network?}`; keys of `bond_properties` carry the prefix `bond_`.
    """
    profile: dict[str, Any] = {"local_link_information": [dict(port.local_link_connection) for port in ports]}
    if portgroup is not None:
        profile["local_group_information"] = {
            "id": portgroup.id,
            "name": portgroup.name,
            "bond_mode": portgroup.mode,
            "bond_properties": _bond_properties(portgroup.properties),
        }
    physical_network = next((port.physical_network for port in ports if port.physical_network), None)
    if physical_network is not None:
        profile["physical_network"] = physical_network
    return profile


def _bond_properties(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Without our `priority`, which is no option of a bond."""
    return {
        key if key.startswith("bond_") else f"bond_{key}": value
        for key, value in properties.items()
        if key != "priority"
    }


def _rank(
    place: Place, ports: Sequence[BaremetalPort], physical_networks: Collection[str]
) -> tuple[int, bool, bool, bool]:
    """What is compared; `max` takes the first of equals, which keeps the order given."""
    if isinstance(place, Portgroup):
        matches = any(port.physical_network in physical_networks for port in members_of(place, ports))
        return place.priority, matches, True, True
    return 0, place.physical_network in physical_networks, False, place.pxe_enabled


def _allowed(port: BaremetalPort, physical_networks: Collection[str]) -> bool:
    return not physical_networks or port.physical_network is None or port.physical_network in physical_networks


def _require_one_physical_network(portgroup: Portgroup, ports: Sequence[BaremetalPort]) -> None:
    found = {port.physical_network for port in members_of(portgroup, ports)}
    if len(found) > 1:
        names = ", ".join(sorted(str(name) for name in found))
        raise Conflict(
            f"Portgroup {portgroup.id} has member ports with inconsistent physical networks ({names});"
            " all of them have to be on one",
            code="PortgroupPhysnetInconsistent",
        )


def _on(physical_networks: Collection[str]) -> str:
    return f" on physical network {', '.join(sorted(physical_networks))}" if physical_networks else ""
