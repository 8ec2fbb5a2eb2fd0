"""History: who held which VLAN on which switch port, from when to when, at whose request. Rows are never deleted."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ironlane.model.fabric import Attachment, HostId, Lag, SwitchId, Vlan
from ironlane.store.attachments import lag_from_json, lag_to_json
from ironlane.store.database import Tx
from ironlane.store.prepared import Prepared
from ironlane.store.tables import holdings

_BEGIN = Prepared(sa.insert(holdings))
_END = Prepared(
    sa.update(holdings)
    .where(holdings.c.attachment_id.in_(sa.bindparam("ids", expanding=True)), holdings.c.to_at.is_(None))
    .values(to_at=sa.bindparam("now"))
)


@dataclass(frozen=True, slots=True)
class Holding:
    """One period in which a switch port carried a VLAN for somebody. `to_at` None: it still does."""

    switch: SwitchId
    port: str
    vlan: Vlan
    tagged: bool
    lag: Lag | None
    network_port: str
    network: str
    host: HostId
    request_id: str
    from_at: datetime
    to_at: datetime | None


def begin(tx: Tx, carried: Collection[Attachment]) -> None:
    """Read-back has shown that these are carried now."""
    if carried:
        tx.execute(_BEGIN, [_row(tx, attachment) for attachment in carried])


def end(tx: Tx, gone: Collection[str]) -> None:
    """Read-back has shown that the attachments with these ids are carried no more, or it has to be read back anew."""
    if gone:
        tx.execute(_END, {"ids": list(gone), "now": tx.now})


def find(
    tx: Tx,
    *,
    switch: str | None = None,
    port: str | None = None,
    vlan: int | None = None,
    host: str | None = None,
    network: str | None = None,
    network_port: str | None = None,
    at: datetime | None = None,
    limit: int = 1000,
) -> list[Holding]:
    """Periods that match all filters given, newest first; with `at` those that include that moment."""
    columns: dict[sa.Column[Any], object] = {
        holdings.c.switch_id: switch,
        holdings.c.port_name: port,
        holdings.c.vlan: vlan,
        holdings.c.host_id: host,
        holdings.c.network_id: network,
        holdings.c.network_port_id: network_port,
    }
    query = sa.select(holdings).where(*[column == value for column, value in columns.items() if value is not None])
    if at is not None:
        query = query.where(holdings.c.from_at <= at, sa.or_(holdings.c.to_at.is_(None), holdings.c.to_at > at))
    return [_holding(row) for row in tx.all(query.order_by(holdings.c.from_at.desc(), holdings.c.id).limit(limit))]


def _row(tx: Tx, attachment: Attachment) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "attachment_id": attachment.id,
        "switch_id": attachment.switch,
        "port_name": attachment.port,
        "vlan": attachment.vlan,
        "tagged": attachment.tagged,
        "lag": lag_to_json(attachment.lag) if attachment.lag else None,
        "network_port_id": attachment.network_port,
        "network_id": attachment.network,
        "host_id": attachment.host,
        "request_id": attachment.request_id,
        "from_at": tx.now,
    }


def _holding(row: sa.Row[Any]) -> Holding:
    return Holding(
        switch=SwitchId(row.switch_id),
        port=row.port_name,
        vlan=Vlan(row.vlan),
        tagged=row.tagged,
        lag=lag_from_json(row.lag),
        network_port=row.network_port_id,
        network=row.network_id,
        host=HostId(row.host_id),
        request_id=row.request_id,
        from_at=row.from_at,
        to_at=row.to_at,
    )
