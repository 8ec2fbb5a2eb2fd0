"""Volume connectors and targets as rows: what a server is called by storage, and which volumes it is to have.

They are kept for whoever attaches the volumes (nova and Cinder, which ask here). Ironlane boots no server from them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from ironlane.model.errors import Conflict, NotFound
from ironlane.model.node import VolumeConnector, VolumeTarget
from ironlane.store import access
from ironlane.store.database import Tx
from ironlane.store.tables import volume_connectors, volume_targets
from ironlane.store.vault import from_row

T = TypeVar("T", VolumeConnector, VolumeTarget)


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """One of the two. `unique` are the columns that together belong to one of them; `taken` is what Ironic calls it."""

    noun: str
    table: sa.Table
    model: Callable[..., T]
    unique: tuple[str, str]
    taken: str
    sealed: tuple[str, ...] = ()
    """Columns whose secrets are sealed in the rows."""

    def create(self, tx: Tx, values: Mapping[str, Any]) -> T:
        """A new one. `values` has columns of the table; `id` is made when it is absent.

        Raises:
            Conflict: the UUID, or the values that have to be unique, are another one's.
        """
        ident = values.get("id") or str(uuid.uuid4())
        if self.select(tx, sa.select(self.table).where(self.table.c.id == ident)):
            code = f"{self._name}AlreadyExists"
            raise Conflict(f"A {self.noun} with UUID {ident} already exists.", code=code, field="uuid")
        self._refuse_taken(tx, ident, values)
        tx.execute(sa.insert(self.table).values(**self._columns(tx, {**values, "id": ident, "created_at": tx.now})))
        return self.get(tx, ident)

    def get(self, tx: Tx, ident: str) -> T:
        """The one with this UUID.

        Raises:
            NotFound: there is none.
        """
        seen = access.visible(tx.caller, self.table)
        found = self.select(tx, sa.select(self.table).where(self.table.c.id == ident.lower(), *seen))
        if not found:
            raise NotFound(self.noun, ident)
        return found[0]

    def select(self, tx: Tx, statement: sa.Select[Any]) -> list[T]:
        """Those that a statement on the whole table selects, in its order."""
        return [
            self.model(**{**row._mapping, **{name: from_row(row._mapping[name]) for name in self.sealed}})
            for row in tx.all(statement)
        ]

    def update(self, tx: Tx, before: T, changes: Mapping[str, Any]) -> T:
        """Change columns.

        Raises:
            Conflict: the values that have to be unique are another one's.
        """
        self._refuse_taken(tx, before.id, {name: getattr(before, name) for name in self.unique} | dict(changes))
        values = self._columns(tx, {"updated_at": tx.now, **changes})
        tx.execute(sa.update(self.table).where(self.table.c.id == before.id).values(values))
        return self.get(tx, before.id)

    def delete(self, tx: Tx, ident: str) -> None:
        tx.execute(sa.delete(self.table).where(self.table.c.id == ident))

    @property
    def _name(self) -> str:
        return "".join(word.capitalize() for word in self.noun.split())

    def _columns(self, tx: Tx, values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: tx.vault.to_row(value) if name in self.sealed else value for name, value in values.items()}

    def _refuse_taken(self, tx: Tx, ident: str, values: Mapping[str, Any]) -> None:
        same = [self.table.c[name] == values[name] for name in self.unique]
        if tx.one(sa.select(self.table.c.id).where(*same, self.table.c.id != ident)) is not None:
            told = " and ".join(f"{name} {values[name]}" for name in self.unique if name != "node_id")
            raise Conflict(f"A {self.noun} with {told} already exists.", code=self.taken, field=self.unique[-1])


CONNECTORS: Kind[VolumeConnector] = Kind(
    "volume connector",
    volume_connectors,
    VolumeConnector,
    ("type", "connector_id"),
    "VolumeConnectorTypeAndIdAlreadyExists",
)
TARGETS: Kind[VolumeTarget] = Kind(
    "volume target",
    volume_targets,
    VolumeTarget,
    ("node_id", "boot_index"),
    "VolumeTargetBootIndexAlreadyExists",
    sealed=("properties",),
)


def seal(tx: Tx) -> None:
    """Seal all secrets with the first encryption key, as `nodes.seal`.

    Raises:
        Permanent: one cannot be read, because its key is not there any more.
    """
    for row in tx.all(sa.select(volume_targets.c.id, volume_targets.c.properties)):
        after = tx.vault.renewed_row(row.properties)
        if after != row.properties:
            tx.execute(sa.update(volume_targets).where(volume_targets.c.id == row.id).values(properties=after))


def forget_node(tx: Tx, node_id: str) -> None:
    """The node is deleted: its connectors and targets go with it."""
    for table in (volume_connectors, volume_targets):
        tx.execute(sa.delete(table).where(table.c.node_id == node_id))
