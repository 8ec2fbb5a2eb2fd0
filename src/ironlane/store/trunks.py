"""Trunks as rows: an untagged parent port and tagged sub-ports on the same switch ports.

The rules are those of Neutron's trunk plugin (neutron/services/trunk/rules.py), and one more that a plain switch makes:
the tag on the wire is the VLAN of the sub-port's network, see ADR 6. `admin_state_up` is a lock on the trunk's
composition, as in Neutron; it moves nothing on any switch.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ironlane.model.errors import Conflict, Invalid, NotFound
from ironlane.model.fabric import VLAN_MAX, VLAN_MIN, AttachmentState
from ironlane.model.network import SubPort, Trunk, TrunkStatus
from ironlane.store import access, subports
from ironlane.store.database import Tx
from ironlane.store.listing import Listing
from ironlane.store.listing import page as page_of
from ironlane.store.prepared import Prepared
from ironlane.store.tables import attachments, networks, ports, trunk_subports, trunks

VLAN_TYPE, INHERIT = "vlan", "inherit"

SUBPORTS_MAX = VLAN_MAX
"""Sub-ports of one trunk at the most: there are no more VLANs."""

_LIVE = sa.exists().where(attachments.c.state != AttachmentState.LEAVING.value)
_MEMBERS = sa.select(trunk_subports.c.port_id).where(trunk_subports.c.trunk_id == trunks.c.id).correlate(trunks)
_STATUS = sa.case(
    (~_LIVE.where(attachments.c.network_port_id == trunks.c.port_id).correlate(trunks), TrunkStatus.DOWN.value),
    (
        _LIVE.where(
            attachments.c.applied.is_(sa.false()),
            sa.or_(
                attachments.c.network_port_id == trunks.c.port_id,
                attachments.c.network_port_id.in_(_MEMBERS),
            ),
        ).correlate(trunks),
        TrunkStatus.BUILD.value,
    ),
    else_=TrunkStatus.ACTIVE.value,
)
_SHOWN = sa.select(trunks, _STATUS.label("status")).subquery("shown")
_BY_ID = Prepared(sa.select(_SHOWN).where(_SHOWN.c.id == sa.bindparam("id")))
_PORTS = Prepared(
    sa.select(
        *(ports.c[name] for name in ("id", "network_id", "device_id", "host_id", "trunk_id")),
        *(networks.c[name] for name in ("segmentation_id", "physical_network", "side", "mtu")),
        trunks.c.port_id.label("parent_id"),
    )
    .join_from(ports, networks, networks.c.id == ports.c.network_id)
    .outerjoin(trunks, trunks.c.id == ports.c.trunk_id)
    .where(ports.c.id.in_(sa.bindparam("ids", expanding=True)))
)


@dataclass(frozen=True, slots=True)
class NewSubPort:
    """What a client says of a sub-port. Without segmentation details it inherits its network's VLAN."""

    port_id: str
    segmentation_type: str | None = None
    segmentation_id: int | None = None


@dataclass(frozen=True, slots=True)
class NewTrunk:
    """What a client says of a trunk it creates."""

    port_id: str
    project_id: str = ""
    name: str = ""
    description: str = ""
    admin_state_up: bool = True
    sub_ports: Sequence[NewSubPort] = ()
    tags: Sequence[str] = ()
    id: str | None = None  # one that is taken over from elsewhere keeps it


CHANGEABLE = frozenset({"name", "description", "admin_state_up", "tags"})
"""Attributes that `update` takes."""


