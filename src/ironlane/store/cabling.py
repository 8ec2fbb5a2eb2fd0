"""What LLDP said of each NIC, beside the record; and the gate that a tenant attach has to pass.

`lldp_heard` is written when a server is inspected (`inspection`), `lldp_shown` when a switch is read (`reconcile`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ironlane.model.cabling import (
    Cable,
    CablingCheck,
    CablingPolicy,
    Judgement,
    KnownSwitch,
    Sighting,
    Verdict,
    judge,
)
from ironlane.model.errors import Conflict, Invalid
from ironlane.model.fabric import SwitchId
from ironlane.model.link import LocalLink, parse_link
from ironlane.model.lldp import Neighbour
from ironlane.model.node import BaremetalPort, Node
from ironlane.store import baremetal_ports, nodes
from ironlane.store.database import Tx
from ironlane.store.tables import baremetal_ports as nic_rows
from ironlane.store.tables import lldp_heard, lldp_shown, portgroups, switches
from ironlane.store.tables import nodes as node_rows

CABLING_WARNING = "cabling_warning"
"""Key in `driver_internal_info`: the contradiction that an attach passed over, in a sentence for the operator."""

CABLING_CHECK = "cabling_check"
"""Key in `driver_info`: the node's own policy."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One NIC, what is on record and what was seen of it, and what that comes to."""

    node: Node
    nic: BaremetalPort
    cable: Cable
    judgement: Judgement
    problems: str
    """What could not be read of the LLDP that the NIC heard last."""


def gate(tx: Tx, node: Node, nics: Sequence[BaremetalPort], policy: CablingPolicy) -> None:
    """Let these NICs of a node onto a tenant's network, or not. A warning is put on the node, or taken off it.

    Raises:
        Conflict: `CablingContradiction`: LLDP says that one of them is cabled to another switch port than recorded.
        Invalid: the node's own policy is none.
    """
    check = policy_of(node, policy)
    wrong = [] if check is CablingCheck.OFF else contradictions(tx, node, nics, policy)
    if wrong and check is CablingCheck.BLOCK:
        raise Conflict("; ".join(wrong), code="CablingContradiction")
    info = dict(nodes.by_id(tx, node.id).driver_internal_info)
    warned = {**info, CABLING_WARNING: "; ".join(wrong)} if wrong else _without(info, CABLING_WARNING)
    if warned != info:
        nodes.update(tx, node.id, {"driver_internal_info": warned})


def contradictions(tx: Tx, node: Node, nics: Sequence[BaremetalPort], policy: CablingPolicy) -> list[str]:
    """The sentence of each NIC among `nics` that is not where the record says."""
    return [one.judgement.sentence for one in _wrong(tx, node, nics, policy)]


def accusers(tx: Tx, node: Node, nics: Sequence[BaremetalPort], policy: CablingPolicy) -> set[str]:
    """The switches that showed somebody else than the record does, when they were read last."""
    wrong = _wrong(tx, node, nics, policy)
    return {one.cable.switch.id for one in wrong if one.judgement.by_switch and one.cable.switch is not None}


def _wrong(tx: Tx, node: Node, nics: Sequence[BaremetalPort], policy: CablingPolicy) -> list[Judged]:
    wanted = {nic.id for nic in nics}
    judged = of_nodes(tx, [node], policy)
    return [one for one in judged if one.nic.id in wanted and one.judgement.verdict is Verdict.CONTRADICTS]


def policy_of(node: Node, policy: CablingPolicy) -> CablingCheck:
    """What a contradiction does on a node: the node's own choice, else the service's.

    Raises:
        Invalid: the node names none that there is.
    """
    own = node.driver_info.get(CABLING_CHECK)
    if own in (None, ""):
        return policy.check
    try:
        return CablingCheck(str(own).lower())
    except ValueError:
        known = ", ".join(CablingCheck)
        raise Invalid(f"must be one of {known}", field=f"driver_info.{CABLING_CHECK}") from None


def of_nodes(tx: Tx, of: Sequence[Node], policy: CablingPolicy) -> list[Judged]:
    """The NICs of nodes, judged; in the order of the nodes, a node's oldest first."""
    nics = baremetal_ports.of_node(tx, of[0].id) if len(of) == 1 else baremetal_ports.find(tx)
    by_node: dict[str, list[BaremetalPort]] = {node.id: [] for node in of}
    for nic in nics:
        by_node.setdefault(nic.node_id, []).append(nic)
    evidence = _Evidence(tx, of, [nic for node in of for nic in by_node[node.id]])
    found = []
    for node in of:
        for nic in by_node[node.id]:
            cable = evidence.cable(node, nic, by_node[node.id])
            judgement = judge(cable, tx.now, policy.fresh)
            found.append(Judged(node, nic, cable, judgement, evidence.problems(nic)))
    return found


