"""What was somebody else's until now, with the ids that it had there: networks, ports, trunks, nodes (ADR 22).

Every thing is taken in by the function that would make it for a client, within one transaction; what that refuses is
told, and the rest is taken in all the same. Doing it again changes nothing. No switch is written to: a port is only
taken over on switches whose policy is to observe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, TypeVar

import sqlalchemy as sa

from ironlane.model.errors import Conflict, Invalid, NotFound, Rejected
from ironlane.model.fabric import DriftPolicy
from ironlane.model.network import NetworkPort
from ironlane.model.secrets import mask_left
from ironlane.model.states import ProvisionState
from ironlane.store import baremetal_ports, conductors, networks, nodes, portgroups, ports, subnets, trunks
from ironlane.store.attachments import of_network_port, support_from_json
from ironlane.store.database import Tx
from ironlane.store.networks import NewNetwork
from ironlane.store.ports import NewPort
from ironlane.store.subnets import NewSubnet
from ironlane.store.tables import attachments, lag_claims, switch_ports, switches
from ironlane.store.trunks import NewTrunk

T = TypeVar("T")

AT_REST = frozenset({ProvisionState.ENROLL, ProvisionState.MANAGEABLE, ProvisionState.AVAILABLE, ProvisionState.ACTIVE})
"""States in which nobody works on a node, so that it can go on in other hands."""

_ANY_AGE = 10 * 365 * 86400.0
"""Seconds since the heartbeat of a conductor whose drivers count: it may be down just now."""


class Action(StrEnum):
    """What became of a thing that was to be taken over."""

    CREATED = "created"
    UNCHANGED = "unchanged"
    """It was here already, and is equal."""
    CONFLICT = "conflict"
    """It was not taken over; the reason says what is in the way."""


@dataclass(frozen=True, slots=True)
class Taken:
    """One thing, and what became of it."""

    noun: str
    id: str
    name: str
    action: Action
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """All that is to be taken over; each thing has an id. `nodes`, `portgroups`, `nics` are columns of their tables."""

    networks: Sequence[NewNetwork] = ()
    subnets: Sequence[NewSubnet] = ()
    ports: Sequence[NewPort] = ()
    trunks: Sequence[NewTrunk] = ()
    nodes: Sequence[Mapping[str, Any]] = ()
    portgroups: Sequence[Mapping[str, Any]] = ()
    nics: Sequence[Mapping[str, Any]] = ()


def take_over(tx: Tx, document: Document) -> list[Taken]:
    """Take in what is not here yet. Returns what became of each thing, in the order of the document."""
    return [
        *(_network(tx, new) for new in document.networks),
        *(_subnet(tx, new) for new in document.subnets),
        *(_node(tx, columns) for columns in document.nodes),
        *(_belonging(tx, "portgroup", columns) for columns in document.portgroups),
        *(_belonging(tx, "baremetal port", columns) for columns in document.nics),
        *(_port(tx, new) for new in document.ports),
        *(_trunk(tx, new) for new in document.trunks),
    ]


def _network(tx: Tx, new: NewNetwork) -> Taken:
    wanted = asdict(new)
    wanted["vlan"] = wanted.pop("segmentation_id")
    wanted = {name: value for name, value in wanted.items() if value is not None}
    return _take(
        tx,
        "network",
        new,
        present=lambda: networks.get(tx, str(new.id)),
        create=lambda: networks.create(tx, new),
        wanted=wanted,
    )


def _subnet(tx: Tx, new: NewSubnet) -> Taken:
    wanted = asdict(new)
    wanted["gateway_ip"] = wanted["gateway_ip"] or None
    pools = new.allocation_pools
    wanted |= {"allocation_pools": tuple(pools or ()), "host_routes": tuple(new.host_routes)}
    return _take(
        tx,
        "subnet",
        new,
        present=lambda: subnets.get(tx, str(new.id)),
        create=lambda: subnets.create(tx, new),
        wanted=wanted,
    )


def _port(tx: Tx, new: NewPort) -> Taken:
    def create() -> None:
        ports.create(tx, new)
        _require_observed(tx, str(new.id))
        _keep_lag(tx, str(new.id))

    names = ("network_id", "project_id", "name", "mac_address", "admin_state_up", "device_id", "vnic_type", "host_id")
    wanted = {name: getattr(new, name) for name in names} | {"profile": dict(new.profile)}
    wanted["fixed_ips"] = frozenset((str(f.get("subnet_id")), str(f.get("ip_address"))) for f in new.fixed_ips or ())

    def present() -> Mapping[str, Any]:
        port = ports.get(tx, str(new.id))
        here = {name: getattr(port, name) for name in wanted}
        here["fixed_ips"] = frozenset((f.subnet_id, f.ip_address) for f in port.fixed_ips)
        return here | _follows_from_trunk(port, wanted)

    return _take(tx, "port", new, present=present, create=create, wanted=wanted)


def _follows_from_trunk(port: NetworkPort, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Of a trunk's sub-port, what follows from its parent port is not compared."""
    return {name: wanted[name] for name in ("host_id", "device_id")} if port.device_owner == "trunk:subport" else {}


