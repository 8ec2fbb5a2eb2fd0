"""Nouns of the fabric: switches, switch ports, what a switch port carries, and who wants it to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, NewType

SwitchId = NewType("SwitchId", str)
"""The operator's name of a switch ("leaf-1"): the key in rows, logs, history and on the hash ring."""

HostId = NewType("HostId", str)
"""`binding:host_id` of a network port: the server (for a baremetal port, the node's UUID)."""

Vlan = NewType("Vlan", int)
"""A VLAN id, 1 to 4094 (IEEE 802.1Q)."""

VLAN_MIN, VLAN_MAX = 1, 4094


class SwitchPort(NamedTuple):
    """One physical port of a switch, by the name that the switch itself gives it (`Ethernet1/2`, `swp3`)."""

    switch: SwitchId
    name: str

    def __str__(self) -> str:
        return f"{self.switch}/{self.name}"


class PortMode(StrEnum):
    """How a switch port treats 802.1Q tags."""

    ACCESS = "access"
    """One untagged VLAN at the most, no tags."""
    TRUNK = "trunk"
    """Tagged VLANs, and perhaps one untagged (native) VLAN."""


class LagMode(StrEnum):
    """How a link aggregation group agrees on its members."""

    LACP = "lacp"
    """IEEE 802.1AX: members join when the partner's LACPDUs are seen."""
    STATIC = "static"
    """Members are in for good; nothing is negotiated."""


class LacpRate(StrEnum):
    """How often the partner is asked to send LACPDUs."""

    SLOW = "slow"
    """Every 30 s."""
    FAST = "fast"
    """Every second."""


@dataclass(frozen=True, slots=True)
class Lag:
    """A link aggregation group, as one of its members sees it.

    `number` is the LAG's id on the switch (port-channel number), the same on both switches of a pair, 1 to 1000.
    Members of one LAG on one switch carry equal `PortConfig`s but for the description.
    """

    number: int
    mode: LagMode = LagMode.LACP
    rate: LacpRate = LacpRate.SLOW
    min_links: int = 1
    """With fewer links that could forward on the switch, none of them does."""
    fallback: bool = False
    """Forward on one member while the partner sends no LACPDUs (so that PXE works)."""
    mlag: int | None = None
    """The id by which both switches of an MLAG pair know that it is one LAG; None: it ends on one switch only."""


class Mlag(StrEnum):
    """How a kind of switch is told that a LAG goes on at its MLAG peer."""

    ID = "id"
    """The LAG gets an id that is equal on both switches."""
    NUMBER = "number"
    """Not at all: a pair that is set up for it goes by the LAG's number. The id is left out of what is asked for."""
    NONE = "none"
    """It cannot be: a LAG with an MLAG id is refused."""


@dataclass(frozen=True, slots=True)
class LagSupport:
    """What a switch can do for LAGs, and which ids on it are somebody else's."""

    numbers: range = range(1, 1001)
    """Ids that Ironlane may use."""
    modes: frozenset[LagMode] = frozenset(LagMode)
    min_links: frozenset[LagMode] = frozenset(LagMode)
    """The modes in which a minimum of links can be kept."""
    fallback: bool = True
    mlag: Mlag = Mlag.NUMBER
    foreign: frozenset[int] = frozenset()
    """Ids that others have given out on the switch, as last read."""


@dataclass(frozen=True, slots=True)
class PortConfig:
    """What a switch port carries: one type for what is desired and what was observed.

    An access port with `untagged` None carries nothing. `enabled` is the admin state. `description` is free text that
    the switch stores for humans.
    """

    mode: PortMode = PortMode.ACCESS
    untagged: Vlan | None = None
    tagged: frozenset[Vlan] = frozenset()
    lag: Lag | None = None
    enabled: bool = True
    description: str = ""
    inactive: str = ""
    """Of what was observed: why the switch does not forward what the port is configured with (a VLAN that is not
    defined, a LAG member that it suspends). Never desired, so that it is put right."""

    @property
    def vlans(self) -> frozenset[Vlan]:
        """All VLANs that the port lets through, tagged or not."""
        return self.tagged if self.untagged is None else self.tagged | {self.untagged}

    @property
    def contradiction(self) -> str:
        """Why no switch can carry this; empty if one may."""
        wrong = sorted(vlan for vlan in self.vlans if not VLAN_MIN <= vlan <= VLAN_MAX)
        if wrong:
            return f"VLAN ids {wrong[:3]} are outside {VLAN_MIN} to {VLAN_MAX}"
        if self.mode is PortMode.ACCESS and self.tagged:
            return "an access port carries no tagged VLANs"
        if self.untagged in self.tagged:
            return f"VLAN {self.untagged} is both tagged and untagged"
        return ""


class DriftPolicy(StrEnum):
    """What becomes of a difference on a port of ours that somebody else made, and of the switch's ports altogether."""

    REPAIR = "repair"
    """It is put right, and told."""
    REPORT = "report"
    """It is told, and left until somebody puts it right or the port is to carry something else."""
    OBSERVE = "observe"
    """Nothing is written to the switch at all, whatever its ports are to carry: it is read, and compared."""


class Side(StrEnum):
    """On which side of the wall a network stands; a server is never on both (invariant I1)."""

    PROVIDER = "provider"
    """Cleaning and provisioning networks, made by the administrator."""
    TENANT = "tenant"
    """Networks made by or for tenants."""


class AttachmentState(StrEnum):
    """How far the fabric may go with an attachment."""

    HELD = "held"
    """Wished for, but something of the same server has to leave first. Not on any switch."""
    WANTED = "wanted"
    """Admitted: the switch port should carry it, and may already."""
    WITHHELD = "withheld"
    """Admitted, but a switch of its network port did not take its part: not carried until that one does."""
    LEAVING = "leaving"
    """No longer wished for; on record until read-back shows that the switch port carries it no more."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """One network port's wish for one switch port: the durable unit of the fabric.

    A bound network port has one attachment per link in its local link information. `lag` is set when the links of the
    port form a bundle. `tag` is the 802.1Q tag of a trunk sub-port on the wire; None is untagged (the network's VLAN
    is then the port's native VLAN). `applied` tells that a read-back of the switch showed it.
    """

    id: str
    switch: SwitchId
    port: str
    network_port: str
    """UUID of the network port that asked for it."""
    network: str
    host: HostId
    vlan: Vlan
    side: Side
    state: AttachmentState
    lag: Lag | None = None
    tagged: bool = False
    applied: bool = False
    withheld_by: SwitchId | None = None
    """The switch that did not take its part of the network port's links, while `WITHHELD`."""
    reason: str = ""
    """What that switch said."""
    retry_at: datetime | None = None
    attempts: int = 0
    """How often it was withheld in a row."""
    established: bool = False
    """All links of its network port were carried at once since it is bound so: it stays when another one fails."""
    request_id: str = ""
    """The API request that asked for it (`req-…`)."""
    created_at: datetime | None = None

    @property
    def switch_port(self) -> SwitchPort:
        return SwitchPort(self.switch, self.port)


@dataclass(frozen=True, slots=True)
class ManagedPorts:
    """Which ports of a switch Ironlane owns, and what they carry while nobody is attached.

    `idle_vlan` None means that an idle port is shut.
    """

    switch: SwitchId
    names: frozenset[str]
    idle_vlan: Vlan | None = None
