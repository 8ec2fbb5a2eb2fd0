"""Query strings of list requests: which filters, which order, which page, which fields.

The rules are OpenStack's API guidelines as Neutron keeps them: repeated values of a filter are alternatives, different
filters all hold, `sort_key` and `sort_dir` come in pairs, `marker` and `limit` cut pages. A filter that means nothing
is refused, because ignoring it would answer a question that nobody asked; a field that means nothing is just not there
(the `openstack` command asks for those of every extension it knows).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, NamedTuple

from ironlane.model.errors import Invalid
from ironlane.model.link import normal_mac
from ironlane.store.listing import Listing, TagRule

TAG_PARAMETERS: Mapping[str, TagRule] = {
    "tags": "all",
    "tags-any": "any",
    "not-tags": "not-all",
    "not-tags-any": "not-any",
}
_STANDARD = TAG_PARAMETERS.keys() | {"changed_since"}
_PAGING = frozenset({"limit", "marker", "page_reverse", "sort_key", "sort_dir", "fields"})
_INTEGER_MAX = 2**31 - 1
_TEXT_MAX = 1024
_VALUES_MAX = 500
_TAGS_MAX = 100
"""Tags of one rule at the most: each is a condition of its own, and no database takes any number of them."""

Convert = Callable[[str, str], Any]
"""From a filter's text, and the parameter's name for complaints, to what the column holds."""


def text(value: str, _where: str) -> str:
    return value


def flag(value: str, where: str) -> bool:
    """A boolean, in the spellings that Neutron takes."""
    try:
        return {"true": True, "1": True, "t": True, "yes": True, "false": False, "0": False, "f": False, "no": False}[
            value.lower()
        ]
    except KeyError:
        raise Invalid(f"{value!r} is not a boolean", field=where) from None


def integer(value: str, where: str) -> int:
    """A number from 0 to 2147483647."""
    if not value.isascii() or not value.isdigit() or len(value) > 10 or int(value) > _INTEGER_MAX:
        raise Invalid(f"{value[:80]!r} is not a number from 0 to {_INTEGER_MAX}", field=where)
    return int(value)


def mac(value: str, where: str) -> str:
    """A MAC address in canonical form."""
    return normal_mac(value, where=where)


def address(value: str, where: str) -> str:
    """An IP address in canonical form."""
    try:
        return str(ip_address(value))
    except ValueError:
        raise Invalid(f"{value!r} is not a valid IP address", field=where) from None


class Attribute(NamedTuple):
    """One attribute of a collection's items, as query strings may use it."""

    column: str
    convert: Convert = text


@dataclass(frozen=True, slots=True)
class Collected:
    """What a query string asked for. `special` are the parameters that only the collection itself understands."""

    listing: Listing
    fields: frozenset[str] = frozenset()
    special: Mapping[str, Sequence[str]] = field(default_factory=dict)


def parse(
    pairs: Sequence[tuple[str, str]],
    attributes: Mapping[str, Attribute],
    *,
    special: Collection[str] = (),
    standard: bool = True,
    page_limit: int | None = None,
) -> Collected:
    """Understand the parameters of a list request.

    Args:
        pairs: names and values as they came.
        attributes: what may be filtered and sorted by.
        special: parameters to hand back as they are.
        standard: the items have what Neutron calls standard attributes: tags, and times of their making and changing.
        page_limit: items on a page at the most, whatever the client says; None: all of them.

    Raises:
        Invalid: an unknown parameter, or a value of the wrong type; `field` is the parameter.
    """
    given: dict[str, list[str]] = {}
    for name, value in pairs:
        if "\0" in value or len(value) > _TEXT_MAX:
            raise Invalid("is too long or contains NUL", field=name[:_TEXT_MAX])
        given.setdefault(name, []).append(value)
        if len(given[name]) > _VALUES_MAX:
            raise Invalid(f"has more than {_VALUES_MAX} values", field=name)
    known = attributes.keys() | _PAGING | set(special) | (_STANDARD if standard else set())
    unknown = sorted(given.keys() - known)
    if unknown:
        raise Invalid(f"[{', '.join(unknown)}] is invalid attribute for filtering", field=unknown[0])
    listing = Listing(
        equal=_equal(given, attributes),
        order=_order(given, attributes),
        limit=_limit(given, page_limit),
        marker=given["marker"][-1] if given.get("marker", [""])[-1] else None,
        reverse=flag(given.get("page_reverse", ["false"])[-1], "page_reverse"),
        tags={rule: _tags(given[name], name) for name, rule in TAG_PARAMETERS.items() if name in given},
        changed_since=_moment(given["changed_since"][-1]) if "changed_since" in given else None,
    )
    wished = frozenset(name for name in given.get("fields", ()) if name)
    return Collected(listing, wished, {name: given[name] for name in special if name in given})


def _equal(given: Mapping[str, list[str]], attributes: Mapping[str, Attribute]) -> dict[str, list[Any]]:
    """Values for each column; when a column goes by two names (`tenant_id`, `project_id`), both conditions hold."""
    found: dict[str, list[Any]] = {}
    for name, attribute in attributes.items():
        if name in given:
            values = [attribute.convert(value, name) for value in given[name]]
            before = found.get(attribute.column, values)
            found[attribute.column] = [value for value in values if value in before]
    return found


def _order(given: Mapping[str, list[str]], attributes: Mapping[str, Attribute]) -> list[tuple[str, bool]]:
    """Columns to sort by. One that is named again orders nothing any more, and would cost the database as much."""
    keys = given.get("sort_key", [])
    directions = given.get("sort_dir", ["asc"] * len(keys))
    if len(keys) != len(directions):
        raise Invalid("the number of sort_keys and sort_dirs must be the same", field="sort_dir")
    order: dict[str, bool] = {}
    for key, direction in zip(keys, directions, strict=True):
        if key not in attributes:
            raise Invalid(f"[{key}] is invalid attribute for sort_keys", field="sort_key")
        if direction not in {"asc", "desc"}:
            raise Invalid(f"{direction!r} is neither asc nor desc", field="sort_dir")
        order.setdefault(attributes[key].column, direction == "desc")
    return list(order.items())


def _limit(given: Mapping[str, list[str]], page_limit: int | None) -> int | None:
    wished = integer(given["limit"][-1], "limit") if "limit" in given else 0
    # As in Neutron: 0 is "no limit of mine".
    return min(filter(None, (wished, page_limit)), default=None)


def _tags(values: Sequence[str], where: str) -> list[str]:
    found = sorted({tag for value in values for tag in value.split(",") if tag})
    if len(found) > _TAGS_MAX:
        raise Invalid(f"has more than {_TAGS_MAX} tags", field=where)
    return found


def _moment(value: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # the latter of what is before year 1 or after year 9999 in UTC
        raise Invalid(f"{value!r} is not a time such as 2026-01-31T12:00:00Z", field="changed_since") from None
