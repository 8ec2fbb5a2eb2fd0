"""The reply to <get-config> → what ports carry. Pure."""

from __future__ import annotations

from collections.abc import Collection

from lxml import etree

from ironlane.model.lldp import Neighbour, told
from ironlane.switches.netconf import BASE
from ironlane.switches.openconfig import meaning
from ironlane.switches.openconfig.leaves import Interface, Lacp, SwitchedVlan, VlanEntry
from ironlane.switches.openconfig.names import (
    AGGREGATE,
    ETHERNET,
    INTERFACES,
    LACP,
    LLDP,
    NEIGHBOUR_LEAVES,
    NETWORK_INSTANCE,
    VLAN,
    Dialect,
)

_PREFIXES = {"if": INTERFACES, "eth": ETHERNET, "agg": AGGREGATE, "vlan": VLAN, "lacp": LACP, "lldp": LLDP, "nc": BASE}
_PREFIXES |= {"ni": NETWORK_INSTANCE}


def observation(reply: etree._Element, wanted: Collection[str], dialect: Dialect) -> meaning.Observation:
    """Read an <rpc-reply> to `write.get_config`. Wanted ports that it does not show are left out."""
    interfaces = _all(reply, "nc:data/if:interfaces/if:interface")
    lacp = _all(reply, "nc:data/lacp:lacp/lacp:interfaces/lacp:interface")
    vlans = [
        _vlan(_Children(vlan))
        for instance in _all(reply, "nc:data/ni:network-instances/ni:network-instance")
        if _leaf(instance, "ni:name") == dialect.network_instance
        for vlan in _all(instance, "ni:vlans/ni:vlan")
    ]
    return meaning.observation(
        {here.leaf(INTERFACES, "name"): _interface(here) for here in map(_Children, interfaces)},
        {here.leaf(LACP, "name"): _lacp(here) for here in map(_Children, lacp)},
        vlans,
        wanted,
        dialect,
    )


def neighbours(reply: etree._Element, wanted: Collection[str]) -> dict[str, list[Neighbour]]:
    """Read an <rpc-reply> to `write.get_neighbours`: who is behind each wanted port that hears anything."""
    found: dict[str, list[Neighbour]] = {}
    for interface in _all(reply, "nc:data/lldp:lldp/lldp:interfaces/lldp:interface"):
        port = _leaf(interface, "lldp:name")
        for element in _all(interface, "lldp:neighbors/lldp:neighbor/lldp:state"):
            leaves = (_leaf(element, f"lldp:{name}") for name in NEIGHBOUR_LEAVES)
            neighbour = told(*leaves)
            if port in wanted and neighbour.says:
                found.setdefault(port, []).append(neighbour)
    return found


class _Children:
    """What is directly inside an element, by name. A switch shows dozens of interfaces after each commit, and to search
    for each leaf by its path takes ten times as long."""

    __slots__ = ("_found",)

    def __init__(self, element: etree._Element | None) -> None:
        # The first of a name counts, as it would in a search.
        self._found = {} if element is None else {e.tag: e for e in element.iterchildren(reversed=True)}

    def inside(self, namespace: str, name: str) -> _Children:
        """What is inside the child of that name; nothing, if there is none."""
        return _Children(self._found.get(f"{{{namespace}}}{name}"))

    def leaf(self, namespace: str, name: str) -> str:
        """The text of a leaf; empty if it is absent."""
        element = self._found.get(f"{{{namespace}}}{name}")
        return "" if element is None else (element.text or "").strip()

    def element(self, namespace: str, name: str) -> etree._Element | None:
        return self._found.get(f"{{{namespace}}}{name}")


def _interface(here: _Children) -> Interface:
    config = here.inside(INTERFACES, "config")
    ethernet, aggregation = here.inside(ETHERNET, "ethernet"), here.inside(AGGREGATE, "aggregation")
    agreed = aggregation.inside(AGGREGATE, "config")
    return Interface(
        description=config.leaf(INTERFACES, "description"),
        enabled=config.leaf(INTERFACES, "enabled"),
        aggregate_id=ethernet.inside(ETHERNET, "config").leaf(AGGREGATE, "aggregate-id"),
        on_port=_switched_vlan(ethernet),
        lag_type=agreed.leaf(AGGREGATE, "lag-type"),
        min_links=agreed.leaf(AGGREGATE, "min-links"),
        on_lag=_switched_vlan(aggregation),
    )


def _vlan(here: _Children) -> VlanEntry:
    status = here.inside(NETWORK_INSTANCE, "config").leaf(NETWORK_INSTANCE, "status")
    return VlanEntry(here.leaf(NETWORK_INSTANCE, "vlan-id"), status)


def _switched_vlan(parent: _Children) -> SwitchedVlan | None:
    config = parent.inside(VLAN, "switched-vlan").element(VLAN, "config")
    if config is None:
        return None
    leaves = _Children(config)
    return SwitchedVlan(
        mode=leaves.leaf(VLAN, "interface-mode"),
        access=leaves.leaf(VLAN, "access-vlan"),
        native=leaves.leaf(VLAN, "native-vlan"),
        trunk=tuple((element.text or "").strip() for element in config.iterchildren(f"{{{VLAN}}}trunk-vlans")),
    )


def _lacp(here: _Children) -> Lacp:
    config = here.inside(LACP, "config")
    return Lacp(
        mode=config.leaf(LACP, "lacp-mode"),
        interval=config.leaf(LACP, "interval"),
        fallback=config.leaf(LACP, "fallback"),
    )


def _all(element: etree._Element, path: str) -> list[etree._Element]:
    return element.findall(path, _PREFIXES)


def _leaf(element: etree._Element, path: str) -> str:
    """The text of a leaf; empty if it is absent."""
    return (element.findtext(path, namespaces=_PREFIXES) or "").strip()
