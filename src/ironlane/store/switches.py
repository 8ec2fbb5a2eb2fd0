"""Switches and the ports of theirs that Ironlane owns, as rows.

The operator writes what a switch is (`SwitchSpec`); the fabric loop writes how far it has come. What must hold between
a switch and the rest is kept here: who is attached, whose MAC address it is, which VLAN is free to be idle.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ironlane.model.errors import Conflict, Invalid, NotFound
from ironlane.model.fabric import DriftPolicy, ManagedPorts, PortConfig, SwitchId, Vlan
from ironlane.store.attachments import config_from_json, of_switch
from ironlane.store.bindings import touch
from ironlane.store.database import Tx
from ironlane.store.tables import lag_claims, lldp_shown, physical_networks, segments, switch_ports, switches


@dataclass(frozen=True, slots=True)
class SwitchSpec:
    """What the operator says about a switch. `ports` are the names of the ports that Ironlane may write.

    `mac` is in colon notation, `datapath_id` 16 hex digits (`model.link.normal_switch_id`). `secret_ref` is the *name*
    of a secret, never the secret: the conductor looks it up. `idle_vlan` None shuts idle ports.
    """

    id: SwitchId
    kind: str
    address: str
    ports: frozenset[str]
    physical_network: str = ""
    mac: str | None = None
    datapath_id: str | None = None
    port: int | None = None
    username: str = ""
    secret_ref: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    rack: str = ""
    mlag_peer: str | None = None
    idle_vlan: Vlan | None = None
    policy: DriftPolicy = DriftPolicy.REPAIR


@dataclass(frozen=True, slots=True)
class SwitchRecord:
    """One row: what the operator said, and how far the fabric loop has come."""

    id: SwitchId
    kind: str
    mac: str | None
    datapath_id: str | None
    address: str
    port: int | None
    username: str
    secret_ref: str
    options: Mapping[str, Any]
    physical_network: str
    rack: str
    mlag_peer: str | None
    idle_vlan: Vlan | None
    policy: str
    audit_due: bool
    generation: int
    applied_generation: int
    due_at: datetime | None
    attempts: int
    state: str
    reason: str
    observed_at: datetime | None
    conductor: str | None
    conductor_epoch: int | None
    created_at: datetime
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class OwnedPort:
    """One port of a switch that Ironlane owns, with what the last read-back showed (None: never read)."""

    switch: SwitchId
    name: str
    observed: PortConfig | None
    observed_at: datetime | None


def put(tx: Tx, spec: SwitchSpec) -> SwitchRecord:
    """Enrol a switch, or make an enrolled one what `spec` says; equal specs change nothing.

    Any change is a new generation, so that the fabric loop looks at the switch again.

    Raises:
        Invalid: unknown physical network, an idle VLAN that tenants may be given, a switch that is its own peer.
        Conflict: another switch has the MAC address, datapath id or peer; the idle VLAN belongs to a network; a port
            or the physical network is to change under somebody who is attached, or the peer under a LAG over both.
    """
    row = tx.one(sa.select(switches).where(switches.c.id == spec.id))
    _check_unique(tx, spec)
    _check_idle_vlan(tx, spec)
    values = {**asdict(spec), "policy": spec.policy.value}
    ports = values.pop("ports")
    if row is None:
        tx.execute(sa.insert(switches).values(**values, generation=1, due_at=tx.now, audit_due=True, created_at=tx.now))
        _own(tx, spec.id, ports)
        tx.hint("switch", spec.id)
        return get(tx, spec.id)
    before = frozenset(managed_ports(tx, spec.id).names)
    changed = {key: value for key, value in values.items() if getattr(row, key) != value}
    _check_attached(tx, spec, row, before - ports)
    if not changed and before == ports:
        return _record(row)
    tx.execute(sa.update(switches).where(switches.c.id == spec.id).values(**changed, audit_due=True, updated_at=tx.now))
    _disown(tx, spec.id, before - ports)
    _own(tx, spec.id, ports - before)
    touch(tx, {spec.id})
    return get(tx, spec.id)


def get(tx: Tx, switch: str) -> SwitchRecord:
    """One switch by name.

    Raises:
        NotFound: there is no such switch.
    """
    row = tx.one(sa.select(switches).where(switches.c.id == switch))
    if row is None:
        raise NotFound("switch", switch)
    return _record(row)


def all_(tx: Tx) -> list[SwitchRecord]:
    """All switches, by name."""
    return [_record(row) for row in tx.all(sa.select(switches).order_by(switches.c.id))]


def delete(tx: Tx, switch: str) -> None:
    """Forget a switch. Its ports keep what they carry: they are nobody's any more. Its plans stay on record.

    Raises:
        NotFound: there is no such switch.
        Conflict: network ports are attached to it, or have not been seen to be gone.
    """
    get(tx, switch)
    attached = of_switch(tx, SwitchId(switch))
    if attached:
        first = attached[0]
        raise Conflict(
            f"switch {switch} has {len(attached)} attachments, the first on {first.port} for network port"
            f" {first.network_port} ({first.state}); unbind them and wait until they have left",
            code="SwitchInUse",
        )
    remove(tx, switch)


def remove(tx: Tx, switch: str) -> None:
    """Delete the rows of a switch that nothing is attached to."""
    tx.execute(sa.delete(lag_claims).where(lag_claims.c.switch_id == switch))
    tx.execute(sa.delete(lldp_shown).where(lldp_shown.c.switch_id == switch))
    tx.execute(sa.delete(switch_ports).where(switch_ports.c.switch_id == switch))
    tx.execute(sa.delete(switches).where(switches.c.id == switch))


def ports_of(tx: Tx, switch: str) -> list[OwnedPort]:
    """The owned ports of a switch by name, with what they were last seen to carry."""
    rows = tx.all(sa.select(switch_ports).where(switch_ports.c.switch_id == switch).order_by(switch_ports.c.name))
    return [
        OwnedPort(
            switch=SwitchId(row.switch_id),
            name=row.name,
            observed=None if row.observed is None else config_from_json(row.observed),
            observed_at=row.observed_at,
        )
        for row in rows
    ]


def port_names(tx: Tx) -> dict[str, list[str]]:
    """The names of the owned ports of every switch."""
    names: dict[str, list[str]] = {}
    for row in tx.all(sa.select(switch_ports.c.switch_id, switch_ports.c.name).order_by(switch_ports.c.name)):
        names.setdefault(row.switch_id, []).append(row.name)
    return names


def exists(tx: Tx, switch: str) -> bool:
    """Whether there is a switch of that name."""
    return tx.one(sa.select(switches.c.id).where(switches.c.id == switch)) is not None


def managed_ports(tx: Tx, switch: str) -> ManagedPorts:
    """Which ports of a switch Ironlane owns, and what they carry while nobody is attached.

    Raises:
        NotFound: there is no such switch.
    """
    idle_vlan = get(tx, switch).idle_vlan
    names = tx.execute(sa.select(switch_ports.c.name).where(switch_ports.c.switch_id == switch)).scalars()
    return ManagedPorts(SwitchId(switch), frozenset(names), idle_vlan)


def make_due(tx: Tx, switch: str) -> SwitchRecord:
    """Have the fabric loop observe the switch now, whether or not anything changed.

    Raises:
        NotFound: there is no such switch.
    """
    get(tx, switch)
    tx.execute(sa.update(switches).where(switches.c.id == switch).values(due_at=tx.now))
    tx.hint("switch", switch)
    return get(tx, switch)


def make_audit_due(tx: Tx, switch: str) -> SwitchRecord:
    """Have the fabric loop read the switch itself now, whatever was read back lately, to find what others changed.

    Raises:
        NotFound: there is no such switch.
    """
    tx.execute(sa.update(switches).where(switches.c.id == switch).values(audit_due=True))
    return make_due(tx, switch)


def make_all_audit_due(tx: Tx) -> list[str]:
    """`make_audit_due` of every switch; returns their names."""
    tx.execute(sa.update(switches).values(audit_due=True, due_at=tx.now))
    names = list(tx.execute(sa.select(switches.c.id).order_by(switches.c.id)).scalars())
    for name in names:
        tx.hint("switch", name)
    return names


def _record(row: sa.Row[Any]) -> SwitchRecord:
    return SwitchRecord(**{f.name: getattr(row, f.name) for f in fields(SwitchRecord)})


def _own(tx: Tx, switch: str, names: Collection[str]) -> None:
    if names:
        tx.execute(sa.insert(switch_ports), [{"switch_id": switch, "name": name} for name in sorted(names)])


def _disown(tx: Tx, switch: str, names: Collection[str]) -> None:
    if names:
        gone = (lldp_shown.c.switch_id == switch) & lldp_shown.c.port_name.in_(sorted(names))
        tx.execute(sa.delete(lldp_shown).where(gone))
        tx.execute(
            sa.delete(switch_ports).where(switch_ports.c.switch_id == switch, switch_ports.c.name.in_(sorted(names)))
        )


def _check_unique(tx: Tx, spec: SwitchSpec) -> None:
    if spec.mlag_peer == spec.id:
        raise Invalid(f"switch {spec.id} cannot be its own peer", field="mlag_peer")
    for name in ("mac", "datapath_id", "mlag_peer"):
        value = getattr(spec, name)
        if value is None:
            continue
        other = tx.execute(
            sa.select(switches.c.id).where(switches.c[name] == value, switches.c.id != spec.id).limit(1)
        ).scalar_one_or_none()
        if other is not None:
            raise Conflict(f"{value} belongs to switch {other} already", field=name, code="SwitchConflict")


def _check_idle_vlan(tx: Tx, spec: SwitchSpec) -> None:
    networks = tx.all(sa.select(physical_networks.c.name, physical_networks.c.tenant_vlans))
    if spec.physical_network and spec.physical_network not in {row.name for row in networks}:
        raise Invalid(f"there is no physical network {spec.physical_network}", field="physical_network")
    if spec.idle_vlan is None:
        return
    # A switch that names no physical network may carry VLANs of all of them.
    near = [row for row in networks if spec.physical_network in ("", row.name)]
    for row in near:
        for first, last in row.tenant_vlans:
            if first <= spec.idle_vlan <= last:
                raise Invalid(
                    f"VLAN {spec.idle_vlan} lies in the tenant range {first}-{last} of physical network {row.name}",
                    field="idle_vlan",
                )
    taken = tx.one(
        sa.select(segments.c.network_id, segments.c.physical_network)
        .where(segments.c.vlan == spec.idle_vlan, segments.c.physical_network.in_([row.name for row in near]))
        .limit(1)
    )
    if taken is not None:
        raise Conflict(
            f"VLAN {spec.idle_vlan} of physical network {taken.physical_network} belongs to network {taken.network_id}",
            field="idle_vlan",
            code="VlanInUse",
        )


def _check_attached(tx: Tx, spec: SwitchSpec, row: sa.Row[Any], removed: Collection[str]) -> None:
    attached = of_switch(tx, spec.id)
    for attachment in attached:
        if attachment.port in removed:
            raise Conflict(
                f"port {attachment.port} of switch {spec.id} cannot be given up: network port"
                f" {attachment.network_port} of host {attachment.host} is on it ({attachment.state})",
                field="ports",
                code="SwitchPortInUse",
            )
    paired = next((a for a in attached if a.lag is not None and a.lag.mlag is not None), None)
    if paired is not None and row.mlag_peer != spec.mlag_peer:
        raise Conflict(
            f"switch {spec.id} cannot part from its peer {row.mlag_peer}: network port {paired.network_port} is on a"
            f" LAG over both, with port {paired.port}; unbind it first",
            field="mlag_peer",
            code="SwitchInUse",
        )
    if attached and row.physical_network != spec.physical_network:
        raise Conflict(
            f"switch {spec.id} cannot move to physical network {spec.physical_network!r}: network port"
            f" {attached[0].network_port} is on its port {attached[0].port}",
            field="physical_network",
            code="SwitchInUse",
        )
