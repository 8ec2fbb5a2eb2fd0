"""Network ports as rows, with their addresses and their binding to switch ports.

Every change of a port brings its binding in line within the same transaction: see `_bind`.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from ironlane.model.errors import Conflict, Invalid, NotFound
from ironlane.model.fabric import HostId, Side
from ironlane.model.link import LocalLink, normal_mac, parse_group, parse_links
from ironlane.model.network import FixedIp, IpAllocation, NetworkPort, Subnet, VifType, VnicType
from ironlane.store import access, addresses, subports
from ironlane.store.bindings import Wish, bind, unbind
from ironlane.store.database import Tx
from ironlane.store.listing import Listing
from ironlane.store.listing import page as page_of
from ironlane.store.prepared import Prepared
from ironlane.store.subnets import of_network as subnets_of
from ironlane.store.tables import networks, ports

_MAC_PREFIX = "fa:16:3e"
"""The prefix that Neutron gives generated MAC addresses; clients know it by sight."""

_PROFILE = "binding:profile"

# Statements of every request are made once: making one takes three times as long as running it.
_BY_ID = Prepared(sa.select(ports).where(ports.c.id == sa.bindparam("id")))
_UPDATE = Prepared(sa.update(ports).where(ports.c.id == sa.bindparam("its_id")))
_DELETE = Prepared(sa.delete(ports).where(ports.c.id == sa.bindparam("id")))
_NETWORK = Prepared(sa.select(networks).where(networks.c.id == sa.bindparam("id")))
_WITH_MAC = Prepared(
    sa.select(ports.c.id).where(
        ports.c.network_id == sa.bindparam("network"), ports.c.mac_address == sa.bindparam("mac")
    )
)


@dataclass(frozen=True, slots=True)
class NewPort:
    """What a client says of a port it creates. `fixed_ips` None: whatever the network gives; empty: no address."""

    network_id: str
    project_id: str = ""
    name: str = ""
    description: str = ""
    mac_address: str | None = None
    admin_state_up: bool = True
    device_id: str = ""
    device_owner: str = ""
    vnic_type: str = VnicType.NORMAL
    host_id: str = ""
    profile: Mapping[str, Any] = field(default_factory=dict)
    extra_dhcp_opts: Sequence[Mapping[str, Any]] = ()
    fixed_ips: Sequence[addresses.Request] | None = None
    port_security_enabled: bool | None = None
    tags: Sequence[str] = ()
    id: str | None = None  # one that is taken over from elsewhere keeps it


PLAIN = frozenset({"name", "description", "admin_state_up", "device_id", "device_owner", "port_security_enabled"})
"""Attributes that a change simply overwrites."""

OURS = frozenset({VnicType.BAREMETAL, VnicType.SMART_NIC})
"""Kinds of ports that are bound here: a server's NIC, and one that is a switch of its own."""
CHANGEABLE = PLAIN | {"mac_address", "vnic_type", "host_id", "profile", "extra_dhcp_opts", "fixed_ips", "tags"}
"""Attributes that `update` takes."""


def create(tx: Tx, new: NewPort) -> NetworkPort:
    """Add a port to a network, give it a MAC address and addresses, and bind it if it names a host.

    Raises:
        NotFound: no such network.
        Invalid: a malformed MAC address, binding profile, DHCP option or address.
        Conflict: the MAC address or an IP address is taken, or no address is left; what `bindings.bind` raises.
    """
    network = _network(tx, new.network_id)
    port_id = new.id or str(uuid.uuid4())
    mac = _own_mac(tx, new.network_id, new.mac_address)
    subnets = subnets_of(tx, new.network_id) if new.fixed_ips is None else []
    allocation = _allocation(new, subnets)
    row = {
        "id": port_id,
        "network_id": new.network_id,
        "project_id": new.project_id,
        "name": new.name,
        "description": new.description,
        "mac_address": mac,
        "admin_state_up": new.admin_state_up,
        "device_id": new.device_id,
        "device_owner": new.device_owner,
        "vnic_type": _vnic_type(new.vnic_type).value,
        "host_id": new.host_id,
        "vif_type": _vif_type(new.vnic_type, new.host_id).value,
        "profile": dict(new.profile),
        "extra_dhcp_opts": merge_dhcp_opts((), new.extra_dhcp_opts),
        "ip_allocation": allocation.value,
        "port_security_enabled": (
            network.port_security_enabled if new.port_security_enabled is None else new.port_security_enabled
        ),
        "tags": list(new.tags),
        "created_at": tx.now,
        "updated_at": tx.now,
    }
    tx.execute(sa.insert(ports), row)
    tx.hint("dhcp", port_id)
    if new.fixed_ips is not None:
        addresses.allocate(tx, new.network_id, port_id, mac, new.fixed_ips, owner=new.device_owner)
    elif allocation is IpAllocation.IMMEDIATE:
        addresses.allocate_default(tx, subnets, port_id, mac)
    if new.host_id or new.profile:
        _bind(tx, get(tx, port_id), network)
    return get(tx, port_id)


