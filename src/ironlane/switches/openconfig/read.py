"""The reply to <get-config> → what ports carry. Pure.

A state that no `PortConfig` describes is read as the nearest one that carries no less, and its description gets the
reason in brackets: so it differs from anything desired, and the operator sees why.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from lxml import etree

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
from ironlane.switches.netconf import BASE
from ironlane.switches.openconfig.names import AGGREGATE, ETHERNET, INTERFACES, LACP, VLAN, Dialect

_RANGE = re.compile(r"([0-9]+)(?:\.\.([0-9]+))?")
_PREFIXES = {"if": INTERFACES, "eth": ETHERNET, "agg": AGGREGATE, "vlan": VLAN, "lacp": LACP, "nc": BASE}


@dataclass(frozen=True, slots=True)
class Observation:
    """`ports`: what the wanted ports carry. `members`: port → aggregate interface, for all ports of the switch."""

    ports: dict[str, PortConfig]
    members: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Carried:
    """What a <switched-vlan> says; `unknown` is the reason why it is not the whole truth, or empty."""

    mode: PortMode
    untagged: Vlan | None
    tagged: frozenset[Vlan]
    unknown: str = ""


def observation(reply: etree._Element, wanted: Collection[str], dialect: Dialect) -> Observation:
    """Read an <rpc-reply> to `write.get_config`. Wanted ports that it does not show are left out."""
    interfaces = {_leaf(e, "if:name"): e for e in _all(reply, "nc:data/if:interfaces/if:interface")}
    lacp = {_leaf(e, "lacp:name"): e for e in _all(reply, "nc:data/lacp:lacp/lacp:interfaces/lacp:interface")}
    members = {}
    for name, element in interfaces.items():
        if aggregate := _leaf(element, "eth:ethernet/eth:config/agg:aggregate-id"):
            members[name] = aggregate
    ports = {}
    for name in sorted(set(wanted) & interfaces.keys()):
        if name in members:
            aggregate = members[name]
            ports[name] = _member(interfaces[name], aggregate, interfaces.get(aggregate), lacp.get(aggregate), dialect)
        else:
            ports[name] = _single(interfaces[name], dialect)
    return Observation(ports, members)


def _single(interface: etree._Element, dialect: Dialect) -> PortConfig:
    enabled = _enabled(interface)
    carried = _switched_vlan(_one(interface, "eth:ethernet/vlan:switched-vlan/vlan:config"), enabled, dialect)
    return _port(interface, carried, enabled, None, carried.unknown)


def _member(
    interface: etree._Element,
    aggregate: str,
    lag_interface: etree._Element | None,
    lacp: etree._Element | None,
    dialect: Dialect,
) -> PortConfig:
    """A port in a LAG: the aggregate tells the VLANs; VLANs that the port itself still has rest meanwhile."""
    if lag_interface is None:
        nothing = _Carried(PortMode.ACCESS, None, frozenset())
        lag = Lag(dialect.lag_number(aggregate) or 0)
        return _port(interface, nothing, _enabled(interface), lag, f"aggregate {aggregate} does not exist")
    enabled = _enabled(interface) and _enabled(lag_interface)
    carried = _switched_vlan(_one(lag_interface, "agg:aggregation/vlan:switched-vlan/vlan:config"), enabled, dialect)
    lag, unknown = _lag(aggregate, lag_interface, lacp, dialect)
    return _port(interface, carried, enabled, lag, unknown or carried.unknown)


def _port(interface: etree._Element, carried: _Carried, enabled: bool, lag: Lag | None, unknown: str) -> PortConfig:
    config = PortConfig(
        mode=carried.mode,
        untagged=carried.untagged,
        tagged=carried.tagged,
        lag=lag,
        enabled=enabled,
        description=_leaf(interface, "if:config/if:description"),
    )
    if unknown:
        return replace(config, description=f"{config.description} [not understood: {unknown}]".strip())
    return config


def _lag(aggregate: str, interface: etree._Element, lacp: etree._Element | None, dialect: Dialect) -> tuple[Lag, str]:
    """The LAG, and what is not understood about it. Leaves that are absent have their model's defaults."""
    unknown = ""
    number = dialect.lag_number(aggregate)
    if number is None:
        unknown = f"{aggregate} is not named like {dialect.lag_name}"
    lag_type = _leaf(interface, "agg:aggregation/agg:config/agg:lag-type")
    links = _leaf(interface, "agg:aggregation/agg:config/agg:min-links") or "1"
    if lag_type not in ("LACP", "STATIC") or not links.isdigit():
        unknown = unknown or f"lag-type {lag_type!r} with min-links {links!r}"
    lag = Lag(
        number or 0,
        LagMode.STATIC if lag_type == "STATIC" else LagMode.LACP,
        min_links=max(1, int(links)) if links.isdigit() else 1,
    )
    if lag.mode is LagMode.STATIC or lacp is None:
        return lag, unknown
    activity = _leaf(lacp, "lacp:config/lacp:lacp-mode") or "ACTIVE"
    interval = _leaf(lacp, "lacp:config/lacp:interval") or "SLOW"
    if activity != "ACTIVE" or interval not in ("FAST", "SLOW"):
        unknown = unknown or f"LACP mode {activity} with interval {interval}"
    rate = LacpRate.FAST if interval == "FAST" else LacpRate.SLOW
    return replace(lag, rate=rate, fallback=_leaf(lacp, "lacp:config/lacp:fallback") == "true"), unknown


def _switched_vlan(config: etree._Element | None, enabled: bool, dialect: Dialect) -> _Carried:
    """Leaves that do not apply to the mode are ignored (they are conditional on it in openconfig-vlan)."""
    mode = (_leaf(config, "vlan:interface-mode") if config is not None else "") or "ACCESS"
    if config is None or mode == "ACCESS":
        return _access("" if config is None else _leaf(config, "vlan:access-vlan"), enabled, dialect)
    unknown = "" if mode == "TRUNK" else f"interface-mode {mode}"
    native_text = _leaf(config, "vlan:native-vlan")
    native = _vlan(native_text)
    if native_text and native is None:
        unknown = unknown or f"native-vlan {native_text}"
    allowed: set[int] = set()
    texts = [(element.text or "").strip() for element in _all(config, "vlan:trunk-vlans")]
    for text in texts:
        if (span := _span(text)) is None:
            unknown = unknown or f"trunk-vlans {text}"
        else:
            allowed.update(span)
    if not texts:
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


def _enabled(interface: etree._Element) -> bool:
    return (_leaf(interface, "if:config/if:enabled") or "true") != "false"


def _all(element: etree._Element, path: str) -> list[etree._Element]:
    return element.findall(path, _PREFIXES)


def _one(element: etree._Element, path: str) -> etree._Element | None:
    return element.find(path, _PREFIXES)


def _leaf(element: etree._Element, path: str) -> str:
    """The text of a leaf; empty if it is absent."""
    return (element.findtext(path, namespaces=_PREFIXES) or "").strip()
