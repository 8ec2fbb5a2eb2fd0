"""Plan → the NETCONF operations that carry it out, as text. Pure. The edit is one document, in the order of `edit`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lxml import etree

from ironlane.model.plan import Plan
from ironlane.switches.netconf import BASE
from ironlane.switches.openconfig.edit import LagEdit, PortEdit, edit
from ironlane.switches.openconfig.leaves import SwitchedVlan
from ironlane.switches.openconfig.names import (
    AGGREGATE,
    ETHERNET,
    IANA_IF_TYPE,
    INTERFACES,
    LACP,
    LLDP,
    NEIGHBOUR_LEAVES,
    NETWORK_INSTANCE,
    VLAN,
    Dialect,
)

_OPERATION = f"{{{BASE}}}operation"


def operation(name: str, *path: str) -> str:
    """An operation without data, such as ``operation("lock", "target", "candidate")``."""
    root = element = _root(name)
    for step in path:
        element = _add(element, BASE, step)
    return _text(root)


def save() -> str:
    """<copy-config> of what runs to what the switch starts with (RFC 6241 section 8.7)."""
    root = _root("copy-config")
    _add(_add(root, BASE, "target"), BASE, "startup")
    _add(_add(root, BASE, "source"), BASE, "running")
    return _text(root)


def confirmed_commit(seconds: int) -> str:
    """<commit> that the switch undoes after `seconds` (RFC 6241 section 8.4). Without <persist>, so that it is undone
    at once when the session ends."""
    root = _root("commit")
    _add(root, BASE, "confirmed")
    _add(root, BASE, "confirm-timeout", str(seconds))
    return _text(root)


def get_config(dialect: Dialect) -> str:
    """<get-config> of everything that `read.observation` looks at, in one subtree filter (RFC 6241 section 6).

    It asks for all interfaces rather than the wanted ones, because which LAGs these are in, and who else is in those
    LAGs, is part of the answer. Which VLANs are defined is asked of a switch on which Ironlane defines them.
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
    if dialect.create_vlans:
        instances = _add(subtree, NETWORK_INSTANCE, "network-instances")
        instance = _add(instances, NETWORK_INSTANCE, "network-instance")
        _add(instance, NETWORK_INSTANCE, "name", dialect.network_instance)
        vlan = _add(_add(instance, NETWORK_INSTANCE, "vlans"), NETWORK_INSTANCE, "vlan")
        for leaf in ("vlan-id", "config"):
            _add(vlan, NETWORK_INSTANCE, leaf)
    return _text(root)


def get_neighbours() -> str:
    """<get> of what all ports hear by LLDP."""
    root = _root("get")
    subtree = _add(root, BASE, "filter")
    subtree.set("type", "subtree")
    interface = _add(_add(_add(subtree, LLDP, "lldp"), LLDP, "interfaces"), LLDP, "interface")
    _add(interface, LLDP, "name")
    state = _add(_add(_add(interface, LLDP, "neighbors"), LLDP, "neighbor"), LLDP, "state")
    for leaf in NEIGHBOUR_LEAVES:  # not the age, so that the answer of a rack at rest is the same every time
        _add(state, LLDP, leaf)
    return _text(root)


def edit_config(plan: Plan, members: Mapping[str, str], dialect: Dialect) -> str:
    """<edit-config> of the candidate with all changes of the plan; see `edit.edit`."""
    change = edit(plan, members, dialect)
    root = _root("edit-config")
    _add(_add(root, BASE, "target"), BASE, "candidate")
    _add(root, BASE, "default-operation", "merge")
    config = _add(root, BASE, "config")
    if change.vlans:
        _define_vlans(config, change.vlans, dialect)
    interfaces = _top(config, INTERFACES, "interfaces")
    for port in change.alone:
        _port(interfaces, port)
    for lag in change.lags:
        _aggregate(interfaces, lag)
    for port in change.members:
        _port(interfaces, port)
    for name in change.empty:
        entry = _add(interfaces, INTERFACES, "interface", operation="remove")
        _add(entry, INTERFACES, "name", name)
    _lacp(config, change.lags, change.empty)
    return _text(root)


