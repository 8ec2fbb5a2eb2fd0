"""What a virtual switch hears by LLDP, as operational state (openconfig-lldp)."""

from __future__ import annotations

from collections.abc import Mapping

from lxml import etree

from ironlane.lab.frames import Lldp, mac_text
from ironlane.lab.netconf.schema import tag


def state(heard: Mapping[str, Lldp]) -> etree._Element:
    """The container `lldp`, with an interface for each port that heard something."""
    root = etree.Element(tag("oc-lldp:lldp"))
    interfaces = _sub(root, "interfaces")
    for port, neighbour in heard.items():
        interface = _sub(interfaces, "interface")
        _sub(interface, "name", port)
        entry = _sub(_sub(interface, "neighbors"), "neighbor")
        _sub(entry, "id", "1")
        leaves = _sub(entry, "state")
        _sub(leaves, "system-name", neighbour.system_name)
        _sub(leaves, "chassis-id", mac_text(neighbour.chassis))
        _sub(leaves, "chassis-id-type", "MAC_ADDRESS")
        _sub(leaves, "id", "1")
        _sub(leaves, "port-id", neighbour.port)
        _sub(leaves, "port-id-type", "MAC_ADDRESS" if neighbour.port_mac else "INTERFACE_NAME")
    return root


def _sub(parent: etree._Element, name: str, text: str | None = None) -> etree._Element:
    element = etree.SubElement(parent, tag(f"oc-lldp:{name}"))
    element.text = text
    return element
