"""Names of the OpenConfig models and of one switch's things: namespaces, LAG names, the driver's options.

Modules as published in github.com/openconfig/public: openconfig-interfaces, -if-ethernet, -if-aggregate, -vlan
(switched-vlan), -lacp, -network-instance (vlans), -lldp (neighbors).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

from ironlane.model.errors import Invalid
from ironlane.model.fabric import VLAN_MAX, VLAN_MIN

INTERFACES = "http://openconfig.net/yang/interfaces"
ETHERNET = "http://openconfig.net/yang/interfaces/ethernet"
AGGREGATE = "http://openconfig.net/yang/interfaces/aggregate"
VLAN = "http://openconfig.net/yang/vlan"
LACP = "http://openconfig.net/yang/lacp"
LLDP = "http://openconfig.net/yang/lldp"
NETWORK_INSTANCE = "http://openconfig.net/yang/network-instance"
NEIGHBOUR_LEAVES = ("chassis-id", "port-id", "port-description", "system-name")
"""What is asked of a neighbour's `state`, in the order of `model.lldp.told`."""
IANA_IF_TYPE = "urn:ietf:params:xml:ns:yang:iana-if-type"


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between OpenConfig switches, whatever the protocol; every field is an option of `Access.options`."""

    lag_name: str = "Port-Channel{number}"
    """Name of the aggregate interface of LAG `{number}`; "ae{number}" or "port-channel{number}" elsewhere."""
    network_instance: str = "default"
    """The network instance in which VLANs are defined."""
    create_vlans: bool = True
    """Define the VLANs that ports are put on. Most switches accept a port on a VLAN that is not defined, and then
    forward nothing. VLANs are never deleted: one without ports carries nothing."""
    default_vlan: int = 1
    """What an access port carries that is told nothing else, and the native VLAN that switches report on trunks
    without one."""
    confirmed_commit: bool = True
    """Commit with a time limit and confirm, where the switch can; False: always commit outright."""
    confirm_timeout: int = 30
    """Seconds until the switch undoes a commit that was not confirmed."""

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """Read the driver's own options.

        Raises:
            Invalid: an option is unknown, of the wrong type or out of range.
        """
        defaults = cls()
        for name, value in options.items():
            expected = type(getattr(defaults, name, None))
            if expected is type(None):
                raise Invalid("no such option of this kind of switch", field=f"options.{name}")
            if type(value) is not expected:
                raise Invalid(f"{value!r} is not of type {expected.__name__}", field=f"options.{name}")
        dialect = cls(**options)
        if dialect.lag_name.count("{number}") != 1:
            raise Invalid("needs {number} once, like Port-Channel{number}", field="options.lag_name")
        if not VLAN_MIN <= dialect.default_vlan <= VLAN_MAX:
            raise Invalid(f"{dialect.default_vlan} is not a VLAN", field="options.default_vlan")
        if dialect.confirm_timeout < 1:
            raise Invalid("at least 1 second", field="options.confirm_timeout")
        return dialect

    def lag_interface(self, number: int) -> str:
        """The aggregate interface's name."""
        return self.lag_name.replace("{number}", str(number))

    def lag_number(self, interface: str) -> int | None:
        """The LAG's number by the aggregate interface's name; None if it is not named by our pattern."""
        match = _lag_pattern(self.lag_name).fullmatch(interface)
        return int(match[1]) if match else None


@cache
def _lag_pattern(lag_name: str) -> re.Pattern[str]:
    before, after = lag_name.split("{number}")
    return re.compile(f"{re.escape(before)}([1-9][0-9]*){re.escape(after)}")


@dataclass(frozen=True, slots=True)
class NetconfDialect(Dialect):
    """What differs between OpenConfig switches that speak NETCONF."""

    validate: bool = True
    """Validate the candidate before the commit, where the switch can. A commit validates anyway; some servers (Debian's
    netconfd 2.13) accept a commit after a validate and carry out nothing."""
    save: bool = True
    """Copy what runs to the startup configuration after each commit, where the switch has one of its own."""
