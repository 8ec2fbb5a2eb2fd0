"""What a switch with a command line is configured with, and what its ports forward by it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from ironlane.lab.forwarding import LagMembership, PortForwarding

DEFAULT_VLAN = 1
ALL_VLANS = frozenset(range(1, 4095))


@dataclass
class Interface:
    """A port or a LAG. `access`, `native` None: no VLAN. `group` is the LAG that a port is a member of."""

    up: bool = True
    description: str = ""
    switched: bool = True
    mode: str = "access"
    access: int | None = DEFAULT_VLAN
    native: int | None = DEFAULT_VLAN
    allowed: frozenset[int] = ALL_VLANS
    group: int | None = None
    group_mode: str = ""
    """Of a member, or of the LAG, as the platform says it."""
    rate: str = ""
    min_links: int = 1
    fallback: bool = False
    mlag: int | None = None
    """Of a LAG: the id by which the MLAG peer knows it."""

    def carried(self, defined: Iterable[int]) -> tuple[int | None, frozenset[int]]:
        """(VLAN of untagged frames, tagged VLANs). Only defined VLANs are forwarded."""
        vlans = frozenset(defined)
        if not self.switched:
            return None, frozenset()
        if self.mode == "access":
            return (self.access if self.access in vlans else None), frozenset()
        carried = self.allowed & vlans
        return (self.native if self.native in carried else None), carried - {self.native}

    def same_vlans(self, other: Interface) -> bool:
        """Whether the two would carry the same."""
        return self.switched == other.switched and self.carried(ALL_VLANS) == other.carried(ALL_VLANS)


@dataclass
class Config:
    """`vlans`: defined VLANs and their names."""

    interfaces: dict[str, Interface] = field(default_factory=dict)
    vlans: dict[int, str] = field(default_factory=dict)

    def members(self, number: int) -> list[Interface]:
        return [interface for interface in self.interfaces.values() if interface.group == number]


def forwarding(
    config: Config,
    ports: Iterable[str],
    lag_name: Callable[[int], str],
    *,
    suspend_unequal: bool = False,
    tells_mlag: bool = True,
) -> Mapping[str, PortForwarding]:
    """How each port forwards.

    `suspend_unequal`: a member that carries something else than its LAG does not. `tells_mlag`: the LAGs that go on at
    a peer are told by an id; without, a lab pair goes by their numbers.
    """
    found = {}
    for name in ports:
        port = config.interfaces[name]
        if port.group is None:
            found[name] = PortForwarding(port.up, *port.carried(config.vlans))
            continue
        lag = config.interfaces[lag_name(port.group)]
        lacp = (port.group_mode or lag.group_mode) == "active"
        fallback = lacp and (lag.fallback or port.fallback)
        membership = LagMembership(port.group, lacp, fallback, lag.min_links, lag.mlag, tells_mlag and lag.mlag is None)
        up = port.up and lag.up and not (suspend_unequal and not port.same_vlans(lag))
        found[name] = PortForwarding(up, *lag.carried(config.vlans), membership)
    return found


def parse_list(text: str, first: int = 1, last: int = 4094) -> frozenset[int] | None:
    """`1,3-5` → {1, 3, 4, 5}; None if it is malformed or out of range."""
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part)
        if match is None:
            return None
        low, high = int(match[1]), int(match[2] or match[1])
        if not first <= low <= high <= last:
            return None
        found.update(range(low, high + 1))
    return frozenset(found)


def list_text(vlans: Iterable[int]) -> str:
    """{1, 3, 4, 5} → `1,3-5`, as switches show it."""
    ordered = sorted(vlans)
    parts: list[str] = []
    start = 0
    for at in range(1, len(ordered) + 1):
        if at == len(ordered) or ordered[at] != ordered[at - 1] + 1:
            first, last = ordered[start], ordered[at - 1]
            parts.append(str(first) if first == last else f"{first}-{last}")
            start = at
    return ",".join(parts)
