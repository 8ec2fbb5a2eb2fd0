"""What the demo asserts about frames: who may reach whom, at the end of a phase and at any moment of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ironlane.lab.reach import Reach

Pair = tuple[str, str]


@dataclass(slots=True)
class Tenancy:
    """Which server is whose; the groups that the matrix is printed by. `services` are endpoints of the conductor."""

    tenants: Mapping[str, tuple[str, ...]]
    services: Mapping[str, str]
    """Endpoint of the services host to what the group is called."""

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        return {name: (endpoint,) for endpoint, name in self.services.items()} | dict(self.tenants)

    def expected(self, *, deployed: bool) -> frozenset[Pair]:
        """The pairs that reach each other when all work is done: within a tenant, once deployed; else nobody."""
        if not deployed:
            return frozenset()
        return frozenset((a, b) for members in self.tenants.values() for a in members for b in members if a != b)


@dataclass(slots=True)
class Sampler:
    """Judges measurements taken while servers move: nobody is on both sides of the wall, or with two tenants."""

    tenancy: Tenancy
    samples: int = 0
    pairs_seen: set[Pair] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)

    def take(self, reach: Reach) -> None:
        """Look at one measurement."""
        self.samples += 1
        pairs = reach.pairs()
        self.pairs_seen |= pairs
        services = set(self.tenancy.services)
        provider = {server for server, other in pairs if other in services} - services
        provider |= {server for other, server in pairs if other in services} - services
        owner = {server: tenant for tenant, members in self.tenancy.tenants.items() for server in members}
        for a, b in sorted(pairs):
            if a in services or b in services:
                continue
            if (a in provider) != (b in provider):
                self.violations.append(f"I1: {a} reached {b} across the wall between provisioning and tenant networks")
            elif a not in provider and owner[a] != owner[b]:
                self.violations.append(f"I3: {a} of {owner[a]} reached {b} of {owner[b]}")

    def reached_by_services(self) -> int:
        """How many servers were on a provider network at some moment."""
        return len({b for a, b in self.pairs_seen if a in self.tenancy.services})


def count(pairs: Iterable[Pair], sources: tuple[str, ...], targets: tuple[str, ...]) -> tuple[int, int]:
    """How many of the possible pairs between two groups reach: `(measured, possible)`."""
    measured = set(pairs)
    possible = [(a, b) for a in sources for b in targets if a != b]
    return sum(pair in measured for pair in possible), len(possible)
