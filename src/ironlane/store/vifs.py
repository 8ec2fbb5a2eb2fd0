"""Tenant ports (VIFs) on nodes: attach, detach, and the moment when their switch ports join.

A VIF is attached when a NIC or portgroup of the node names it in `internal_info.tenant_vif_port_id`; its network port
is then bound to the node (`binding:host_id`). It is plugged when its binding profile names the switch ports as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from ironlane.model.attach import Place, binding_profile, choose, links_of, mac_of, primary_nic
from ironlane.model.errors import Conflict, Invalid, NotFound
from ironlane.model.network import NetworkPort
from ironlane.model.node import TENANT_VIF, VIF_ORDER, VIF_PINNED, BaremetalPort, Node, Portgroup
from ironlane.model.states import ProvisionState
from ironlane.store import access, baremetal_ports, portgroups, ports
from ironlane.store.database import Tx
from ironlane.store.tables import networks

VNIC_BAREMETAL = "baremetal"

_BUSY = frozenset(
    {
        ProvisionState.DEPLOYING,
        ProvisionState.DELETING,
        ProvisionState.RESCUING,
        ProvisionState.UNRESCUING,
        ProvisionState.SERVICING,
    }
)
"""States in which the lifecycle loop plugs or unplugs all VIFs: one that came in between could be left behind."""


def attach(tx: Tx, node: Node, vif: str, *, port_uuid: str | None = None, portgroup_uuid: str | None = None) -> Place:
    """Attach a VIF to the best free place of a node, or to the one asked for.

    Its network port takes the place's MAC and is bound to the node: without links while the node is not active, with
    them (plugged at once) when it is.

    Raises:
        Conflict: `VifAlreadyAttached`, `PortgroupPhysnetInconsistent`, the node is being deleted.
        Invalid: `NoFreePhysicalPorts`; there is no such network port.
    """
    if node.provision_state in _BUSY:
        raise Conflict(
            f"Node {node.label} is {node.provision_state.value}: its switch ports are being moved;"
            f" attach VIF {vif} later",
            code="NodeLocked",
        )
    _require_callers(tx, vif)
    with tx.elevated():  # which switch ports a VIF is bound to is not its owner's to say: it follows from the node
        return _attach(tx, node, vif, port_uuid, portgroup_uuid)


def _attach(tx: Tx, node: Node, vif: str, port_uuid: str | None, portgroup_uuid: str | None) -> Place:
    physical_networks = _physical_networks(tx, node, vif)
    nics, groups = baremetal_ports.of_node(tx, node.id), portgroups.of_node(tx, node.id)
    place = choose(vif, physical_networks, nics, groups, port_uuid=port_uuid, portgroup_uuid=portgroup_uuid)
    info = {
        **place.internal_info,
        TENANT_VIF: vif,
        VIF_ORDER: 1 + max((order for order, _, _ in _attached(tx, node.id)), default=0),
    }
    if port_uuid is not None or portgroup_uuid is not None:
        info[VIF_PINNED] = True
    _record(tx, place, info)
    links = node.provision_state is ProvisionState.ACTIVE
    _bind(tx, node, vif, place, nics, links=links)
    return place


def detach(tx: Tx, node: Node, vif: str) -> None:
    """Take a VIF off a node: its switch ports leave, its network port is unbound and gets a MAC of its own.

    Raises:
        Invalid: `VifNotAttached`.
    """
    place = next((place for place in _places(tx, node.id) if place.vif == vif), None)
    if place is None:
        raise Invalid(f"VIF {vif} is not attached to node {node.label}", code="VifNotAttached")
    with tx.elevated():  # also of another project's VIF, which would be left on the switch otherwise
        _forget(tx, place)
        _unbind(tx, vif, node)


def detach_all(tx: Tx, node: Node) -> None:
    """Take all VIFs off a node, as Ironic does at the end of an undeploy."""
    for vif in listed(tx, node.id):
        detach(tx, node, vif)


def listed(tx: Tx, node_id: str) -> list[str]:
    """The VIFs of a node in the order in which they were attached."""
    return [vif for _, vif, _ in _attached(tx, node_id)]


def nics(tx: Tx, node_id: str) -> list[BaremetalPort]:
    """The NICs of a node whose switch ports join when its VIFs are plugged."""
    known = baremetal_ports.of_node(tx, node_id)
    return [nic for _, _, place in _attached(tx, node_id) for nic in links_of(place, known)]


def plug(tx: Tx, node: Node, *, bundled: bool = True) -> None:
    """All VIFs of the node get the links of their places: their switch ports join. Doing it again changes nothing.

    Not `bundled`: of each portgroup its primary NIC alone, for a ramdisk, which makes no bond and speaks no LACP.
    """
    nics = baremetal_ports.of_node(tx, node.id)
    with tx.elevated():
        for _, vif, place in _attached(tx, node.id):
            _bind(tx, node, vif, place, nics, links=True, bundled=bundled)


def unplug(tx: Tx, node: Node) -> None:
    """All VIFs of the node lose their links: their switch ports leave. They stay attached and bound to the node."""
    with tx.elevated():
        for _, vif, _ in _attached(tx, node.id):
            if _is_ours(tx, vif, node) and ports.get(tx, vif).host_id:
                ports.update(tx, vif, {"profile": {}})


def remap(tx: Tx, node: Node) -> None:
    """Choose the places of a node's VIFs anew, in the order of attachment, as if all were attached now.

    For a node whose portgroups or their priorities changed since; the VIFs that a client put somewhere by name stay.
    Those that move are unplugged.

    Raises:
        Conflict, Invalid: as `attach`; nothing is changed then.
    """
    nics, groups = baremetal_ports.of_node(tx, node.id), portgroups.of_node(tx, node.id)
    before = _attached(tx, node.id)
    moving = [(order, vif, place) for order, vif, place in before if not place.internal_info.get(VIF_PINNED)]
    for _, _, place in moving:
        nics, groups = _with_info(nics, groups, place, _without_vif(place))
    chosen: list[tuple[int, str, Place, Place]] = []
    for order, vif, old in moving:
        new = choose(vif, _physical_networks(tx, node, vif), nics, groups)
        nics, groups = _with_info(nics, groups, new, {**new.internal_info, TENANT_VIF: vif, VIF_ORDER: order})
        chosen.append((order, vif, old, new))
    changed = [(order, vif, old, new) for order, vif, old, new in chosen if old.id != new.id]
    # All leave before any joins: two VIFs of one network may be about to swap their MACs.
    for _, vif, old, _ in changed:
        _forget(tx, old)
        _unbind(tx, vif, node)
    for order, vif, _, new in changed:
        _record(tx, new, {**_without_vif(new), TENANT_VIF: vif, VIF_ORDER: order})
        _bind(tx, node, vif, new, nics, links=False)


def _bind(
    tx: Tx,
    node: Node,
    vif: str,
    place: Place,
    nics: Sequence[BaremetalPort],
    *,
    links: bool,
    bundled: bool = True,
) -> None:
    """Give the network port the place's MAC (only while it is unbound: Neutron refuses it later), then bind it.

    Raises:
        Invalid, Conflict: there is no such network port, or it is bound to another host.
    """
    port = _require_ours(tx, node, vif)
    mac = mac_of(place, nics)
    if mac is not None and port.mac_address != mac:
        if port.host_id:
            ports.update(tx, vif, {"host_id": "", "profile": {}})
        ports.update(tx, vif, {"mac_address": mac})
    group, joining = (place if isinstance(place, Portgroup) else None), links_of(place, nics)
    if group is not None and not bundled:
        primary = primary_nic(group, joining)
        group, joining = None, [primary] if primary is not None else []
    profile = binding_profile(joining, group) if links else {}
    ports.update(tx, vif, {"vnic_type": VNIC_BAREMETAL, "host_id": node.id, "profile": profile})


def _unbind(tx: Tx, vif: str, node: Node) -> None:
    """As Ironic: unbind first, and only then a new MAC. A network port that is gone or not ours is let be."""
    if not _is_ours(tx, vif, node):
        return
    ports.update(tx, vif, {"host_id": "", "profile": {}})
    ports.update(tx, vif, {"mac_address": None})


def _physical_networks(tx: Tx, node: Node, vif: str) -> set[str]:
    """The physical network of the VIF's network; empty when it has none.

    Raises:
        Invalid, Conflict: as `_require_ours`.
    """
    network = _require_ours(tx, node, vif).network_id
    found = tx.execute(sa.select(networks.c.physical_network).where(networks.c.id == network)).scalar_one()
    return {found} if found else set()


def _require_callers(tx: Tx, vif: str) -> None:
    """Refuse a VIF that is not the caller's to attach.

    Raises:
        Invalid: for the caller there is no such network port.
        Forbidden: it is another project's, on a network of the caller's.
    """
    try:
        access.require_own_port(tx, vif)
    except NotFound:
        raise _unknown(vif) from None


def _unknown(vif: str) -> Invalid:
    return Invalid(f"VIF {vif} is not a port that the Networking API knows", code="InvalidParameterValue", field="id")


def _require_ours(tx: Tx, node: Node, vif: str) -> NetworkPort:
    """The network port of a VIF.

    Raises:
        Invalid: there is no such network port.
        Conflict: it is bound to another host.
    """
    try:
        port = ports.get(tx, vif)
    except NotFound:
        raise _unknown(vif) from None
    if port.host_id not in {"", node.id}:
        host = f"host {port.host_id}" if tx.told.sees_all else "another host"  # which one a project is not shown
        raise Conflict(f"VIF {vif} is bound to {host}; detach it there first", code="VifAlreadyAttached")
    return port


def _is_ours(tx: Tx, vif: str, node: Node) -> bool:
    """Whether the network port is still there, and not bound to another host."""
    try:
        return ports.get(tx, vif).host_id in {"", node.id}
    except NotFound:
        return False


def _places(tx: Tx, node_id: str) -> list[Place]:
    return [*baremetal_ports.of_node(tx, node_id), *portgroups.of_node(tx, node_id)]


def _attached(tx: Tx, node_id: str) -> list[tuple[int, str, Place]]:
    """`(order, VIF, place)` of each VIF, in the order of attachment."""
    held = [(_order(place), place.vif, place) for place in _places(tx, node_id) if place.vif is not None]
    return sorted(((order, vif, place) for order, vif, place in held if vif), key=lambda item: item[:2])


def _order(place: Place) -> int:
    return int(place.internal_info.get(VIF_ORDER, 0))


def _without_vif(place: Place) -> dict[str, Any]:
    return {k: v for k, v in place.internal_info.items() if k not in {TENANT_VIF, VIF_ORDER, VIF_PINNED}}


def _forget(tx: Tx, place: Place) -> None:
    _record(tx, place, _without_vif(place))


def _record(tx: Tx, place: Place, info: dict[str, Any]) -> None:
    table = portgroups if isinstance(place, Portgroup) else baremetal_ports
    table.update(tx, place.id, {"internal_info": info})


def _with_info(
    nics: Sequence[BaremetalPort], groups: Sequence[Portgroup], place: Place, info: dict[str, Any]
) -> tuple[list[BaremetalPort], list[Portgroup]]:
    """The same NICs and portgroups, with other `internal_info` at one place."""
    return (
        [replace(nic, internal_info=info) if nic.id == place.id else nic for nic in nics],
        [replace(group, internal_info=info) if group.id == place.id else group for group in groups],
    )
