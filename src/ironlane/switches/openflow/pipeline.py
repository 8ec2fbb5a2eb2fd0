"""From `PortConfig` to flows: what a switch's flow table holds when its ports carry this. Pure.

**Table 0 lets frames in**, and gives every one the tag of its VLAN:

* bridge protocol frames (01:80:c2:00:00:0x, IEEE 802.1Q table 8-1) are dropped, as a bridge does: LLDP that came from
  one server must not tell another that it is cabled to that one;
* a port of ours has a flow that drops, and above it one per VLAN that it carries; an untagged VLAN has two, because a
  frame with VLAN id 0 has a priority and no VLAN. Above these, a port that is shut has one that drops. So a shut port
  remembers what it carries, and what any port carries can be read back from the flows alone;
* an uplink lets in whatever is tagged. Everything else is dropped.

**Table 1 sends them out**: one flow per VLAN, to the uplinks and to all ports that carry it (the untagged ones after
the tag was taken off). A frame never leaves by the port it came in by (section 7.2.5 of the specification); members of
a LAG have flows of their own, which leave the whole LAG out. What no port here carries goes from uplink to uplink.

A LAG is a select group: the switch picks one member by a hash, among those that are up.

The cookie holds what no match can say: whose flow it is, which port's (a checksum of the name, because a number may
pass from one port to another), access or trunk, and the LAG.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from ironlane.model.errors import Permanent
from ironlane.model.fabric import LacpRate, Lag, LagMode, PortConfig, PortMode
from ironlane.switches.openflow.wire import (
    TAGGED,
    VID_MASK,
    Action,
    Bucket,
    Flow,
    FlowKey,
    Group,
    GroupType,
    Match,
    Output,
    PopVlan,
    PushVlan,
    SetVlan,
    ToGroup,
)

INGRESS, FORWARDING = 0, 1
"""The two tables."""

SIGNATURE = 0x4952
"""The first 16 bits of the cookies of our flows and of the ids of our groups."""

PROTOCOLS, GATE, ADMIT, PORT = 40000, 30300, 30200, 30100
"""Priorities in table 0."""
WITHIN_LAG, MEMBERS, TRANSIT = 30200, 30100, 30000
"""Priorities in table 1."""

_PROTOCOL_ADDRESS, _PROTOCOL_MASK = bytes.fromhex("0180c2000000"), bytes.fromhex("fffffffffff0")


class Kind(IntEnum):
    """What a flow of ours is for: three bits of its cookie."""

    FRAME = 1
    """What the table always holds, whatever the ports carry."""
    PORT = 2
    VLAN = 3


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The flows and groups that are ours."""

    flows: Mapping[FlowKey, Flow]
    groups: Mapping[int, Group]


# --- cookies ---------------------------------------------------------------------------------------------------------


def is_ours(flow: Flow) -> bool:
    """Whether a flow is Ironlane's."""
    return flow.cookie >> 48 == SIGNATURE


def kind_of(flow: Flow) -> int:
    """The `Kind` of a flow of ours."""
    return flow.cookie >> 45 & 0b111


def _cookie(kind: Kind, settings: int = 0, subject: int = 0) -> int:
    return SIGNATURE << 48 | kind << 45 | settings << 32 | subject


def port_cookie(name: str, config: PortConfig) -> int:
    """Bits 32 to 44: trunk, LACP rate fast, LACP fallback, LAG number (10 bits); 0 to 31: checksum of the name."""
    lag = config.lag or Lag(0, LagMode.STATIC)
    trunk, fast = config.mode is PortMode.TRUNK, lag.rate is LacpRate.FAST
    return _cookie(Kind.PORT, trunk << 12 | fast << 11 | lag.fallback << 10 | lag.number, zlib.crc32(name.encode()))


