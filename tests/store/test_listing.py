"""Pages of a table on every kind of database: order with nulls, markers in both directions, tags."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest
import sqlalchemy as sa

from ironlane.model.errors import Invalid
from ironlane.store.database import Store, Tx
from ironlane.store.listing import Listing, TagRule, page
from ironlane.store.tables import networks

VLANS = [3, None, 1, 3, None, 2]
TAGS = [["a"], ["a,b"], ['a"b', "c%"], ["é"], [], ["a", "c_"]]


def fill(tx: Tx) -> None:
    for number, (vlan, tags) in enumerate(zip(VLANS, TAGS, strict=True)):
        row = {"id": f"n{number}", "segmentation_id": vlan, "tags": tags, "shared": number % 2 == 0}
        tx.execute(sa.insert(networks).values(**row, created_at=tx.now, updated_at=tx.now))


ORDERS: list[tuple[list[tuple[str, bool]], str]] = [
    ([], "012345"),
    ([("segmentation_id", False)], "142503"),
    ([("segmentation_id", True)], "035214"),
    ([("shared", True), ("segmentation_id", False)], "420153"),
    ([("updated_at", False)], "012345"),
]
TAG_RULES: list[tuple[Mapping[TagRule, list[str]], str]] = [
    ({"all": ["a"]}, "05"),
    ({"all": ["a", "c_"]}, "5"),
    ({"all": ["c_"]}, "5"),
    ({"all": ["é"]}, "3"),
    ({"any": ['a"b', "é"]}, "23"),
    ({"not-all": ["a", "c_"]}, "01234"),
    ({"not-any": ["a", "c_"]}, "1234"),
    ({"all": ["b"]}, ""),
    ({"any": ["A", "É", "e", "a "]}, ""),
    *(({rule: []}, "012345") for rule in ("all", "any", "not-all", "not-any")),
]


def walk(tx: Tx, order: list[tuple[str, bool]], limit: int, *, reverse: bool) -> str:
    """The ids of all rows, gathered page by page; backwards, the last page comes first."""
    seen, marker = "", None
    while True:
        rows, more = page(tx, networks, Listing(order=order, limit=limit, marker=marker, reverse=reverse))
        ids = "".join(row.id[1:] for row in rows)
        seen = ids + seen if reverse else seen + ids
        if not more:
            return seen
        marker = rows[0].id if reverse else rows[-1].id


async def test_every_order_can_be_walked(any_store: Store) -> None:
    await any_store.write(fill)
    for order, expected in ORDERS:
        for limit, reverse in itertools.product((1, 2, 4, 6), (False, True)):
            walked = await any_store.read(lambda tx, o=order, n=limit, r=reverse: walk(tx, o, n, reverse=r))
            assert walked == expected, (order, limit, reverse)


async def test_tags(any_store: Store) -> None:
    await any_store.write(fill)
    for tags, expected in TAG_RULES:
        rows, _ = await any_store.read(lambda tx, tags=tags: page(tx, networks, Listing(tags=tags)))
        assert "".join(row.id[1:] for row in rows) == expected, tags


async def test_a_marker_must_exist(store: Store) -> None:
    with pytest.raises(Invalid, match="marker"):
        await store.read(lambda tx: page(tx, networks, Listing(marker="n9")))
