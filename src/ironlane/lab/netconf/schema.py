"""The data model as data: the part of the OpenConfig YANG modules that a virtual switch has."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

NETCONF = "urn:ietf:params:xml:ns:netconf:base:1.0"
IANA_IF_TYPE = "urn:ietf:params:xml:ns:yang:iana-if-type"

NAMESPACES: Mapping[str, str] = {
    "oc-if": "http://openconfig.net/yang/interfaces",
    "oc-eth": "http://openconfig.net/yang/interfaces/ethernet",
    "oc-lag": "http://openconfig.net/yang/interfaces/aggregate",
    "oc-vlan": "http://openconfig.net/yang/vlan",
    "oc-lacp": "http://openconfig.net/yang/lacp",
    "oc-netinst": "http://openconfig.net/yang/network-instance",
    "oc-lldp": "http://openconfig.net/yang/lldp",
}
"""The modules' own prefixes."""

MODULES = (
    "http://openconfig.net/yang/interfaces?module=openconfig-interfaces&revision=2024-12-05",
    "http://openconfig.net/yang/interfaces/ethernet?module=openconfig-if-ethernet&revision=2024-09-17",
    "http://openconfig.net/yang/interfaces/aggregate?module=openconfig-if-aggregate&revision=2022-06-28",
    "http://openconfig.net/yang/vlan?module=openconfig-vlan&revision=2023-02-07",
    "http://openconfig.net/yang/lacp?module=openconfig-lacp&revision=2024-09-24",
    "http://openconfig.net/yang/network-instance?module=openconfig-network-instance&revision=2024-11-05",
    "http://openconfig.net/yang/lldp?module=openconfig-lldp&revision=2018-11-21",
)
"""Module capabilities for the hello (RFC 6020 section 5.6.4)."""


class Kind(Enum):
    """The YANG statement of a node."""

    CONTAINER = "container"
    LIST = "list"
    LEAF = "leaf"
    LEAF_LIST = "leaf-list"


class Form(Enum):
    """What a leaf's value is in JSON (RFC 7951 section 6)."""

    STRING = "string"
    NUMBER = "number"
    BOOLEAN = "boolean"
    NUMBER_OR_STRING = "number or string"
    """A union: a number where the text is one, a string otherwise."""


@dataclass(frozen=True, slots=True)
class Node:
    """One schema node. `children` are by qualified tag; `key` is a list's key leaf, qualified.

    `accepts` tells whether a leaf may have a value; `identities` is the namespace of an identityref's values.
    """

    kind: Kind
    children: Mapping[str, Node] = field(default_factory=dict)
    key: str = ""
    accepts: Callable[[str], bool] = bool
    identities: str = ""
    form: Form = Form.STRING


def tag(name: str) -> str:
    """``oc-if:name`` → ``{http://openconfig.net/yang/interfaces}name``."""
    prefix, _, local = name.partition(":")
    return f"{{{NAMESPACES[prefix]}}}{local}"


def xpath(*names: str) -> str:
    """A path of qualified tags for lxml's find."""
    return "/".join(tag(name) for name in names)


def _children(children: Mapping[str, Node]) -> dict[str, Node]:
    return {tag(name): node for name, node in children.items()}


def _container(children: Mapping[str, Node]) -> Node:
    return Node(Kind.CONTAINER, _children(children))


def _list(key: str, children: Mapping[str, Node]) -> Node:
    return Node(Kind.LIST, _children(children), key=tag(key))


def _leaf(accepts: Callable[[str], bool], form: Form = Form.STRING) -> Node:
    return Node(Kind.LEAF, accepts=accepts, form=form)


def _one_of(*values: str) -> Callable[[str], bool]:
    return lambda text: text in values


def _number(first: int, last: int) -> Callable[[str], bool]:
    return lambda text: text.isascii() and text.isdigit() and first <= int(text) <= last


_vlan_id = _number(1, 4094)


def _vlan_or_range(text: str) -> bool:
    match = re.fullmatch(r"([0-9]+)\.\.([0-9]+)", text)
    if match is None:
        return _vlan_id(text)
    return _vlan_id(match[1]) and _vlan_id(match[2]) and int(match[1]) < int(match[2])


_STRING = _leaf(lambda _: True)
_NAME = _leaf(bool)
_BOOLEAN = _leaf(_one_of("true", "false"), Form.BOOLEAN)
_UINT16 = _leaf(_number(0, 65535), Form.NUMBER)
_VLAN_ID = _leaf(_vlan_id, Form.NUMBER)