def parse_port_cookie(cookie: int) -> PortConfig:
    """Mode and LAG of a port, by the cookie of its flows."""
    number = cookie >> 32 & 0x3FF
    rate = LacpRate.FAST if cookie >> 43 & 1 else LacpRate.SLOW
    lag = Lag(number, LagMode.STATIC, rate, fallback=bool(cookie >> 42 & 1))
    return PortConfig(mode=PortMode.TRUNK if cookie >> 44 & 1 else PortMode.ACCESS, lag=lag if number else None)


def group_of(lag: int) -> int:
    """The group id of a LAG."""
    return SIGNATURE << 16 | lag


def is_our_group(ident: int) -> bool:
    """Whether a group is Ironlane's."""
    return ident >> 16 == SIGNATURE


# --- what can be asked for -------------------------------------------------------------------------------------------


def check(port: str, config: PortConfig) -> None:
    """Refuse what OpenFlow cannot do, or what contradicts itself.

    Raises:
        Permanent: with the port and the reason.
    """
    if problem := config.contradiction or _problem(config):
        raise Permanent(f"switch port {port}: {problem}")


def _problem(config: PortConfig) -> str:
    if config.description:
        return "OpenFlow has no place for a port's description"
    return _lag_problem(config.lag) if config.lag else ""


def _lag_problem(lag: Lag) -> str:
    if not 1 <= lag.number <= 1000:
        return f"LAG number {lag.number} is outside 1 to 1000"
    if lag.mode is LagMode.LACP:
        return "OpenFlow has no LACP; ask for a static LAG (bond mode balance-xor, not 802.3ad)"
    if lag.min_links != 1:
        return f"a group has no minimum of members, so {lag.min_links} cannot be kept; ask for 1"
    return ""


# --- the flows -------------------------------------------------------------------------------------------------------


def pipeline(configs: Mapping[str, PortConfig], numbers: Mapping[str, int], uplinks: Sequence[str]) -> Pipeline:
    """All flows and groups of a switch whose ports carry this. `numbers` are the ports' and the uplinks'."""
    flows = [*frame_flows([numbers[name] for name in uplinks])]
    for name, config in configs.items():
        flows += port_flows(name, numbers[name], config)
    live = {name: config for name, config in configs.items() if config.enabled and config.vlans}
    lags: dict[int, list[int]] = defaultdict(list)
    for name, config in sorted(live.items(), key=lambda item: numbers[item[0]]):
        if config.lag:
            lags[config.lag.number].append(numbers[name])
    members: dict[int, list[tuple[str, PortConfig]]] = defaultdict(list)
    for name, config in live.items():
        for vlan in config.vlans:
            members[vlan].append((name, config))
    for carried, carrying in members.items():
        outlets = _outlets(carried, carrying, numbers) | {(Output(numbers[name]), True) for name in uplinks}
        flows += _vlan_flows(carried, outlets, lags)
    groups = [Group(group_of(lag), GroupType.SELECT, tuple(map(_bucket, ports))) for lag, ports in lags.items()]
    return Pipeline({flow.key: flow for flow in flows}, {group.ident: group for group in groups})


def frame_flows(uplinks: Iterable[int]) -> Iterator[Flow]:
    """The flows that are always there."""
    cookie, outputs = _cookie(Kind.FRAME), tuple(Output(number) for number in sorted(uplinks))
    yield Flow(INGRESS, 0, Match(), cookie)
    yield Flow(FORWARDING, 0, Match(), cookie)
    yield Flow(INGRESS, PROTOCOLS, Match(eth_dst=_PROTOCOL_ADDRESS, eth_dst_mask=_PROTOCOL_MASK), cookie)
    for uplink in outputs:
        tagged = Match(in_port=uplink.port, vlan_vid=TAGGED, vlan_mask=TAGGED)
        yield Flow(INGRESS, ADMIT, tagged, cookie, goto=FORWARDING)
    if outputs:
        yield Flow(FORWARDING, TRANSIT, Match(vlan_vid=TAGGED, vlan_mask=TAGGED), cookie, outputs)


