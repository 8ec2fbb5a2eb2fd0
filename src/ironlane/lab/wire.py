"""Cables and the network interfaces at their ends.

Delivery is synchronous and in order: when `send` returns, the frame and all frames it caused have arrived. That makes
"who can reach whom" a measurement without waiting. (A `send` from within a `receive` only queues: the outermost one
delivers.)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

Receive = Callable[["Interface", bytes], None]

STORM = 200_000
"""Deliveries that one frame may cause before it is called a storm: far more than any loop-free rack makes."""

_in_flight: deque[tuple[Interface, bytes]] = deque()
_draining = False


class StormError(RuntimeError):
    """One frame multiplied without end: there is a loop in the cabling or in a switch's forwarding."""


class Interface:
    """One end of a cable: a server's NIC or a switch's port.

    `receive(interface, frame)` is called for each arriving Ethernet frame (without FCS). `up` is the admin state.
    `on_carrier(interface)`, if given, is called whenever the carrier may have come or gone.
    """

    def __init__(
        self,
        name: str,
        receive: Receive,
        *,
        on_carrier: Callable[[Interface], None] | None = None,
        up: bool = True,
    ) -> None:
        self.name = name
        self.receive = receive
        self.on_carrier = on_carrier
        self.peer: Interface | None = None
        self._up = up

    def __repr__(self) -> str:
        return f"<Interface {self.name} {'up' if self._up else 'down'}>"

    @property
    def up(self) -> bool:
        return self._up

    @up.setter
    def up(self, value: bool) -> None:
        if value != self._up:
            self._up = value
            _carrier_changed(self)

    @property
    def carrier(self) -> bool:
        """Both ends are there and up."""
        return self._up and self.peer is not None and self.peer.up

    def send(self, frame: bytes) -> None:
        """Put a frame on the cable; it is lost where there is no carrier.

        Raises:
            StormError: the frame goes round in a loop.
        """
        global _draining  # noqa: PLW0603 - one queue for the process keeps delivery in order
        if not self.carrier or self.peer is None:
            return
        _in_flight.append((self.peer, frame))
        if _draining:
            return
        _draining = True
        try:
            _deliver()
        finally:
            _in_flight.clear()
            _draining = False


def _deliver() -> None:
    for _ in range(STORM):
        if not _in_flight:
            return
        receiver, data = _in_flight.popleft()
        if receiver.carrier:
            receiver.receive(receiver, data)
    raise StormError(f"one frame caused {STORM} deliveries: look for a loop among the cables")


def connect(a: Interface, b: Interface) -> None:
    """Plug a cable in between two interfaces.

    Raises:
        ValueError: one of them has a cable already.
    """
    if a.peer or b.peer:
        raise ValueError(f"{(a if a.peer else b).name} already has a cable")
    a.peer, b.peer = b, a
    _carrier_changed(a)


def disconnect(interface: Interface) -> None:
    """Pull the cable out."""
    peer, interface.peer = interface.peer, None
    if peer is not None:
        peer.peer = None
        _notify(peer)
    _notify(interface)


def _carrier_changed(interface: Interface) -> None:
    _notify(interface)
    if interface.peer is not None:
        _notify(interface.peer)


def _notify(interface: Interface) -> None:
    if interface.on_carrier is not None:
        interface.on_carrier(interface)
