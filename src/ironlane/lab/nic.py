"""A server's NICs, and the bonds an operating system makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from zlib import crc32

from ironlane.lab.frames import (
    ETHERTYPE_LLDP,
    ETHERTYPE_SLOW,
    LINK_LOCAL_PREFIX,
    Ethernet,
    FrameError,
    Lacpdu,
    Lldp,
    mac_bytes,
)
from ironlane.lab.lacp import LacpPort
from ironlane.lab.wire import Interface

Deliver = Callable[[bytes], None]

BOND_MODES = frozenset(
    {"balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"}
)
"""Linux bonding's modes (kernel documentation, networking/bonding)."""


class Nic:
    """One network interface card. Whoever drives it now sets `consumer` and `on_link`.

    `lldp` is what the switch last announced on this link, `lldp_pdu` the same as it came; both are forgotten with the
    carrier.
    """

    def __init__(self, server: str, name: str, mac: str) -> None:
        self.name = name
        self.mac = mac_bytes(mac)
        self.interface = Interface(f"{server}/{name}", self._receive, on_carrier=self._carrier, up=False)
        self.lldp: Lldp | None = None
        self.lldp_pdu = b""
        self.consumer: Callable[[Nic, bytes], None] | None = None
        self.on_link: Callable[[], None] | None = None
        self.taps: list[Callable[[Interface, bytes], None]] = []
        """Called with every arriving frame, whoever drives the NIC."""

    def __repr__(self) -> str:
        return f"<Nic {self.interface.name}>"

    @property
    def carrier(self) -> bool:
        return self.interface.carrier

    def send(self, frame: bytes) -> None:
        self.interface.send(frame)

    def release(self) -> None:
        """Nobody drives the NIC any more."""
        self.consumer = self.on_link = None

    def _receive(self, interface: Interface, frame: bytes) -> None:
        for tap in tuple(self.taps):
            tap(interface, frame)
        if frame[12:14] == ETHERTYPE_LLDP.to_bytes(2, "big"):
            self.lldp_pdu = frame[14:]
            try:
                self.lldp = Lldp.parse(frame[14:])
            except FrameError:
                return
        elif self.consumer is not None:
            self.consumer(self, frame)

    def _carrier(self, interface: Interface) -> None:
        if not interface.carrier:
            self.lldp, self.lldp_pdu = None, b""
        if self.on_link is not None:
            self.on_link()


class Link:
    """A network device of an operating system on a single NIC. `deliver` gets each frame that arrives."""

    def __init__(self, nic: Nic, deliver: Deliver) -> None:
        self.name = nic.name
        self.mac = nic.mac
        self.nics: tuple[Nic, ...] = (nic,)
        self._deliver = deliver
        nic.consumer = lambda _nic, frame: deliver(frame)

    @property
    def active(self) -> tuple[Nic, ...]:
        """The NICs that frames go through now."""
        return tuple(nic for nic in self.nics if nic.carrier)

    def send(self, frame: bytes) -> None:
        self.nics[0].send(frame)


class Bond(Link):
    """Several NICs as one network device, as Linux bonding does it; the first NIC is the primary.

    The bond and all its NICs use the primary NIC's MAC address. In mode 802.3ad one aggregator is active: the NICs
    that agreed with one LACP partner, or a single NIC while nobody speaks LACP. Frames that arrive at a NIC that is
    not active are dropped. `on_failover` is called when the active NIC of an active-backup bond changes.

    Raises:
        ValueError: not a bonding mode.
    """

    def __init__(
        self, name: str, nics: Sequence[Nic], mode: str, deliver: Deliver, on_failover: Callable[[], None]
    ) -> None:
        if mode not in BOND_MODES:
            raise ValueError(f"{mode!r} is not a bonding mode; use one of {', '.join(sorted(BOND_MODES))}")
        super().__init__(nics[0], deliver)
        self.name = name
        self.nics = tuple(nics)
        self.mode = mode
        self._on_failover = on_failover
        self._active: tuple[Nic, ...] = ()
        self._aggregator: tuple[bytes, int] | None = None
        self._lacp: dict[Nic, LacpPort] = {}
        self._turn = 0
        for number, nic in enumerate(self.nics, start=1):
            if mode == "802.3ad":
                self._lacp[nic] = LacpPort(self.mac, 15, number, self._lacp_sender(nic))
            nic.consumer = self._receive
            nic.on_link = self._link_changer(nic)
        for lacp in self._lacp.values():
            lacp.start()
        self._reconsider()

    @property
    def active(self) -> tuple[Nic, ...]:
        return self._active

    def send(self, frame: bytes) -> None:
        """Send through the NIC that the mode picks (through all of them in mode broadcast)."""
        if not self._active:
            return
        if self.mode == "broadcast":
            for nic in self._active:
                nic.send(frame)
            return
        if self.mode == "balance-rr":
            self._turn += 1
            pick = self._turn
        else:
            pick = crc32(frame[:12])
        self._active[pick % len(self._active)].send(frame)

    def _lacp_sender(self, nic: Nic) -> Callable[[Lacpdu], None]:
        return lambda pdu: nic.send(pdu.frame(self.mac))

    def _link_changer(self, nic: Nic) -> Callable[[], None]:
        def changed() -> None:
            lacp = self._lacp.get(nic)
            if lacp is not None:
                (lacp.start if nic.carrier else lacp.stop)()
            self._reconsider()

        return changed

    def _receive(self, nic: Nic, frame: bytes) -> None:
        if frame[:5] == LINK_LOCAL_PREFIX:
            self._hear_lacp(nic, frame)
        elif nic in self._active:
            self._deliver(frame)

    def _hear_lacp(self, nic: Nic, frame: bytes) -> None:
        lacp = self._lacp.get(nic)
        try:
            ethernet = Ethernet.parse(frame)
            if lacp is None or ethernet.ethertype != ETHERTYPE_SLOW:
                return
            lacp.hear(Lacpdu.parse(ethernet.payload))
        except FrameError:
            return
        self._reconsider()

    def _reconsider(self) -> None:
        before = self._active
        live = [nic for nic in self.nics if nic.carrier]
        if self.mode == "802.3ad":
            self._active = self._aggregate(live)
        elif self.mode in ("active-backup", "balance-tlb", "balance-alb"):
            self._active = tuple(live[:1])
            if self._active and before and self._active != before:
                self._on_failover()
        else:
            self._active = tuple(live)
        for nic in live:
            if nic in self._lacp:
                self._lacp[nic].talk()

    def _aggregate(self, live: Sequence[Nic]) -> tuple[Nic, ...]:
        """Choose the aggregator: the present one while it has links, else the one with most, else a single NIC."""
        groups: dict[tuple[bytes, int], list[Nic]] = {}
        for nic in live:
            partner = self._lacp[nic].partner
            if partner is not None:
                groups.setdefault((partner.system, partner.key), []).append(nic)
        if self._aggregator not in groups:
            self._aggregator = max(groups, key=lambda group: len(groups[group]), default=None)
        chosen = groups[self._aggregator] if self._aggregator is not None else []
        for nic, lacp in self._lacp.items():
            lacp.selected = nic in chosen
        if not chosen:
            return tuple(live[:1])
        return tuple(nic for nic in chosen if self._lacp[nic].active)
