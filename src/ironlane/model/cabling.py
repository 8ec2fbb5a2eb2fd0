"""Whether a NIC is cabled as the record says: its `local_link_connection` against what LLDP says at either end.

The server's end is what its ramdisk heard from the switch at the last inspection; the switch's end is whom the switch
shows on the recorded port. LLDP that does not say enough, or is too old, proves nothing and blocks nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from ironlane.model.link import LocalLink
from ironlane.model.lldp import Neighbour, mac_form


class CablingCheck(StrEnum):
    """What a contradiction does to a tenant attach."""

    BLOCK = "block"
    """It is refused, and says why."""
    WARN = "warn"
    """It goes on, and the node says why it should not have."""
    OFF = "off"
    """Nobody looks."""


@dataclass(frozen=True, slots=True)
class CablingPolicy:
    """What a contradiction does, and for how long what a server heard at an inspection counts."""

    check: CablingCheck = CablingCheck.BLOCK
    fresh: timedelta = timedelta(days=30)


class Verdict(StrEnum):
    """What LLDP says about one record."""

    AGREES = "agrees"
    """The NIC is where the record says."""
    CONTRADICTS = "contradicts"
    """It is elsewhere, or somebody else is there."""
    UNCLEAR = "unclear"
    """LLDP was heard, but names the switch or the port in a way that cannot be compared."""
    STALE = "stale"
    """It was heard too long ago."""
    UNSEEN = "unseen"
    """Nothing was heard: never inspected, no link, or the switch sends no LLDP."""
    UNRECORDED = "unrecorded"
    """There is no record to compare with."""


@dataclass(frozen=True, slots=True)
class KnownSwitch:
    """The enrolled switch that a record names."""

    id: str
    mac: str | None = None
    datapath_id: str | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """What LLDP said at one end, and when."""

    neighbour: Neighbour
    at: datetime


@dataclass(frozen=True, slots=True)
class Cable:
    """One NIC with its record and what was seen of it.

    `kin` are the MAC addresses that may speak for the NIC on the wire: its own, and those of the portgroup it is in,
    because a bond uses one address on all its links. `owners` says whose NIC a MAC address is, `"eth0 of node n-2"`.
    """

    node: str
    nic: str
    address: str
    recorded: LocalLink | None = None
    switch: KnownSwitch | None = None
    heard: Sighting | None = None
    """What the server heard of the switch."""
    shown: Sequence[Sighting] = ()
    """Whom the switch shows on the recorded port."""
    kin: frozenset[str] = frozenset()
    server: frozenset[str] = frozenset()
    """All MAC addresses of the server."""
    owners: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return f"NIC {self.nic} ({self.address})" if self.nic else f"NIC {self.address}"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, and the sentence that tells it to a person."""

    verdict: Verdict
    sentence: str = ""
    by_switch: bool = False
    """It is the switch that says so, and may say otherwise when it is read again."""


def judge(cable: Cable, now: datetime, fresh: timedelta) -> Judgement:
    """What LLDP says about a NIC's record. `fresh` is for how long what a server heard counts."""
    if cable.recorded is None or cable.recorded.unmanaged:
        return Judgement(Verdict.UNRECORDED)
    heard, shown = _judge_heard(cable, cable.recorded, now, fresh), _judge_shown(cable, cable.recorded)
    if shown.verdict is Verdict.CONTRADICTS:
        return shown
    if shown.verdict is not Verdict.AGREES:
        return heard
    if heard.verdict is Verdict.CONTRADICTS and cable.heard is not None:
        # The cable may have been moved since: what was seen last counts.
        later = max(sighting.at for sighting in cable.shown) > cable.heard.at
        return shown if later else heard
    return shown


def _judge_heard(cable: Cable, recorded: LocalLink, now: datetime, fresh: timedelta) -> Judgement:
    if cable.heard is None:
        return Judgement(Verdict.UNSEEN)
    neighbour, at = cable.heard.neighbour, cable.heard.at
    if now - at > fresh:
        return Judgement(Verdict.STALE, f"{cable.label} of node {cable.node} was last inspected at {_time(at)}")
    switch = same_switch(recorded, cable.switch, neighbour)
    port = same_port(recorded.port_id, neighbour)
    if switch is False or port is False:
        return Judgement(
            Verdict.CONTRADICTS,
            f"{cable.label} of node {cable.node} is recorded at {_recorded(cable, recorded)}, but by its LLDP it is"
            f" cabled to {_seen(neighbour)} (seen at {_time(at)}); move the cable and inspect the node again, or"
            " correct the port's local_link_connection",
        )
    return Judgement(Verdict.AGREES if switch and port else Verdict.UNCLEAR)


