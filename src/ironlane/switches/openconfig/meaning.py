"""What the leaves say → what ports carry. Pure.

A state that no `PortConfig` describes is read as the nearest one that carries no less, and its description gets the
reason in brackets: so it differs from anything desired, and the operator sees why.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from ironlane.model.fabric import (
    VLAN_MAX,
    VLAN_MIN,
    LacpRate,
    Lag,
    LagMode,
    PortConfig,
    PortMode,
    Vlan,
)
from ironlane.switches.openconfig.leaves import Interface, Lacp, SwitchedVlan, VlanEntry
from ironlane.switches.openconfig.names import Dialect

_RANGE = re.compile(r"([0-9]+)(?:\.\.([0-9]+))?")


@dataclass(frozen=True, slots=True)
class Observation:
    """`ports`: what the wanted ports carry. `members`: port → aggregate interface, for all ports of the switch.

    `foreign`: numbers of LAGs that are there for anything but wanted ports.
    """

    ports: dict[str, PortConfig]
    members: dict[str, str]
    foreign: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class _Carried:
    """What a <switched-vlan> says; `unknown` is the reason why it is not the whole truth, or empty."""

    mode: PortMode
    untagged: Vlan | None
    tagged: frozenset[Vlan]
    unknown: str = ""


def observation(
    interfaces: Mapping[str, Interface],
    lacp: Mapping[str, Lacp],
    vlans: Collection[VlanEntry],
    wanted: Collection[str],
    dialect: Dialect,
) -> Observation:
    """What the wanted ports carry. Those that the switch does not show are left out.

    `vlans` are those that are defined; a switch that shows none at all does not tell.
    """
    members = {name: interface.aggregate_id for name, interface in interfaces.items() if interface.aggregate_id}
    ports = {}
    for name in sorted(set(wanted) & interfaces.keys()):
        if name in members:
            aggregate = members[name]
            ports[name] = _member(interfaces[name], interfaces.get(aggregate), lacp.get(aggregate), dialect)
        else:
            ports[name] = _single(interfaces[name], dialect)
    if vlans:
        defined = {vlan for entry in vlans if entry.forwards and (vlan := _vlan(entry.vlan_id)) is not None}
        ports = {name: _inactive(config, defined | {dialect.default_vlan}) for name, config in ports.items()}
    strange = {aggregate for name, aggregate in members.items() if name not in wanted}
    ours = {aggregate for name, aggregate in members.items() if name in wanted} - strange
    numbers = (dialect.lag_number(name) for name in {*interfaces, *strange} - ours)
    return Observation(ports, members, frozenset(number for number in numbers if number is not None))


def _inactive(config: PortConfig, defined: Collection[int]) -> PortConfig:
    """A port forwards only VLANs that the switch has; all VLANs are all that it has."""
    undefined = sorted(config.vlans - set(defined)) if len(config.vlans) < VLAN_MAX else []
    if not undefined:
        return config
    return replace(config, inactive=f"not defined: VLAN {', '.join(map(str, undefined))}")


def _single(interface: Interface, dialect: Dialect) -> PortConfig:
    enabled = _enabled(interface)
    carried = _switched_vlan(interface.on_port, enabled, dialect)
    return _port(interface, carried, enabled, None, carried.unknown)


def _member(interface: Interface, aggregate: Interface | None, lacp: Lacp | None, dialect: Dialect) -> PortConfig:
    """A port in a LAG: the aggregate tells the VLANs; VLANs that the port itself still has rest meanwhile."""
    name = interface.aggregate_id
    if aggregate is None:
        nothing = _Carried(PortMode.ACCESS, None, frozenset())
        lag = Lag(dialect.lag_number(name) or 0)
        return _port(interface, nothing, _enabled(interface), lag, f"aggregate {name} does not exist")
    enabled = _enabled(interface) and _enabled(aggregate)
    carried = _switched_vlan(aggregate.on_lag, enabled, dialect)
    lag, unknown = _lag(name, aggregate, lacp, dialect)
    return _port(interface, carried, enabled, lag, unknown or carried.unknown)


def _port(interface: Interface, carried: _Carried, enabled: bool, lag: Lag | None, unknown: str) -> PortConfig:
    config = PortConfig(
        mode=carried.mode,
        untagged=carried.untagged,
        tagged=carried.tagged,
        lag=lag,
        enabled=enabled,
        description=interface.description,
    )
    if unknown:
        return replace(config, description=f"{config.description} [not understood: {unknown}]".strip())
    return config


def _lag(name: str, aggregate: Interface, lacp: Lacp | None, dialect: Dialect) -> tuple[Lag, str]:
    """The LAG, and what is not understood about it. Leaves that are absent have their model's defaults."""
    unknown = ""
    number = dialect.lag_number(name)
    if number is None:
        unknown = f"{name} is not named like {dialect.lag_name}"
    links = aggregate.min_links or "1"
    if aggregate.lag_type not in ("LACP", "STATIC") or not links.isdigit():
        unknown = unknown or f"lag-type {aggregate.lag_type!r} with min-links {links!r}"
    lag = Lag(
        number or 0,
        LagMode.STATIC if aggregate.lag_type == "STATIC" else LagMode.LACP,
        min_links=max(1, int(links)) if links.isdigit() else 1,
    )
    if lag.mode is LagMode.STATIC or lacp is None:
        return lag, unknown
    activity = lacp.mode or "ACTIVE"
    interval = lacp.interval or "SLOW"
    if activity != "ACTIVE" or interval not in ("FAST", "SLOW"):
        unknown = unknown or f"LACP mode {activity} with interval {interval}"
    rate = LacpRate.FAST if interval == "FAST" else LacpRate.SLOW
    return replace(lag, rate=rate, fallback=lacp.fallback == "true"), unknown


