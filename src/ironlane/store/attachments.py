"""Attachments and switch ports as rows: reading them, and the JSON forms of their value objects."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple, cast

import sqlalchemy as sa

from ironlane.model.fabric import (
    Attachment,
    AttachmentState,
    HostId,
    LacpRate,
    Lag,
    LagMode,
    LagSupport,
    Mlag,
    PortConfig,
    PortMode,
    Side,
    SwitchId,
    Vlan,
)
from ironlane.store.database import Tx
from ironlane.store.prepared import Meaning, Prepared
from ironlane.store.tables import attachments, switch_ports


def _attachment(row: sa.Row[Any]) -> Attachment:
    return Attachment(
        id=row.id,
        switch=SwitchId(row.switch_id),
        port=row.port_name,
        network_port=row.network_port_id,
        network=row.network_id,
        host=HostId(row.host_id),
        vlan=Vlan(row.vlan),
        side=Side(row.side),
        state=AttachmentState(row.state),
        lag=lag_from_json(row.lag),
        tagged=row.tagged,
        applied=row.applied,
        withheld_by=None if row.withheld_by is None else SwitchId(row.withheld_by),
        reason=row.reason,
        retry_at=row.retry_at,
        attempts=row.attempts,
        established=row.established,
        request_id=row.request_id,
        created_at=row.created_at,
    )


_MEANING = Meaning(_attachment)
_ALL = sa.select(attachments).order_by(attachments.c.created_at, attachments.c.id)
_OF_SWITCH = Prepared(_ALL.where(attachments.c.switch_id == sa.bindparam("switch")), _MEANING)
_OF_NETWORK = Prepared(_ALL.where(attachments.c.network_id == sa.bindparam("network")), _MEANING)
_OF_NETWORK_PORTS = Prepared(
    _ALL.where(attachments.c.network_port_id.in_(sa.bindparam("network_ports", expanding=True))), _MEANING
)
_OF_HOST = Prepared(_ALL.where(attachments.c.host_id == sa.bindparam("host")), _MEANING)
# Columns apart instead of pairs: an index serves each branch, where pairs have SQLite read the whole table.
_AROUND = Prepared(
    _ALL.where(
        sa.or_(
            attachments.c.host_id.in_(sa.bindparam("hosts", expanding=True)),
            sa.and_(
                attachments.c.switch_id.in_(sa.bindparam("switches", expanding=True)),
                attachments.c.port_name.in_(sa.bindparam("port_names", expanding=True)),
            ),
            attachments.c.network_port_id.in_(sa.bindparam("network_ports", expanding=True)),
        )
    ),
    _MEANING,
)

Place = tuple[SwitchId, str]
"""A switch port: the switch and the port's name on it."""


class PortRecord(NamedTuple):
    """One of our switch ports: what it showed last, and what it was last read back to carry as it should."""

    name: str
    observed: PortConfig | None
    verified: PortConfig | None


def _port_record(row: sa.Row[Any]) -> PortRecord:
    return PortRecord(
        row.name,
        None if row.observed is None else config_from_json(row.observed),
        None if row.verified is None else config_from_json(row.verified),
    )


_PORT_RECORDS = Prepared(
    sa.select(switch_ports.c.name, switch_ports.c.observed, switch_ports.c.verified).where(
        switch_ports.c.switch_id == sa.bindparam("switch")
    ),
    Meaning(_port_record),
)


def port_records(tx: Tx, switch: SwitchId) -> list[PortRecord]:
    """All ports of one switch that are ours."""
    return cast("list[PortRecord]", tx.execute(_PORT_RECORDS, {"switch": switch}).all())


def of_switch(tx: Tx, switch: SwitchId) -> list[Attachment]:
    """All attachments on one switch, in any state."""
    return _read(tx, _OF_SWITCH, {"switch": switch})


def of_network_ports(tx: Tx, network_ports: Collection[str]) -> list[Attachment]:
    """All attachments that these network ports asked for, in any state, on all switches."""
    return _read(tx, _OF_NETWORK_PORTS, {"network_ports": sorted(network_ports)}) if network_ports else []


def of_network_port(tx: Tx, network_port: str) -> list[Attachment]:
    """All attachments that one network port asked for, in any state, on all switches."""
    return of_network_ports(tx, [network_port])


