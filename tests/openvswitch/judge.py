"""What the record of a probe says about servers that moved: on which network each was and when, and what was wrong.

The witnesses of `site` stand on one network each for good, so a frame between a server and a witness shows the network
that the server was on right then. Frames are ordered by the kernel's time of arrival, to the microsecond.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .probe import Arrival
from .site import PROVIDER_VLANS, WITNESSES

WINDOW = 0.05
"""Seconds that must lie between a server's last frame on one network and its first on the next. That is five rounds of
probes: had both been open at once, however shortly, frames of both would have come that close, or mixed up. What
Ironlane does in between (the driver's wait for the datapath, the read-back, the next commit) takes 0.1 s and more;
a frame may come late by what it waited in a leaf."""

SLACK = 0.1
"""Seconds before the first and after the last frame with a witness in which frames of other servers on the same network
may have come: the order of sending within a round, and queues."""


@dataclass(frozen=True, slots=True)
class Stay:
    """One server on one network, without a break in which it was on another."""

    network: str
    first: float
    last: float
    frames: int


def stays(arrivals: Iterable[Arrival], server: str) -> list[Stay]:
    """The networks that a server was seen on, in order. If it was on two at once, they alternate."""
    found: list[Stay] = []
    for arrival in sorted(arrivals, key=lambda a: a.received):
        if server not in {arrival.sender, arrival.receiver}:
            continue
        network = arrival.receiver if arrival.sender == server else arrival.sender
        if network not in WITNESSES:
            continue
        at = arrival.received
        if found and found[-1].network == network:
            found[-1] = Stay(network, found[-1].first, at, found[-1].frames + 1)
        else:
            found.append(Stay(network, at, at, 1))
    return found


def violations(
    arrivals: Sequence[Arrival], tenants: Mapping[str, str], lives: Mapping[str, Sequence[str]]
) -> list[str]:
    """Everything that should not have been seen, in a sentence each; `tenants` and `lives` are by server.

    * A server is seen on the networks of its life (`lives`) in that order, each left before the next is joined, with
      `WINDOW` between them.
    * Two servers hear each other only while both are on one network.
    * A NIC that is not the primary one is heard, and hears, on the tenant's network only.
    """
    seen = {server: stays(arrivals, server) for server in tenants}
    found = []
    for server, life in lives.items():
        order = [stay.network for stay in seen[server]]
        if order != list(life):
            found.append(f"{server} was on {_shortened(order)}, not on {list(life)}")
        for before, after in zip(seen[server], seen[server][1:], strict=False):
            if after.first - before.last < WINDOW:
                gap = (after.first - before.last) * 1000
                found.append(f"{server} went from {before.network} to {after.network} within {gap:.1f} ms")
    for arrival in arrivals:
        ends = ((arrival.sender, arrival.sender_nic), (arrival.receiver, arrival.receiver_nic))
        places = [_places(seen, server, arrival.received) for server, _ in ends]
        if not places[0] & places[1]:
            found.append(f"{_named(arrival)}, which were on {sorted(places[0])} and {sorted(places[1])}")
        for server, nic in ends:
            if server in tenants and nic != "eth0" and tenants[server] not in places[0] & places[1]:
                found.append(f"{_named(arrival)}: not the primary NIC of {server}, and not on its tenant's network")
    return found


def _places(seen: Mapping[str, Sequence[Stay]], server: str, at: float) -> set[str]:
    """Where a server (or a witness) was at a time."""
    if server in WITNESSES:
        return {server}
    return {stay.network for stay in seen[server] if stay.first - SLACK <= at <= stay.last + SLACK}


def _named(arrival: Arrival) -> str:
    ends = f"{arrival.sender}/{arrival.sender_nic} reached {arrival.receiver}/{arrival.receiver_nic}"
    return f"{ends} at {arrival.received:.4f} s"


def _shortened(order: Sequence[str]) -> str:
    return f"{list(order[:12])} and {len(order) - 12} more" if len(order) > 12 else str(list(order))


def narrowest(arrivals: Sequence[Arrival], servers: Iterable[str]) -> float:
    """The shortest time, in seconds, that a server took from a provider network to its tenant's or back."""
    gaps = []
    for server in servers:
        found = stays(arrivals, server)
        gaps += [
            after.first - before.last
            for before, after in itertools.pairwise(found)
            if (before.network in PROVIDER_VLANS) is not (after.network in PROVIDER_VLANS)
        ]
    return min(gaps)
