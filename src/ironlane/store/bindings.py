"""Network ports on switch ports: the wishes that the fabric loop fulfils.

`bind` and `unbind` write attachments in the same transaction as the network port itself; `settling` records what became
of them. Between them they keep I1 (break before make), I2 and I3 as rows; the loop keeps them on the wire.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

import sqlalchemy as sa

from ironlane.model.admission import admit, held_reason
from ironlane.model.errors import Conflict, Invalid
from ironlane.model.fabric import Attachment, AttachmentState, HostId, Lag, LagSupport, Mlag, Side, SwitchId, Vlan
from ironlane.model.link import GroupParameters, LagSettings, LocalLink, lag_settings
from ironlane.store import foreign_changes, holdings
from ironlane.store.attachments import around, lag_to_json, of_network_port, support_from_json
from ironlane.store.database import Tx
from ironlane.store.prepared import Meaning, Prepared
from ironlane.store.tables import attachments, lag_claims, ports, switch_ports, switches


class _Able(NamedTuple):
    """What a switch can do for LAGs."""

    switch: SwitchId
    kind: str
    mlag_peer: str | None
    can: LagSupport


LEAVING, HELD, WANTED = AttachmentState.LEAVING, AttachmentState.HELD, AttachmentState.WANTED
WITHHELD = AttachmentState.WITHHELD

_SWITCH_AND_PORT = sa.select(
    switches.c.id, switches.c.physical_network, switches.c.reason, switch_ports.c.name
).outerjoin_from(
    switches,
    switch_ports,
    (switch_ports.c.switch_id == switches.c.id) & (switch_ports.c.name == sa.bindparam("port")),
)
_BY_SWITCH_ID = Prepared(
    _SWITCH_AND_PORT.where(
        (switches.c.mac == sa.bindparam("switch")) | (switches.c.datapath_id == sa.bindparam("switch"))
    )
)
_BY_NAME = Prepared(_SWITCH_AND_PORT.where(switches.c.id == sa.bindparam("switch")))
_NUMBERS = Prepared(
    sa.select(lag_claims.c.number).where(lag_claims.c.switch_id.in_(sa.bindparam("switches", expanding=True))),
    Meaning[int](lambda row: row.number),
)
_OWN_CLAIMS = Prepared(
    sa.select(lag_claims.c.switch_id).where(
        lag_claims.c.network_port_id == sa.bindparam("network_port"), lag_claims.c.number == sa.bindparam("number")
    )
)
_LAG_SUPPORT = Prepared(
    sa.select(switches.c.id, switches.c.kind, switches.c.mlag_peer, switches.c.lags).where(
        switches.c.id.in_(sa.bindparam("switches", expanding=True))
    ),
    Meaning[_Able](
        lambda row: _Able(SwitchId(row.id), row.kind, row.mlag_peer, support_from_json(row.lags) or LagSupport())
    ),
)
_ADD_CLAIM, _ADD = Prepared(sa.insert(lag_claims)), Prepared(sa.insert(attachments))
_LEAVE = Prepared(
    sa.update(attachments)
    .where(attachments.c.id.in_(sa.bindparam("ids", expanding=True)))
    .values(state=LEAVING.value, applied=sa.false())
)
_FREE = Prepared(
    sa.update(attachments)
    .where(attachments.c.id.in_(sa.bindparam("ids", expanding=True)))
    .values(state=WANTED.value, withheld_by=None, reason="", retry_at=None, attempts=0, applied=sa.false())
)
_DROP = Prepared(sa.delete(attachments).where(attachments.c.id.in_(sa.bindparam("ids", expanding=True))))
_TOUCH = Prepared(
    sa.update(switches)
    .where(switches.c.id.in_(sa.bindparam("ids", expanding=True)))
    .values(generation=switches.c.generation + 1, due_at=sa.bindparam("now"))
)
_STATUS = Prepared(
    sa.update(ports)
    .where(ports.c.id == sa.bindparam("port"))
    .values(status=sa.bindparam("its_status"), status_reason=sa.bindparam("reason"))
)
_CLAIMS_OF = Prepared(
    sa.select(lag_claims).where(lag_claims.c.network_port_id.in_(sa.bindparam("ids", expanding=True)))
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a network port asks of the fabric when it is bound. `links` are its physical ports; none: no switch."""

    network_port: str
    network: str
    host: HostId
    vlan: Vlan | None
    physical_network: str
    side: Side
    links: Sequence[LocalLink]
    group: GroupParameters | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """A switch port that a wish names; `fault` is why its switch does not do what it should, if so."""

    switch: SwitchId
    port: str
    fault: str