def update(tx: Tx, port_id: str, changes: Mapping[str, Any]) -> NetworkPort:
    """Change a port; keys are those of `CHANGEABLE`. A change that changes nothing leaves no trace.

    `mac_address` None makes a new MAC address. `extra_dhcp_opts` are merged by name and IP version, as Neutron does:
    a value of None removes the option. `fixed_ips` replace what the port has. Binding follows `host_id`, `vnic_type`,
    `profile` and `admin_state_up`.

    Raises:
        NotFound: no such port.
        Invalid, Conflict: as `create`; Conflict `PortBound` when the MAC address of a bound port would change.
    """
    unknown = sorted(changes.keys() - CHANGEABLE)
    if unknown:
        raise Invalid(f"cannot be changed on a port: {', '.join(unknown)}", field=unknown[0])
    before = get(tx, port_id)
    access.require_change(tx, "update_port", before, changes, network_id=before.network_id)
    changes = subports.allowed_changes(tx, before, changes)
    values = _values(tx, before, changes)
    mac = values.get("mac_address", before.mac_address)
    row = {name: value for name, value in values.items() if value != _column(before, name)}
    if "fixed_ips" in changes:
        owner = str(values.get("device_owner", before.device_owner))
        addresses.allocate(tx, before.network_id, port_id, mac, changes["fixed_ips"], owner=owner)
    elif before.ip_allocation is IpAllocation.DEFERRED and values.get("host_id"):
        subnets = subnets_of(tx, before.network_id)
        if addresses.allocate_default(tx, subnets, port_id, mac):
            row["ip_allocation"] = IpAllocation.IMMEDIATE.value
    elif "mac_address" in row:
        addresses.follow_mac(tx, before.network_id, port_id, mac)
    fixed_ips = before.fixed_ips
    if row.keys() & {"mac_address", "ip_allocation"} or "fixed_ips" in changes:
        fixed_ips = addresses.of_ports(tx, [port_id]).get(port_id, ())
    if not row and set(fixed_ips) == set(before.fixed_ips):
        return before
    tx.hint("dhcp", port_id)
    stamp = {"revision_number": before.revision_number + 1, "updated_at": tx.now}
    tx.execute(_UPDATE, {**row, **stamp, "its_id": port_id})
    after = _port(tx.execute(_BY_ID, {"id": port_id}).one(), fixed_ips)
    if row.keys() & {"host_id", "vnic_type", "vif_type", "profile", "admin_state_up"}:
        _bind(tx, after, _network(tx, after.network_id))
        after = _port(tx.execute(_BY_ID, {"id": port_id}).one(), fixed_ips)
    return after


def delete(tx: Tx, port_id: str) -> None:
    """Remove a port. Its addresses are free at once, its switch ports when they were seen to be clean.

    Raises:
        NotFound: no such port.
        Conflict: it is in a trunk.
    """
    port = get(tx, port_id)
    access.require_change(tx, "delete_port", port, network_id=port.network_id)
    subports.refuse_deletion(tx, port)
    unbind(tx, port_id)
    addresses.release(tx, port_id)
    tx.execute(_DELETE, {"id": port_id})
    tx.hint("dhcp", port_id)


def get(tx: Tx, port_id: str) -> NetworkPort:
    """One port.

    Raises:
        NotFound: no such port.
    """
    row = tx.execute(_BY_ID, {"id": port_id}).one_or_none()
    if row is None:
        raise NotFound("port", port_id)
    access.require_visible(tx, "port", ports, port_id)
    return from_rows(tx, [row])[0]


