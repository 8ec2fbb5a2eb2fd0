"""What a configuration means for a switch: what it starts with, what it refuses, how its ports forward."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from lxml import etree

from ironlane.lab.forwarding import LagMembership, PortForwarding
from ironlane.lab.netconf.datastore import RpcFault, edit, path_of
from ironlane.lab.netconf.schema import IANA_IF_TYPE, NAMESPACES, xpath

DEFAULT_VLAN = 1
"""Always defined, and what an access port is on that is told nothing else."""

VLAN_COUNT = 4094
"""VLANs 1 to 4094: a trunk that lists them all means all that are defined."""

_INTERFACES = xpath("oc-if:interfaces", "oc-if:interface")
_NAME = xpath("oc-if:name")
_CONFIG_NAME = xpath("oc-if:config", "oc-if:name")
_TYPE = xpath("oc-if:config", "oc-if:type")
_ENABLED = xpath("oc-if:config", "oc-if:enabled")
_AGGREGATE_ID = xpath("oc-eth:ethernet", "oc-eth:config", "oc-lag:aggregate-id")
_ON_PORT = xpath("oc-eth:ethernet", "oc-vlan:switched-vlan", "oc-vlan:config")
_ON_LAG = xpath("oc-lag:aggregation", "oc-vlan:switched-vlan", "oc-vlan:config")
_LAG_TYPE = xpath("oc-lag:aggregation", "oc-lag:config", "oc-lag:lag-type")
_MIN_LINKS = xpath("oc-lag:aggregation", "oc-lag:config", "oc-lag:min-links")
_LACP = xpath("oc-lacp:lacp", "oc-lacp:interfaces", "oc-lacp:interface")
_LACP_NAME = xpath("oc-lacp:name")
_FALLBACK = xpath("oc-lacp:config", "oc-lacp:fallback")
_VLANS = xpath("oc-netinst:network-instances", "oc-netinst:network-instance", "oc-netinst:vlans", "oc-netinst:vlan")
_VLAN_ID = xpath("oc-netinst:vlan-id")
_VLAN_STATUS = xpath("oc-netinst:config", "oc-netinst:status")
_MODE = xpath("oc-vlan:interface-mode")
_ACCESS = xpath("oc-vlan:access-vlan")
_NATIVE = xpath("oc-vlan:native-vlan")
_TRUNK = xpath("oc-vlan:trunk-vlans")


def complete(tree: etree._Element, ports: Sequence[str]) -> None:
    """Put in what a switch has whatever it is told: its physical ports (shut, unless configured), and VLAN 1."""
    present = {_text(e, _NAME) for e in tree.iterfind(_INTERFACES)}
    ni, oc = NAMESPACES["oc-netinst"], NAMESPACES["oc-if"]
    entries = "".join(
        f"<interface><name>{port}</name><config><name>{port}</name><type>ianaift:ethernetCsmacd</type>"
        "<enabled>false</enabled></config></interface>"
        for port in ports
        if port not in present
    )
    defaults = (
        f'<config><interfaces xmlns="{oc}" xmlns:ianaift="{IANA_IF_TYPE}">{entries}</interfaces>'
        f'<network-instances xmlns="{ni}"><network-instance><name>default</name><config><name>default</name></config>'
        f"<vlans><vlan><vlan-id>{DEFAULT_VLAN}</vlan-id><config><vlan-id>{DEFAULT_VLAN}</vlan-id></config></vlan>"
        "</vlans></network-instance></network-instances></config>"
    )
    edit(tree, etree.fromstring(defaults))


def validate(tree: etree._Element, ports: Collection[str]) -> None:
    """Check what the types of single leaves do not say: references, conditions, and that ports exist.

    Raises:
        RpcFault: with the path of the first offending element.
    """
    lags = set()
    for interface in tree.iterfind(_INTERFACES):
        name = _text(interface, _NAME)
        if _text(interface, _CONFIG_NAME) != name:
            raise _missing(interface, "config/name has to equal the key")
        is_lag = _text(interface, _TYPE) == "ianaift:ieee8023adLag"
        if is_lag and name not in ports:
            lags.add(name)
        elif is_lag or name not in ports:
            raise RpcFault("invalid-value", f"no such interface on this switch: {name}", path=path_of(interface))
        misplaced = interface.find(xpath("oc-eth:ethernet" if is_lag else "oc-lag:aggregation"))
        if misplaced is not None:
            raise _inapplicable(misplaced, "does not apply to this type of interface")
        for where in (_ON_PORT, _ON_LAG):
            _check_switched_vlan(interface.find(where))
    for reference in tree.iterfind(f"{_INTERFACES}/{_AGGREGATE_ID}"):
        if reference.text not in lags:
            raise _missing(reference, f"aggregate interface {reference.text} does not exist")
    for lacp in tree.iterfind(_LACP):
        if _text(lacp, _LACP_NAME) not in lags:
            raise _missing(lacp, f"LACP on {_text(lacp, _LACP_NAME)}, which is no aggregate interface")


def _check_switched_vlan(config: etree._Element | None) -> None:
    """The `when` conditions of openconfig-vlan."""
    if config is None:
        return
    mode = _text(config, _MODE)
    for leaf, condition in ((_ACCESS, "ACCESS"), (_NATIVE, "TRUNK"), (_TRUNK, "TRUNK")):
        element = config.find(leaf)
        if element is not None and mode != condition:
            raise _inapplicable(element, f"only applies to interface-mode {condition}")


def check_strictly(tree: etree._Element) -> None:
    """Check what only some switches insist on: VLANs of ports are defined, members of a LAG have none of their own.

    Raises:
        RpcFault: with the path of the first offending element.
    """
    defined = {int(_text(vlan, _VLAN_ID)) for vlan in tree.iterfind(_VLANS)} | {DEFAULT_VLAN}
    for interface in tree.iterfind(_INTERFACES):
        on_port = interface.find(_ON_PORT)
        if on_port is not None and _text(interface, _AGGREGATE_ID):
            raise RpcFault("invalid-value", "a member of a LAG has no VLANs of its own", path=path_of(on_port))
        for config in (on_port, interface.find(_ON_LAG)):
            for leaf in () if config is None else config.iterchildren(_ACCESS, _NATIVE, _TRUNK):
                first, _, last = (leaf.text or "").strip().partition("..")
                vlans = range(int(first), int(last or first) + 1)
                unknown = sorted(set(vlans) - defined)
                if unknown and len(vlans) < VLAN_COUNT:
                    raise RpcFault("data-missing", f"VLAN {unknown[0]} is not defined", path=path_of(leaf))


def _missing(element: etree._Element, message: str) -> RpcFault:
    """A leafref to nothing (RFC 7950 section 15.5)."""
    return RpcFault("data-missing", message, path=path_of(element), app_tag="instance-required")


def _inapplicable(element: etree._Element, message: str) -> RpcFault:
    """A node whose `when` is false (RFC 7950 section 8.3.1)."""
    name = etree.QName(element).localname
    return RpcFault("unknown-element", f"{name} {message}", path=path_of(element), info={"bad-element": name})


def forwarding(tree: etree._Element, ports: Iterable[str]) -> dict[str, PortForwarding]:
    """How each port forwards under a valid configuration. Only defined, active VLANs are forwarded."""
    defined = {int(_text(vlan, _VLAN_ID)) for vlan in tree.iterfind(_VLANS) if _text(vlan, _VLAN_STATUS) != "SUSPENDED"}
    interfaces = {_text(e, _NAME): e for e in tree.iterfind(_INTERFACES)}
    lacp = {_text(e, _LACP_NAME): e for e in tree.iterfind(_LACP)}
    return {port: _port(interfaces[port], interfaces, lacp, defined) for port in ports}


def _port(
    interface: etree._Element,
    interfaces: Mapping[str, etree._Element],
    lacp: Mapping[str, etree._Element],
    defined: set[int],
) -> PortForwarding:
    enabled = _text(interface, _ENABLED) != "false"
    aggregate = _text(interface, _AGGREGATE_ID)
    if not aggregate:
        pvid, tagged = _vlans(interface.find(_ON_PORT), defined)
        return PortForwarding(enabled, pvid, tagged)
    lag = interfaces[aggregate]
    pvid, tagged = _vlans(lag.find(_ON_LAG), defined)
    number = re.search(r"[0-9]+$", aggregate)
    negotiated = _text(lag, _LAG_TYPE) != "STATIC"
    membership = LagMembership(
        number=int(number[0]) if number else 0,
        lacp=negotiated,
        fallback=negotiated and aggregate in lacp and _text(lacp[aggregate], _FALLBACK) == "true",
        min_links=max(1, int(_text(lag, _MIN_LINKS) or 1)),
    )
    return PortForwarding(enabled and _text(lag, _ENABLED) != "false", pvid, tagged, membership)


def _vlans(config: etree._Element | None, defined: set[int]) -> tuple[int | None, frozenset[int]]:
    """(VLAN of untagged frames, tagged VLANs). A trunk's list limits its native VLAN too; no list is all VLANs."""
    if config is None or _text(config, _MODE) != "TRUNK":
        access = DEFAULT_VLAN if config is None else int(_text(config, _ACCESS) or DEFAULT_VLAN)
        return (access if access in defined else None), frozenset()
    allowed: set[int] = set()
    listed = config.findall(_TRUNK)
    for element in listed:
        first, _, last = (element.text or "").strip().partition("..")
        allowed.update(range(int(first), int(last or first) + 1))
    carried = (allowed if listed else defined) & defined
    native = _text(config, _NATIVE)
    pvid = int(native) if native and int(native) in carried else None
    return pvid, frozenset(carried - {pvid})


def _text(element: etree._Element, path: str) -> str:
    return (element.findtext(path) or "").strip()