def _switched_vlan(leaves: SwitchedVlan | None, enabled: bool, dialect: Dialect) -> _Carried:
    """Leaves that do not apply to the mode are ignored (they are conditional on it in openconfig-vlan)."""
    leaves = leaves or SwitchedVlan()
    mode = leaves.mode or "ACCESS"
    if mode == "ACCESS":
        return _access(leaves.access, enabled, dialect)
    unknown = "" if mode == "TRUNK" else f"interface-mode {mode}"
    native = _vlan(leaves.native)
    if leaves.native and native is None:
        unknown = unknown or f"native-vlan {leaves.native}"
    allowed: set[int] = set()
    for text in leaves.trunk:
        if (span := _span(text)) is None:
            unknown = unknown or f"trunk-vlans {text}"
        else:
            allowed.update(span)
    if not leaves.trunk:
        allowed.update(range(VLAN_MIN, VLAN_MAX + 1))  # openconfig-vlan: none named means all
    if native is not None and native not in allowed:
        if native == dialect.default_vlan:
            native = None  # what switches report unasked; the list keeps it off the port
        else:
            unknown = unknown or f"native-vlan {native} is not among trunk-vlans"
    tagged = frozenset(Vlan(vlan) for vlan in allowed if vlan != native)
    return _Carried(PortMode.TRUNK, native, tagged, unknown)


def _access(text: str, enabled: bool, dialect: Dialect) -> _Carried:
    """An access port is on the switch's default VLAN if nothing else is said; shut there, it carries nothing."""
    if not text or text == str(dialect.default_vlan):
        return _Carried(PortMode.ACCESS, Vlan(dialect.default_vlan) if enabled else None, frozenset())
    vlan = _vlan(text)
    return _Carried(PortMode.ACCESS, vlan, frozenset(), "" if vlan else f"access-vlan {text}")


def _vlan(text: str) -> Vlan | None:
    return Vlan(int(text)) if text.isdecimal() and VLAN_MIN <= int(text) <= VLAN_MAX else None


def _span(text: str) -> range | None:
    match = _RANGE.fullmatch(text)
    if match is None:
        return None
    first, last = int(match[1]), int(match[2] or match[1])
    return range(first, last + 1) if VLAN_MIN <= first <= last <= VLAN_MAX else None


def _enabled(interface: Interface) -> bool:
    return interface.enabled != "false"
