"""Network ports on switch ports: the wishes that the fabric loop fulfils.

`bind` and `unbind` write attachments in the same transaction as the network port itself; `settle` records what a
read-back showed. Between them they keep I1 (break before make), I2 and I3 as rows; the loop keeps them on the wire.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from ironlane.model.admission import admit, held_reason
from ironlane.model.errors import Conflict, Invalid
from ironlane.model.fabric import (
    Attachment,
    AttachmentState,
    HostId,
    LacpRate,
    Lag,
    LagMode,
    PortConfig,
    Side,
    SwitchId,
    Vlan,
)
from ironlane.model.link import GroupParameters, LocalLink, lacp_rate, lag_mode
from ironlane.store.attachments import (
    config_to_json,
    of_host,
    of_network,
    of_network_port,
    of_switch_port,
)
from ironlane.store.database import Tx
from ironlane.store.tables import attachments, lag_claims, nodes, ports, segments, switch_ports, switches

LAG_NUMBERS = range(1, 1001)


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


def bind(tx: Tx, wish: Wish, *, where: str = "binding:profile") -> None:
    """Make `wish` the port's one wish: what it asked for before and does not now starts to leave.

    Binding again with an equal wish changes nothing (clients repeat themselves). The port's status is set.

    Raises:
        Invalid: unknown switch, unmanaged switch port, wrong physical network, a network without a VLAN.
        Conflict: the switch port is wanted by another network port already, or no LAG id is free.
    """
    places = _places(tx, wish, where)
    present = [a for a in of_network_port(tx, wish.network_port) if a.state is not AttachmentState.LEAVING]
    lag = _lag(tx, wish, [switch for switch, _ in places], present, where)
    wanted = {(switch, port, wish.host, wish.vlan, lag) for switch, port in places}
    same = [a for a in present if (a.switch, a.port, a.host, a.vlan, a.lag) in wanted]
    if len(same) == len(present) == len(places):
        return
    _leave(tx, [a for a in present if a not in same])
    _refuse_taken(tx, wish, places, where)
    kept = {(a.switch, a.port) for a in same}
    for switch, port in places:
        if (switch, port) not in kept:
            _insert(tx, wish, switch, port, lag)
    _admit_around(tx, {wish.host}, places)
    refresh_status(tx, [wish.network_port])


def unbind(tx: Tx, network_port: str) -> None:
    """The port asks for nothing any more. Its attachments stay on record until the switches are seen to be clean."""
    present = [a for a in of_network_port(tx, network_port) if a.state is not AttachmentState.LEAVING]
    if not present:
        return
    _leave(tx, present)
    _admit_around(tx, {a.host for a in present}, [(a.switch, a.port) for a in present])
    refresh_status(tx, [network_port])


def settle(tx: Tx, switch: SwitchId, judged: Collection[Attachment], observed: Mapping[str, PortConfig]) -> None:
    """Record what a read-back of one switch showed, for the attachments that the loop had in view.

    An attachment that left is deleted; one that is carried is `applied`; one that is not carried (any more) is not.
    Whatever waited for them is admitted now, and the VLANs of deleted networks that no switch carries go back.
    """
    gone = [
        a
        for a in judged
        if a.state is AttachmentState.LEAVING and a.vlan not in _vlans(observed, a.port) and not _in_lag(observed, a)
    ]
    changed: set[str] = {a.network_port for a in gone}
    for attachment in judged:
        if attachment.state is AttachmentState.WANTED:
            carried = carries(observed.get(attachment.port), attachment)
            if carried is not attachment.applied:
                # It may have been told to leave since the loop looked; then this says nothing about it any more.
                still = (attachments.c.id == attachment.id) & (attachments.c.state == AttachmentState.WANTED.value)
                tx.execute(sa.update(attachments).where(still).values(applied=carried))
                changed.add(attachment.network_port)
    if gone:
        tx.execute(sa.delete(attachments).where(attachments.c.id.in_([a.id for a in gone])))
        _release_lags(tx, {a.network_port for a in gone})
        _admit_around(tx, {a.host for a in gone}, [(a.switch, a.port) for a in gone])
        release_segments(tx, {a.network for a in gone})
    _store_observed(tx, switch, observed)
    refresh_status(tx, changed)
    _wake_nodes(tx, {a.host for a in judged if a.network_port in changed})


def carries(config: PortConfig | None, attachment: Attachment) -> bool:
    """Whether a switch port that was read back does what the attachment asks for."""
    if config is None or not config.enabled or config.lag != attachment.lag:
        return False
    return attachment.vlan in config.tagged if attachment.tagged else attachment.vlan == config.untagged


def _wake_nodes(tx: Tx, hosts: Collection[str]) -> None:
    """Nodes that wait for their switch ports are due: by their rows, because another conductor may own them."""
    if hosts:
        waiting = nodes.c.id.in_(sorted(hosts)) & nodes.c.due_at.is_not(None)
        tx.execute(sa.update(nodes).where(waiting).values(due_at=tx.now))
    for host in hosts:
        tx.hint("node", host)


def _vlans(observed: Mapping[str, PortConfig], port: str) -> frozenset[Vlan]:
    config = observed.get(port)
    return config.vlans if config is not None and config.enabled else frozenset()


def _in_lag(observed: Mapping[str, PortConfig], attachment: Attachment) -> bool:
    config = observed.get(attachment.port)
    return config is not None and config.lag is not None and config.lag == attachment.lag


def _places(tx: Tx, wish: Wish, where: str) -> list[tuple[SwitchId, str]]:
    """The managed switch ports that the wish's links name."""
    managed = [(index, link) for index, link in enumerate(wish.links) if not link.unmanaged]
    if managed and wish.vlan is None:
        raise Invalid(f"network {wish.network} has no VLAN that a switch port could carry", field="network_id")
    places = []
    for index, link in managed:
        path = f"{where}.local_link_information[{index}]"
        row = find_switch(tx, link, where=path)
        if row.physical_network and wish.physical_network and row.physical_network != wish.physical_network:
            raise Invalid(
                f"switch {row.id} is on physical network {row.physical_network},"
                f" network {wish.network} is on {wish.physical_network}",
                field=f"{path}.switch_id",
            )
        known = tx.one(
            sa.select(switch_ports.c.name).where(
                switch_ports.c.switch_id == row.id, switch_ports.c.name == link.port_id
            )
        )
        if known is None:
            raise Invalid(
                f"{link.port_id!r} is not a port of switch {row.id} that Ironlane manages; add it to the site file",
                field=f"{path}.port_id",
            )
        places.append((SwitchId(row.id), link.port_id))
    if len(set(places)) != len(places):
        raise Invalid("names the same switch port twice", field=f"{where}.local_link_information")
    return places


