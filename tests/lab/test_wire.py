from __future__ import annotations

import pytest

from ironlane.lab.wire import Interface, StormError, connect, disconnect


def test_frames_arrive_in_order_before_send_returns() -> None:
    got: list[bytes] = []
    a = Interface("a", lambda _i, _f: None)
    b = Interface("b", lambda _i, frame: got.append(frame))
    a.send(b"lost: no cable")
    connect(a, b)
    a.send(b"1")
    a.send(b"2")
    b.up = False
    a.send(b"lost: no carrier")
    assert got == [b"1", b"2"]


def test_carrier_changes_are_told_to_both_ends() -> None:
    told: list[tuple[str, bool]] = []
    ends = [
        Interface(name, lambda _i, _f: None, on_carrier=lambda i: told.append((i.name, i.carrier))) for name in "ab"
    ]
    connect(*ends)
    ends[0].up = False
    ends[0].up = False
    disconnect(ends[1])
    assert told == [("a", True), ("b", True), ("a", False), ("b", False), ("a", False), ("b", False)]


def test_a_second_cable_is_refused() -> None:
    a, b, c = (Interface(name, lambda _i, _f: None) for name in "abc")
    connect(a, b)
    with pytest.raises(ValueError, match="b already has a cable"):
        connect(b, c)


def test_a_loop_is_an_error_and_the_wire_works_afterwards() -> None:
    a = Interface("a", lambda interface, frame: interface.send(frame))
    b = Interface("b", lambda interface, frame: interface.send(frame))
    connect(a, b)
    with pytest.raises(StormError):
        a.send(b"round and round")
    got: list[bytes] = []
    b.receive = lambda _i, frame: got.append(frame)
    a.send(b"fine")
    assert got == [b"fine"]