def bind(tx: Tx, wish: Wish, *, where: str = "binding:profile") -> None:
    """Make `wish` the port's one wish: what it asked for before and does not now starts to leave.

    Binding again with an equal wish changes nothing (clients repeat themselves). The port's status is set.

    Raises:
        Invalid: unknown switch, unmanaged switch port, wrong physical network, a network without a VLAN.
        Conflict: the switch port is wanted by another network port already, or no LAG id is free.
    """
    places = _places(tx, wish, where)
    near = around(tx, [wish.host], [(p.switch, p.port) for p in places], [wish.network_port])
    present = [a for a in near if a.network_port == wish.network_port and a.state is not LEAVING]
    if not places:
        # The links say that no switch of ours is on them: there is nothing to configure, nor to read back.
        leave(tx, present)
        set_status(tx, {wish.network_port: ("ACTIVE", "")})
        return
    lag = _lag(tx, wish, places, present, where)
    wanted = {(p.switch, p.port, wish.host, wish.vlan, lag) for p in places}
    same = [a for a in present if (a.switch, a.port, a.host, a.vlan, a.lag) in wanted]
    if len(same) == len(present) == len(places):
        return
    _refuse_taken(tx, near, wish, places, where)
    gone = [a for a in present if a not in same]
    stays = [a for a in near if a not in gone]
    stays += [replace(a, state=LEAVING, applied=False) for a in gone if a.state is not HELD]
    kept = {(a.switch, a.port) for a in same}
    added = [_attachment(tx, wish, p, lag) for p in places if (p.switch, p.port) not in kept]
    admitted = {a.id for a in admit([*stays, *added])}
    freed = [*(a for a in same if a.id in admitted), *orphans(same, {p.switch for p in places})]
    freed = [replace(a, state=WANTED) for a in freed]  # what they waited for was dropped with `gone`
    waited_for = [p for p in places if (p.switch, p.port) not in {(a.switch, a.port) for a in same if a.applied}]
    added = _all_or_none([replace(a, state=WANTED) if a.id in admitted else a for a in added], waited_for)
    join(tx, added, freed)
    leave(tx, gone)  # only now: the LAG id that the new ones use must not look free in between
    live = [*unread(freed), *(a for a in same if a.id not in {f.id for f in freed}), *added]
    status, reason = status_of(live, [*stays, *added], {p.switch: p.fault for p in places})
    set_status(tx, {wish.network_port: (status, reason)})


def unbind(tx: Tx, network_port: str) -> None:
    """The port asks for nothing any more. Its attachments stay on record until the switches are seen to be clean.

    Nothing that waits is admitted by this: what leaves stands in its way until it is gone.
    """
    present = [a for a in of_network_port(tx, network_port) if a.state is not LEAVING]
    leave(tx, present)
    set_status(tx, {network_port: status_of([], [], {})})


def join(tx: Tx, added: Sequence[Attachment], freed: Sequence[Attachment] = ()) -> None:
    """Put new attachments on record, and held ones that are `freed`; both are in the state that they are to have."""
    if added:
        tx.execute(_ADD, [_row(a) for a in added])
    if freed:
        tx.execute(_FREE, {"ids": [a.id for a in freed]})
        holdings.end(tx, [a.id for a in freed if a.applied])
    touch(tx, {a.switch for a in [*added, *freed] if a.state is WANTED})


