"""What a site is described with: names, kinds, secret names, VLAN ranges.

The forms that the site file and the fabric API share, so that a file that passes `ironlane site check` is not refused
by the service for its spelling.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Any, NamedTuple

from ironlane.model.fabric import VLAN_MAX, VLAN_MIN


class SwitchKind(StrEnum):
    """Which driver talks to a switch."""

    OPENVSWITCH = "openvswitch"
    """Open vSwitch through OVSDB (RFC 7047)."""
    OPENCONFIG = "openconfig"
    """Any switch with OpenConfig models over NETCONF (RFC 6241)."""
    GNMI = "gnmi"
    """Any switch with OpenConfig models over gNMI."""
    CLI = "cli"
    """A switch's command line over SSH; option `platform` says whose."""
    OPENFLOW = "openflow"
    """A switch programmed with flows, over OpenFlow 1.4."""


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""Name of a switch, rack, node or physical network: it must survive as one segment of a URL and as a DNS label."""

SECRET_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
"""Name of a secret. It is also a file name, so `.` and `..` alone are refused by `is_secret_name`."""

FILE_OPTIONS = frozenset({"known_hosts", "private_key", "platform_file", "tls_ca", "tls_certificate", "tls_key"})
"""Options of switches that name a file. What is given is a name in the service's `switch_files_dir`, never a path:
whoever may describe switches must not get to have any file of the host read."""

PORT_NAME_LENGTH = 64


def is_secret_name(text: str) -> bool:
    """Whether `text` may name a secret."""
    return SECRET_NAME.fullmatch(text) is not None and text.strip(".") != ""


def file_option_problem(options: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first option that should name a file and does not, and why; or None."""
    for option in sorted(FILE_OPTIONS & options.keys()):
        name = options[option]
        if name and not (isinstance(name, str) and is_secret_name(name)):
            return option, "must be the name (A-Z a-z 0-9 _ . -) of a file in switch_files_dir, not a path"
    return None


def is_port_name(text: str) -> bool:
    """Whether `text` may name a switch port: `Ethernet1/2`, `swp3`, `ethernet 1/1/3`, whatever a switch may say."""
    return 0 < len(text) <= PORT_NAME_LENGTH and text.isprintable() and text == text.strip()


class VlanRange(NamedTuple):
    """VLANs from `first` to `last`, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    def holds(self, vlan: int) -> bool:
        return self.first <= vlan <= self.last


def vlan_problem(vlan: int) -> str | None:
    """What is wrong with a VLAN id, or None."""
    return None if VLAN_MIN <= vlan <= VLAN_MAX else f"VLAN {vlan} is not from {VLAN_MIN} to {VLAN_MAX}"


def ranges_problem(ranges: Sequence[VlanRange]) -> str | None:
    """What is wrong with a list of VLAN ranges, or None: reversed, outside 802.1Q, or overlapping."""
    for item in ranges:
        if item.first > item.last:
            return f"{item.first}-{item.last} is upside down"
        problem = vlan_problem(item.first) or vlan_problem(item.last)
        if problem is not None:
            return problem
    ordered = sorted(ranges)
    for lower, upper in pairwise(ordered):
        if upper.first <= lower.last:
            return f"{lower} and {upper} overlap"
    return None
