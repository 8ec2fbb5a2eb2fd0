"""The OpenConfig leaves that say what ports carry, as text and without an encoding: "" is a leaf that is absent.

What XML (NETCONF) and JSON (gNMI) have in common. `meaning` reads them, `edit` writes them; the encodings translate
them from and to the wire and know nothing of port configs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ironlane.model.fabric import Lag, LagMode, PortConfig, PortMode

_SHORTEST_RANGE = 3  # "7..8" is no shorter than "7" and "8"


@dataclass(frozen=True, slots=True)
class SwitchedVlan:
    """openconfig-vlan: `switched-vlan/config` of a port or of an aggregate interface."""

    mode: str = ""
    access: str = ""
    native: str = ""
    trunk: tuple[str, ...] = ()
    """VLAN ids and ranges ("7..9")."""

    @classmethod
    def of(cls, config: PortConfig) -> SwitchedVlan:
        """The native VLAN of a trunk is also among the VLANs that the trunk may carry: the list limits both kinds, and
        an empty one would mean all VLANs."""
        untagged = "" if config.untagged is None else str(config.untagged)
        if config.mode is PortMode.ACCESS:
            return cls(config.mode.name, access=untagged)
        return cls(config.mode.name, native=untagged, trunk=tuple(ranges(config.vlans)))


@dataclass(frozen=True, slots=True)
class Interface:
    """An entry of openconfig-interfaces, port or aggregate, with what other modules add to it."""

    description: str = ""
    enabled: str = ""
    aggregate_id: str = ""
    """The aggregate interface that the port is a member of."""
    on_port: SwitchedVlan | None = None
    lag_type: str = ""
    min_links: str = ""
    on_lag: SwitchedVlan | None = None


@dataclass(frozen=True, slots=True)
class Lacp:
    """An entry of openconfig-lacp, by the name of the aggregate interface."""

    mode: str = ""
    interval: str = ""
    fallback: str = ""

    @classmethod
    def of(cls, lag: Lag) -> Lacp | None:
        """None for a static LAG, which has no such entry. `fallback` only where it is wished for: a switch of before
        openconfig-lacp 2.1.0 (September 2024) does not know the leaf."""
        if lag.mode is LagMode.STATIC:
            return None
        return cls("ACTIVE", lag.rate.name, "true" if lag.fallback else "")


@dataclass(frozen=True, slots=True)
class VlanEntry:
    """An entry of a network instance's `vlans`."""

    vlan_id: str
    status: str = ""

    @property
    def forwards(self) -> bool:
        return self.status != "SUSPENDED"


def ranges(vlans: Iterable[int]) -> list[str]:
    """VLAN ids in order, runs as openconfig-vlan-types:vlan-range: {1, 7, 8, 9} → ["1", "7..9"]."""
    runs: list[list[int]] = []
    for vlan in sorted(vlans):
        if runs and vlan == runs[-1][-1] + 1:
            runs[-1].append(vlan)
        else:
            runs.append([vlan])
    texts = []
    for run in runs:
        texts += [f"{run[0]}..{run[-1]}"] if len(run) >= _SHORTEST_RANGE else [str(vlan) for vlan in run]
    return texts
