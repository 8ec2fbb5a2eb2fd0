"""From flows back to `PortConfig`: what the ports carry by the flow table that the switch shows. Pure.

Each port's config is taken from its flows in table 0. Then the whole table that these configs call for is set against
the one that is there: whichever port a difference concerns does not carry what its config says. Flows that are not ours
are looked at for one thing: whether they let frames of a port by, or send frames to it.

A port that is not as any desired `PortConfig` says reads as a trunk with VLAN 0 and every VLAN that it may let through
among its tagged ones, and with a LAG that has no number: it is seen to carry those, and none of them as it should.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from ironlane.model.errors import Permanent
from ironlane.model.fabric import Lag, LagMode, PortConfig, PortMode, Vlan
from ironlane.switches.openflow.pipeline import (
    ADMIT,
    FORWARDING,
    GATE,
    INGRESS,
    PORT,
    TRANSIT,
    Kind,
    Pipeline,
    check,
    is_our_group,
    is_ours,
    kind_of,
    outlets_of,
    parse_port_cookie,
    pipeline,
    port_flows,
)
from ironlane.switches.openflow.wire import (
    PORT_CONTROLLER,
    PORT_LOCAL,
    PORT_MAX,
    TAGGED,
    Flow,
    FlowKey,
    Group,
    Match,
    Output,
    PopVlan,
    Port,
    PortFlag,
    PushVlan,
    SetVlan,
    ToGroup,
)

NOT_A_VLAN = Vlan(0)
ALL_VLANS = frozenset(Vlan(vlan) for vlan in range(4096))
STRANGE_LAG = Lag(0, LagMode.STATIC, min_links=0)
NOT_IN_USE = PortFlag.DOWN | PortFlag.NO_RECV | PortFlag.NO_FWD
"""Bits of a port's configuration with which it carries nothing, whatever the flows say."""


@dataclass(frozen=True, slots=True)
class Table:
    """What a switch showed: its ports by name, all its flows (ours or not), its groups by id."""

    ports: Mapping[str, Port]
    flows: Mapping[FlowKey, Flow]
    groups: Mapping[int, Group]
    numbers: Mapping[str, int]
    names: Mapping[int, str]
    ours: Pipeline
    """The flows and groups that are Ironlane's."""
    told: Mapping[str, PortConfig]
    """What ports carry by their own flows in table 0, of ports of which these are just as they should be."""

    @classmethod
    def of(cls, ports: Iterable[Port], flows: Iterable[Flow] = (), groups: Iterable[Group] = ()) -> Table:
        by_name = {port.name: port for port in ports}
        by_key, by_ident = {flow.key: flow for flow in flows}, {group.ident: group for group in groups}
        ours = {key: flow for key, flow in by_key.items() if is_ours(flow)}
        numbers = {name: port.number for name, port in by_name.items()}
        return cls(
            by_name,
            by_key,
            by_ident,
            numbers,
            {number: name for name, number in numbers.items()},
            Pipeline(ours, {ident: group for ident, group in by_ident.items() if is_our_group(ident)}),
            _told_ports(numbers, ours.values()),
        )


def read_ports(table: Table, uplinks: Sequence[str]) -> dict[str, PortConfig]:
    """What each port carries. The uplinks must be there; they are not among the answers."""
    told = {name: config for name, config in table.told.items() if name not in uplinks}
    doubtful = {name for name in table.ports if name not in told}
    doubtful |= _divided(told)
    doubtful |= _disputed(table, pipeline(told, table.numbers, uplinks))
    leaking = {name for flow in foreign(table) for name in _named(*reach(flow), table)}
    seen = _seen_vlans(table)
    configs = {}
    for name, port in table.ports.items():
        if name in uplinks:
            continue
        config = told.get(name)
        down = config is not None and config.enabled and bool(port.config & NOT_IN_USE)
        if config is None or down or name in doubtful or name in leaking:
            vlans = ALL_VLANS if name in leaking else seen[port.number]
            config = PortConfig(PortMode.TRUNK, None, vlans | {NOT_A_VLAN}, STRANGE_LAG)
        configs[name] = config
    return configs


def foreign_lags(configs: Mapping[str, PortConfig], wanted: Collection[str]) -> frozenset[int]:
    """Numbers of LAGs that are there for anything but the wanted ports."""
    lags = {config.lag.number for name, config in configs.items() if config.lag and name not in wanted}
    return frozenset(lags - {STRANGE_LAG.number})


def _told_ports(numbers: Mapping[str, int], flows: Iterable[Flow]) -> dict[str, PortConfig]:
    found: dict[int, list[Flow]] = defaultdict(list)
    for flow in flows:
        if kind_of(flow) == Kind.PORT and flow.match.in_port is not None:
            found[flow.match.in_port].append(flow)
    told = {name: _tell(name, number, tuple(found[number])) for name, number in numbers.items()}
    return {name: config for name, config in told.items() if config is not None}


@lru_cache(maxsize=1 << 13)
def _tell(name: str, number: int, given: tuple[Flow, ...]) -> PortConfig | None:
    flows = {flow.key: flow for flow in given}
    first = flows.get(FlowKey(INGRESS, PORT, Match(in_port=number)))
    if first is None or first.cookie & 0xFFFFFFFF != zlib.crc32(name.encode()):
        return None
    tags = {key.match.vlan_vid for key in flows if key.priority == ADMIT}
    untagged = flows.get(FlowKey(INGRESS, ADMIT, Match(in_port=number, vlan_vid=0)))
    vids = [action.vid for action in untagged.actions if isinstance(action, SetVlan)] if untagged else []
    config = replace(
        parse_port_cookie(first.cookie),
        untagged=Vlan(vids[0] & ~TAGGED) if vids else None,
        tagged=frozenset(Vlan(vid & ~TAGGED) for vid in tags if vid is not None and vid not in {0, TAGGED}),
        enabled=FlowKey(INGRESS, GATE, Match(in_port=number)) not in flows,
    )
    try:
        check(name, config)
    except Permanent:
        return None
    return config if {flow.key: flow for flow in port_flows(name, number, config)} == flows else None