def _trunk(tx: Tx, new: NewTrunk) -> Taken:
    def create() -> None:
        trunks.create(tx, new)
        for sub_port in new.sub_ports:
            _require_observed(tx, sub_port.port_id)

    def present() -> Mapping[str, Any]:
        trunk = trunks.get(tx, str(new.id))
        return {**_shown(trunk), "sub_ports": frozenset(s.port_id for s in trunk.sub_ports)}

    wanted = {name: getattr(new, name) for name in ("port_id", "project_id", "name", "admin_state_up")}
    wanted["sub_ports"] = frozenset(s.port_id for s in new.sub_ports)
    return _take(tx, "trunk", new, present=present, create=create, wanted=wanted)


def _node(tx: Tx, columns: Mapping[str, Any]) -> Taken:
    def create() -> None:
        if columns["provision_state"] not in AT_REST:
            states = ", ".join(sorted(state.value for state in AT_REST))
            message = f"is {columns['provision_state']}; it can be taken over when it is {states}"
            raise Conflict(message, field="provision_state")
        drivers = conductors.drivers(tx, _ANY_AGE)
        if columns["driver"] not in drivers:
            raise Invalid(f"no conductor has driver {columns['driver']}; there is {', '.join(sorted(drivers))}")
        for name in nodes.SECRETIVE:
            if (where := mask_left(columns.get(name) or {}, name)) is not None:
                raise Invalid("is masked, so it is no secret", field=where)
        nodes.create(tx, columns)

    wanted = {name: columns.get(name) for name in ("name", "driver", "instance_uuid")}
    return _take(tx, "node", columns, present=lambda: nodes.by_id(tx, columns["id"]), create=create, wanted=wanted)


def _belonging(tx: Tx, noun: str, columns: Mapping[str, Any]) -> Taken:
    """A portgroup or NIC of a node."""
    table: Any = portgroups if noun == "portgroup" else baremetal_ports

    def create() -> None:
        nodes.by_id(tx, columns["node_id"])
        table.create(tx, columns)

    names = {"node_id", "name", "address", "portgroup_id", "local_link_connection", "mode", "physical_network"}
    wanted = {name: columns[name] for name in names & columns.keys()}
    return _take(tx, noun, columns, present=lambda: table.get(tx, columns["id"]), create=create, wanted=wanted)


