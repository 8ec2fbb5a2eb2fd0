"""What a virtual switch is told about each of its ports: the seam between its control plane and its data plane."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LagMembership:
    """The LAG that a port is a member of.

    `number` is the LAG's id, equal on both switches of an MLAG pair; it is also the LACP key. `lacp` False is a static
    LAG. `fallback`: one member forwards while no partner speaks LACP. With fewer than `min_links` members that could
    forward, none does.

    Some switches of a pair are told which LAGs go on at the peer: `mlag` is the id by which the two know such a LAG,
    and a LAG without one is `alone`: it ends on this switch, which speaks for itself then. Others go by the number.
    """

    number: int
    lacp: bool
    fallback: bool = False
    min_links: int = 1
    mlag: int | None = None
    alone: bool = False


@dataclass(frozen=True, slots=True)
class PortForwarding:
    """How one front port forwards. The default is a port that is shut.

    `pvid` is the VLAN of untagged frames, both ways; None drops them. `tagged` are the VLANs carried with an 802.1Q
    tag. For a LAG member `pvid` and `tagged` are those of the LAG.
    """

    enabled: bool = False
    pvid: int | None = None
    tagged: frozenset[int] = frozenset()
    lag: LagMembership | None = None

    @property
    def vlans(self) -> frozenset[int]:
        """All VLANs that the port lets through, tagged or not; none while it is shut."""
        if not self.enabled:
            return frozenset()
        return self.tagged if self.pvid is None else self.tagged | {self.pvid}
