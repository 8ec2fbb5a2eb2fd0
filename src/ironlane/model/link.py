"""How clients name a link: MAC addresses, datapath ids, local link information, portgroup parameters.

Sources: the Networking API's `binding:profile` as Ironic sends it, IEEE 802 MAC addresses, OpenFlow 1.3 datapath ids.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ironlane.model.errors import Invalid
from ironlane.model.fabric import LacpRate, LagMode

_HEX12 = re.compile(r"[0-9a-f]{12}")
_HEX16 = re.compile(r"[0-9a-f]{16}")
_MAC_NOTATION = re.compile(
    r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}|(?:[0-9a-f]{2}-){5}[0-9a-f]{2}|(?:[0-9a-f]{4}\.){2}[0-9a-f]{4}|[0-9a-f]{12}",
    re.IGNORECASE,
)


def normal_mac(text: str, *, where: str, any_bits: bool = False) -> str:
    """`aa:bb:cc:dd:ee:ff` from any usual notation (colons, hyphens, Cisco dots, bare).

    Raises:
        Invalid: not a MAC address, or (but for `any_bits`) a multicast one.
    """
    if not _MAC_NOTATION.fullmatch(text):
        raise Invalid(f"{text!r} is not a MAC address (like 52:54:00:12:34:56)", field=where, code="InvalidMAC")
    digits = re.sub(r"[^0-9a-f]", "", text.lower())
    if not any_bits and int(digits[:2], 16) & 1:
        raise Invalid(f"{text!r} is a multicast address, not one of a NIC", field=where, code="InvalidMAC")
    return ":".join(digits[i : i + 2] for i in range(0, 12, 2))


def normal_switch_id(text: str, *, where: str) -> str:
    """A switch's MAC address in colon notation, or its OpenFlow datapath id as 16 hex digits.

    Raises:
        Invalid: neither of the two.
    """
    digits = re.sub(r"[:.\-]", "", text.lower()).removeprefix("0x")
    if _HEX12.fullmatch(digits):
        return ":".join(digits[i : i + 2] for i in range(0, 12, 2))
    if _HEX16.fullmatch(digits):
        return digits
    raise Invalid(f"{text!r} is neither a switch's MAC address nor a datapath id (16 hex digits)", field=where)


@dataclass(frozen=True, slots=True)
class LocalLink:
    """Where one NIC is cabled, as the client says it: not yet looked up among the switches.

    `switch_id` is normalised; None when only `switch_info` names the switch. `unmanaged` links touch no switch.
    """

    port_id: str
    switch_id: str | None = None
    switch_info: str | None = None
    unmanaged: bool = False


@dataclass(frozen=True, slots=True)
class GroupParameters:
    """Portgroup parameters of a binding (`local_group_information`): how to build the LAG on the switches."""

    id: str
    name: str = ""
    bond_mode: str = "active-backup"
    bond_properties: Mapping[str, Any] = field(default_factory=dict)


LAG_MODES: Mapping[str, LagMode | None] = {
    "802.3ad": LagMode.LACP,
    "4": LagMode.LACP,
    "active-backup": None,
    "1": None,
    "balance-tlb": None,
    "5": None,
    "balance-alb": None,
    "6": None,
    "balance-rr": LagMode.STATIC,
    "0": LagMode.STATIC,
    "balance-xor": LagMode.STATIC,
    "2": LagMode.STATIC,
    "broadcast": LagMode.STATIC,
    "3": LagMode.STATIC,
}
"""Portgroup mode (Linux bonding's name or number) to what the switch needs; None: no LAG on the switch."""


def lag_mode(bond_mode: str, *, where: str) -> LagMode | None:
    """What the switch needs for a bonding mode.

    Raises:
        Invalid: not one of Linux bonding's seven modes.
    """
    try:
        return LAG_MODES[str(bond_mode)]
    except KeyError:
        names = ", ".join(name for name in LAG_MODES if not name.isdigit())
        raise Invalid(f"unknown bonding mode {bond_mode!r}; use one of {names}", field=where) from None


_RATES = {"slow": LacpRate.SLOW, "0": LacpRate.SLOW, "fast": LacpRate.FAST, "1": LacpRate.FAST}
_FLAGS = {"true": True, "1": True, "on": True, "yes": True, "false": False, "0": False, "off": False, "no": False}
_MOST_LINKS = 64


class LagSettings(NamedTuple):
    """What bond properties ask of a LAG on the switches. `min_links` counts all links of the bond."""

    mode: LagMode
    rate: LacpRate = LacpRate.SLOW
    min_links: int = 1
    fallback: bool = False


def lag_settings(bond_mode: str, properties: Mapping[str, Any], *, where: str) -> LagSettings | None:
    """The LAG for a bonding mode and its properties; None: no LAG on the switch.

    Keys are Linux bonding's with or without the prefix `bond_`, and our own `fallback`. `lacp_rate`: slow/0 (default)
    or fast/1. `min_links`: a number; 0 (bonding's default) means 1. `fallback`: a boolean. Where nothing is negotiated,
    rate and fallback mean nothing, whatever a client may mention.

    Raises:
        Invalid: a value is none of these; the field is `where` and the key.
    """
    mode = lag_mode(bond_mode, where=where)
    rate, min_links, fallback = bond_options(properties, where=where)
    if mode is None:
        return None
    return (
        LagSettings(mode, rate, min_links, fallback) if mode is LagMode.LACP else LagSettings(mode, min_links=min_links)
    )


def bond_options(properties: Mapping[str, Any], *, where: str) -> tuple[LacpRate, int, bool]:
    """`(lacp_rate, min_links, fallback)` of bond properties, whatever the mode; see `lag_settings`."""
    key, value = _option(properties, "lacp_rate", "slow")
    rate = _RATES.get(str(value))
    if rate is None:
        raise Invalid(f"lacp_rate is slow or fast, not {str(value)[:64]!r}", field=f"{where}.{key}")
    key, value = _option(properties, "min_links", 1)
    text = "" if isinstance(value, bool) else str(value)
    if not (text.isascii() and text.isdecimal() and int(text[:9]) <= _MOST_LINKS):
        raise Invalid(
            f"min_links is a number of links, 0 to {_MOST_LINKS}, not {str(value)[:64]!r}", field=f"{where}.{key}"
        )
    key, flag = _option(properties, "fallback", False)
    fallback = _FLAGS.get(str(flag).lower())
    if fallback is None:
        raise Invalid(f"fallback is true or false, not {str(flag)[:64]!r}", field=f"{where}.{key}")
    return rate, max(1, int(text)), fallback


def _option(properties: Mapping[str, Any], name: str, default: object) -> tuple[str, object]:
    """The key that is there, and its value."""
    key = next((key for key in (f"bond_{name}", name) if key in properties), name)
    return key, properties.get(key, default)


def parse_links(profile: Mapping[str, Any], *, where: str = "binding:profile") -> list[LocalLink]:
    """The `local_link_information` of a binding profile; empty when there is none.

    Raises:
        Invalid: wrong shape, missing `port_id`, no switch named, malformed `switch_id`, or the same port twice.
    """
    where = f"{where}.local_link_information"
    raw = profile.get("local_link_information", [])
    if not isinstance(raw, list):
        raise Invalid("must be a list of links", field=where)
    links = [parse_link(item, where=f"{where}[{index}]") for index, item in enumerate(raw)]
    managed = [link for link in links if not link.unmanaged]
    if len(set(managed)) != len(managed):
        raise Invalid("names the same switch port twice", field=where)
    return links


def parse_link(raw: object, *, where: str) -> LocalLink:
    """One link: `{switch_id, port_id, switch_info?, hostname?, network_type?}`.

    A smart NIC is a switch of its own: Ironic names it by `hostname`, and its port by `port_id`.

    Raises:
        Invalid: as `parse_links`.
    """
    if not isinstance(raw, dict):
        raise Invalid("must be an object with switch_id and port_id", field=where)
    port_id = raw.get("port_id")
    unmanaged = raw.get("network_type") == "unmanaged"
    if unmanaged:
        return LocalLink(port_id=str(port_id or ""), unmanaged=True)
    if not isinstance(port_id, str) or not port_id.strip():
        raise Invalid("is missing: name the physical port on the switch", field=f"{where}.port_id")
    info = raw.get("switch_info") or raw.get("hostname")
    if isinstance(info, dict):
        info = info.get("switch_name") or info.get("name")
    if info is not None and not isinstance(info, str):
        raise Invalid("must be text or an object", field=f"{where}.switch_info")
    switch_id = raw.get("switch_id")
    if switch_id is None or switch_id == "":
        if not info:
            raise Invalid("is missing: name the switch by its MAC address or datapath id", field=f"{where}.switch_id")
        return LocalLink(port_id=port_id.strip(), switch_info=info)
    if not isinstance(switch_id, str):
        raise Invalid("must be text", field=f"{where}.switch_id")
    return LocalLink(port_id.strip(), normal_switch_id(switch_id, where=f"{where}.switch_id"), info)


def parse_group(profile: Mapping[str, Any], *, where: str = "binding:profile") -> GroupParameters | None:
    """The portgroup parameters of a binding profile: `local_group_information`, or its synonym `port_groups`.

    Raises:
        Invalid: wrong shape, more than one group, or an unknown bonding mode.
    """
    if "local_group_information" in profile:
        where, raw = f"{where}.local_group_information", profile["local_group_information"]
    elif profile.get("port_groups"):
        where, groups = f"{where}.port_groups", profile["port_groups"]
        if not isinstance(groups, list) or len(groups) != 1:
            raise Invalid("must be a list of one set of portgroup parameters", field=where)
        where, raw = f"{where}[0]", groups[0]
    else:
        return None
    if raw is None or raw == {}:
        return None
    if not isinstance(raw, dict):
        raise Invalid("must be an object with id, name, bond_mode and bond_properties", field=where)
    if not isinstance(raw.get("id"), str) or not raw["id"]:
        raise Invalid("is missing: the portgroup's UUID", field=f"{where}.id")
    properties = raw.get("bond_properties") or {}
    if not isinstance(properties, dict):
        raise Invalid("must be an object", field=f"{where}.bond_properties")
    mode = str(raw.get("bond_mode") or "active-backup")
    lag_mode(mode, where=f"{where}.bond_mode")
    bond_options(properties, where=f"{where}.bond_properties")
    return GroupParameters(raw["id"], str(raw.get("name") or ""), mode, properties)
