"""What a ramdisk told of the server it ran on, and what the node's record learns from it.

`record` keeps it as it came; `draw` is the lifecycle loop's: it sets properties, adds NICs that were not known, keeps
what each NIC heard by LLDP, and fills in where a NIC is cabled when the operator did not say.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from ironlane.model.attach import has_link
from ironlane.model.cabling import KnownSwitch, same_port, same_switch
from ironlane.model.errors import Invalid, NotFound, Permanent
from ironlane.model.link import LocalLink, normal_mac, normal_switch_id
from ironlane.model.lldp import Neighbour, Reading, from_parsed, from_tlvs
from ironlane.model.node import BaremetalPort, Node
from ironlane.model.states import ProvisionState
from ironlane.store import baremetal_ports, nodes
from ironlane.store.database import Tx
from ironlane.store.tables import baremetal_ports as nic_rows
from ironlane.store.tables import inventories, lldp_heard, switch_ports, switches
from ironlane.store.tables import nodes as node_rows

_GIB = 1 << 30
_BMC_ADDRESSES = ("ipmi_address", "redfish_address")


class AddPorts(StrEnum):
    """Which NICs of an inspected server become baremetal ports, if they are none yet. Names as Ironic's `add_ports`."""

    ALL = "all"
    """All of them. A NIC that is not cabled to a switch of ours gets no link, and so no network."""
    ACTIVE = "active"
    """Those that had an IP address."""
    PXE = "pxe"
    """The one that the ramdisk was booted over; all of them if it does not say which."""
    DISABLED = "disabled"
    """None."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who a ramdisk says that its server is."""

    addresses: Collection[str]
    bmc_addresses: Collection[str] = ()
    node_uuid: str | None = None


@dataclass(frozen=True, slots=True)
class Inventory:
    """One inspection's result, as it came."""

    inventory: Mapping[str, Any]
    plugin_data: Mapping[str, Any]
    received_at: datetime


@dataclass(slots=True)
class Drawn:
    """What a node's record learnt: NICs that were added, links that were filled in, LLDP that made no sense."""

    added: list[str] = field(default_factory=list)
    filled: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Interface:
    """A NIC as the ramdisk found it."""

    name: str
    address: str
    active: bool
    booted: bool
    lldp: Reading


def record(tx: Tx, sender: Sender, inventory: Mapping[str, Any], plugin_data: Mapping[str, Any]) -> Node:
    """Keep what came, for the node that waits for it; the lifecycle loop looks at the node at once.

    Raises:
        NotFound: no node, more than one, or one that waits for no inventory. Who sends is not told which.
    """
    node = _lookup(tx, sender)
    values = {"inventory": inventory, "plugin_data": plugin_data, "fresh": True, "received_at": tx.now}
    changed = tx.execute(sa.update(inventories).where(inventories.c.node_id == node.id).values(values))
    if changed.rowcount == 0:
        tx.execute(sa.insert(inventories).values(node_id=node.id, **values))
    return nodes.update(tx, node.id, {"due_at": tx.now})


def latest(tx: Tx, node: Node) -> Inventory:
    """What the latest inspection of a node found.

    Raises:
        NotFound: the node was never inspected.
    """
    row = _row(tx, node.id)
    if row is None:
        raise NotFound("node inventory", f"of node {node.label}", code="NodeInventoryNotFound")
    return Inventory(row.inventory, row.plugin_data, row.received_at)


def forget(tx: Tx, node_id: str) -> None:
    """Before a ramdisk is booted: what an earlier one sent is no answer to this inspection."""
    tx.execute(sa.update(inventories).where(inventories.c.node_id == node_id).values(fresh=False))


