"""Port patterns and VLAN ranges."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ironlane.model.inventory import VlanRange, ranges_problem
from ironlane.site.ranges import expand_ports, parse_vlans

spans = st.tuples(st.integers(0, 200), st.integers(0, 30)).map(lambda pair: (pair[0], pair[0] + pair[1]))
prefixes = st.text("abcXYZ/-._", min_size=1, max_size=8)


@settings(max_examples=40)
@given(prefixes, st.lists(spans, min_size=1, max_size=4), prefixes)
def test_a_pattern_stands_for_every_number_of_its_ranges_in_order(
    before: str, found: list[tuple[int, int]], after: str
) -> None:
    pattern = f"{before}[{','.join(f'{low}-{high}' for low, high in found)}]{after}"
    numbers = itertools.chain.from_iterable(range(low, high + 1) for low, high in found)
    assert expand_ports(pattern) == [f"{before}{number}{after}" for number in numbers if number >= 0]


@settings(max_examples=40)
@given(st.text(max_size=20))
def test_any_text_is_expanded_or_refused(text: str) -> None:
    try:
        names = expand_ports(text)
    except ValueError:
        return
    assert names
    assert all(name == name.strip() and name.isprintable() and 0 < len(name) <= 64 for name in names)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("swp1", ["swp1"]),
        ("swp[01-03]", ["swp01", "swp02", "swp03"]),
        ("e[1-2]/[1,3]", ["e1/1", "e1/3", "e2/1", "e2/3"]),
        ("ethernet 1/1/[9-10]", ["ethernet 1/1/9", "ethernet 1/1/10"]),
    ],
)
def test_patterns(pattern: str, names: list[str]) -> None:
    assert expand_ports(pattern) == names


@pytest.mark.parametrize(
    "pattern", ["", "a[", "a]", "a[]", "a[1-]", "a[2-1]", "a[x]", "a[1-99999]", "[1-999][1-999]", " a"]
)
def test_patterns_that_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        expand_ports(pattern)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(-5, 4100), st.integers(-5, 4100)), max_size=6))
def test_ranges_are_sound_exactly_when_no_vlan_is_invalid_or_named_twice(found: list[tuple[int, int]]) -> None:
    ranges = [VlanRange(*pair) for pair in found]
    vlans = [vlan for span in ranges for vlan in range(span.first, span.last + 1)]
    sound = (
        all(span.first <= span.last for span in ranges)
        and all(1 <= vlan <= 4094 for vlan in vlans)
        and len(vlans) == len(set(vlans))
    )
    assert (ranges_problem(ranges) is None) is sound


@settings(max_examples=40)
@given(st.integers(0, 99999), st.integers(0, 99999))
def test_a_written_range_reads_back(first: int, last: int) -> None:
    assert parse_vlans(str(VlanRange(first, last))) == (first, last)