def orphans(kept: Sequence[Attachment], places: Collection[str]) -> list[Attachment]:
    """Those that wait for a switch that none of the network port's links is on any more."""
    return [a for a in kept if a.state is WITHHELD and a.withheld_by not in places]


def unread(freed: Sequence[Attachment]) -> list[Attachment]:
    """What waited may be carried still, or be taken off just now: it has to be read back anew."""
    return [replace(a, applied=False) for a in freed]


def leave(tx: Tx, leaving: Sequence[Attachment]) -> None:
    """Held attachments were never on a wire and just go; all others may be, and stay on record as leaving."""
    held, wanted = [a for a in leaving if a.state is HELD], [a for a in leaving if a.state is not HELD]
    if held:
        drop(tx, held)
    if wanted:
        tx.execute(_LEAVE, {"ids": [a.id for a in wanted]})
        touch(tx, {a.switch for a in wanted})


def drop(tx: Tx, gone: Collection[Attachment]) -> None:
    """Delete attachments that are on no switch, and free the LAG ids that nothing on record uses any more."""
    tx.execute(_DROP, {"ids": [a.id for a in gone]})
    owners = {a.network_port for a in gone if a.lag is not None and not a.tagged}  # a LAG is the parent port's
    if not owners:
        return
    claims = tx.execute(_CLAIMS_OF, {"ids": sorted(owners)}).all()
    used = {(a.network_port, a.lag.number) for a in around(tx, (), (), owners) if a.lag is not None}
    for claim in claims:
        if (claim.network_port_id, claim.number) not in used:
            freed = (lag_claims.c.switch_id == claim.switch_id) & (lag_claims.c.number == claim.number)
            tx.execute(sa.delete(lag_claims).where(freed))


def touch(tx: Tx, which: Collection[str]) -> None:
    """What should be has changed on these switches: a new generation, due at once."""
    if which:
        tx.execute(_TOUCH, {"ids": sorted(which), "now": tx.now})
        for switch in which:
            tx.hint("switch", switch)


def set_status(tx: Tx, statuses: dict[str, tuple[str, str]]) -> None:
    """Write `(status, reason)` of network ports, ours or foreign; those that are deleted by now are let be."""
    if not statuses:
        return
    found = tx.execute(
        _STATUS,
        [{"port": port, "its_status": status, "reason": reason} for port, (status, reason) in statuses.items()],
    )
    if found.rowcount != len(statuses):  # some are not ours; not every database counts, then we look
        foreign_changes.set_status(tx, statuses)


def status_of(live: Sequence[Attachment], near: Collection[Attachment], faults: dict[SwitchId, str]) -> tuple[str, str]:
    """`(status, reason)` of a network port: ACTIVE only when all that it asks for was read back.

    `live` are its attachments that do not leave, `near` all that may stand in their way, `faults` what is wrong with
    their switches.
    """
    if not live:
        return "DOWN", "not bound to a switch port"
    withheld = next((a for a in live if a.state is WITHHELD), None)
    if withheld is not None:
        by = withheld.withheld_by
        return "DOWN", f"switch {by}: {withheld.reason or (faults.get(by) if by else None) or 'does not take its part'}"
    waiting = [a for a in live if not a.applied]
    if not waiting:
        return "ACTIVE", ""
    held = next((a for a in waiting if a.state is HELD), None)
    if held is not None:
        beside = [a for a in near if a.host == held.host or a.switch_port == held.switch_port]
        return "DOWN", held_reason(held, beside)
    faulty = next((a for a in waiting if faults.get(a.switch)), None)
    if faulty is not None:
        return "DOWN", f"switch {faulty.switch}: {faults[faulty.switch]}"
    return "DOWN", f"waiting for switch {waiting[0].switch} ({waiting[0].port})"