def create(tx: Tx, new: NewTrunk) -> Trunk:
    """Make a port a trunk's parent port. It may be bound already: its sub-ports then join at once.

    Raises:
        NotFound: no such port.
        Invalid: segmentation details that are malformed, or that a switch cannot do (ADR 6).
        Conflict: `TrunkPortInUse`, `ParentPortInUse`, `PortInUse`, `DuplicateSubPort`,
            `SubPortMtuGreaterThanTrunkPortMtu`.
    """
    trunk_id = new.id or str(uuid.uuid4())
    parent = _ports(tx, [new.port_id]).get(new.port_id)
    if parent is None:
        raise NotFound("port", new.port_id, field="port_id")
    _refuse_trunked(parent, "port_id")
    row = {
        "id": trunk_id,
        "project_id": new.project_id,
        "name": new.name,
        "description": new.description,
        "admin_state_up": new.admin_state_up,
        "port_id": new.port_id,
        "tags": list(new.tags),
        "created_at": tx.now,
        "updated_at": tx.now,
    }
    tx.execute(sa.insert(trunks), row)
    tx.execute(sa.update(ports).where(ports.c.id == new.port_id).values(trunk_id=trunk_id))
    _add(tx, trunk_id, parent, new.sub_ports)
    return get(tx, trunk_id)


def update(tx: Tx, trunk_id: str, changes: Mapping[str, Any]) -> Trunk:
    """Change a trunk; keys are those of `CHANGEABLE`. A change that changes nothing leaves no trace.

    Raises:
        NotFound: no such trunk.
        Invalid: not an attribute that can change.
    """
    unknown = sorted(changes.keys() - CHANGEABLE)
    if unknown:
        raise Invalid(f"cannot be changed on a trunk: {', '.join(unknown)}", field=unknown[0])
    before = get(tx, trunk_id)
    access.require_change(tx, "update_trunk", before)
    row = {n: list(v) if n == "tags" else v for n, v in changes.items()}
    row = {n: v for n, v in row.items() if v != (list(before.tags) if n == "tags" else getattr(before, n))}
    if row:
        _change(tx, trunk_id, **row)
    return get(tx, trunk_id)


def delete(tx: Tx, trunk_id: str) -> None:
    """Remove a trunk, bound or not. Its ports stay; those that were sub-ports leave their switch ports.

    Raises:
        NotFound: no such trunk.
        Conflict: `TrunkDisabled`.
    """
    trunk = _managed(tx, trunk_id, "delete_trunk")
    subports.release(tx, [s.port_id for s in trunk.sub_ports])
    tx.execute(sa.update(ports).where(ports.c.id == trunk.port_id).values(trunk_id=None))
    tx.execute(sa.delete(trunk_subports).where(trunk_subports.c.trunk_id == trunk_id))
    tx.execute(sa.delete(trunks).where(trunks.c.id == trunk_id))


def add_subports(tx: Tx, trunk_id: str, news: Sequence[NewSubPort]) -> Trunk:
    """Give a trunk more sub-ports. If its parent port is bound they join its switch ports, and nothing else changes.

    Raises:
        NotFound: no such trunk or port.
        Invalid, Conflict: as `create`; Conflict `TrunkDisabled`.
    """
    trunk = _managed(tx, trunk_id, "add_subports")
    for index, new in enumerate(news):
        access.require_own_port(tx, new.port_id, field=_at(index, "port_id"))
    if len(trunk.sub_ports) + len(news) > SUBPORTS_MAX:
        raise Invalid(f"a trunk has at most {SUBPORTS_MAX} sub-ports", field="sub_ports")
    if news:
        _add(tx, trunk_id, _ports(tx, [trunk.port_id])[trunk.port_id], news, trunk.sub_ports)
        _change(tx, trunk_id)
    return get(tx, trunk_id)


def remove_subports(tx: Tx, trunk_id: str, port_ids: Sequence[str]) -> Trunk:
    """Take sub-ports off a trunk. They leave its switch ports, and nothing else changes.

    Raises:
        NotFound: no such trunk, or a port that is none of its sub-ports (`SubPortNotFound`).
        Conflict: `TrunkDisabled`.
    """
    trunk = _managed(tx, trunk_id, "remove_subports")
    present = {s.port_id for s in trunk.sub_ports}
    for index, port_id in enumerate(port_ids):
        if port_id not in present:
            raise NotFound(f"subport of trunk {trunk_id}", port_id, code="SubPortNotFound", field=_at(index, "port_id"))
    if port_ids:
        subports.release(tx, set(port_ids))
        tx.execute(sa.delete(trunk_subports).where(trunk_subports.c.port_id.in_(sorted(set(port_ids)))))
        _change(tx, trunk_id)
    return get(tx, trunk_id)


