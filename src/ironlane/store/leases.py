"""Who may act: conductors, and what they own.

A conductor's lease is one row that it renews by heartbeat; what it owns names it and its epoch. So owning ten thousand
nodes costs one write per heartbeat, and an owner whose lease ran out, or who was restarted, can record nothing more:
each of its writes asks `holds` in the same transaction.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from ironlane.store.database import Tx
from ironlane.store.prepared import Prepared
from ironlane.store.tables import conductors


@dataclass(frozen=True, slots=True)
class Membership:
    """What a conductor tells about itself. `drivers`: `[{name, required, properties}]` of its power drivers."""

    hostname: str
    drivers: Sequence[dict[str, Any]]
    conductor_group: str = ""
    cleaning_network: str = ""
    provisioning_network: str = ""


@dataclass(frozen=True, slots=True)
class Lease:
    """A conductor in one of its lives; `epoch` grows with every start."""

    hostname: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Member:
    """A live conductor, as the ring needs it."""

    hostname: str
    conductor_group: str
    drivers: frozenset[str]


def join(tx: Tx, member: Membership) -> Lease:
    """A conductor starts: it gets a new epoch, and all that its former life owned is free to be claimed."""
    values = {
        "conductor_group": member.conductor_group,
        "drivers": list(member.drivers),
        "cleaning_network": member.cleaning_network,
        "provisioning_network": member.provisioning_network,
        "online": True,
        "heartbeat_at": tx.now,
        "updated_at": tx.now,
    }
    row = tx.one(sa.select(conductors.c.epoch).where(conductors.c.hostname == member.hostname))
    if row is None:
        tx.execute(sa.insert(conductors).values(hostname=member.hostname, epoch=1, created_at=tx.now, **values))
        return Lease(member.hostname, 1)
    epoch = row.epoch + 1
    tx.execute(sa.update(conductors).where(conductors.c.hostname == member.hostname).values(epoch=epoch, **values))
    return Lease(member.hostname, epoch)


def renew(tx: Tx, lease: Lease) -> bool:
    """Heartbeat. False when another life of this conductor has begun: this one must stop."""
    result = tx.execute(
        sa.update(conductors)
        .where(conductors.c.hostname == lease.hostname, conductors.c.epoch == lease.epoch)
        .values(heartbeat_at=tx.now, online=True, updated_at=tx.now)
    )
    return result.rowcount == 1


def leave(tx: Tx, lease: Lease) -> None:
    """A conductor stops in order: what it owned is free at once."""
    tx.execute(
        sa.update(conductors)
        .where(conductors.c.hostname == lease.hostname, conductors.c.epoch == lease.epoch)
        .values(online=False, updated_at=tx.now)
    )


def live(tx: Tx, ttl: timedelta) -> list[Member]:
    """The conductors whose lease has not run out, by name."""
    rows = tx.all(
        sa.select(conductors)
        .where(conductors.c.online, conductors.c.heartbeat_at > tx.now - ttl)
        .order_by(conductors.c.hostname)
    )
    return [Member(r.hostname, r.conductor_group, frozenset(d["name"] for d in r.drivers)) for r in rows]


def claim(tx: Tx, table: sa.Table, ident: str, lease: Lease, ttl: timedelta) -> bool:
    """Make the conductor the owner of a row of `nodes` or `switches`, unless a live one owns it."""
    row = tx.execute(_owner(table), {"id": ident}).one_or_none()
    if row is None or not _alive(tx, lease.hostname, lease.epoch, tx.now - ttl):
        return False
    if (row.conductor, row.conductor_epoch) == (lease.hostname, lease.epoch):
        return True
    foreign = row.conductor is not None and row.conductor != lease.hostname
    if foreign and _alive(tx, row.conductor, row.conductor_epoch, tx.now - ttl):
        return False
    tx.execute(
        sa.update(table).where(table.c.id == ident).values(conductor=lease.hostname, conductor_epoch=lease.epoch)
    )
    return True


def release(tx: Tx, table: sa.Table, ident: str, lease: Lease) -> None:
    """Give up a row of `nodes` or `switches` that the ring gives to another: nobody may claim it while it is ours."""
    ours = (table.c.conductor == lease.hostname) & (table.c.conductor_epoch == lease.epoch)
    tx.execute(sa.update(table).where(table.c.id == ident, ours).values(conductor=None, conductor_epoch=None))


def holds(tx: Tx, table: sa.Table, ident: str, lease: Lease) -> bool:
    """Whether the conductor still owns the row, in this life of it."""
    named = {"id": ident, "hostname": lease.hostname, "epoch": lease.epoch}
    return tx.execute(_held(table), named).one_or_none() is not None


# Statements of every round are made once: making one takes three times as long as running it.
@functools.cache
def _owner(table: sa.Table) -> Prepared:
    return Prepared(sa.select(table.c.conductor, table.c.conductor_epoch).where(table.c.id == sa.bindparam("id")))


@functools.cache
def _held(table: sa.Table) -> Prepared:
    """A row and its owner's lease, both in the same life."""
    same_life = (conductors.c.hostname == table.c.conductor) & (conductors.c.epoch == table.c.conductor_epoch)
    return Prepared(
        sa.select(table.c.id)
        .join_from(table, conductors, same_life)
        .where(
            table.c.id == sa.bindparam("id"),
            table.c.conductor == sa.bindparam("hostname"),
            table.c.conductor_epoch == sa.bindparam("epoch"),
        )
    )


_ALIVE = Prepared(
    sa.select(conductors.c.hostname).where(
        conductors.c.hostname == sa.bindparam("hostname"),
        conductors.c.epoch == sa.bindparam("epoch"),
        conductors.c.online,
        conductors.c.heartbeat_at > sa.bindparam("since"),
    )
)


def _alive(tx: Tx, hostname: str, epoch: int, since: datetime) -> bool:
    named = {"hostname": hostname, "epoch": epoch, "since": since}
    return tx.execute(_ALIVE, named).one_or_none() is not None


def due(tx: Tx, table: sa.Table, *, waiting: bool = False, limit: int = 1000) -> list[str]:
    """Ids of rows of `nodes` or `switches` that are due by now, longest waiting first.

    With `waiting` also those that are to be looked at later: a conductor that starts looks at everything unfinished.
    """
    soon = table.c.due_at.is_not(None) if waiting else table.c.due_at <= tx.now
    return list(tx.execute(sa.select(table.c.id).where(soon).order_by(table.c.due_at).limit(limit)).scalars())
