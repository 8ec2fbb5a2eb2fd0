"""Networks as rows, and the segment (VLAN) that each of them is."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ironlane.model.errors import Conflict, Invalid, NotFound
from ironlane.model.fabric import Side, Vlan
from ironlane.model.network import Network, NetworkType, PhysicalNetwork
from ironlane.store import access, physical_networks, rbac, segments
from ironlane.store.database import Tx
from ironlane.store.dhcp import EVERYTHING
from ironlane.store.listing import Listing
from ironlane.store.listing import page as page_of
from ironlane.store.ports import rebind_network
from ironlane.store.tables import networks, ports, subnets

MTU_MIN = 68
"""The least MTU that IPv4 allows (RFC 791)."""

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class NewNetwork:
    """What a client says of a network it creates; the provider attributes are None where it leaves the choice to us.

    One that is taken over from elsewhere keeps its `id` and its VLAN, whoever chose that there, and is told its `side`.
    """

    project_id: str = ""
    name: str = ""
    description: str = ""
    admin_state_up: bool = True
    shared: bool = False
    router_external: bool = False
    port_security_enabled: bool = True
    mtu: int | None = None
    network_type: str | None = None
    physical_network: str | None = None
    segmentation_id: int | None = None
    tags: Sequence[str] = ()
    id: str | None = None
    side: Side | None = None


CHANGEABLE = frozenset(
    {
        "name",
        "description",
        "admin_state_up",
        "shared",
        "router_external",
        "port_security_enabled",
        "mtu",
        "tags",
    }
)
"""Attributes that `update` takes."""


def create(tx: Tx, new: NewNetwork) -> Network:
    """Add a network.

    It gets the VLAN that the administrator names, or else the lowest free one of the tenants' range of the physical
    network that is named, or else of the default one. A network whose segment is named and that is not shared stands on
    the provider side (invariant I1); all others on the tenants'.

    Raises:
        Invalid: provider attributes that contradict each other or the physical network; an MTU that does not fit.
        Conflict: the segment is taken, or no VLAN is free.
    """
    network_id = new.id or str(uuid.uuid4())
    kind = _network_type(new)
    physical = _physical_network(tx, new, kind)
    named = kind is NetworkType.FLAT or new.segmentation_id is not None
    if new.side is not None:
        named = new.side is Side.PROVIDER
        if named and new.shared:
            raise Invalid("is true, so that it cannot stand on the provider side; do not share it", field="shared")
    row = {
        "id": network_id,
        "project_id": new.project_id,
        "name": new.name,
        "description": new.description,
        "admin_state_up": new.admin_state_up,
        "shared": False,
        "router_external": new.router_external,
        "port_security_enabled": new.port_security_enabled,
        "mtu": physical.mtu if new.mtu is None else _mtu(tx, new.mtu, physical),
        "network_type": kind.value,
        "physical_network": physical.name,
        "segmentation_id": _segment(tx, network_id, new, kind, physical),
        "provider_segment": named,
        "side": rbac.side(named, shared=False).value,
        "tags": list(new.tags),
        "created_at": tx.now,
        "updated_at": tx.now,
    }
    tx.execute(sa.insert(networks).values(**row))
    if new.shared:
        made = tx.execute(sa.select(networks).where(networks.c.id == network_id)).one()
        rbac.share(tx, made, True)
        tx.execute(sa.update(networks).where(networks.c.id == network_id).values(rbac.columns(tx, made)))
    return get(tx, network_id)


def update(tx: Tx, network_id: str, changes: Mapping[str, Any]) -> Network:
    """Change a network; keys are those of `CHANGEABLE`. A change that changes nothing leaves no trace.

    Taking a network down takes its ports off their switch ports; taking it up again puts them back.

    Raises:
        NotFound: no such network.
        Invalid: not an attribute that can change, or an MTU that does not fit.
        Conflict: `shared` would move the network to the other side while switch ports are on it, or take it from
            projects that use it.
    """
    unknown = sorted(changes.keys() - CHANGEABLE)
    if unknown:
        raise Invalid(f"cannot be changed on a network: {', '.join(unknown)}", field=unknown[0])
    before = tx.one(sa.select(networks).where(networks.c.id == network_id, *access.visible(tx.caller, networks)))
    if before is None:
        raise NotFound("network", network_id)
    access.require_change(tx, "update_network", before, changes)
    values: dict[str, Any] = {name: list(value) if name == "tags" else value for name, value in changes.items()}
    physical = physical_networks.find(tx, before.physical_network)
    if "mtu" in values and physical is not None:
        _mtu(tx, values["mtu"], physical)
    if "shared" in values:
        rbac.share(tx, before, values["shared"])
        values |= rbac.columns(tx, before)
    row = {name: value for name, value in values.items() if value != before._mapping[name]}
    if row:
        tx.execute(sa.update(networks).where(networks.c.id == network_id).values(**row, **_stamp(tx)))
    if row.keys() & {"admin_state_up", "mtu", "side"}:
        tx.hint("dhcp", EVERYTHING)
    if "admin_state_up" in row:
        rebind_network(tx, network_id)
    return get(tx, network_id)


def delete(tx: Tx, network_id: str) -> None:
    """Remove a network and its subnets. Its VLAN goes back when no switch carries it any more.

    Raises:
        NotFound: no such network.
        Conflict: ports are on it.
    """
    access.require_change(tx, "delete_network", get(tx, network_id))
    count = tx.execute(sa.select(sa.func.count()).where(ports.c.network_id == network_id)).scalar_one()
    if count:
        message = f"Unable to complete operation on network {network_id}. There are {count} ports still in use on it."
        raise Conflict(message, code="NetworkInUse")
    tx.execute(sa.delete(subnets).where(subnets.c.network_id == network_id))
    rbac.forget(tx, network_id)
    tx.execute(sa.delete(networks).where(networks.c.id == network_id))
    segments.release(tx, network_id)
    tx.hint("dhcp", EVERYTHING)


def get(tx: Tx, network_id: str) -> Network:
    """One network.

    Raises:
        NotFound: no such network.
    """
    row = tx.one(sa.select(networks).where(networks.c.id == network_id, *access.visible(tx.caller, networks)))
    if row is None:
        raise NotFound("network", network_id)
    return _from_rows(tx, [row])[0]


def page(tx: Tx, listing: Listing) -> tuple[list[Network], bool]:
    """The networks that a listing asks for, and whether there are more."""
    rows, more = page_of(tx, networks, listing, seen=access.visible(tx.caller, networks))
    return _from_rows(tx, rows), more


def _stamp(tx: Tx) -> dict[str, Any]:
    return {"revision_number": networks.c.revision_number + 1, "updated_at": tx.now}


def _network_type(new: NewNetwork) -> NetworkType:
    try:
        return NetworkType(new.network_type or NetworkType.VLAN)
    except ValueError:
        message = f"{new.network_type!r} is not supported; use one of {', '.join(NetworkType)}"
        raise Invalid(message, field="provider:network_type") from None


def _physical_network(tx: Tx, new: NewNetwork, kind: NetworkType) -> PhysicalNetwork:
    known = physical_networks.all_(tx)
    if new.physical_network is None:
        if kind is NetworkType.FLAT or new.segmentation_id is not None:
            message = "is required for a flat network, and with provider:segmentation_id"
            raise Invalid(message, field="provider:physical_network")
        if not known:
            message = "Unable to create the network. No physical network is configured; add one to the site file"
            raise Conflict(message, field="provider:physical_network", code="NoNetworkAvailable")
        return known[0]
    found = next((p for p in known if p.name == new.physical_network), None)
    if found is None:
        names = ", ".join(p.name for p in known) or "none"
        message = f"unknown physical network {new.physical_network!r}; the site has {names}"
        raise Invalid(message, field="provider:physical_network")
    return found


def _segment(tx: Tx, network_id: str, new: NewNetwork, kind: NetworkType, physical: PhysicalNetwork) -> Vlan | None:
    if kind is NetworkType.VLAN:
        if new.segmentation_id is None:
            return segments.allocate(tx, network_id, physical)
        return segments.claim(tx, network_id, physical, new.segmentation_id, anywhere=new.side is not None)
    if new.segmentation_id is not None:
        raise Invalid("a flat network has no segmentation id", field="provider:segmentation_id")
    flat = networks.c.network_type == NetworkType.FLAT.value
    if tx.all(sa.select(networks.c.id).where(flat, networks.c.physical_network == physical.name)):
        message = f"Unable to create the flat network. Physical network {physical.name} is in use."
        raise Conflict(message, field="provider:physical_network", code="FlatNetworkInUse")
    return None


def _mtu(tx: Tx, mtu: int, physical: PhysicalNetwork) -> int:
    if not MTU_MIN <= mtu <= physical.mtu:
        message = (
            f"{mtu} is not within {MTU_MIN} to {physical.mtu}, the MTU of {access.physical_network(tx, physical.name)}"
        )
        raise Invalid(message, field="mtu")
    return mtu


def _from_rows(tx: Tx, rows: Sequence[sa.Row[Any]]) -> list[Network]:
    found: dict[str, list[str]] = {}
    ids = [row.id for row in rows]
    for start in range(0, len(ids), _CHUNK):
        query = sa.select(subnets.c.network_id, subnets.c.id).order_by(subnets.c.created_at, subnets.c.id)
        for row in tx.all(query.where(subnets.c.network_id.in_(ids[start : start + _CHUNK]))):
            found.setdefault(row.network_id, []).append(row.id)
    return [_network(row, tuple(found.get(row.id, ()))) for row in rows]


def _network(row: sa.Row[Any], subnet_ids: tuple[str, ...]) -> Network:
    return Network(
        id=row.id,
        project_id=row.project_id,
        name=row.name,
        description=row.description,
        admin_state_up=row.admin_state_up,
        shared=row.shared,
        router_external=row.router_external,
        port_security_enabled=row.port_security_enabled,
        mtu=row.mtu,
        network_type=NetworkType(row.network_type),
        physical_network=row.physical_network,
        vlan=None if row.segmentation_id is None else Vlan(row.segmentation_id),
        side=Side(row.side),
        tags=tuple(row.tags),
        revision_number=row.revision_number,
        created_at=row.created_at,
        updated_at=row.updated_at or row.created_at,
        subnets=subnet_ids,
    )