def of_host(tx: Tx, host: str) -> list[Attachment]:
    """All attachments of one server, in any state, on all switches."""
    return _read(tx, _OF_HOST, {"host": host})


def of_network(tx: Tx, network: str) -> list[Attachment]:
    """All attachments to one network, in any state, on all switches."""
    return _read(tx, _OF_NETWORK, {"network": network})


def around(
    tx: Tx, hosts: Collection[str], places: Collection[Place] = (), network_ports: Collection[str] = ()
) -> list[Attachment]:
    """All attachments of these servers, on these switch ports, or asked for by these network ports, in any state."""
    wanted = {
        "hosts": sorted(hosts),
        "switches": sorted({switch for switch, _ in places}),
        "port_names": sorted({name for _, name in places}),
        "network_ports": sorted(network_ports),
    }
    by_host, by_place, by_port = set(hosts), set(places), set(network_ports)
    return [
        a
        for a in _read(tx, _AROUND, wanted)
        if a.host in by_host or (a.switch, a.port) in by_place or a.network_port in by_port
    ]


def find(
    tx: Tx,
    *,
    switch: str | None = None,
    host: str | None = None,
    network: str | None = None,
    network_port: str | None = None,
    state: AttachmentState | None = None,
) -> list[Attachment]:
    """Attachments that match all filters given, oldest first."""
    wanted: dict[sa.Column[Any], str | None] = {
        attachments.c.switch_id: switch,
        attachments.c.host_id: host,
        attachments.c.network_id: network,
        attachments.c.network_port_id: network_port,
        attachments.c.state: state,
    }
    rows = tx.all(_ALL.where(*[column == value for column, value in wanted.items() if value is not None]))
    return [_attachment(row) for row in rows]


def _read(tx: Tx, statement: Prepared, parameters: dict[str, Any]) -> list[Attachment]:
    return cast("list[Attachment]", tx.execute(statement, parameters).all())


def lag_to_json(lag: Lag) -> dict[str, Any]:
    return {
        "number": lag.number,
        "mode": lag.mode,
        "rate": lag.rate,
        "min_links": lag.min_links,
        "fallback": lag.fallback,
        "mlag": lag.mlag,
    }


def lag_from_json(value: dict[str, Any] | None) -> Lag | None:
    if value is None:
        return None
    # Rows of before MLAG ids have no such key.
    return Lag(**{**value, "mode": LagMode(value["mode"]), "rate": LacpRate(value["rate"])})


def support_to_json(support: LagSupport) -> dict[str, Any]:
    return {
        "numbers": [support.numbers.start, support.numbers.stop],
        "modes": sorted(support.modes),
        "min_links": sorted(support.min_links),
        "fallback": support.fallback,
        "mlag": support.mlag,
        "foreign": sorted(support.foreign),
    }


def support_from_json(value: dict[str, Any] | None) -> LagSupport | None:
    if value is None:
        return None
    return LagSupport(
        numbers=range(*value["numbers"]),
        modes=frozenset(map(LagMode, value["modes"])),
        min_links=frozenset(map(LagMode, value["min_links"])),
        fallback=value["fallback"],
        mlag=Mlag(value["mlag"]),
        foreign=frozenset(value["foreign"]),
    )


def config_to_json(config: PortConfig) -> dict[str, Any]:
    """A port config as a JSON column or the fabric API shows it."""
    # By hand: this is done for every port of a switch after every commit, and `asdict` takes ten times as long.
    value = {
        "mode": config.mode,
        "untagged": config.untagged,
        "tagged": sorted(config.tagged),
        "lag": None if config.lag is None else lag_to_json(config.lag),
        "enabled": config.enabled,
        "description": config.description,
    }
    if config.inactive:
        value["inactive"] = config.inactive
    return value


def config_from_json(value: dict[str, Any]) -> PortConfig:
    return PortConfig(
        mode=PortMode(value["mode"]),
        untagged=value["untagged"],
        tagged=frozenset(value["tagged"]),
        lag=lag_from_json(value["lag"]),
        enabled=value["enabled"],
        description=value["description"],
        inactive=value.get("inactive", ""),
    )