# --- where the table is not what the ports call for ------------------------------------------------------------------


def _divided(told: Mapping[str, PortConfig]) -> set[str]:
    """Members of LAGs that do not let in the same from all of them: their group sends the same to each all the same."""
    bundled: dict[int, dict[str, PortConfig]] = defaultdict(dict)
    for name, config in told.items():
        if config.lag:
            bundled[config.lag.number][name] = config
    return {name for members in bundled.values() if len(set(members.values())) > 1 for name in members}


def _disputed(table: Table, expected: Pipeline) -> set[str]:
    """The ports that a difference between what is there and what should be concerns."""
    there, names, everybody = table.ours, table.names, set(table.ports)
    disputed: set[str] = set()
    for key in there.flows.keys() | expected.flows.keys():
        actual, due = there.flows.get(key), expected.flows.get(key)
        if actual == due:
            continue
        disputed |= _parties(key, actual, due, table)
    for ident in there.groups.keys() | expected.groups.keys():
        if there.groups.get(ident) != expected.groups.get(ident):
            for group in (there.groups.get(ident), expected.groups.get(ident)):
                disputed |= {names[number] for number in _group_ports(group) if number in names}
    return disputed & everybody


def _parties(key: FlowKey, actual: Flow | None, due: Flow | None, table: Table) -> set[str]:
    names = table.names
    present = [flow for flow in (actual, due) if flow is not None]
    if key.table == FORWARDING and all(kind_of(flow) == Kind.VLAN for flow in present):
        one, other = (outlets_of(flow) if flow else set() for flow in (actual, due))
        if one is not None and other is not None:
            numbers = set[int]() if key.match.in_port is None else {key.match.in_port}
            for target, _ in one ^ other or one | other:
                group = table.groups.get(target.group) if isinstance(target, ToGroup) else None
                numbers |= {target.port} if isinstance(target, Output) else set(_group_ports(group))
            return {names[number] for number in numbers if number in names}
    if due is not None and kind_of(due) == Kind.FRAME:
        return set(table.ports)
    parties = _named(*reach(actual), table) if actual else set[str]()
    return parties | {name for number, name in names.items() if number == key.match.in_port}


def _group_ports(group: Group | None) -> Iterator[int]:
    for bucket in group.buckets if group else ():
        yield from (action.port for action in bucket.actions if isinstance(action, Output))


def _seen_vlans(table: Table) -> Mapping[int, frozenset[Vlan]]:
    """By the number of a port: every VLAN that a flow of ours lets in from it, or sends to it."""
    vids: dict[int, set[int]] = defaultdict(set)
    for flow in table.ours.flows.values():
        vid, in_port = flow.match.vlan_vid, flow.match.in_port
        if flow.table == INGRESS and in_port is not None:
            vids[in_port] |= {action.vid for action in flow.actions if isinstance(action, SetVlan)}
            vids[in_port] |= {vid} if vid else set()
        elif flow.table == FORWARDING and vid:
            for port in _outputs(flow, table):
                vids[port].add(vid)
    seen = {number: frozenset(Vlan(vid & ~TAGGED) for vid in vids[number]) for number in table.names}
    return defaultdict(frozenset, seen)


def _outputs(flow: Flow, table: Table) -> set[int]:
    ports = {action.port for action in flow.actions if isinstance(action, Output)}
    for action in flow.actions:
        if isinstance(action, ToGroup):
            ports |= set(_group_ports(table.groups.get(action.group)))
    return ports


# --- flows of somebody else ------------------------------------------------------------------------------------------


def foreign(table: Table) -> list[Flow]:
    """The flows that are not Ironlane's."""
    return [flow for flow in table.flows.values() if not is_ours(flow)]


def reach(flow: Flow) -> tuple[frozenset[int], bool]:
    """The numbers of the ports whose isolation a flow may undo; True: of every port.

    It does so for those whose frames it may catch before our flows do, and for those that it may send to. One that only
    drops, or asks a controller, catches the frames of the port that it names.
    """
    in_port, outputs = flow.match.in_port, set[int]()
    opaque = bool(flow.instructions) or flow.goto == FORWARDING
    for action in flow.actions:
        if isinstance(action, Output):
            outputs.add(action.port)
        elif not isinstance(action, PushVlan | PopVlan | SetVlan):
            opaque = True
    outputs.discard(PORT_CONTROLLER)
    opaque = opaque or any(number > PORT_MAX and number != PORT_LOCAL for number in outputs)
    harmless = not outputs and not opaque and flow.goto is None
    first = flow.priority >= {INGRESS: PORT, FORWARDING: TRANSIT}.get(flow.table, 1 << 16)
    everything = flow.match == Match()
    catches_all = first and in_port is None and (everything or not harmless)
    caught = {in_port} if first and in_port is not None else set()
    return frozenset(outputs | caught), opaque or catches_all


def _named(numbers: frozenset[int], everybody: bool, table: Table) -> set[str]:
    return set(table.ports) if everybody else {name for name, port in table.ports.items() if port.number in numbers}