def _judge_shown(cable: Cable, recorded: LocalLink) -> Judgement:
    stranger: tuple[str, Sighting] | None = None
    for sighting in cable.shown:
        chassis, port = sighting.neighbour.chassis_mac, sighting.neighbour.port_mac
        if port in cable.kin or (port is None and chassis in cable.server):
            return Judgement(Verdict.AGREES)
        for mac in (port, chassis):
            if mac is not None and mac in cable.owners and (mac == port or mac not in cable.server):
                stranger = stranger or (mac, sighting)
    if stranger is None:
        return Judgement(Verdict.UNSEEN)
    mac, sighting = stranger
    return Judgement(
        Verdict.CONTRADICTS,
        f"{cable.label} of node {cable.node} is recorded at {_recorded(cable, recorded)}, but there the switch's LLDP"
        f" shows {cable.owners[mac]} ({mac}; since {_time(sighting.at)}); move the cable, or correct the port's"
        " local_link_connection",
        by_switch=True,
    )


def same_switch(recorded: LocalLink, switch: KnownSwitch | None, neighbour: Neighbour) -> bool | None:
    """Whether a neighbour is the recorded switch, by MAC address, datapath id or name; None: it cannot be told."""
    addresses, names = {_datapath_mac(recorded.switch_id)}, {_first_label(recorded.switch_info)}
    if switch is not None:
        addresses |= {switch.mac, _datapath_mac(switch.datapath_id)}
        names |= {_first_label(switch.id)}
    addresses, names = addresses - {None}, names - {""}
    chassis, name = neighbour.chassis_mac, _first_label(neighbour.system_name)
    if chassis in addresses or name in names:
        return True
    if chassis is None and neighbour.chassis:
        text = neighbour.chassis.lower().removeprefix("0x")
        identifiers = {recorded.switch_id, switch.datapath_id if switch is not None else None}
        if text in identifiers or _first_label(text) in names:
            return True
    comparable = (chassis is not None and addresses) or (name and names)
    return False if comparable else None


def same_port(recorded: str, neighbour: Neighbour) -> bool | None:
    """Whether a neighbour's port is the recorded one; None: it cannot be told.

    The port's description counts only for it: it may name the port (Junos and SONiC say another name in the port id),
    but may as well be anything that somebody wrote there.
    """
    if neighbour.port_description and same_port_name(recorded, neighbour.port_description):
        return True
    if not neighbour.port or neighbour.port_mac is not None:
        return None
    return same_port_name(recorded, neighbour.port)


def same_port_name(one: str, other: str) -> bool | None:
    """Whether two names are one port's, as vendors print and shorten them: `Ethernet1/2`, `Eth1/2`, `ethernet 1/2`,
    `Et1/2`; None: they cannot be compared, like a name and an interface index."""
    (kind, place), (other_kind, other_place) = _split(one), _split(other)
    if not place or not other_place:
        return True if (kind, place) == (other_kind, other_place) else None
    if place == other_place:
        if not kind or not other_kind:
            return True
        short, long = sorted((kind, other_kind), key=len)
        return long == short or (len(short) > 1 and long.startswith(short))
    index = (not kind and place.isdigit()) != (not other_kind and other_place.isdigit())
    return None if index else False


def _split(name: str) -> tuple[str, str]:
    """The kind of a port and its place on the switch: `("ethernet", "1/2")`."""
    match = re.fullmatch(r"([a-z _-]*)(\d.*)?", name.strip().lower())
    if match is None:
        return "", name.strip().lower()
    kind = re.sub(r"[ _-]", "", match[1])
    kind = re.sub(r"gig(abit)?(e|eth|ethernet)?$", "gig", kind)
    place = (match[2] or "").replace(" ", "")
    return kind, place.removesuffix(".0") if "/" in place else place  # Junos' unit 0 is the port itself


def _datapath_mac(text: str | None) -> str | None:
    """The MAC address in a switch id: itself, or the low 48 bits of a datapath id (OpenFlow 1.4, 7.3.1)."""
    if text is None:
        return None
    return mac_form(text) or (mac_form("-".join((text[4:10], text[10:]))) if len(text) == 16 else None)


def _first_label(name: str | None) -> str:
    """A switch's name without its domain, which LLDP may tell and the record not."""
    return (name or "").strip().lower().partition(".")[0]


def _recorded(cable: Cable, link: LocalLink) -> str:
    name = cable.switch.id if cable.switch is not None else link.switch_info
    ident = link.switch_id or (cable.switch.mac if cable.switch is not None else None)
    switch = f"{name} ({ident})" if name and ident else name or ident
    return f"switch {switch} port {link.port_id}"


def _seen(neighbour: Neighbour) -> str:
    name, chassis = neighbour.system_name, neighbour.chassis
    switch = f"{name} ({chassis})" if name and chassis else name or chassis or "of unknown name"
    return f"switch {switch} port {neighbour.port or neighbour.port_description or 'of unknown name'}"


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")
