"""Wishes of network ports that live in somebody else's Neutron: rows of their own, attachments as everybody's.

Who hands them over is told a binding's status as our own network ports are: `settling` sets it after a read-back. The
revision of the network port says which of two wishes is the newer one, in whatever order they arrive (ADR 18).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from ironlane.model.errors import Conflict, Invalid, NotFound
from ironlane.model.fabric import HostId, Side, Vlan
from ironlane.model.link import parse_group, parse_links
from ironlane.store.attachments import of_network_port
from ironlane.store.bindings import Wish, bind, set_status, unbind
from ironlane.store.database import Tx
from ironlane.store.foreign_changes import advance
from ironlane.store.prepared import Prepared
from ironlane.store.segments import idle_vlans
from ironlane.store.settling import release_segments
from ironlane.store.subports import Member, place
from ironlane.store.tables import foreign_bindings, networks, ports, segments

_LINKS = "profile.local_link_information"

REMEMBERED = timedelta(days=1)
"""For how long a binding that was taken back is remembered: no repetition of it comes later than that."""

_WISH = ("network_id", "physical_network", "vlan", "side", "host_id", "profile", "parent_id")
_BY_ID = Prepared(sa.select(foreign_bindings).where(foreign_bindings.c.id == sa.bindparam("id")))
_SEGMENT = Prepared(
    sa.select(segments).where(
        segments.c.physical_network == sa.bindparam("physical"), segments.c.vlan == sa.bindparam("its_vlan")
    )
)


@dataclass(frozen=True, slots=True)
class ForeignWish:
    """What a network port elsewhere asks for. `profile` is its `binding:profile`.

    A trunk's sub-port names the trunk's parent port as `parent` and has no host and links of its own.
    """

    network_id: str
    vlan: int | None = None
    physical_network: str = ""
    side: Side = Side.TENANT
    host_id: str = ""
    profile: Mapping[str, Any] = field(default_factory=dict)
    parent_id: str | None = None

    def row(self) -> dict[str, Any]:
        return {**{name: getattr(self, name) for name in _WISH}, "profile": dict(self.profile), "side": self.side.value}


@dataclass(frozen=True, slots=True)
class ForeignBinding:
    """A wish, the revision of the network port that it is of, and what became of it."""

    id: str
    revision: int
    wish: ForeignWish
    status: str
    reason: str
    change: int
    updated_at: datetime | None


def put(tx: Tx, ident: str, revision: int, wish: ForeignWish) -> tuple[ForeignBinding, bool]:
    """Make `wish` what a foreign network port asks for. Returns it, and whether it is new. Repeating it is harmless.

    Raises:
        Conflict: `StaleRevision`, a newer wish is on record, or it was taken back since; its VLAN is another network's;
            what `bindings.bind` raises.
        Invalid: malformed links or portgroup parameters; what `bindings.bind` raises.
    """
    row = tx.execute(_BY_ID, {"id": ident}).one_or_none()
    live = row is not None and row.withdrawn_at is None
    if row is not None and (revision < row.revision or (not live and revision == row.revision)):
        raise _stale(ident, revision, row)
    if live and row is not None and all(getattr(row, name) == value for name, value in wish.row().items()):
        if revision != row.revision:
            _write(tx, ident, {"revision": revision})
        return get(tx, ident), False
    _refuse_ours(tx, ident, wish)
    _claim(tx, wish)
    values = {**wish.row(), "revision": revision, "withdrawn_at": None, "change": advance(tx, ident)}
    if row is None:
        tx.execute(sa.insert(foreign_bindings).values(id=ident, **values, created_at=tx.now, updated_at=tx.now))
    else:
        _write(tx, ident, {**values, "updated_at": tx.now})
    before = row.parent_id if row is not None else None
    if before is not None and wish.parent_id is None:
        unbind(tx, ident)  # its tags are another thing than what it asks for now
    if wish.parent_id is None:
        _bind(tx, ident, wish)
    for parent in {wish.parent_id or ident, before or ident}:
        _follow(tx, parent)
    _release_unused(tx, {wish.network_id} | ({row.network_id} if row is not None else set()))
    return get(tx, ident), not live


def withdraw(tx: Tx, ident: str, revision: int | None = None) -> None:
    """The network port is gone, or unbound. Its attachments stay on record until the switches are seen to be clean.

    With `revision` the binding need not be known: what is still on its way of it will be refused.

    Raises:
        NotFound: no such binding, and no revision.
        Conflict: `StaleRevision`, a newer wish is on record.
    """
    row = tx.execute(_BY_ID, {"id": ident}).one_or_none()
    if row is None:
        if revision is None:
            raise NotFound("binding", ident)
        gone = {"revision": revision, "network_id": "", "withdrawn_at": tx.now, "created_at": tx.now}
        tx.execute(sa.insert(foreign_bindings).values(id=ident, change=advance(tx, ident), **gone))
        return
    if revision is not None and revision < row.revision:
        raise _stale(ident, revision, row)
    if row.withdrawn_at is None:
        unbind(tx, ident)
        _write(tx, ident, {"withdrawn_at": tx.now, "parent_id": None, "change": advance(tx, ident)})
        _follow(tx, ident)
        _release_unused(tx, {row.network_id})
    _write(tx, ident, {"revision": max(row.revision, revision or 0)})
    _forget(tx)


def get(tx: Tx, ident: str) -> ForeignBinding:
    """One binding.

    Raises:
        NotFound: no such binding, or it was taken back.
    """
    row = tx.execute(_BY_ID, {"id": ident}).one_or_none()
    if row is None or row.withdrawn_at is not None:
        raise NotFound("binding", ident)
    return _binding(row)


def changed(tx: Tx, after: int = 0) -> list[ForeignBinding]:
    """All bindings with a change later than `after`, in the order of their latest changes."""
    live = foreign_bindings.c.withdrawn_at.is_(None), foreign_bindings.c.change > after
    return [
        _binding(row) for row in tx.all(sa.select(foreign_bindings).where(*live).order_by(foreign_bindings.c.change))
    ]


def _bind(tx: Tx, ident: str, wish: ForeignWish) -> None:
    links, group = parse_links(wish.profile, where="profile"), parse_group(wish.profile, where="profile")
    if not links:
        raise Invalid("is missing: the switch ports that the network port is bound to", field=_LINKS)
    bind(
        tx,
        Wish(
            network_port=ident,
            network=wish.network_id,
            host=HostId(wish.host_id),
            vlan=None if wish.vlan is None else Vlan(wish.vlan),
            physical_network=wish.physical_network,
            side=wish.side,
            links=links,
            group=group,
        ),
        where="profile",
    )


def _follow(tx: Tx, parent: str) -> None:
    """Have the sub-ports of a parent port be where it is; those that have no parent port any more leave."""
    row = tx.execute(_BY_ID, {"id": parent}).one_or_none()
    rows = tx.all(
        sa.select(foreign_bindings)
        .where(foreign_bindings.c.parent_id == parent, foreign_bindings.c.withdrawn_at.is_(None))
        .order_by(foreign_bindings.c.vlan)
    )
    if not rows:
        return
    host = "" if row is None or row.withdrawn_at is not None else row.host_id
    place(tx, parent, host, [Member(r.id, r.network_id, r.vlan, r.side) for r in rows])
    idle = {r.id: ("DOWN", f"its parent port {parent} is not bound") for r in rows if not of_network_port(tx, r.id)}
    set_status(tx, idle)


def _refuse_ours(tx: Tx, ident: str, wish: ForeignWish) -> None:
    for noun, table, given in (("network port", ports, ident), ("network", networks, wish.network_id)):
        if tx.one(sa.select(table.c.id).where(table.c.id == given)) is not None:
            raise Conflict(f"{noun} {given} is Ironlane's own; bind it with the Networking API", code="NotForeign")
    if wish.parent_id is not None and wish.vlan is None:
        raise Invalid("is missing: the sub-port's tag", field="vlan")


def _claim(tx: Tx, wish: ForeignWish) -> None:
    """The VLAN is the network's from now on: our own networks are not given it (invariant I3).

    Raises:
        Conflict: it is another network's, ours or foreign, or one that idle switch ports carry.
    """
    if wish.vlan is None:
        return
    where = {"physical": wish.physical_network, "its_vlan": wish.vlan}
    row = tx.execute(_SEGMENT, where).one_or_none()
    place_ = f"VLAN {wish.vlan} on physical network {wish.physical_network or '(none)'}"
    if row is not None and row.network_id != wish.network_id:
        still = ", which is gone but still on a switch" if row.released else ""
        message = f"{place_} is in use by network {row.network_id}{still}; network {wish.network_id} cannot have it too"
        raise Conflict(message, field="vlan", code="VlanIdInUse")
    if row is None:
        if wish.vlan in idle_vlans(tx, wish.physical_network):
            raise Conflict(f"{place_} is the idle VLAN of a switch", field="vlan", code="VlanIdInUse")
        own = {"physical_network": wish.physical_network, "vlan": wish.vlan, "network_id": wish.network_id}
        tx.execute(sa.insert(segments).values(**own, released=False))


def _release_unused(tx: Tx, network_ids: Collection[str]) -> None:
    """VLANs that foreign networks have no binding for any more go back, once no switch carries them."""
    for network in sorted(set(network_ids) - {""}):
        used = sa.select(foreign_bindings.c.physical_network, foreign_bindings.c.vlan)
        live = foreign_bindings.c.network_id == network, foreign_bindings.c.withdrawn_at.is_(None)
        wanted = {(row.physical_network, row.vlan) for row in tx.all(used.where(*live).distinct())}
        for row in tx.all(sa.select(segments).where(segments.c.network_id == network)):
            released = (row.physical_network, row.vlan) not in wanted
            if released is not row.released:
                its = segments.c.physical_network == row.physical_network, segments.c.vlan == row.vlan
                tx.execute(sa.update(segments).where(*its).values(released=released))
    release_segments(tx, network_ids)


def _forget(tx: Tx) -> None:
    old = foreign_bindings.c.withdrawn_at < tx.now - REMEMBERED
    tx.execute(sa.delete(foreign_bindings).where(old))


def _write(tx: Tx, ident: str, values: Mapping[str, Any]) -> None:
    tx.execute(sa.update(foreign_bindings).where(foreign_bindings.c.id == ident).values(**values))


def _stale(ident: str, revision: int, row: sa.Row[Any]) -> Conflict:
    what = "its withdrawal" if row.withdrawn_at is not None else "a wish"
    message = f"revision {revision} of binding {ident} is late: {what} of revision {row.revision} is on record"
    return Conflict(message, field="revision", code="StaleRevision")


def _binding(row: sa.Row[Any]) -> ForeignBinding:
    wish = ForeignWish(**{name: getattr(row, name) for name in _WISH if name != "side"}, side=Side(row.side))
    return ForeignBinding(
        row.id, row.revision, wish, row.status, row.status_reason, row.change, row.updated_at or row.created_at
    )
