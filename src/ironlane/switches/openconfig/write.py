"""Plan → the NETCONF operations that carry it out, as text. Pure.

The edit is one document in an order that stays consistent even on a switch that applies it step by step: VLANs are
defined, ports leave their LAG, new LAGs are made, ports join or change, empty LAGs go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lxml import etree

from ironlane.model.errors import Permanent
from ironlane.model.fabric import VLAN_MAX, VLAN_MIN, Lag, LagMode, PortConfig, PortMode
from ironlane.model.plan import Plan
from ironlane.switches.netconf import BASE
from ironlane.switches.openconfig.names import (
    AGGREGATE,
    ETHERNET,
    IANA_IF_TYPE,
    INTERFACES,
    LACP,
    NETWORK_INSTANCE,
    VLAN,
    Dialect,
)

_OPERATION = f"{{{BASE}}}operation"
_SHORTEST_RANGE = 3  # "7..8" is no shorter than "7" and "8"


def operation(name: str, *path: str) -> str:
    """An operation without data, such as ``operation("lock", "target", "candidate")``."""
    root = element = _root(name)
    for step in path:
        element = _add(element, BASE, step)
    return _text(root)


def confirmed_commit(seconds: int) -> str:
    """<commit> that the switch undoes after `seconds` (RFC 6241 section 8.4). Without <persist>, so that it is undone
    at once when the session ends."""
    root = _root("commit")
    _add(root, BASE, "confirmed")
    _add(root, BASE, "confirm-timeout", str(seconds))
    return _text(root)


def get_config() -> str:
    """<get-config> of everything that `read.observation` looks at, in one subtree filter (RFC 6241 section 6).

    It asks for all interfaces rather than the wanted ones, because which LAGs these are in, and who else is in those
    LAGs, is part of the answer.
    """
    root = _root("get-config")
    _add(_add(root, BASE, "source"), BASE, "running")
    subtree = _add(root, BASE, "filter")
    subtree.set("type", "subtree")
    interface = _add(_add(subtree, INTERFACES, "interfaces"), INTERFACES, "interface")
    for leaf in ("name", "config"):
        _add(interface, INTERFACES, leaf)
    ethernet = _add(interface, ETHERNET, "ethernet")
    _add(_add(ethernet, ETHERNET, "config"), AGGREGATE, "aggregate-id")
    _add(_add(ethernet, VLAN, "switched-vlan"), VLAN, "config")
    aggregation = _add(interface, AGGREGATE, "aggregation")
    _add(aggregation, AGGREGATE, "config")
    _add(_add(aggregation, VLAN, "switched-vlan"), VLAN, "config")
    lacp = _add(_add(_add(subtree, LACP, "lacp"), LACP, "interfaces"), LACP, "interface")
    for leaf in ("name", "config"):
        _add(lacp, LACP, leaf)
    return _text(root)


def members_after(plan: Plan, members: Mapping[str, str], dialect: Dialect) -> dict[str, str]:
    """Port → aggregate interface once the plan is carried out; `members` is what it was before."""
    after = dict(members)
    for change in plan.changes:
        after.pop(change.port, None)
        if change.after.lag is not None:
            after[change.port] = dialect.lag_interface(change.after.lag.number)
    return after


def edit_config(plan: Plan, members: Mapping[str, str], dialect: Dialect) -> str:
    """<edit-config> of the candidate with all changes of the plan.

    `members` maps ports to aggregate interfaces before the plan, also those of ports that the plan does not mention:
    a LAG goes when its last member leaves.

    Raises:
        Permanent: a port config that OpenConfig cannot express, or members of one LAG that contradict each other.
    """
    for change in plan.changes:
        _check(change.port, change.after, dialect)
    staying = set(members_after(plan, members, dialect).values())
    left = [dialect.lag_interface(c.before.lag.number) for c in plan.changes if c.before.lag and c.before.lag.number]
    empty = sorted(set(left) - staying, key=lambda name: dialect.lag_number(name) or 0)
    lags = _lags(plan)

    root = _root("edit-config")
    _add(_add(root, BASE, "target"), BASE, "candidate")
    _add(root, BASE, "default-operation", "merge")
    config = _add(root, BASE, "config")
    if dialect.create_vlans:
        _define_vlans(config, (c.after for c in plan.changes), dialect)
    interfaces = _top(config, INTERFACES, "interfaces")
    for change in plan.changes:
        if change.after.lag is None:
            was = change.before.lag
            aggregate = members.get(change.port) or (dialect.lag_interface(was.number) if was and was.number else None)
            _port(interfaces, change.port, change.after, left=aggregate)
    for lag, carried in lags:
        _aggregate(interfaces, dialect.lag_interface(lag.number), lag, carried)
    for change in plan.changes:
        if change.after.lag is not None:
            _port(interfaces, change.port, change.after, joined=dialect.lag_interface(change.after.lag.number))
    for name in empty:
        entry = _add(interfaces, INTERFACES, "interface", operation="remove")
        _add(entry, INTERFACES, "name", name)
    _lacp(config, [(dialect.lag_interface(lag.number), lag) for lag, _ in lags], empty)
    return _text(root)


def _check(port: str, config: PortConfig, dialect: Dialect) -> None:
    """Refuse what cannot be written, or would be read back as something else."""
    problem = ""
    if not all(VLAN_MIN <= vlan <= VLAN_MAX for vlan in config.vlans):
        problem = f"a VLAN is outside {VLAN_MIN} to {VLAN_MAX}"
    elif config.mode is PortMode.ACCESS and config.tagged:
        problem = "an access port carries no tagged VLANs"
    elif config.untagged in config.tagged:
        problem = f"VLAN {config.untagged} is both tagged and untagged"
    elif config.mode is PortMode.TRUNK and not config.vlans:
        problem = "OpenConfig has no trunk without VLANs (it would carry all of them); shut it as an access port"
    elif config.mode is PortMode.ACCESS and config.enabled and config.untagged is None:
        problem = f"without a VLAN the switch would put it on VLAN {dialect.default_vlan}; shut it instead"
    elif config.mode is PortMode.ACCESS and not config.enabled and config.untagged == dialect.default_vlan:
        problem = f"a shut port on VLAN {dialect.default_vlan} cannot be told from one without a VLAN"
    elif not _storable(config.description):
        problem = "its description has control characters, or blanks at an end"
    if not problem and config.lag is not None:
        problem = _lag_problem(config.lag)
    if problem:
        raise Permanent(f"switch port {port}: {problem}")


def _storable(text: str) -> bool:
    """Comes back as it was sent: XML 1.0 characters only, on one line, without blanks at the ends."""
    return text == text.strip() and re.search(r"[\x00-\x1f\ud800-\udfff\ufffe\uffff]", text) is None


def _lag_problem(lag: Lag) -> str:
    if lag.number < 1 or lag.min_links < 1:
        return f"LAG {lag.number} with min-links {lag.min_links}: both begin at 1"
    if lag.mode is LagMode.STATIC and lag != Lag(lag.number, LagMode.STATIC, min_links=lag.min_links):
        return f"static LAG {lag.number} has LACP settings (rate or fallback), which the switch cannot keep"
    return ""


def _lags(plan: Plan) -> list[tuple[Lag, PortConfig]]:
    """Each LAG that ports have after the plan, with what it carries, by number."""
    found: dict[int, PortConfig] = {}
    for change in plan.changes:
        if change.after.lag is None:
            continue
        config = replace(change.after, description="")
        if found.setdefault(change.after.lag.number, config) != config:
            raise Permanent(f"LAG {change.after.lag.number}: port {change.port} contradicts another member")
    return [(config.lag, config) for _, config in sorted(found.items()) if config.lag is not None]


def _define_vlans(config: etree._Element, configs: Iterable[PortConfig], dialect: Dialect) -> None:
    wanted: set[int] = set()
    for port in configs:
        if len(port.vlans) < VLAN_MAX:  # "all VLANs" means all that are defined anyway
            wanted |= port.vlans
    if not wanted:
        return
    instance = _add(_top(config, NETWORK_INSTANCE, "network-instances"), NETWORK_INSTANCE, "network-instance")
    _add(instance, NETWORK_INSTANCE, "name", dialect.network_instance)
    vlans = _add(instance, NETWORK_INSTANCE, "vlans")
    for vlan in sorted(wanted):
        entry = _add(vlans, NETWORK_INSTANCE, "vlan")
        _add(entry, NETWORK_INSTANCE, "vlan-id", str(vlan))
        settings = _add(entry, NETWORK_INSTANCE, "config")
        _add(settings, NETWORK_INSTANCE, "vlan-id", str(vlan))
        _add(settings, NETWORK_INSTANCE, "status", "ACTIVE")


def _port(
    interfaces: etree._Element, name: str, config: PortConfig, *, left: str | None = None, joined: str | None = None
) -> None:
    """A physical port. In a LAG, the aggregate carries the VLANs and the port has none of its own.

    Where it leaves a LAG, the aggregate is named: some servers check even a reference that is to be removed.
    """
    entry = _add(interfaces, INTERFACES, "interface")
    _add(entry, INTERFACES, "name", name)
    settings = _add(entry, INTERFACES, "config")
    _add(settings, INTERFACES, "name", name)
    if config.description:
        _add(settings, INTERFACES, "description", config.description)
    else:
        _add(settings, INTERFACES, "description", operation="remove")
    _add(settings, INTERFACES, "enabled", str(config.enabled).lower())
    ethernet = _add(entry, ETHERNET, "ethernet")
    if joined or left:
        member = _add(ethernet, ETHERNET, "config")
        _add(member, AGGREGATE, "aggregate-id", joined or left, operation=None if joined else "remove")
    if joined:
        _add(ethernet, VLAN, "switched-vlan", operation="remove")
    else:
        _switched_vlan(ethernet, config)


def _aggregate(interfaces: etree._Element, name: str, lag: Lag, config: PortConfig) -> None:
    entry = _add(interfaces, INTERFACES, "interface")
    _add(entry, INTERFACES, "name", name)
    settings = _add(entry, INTERFACES, "config")
    _add(settings, INTERFACES, "name", name)
    kind = etree.SubElement(settings, f"{{{INTERFACES}}}type", nsmap={"ianaift": IANA_IF_TYPE})
    kind.text = "ianaift:ieee8023adLag"
    _add(settings, INTERFACES, "enabled", str(config.enabled).lower())
    aggregation = _add(entry, AGGREGATE, "aggregation")
    agreed = _add(aggregation, AGGREGATE, "config")
    _add(agreed, AGGREGATE, "lag-type", lag.mode.name)
    _add(agreed, AGGREGATE, "min-links", str(lag.min_links))
    _switched_vlan(aggregation, config)


def _switched_vlan(parent: etree._Element, config: PortConfig) -> None:
    """Replaced as a whole, so that nothing of an earlier mode stays. The native VLAN of a trunk is also among the
    VLANs that the trunk may carry: the list limits both kinds, and an empty one would mean all VLANs."""
    settings = _add(_add(parent, VLAN, "switched-vlan", operation="replace"), VLAN, "config")
    _add(settings, VLAN, "interface-mode", config.mode.name)
    if config.mode is PortMode.ACCESS:
        if config.untagged is not None:
            _add(settings, VLAN, "access-vlan", str(config.untagged))
        return
    if config.untagged is not None:
        _add(settings, VLAN, "native-vlan", str(config.untagged))
    for text in ranges(config.vlans):
        _add(settings, VLAN, "trunk-vlans", text)


def ranges(vlans: Iterable[int]) -> list[str]:
    """VLAN ids in order, runs as openconfig-vlan-types:vlan-range: {1, 7, 8, 9} → ["1", "7..9"]."""
    runs: list[list[int]] = []
    for vlan in sorted(vlans):
        if runs and vlan == runs[-1][-1] + 1:
            runs[-1].append(vlan)
        else:
            runs.append([vlan])
    texts = []
    for run in runs:
        texts += [f"{run[0]}..{run[-1]}"] if len(run) >= _SHORTEST_RANGE else [str(vlan) for vlan in run]
    return texts


def _lacp(config: etree._Element, lags: Sequence[tuple[str, Lag]], empty: Sequence[str]) -> None:
    """LACP settings, kept in their own tree by interface name. Replaced as a whole, because a switch of before
    openconfig-lacp 2.1.0 (September 2024) has no `fallback` leaf that could be removed."""
    if not lags and not empty:
        return
    interfaces = _add(_top(config, LACP, "lacp"), LACP, "interfaces")
    for name, lag in lags:
        gone = lag.mode is LagMode.STATIC
        entry = _add(interfaces, LACP, "interface", operation="remove" if gone else "replace")
        _add(entry, LACP, "name", name)
        if gone:
            continue
        settings = _add(entry, LACP, "config")
        _add(settings, LACP, "name", name)
        _add(settings, LACP, "interval", lag.rate.name)
        _add(settings, LACP, "lacp-mode", "ACTIVE")
        if lag.fallback:
            _add(settings, LACP, "fallback", "true")
    for name in empty:
        _add(_add(interfaces, LACP, "interface", operation="remove"), LACP, "name", name)


def _root(name: str) -> etree._Element:
    return etree.Element(f"{{{BASE}}}{name}", nsmap=_namespaces(BASE))


def _namespaces(default: str, **prefixes: str) -> Any:
    """What lxml calls nsmap; its type stubs do not know the default namespace's key, None."""
    return {None: default, **prefixes}


def _top(config: etree._Element, namespace: str, name: str) -> etree._Element:
    return etree.SubElement(config, f"{{{namespace}}}{name}", nsmap=_namespaces(namespace, nc=BASE))


def _add(
    parent: etree._Element, namespace: str, name: str, text: str | None = None, *, operation: str | None = None
) -> etree._Element:
    element = etree.SubElement(parent, f"{{{namespace}}}{name}", nsmap=_namespaces(namespace))
    element.text = text
    if operation is not None:
        element.set(_OPERATION, operation)
    return element


def _text(root: etree._Element) -> str:
    etree.indent(root)
    return etree.tostring(root, encoding="unicode")