def _places(tx: Tx, wish: Wish, where: str) -> list[_Place]:
    """The managed switch ports that the wish's links name."""
    managed = [(index, link) for index, link in enumerate(wish.links) if not link.unmanaged]
    if managed and wish.vlan is None:
        raise Invalid(f"network {wish.network} has no VLAN that a switch port could carry", field="network_id")
    places = []
    for index, link in managed:
        path = f"{where}.local_link_information[{index}]"
        row = _find_switch(tx, link, path)
        if row.physical_network and wish.physical_network and row.physical_network != wish.physical_network:
            raise Invalid(
                f"switch {row.id} is on physical network {row.physical_network},"
                f" network {wish.network} is on {wish.physical_network}",
                field=f"{path}.switch_id",
            )
        if row.name is None:
            raise Invalid(
                f"{link.port_id!r} is not a port of switch {row.id} that Ironlane manages; add it to the site file",
                field=f"{path}.port_id",
            )
        places.append(_Place(SwitchId(row.id), link.port_id, row.reason))
    if len({(p.switch, p.port) for p in places}) != len(places):
        raise Invalid("names the same switch port twice", field=f"{where}.local_link_information")
    return places


def _find_switch(tx: Tx, link: LocalLink, where: str) -> sa.Row[Any]:
    """The switch that a link names (by `switch_id` first, then by the name in `switch_info`), with its port if owned.

    Raises:
        Invalid: there is no such switch.
    """
    if link.switch_id is not None:
        row = tx.execute(_BY_SWITCH_ID, {"switch": link.switch_id, "port": link.port_id}).one_or_none()
        if row is not None:
            return row
    if link.switch_info:
        row = tx.execute(_BY_NAME, {"switch": link.switch_info, "port": link.port_id}).one_or_none()
        if row is not None:
            return row
    field = f"{where}.switch_id" if link.switch_id else f"{where}.switch_info"
    raise Invalid(f"switch {link.switch_id or link.switch_info} is not known; add it to the site file", field=field)


def _lag(tx: Tx, wish: Wish, places: Sequence[_Place], present: Sequence[Attachment], where: str) -> Lag | None:
    """The LAG that the wish's links form, with the number it has already or the lowest that is free on all switches."""
    if wish.group is None or not places:
        return None
    path = f"{where}.local_group_information.bond_properties"
    asked = lag_settings(wish.group.bond_mode, wish.group.bond_properties, where=path)
    if asked is None:
        return None
    on = Counter(place.switch for place in places)
    able: Sequence[_Able] = cast("list[_Able]", tx.execute(_LAG_SUPPORT, {"switches": sorted(on)}).all())
    for each in able:
        _require_support(asked, f"{each.switch} ({each.kind})", each.can, path)
    links = _min_links(asked.min_links, len(wish.links), min(on.values()), path)
    peers = len(on) == 2 and {each.mlag_peer for each in able} == set(on)
    if peers and any(each.can.mlag is Mlag.NONE for each in able):
        raise Invalid(
            f"switches {', '.join(sorted(on))} are a pair, but have no MLAG that Ironlane could set up; bundle links of"
            " one of them, or take `mlag_peer` from their record",
            field=f"{where}.local_link_information",
        )

    def lag(number: int) -> Lag:
        return Lag(number, asked.mode, asked.rate, links, asked.fallback, number if peers else None)

    foreign = frozenset[int]().union(*(each.can.foreign for each in able))
    for old in dict.fromkeys(a.lag for a in present if a.lag is not None):
        if old == lag(old.number) and old.number not in foreign:
            own = tx.execute(_OWN_CLAIMS, {"network_port": wish.network_port, "number": old.number}).scalars()
            if set(on) <= set(own):
                return old
    used = {*cast("list[int]", tx.execute(_NUMBERS, {"switches": sorted(on)}).all()), *foreign}
    common = range(max(e.can.numbers.start for e in able), min(e.can.numbers.stop for e in able))
    number = next((n for n in common if n not in used), None)
    if number is None:
        raise Conflict(f"no LAG id is free on {', '.join(sorted(on))}", code="NoLagIdAvailable")
    tx.execute(
        _ADD_CLAIM, [{"switch_id": s, "number": number, "network_port_id": wish.network_port} for s in sorted(on)]
    )
    return lag(number)


