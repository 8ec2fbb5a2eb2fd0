"""Addresses: canonical forms, gateways, pools, and the search for a free one."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironlane.model.addresses import (
    check_gateway,
    check_pools,
    default_gateway,
    default_pools,
    eui64,
    first_free,
    host_range,
    parse_address,
    parse_cidr,
    pool_size,
    pool_slice,
    windows,
)
from ironlane.model.errors import Conflict, Invalid
from ironlane.model.network import Pool


@pytest.mark.parametrize(
    ("cidr", "first", "last", "pools"),
    [
        ("192.0.2.0/24", "192.0.2.1", "192.0.2.254", [("192.0.2.2", "192.0.2.254")]),
        ("192.0.2.0/30", "192.0.2.1", "192.0.2.2", [("192.0.2.2", "192.0.2.2")]),
        ("192.0.2.0/31", "192.0.2.0", "192.0.2.1", [("192.0.2.1", "192.0.2.1")]),
        ("192.0.2.7/32", "192.0.2.7", "192.0.2.7", []),
        (
            "2001:db8::/64",
            "2001:db8::1",
            "2001:db8::ffff:ffff:ffff:ffff",
            [("2001:db8::2", "2001:db8::ffff:ffff:ffff:ffff")],
        ),
        ("2001:db8::/127", "2001:db8::", "2001:db8::1", [("2001:db8::1", "2001:db8::1")]),
    ],
)
def test_defaults(cidr: str, first: str, last: str, pools: list[tuple[str, str]]) -> None:
    net = ip_network(cidr)
    assert tuple(map(str, host_range(net))) == (first, last)
    assert str(default_gateway(net)) == first
    assert default_pools(net, default_gateway(net)) == tuple(Pool(*pool) for pool in pools)


def test_pools_leave_out_a_gateway_in_the_middle() -> None:
    net = ip_network("192.0.2.0/29")
    assert default_pools(net, ip_address("192.0.2.3")) == (
        Pool("192.0.2.1", "192.0.2.2"),
        Pool("192.0.2.4", "192.0.2.6"),
    )
    assert default_pools(net, None) == (Pool("192.0.2.1", "192.0.2.6"),)


def test_canonical_forms() -> None:
    assert str(parse_cidr("192.0.2.9/24", where="cidr")) == "192.0.2.0/24"
    assert str(parse_cidr("2001:DB8:0::/64", where="cidr", version=6)) == "2001:db8::/64"
    assert str(parse_address("2001:DB8::0:1", where="x")) == "2001:db8::1"


@pytest.mark.parametrize("text", ["fe80::1%eth0", "1.2.3", "", "192.0.2.1/24"])
def test_malformed_address(text: str) -> None:
    with pytest.raises(Invalid, match="ip_address"):
        parse_address(text, where="ip_address")


def test_gateway() -> None:
    net = ip_network("2001:db8::/64")
    check_gateway(ip_address("fe80::1"), net, where="gateway_ip")
    with pytest.raises(Invalid, match="gateway_ip"):
        check_gateway(ip_address("2001:db8::"), net, where="gateway_ip")


def test_pools_come_out_sorted() -> None:
    net = ip_network("192.0.2.0/24")
    pools = [Pool("192.0.2.20", "192.0.2.30"), Pool("192.0.2.2", "192.0.2.10")]
    assert check_pools(pools, net, None, where="p") == (pools[1], pools[0])
    with pytest.raises(Conflict, match=r"overlap at 192\.0\.2\.10"):
        check_pools([*pools, Pool("192.0.2.10", "192.0.2.11")], net, None, where="p")


def test_stateless_address() -> None:
    # RFC 4291 appendix A: insert fffe, flip the universal/local bit.
    assert eui64(ip_network("2001:db8::/64"), "52:54:00:12:34:56") == "2001:db8::5054:ff:fe12:3456"
    with pytest.raises(Invalid, match="/64"):
        eui64(ip_network("2001:db8::/56"), "52:54:00:12:34:56")


def test_slices_go_across_pools() -> None:
    pools = [Pool("192.0.2.2", "192.0.2.4"), Pool("192.0.2.10", "192.0.2.12")]
    assert pool_size(pools) == 6
    assert pool_slice(pools, 2, 4) == ["192.0.2.4", "192.0.2.10"]
    assert pool_slice(pools, 5, 99) == ["192.0.2.12"]


def test_a_huge_pool_costs_no_more_than_a_small_one() -> None:
    pools = default_pools(ip_network("2001:db8::/64"), None)
    assert next(iter(windows(pools, 0)))[0] == "2001:db8::1"
    assert len(next(iter(windows(pools, 10**9)))) == 16


@given(st.sets(st.integers(0, 1299), max_size=1300), st.integers(0, 1))
def test_a_free_address_is_found_whenever_there_is_one(positions: set[int], full: int) -> None:
    pools = [Pool("10.0.0.0", "10.0.2.255"), Pool("10.0.8.0", "10.0.10.19")]
    every = pool_slice(pools, 0, pool_size(pools))
    taken = {every[position] for position in positions if position < len(every)} if not full else set(every)
    found = next(filter(None, (first_free(window, taken) for window in windows(pools, len(taken)))), None)
    if len(taken) == len(every):
        assert found is None
    else:
        assert found in set(every) - taken


@given(st.integers(0, 2000), st.integers(0, 1300))
def test_windows_cover_every_address_once(taken: int, size: int) -> None:
    pools = [Pool("10.0.0.0", str(ip_address("10.0.0.0") + size))]
    seen = [address for window in windows(pools, taken) for address in window]
    assert sorted(seen) == sorted(pool_slice(pools, 0, size + 1))
