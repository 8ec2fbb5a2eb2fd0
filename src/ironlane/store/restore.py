"""Going back: what has to be bound, bound otherwise and unbound so that tenants' ports are as they were at a moment.

History (`store.holdings`) says who held what then; the attachments say who asks for what now. The difference is a list
of actions, each on one network port, carried out in one transaction through the functions that clients' requests use:
so all rules hold, and what they refuse is a conflict that is told.

Left alone are provider networks (provision ports follow the life cycle of their server), sub-ports (they follow their
trunk), and servers that are not `active` (the lifecycle loop is at work on them, or they are somebody else's by now).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa

from ironlane.model.attach import links_of
from ironlane.model.cabling import CablingPolicy
from ironlane.model.errors import Invalid, NotFound, Rejected
from ironlane.model.fabric import Attachment, AttachmentState, LacpRate, Lag, LagMode, Side
from ironlane.model.link import lag_settings, parse_group
from ironlane.model.network import NetworkPort
from ironlane.model.node import Node
from ironlane.model.states import ProvisionState
from ironlane.store import attachments, baremetal_ports, cabling, holdings, nodes, portgroups, ports, switches, vifs
from ironlane.store.database import Tx
from ironlane.store.holdings import Holding
from ironlane.store.tables import networks as network_rows
from ironlane.store.tables import nodes as node_rows

_BOND_MODES = {LagMode.LACP: "802.3ad", LagMode.STATIC: "balance-xor"}
_GROUP = "local_group_information"
_EVERYTHING = 1_000_000
"""More holdings than any site has at one moment."""


class Kind(StrEnum):
    """What is done with a network port."""

    BIND = "bind"
    """It was bound then, and is not now."""
    REBIND = "rebind"
    """It was bound to other switch ports, to another host or in another bundle."""
    UNBIND = "unbind"
    """It was not bound then."""


class Bundle(NamedTuple):
    """How the links of a network port are bundled, but for the LAG's number, and what follows from the switches."""

    mode: LagMode
    rate: LacpRate
    min_links: int = 1
    """On each switch."""
    fallback: bool = False


@dataclass(frozen=True, slots=True)
class Binding:
    """Which switch ports a network port is bound to, for which host. `places` are `(switch, port)`, in order."""

    host: str
    places: tuple[tuple[str, str], ...]
    bundle: Bundle | None


@dataclass(frozen=True, slots=True)
class Action:
    """One step back. `before` is what is now, `after` what was then; `conflict` is why it cannot be."""

    kind: Kind
    network_port: str
    network: str
    before: Binding | None
    after: Binding | None
    conflict: str = ""


@dataclass(frozen=True, slots=True)
class Lost:
    """What was held then and cannot be brought back, and why."""

    network_port: str
    network: str
    binding: Binding
    reason: str


@dataclass(slots=True)
class _Scene:
    """All that is looked up once."""

    ports: Mapping[str, NetworkPort]
    provider: frozenset[str]
    """UUIDs of provider networks."""
    nodes: Mapping[str, Node]
    vifs: Mapping[str, Sequence[str]]
    """Node to its VIFs."""


def work_out(tx: Tx, at: datetime) -> tuple[list[Action], list[Lost]]:
    """What has to be done so that tenants' ports hold what they held at a moment, and what cannot be.

    Raises:
        Invalid: the moment is still to come.
    """
    if at > tx.now:
        raise Invalid("is still to come", field="at")
    then: dict[str, list[Holding]] = defaultdict(list)
    for holding in holdings.find(tx, at=at, limit=_EVERYTHING):
        then[holding.network_port].append(holding)
    now: dict[str, list[Attachment]] = defaultdict(list)
    for attachment in attachments.find(tx):
        if attachment.state is not AttachmentState.LEAVING:
            now[attachment.network_port].append(attachment)
    scene = _scene(tx, [*then.values(), *now.values()])
    actions: list[Action] = []
    lost: list[Lost] = []
    for ident in sorted(then.keys() | now.keys()):
        held, asked = then.get(ident, []), now.get(ident, [])
        before, after = _binding(asked), _binding(held)
        network = (held or asked)[0].network
        if before == after:
            continue
        reason = _obstacle(scene, ident, [*held, *asked], before, after)
        if reason and after:
            lost.append(Lost(ident, network, after, reason))
        elif not reason:
            kind = Kind.UNBIND if after is None else Kind.BIND if before is None else Kind.REBIND
            actions.append(Action(kind, ident, network, before, after))
    return actions, lost