def _take(
    tx: Tx,
    noun: str,
    new: Any,
    *,
    present: Callable[[], Any],
    create: Callable[[], object],
    wanted: Mapping[str, Any],
) -> Taken:
    """Create one thing, or compare it with what is here under its id."""
    whole = dict(new) if isinstance(new, Mapping) else asdict(new)
    ident, name = str(whole["id"]), str(whole.get("name") or whole.get("address") or "")
    try:
        different = _differences(wanted, _shown(present()))
    except NotFound:
        try:
            with tx.connection.begin_nested():
                create()
        except Rejected as error:
            return Taken(noun, ident, name, Action.CONFLICT, error.message)
        except sa.exc.IntegrityError as error:
            return Taken(noun, ident, name, Action.CONFLICT, f"the database does not take it: {error.orig}")
        return Taken(noun, ident, name, Action.CREATED)
    if different:
        return Taken(noun, ident, name, Action.CONFLICT, f"is here already, and differs: {different}")
    return Taken(noun, ident, name, Action.UNCHANGED)


def _shown(thing: Any) -> Mapping[str, Any]:
    return thing if isinstance(thing, Mapping) else {name: getattr(thing, name) for name in thing.__slots__}


def _differences(wanted: Mapping[str, Any], present: Mapping[str, Any]) -> str:
    found = []
    for name, value in sorted(wanted.items()):
        here = present.get(name)
        here, value = (tuple(v) if isinstance(v, list | tuple) else v for v in (here, value))  # noqa: PLW2901
        if name in present and here != value:
            found.append(f"{name} is {_text(here)}, there {_text(value)}")
    return "; ".join(found)


def _text(value: object) -> str:
    return ", ".join(sorted(map(str, value))) if isinstance(value, frozenset) else repr(value)


def _require_observed(tx: Tx, port_id: str) -> None:
    """Refuse a port whose switch would be written to, or was not read yet: what it carries has to be compared first.

    Raises:
        Conflict: names the switch.
    """
    its = {a.switch for a in of_network_port(tx, port_id)}
    rows = tx.all(sa.select(switches).where(switches.c.id.in_(its)).order_by(switches.c.id)) if its else []
    if found := [row.id for row in rows if row.policy != DriftPolicy.OBSERVE.value]:
        message = f"switch {', '.join(found)} would be written to; give it the policy observe until all is compared"
        raise Conflict(message, code="SwitchNotObserved")
    if found := [row.id for row in rows if row.observed_at is None]:
        message = f"switch {', '.join(found)} was not read yet, so that the LAG ids in use are not known"
        raise Conflict(message, code="SwitchNotObserved")


def _keep_lag(tx: Tx, port_id: str) -> None:
    """Let a bond have the LAG id that its switches show on its ports, so that it is not built anew."""
    own = [a for a in of_network_port(tx, port_id) if a.lag is not None]
    numbers = {_number_shown(tx, a.switch, a.port) for a in own}
    number = next(iter(numbers)) if len(numbers) == 1 else None
    if not own or number is None or own[0].lag is None or own[0].lag.number == number:
        return
    its = sorted({a.switch for a in own})
    claimed = sa.select(lag_claims.c.network_port_id).where(
        lag_claims.c.switch_id.in_(its), lag_claims.c.number == number
    )
    if set(tx.execute(claimed).scalars()) - {port_id} or not _is_free(tx, its, number):
        return
    for attachment in own:
        lag = attachment.lag
        if lag is not None:
            changed = asdict(lag) | {"number": number, "mlag": None if lag.mlag is None else number}
            tx.execute(sa.update(attachments).where(attachments.c.id == attachment.id).values(lag=changed))
    tx.execute(sa.update(lag_claims).where(lag_claims.c.network_port_id == port_id).values(number=number))


def _number_shown(tx: Tx, switch: str, port: str) -> int | None:
    its = switch_ports.c.switch_id == switch, switch_ports.c.name == port
    row = tx.one(sa.select(switch_ports.c.observed).where(*its))
    lag = (row.observed or {}).get("lag") if row is not None else None
    return None if lag is None else int(lag["number"])


def _is_free(tx: Tx, its: Sequence[str], number: int) -> bool:
    """Whether the switches have that number, and nobody else has it on them."""
    for row in tx.all(sa.select(switches.c.lags).where(switches.c.id.in_(its))):
        support = support_from_json(row.lags)
        if support is not None and (number not in support.numbers or number in support.foreign):
            return False
    return True