def find(tx: Tx, **filters: Any) -> list[NetworkPort]:
    """Ports whose columns equal all `filters` (a collection: one of its members), the oldest first."""
    where = []
    for name, value in filters.items():
        column = ports.c[name]
        several = isinstance(value, Iterable) and not isinstance(value, str)
        where.append(column.in_(list(value)) if several else column == value)
    rows = tx.all(sa.select(ports).where(*where).order_by(ports.c.created_at, ports.c.id))
    return from_rows(tx, rows)


def page(
    tx: Tx, listing: Listing, fixed_ips: Mapping[str, Sequence[str]] | None = None
) -> tuple[list[NetworkPort], bool]:
    """The ports that a listing asks for, and whether there are more.

    `fixed_ips` are conditions on addresses: `ip_address`, `subnet_id`, `ip_address_substr` to values it may have.
    """
    seen = access.visible(tx.caller, ports)
    rows, more = page_of(tx, ports, listing, *addresses.conditions(ports.c.id, fixed_ips or {}), seen=seen)
    return from_rows(tx, rows), more


def rebind_network(tx: Tx, network_id: str) -> None:
    """Bring the bindings of all bound ports of a network in line after the network itself changed."""
    network = _network(tx, network_id)
    for port in find(tx, network_id=network_id, vif_type=VifType.OTHER.value):
        _bind(tx, port, network)


def from_rows(tx: Tx, rows: Sequence[sa.Row[Any]]) -> list[NetworkPort]:
    """The ports that rows of the table hold, with their addresses."""
    fixed_ips = addresses.of_ports(tx, [row.id for row in rows])
    return [_port(row, fixed_ips.get(row.id, ())) for row in rows]


