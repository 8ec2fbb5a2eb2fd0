"""What of the site file goes into which attribute of the Baremetal API."""

from __future__ import annotations

import ipaddress
from typing import Any

from ironlane.site.types import Bmc, Nic, Node, Portgroup, Site

_PASSWORD_KEYS = {"ipmi": "ipmi_password", "redfish": "redfish_password"}


def node_body(node: Node) -> dict[str, Any]:
    """A node's attributes, without its name and its password."""
    body: dict[str, Any] = {
        "driver": node.driver,
        "driver_info": {**_bmc_info(node), **node.driver_info},
        "properties": dict(node.properties),
    }
    if node.resource_class is not None:
        body["resource_class"] = node.resource_class
    if node.rack is not None:
        body["extra"] = {"rack": node.rack}
    return body


def password_of(node: Node) -> tuple[str, str] | None:
    """The key of `driver_info` that the password belongs in, and the name of its secret."""
    if node.bmc is None or not node.bmc.password_secret or node.driver not in _PASSWORD_KEYS:
        return None
    return _PASSWORD_KEYS[node.driver], node.bmc.password_secret


def portgroup_body(node: Node, group: Portgroup) -> dict[str, Any]:
    """A portgroup's attributes; its names have to be unique in the whole service, so the node's name is in it."""
    return {
        "name": f"{node.name}-{group.name}",
        "address": _primary(node, group).address,
        "mode": group.mode,
        "properties": {**group.properties, "priority": group.priority},
    }


def port_body(site: Site, node: Node, nic: Nic) -> dict[str, Any]:
    """A port's attributes, without its portgroup. What the file does not know of the cabling is left as it is."""
    body: dict[str, Any] = {
        "address": nic.address,
        "name": f"{node.name}-{nic.name}",
        "pxe_enabled": nic.pxe,
    }
    if nic.switch is not None and nic.port is not None:
        switch = site.switch(nic.switch)
        body["physical_network"] = switch.physical_network
        body["local_link_connection"] = {
            "switch_id": switch.switch_id,
            "port_id": nic.port,
            "switch_info": switch.name,
        }
    return body


def _primary(node: Node, group: Portgroup) -> Nic:
    """The NIC whose MAC address is the portgroup's: the first one that boots over PXE, else the first one."""
    members = {nic.name: nic for nic in node.nics}
    found = [members[name] for name in group.nics]
    return next((nic for nic in found if nic.pxe), found[0])


def _bmc_info(node: Node) -> dict[str, Any]:
    bmc = node.bmc
    if bmc is None or node.driver == "fake-hardware":
        return {}
    if node.driver == "redfish":
        info: dict[str, Any] = {"redfish_address": _url(bmc), "redfish_username": bmc.username}
    else:
        info = {"ipmi_address": bmc.address, "ipmi_port": bmc.port, "ipmi_username": bmc.username}
    return {key: value for key, value in info.items() if value not in (None, "")}


def _url(bmc: Bmc) -> str:
    if "://" in bmc.address:
        return bmc.address
    try:
        host = f"[{bmc.address}]" if ipaddress.ip_address(bmc.address).version == 6 else bmc.address
    except ValueError:
        host = bmc.address
    return f"https://{host}" if bmc.port is None else f"https://{host}:{bmc.port}"