_SWITCHED_VLAN = _container(
    {
        "oc-vlan:config": _container(
            {
                "oc-vlan:interface-mode": _leaf(_one_of("ACCESS", "TRUNK")),
                "oc-vlan:native-vlan": _VLAN_ID,
                "oc-vlan:access-vlan": _VLAN_ID,
                "oc-vlan:trunk-vlans": Node(Kind.LEAF_LIST, accepts=_vlan_or_range, form=Form.NUMBER_OR_STRING),
            }
        )
    }
)

_INTERFACE = _list(
    "oc-if:name",
    {
        "oc-if:name": _NAME,
        "oc-if:config": _container(
            {
                "oc-if:name": _NAME,
                "oc-if:type": Node(
                    Kind.LEAF, accepts=_one_of("ethernetCsmacd", "ieee8023adLag"), identities=IANA_IF_TYPE
                ),
                "oc-if:mtu": _UINT16,
                "oc-if:description": _STRING,
                "oc-if:enabled": _BOOLEAN,
            }
        ),
        "oc-eth:ethernet": _container(
            {
                "oc-eth:config": _container({"oc-lag:aggregate-id": _NAME}),
                "oc-vlan:switched-vlan": _SWITCHED_VLAN,
            }
        ),
        "oc-lag:aggregation": _container(
            {
                "oc-lag:config": _container(
                    {"oc-lag:lag-type": _leaf(_one_of("LACP", "STATIC")), "oc-lag:min-links": _UINT16}
                ),
                "oc-vlan:switched-vlan": _SWITCHED_VLAN,
            }
        ),
    },
)

_LACP_INTERFACE = _list(
    "oc-lacp:name",
    {
        "oc-lacp:name": _NAME,
        "oc-lacp:config": _container(
            {
                "oc-lacp:name": _NAME,
                "oc-lacp:interval": _leaf(_one_of("FAST", "SLOW")),
                "oc-lacp:lacp-mode": _leaf(_one_of("ACTIVE", "PASSIVE")),
                "oc-lacp:system-id-mac": _NAME,
                "oc-lacp:system-priority": _UINT16,
                "oc-lacp:fallback": _BOOLEAN,
            }
        ),
    },
)

_DEFINED_VLAN = _list(
    "oc-netinst:vlan-id",
    {
        "oc-netinst:vlan-id": _VLAN_ID,
        "oc-netinst:config": _container(
            {
                "oc-netinst:vlan-id": _VLAN_ID,
                "oc-netinst:name": _STRING,
                "oc-netinst:status": _leaf(_one_of("ACTIVE", "SUSPENDED")),
            }
        ),
    },
)

_NETWORK_INSTANCE = _list(
    "oc-netinst:name",
    {
        "oc-netinst:name": _NAME,
        "oc-netinst:config": _container({"oc-netinst:name": _NAME}),
        "oc-netinst:vlans": _container({"oc-netinst:vlan": _DEFINED_VLAN}),
    },
)

ROOT = _container(
    {
        "oc-if:interfaces": _container({"oc-if:interface": _INTERFACE}),
        "oc-lacp:lacp": _container({"oc-lacp:interfaces": _container({"oc-lacp:interface": _LACP_INTERFACE})}),
        "oc-netinst:network-instances": _container({"oc-netinst:network-instance": _NETWORK_INSTANCE}),
    }
)
"""What a datastore may hold."""

_NEIGHBOUR = _list(
    "oc-lldp:id",
    {
        "oc-lldp:id": _NAME,
        "oc-lldp:state": _container(
            {
                f"oc-lldp:{leaf}": _STRING
                for leaf in ("system-name", "chassis-id", "chassis-id-type", "id", "port-id", "port-id-type")
            }
        ),
    },
)

_LLDP_INTERFACE = _list(
    "oc-lldp:name",
    {"oc-lldp:name": _NAME, "oc-lldp:neighbors": _container({"oc-lldp:neighbor": _NEIGHBOUR})},
)

WITH_STATE = Node(
    Kind.CONTAINER,
    {
        **ROOT.children,
        tag("oc-lldp:lldp"): _container({"oc-lldp:interfaces": _container({"oc-lldp:interface": _LLDP_INTERFACE})}),
    },
)
"""What <get> may show: a datastore, and what the switch hears by LLDP."""
