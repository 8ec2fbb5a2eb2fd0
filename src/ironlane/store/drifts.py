"""What somebody else changed on our ports: found at an audit, told with before and after, closed when it is gone."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from ironlane.model.fabric import PortConfig, SwitchId
from ironlane.store.attachments import config_from_json, config_to_json
from ironlane.store.database import Tx
from ironlane.store.prepared import Prepared
from ironlane.store.tables import drifts

_OPEN = Prepared(sa.select(drifts).where(drifts.c.switch_id == sa.bindparam("switch"), drifts.c.resolved_at.is_(None)))


class Resolution(StrEnum):
    """How a drift came to its end."""

    REPAIRED = "repaired"
    """Ironlane put it right."""
    GONE = "gone"
    """Somebody else put it right, or the port is to carry something else by now."""


@dataclass(frozen=True, slots=True)
class Drift:
    """A change on one of our ports that was not ours. `resolved_at` None: it is still there."""

    id: str
    switch: SwitchId
    port: str
    expected: PortConfig
    found: PortConfig
    found_at: datetime
    resolved_at: datetime | None
    resolution: str


def note(
    tx: Tx, switch: SwitchId, found: Mapping[str, PortConfig], expected: Mapping[str, PortConfig], looked: bool
) -> None:
    """Record the drifts that a look at the switch itself showed; a drift that is on record already is not repeated.

    `looked` False means that nobody looked: then nothing is known, and nothing is closed.
    """
    if not looked:
        return
    present = {row.port_name: row for row in tx.execute(_OPEN, {"switch": switch})}
    for port, config in found.items():
        row = present.pop(port, None)
        if row is not None and row.found == config_to_json(config):
            continue
        if row is not None:
            _close(tx, [row.id], Resolution.GONE)
        tx.execute(
            sa.insert(drifts).values(
                id=str(uuid.uuid4()),
                switch_id=switch,
                port_name=port,
                expected=config_to_json(expected[port]),
                found=config_to_json(config),
                found_at=tx.now,
            )
        )
    _close(tx, [row.id for row in present.values()], Resolution.GONE)


def repaired(tx: Tx, switch: SwitchId, ports: Collection[str]) -> None:
    """These ports were read back as they should be, after a plan of ours."""
    rows = [row for row in tx.execute(_OPEN, {"switch": switch}) if row.port_name in ports]
    _close(tx, [row.id for row in rows], Resolution.REPAIRED)


def find(tx: Tx, *, switch: str | None = None, open_only: bool = False, limit: int = 1000) -> list[Drift]:
    """Drifts, newest first."""
    query = sa.select(drifts).order_by(drifts.c.found_at.desc(), drifts.c.id).limit(limit)
    if switch is not None:
        query = query.where(drifts.c.switch_id == switch)
    if open_only:
        query = query.where(drifts.c.resolved_at.is_(None))
    return [_drift(row) for row in tx.all(query)]


def _close(tx: Tx, ids: Collection[str], resolution: Resolution) -> None:
    if ids:
        closed = {"resolved_at": tx.now, "resolution": resolution.value}
        tx.execute(sa.update(drifts).where(drifts.c.id.in_(sorted(ids))).values(**closed))


def _drift(row: sa.Row[Any]) -> Drift:
    return Drift(
        id=row.id,
        switch=SwitchId(row.switch_id),
        port=row.port_name,
        expected=config_from_json(row.expected),
        found=config_from_json(row.found),
        found_at=row.found_at,
        resolved_at=row.resolved_at,
        resolution=row.resolution,
    )