def find_switch(tx: Tx, link: LocalLink, *, where: str) -> sa.Row[Any]:
    """The switch that a link names: by `switch_id` first, then by the name in `switch_info`.

    Raises:
        Invalid: there is no such switch.
    """
    if link.switch_id is not None:
        row = tx.one(
            sa.select(switches).where(
                sa.or_(switches.c.mac == link.switch_id, switches.c.datapath_id == link.switch_id)
            )
        )
        if row is not None:
            return row
    if link.switch_info:
        row = tx.one(sa.select(switches).where(switches.c.id == link.switch_info))
        if row is not None:
            return row
    field = f"{where}.switch_id" if link.switch_id else f"{where}.switch_info"
    raise Invalid(f"switch {link.switch_id or link.switch_info} is not known; add it to the site file", field=field)


def _lag(tx: Tx, wish: Wish, on: Sequence[SwitchId], present: Sequence[Attachment], where: str) -> Lag | None:
    """The LAG that the wish's links form, with the number it has already or the lowest that is free on all switches."""
    if wish.group is None or not on:
        return None
    mode = lag_mode(wish.group.bond_mode, where=f"{where}.local_group_information.bond_mode")
    if mode is None:
        return None
    # Nothing is negotiated in a static LAG, whatever rate a client may mention.
    path = f"{where}.local_group_information.bond_properties"
    rate = lacp_rate(wish.group.bond_properties, where=path) if mode is LagMode.LACP else LacpRate.SLOW
    claims = tx.all(sa.select(lag_claims).where(lag_claims.c.network_port_id == wish.network_port))
    for lag in (a.lag for a in present):
        claimed = {claim.switch_id for claim in claims if lag and claim.number == lag.number}
        if lag is not None and (lag.mode, lag.rate) == (mode, rate) and claimed == set(on):
            return lag
    used = set(tx.execute(sa.select(lag_claims.c.number).where(lag_claims.c.switch_id.in_(sorted(set(on))))).scalars())
    number = next((n for n in LAG_NUMBERS if n not in used), None)
    if number is None:
        raise Conflict(f"no LAG id is free on {', '.join(sorted(set(on)))}", code="NoLagIdAvailable")
    tx.execute(
        sa.insert(lag_claims),
        [{"switch_id": s, "number": number, "network_port_id": wish.network_port} for s in sorted(set(on))],
    )
    return Lag(number, mode, rate)


def _refuse_taken(tx: Tx, wish: Wish, places: Sequence[tuple[SwitchId, str]], where: str) -> None:
    for switch, port in places:
        for other in of_switch_port(tx, switch, port):
            if other.state is not AttachmentState.LEAVING and other.network_port != wish.network_port:
                raise Conflict(
                    f"switch port {switch}/{port} is in use by network port {other.network_port}"
                    f" (host {other.host}); unbind that first",
                    code="SwitchPortInUse",
                    field=f"{where}.local_link_information",
                )


def _insert(tx: Tx, wish: Wish, switch: SwitchId, port: str, lag: Lag | None) -> None:
    tx.execute(
        sa.insert(attachments).values(
            id=str(uuid.uuid4()),
            switch_id=switch,
            port_name=port,
            network_port_id=wish.network_port,
            network_id=wish.network,
            host_id=wish.host,
            vlan=wish.vlan,
            side=wish.side.value,
            state=AttachmentState.HELD.value,
            lag=asdict(lag) if lag else None,
            request_id=tx.request_id,
            created_at=tx.now,
        )
    )