def _require_support(asked: LagSettings, switch: str, can: LagSupport, where: str) -> None:
    """Refuse now what the switch is known not to keep, rather than leave the port waiting for it."""
    if asked.mode not in can.modes:
        raise Invalid(
            f"switch {switch} has no {asked.mode.value} LAGs", field=where.replace("bond_properties", "bond_mode")
        )
    if asked.min_links > 1 and asked.mode not in can.min_links:
        raise Invalid(
            f"switch {switch} keeps no minimum of links for {asked.mode.value} LAGs; leave it out",
            field=f"{where}.bond_min_links",
        )
    if asked.fallback and not can.fallback:
        raise Invalid(f"switch {switch} has no LACP fallback; leave it out", field=f"{where}.bond_fallback")


def _min_links(asked: int, links: int, fewest: int, where: str) -> int:
    """What a switch has to insist on so that the bond has `asked` links at all: it sees its own links only, `fewest`
    of them, and has to think that those on its peer are well."""
    if asked > links:
        raise Invalid(f"{asked} links are required, but the port is bound to {links}", field=f"{where}.bond_min_links")
    return max(1, asked - (links - fewest))


def _refuse_taken(tx: Tx, near: Sequence[Attachment], wish: Wish, places: Sequence[_Place], where: str) -> None:
    mine = {(p.switch, p.port) for p in places}
    for other in near:
        # A tagged one is a trunk's sub-port, and never there without the trunk's parent port.
        if other.state is LEAVING or other.tagged or other.network_port == wish.network_port:
            continue
        if (other.switch, other.port) in mine:
            told = (  # a project hears neither whose server that is, nor on which switch
                f"switch port {other.switch_port} is in use by network port {other.network_port}"
                f" (host {other.host}); unbind that first"
                if tx.told.sees_all
                else "a switch port of this server is in use by another network port; an operator can see which"
            )
            raise Conflict(
                told,
                code="SwitchPortInUse",
                field=f"{where}.local_link_information",
            )


def _all_or_none(added: list[Attachment], places: Sequence[_Place]) -> list[Attachment]:
    """Where one switch of a bundle is known not to do what it should, the others wait until it has taken its part."""
    faulty = next((p for p in places if p.fault), None)
    if faulty is None:
        return added
    return [
        replace(a, state=WITHHELD, withheld_by=faulty.switch, reason=faulty.fault)
        if a.state is WANTED and a.switch != faulty.switch
        else a
        for a in added
    ]


def _attachment(tx: Tx, wish: Wish, place: _Place, lag: Lag | None) -> Attachment:
    if wish.vlan is None:
        raise Invalid(f"network {wish.network} has no VLAN that a switch port could carry", field="network_id")
    return Attachment(
        id=str(uuid.uuid4()),
        switch=place.switch,
        port=place.port,
        network_port=wish.network_port,
        network=wish.network,
        host=wish.host,
        vlan=wish.vlan,
        side=wish.side,
        state=HELD,
        lag=lag,
        request_id=tx.request_id,
        created_at=tx.now,
    )


def _row(attachment: Attachment) -> dict[str, Any]:
    return {
        "id": attachment.id,
        "switch_id": attachment.switch,
        "port_name": attachment.port,
        "network_port_id": attachment.network_port,
        "network_id": attachment.network,
        "host_id": attachment.host,
        "vlan": attachment.vlan,
        "side": attachment.side.value,
        "state": attachment.state.value,
        "lag": lag_to_json(attachment.lag) if attachment.lag else None,
        "tagged": attachment.tagged,
        "applied": attachment.applied,
        "established": attachment.established,
        "withheld_by": attachment.withheld_by,
        "reason": attachment.reason,
        "request_id": attachment.request_id,
        "created_at": attachment.created_at,
    }