def merge_dhcp_opts(present: Iterable[Mapping[str, Any]], given: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """DHCP options after a change: one value per name and IP version; a value of None removes the option."""
    merged = {(o["opt_name"], o["ip_version"]): o["opt_value"] for o in present}
    for option in given:
        key = option["opt_name"], int(option.get("ip_version") or 4)
        if option["opt_value"] is None:
            merged.pop(key, None)
        else:
            merged[key] = option["opt_value"]
    return [{"opt_name": n, "opt_value": value, "ip_version": v} for (n, v), value in merged.items()]


def _bind(tx: Tx, port: NetworkPort, network: sa.Row[Any]) -> None:
    """Make the attachments of a port what its row asks for.

    A port that is bound and up, on a network that is up, asks for the switch ports in its local link information;
    every other port asks for none. A trunk's sub-ports are where its parent port is.
    """
    if subports.is_subport(tx, port):
        subports.follow(tx, str(port.trunk_id))
        return
    links, group = [], None
    if port.vnic_type in OURS:
        links, group = _links(port, network), parse_group(port.profile, where=_PROFILE)
    if not (port.bound and port.admin_state_up and network.admin_state_up and links):
        unbind(tx, port.id)
        _lead(tx, port)
        return
    wish = Wish(
        network_port=port.id,
        network=network.id,
        host=HostId(port.host_id),
        vlan=network.segmentation_id,
        physical_network=network.physical_network,
        side=Side(network.side),
        links=links,
        group=group,
    )
    bind(tx, wish, where=_PROFILE)
    _lead(tx, port)


def _lead(tx: Tx, port: NetworkPort) -> None:
    """Have the sub-ports follow, if the port is a trunk's parent port."""
    if port.trunk_id is not None:
        subports.follow(tx, port.trunk_id)


def _links(port: NetworkPort, network: sa.Row[Any]) -> list[LocalLink]:
    links = parse_links(port.profile, where=_PROFILE)
    physical = port.profile.get("physical_network")
    if physical is not None and not isinstance(physical, str):
        raise Invalid("must be text or null", field=f"{_PROFILE}.physical_network")
    if links and physical and network.physical_network and physical != network.physical_network:
        raise Invalid(
            f"the links are on physical network {physical}, network {network.id} is on {network.physical_network}",
            field=f"{_PROFILE}.physical_network",
        )
    return links


def _network(tx: Tx, network_id: str) -> sa.Row[Any]:
    row = tx.execute(_NETWORK, {"id": network_id}).one_or_none()
    if row is None:
        raise NotFound("network", network_id, field="network_id")
    return row


def _allocation(new: NewPort, subnets: Sequence[Subnet]) -> IpAllocation:
    if new.fixed_ips is not None:
        return IpAllocation.IMMEDIATE if new.fixed_ips else IpAllocation.NONE
    return IpAllocation.IMMEDIATE if subnets else IpAllocation.DEFERRED


def _values(tx: Tx, before: NetworkPort, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that a change sets, before it is known whether they differ."""
    values = {name: changes[name] for name in PLAIN & changes.keys()}
    vnic_type, host = str(changes.get("vnic_type", before.vnic_type)), str(changes.get("host_id", before.host_id))
    if changes.keys() & {"vnic_type", "host_id"}:
        values |= {"vnic_type": _vnic_type(vnic_type).value, "host_id": host}
        values["vif_type"] = _vif_type(vnic_type, host).value
    if "profile" in changes:
        values["profile"] = dict(changes["profile"])
    if "extra_dhcp_opts" in changes:
        values["extra_dhcp_opts"] = merge_dhcp_opts(before.extra_dhcp_opts, changes["extra_dhcp_opts"])
    if "tags" in changes:
        values["tags"] = list(changes["tags"])
    if "fixed_ips" in changes:
        allocation = IpAllocation.IMMEDIATE if changes["fixed_ips"] else IpAllocation.NONE
        values["ip_allocation"] = allocation.value
    if "mac_address" in changes:
        values["mac_address"] = _new_mac(tx, before, changes["mac_address"])
    return values


def _new_mac(tx: Tx, before: NetworkPort, wished: str | None) -> str:
    if wished is not None:
        wished = normal_mac(wished, where="mac_address")
        if wished == before.mac_address:
            return wished
    if before.bound:
        raise Conflict(
            f"Unable to complete operation on port {before.id}, port is already bound to host {before.host_id}"
            f" (vif_type {before.vif_type}); unbind it before its MAC address changes",
            field="mac_address",
            code="PortBound",
        )
    return _own_mac(tx, before.network_id, wished)


def _own_mac(tx: Tx, network_id: str, wished: str | None) -> str:
    """The MAC address a port gets: the one it wishes for, or a new one that is free on its network."""
    if wished is not None:
        mac = normal_mac(wished, where="mac_address")
        if mac == "00:00:00:00:00:00":
            raise Invalid("is all zeros; give a real one, or null for a generated one", field="mac_address")
        if _mac_taken(tx, network_id, mac):
            message = f"Unable to complete operation for network {network_id}. The mac address {mac} is in use."
            raise Conflict(message, field="mac_address", code="MacAddressInUse")
        return mac
    while _mac_taken(tx, network_id, mac := f"{_MAC_PREFIX}:{secrets.token_bytes(3).hex(':')}"):
        pass
    return mac


def _mac_taken(tx: Tx, network_id: str, mac: str) -> bool:
    return tx.execute(_WITH_MAC, {"network": network_id, "mac": mac}).one_or_none() is not None


def _vnic_type(name: str) -> VnicType:
    try:
        return VnicType(name)
    except ValueError:
        message = f"{name!r} is not one of {', '.join(VnicType)}"
        raise Invalid(message, field="binding:vnic_type") from None


def _vif_type(vnic_type: str, host: str) -> VifType:
    if not host:
        return VifType.UNBOUND
    return VifType.OTHER if vnic_type in OURS else VifType.BINDING_FAILED


def _column(port: NetworkPort, name: str) -> object:
    """A port's attribute as its column holds it."""
    value = getattr(port, name)
    return list(value) if isinstance(value, tuple) else value


def _port(row: sa.Row[Any], fixed_ips: tuple[FixedIp, ...]) -> NetworkPort:
    return NetworkPort(
        id=row.id,
        network_id=row.network_id,
        project_id=row.project_id,
        name=row.name,
        description=row.description,
        mac_address=row.mac_address,
        admin_state_up=row.admin_state_up,
        device_id=row.device_id,
        device_owner=row.device_owner,
        status=row.status,
        status_reason=row.status_reason,
        vnic_type=VnicType(row.vnic_type),
        host_id=row.host_id,
        vif_type=VifType(row.vif_type),
        profile=row.profile,
        extra_dhcp_opts=tuple(row.extra_dhcp_opts),
        ip_allocation=IpAllocation(row.ip_allocation),
        port_security_enabled=row.port_security_enabled,
        tags=tuple(row.tags),
        revision_number=row.revision_number,
        created_at=row.created_at,
        updated_at=row.updated_at or row.created_at,
        fixed_ips=fixed_ips,
        trunk_id=row.trunk_id,
    )