def _leave(tx: Tx, leaving: Iterable[Attachment]) -> None:
    """Held attachments were never on a wire and just go; wanted ones may be, and stay on record as leaving."""
    held = [a.id for a in leaving if a.state is AttachmentState.HELD]
    wanted = [a for a in leaving if a.state is AttachmentState.WANTED]
    if held:
        tx.execute(sa.delete(attachments).where(attachments.c.id.in_(held)))
        _release_lags(tx, {a.network_port for a in leaving})
    if wanted:
        tx.execute(
            sa.update(attachments)
            .where(attachments.c.id.in_([a.id for a in wanted]))
            .values(state=AttachmentState.LEAVING.value, applied=False)
        )
        touch(tx, {a.switch for a in wanted})


def _admit_around(tx: Tx, hosts: Collection[str], places: Collection[tuple[SwitchId, str]]) -> None:
    """Look again at what waits: of these hosts, and of whoever else wishes for these switch ports."""
    hosts = set(hosts)
    for switch, port in places:
        here = of_switch_port(tx, switch, port)
        hosts |= {a.host for a in here}
    for host in sorted(hosts):
        own = of_host(tx, host)
        if not any(a.state is AttachmentState.HELD for a in own):
            continue
        around = {a.id: a for a in own}
        for attachment in own:
            shared = of_switch_port(tx, attachment.switch, attachment.port)
            around.update((a.id, a) for a in shared)
        admitted = [a for a in admit(list(around.values())) if a.host == host]
        if admitted:
            tx.execute(
                sa.update(attachments)
                .where(attachments.c.id.in_([a.id for a in admitted]))
                .values(state=AttachmentState.WANTED.value)
            )
            touch(tx, {a.switch for a in admitted})
            refresh_status(tx, {a.network_port for a in admitted})


def touch(tx: Tx, which: Collection[str]) -> None:
    """What should be has changed on these switches: a new generation, due at once."""
    if which:
        tx.execute(
            sa.update(switches)
            .where(switches.c.id.in_(sorted(which)))
            .values(generation=switches.c.generation + 1, due_at=tx.now)
        )
        for switch in which:
            tx.hint("switch", switch)


def _release_lags(tx: Tx, network_ports: Collection[str]) -> None:
    """LAG ids go back when nothing on record uses them any more."""
    for network_port in network_ports:
        left = of_network_port(tx, network_port)
        numbers = {(a.switch, a.lag.number) for a in left if a.lag is not None}
        for claim in tx.all(sa.select(lag_claims).where(lag_claims.c.network_port_id == network_port)):
            if not any(number == claim.number for _, number in numbers):
                tx.execute(
                    sa.delete(lag_claims).where(
                        lag_claims.c.switch_id == claim.switch_id, lag_claims.c.number == claim.number
                    )
                )


def release_segments(tx: Tx, network_ids: Collection[str]) -> None:
    """VLANs of deleted networks go back to the pool once no switch carries them any more (invariant I3)."""
    for network_id in network_ids:
        if not of_network(tx, network_id):
            tx.execute(sa.delete(segments).where(segments.c.network_id == network_id, segments.c.released))


def _store_observed(tx: Tx, switch: SwitchId, observed: Mapping[str, PortConfig]) -> None:
    for name, config in observed.items():
        tx.execute(
            sa.update(switch_ports)
            .where(switch_ports.c.switch_id == switch, switch_ports.c.name == name)
            .values(observed=config_to_json(config), observed_at=tx.now)
        )


def refresh_status(tx: Tx, network_ports: Collection[str]) -> None:
    """Set `status` and its reason on network ports from their attachments: ACTIVE only when all were read back."""
    for network_port in network_ports:
        row = tx.one(sa.select(ports.c.status, ports.c.status_reason).where(ports.c.id == network_port))
        if row is None:
            continue
        live = [a for a in of_network_port(tx, network_port) if a.state is not AttachmentState.LEAVING]
        status, reason = _status(tx, live)
        if (status, reason) != (row.status, row.status_reason):
            tx.execute(sa.update(ports).where(ports.c.id == network_port).values(status=status, status_reason=reason))


def _status(tx: Tx, live: Sequence[Attachment]) -> tuple[str, str]:
    if not live:
        return "DOWN", "not bound to a switch port"
    waiting = [a for a in live if not a.applied]
    if not waiting:
        return "ACTIVE", ""
    held = next((a for a in waiting if a.state is AttachmentState.HELD), None)
    if held is not None:
        around = of_host(tx, held.host) + of_switch_port(tx, held.switch, held.port)
        return "DOWN", held_reason(held, around)
    first = waiting[0]
    fault = tx.execute(sa.select(switches.c.reason).where(switches.c.id == first.switch)).scalar_one()
    return "DOWN", f"switch {first.switch}: {fault}" if fault else f"waiting for switch {first.switch} ({first.port})"
