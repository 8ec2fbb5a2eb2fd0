"""Short forms: `Ethernet1/[1-48]` for forty-eight ports, `200-299` for a hundred VLANs."""

from __future__ import annotations

import itertools
import re

from ironlane.model.inventory import PORT_NAME_LENGTH, VlanRange, is_port_name

_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_PART = re.compile(r"([0-9]{1,6})(?:-([0-9]{1,6}))?")
_VLANS = re.compile(r"([0-9]{1,5})(?:\s*-\s*([0-9]{1,5}))?")

MOST_PORTS = 4096
"""More names than any switch has ports; a pattern that makes more is a slip of the pen."""


def expand_ports(pattern: str) -> list[str]:
    """The port names that a pattern stands for, in the order written.

    Each `[…]` holds numbers and ranges separated by commas: `Ethernet[1-2]/[1,3-4]` is six names. Leading zeros of a
    range's first number are kept as a width (`swp[01-12]`). A pattern without brackets stands for itself.

    Raises:
        ValueError: malformed brackets, a range that is upside down, too many or unusable names.
    """
    pieces = _BRACKETS.split(pattern)
    choices = [[piece] if index % 2 == 0 else _numbers(piece) for index, piece in enumerate(pieces)]
    if any("[" in piece or "]" in piece for piece in pieces[::2]):
        raise ValueError(f"{pattern!r} has unmatched brackets; write Ethernet1/[1-48]")
    count = 1
    for choice in choices:
        count *= len(choice)
    if count > MOST_PORTS:
        raise ValueError(f"{pattern!r} stands for {count} ports; at most {MOST_PORTS} are allowed")
    names = ["".join(parts) for parts in itertools.product(*choices)]
    if not all(is_port_name(name) for name in names):
        raise ValueError(
            f"{pattern!r} is no port name: 1 to {PORT_NAME_LENGTH} printable characters, no spaces at ends"
        )
    return names


def _numbers(text: str) -> list[str]:
    numbers: list[str] = []
    for part in text.split(","):
        match = _PART.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"[{text}] is not a list of numbers and ranges, such as [1-48] or [1,3,5-8]")
        first, last = match[1], match[2] or match[1]
        if int(first) > int(last):
            raise ValueError(f"[{text}]: {first}-{last} is upside down")
        if int(last) - int(first) >= MOST_PORTS:
            raise ValueError(f"[{text}]: {first}-{last} has more than {MOST_PORTS} numbers")
        width = len(first) if first.startswith("0") else 0
        numbers.extend(str(number).zfill(width) for number in range(int(first), int(last) + 1))
    return numbers


def parse_vlans(text: str) -> VlanRange:
    """One VLAN or a range of VLANs, not yet checked against 802.1Q.

    Raises:
        ValueError: neither `310` nor `200-299`.
    """
    match = _VLANS.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is neither a VLAN (310) nor a range of VLANs (200-299)")
    return VlanRange(int(match[1]), int(match[2] or match[1]))