def get(tx: Tx, trunk_id: str) -> Trunk:
    """One trunk.

    Raises:
        NotFound: no such trunk.
    """
    row = tx.execute(_BY_ID, {"id": trunk_id}).one_or_none()
    if row is None:
        raise NotFound("trunk", trunk_id)
    access.require_visible(tx, "trunk", trunks, trunk_id)
    return _from_rows(tx, [row])[0]


def page(tx: Tx, listing: Listing) -> tuple[list[Trunk], bool]:
    """The trunks that a listing asks for, and whether there are more."""
    rows, more = page_of(tx, _SHOWN, listing, seen=access.visible(tx.caller, _SHOWN))
    return _from_rows(tx, rows), more


def _managed(tx: Tx, trunk_id: str, rule: str) -> Trunk:
    """A trunk whose composition may change, and by the caller."""
    trunk = get(tx, trunk_id)
    access.require_change(tx, rule, trunk)
    if not trunk.admin_state_up:
        message = f"Trunk {trunk_id} is currently disabled; set admin_state_up to true first"
        raise Conflict(message, code="TrunkDisabled")
    return trunk


def _change(tx: Tx, trunk_id: str, **values: Any) -> None:
    stamp = {"revision_number": trunks.c.revision_number + 1, "updated_at": tx.now}
    tx.execute(sa.update(trunks).where(trunks.c.id == trunk_id).values(**values, **stamp))


def _add(
    tx: Tx, trunk_id: str, parent: sa.Row[Any], news: Sequence[NewSubPort], present: Sequence[SubPort] = ()
) -> None:
    if not news:
        return
    found = _ports(tx, [new.port_id for new in news])
    seen: set[str] = set()
    tags = {int(s.segmentation_id) for s in present}
    for index, new in enumerate(news):
        if new.port_id in seen:
            raise Invalid(f"port {new.port_id} is named twice", field=_at(index, "port_id"))
        seen.add(new.port_id)
        row = found.get(new.port_id)
        if row is None:
            raise NotFound("port", new.port_id, field=_at(index, "port_id"))
        _check_free(tx, row, parent, index)
        tag = _segmentation(new, row, index)
        _check_network(tx, row, parent, index)
        if tag in tags or tag == parent.segmentation_id:
            holder = f"already in use on trunk {trunk_id}" if tag in tags else "the parent port's untagged VLAN"
            message = f"segmentation_type {VLAN_TYPE} and segmentation_id {tag} is {holder}."
            raise Conflict(message, code="DuplicateSubPort", field=_at(index, "segmentation_id"))
        tags.add(tag)
    rows = [
        {"port_id": n.port_id, "trunk_id": trunk_id, "segmentation_id": found[n.port_id].segmentation_id} for n in news
    ]
    tx.execute(sa.insert(trunk_subports), rows)
    subports.own(tx, trunk_id, seen)
    subports.follow(tx, trunk_id)


def _segmentation(new: NewSubPort, row: sa.Row[Any], index: int) -> int:
    """The tag of a new sub-port: its network's VLAN, whether the client says so or leaves it to us.

    Raises:
        Invalid: anything else, because a switch that does not translate tags cannot do it.
    """
    kind, tag, where = new.segmentation_type, new.segmentation_id, _at(index, "segmentation_id")
    if kind is None and tag is not None:
        raise Invalid(
            "is missing: both segmentation_type and segmentation_id, or neither",
            field=_at(index, "segmentation_type"),
        )
    if kind not in {None, VLAN_TYPE, INHERIT}:
        raise Invalid(f"{kind!r} is not one of {VLAN_TYPE}, {INHERIT}", field=_at(index, "segmentation_type"))
    if kind == VLAN_TYPE and tag is None:
        raise Invalid(f"is missing: a VLAN id; or use segmentation_type {INHERIT}", field=where)
    if tag is not None and not VLAN_MIN <= tag <= VLAN_MAX:
        raise Invalid(f"{tag} is not a VLAN id from {VLAN_MIN} to {VLAN_MAX}", field=where)
    if row.segmentation_id is None:
        message = f"network {row.network_id} of port {row.id} has no VLAN that a switch port could carry"
        raise Invalid(message, field=_at(index, "port_id"))
    if tag not in {None, row.segmentation_id}:
        raise Invalid(
            f"{tag} is not the VLAN of network {row.network_id}, and switches do not translate tags;"
            f" name {row.segmentation_id}, or use segmentation_type {INHERIT}",
            field=where,
        )
    return int(row.segmentation_id)


