"""VLANs given to networks. A VLAN is one network's until no switch carries it any more (invariant I3)."""

from __future__ import annotations

import sqlalchemy as sa

from ironlane.model.errors import Conflict, Invalid
from ironlane.model.fabric import VLAN_MAX, VLAN_MIN, Vlan
from ironlane.model.network import PhysicalNetwork
from ironlane.store import access
from ironlane.store.database import Tx
from ironlane.store.settling import release_segments
from ironlane.store.tables import segments, switch_ports, switches

_FIELD = "provider:segmentation_id"


def allocate(tx: Tx, network_id: str, physical: PhysicalNetwork) -> Vlan:
    """Give a network the lowest free VLAN of a physical network's tenant ranges.

    Raises:
        Conflict: none is free.
    """
    taken = set(tx.execute(sa.select(segments.c.vlan).where(segments.c.physical_network == physical.name)).scalars())
    taken |= idle_vlans(tx, physical.name)
    ranges = (range(first, last + 1) for first, last in physical.tenant_vlans)
    vlan = next((v for vlans in ranges for v in vlans if v not in taken), None)
    if vlan is None:
        where = access.physical_network(tx, physical.name)
        raise Conflict(
            f"Unable to create the network. No tenant VLAN is free on {where};"
            " delete networks or widen tenant_vlans in the site file",
            field=_FIELD,
            code="NoNetworkAvailable",
        )
    _insert(tx, network_id, physical.name, vlan)
    return Vlan(vlan)


def claim(tx: Tx, network_id: str, physical: PhysicalNetwork, vlan: int, *, anywhere: bool = False) -> Vlan:
    """Give a network the VLAN that the administrator names.

    Raises:
        Invalid: out of range, or within the tenants' range (unless `anywhere`), or the idle VLAN of a switch. What idle
            ports may still carry counts only without `anywhere`: of what is taken over they carry what they should.
        Conflict: another network has it, or had it and a switch still carries it.
    """
    if not VLAN_MIN <= vlan <= VLAN_MAX:
        raise Invalid(f"{vlan} is not a VLAN id from {VLAN_MIN} to {VLAN_MAX}", field=_FIELD)
    if physical.is_tenant_vlan(vlan) and not anywhere:
        message = f"VLAN {vlan} is in the tenants' range of physical network {physical.name}; name one outside it"
        raise Invalid(message, field=_FIELD)
    if vlan in (configured_idle_vlans if anywhere else idle_vlans)(tx, physical.name):
        message = f"VLAN {vlan} is the idle VLAN of a switch on physical network {physical.name}"
        raise Invalid(message, field=_FIELD)
    row = tx.one(sa.select(segments).where(segments.c.physical_network == physical.name, segments.c.vlan == vlan))
    if row is not None:
        still = ", which was deleted but is still on a switch" if row.released else ""
        raise Conflict(
            f"Unable to create the network. The VLAN {vlan} on physical network {physical.name} is in use"
            f" by network {row.network_id}{still}.",
            field=_FIELD,
            code="VlanIdInUse",
        )
    _insert(tx, network_id, physical.name, vlan)
    return Vlan(vlan)


def release(tx: Tx, network_id: str) -> None:
    """A network is gone: its VLAN goes back to the pool now, or once no switch carries it any more."""
    tx.execute(sa.update(segments).where(segments.c.network_id == network_id).values(released=True))
    release_segments(tx, {network_id})


def idle_vlans(tx: Tx, physical_network: str) -> set[int]:
    """VLANs that idle switch ports carry, or may still carry; a switch of no physical network counts for all of them.

    What was read back from a switch that is behind its rows counts as well: its idle VLAN may have been another before.
    """
    here = switches.c.physical_network.in_([physical_network, ""])
    idle = configured_idle_vlans(tx, physical_network)
    behind = (
        sa.select(switch_ports.c.observed["untagged"].as_integer())
        .join(switches, switches.c.id == switch_ports.c.switch_id)
        .where(here, switches.c.generation != switches.c.applied_generation, switch_ports.c.observed.is_not(None))
        .distinct()
    )
    return idle | {vlan for vlan in tx.execute(behind).scalars() if vlan is not None}


def configured_idle_vlans(tx: Tx, physical_network: str) -> set[int]:
    """VLANs that idle switch ports are to carry."""
    here = switches.c.physical_network.in_([physical_network, ""])
    return set(tx.execute(sa.select(switches.c.idle_vlan).where(switches.c.idle_vlan.is_not(None), here)).scalars())


def _insert(tx: Tx, network_id: str, physical_network: str, vlan: int) -> None:
    tx.execute(sa.insert(segments).values(physical_network=physical_network, vlan=vlan, network_id=network_id))
