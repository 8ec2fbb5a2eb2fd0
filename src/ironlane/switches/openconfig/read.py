"""The reply to <get-config> → what ports carry. Pure."""

from __future__ import annotations

from collections.abc import Collection

from lxml import etree

from ironlane.model.lldp import Neighbour, told
from ironlane.switches.netconf import BASE
from ironlane.switches.openconfig import meaning
from ironlane.switches.openconfig.leaves import Interface, Lacp, SwitchedVlan
from ironlane.switches.openconfig.names import (
    AGGREGATE,
    ETHERNET,
    INTERFACES,
    LACP,
    LLDP,
    NEIGHBOUR_LEAVES,
    VLAN,
    Dialect,
)

_PREFIXES = {"if": INTERFACES, "eth": ETHERNET, "agg": AGGREGATE, "vlan": VLAN, "lacp": LACP, "lldp": LLDP, "nc": BASE}


def observation(reply: etree._Element, wanted: Collection[str], dialect: Dialect) -> meaning.Observation:
    """Read an <rpc-reply> to `write.get_config`. Wanted ports that it does not show are left out."""
    interfaces = _all(reply, "nc:data/if:interfaces/if:interface")
    lacp = _all(reply, "nc:data/lacp:lacp/lacp:interfaces/lacp:interface")
    return meaning.observation(
        {_leaf(element, "if:name"): _interface(element) for element in interfaces},
        {_leaf(element, "lacp:name"): _lacp(element) for element in lacp},
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


def _interface(element: etree._Element) -> Interface:
    return Interface(
        description=_leaf(element, "if:config/if:description"),
        enabled=_leaf(element, "if:config/if:enabled"),
        aggregate_id=_leaf(element, "eth:ethernet/eth:config/agg:aggregate-id"),
        on_port=_switched_vlan(element.find("eth:ethernet/vlan:switched-vlan/vlan:config", _PREFIXES)),
        lag_type=_leaf(element, "agg:aggregation/agg:config/agg:lag-type"),
        min_links=_leaf(element, "agg:aggregation/agg:config/agg:min-links"),
        on_lag=_switched_vlan(element.find("agg:aggregation/vlan:switched-vlan/vlan:config", _PREFIXES)),
    )


def _switched_vlan(config: etree._Element | None) -> SwitchedVlan | None:
    if config is None:
        return None
    return SwitchedVlan(
        mode=_leaf(config, "vlan:interface-mode"),
        access=_leaf(config, "vlan:access-vlan"),
        native=_leaf(config, "vlan:native-vlan"),
        trunk=tuple((element.text or "").strip() for element in _all(config, "vlan:trunk-vlans")),
    )


def _lacp(element: etree._Element) -> Lacp:
    return Lacp(
        mode=_leaf(element, "lacp:config/lacp:lacp-mode"),
        interval=_leaf(element, "lacp:config/lacp:interval"),
        fallback=_leaf(element, "lacp:config/lacp:fallback"),
    )


def _all(element: etree._Element, path: str) -> list[etree._Element]:
    return element.findall(path, _PREFIXES)


def _leaf(element: etree._Element, path: str) -> str:
    """The text of a leaf; empty if it is absent."""
    return (element.findtext(path, namespaces=_PREFIXES) or "").strip()
