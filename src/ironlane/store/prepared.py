"""Statements of the hot paths: compiled once, and on SQLite run without SQLAlchemy's work for each execution.

SQLAlchemy looks every execution up in a cache, checks its parameters, and makes a context and a result for it: some
40 µs, where SQLite itself takes 5. Moving a server takes about forty statements, so that is a good part of its time
(ADR 17). A prepared statement is still written in SQLAlchemy's language and compiled by it, types and all; only the
execution is ours. On PostgreSQL and MariaDB it is executed by SQLAlchemy as any other.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

import sqlalchemy as sa

Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]]
_Convert = Callable[[Any], Any] | None
T = TypeVar("T")


class Rows:
    """What came of a statement: the part of SQLAlchemy's `CursorResult` that is used here."""

    __slots__ = ("_rows", "rowcount")

    def __init__(self, rows: list[Any], rowcount: int) -> None:
        self._rows = rows
        self.rowcount = rowcount
        """Rows that an UPDATE or DELETE found."""

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def all(self) -> list[Any]:
        return self._rows

    def scalars(self) -> list[Any]:
        """The first column of each row."""
        return [row[0] for row in self._rows]

    def one_or_none(self) -> Any | None:
        """The only row, or None when there is none.

        Raises:
            sqlalchemy.exc.MultipleResultsFound: there are several.
        """
        if len(self._rows) > 1:
            raise sa.exc.MultipleResultsFound(f"{len(self._rows)} rows where one was expected")
        return self._rows[0] if self._rows else None

    def one(self) -> Any:
        """The only row.

        Raises:
            sqlalchemy.exc.NoResultFound, sqlalchemy.exc.MultipleResultsFound: there is none, or there are several.
        """
        row = self.one_or_none()
        if row is None:
            raise sa.exc.NoResultFound("no row where one was expected")
        return row

    def scalar_one(self) -> Any:
        """The only row's first column; raises as `one`."""
        return self.one()[0]

    def scalar_one_or_none(self) -> Any | None:
        """The only row's first column, or None when there is no row; raises as `one_or_none`."""
        row = self.one_or_none()
        return None if row is None else row[0]


class Meaning(Generic[T]):
    """What rows of a statement stand for; on SQLite remembered by what is in them.

    The fabric loop reads the same rows over and over: every port of a switch for each of its commits. Making an object
    of a row takes ten times as long as finding the one that was made of an equal row.

    Args:
        make: row → object. Pure, and the object is immutable, with all that is in it: everybody gets the same one.
        most: how many are remembered.
    """

    def __init__(self, make: Callable[[Any], T], most: int = 8192) -> None:
        self.make = make
        self._most = most
        self._remembered: dict[tuple[str, ...], Callable[[tuple[Any, ...]], T]] = {}

    def of(self, columns: tuple[str, ...], row: Callable[[tuple[Any, ...]], Any]) -> Callable[[tuple[Any, ...]], T]:
        """What makes an object of what the database gives for these columns; `row` makes a row of it."""

        def made(values: tuple[Any, ...]) -> T:
            return self.make(row(values))

        return self._remembered.setdefault(columns, lru_cache(self._most)(made))


class _Slot(NamedTuple):
    """Where the value for one `?` comes from: a parameter (or the `item` of a list), or a constant."""

    name: str | None
    item: int | None
    convert: _Convert
    constant: Any


class _Form(NamedTuple):
    """A statement's SQL for certain parameters and lengths of lists."""

    sql: str
    slots: tuple[_Slot, ...]
    row: Callable[[tuple[Any, ...]], Any] | None
    """Makes a row, or what it means, of what the database gives; None where there are no rows."""