def carry_out(tx: Tx, actions: Sequence[Action], policy: CablingPolicy) -> list[Action]:
    """Do it all: those in the way leave before anybody joins. Each action comes back, with its conflict if any.

    With a conflict, what is written is of no use: the caller has to take it back.
    """
    wanted = {place: a.network_port for a in actions if a.after for place in a.after.places}
    conflicts: dict[str, str] = {}
    for action in actions:
        crossed = action.before and any(
            wanted.get(p, action.network_port) != action.network_port for p in _places(action)
        )
        moved = action.before and action.after and action.before.host != action.after.host
        if action.after is None or crossed or moved:
            _attempt(tx, action, _leave, conflicts)
    for action in actions:
        if action.after is not None and action.network_port not in conflicts:
            _attempt(tx, action, partial(_join, policy=policy), conflicts)
    return [replace(action, conflict=conflicts.get(action.network_port, "")) for action in actions]


def _attempt(tx: Tx, action: Action, step: Callable[[Tx, Action], None], conflicts: dict[str, str]) -> None:
    try:
        with tx.connection.begin_nested():
            step(tx, action)
    except Rejected as error:
        conflicts[action.network_port] = error.message


def _leave(tx: Tx, action: Action) -> None:
    """Off the switch ports, and off the node if it is a VIF that stays with no node or goes to another one."""
    host = action.before.host if action.before else ""
    node = _node(tx, host)
    stays = action.after is not None and action.after.host == host
    if node is not None and action.network_port in vifs.listed(tx, node.id) and not stays:
        vifs.detach(tx, node, action.network_port)
    else:
        ports.update(tx, action.network_port, {"profile": {}} if stays else {"host_id": "", "profile": {}})


def _join(tx: Tx, action: Action, policy: CablingPolicy) -> None:
    after = action.after
    if after is None:
        return
    node = _node(tx, after.host)
    if node is not None:
        by_id = _switch_names(tx)
        there = [
            n for n in baremetal_ports.of_node(tx, node.id) if _place(n.local_link_connection, by_id) in after.places
        ]
        cabling.gate(tx, node, there, policy)
    if node is not None and action.network_port not in vifs.listed(tx, node.id):
        _attach(tx, node, action.network_port, after)
    else:
        profile = _profile(tx, ports.get(tx, action.network_port), after)
        change = {"vnic_type": vifs.VNIC_BAREMETAL, "host_id": after.host, "profile": profile}
        ports.update(tx, action.network_port, change)
    live = [a for a in attachments.of_network_port(tx, action.network_port) if a.state is not AttachmentState.LEAVING]
    if _binding(live) != after:
        raise Invalid("would not come to the switch ports that it had; is it, or its network, administratively down?")


def _attach(tx: Tx, node: Node, vif: str, after: Binding) -> None:
    """Attach the VIF to the NIC or portgroup whose links it had."""
    nics, wanted = baremetal_ports.of_node(tx, node.id), set(after.places)
    by_id = _switch_names(tx)
    for group in portgroups.of_node(tx, node.id):
        if wanted == {_place(nic.local_link_connection, by_id) for nic in links_of(group, nics)}:
            vifs.attach(tx, node, vif, portgroup_uuid=group.id)
            return
    for nic in nics:
        if wanted == {_place(nic.local_link_connection, by_id)}:
            vifs.attach(tx, node, vif, port_uuid=nic.id)
            return
    raise Invalid(f"no NIC or portgroup of node {node.label} has the links {_told(after.places)} any more")


