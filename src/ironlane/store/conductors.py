"""Conductors as rows, as clients see them: who is there, and what hardware drivers it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ironlane.model.errors import NotFound
from ironlane.store.database import Tx
from ironlane.store.tables import conductors


@dataclass(frozen=True, slots=True)
class Driver:
    """A hardware driver that a conductor has.

    `required` are the `driver_info` keys without which it cannot work; `properties` says what each key means.
    """

    name: str
    required: tuple[str, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Conductor:
    """A process that owns nodes and switches. `online` is what it said itself; `alive` adds how fresh that is."""

    hostname: str
    conductor_group: str
    drivers: tuple[Driver, ...]
    cleaning_network: str
    provisioning_network: str
    online: bool
    heartbeat_at: datetime
    created_at: datetime
    updated_at: datetime | None = None
    description: str = ""

    def alive(self, now: datetime, timeout: float) -> bool:
        """Whether it is online and was heard of in the last `timeout` seconds."""
        return self.online and (now - self.heartbeat_at).total_seconds() < timeout


def listed(tx: Tx) -> list[Conductor]:
    """All conductors on record, by host name."""
    return [_conductor(row) for row in tx.all(sa.select(conductors).order_by(conductors.c.hostname))]


def get(tx: Tx, hostname: str) -> Conductor:
    """One conductor.

    Raises:
        NotFound: there is none of this name.
    """
    row = tx.one(sa.select(conductors).where(conductors.c.hostname == hostname))
    if row is None:
        raise NotFound("conductor", hostname)
    return _conductor(row)


def describe(tx: Tx, hostname: str, description: str) -> None:
    """Keep what an operator says of a conductor."""
    here = conductors.c.hostname == hostname
    tx.execute(sa.update(conductors).where(here).values(description=description))


def drivers(tx: Tx, timeout: float) -> dict[str, tuple[Driver, list[str]]]:
    """What the conductors that are alive can drive: name to driver and the hosts that have it."""
    found: dict[str, tuple[Driver, list[str]]] = {}
    for conductor in listed(tx):
        if conductor.alive(tx.now, timeout):
            for driver in conductor.drivers:
                found.setdefault(driver.name, (driver, []))[1].append(conductor.hostname)
    return found


def _conductor(row: sa.Row[Any]) -> Conductor:
    return Conductor(
        hostname=row.hostname,
        conductor_group=row.conductor_group,
        drivers=tuple(
            Driver(raw["name"], tuple(raw.get("required", ())), dict(raw.get("properties", {}))) for raw in row.drivers
        ),
        cleaning_network=row.cleaning_network,
        provisioning_network=row.provisioning_network,
        online=row.online,
        heartbeat_at=row.heartbeat_at,
        created_at=row.created_at,
        updated_at=row.updated_at,
        description=row.description,
    )