def draw(tx: Tx, node: Node, add_ports: AddPorts) -> Drawn | None:
    """Bring a node's record up to what the ramdisk of this inspection sent; None: it has sent nothing yet.

    Doing it again changes nothing.

    Raises:
        Permanent: the ramdisk reports a failure, or the server has a NIC that is on record for another node.
    """
    row = _row(tx, node.id)
    if row is None or not row.fresh:
        return None
    if row.plugin_data.get("error"):
        raise Permanent(f"the ramdisk reported: {str(row.plugin_data['error'])[:1000]}")
    drawn = Drawn()
    nodes.update(tx, node.id, {"properties": {**node.properties, **_properties(row.inventory, row.plugin_data)}})
    for interface in _interfaces(row.inventory, row.plugin_data):
        nic = _nic(tx, node, interface, add_ports, drawn)
        if nic is not None:
            _hear(tx, nic, interface, row.received_at, drawn)
            if interface.lldp.neighbour is not None:
                _fill(tx, nic, interface.lldp.neighbour, drawn)
    return drawn


def _row(tx: Tx, node_id: str) -> Any:
    return tx.one(sa.select(inventories).where(inventories.c.node_id == node_id))


def _lookup(tx: Tx, sender: Sender) -> Node:
    """The one node that waits for an inventory and is meant by all that the sender says of itself.

    A BMC's address counts only while no NIC is known, and if the node's `driver_info` has it as an IP address.
    """
    who = sender.node_uuid or ", ".join(sender.addresses) or "without addresses"
    owners = sa.select(nic_rows.c.node_id).where(nic_rows.c.address.in_(sorted(sender.addresses)))
    matched = nodes.find(tx, node_rows.c.id.in_(owners))
    if not matched and sender.bmc_addresses and sender.node_uuid is None:
        waiting = nodes.find(tx, provision_state=ProvisionState.INSPECT_WAIT)
        matched = [node for node in waiting if _bmc_hosts(node) & set(sender.bmc_addresses)]
    if sender.node_uuid is not None:
        named = nodes.find(tx, id=sender.node_uuid)
        matched = named if not matched or matched == named else []
    if len(matched) != 1 or matched[0].provision_state is not ProvisionState.INSPECT_WAIT:
        raise NotFound("node", who)
    return matched[0]


def _bmc_hosts(node: Node) -> set[str]:
    hosts = set()
    for text in (str(node.driver_info.get(key) or "") for key in _BMC_ADDRESSES):
        with contextlib.suppress(ValueError):  # no URL that anybody could use
            hosts.add(urlsplit(text).hostname if "://" in text else text)
    return {host for host in hosts if host}