def _profile(tx: Tx, port: NetworkPort, after: Binding) -> dict[str, Any]:
    """The binding profile for the links; the port's own group parameters are kept where they ask for the same."""
    links = []
    for switch, name in after.places:
        record = switches.get(tx, switch)
        links.append({"switch_id": record.mac or record.datapath_id, "port_id": name, "switch_info": switch})
    profile: dict[str, Any] = {"local_link_information": links}
    if _GROUP in port.profile and _bundle_of(port.profile, after) == after.bundle:
        profile[_GROUP] = port.profile[_GROUP]
    elif after.bundle is not None:
        profile[_GROUP] = {
            "id": port.id,
            "bond_mode": _BOND_MODES[after.bundle.mode],
            "bond_properties": {
                "bond_lacp_rate": after.bundle.rate.value,
                "bond_min_links": after.bundle.min_links + _elsewhere(after) if after.bundle.min_links > 1 else 1,
                "bond_fallback": after.bundle.fallback,
            },
        }
    return profile


def _bundle_of(profile: Mapping[str, Any], at: Binding) -> Bundle | None:
    group = parse_group(profile)
    settings = None if group is None else lag_settings(group.bond_mode, group.bond_properties, where=_GROUP)
    if settings is None:
        return None
    links = max(1, settings.min_links - _elsewhere(at))
    return Bundle(settings.mode, settings.rate, links, settings.fallback)


def _elsewhere(binding: Binding) -> int:
    """How many links the switch with the fewest does not see (see `bindings`)."""
    return len(binding.places) - min(Counter(switch for switch, _ in binding.places).values(), default=0)


def _scene(tx: Tx, found: Iterable[Sequence[Holding | Attachment]]) -> _Scene:
    everything = [item for items in found for item in items]
    hosts = {str(item.host) for item in everything}
    known = nodes.find(tx, node_rows.c.id.in_(sorted(hosts)))
    provider = tx.execute(sa.select(network_rows.c.id).where(network_rows.c.side == Side.PROVIDER.value)).scalars()
    return _Scene(
        ports={port.id: port for port in ports.find(tx, id=sorted({item.network_port for item in everything}))},
        provider=frozenset(provider),
        nodes={node.id: node for node in known},
        vifs={node.id: vifs.listed(tx, node.id) for node in known},
    )


def _obstacle(
    scene: _Scene,
    ident: str,
    items: Sequence[Holding | Attachment],
    before: Binding | None,
    after: Binding | None,
) -> str:
    """Why nothing is done with a network port; empty when something is."""
    if ident not in scene.ports:
        return "the network port does not exist any more"
    if scene.ports[ident].network_id in scene.provider:
        return "it is on a provider network, where servers come and go by their own life cycle"
    if any(item.tagged for item in items):
        return "it is a sub-port and follows its trunk"
    for binding in (before, after):
        node = scene.nodes.get(binding.host) if binding else None
        if node is not None and node.provision_state is not ProvisionState.ACTIVE:
            return f"node {node.label} is {node.provision_state.value}, not active"
    return ""


def _binding(items: Sequence[Holding | Attachment]) -> Binding | None:
    if not items:
        return None
    lag = next((item.lag for item in items if item.lag is not None), None)
    places = sorted((str(item.switch), item.port) for item in items)
    return Binding(str(items[0].host), tuple(places), _bundle(lag))


def _bundle(lag: Lag | None) -> Bundle | None:
    return None if lag is None else Bundle(lag.mode, lag.rate, lag.min_links, lag.fallback)


def _places(action: Action) -> tuple[tuple[str, str], ...]:
    return action.before.places if action.before else ()


def _node(tx: Tx, host: str) -> Node | None:
    try:
        return nodes.by_id(tx, host)
    except NotFound:
        return None


def _switch_names(tx: Tx) -> dict[str, str]:
    """MAC address or datapath id to the switch's name."""
    return {ident: record.id for record in switches.all_(tx) for ident in (record.mac, record.datapath_id) if ident}


def _place(link: Mapping[str, Any], names: Mapping[str, str]) -> tuple[str, str]:
    named = names.get(str(link.get("switch_id")).lower(), str(link.get("switch_info")))
    return named, str(link.get("port_id"))


def _told(places: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{switch}/{port}" for switch, port in places)