def _check_free(tx: Tx, row: sa.Row[Any], parent: sa.Row[Any], index: int) -> None:
    """Raises: Conflict, when a port is used for something else already."""
    where = _at(index, "port_id")
    if row.id == parent.id:
        message = f"Port {row.id} is currently in use and is not eligible for use as a subport: it is the parent port"
        raise Conflict(message, code="ParentPortInUse", field=where)
    _refuse_trunked(row, where)
    if row.device_id or row.host_id:
        user = row.device_id or (row.host_id if tx.caller.sees_all else "on a host")
        raise Conflict(
            f"Unable to complete operation on port {row.id} for network {row.network_id}."
            f" Port already has an attached device {user}.",
            code="PortInUse",
            field=where,
        )


def _refuse_trunked(row: sa.Row[Any], where: str) -> None:
    if row.trunk_id is None:
        return
    if row.parent_id == row.id:
        message = f"Port {row.id} is currently in use as the parent port of trunk {row.trunk_id}."
        raise Conflict(message, code="ParentPortInUse", field=where)
    raise Conflict(f"Port {row.id} is in use by another trunk {row.trunk_id}.", code="TrunkPortInUse", field=where)


def _check_network(tx: Tx, row: sa.Row[Any], parent: sa.Row[Any], index: int) -> None:
    """Raises: Invalid, Conflict, when a network cannot be on the switch ports of the parent port's network."""
    where = _at(index, "port_id")
    if row.physical_network != parent.physical_network:
        message = f"network {row.network_id} is on another physical network than the parent port's"
        if tx.caller.sees_all:  # which one a network is on is not for everybody
            message += f": {row.physical_network}, and the parent port's on {parent.physical_network}"
        raise Invalid(message, field=where)
    if row.side != parent.side:
        raise Invalid(
            f"network {row.network_id} is a {row.side} network, the parent port's a {parent.side} network:"
            " a server is never on both sides",
            field=where,
        )
    if row.mtu > parent.mtu:
        raise Conflict(
            f"MTU {row.mtu} of subport {row.id} cannot be greater than MTU {parent.mtu} of parent port {parent.id}.",
            code="SubPortMtuGreaterThanTrunkPortMtu",
            field=where,
        )


def _ports(tx: Tx, ids: Sequence[str]) -> dict[str, sa.Row[Any]]:
    return {row.id: row for row in tx.execute(_PORTS, {"ids": sorted(set(ids))})}


def _at(index: int, attribute: str) -> str:
    return f"sub_ports[{index}].{attribute}"


def _from_rows(tx: Tx, rows: Sequence[sa.Row[Any]]) -> list[Trunk]:
    members = subports.of_trunks(tx, [row.id for row in rows])
    return [_trunk(row, members[row.id]) for row in rows]


def _trunk(row: sa.Row[Any], members: tuple[SubPort, ...]) -> Trunk:
    return Trunk(
        id=row.id,
        project_id=row.project_id,
        name=row.name,
        description=row.description,
        admin_state_up=row.admin_state_up,
        port_id=row.port_id,
        status=TrunkStatus(row.status),
        tags=tuple(row.tags),
        revision_number=row.revision_number,
        created_at=row.created_at,
        updated_at=row.updated_at or row.created_at,
        sub_ports=members,
    )
