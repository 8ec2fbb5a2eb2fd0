"""Provision ports: the temporary network port of a node's primary NIC while a ramdisk of ours runs on it: it is
inspected, cleaned, provisioned, rescued or serviced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from ironlane.model.attach import binding_profile, pxe_nic
from ironlane.model.errors import Permanent
from ironlane.model.fabric import Attachment, Side
from ironlane.model.node import BaremetalPort, Node
from ironlane.store import baremetal_ports, portgroups, ports
from ironlane.store.attachments import of_host
from ironlane.store.database import Tx
from ironlane.store.ports import NewPort
from ironlane.store.tables import networks
from ironlane.store.tables import ports as port_rows

DEVICE_OWNER = "baremetal:none"
"""`device_owner` of provision ports, as Ironic sets it."""


class Phase(StrEnum):
    """What a provision port is for; its value is where the NIC's `internal_info` keeps the port's UUID."""

    CLEANING = "cleaning_vif_port_id"
    PROVISIONING = "provisioning_vif_port_id"
    INSPECTION = "inspection_vif_port_id"
    RESCUING = "rescuing_vif_port_id"
    SERVICING = "servicing_vif_port_id"


def plug(tx: Tx, node: Node, phase: Phase, network: str, dhcp_options: Sequence[Mapping[str, Any]]) -> str:
    """The node's provision port of a phase; made when there is none. Returns its UUID.

    The primary NIC alone joins, and leftovers with its MAC on the network go first.

    Raises:
        Permanent: no NIC to boot over, or the network is none that servers may be booted on.
    """
    nic = pxe_nic(baremetal_ports.of_node(tx, node.id), portgroups.of_node(tx, node.id))
    if nic is None:
        raise Permanent(f"node {node.label} has no PXE-enabled port with local_link_connection to boot over; add one")
    present = nic.internal_info.get(phase.value)
    if present and tx.one(sa.select(port_rows.c.id).where(port_rows.c.id == present)) is not None:
        _put_options(tx, str(present), dhcp_options)
        return str(present)
    network_id = _provider_network(tx, network)
    for leftover in ports.find(tx, network_id=network_id, mac_address=nic.address):
        ports.delete(tx, leftover.id)
    created = ports.create(
        tx,
        NewPort(
            network_id=network_id,
            mac_address=nic.address,
            device_id=node.instance_uuid or node.id,
            device_owner=DEVICE_OWNER,
            vnic_type="baremetal",
            host_id=node.id,
            profile=binding_profile([nic], None),
            extra_dhcp_opts=[dict(option) for option in dhcp_options],
        ),
    )
    baremetal_ports.update(tx, nic.id, {"internal_info": {**nic.internal_info, phase.value: created.id}})
    return created.id


def _put_options(tx: Tx, port_id: str, options: Sequence[Mapping[str, Any]]) -> None:
    """They may have changed since the port was made: another conductor serves the files now."""
    wanted = {(option["opt_name"], option["ip_version"]) for option in options}
    given = [dict(option) for option in options]
    gone = [
        {**option, "opt_value": None}
        for option in ports.get(tx, port_id).extra_dhcp_opts
        if (option["opt_name"], option["ip_version"]) not in wanted
    ]
    ports.update(tx, port_id, {"extra_dhcp_opts": [*gone, *given]})


def unplug(tx: Tx, node: Node) -> None:
    """Delete the node's provision ports, of any phase and on any NIC. Their switch ports start to leave."""
    for nic in baremetal_ports.of_node(tx, node.id):
        for port_id in _recorded(nic):
            if tx.one(sa.select(port_rows.c.id).where(port_rows.c.id == port_id)) is not None:
                ports.delete(tx, port_id)
        if _recorded(nic):
            kept = {k: v for k, v in nic.internal_info.items() if k not in set(Phase)}
            baremetal_ports.update(tx, nic.id, {"internal_info": kept})


def on_provider_networks(tx: Tx, node: Node) -> list[Attachment]:
    """What of the node still is, or may be, on a cleaning or provisioning network."""
    return [a for a in of_host(tx, node.id) if a.side is Side.PROVIDER]


def addresses(tx: Tx, node: Node) -> list[str]:
    """The IP addresses that the node's provision ports were given; empty where another DHCP server gives them."""
    recorded = [port_id for nic in baremetal_ports.of_node(tx, node.id) for port_id in _recorded(nic)]
    return [ip.ip_address for port in ports.find(tx, id=recorded) for ip in port.fixed_ips] if recorded else []


def status_of(tx: Tx, network_port: str) -> tuple[str, str]:
    """`(status, reason)` of a network port; DOWN with a reason when it is gone."""
    row = tx.one(sa.select(port_rows.c.status, port_rows.c.status_reason).where(port_rows.c.id == network_port))
    return ("DOWN", f"network port {network_port} is gone") if row is None else (row.status, row.status_reason)


def _recorded(nic: BaremetalPort) -> list[str]:
    return [str(nic.internal_info[phase]) for phase in Phase if nic.internal_info.get(phase)]


def _provider_network(tx: Tx, ident: str) -> str:
    """UUID of the provider network of that UUID or name. Networks of tenants do not count, whatever they are called."""
    known = sa.or_(networks.c.id == ident, networks.c.name == ident)
    rows = tx.all(sa.select(networks.c.id, networks.c.side).where(known))
    found = [row.id for row in rows if row.side == Side.PROVIDER]
    if len(found) == 1:
        return str(found[0])
    if found:
        raise Permanent(f"there are {len(found)} provider networks called {ident!r}; name the one by its UUID")
    hint = "the one of that name is a tenant's (a provider VLAN that is shared counts as one)" if rows else "create it"
    raise Permanent(f"there is no provider network {ident!r} to boot servers on; {hint}")
