"""LACP for one port (IEEE 802.1AX-2014, clause 6.4), with events in place of timers.

Both ends send a LACPDU when the link comes up or their own state changes, and answer one that shows an outdated view of
them. What the standard's timers would find out, the lab is told: a lost carrier, or a farewell from a port that
stops speaking LACP.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ironlane.lab.frames import (
    LACP_ACTIVITY,
    LACP_AGGREGATION,
    LACP_COLLECTING,
    LACP_DISTRIBUTING,
    LACP_SYNCHRONIZATION,
    Lacpdu,
    LacpInfo,
)


class LacpPort:
    """LACP's state on one port that is a LAG member.

    The owner calls `hear` with what arrives, then sets `selected` on all members of the LAG, then calls `talk` on
    each: that order keeps the LAG consistent whatever the LACPDUs set off. `send` puts a LACPDU on the wire.
    """

    def __init__(self, system: bytes, key: int, port: int, send: Callable[[Lacpdu], None]) -> None:
        self._self = LacpInfo(system=system, key=key, port=port)
        self._send = send
        self._said: Lacpdu | None = None
        self._must_answer = False
        self.partner: LacpInfo | None = None
        """The other end, as last heard; None while nobody speaks LACP there."""
        self.selected = False
        """The owner's verdict: this member may bundle with the others (all have one partner)."""
        self._known_to_partner = False

    @property
    def active(self) -> bool:
        """Frames may be sent and received: both ends are in sync about each other."""
        return self._in_sync and self.partner is not None and bool(self.partner.state & LACP_SYNCHRONIZATION)

    @property
    def _in_sync(self) -> bool:
        return self.selected and self.partner is not None and self._known_to_partner

    @property
    def actor(self) -> LacpInfo:
        """What this port says of itself."""
        state = LACP_ACTIVITY | LACP_AGGREGATION
        if self.selected and self.partner is not None:
            state |= LACP_SYNCHRONIZATION
        if self.active:
            state |= LACP_COLLECTING | LACP_DISTRIBUTING
        return replace(self._self, state=state)

    def start(self) -> None:
        """The link is there: forget what was before. `talk` then says hello."""
        self.stop()
        self._must_answer = True

    def stop(self) -> None:
        """The link is gone."""
        self.partner, self.selected, self._said = None, False, None
        self._known_to_partner = self._must_answer = False

    def farewell(self) -> None:
        """Tell the partner, while the link is up, that this port stops speaking LACP."""
        self._send(Lacpdu(replace(self._self, state=0), LacpInfo()))
        self.stop()

    def hear(self, pdu: Lacpdu) -> None:
        """A LACPDU came in."""
        if not pdu.actor.state & LACP_AGGREGATION:
            self.partner, self._known_to_partner = None, False
            return
        self.partner = pdu.actor
        about_us = (pdu.partner.system, pdu.partner.key, pdu.partner.port)
        self._known_to_partner = about_us == (self._self.system, self._self.key, self._self.port)
        self._must_answer = pdu.partner != self.actor

    def talk(self) -> None:
        """Send a LACPDU if there is something new to say."""
        pdu = Lacpdu(self.actor, self.partner or LacpInfo())
        if not self._must_answer and (self._said is None or self._said.actor == pdu.actor):
            return
        self._must_answer = False
        self._said = pdu
        self._send(pdu)