@lru_cache(maxsize=1 << 13)
def port_flows(name: str, number: int, config: PortConfig) -> tuple[Flow, ...]:
    """What a port's frames meet in table 0. Of most ports it is asked for over and over."""
    cookie = port_cookie(name, config)
    flows = [Flow(INGRESS, PORT, Match(in_port=number), cookie)]
    if not config.enabled:
        flows.append(Flow(INGRESS, GATE, Match(in_port=number), cookie))
    if config.untagged is not None:
        tag = SetVlan(TAGGED | config.untagged)
        no_tag, no_vlan = Match(in_port=number, vlan_vid=0), Match(in_port=number, vlan_vid=TAGGED)
        flows.append(Flow(INGRESS, ADMIT, no_tag, cookie, (PushVlan(), tag), goto=FORWARDING))
        flows.append(Flow(INGRESS, ADMIT, no_vlan, cookie, (tag,), goto=FORWARDING))
    for vlan in config.tagged:
        tagged = Match(in_port=number, vlan_vid=TAGGED | vlan)
        flows.append(Flow(INGRESS, ADMIT, tagged, cookie, goto=FORWARDING))
    return tuple(flows)


Outlet = tuple[Output | ToGroup, bool]
"""Where a VLAN's frames leave, and whether with their tag."""


def _outlets(vlan: int, carrying: Iterable[tuple[str, PortConfig]], numbers: Mapping[str, int]) -> set[Outlet]:
    return {
        (ToGroup(group_of(config.lag.number)) if config.lag else Output(numbers[name]), vlan in config.tagged)
        for name, config in carrying
    }


def _vlan_flows(vlan: int, outlets: set[Outlet], lags: Mapping[int, Sequence[int]]) -> Iterator[Flow]:
    cookie, vid = _cookie(Kind.VLAN, subject=vlan), TAGGED | vlan
    yield Flow(FORWARDING, MEMBERS, Match(vlan_vid=vid), cookie, _actions(outlets))
    for target, tagged in outlets:
        if not isinstance(target, ToGroup):
            continue
        ports = lags[target.group & 0xFFFF]
        others = _actions(outlets - {(target, tagged)})
        # A LAG with one member needs no flow of its own: a frame does not go back to where it came from.
        for port in ports if len(ports) > 1 else ():
            yield Flow(FORWARDING, WITHIN_LAG, Match(in_port=port, vlan_vid=vid), cookie, others)


def _actions(outlets: Iterable[Outlet]) -> tuple[Action, ...]:
    """With the tag first, because it is gone once it is taken off."""
    ordered = sorted(outlets, key=_order)
    with_tag = [target for target, tagged in ordered if tagged]
    without = [target for target, tagged in ordered if not tagged]
    return (*with_tag, PopVlan(), *without) if without else (*with_tag,)


def _order(outlet: Outlet) -> tuple[bool, int]:
    target, _ = outlet
    return (False, target.port) if isinstance(target, Output) else (True, target.group)


def _bucket(port: int) -> Bucket:
    return Bucket((Output(port),), watch_port=port)


def outlets_of(flow: Flow) -> set[Outlet] | None:
    """Where a flow of table 1 sends one VLAN's frames; None if it is not of the form that `pipeline` makes."""
    found: set[Outlet] = set()
    tagged = True
    vid, mask = flow.match.vlan_vid, flow.match.vlan_mask
    plain = flow.goto is None and not flow.instructions and flow.settings == (0, 0, 0) and not flow.match.other
    if not plain or flow.match.eth_dst is not None or vid is None or mask != VID_MASK or not vid & TAGGED:
        return None
    for action in flow.actions:
        if isinstance(action, Output | ToGroup):
            found.add((action, tagged))
        elif isinstance(action, PopVlan) and tagged:
            tagged = False
        else:
            return None
    return found