class Prepared:
    """One statement, with `bindparam`s for all that varies. With a `meaning`, its rows are what that makes of them."""

    def __init__(self, statement: sa.Executable, meaning: Meaning[Any] | None = None) -> None:
        self.statement = statement
        self._meaning = meaning
        self._lists: tuple[str, ...] | None = None
        self._forms: dict[tuple[Any, ...], _Form] = {}

    def run(self, connection: sa.Connection, parameters: Parameters) -> sa.CursorResult[Any] | Rows:
        """Execute it.

        Raises:
            sqlalchemy.exc.DBAPIError: as SQLAlchemy would.
        """
        raw: Any = connection.connection.dbapi_connection
        if not isinstance(raw, sqlite3.Connection):
            result = connection.execute(self.statement, parameters)
            return result if self._meaning is None else Rows([*map(self._meaning.make, result)], result.rowcount)
        one = parameters if isinstance(parameters, Mapping) else parameters[0]
        form = self._form(connection.dialect, one)
        try:
            if isinstance(parameters, Mapping):
                cursor = raw.execute(form.sql, _values(form, parameters))
            else:
                cursor = raw.executemany(form.sql, [_values(form, each) for each in parameters])
            found = cursor.fetchall() if form.row is not None else []
        except sqlite3.Error as error:
            raise sa.exc.DBAPIError.instance(
                form.sql, None, error, sqlite3.Error, dialect=connection.dialect, hide_parameters=True
            ) from error
        return Rows([] if form.row is None else [*map(form.row, found)], cursor.rowcount)

    def _form(self, dialect: sa.Dialect, parameters: Mapping[str, Any]) -> _Form:
        if self._lists is None:
            binds = self.statement.compile(dialect=dialect).binds  # type: ignore[attr-defined]
            self._lists = tuple(name for name, bind in binds.items() if bind.expanding)
        key = (*parameters, *(_room(len(parameters[name])) for name in self._lists if name in parameters))
        form = self._forms.get(key)
        if form is None:
            form = self._forms[key] = _compiled(self.statement, dialect, parameters, self._meaning)
        return form


def _room(length: int) -> int:
    """Lists are filled up to a power of two, so that there are few forms of a statement."""
    return 0 if length == 0 else 1 << (length - 1).bit_length()


def _values(form: _Form, parameters: Mapping[str, Any]) -> list[Any]:
    values = []
    for name, item, convert, constant in form.slots:
        if name is None:
            values.append(constant)
            continue
        value = parameters[name]
        if item is not None:
            value = value[min(item, len(value) - 1)]  # the last one again: in a list that changes nothing
        values.append(value if convert is None else convert(value))
    return values


def _compiled(
    statement: Any, dialect: sa.Dialect, parameters: Mapping[str, Any], meaning: Meaning[Any] | None
) -> _Form:
    compiled = statement.compile(dialect=dialect, column_keys=list(parameters))
    defaults = _defaults(compiled)
    lists = {
        name: [None] * _room(len(parameters[name]))
        for name, bind in compiled.binds.items()
        if bind.expanding and name in parameters
    }
    state = compiled.construct_expanded_state({**dict.fromkeys(parameters), **lists})
    items = {item: (name, index) for name, own in state.parameter_expansion.items() for index, item in enumerate(own)}
    slots = []
    for place in (state.positional_parameters and state.positiontup) or ():
        name, index = items.get(place, (place, None))
        convert = compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect)
        if name in parameters:
            slots.append(_Slot(name, index, convert, None))
        else:
            value = defaults.get(name, state.parameters[place])
            slots.append(_Slot(None, None, None, value if convert is None else convert(value)))
    return _Form(state.statement, tuple(slots), _row(statement, dialect, meaning))


def _defaults(compiled: Any) -> dict[str, Any]:
    """Values of the columns that an INSERT does not name, as far as they are the same for every row."""
    found = {}
    for column in compiled.insert_prefetch if compiled.isinsert else ():
        if not column.default.is_scalar:
            raise TypeError(f"a prepared INSERT has to name {column.name}")
        found[column.key] = column.default.arg
    return found


def _row(statement: Any, dialect: sa.Dialect, meaning: Meaning[Any] | None) -> Callable[[tuple[Any, ...]], Any] | None:
    """What makes a row of the values that the database gives, by the types of the columns."""
    columns = list(statement.selected_columns) if isinstance(statement, sa.Select) else []
    if not columns:
        return None
    names = tuple(column.key or f"column_{index}" for index, column in enumerate(columns))
    kind: Any = namedtuple("Row", names)  # type: ignore[misc]
    processors = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
    converts = tuple((index, convert) for index, convert in enumerate(processors) if convert is not None)

    def row(values: tuple[Any, ...]) -> Any:
        changed = list(values)
        for index, convert in converts:
            changed[index] = convert(changed[index])
        return kind._make(changed)

    plain: Callable[[tuple[Any, ...]], Any] = row if converts else kind._make
    return plain if meaning is None else meaning.of(names, plain)