class _Evidence:
    """All that the rows have on the cables of some NICs, read at once."""

    def __init__(self, tx: Tx, of: Sequence[Node], nics: Sequence[BaremetalPort]) -> None:
        known = _Switches(tx)
        self._places = {nic.id: known.place(nic) for nic in nics}
        self._shown = _shown(tx, {(s.id, link.port_id) for link, s in self._places.values() if link and s})
        self._heard = _heard(tx, [nic.id for nic in nics], everything=len(of) != 1)
        seen = {mac for sightings in self._shown.values() for s in sightings for mac in _macs(s.neighbour)}
        self._owners = _owners(tx, seen)
        self._groups = {row.id: row.address for row in tx.all(_groups(of))}

    def cable(self, node: Node, nic: BaremetalPort, own: Sequence[BaremetalPort]) -> Cable:
        """One NIC of a node; `own` are all of them."""
        link, switch = self._places[nic.id]
        row = self._heard.get(nic.id)
        return Cable(
            node=node.label,
            nic=nic.name or "",
            address=nic.address,
            recorded=link,
            switch=switch,
            heard=Sighting(Neighbour.from_json(row.neighbour), row.heard_at) if row and row.neighbour else None,
            shown=self._shown.get((switch.id, link.port_id), ()) if link and switch else (),
            kin=_kin(nic, own, self._groups),
            server=frozenset(one.address for one in own),
            owners=self._owners,
        )

    def problems(self, nic: BaremetalPort) -> str:
        row = self._heard.get(nic.id)
        return "" if row is None else row.problems


def note_shown(tx: Tx, switch: SwitchId, asked: Collection[str], seen: Mapping[str, Sequence[Neighbour]]) -> None:
    """Keep whom a switch shows on the ports that it was asked about; what is as before is not written again."""
    rows = tx.all(sa.select(lldp_shown).where(lldp_shown.c.switch_id == switch))
    before = {row.port_name: row.neighbours for row in rows}
    now = {port: [one.as_json() for one in seen[port]] for port in asked if seen.get(port)}
    gone = [port for port in before if port not in now]
    if gone:
        where = (lldp_shown.c.switch_id == switch) & lldp_shown.c.port_name.in_(gone)
        tx.execute(sa.delete(lldp_shown).where(where))
    for port, neighbours in now.items():
        if port not in before:
            values = {"switch_id": switch, "port_name": port, "neighbours": neighbours, "since": tx.now}
            tx.execute(sa.insert(lldp_shown).values(values))
        elif before[port] != neighbours:
            where = (lldp_shown.c.switch_id == switch) & (lldp_shown.c.port_name == port)
            tx.execute(sa.update(lldp_shown).where(where).values(neighbours=neighbours, since=tx.now))


class _Switches:
    """The enrolled switches, by all that a link may call them."""

    def __init__(self, tx: Tx) -> None:
        self._by_name: dict[str, KnownSwitch] = {}
        self._by_ident: dict[str, KnownSwitch] = {}
        for row in tx.all(sa.select(switches.c.id, switches.c.mac, switches.c.datapath_id)):
            switch = KnownSwitch(row.id, row.mac, row.datapath_id)
            self._by_name[row.id] = switch
            self._by_ident |= {ident: switch for ident in (row.mac, row.datapath_id) if ident}

    def place(self, nic: BaremetalPort) -> tuple[LocalLink | None, KnownSwitch | None]:
        """Where a NIC is on record, and the switch if it is enrolled; looked up as a binding would."""
        try:
            link = parse_link(dict(nic.local_link_connection), where="local_link_connection")
        except Invalid:
            return None, None
        if link.switch_id is not None and link.switch_id in self._by_ident:
            return link, self._by_ident[link.switch_id]
        return link, self._by_name.get(link.switch_info or "")


def _shown(tx: Tx, places: set[tuple[str, str]]) -> dict[tuple[str, str], list[Sighting]]:
    """Whom the switches show on these ports. A whole switch is read at a time: its rows lie together."""
    found: dict[tuple[str, str], list[Sighting]] = {}
    wanted = sorted({switch for switch, _ in places})
    for row in tx.all(sa.select(lldp_shown).where(lldp_shown.c.switch_id.in_(wanted))) if wanted else ():
        key = (row.switch_id, row.port_name)
        if key in places:
            found[key] = [Sighting(Neighbour.from_json(value), row.since) for value in row.neighbours]
    return found


def _heard(tx: Tx, nics: Sequence[str], *, everything: bool) -> dict[str, Any]:
    query = sa.select(lldp_heard)
    if not everything:
        query = query.where(lldp_heard.c.baremetal_port_id.in_(nics))
    return {row.baremetal_port_id: row for row in tx.all(query)}


def _groups(of: Sequence[Node]) -> sa.Select[Any]:
    query = sa.select(portgroups.c.id, portgroups.c.address)
    return query.where(portgroups.c.node_id == of[0].id) if len(of) == 1 else query


def _kin(nic: BaremetalPort, own: Sequence[BaremetalPort], groups: Mapping[str, str | None]) -> frozenset[str]:
    if nic.portgroup_id is None:
        return frozenset({nic.address})
    members = {one.address for one in own if one.portgroup_id == nic.portgroup_id}
    address = groups.get(nic.portgroup_id)
    return frozenset(members | ({address} if address else set()))


def _owners(tx: Tx, addresses: Collection[str]) -> dict[str, str]:
    """Whose NIC a MAC address is, in words."""
    found: dict[str, str] = {}
    ordered = sorted(addresses)
    for start in range(0, len(ordered), 500):
        query = sa.select(nic_rows.c.address, nic_rows.c.name, node_rows.c.name.label("node"), node_rows.c.id).where(
            nic_rows.c.node_id == node_rows.c.id, nic_rows.c.address.in_(ordered[start : start + 500])
        )
        for row in tx.all(query):
            nic = f"NIC {row.name}" if row.name else "a NIC"
            found[row.address] = f"{nic} of node {row.node or row.id}"
    return found


def _macs(neighbour: Neighbour) -> set[str]:
    return {mac for mac in (neighbour.chassis_mac, neighbour.port_mac) if mac is not None}


def _without(info: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in info.items() if name != key}