def _define_vlans(config: etree._Element, wanted: Iterable[int], dialect: Dialect) -> None:
    instance = _add(_top(config, NETWORK_INSTANCE, "network-instances"), NETWORK_INSTANCE, "network-instance")
    _add(instance, NETWORK_INSTANCE, "name", dialect.network_instance)
    vlans = _add(instance, NETWORK_INSTANCE, "vlans")
    for vlan in wanted:
        entry = _add(vlans, NETWORK_INSTANCE, "vlan")
        _add(entry, NETWORK_INSTANCE, "vlan-id", str(vlan))
        settings = _add(entry, NETWORK_INSTANCE, "config")
        _add(settings, NETWORK_INSTANCE, "vlan-id", str(vlan))
        _add(settings, NETWORK_INSTANCE, "status", "ACTIVE")


def _port(interfaces: etree._Element, port: PortEdit) -> None:
    """Where it leaves a LAG, the aggregate is named: some servers check even a reference that is to be removed."""
    entry = _add(interfaces, INTERFACES, "interface")
    _add(entry, INTERFACES, "name", port.name)
    settings = _add(entry, INTERFACES, "config")
    _add(settings, INTERFACES, "name", port.name)
    if port.description:
        _add(settings, INTERFACES, "description", port.description)
    else:
        _add(settings, INTERFACES, "description", operation="remove")
    _add(settings, INTERFACES, "enabled", port.enabled)
    ethernet = _add(entry, ETHERNET, "ethernet")
    if port.joined or port.left:
        member = _add(ethernet, ETHERNET, "config")
        operation = None if port.joined else "remove"
        _add(member, AGGREGATE, "aggregate-id", port.joined or port.left, operation=operation)
    if port.vlans is None:
        _add(ethernet, VLAN, "switched-vlan", operation="remove")
    else:
        _switched_vlan(ethernet, port.vlans)


def _aggregate(interfaces: etree._Element, lag: LagEdit) -> None:
    entry = _add(interfaces, INTERFACES, "interface")
    _add(entry, INTERFACES, "name", lag.name)
    settings = _add(entry, INTERFACES, "config")
    _add(settings, INTERFACES, "name", lag.name)
    kind = etree.SubElement(settings, f"{{{INTERFACES}}}type", nsmap={"ianaift": IANA_IF_TYPE})
    kind.text = "ianaift:ieee8023adLag"
    _add(settings, INTERFACES, "enabled", lag.enabled)
    aggregation = _add(entry, AGGREGATE, "aggregation")
    agreed = _add(aggregation, AGGREGATE, "config")
    _add(agreed, AGGREGATE, "lag-type", lag.lag_type)
    _add(agreed, AGGREGATE, "min-links", lag.min_links)
    _switched_vlan(aggregation, lag.vlans)


def _switched_vlan(parent: etree._Element, leaves: SwitchedVlan) -> None:
    settings = _add(_add(parent, VLAN, "switched-vlan", operation="replace"), VLAN, "config")
    _add(settings, VLAN, "interface-mode", leaves.mode)
    if leaves.access:
        _add(settings, VLAN, "access-vlan", leaves.access)
    if leaves.native:
        _add(settings, VLAN, "native-vlan", leaves.native)
    for text in leaves.trunk:
        _add(settings, VLAN, "trunk-vlans", text)


def _lacp(config: etree._Element, lags: Sequence[LagEdit], empty: Sequence[str]) -> None:
    """LACP settings, kept in their own tree by interface name."""
    if not lags and not empty:
        return
    interfaces = _add(_top(config, LACP, "lacp"), LACP, "interfaces")
    for lag in lags:
        entry = _add(interfaces, LACP, "interface", operation="remove" if lag.lacp is None else "replace")
        _add(entry, LACP, "name", lag.name)
        if lag.lacp is None:
            continue
        settings = _add(entry, LACP, "config")
        _add(settings, LACP, "name", lag.name)
        _add(settings, LACP, "interval", lag.lacp.interval)
        _add(settings, LACP, "lacp-mode", lag.lacp.mode)
        if lag.lacp.fallback:
            _add(settings, LACP, "fallback", lag.lacp.fallback)
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