def _properties(inventory: Mapping[str, Any], plugin_data: Mapping[str, Any]) -> dict[str, Any]:
    """`cpus`, `cpu_arch`, `memory_mb` and `local_gb`, as far as they were told. As in Ironic, a GiB of the disk is
    left for partitioning."""
    cpu, memory = _object(inventory.get("cpu")), _object(inventory.get("memory"))
    size = _number(_object(plugin_data.get("root_disk")).get("size"))
    found = {
        "cpus": _number(cpu.get("count")),
        "cpu_arch": cpu["architecture"][:64] if isinstance(cpu.get("architecture"), str) else None,
        "memory_mb": _number(memory.get("physical_mb")),
        "local_gb": max(size // _GIB - 1, 0) if size is not None else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _interfaces(inventory: Mapping[str, Any], plugin_data: Mapping[str, Any]) -> Iterator[_Interface]:
    booted = _mac(str(_object(inventory.get("boot")).get("pxe_interface") or "").removeprefix("01-"))
    raw, parsed = _object(plugin_data.get("lldp_raw")), _object(plugin_data.get("parsed_lldp"))
    for item in inventory["interfaces"]:
        name, address = str(item.get("name") or ""), _mac(item["mac_address"])
        if address is None:
            continue  # no Ethernet NIC
        tlvs = raw.get(name) or item.get("lldp")
        reading = from_tlvs(tlvs) if tlvs else Reading()
        if reading.neighbour is None and name in parsed:
            reading = from_parsed(parsed[name])
        active = bool(item.get("ipv4_address") or item.get("ipv6_address"))
        yield _Interface(name, address, active, booted in {None, address}, reading)


def _nic(tx: Tx, node: Node, interface: _Interface, add_ports: AddPorts, drawn: Drawn) -> BaremetalPort | None:
    """The baremetal port of a NIC, added when there is none and it is to be one."""
    found = baremetal_ports.find(tx, address=interface.address)
    if found and found[0].node_id != node.id:
        other = nodes.by_id(tx, found[0].node_id)
        raise Permanent(
            f"NIC {interface.name} ({interface.address}) is on record for node {other.label}; one of the two records"
            " is wrong"
        )
    if found:
        return found[0]
    wanted = {AddPorts.ALL: True, AddPorts.ACTIVE: interface.active, AddPorts.PXE: interface.booted}
    if not wanted.get(add_ports, False):
        return None
    drawn.added.append(interface.address)
    values = {"node_id": node.id, "address": interface.address, "pxe_enabled": interface.booted}
    return baremetal_ports.create(tx, values)


def _hear(tx: Tx, nic: BaremetalPort, interface: _Interface, at: datetime, drawn: Drawn) -> None:
    """Keep what a NIC heard. One that heard nothing keeps what it heard before, with its date."""
    reading = interface.lldp
    problems = "; ".join(reading.problems)[:1000]
    if problems:
        drawn.problems.append(f"{interface.name} ({interface.address}): {problems}")
    values: dict[str, Any] = {"problems": problems}
    if reading.neighbour is not None:
        values |= {"neighbour": reading.neighbour.as_json(), "heard_at": at}
    changed = tx.execute(sa.update(lldp_heard).where(lldp_heard.c.baremetal_port_id == nic.id).values(values))
    if changed.rowcount == 0 and (reading.neighbour is not None or problems):
        values = {"neighbour": {}, "heard_at": at, **values}
        tx.execute(sa.insert(lldp_heard).values(baremetal_port_id=nic.id, **values))


def _fill(tx: Tx, nic: BaremetalPort, neighbour: Neighbour, drawn: Drawn) -> None:
    """Complete a link that does not say where the NIC is cabled, if LLDP names a port of a switch of ours.

    A link to any other switch is not filled in: nothing could be attached there, but it would be chosen.
    """
    known = {key: value for key, value in nic.local_link_connection.items() if value}
    if has_link(nic) or known.get("network_type") == "unmanaged":
        return
    place = _place(tx, neighbour)
    if place is None:
        return
    switch, port = place
    found = {"switch_id": switch.mac or switch.datapath_id, "port_id": port, "switch_info": switch.id}
    link = {**{key: value for key, value in found.items() if value}, **known}
    if known.get("switch_id") and _switch_id(known["switch_id"]) not in {switch.mac, switch.datapath_id}:
        return  # what is on record contradicts it, and is for the operator to correct
    if known.get("port_id") and known["port_id"] != port:
        return
    baremetal_ports.update(tx, nic.id, {"local_link_connection": link})
    drawn.filled.append(f"{nic.address}: {switch.id}/{port}")


def _place(tx: Tx, neighbour: Neighbour) -> tuple[KnownSwitch, str] | None:
    """The one port of ours that a neighbour is."""
    columns = sa.select(switches.c.id, switches.c.mac, switches.c.datapath_id)
    known = [KnownSwitch(row.id, row.mac, row.datapath_id) for row in tx.all(columns)]
    here = [switch for switch in known if same_switch(LocalLink(""), switch, neighbour)]
    if len(here) > 1:  # names may be alike; an address is one switch's alone
        here = [switch for switch in here if switch.mac == neighbour.chassis_mac]
    if len(here) != 1:
        return None
    names = tx.all(sa.select(switch_ports.c.name).where(switch_ports.c.switch_id == here[0].id))
    matching = [row.name for row in names if same_port(row.name, neighbour)]
    exact = [name for name in matching if name in {neighbour.port, neighbour.port_description}]
    chosen: Sequence[str] = exact or matching
    return (here[0], chosen[0]) if len(chosen) == 1 else None


def _switch_id(text: Any) -> str | None:
    try:
        return normal_switch_id(str(text), where="switch_id")
    except Invalid:
        return None


def _mac(text: str) -> str | None:
    try:
        return normal_mac(text.strip(), where="mac_address")
    except Invalid:
        return None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> int | None:
    """A count that fits an integer column of anybody who reads it."""
    plausible = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1 << 63
    return int(value) if plausible else None
