"""What LLDP says of whoever is at the other end of a cable.

Sources: IEEE 802.1AB-2016, clause 8.5 (TLVs) with tables 8-2 and 8-3 (subtypes of chassis and port ids);
ironic-python-agent's inventory (a list of `[type, value in hex]` for each NIC) and `parsed_lldp` of Ironic's
inspection data. What cannot be read is told and left out; nothing here raises.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

CHASSIS_ID, PORT_ID, PORT_DESCRIPTION, SYSTEM_NAME = 1, 2, 4, 5
"""TLV types (table 8-1) that say who and where the sender is."""

_CHASSIS_MAC, _CHASSIS_ADDRESS, _CHASSIS_SUBTYPES = 4, 5, range(1, 8)
_PORT_ALIAS, _PORT_MAC, _PORT_ADDRESS, _PORT_SUBTYPES = 1, 3, 4, range(1, 8)
_FAMILY_BYTES = {1: 4, 2: 16}
"""IANA address family number to the length of its addresses."""

_LONGEST = 255
_MAC = re.compile(r"(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}|(?:[0-9a-f]{4}[.:-]){2}[0-9a-f]{4}|[0-9a-f]{6}-[0-9a-f]{6}")


def mac_form(text: str) -> str | None:
    """The MAC address that a text is, in colon notation; None when it is none. Bare digits are no MAC address here:
    a port may be called so."""
    lowered = text.strip().lower()
    if not _MAC.fullmatch(lowered):
        return None
    digits = re.sub(r"[^0-9a-f]", "", lowered)
    return ":".join(digits[i : i + 2] for i in range(0, 12, 2))


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Who is at the other end, as it says itself. MAC addresses are in colon notation; empty: it does not say."""

    chassis: str = ""
    port: str = ""
    port_description: str = ""
    system_name: str = ""

    @property
    def chassis_mac(self) -> str | None:
        return mac_form(self.chassis)

    @property
    def port_mac(self) -> str | None:
        return mac_form(self.port)

    @property
    def says(self) -> bool:
        """Whether it says anything at all that a record could be compared with."""
        return bool(self.chassis or self.port or self.system_name)

    def as_json(self) -> dict[str, str]:
        return {name: getattr(self, name) for name in self.__slots__ if getattr(self, name)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Neighbour:
        return cls(**{name: str(value[name]) for name in cls.__slots__ if value.get(name)})


@dataclass(frozen=True, slots=True)
class Reading:
    """One NIC's LLDP, read: the neighbour, if it says anything, and what was wrong with what arrived."""

    neighbour: Neighbour | None = None
    problems: tuple[str, ...] = ()


def from_tlvs(raw: object) -> Reading:
    """What ironic-python-agent sends for a NIC: `[[type, value in hex], …]`, of one LLDPDU."""
    if not isinstance(raw, list):
        return Reading(problems=("is no list of TLVs",))
    found: dict[str, str] = {}
    problems: list[str] = []
    for item in raw:
        try:
            kind, value = _tlv(item)
            if kind in _READERS:
                for name, text in _READERS[kind](value).items():
                    if name in found and kind in {CHASSIS_ID, PORT_ID}:
                        raise ValueError(f"a second TLV of type {kind}")
                    found.setdefault(name, text)
        except ValueError as error:
            problems.append(str(error))
    neighbour = Neighbour(**found)
    return Reading(neighbour if neighbour.says else None, tuple(problems))


def from_parsed(raw: object) -> Reading:
    """An entry of `parsed_lldp`: `{switch_chassis_id, switch_port_id, switch_system_name?, switch_port_description?}`,
    as Ironic's own hook and out-of-band inspection write it."""
    if not isinstance(raw, dict):
        return Reading(problems=("is no object",))
    keys = {
        "chassis": "switch_chassis_id",
        "port": "switch_port_id",
        "port_description": "switch_port_description",
        "system_name": "switch_system_name",
    }
    neighbour = told(**{name: str(raw[key]) for name, key in keys.items() if isinstance(raw.get(key), str | int)})
    return Reading(neighbour if neighbour.says else None)


def told(chassis: str = "", port: str = "", port_description: str = "", system_name: str = "") -> Neighbour:
    """A neighbour from texts of any source, in the one notation that everything is compared in."""
    chassis, port = _clean(chassis), _clean(port)
    return Neighbour(
        mac_form(chassis) or chassis, mac_form(port) or port, _clean(port_description), _clean(system_name)
    )


def _tlv(item: object) -> tuple[int, bytes]:
    if not isinstance(item, list | tuple) or len(item) != 2:
        raise ValueError("a TLV that is no pair of type and value")
    kind, text = item
    if isinstance(kind, bool) or not isinstance(kind, int) or not 0 <= kind <= 127:
        raise ValueError("a TLV type that is not from 0 to 127")
    if not isinstance(text, str):
        raise ValueError(f"the value of TLV {kind} is no text")
    try:
        return kind, binascii.unhexlify(text)
    except (binascii.Error, ValueError):
        raise ValueError(f"the value of TLV {kind} is not hexadecimal") from None


def _chassis(value: bytes) -> dict[str, str]:
    subtype, rest = _identifier(value, "chassis id", _CHASSIS_SUBTYPES)
    if subtype == _CHASSIS_MAC:
        return {"chassis": _mac(rest, "chassis id")}
    return {"chassis": _address(rest, "chassis id") if subtype == _CHASSIS_ADDRESS else _text(rest, "chassis id")}


def _port(value: bytes) -> dict[str, str]:
    subtype, rest = _identifier(value, "port id", _PORT_SUBTYPES)
    if subtype == _PORT_MAC:
        return {"port": _mac(rest, "port id")}
    if subtype == _PORT_ALIAS:
        # ifAlias is what the operator wrote at the port (RFC 2863): it may name the port, or whatever is behind it.
        return {"port_description": _text(rest, "port id")}
    return {"port": _address(rest, "port id") if subtype == _PORT_ADDRESS else _text(rest, "port id")}


def _identifier(value: bytes, what: str, subtypes: range) -> tuple[int, bytes]:
    if not 2 <= len(value) <= _LONGEST + 1:
        raise ValueError(f"the {what} is {len(value)} bytes long")
    if value[0] not in subtypes:
        raise ValueError(f"the {what} is of unknown subtype {value[0]}")
    return value[0], value[1:]


def _mac(value: bytes, what: str) -> str:
    if len(value) != 6:
        raise ValueError(f"the {what} is a MAC address of {len(value)} bytes")
    return value.hex(":")


def _address(value: bytes, what: str) -> str:
    if _FAMILY_BYTES.get(value[0]) != len(value) - 1:
        raise ValueError(f"the {what} is a malformed network address")
    return str(ip_address(value[1:]))


def _text(value: bytes, what: str) -> str:
    text = _clean(value.decode(errors="replace"))
    if not text:
        raise ValueError(f"the {what} is empty")
    return text


def _clean(text: str) -> str:
    """Without what no database and no terminal takes."""
    return "".join(c for c in text[:_LONGEST] if c.isprintable()).strip()


_READERS: Mapping[int, Callable[[bytes], dict[str, str]]] = {
    CHASSIS_ID: _chassis,
    PORT_ID: _port,
    PORT_DESCRIPTION: lambda value: {"port_description": _clean(value.decode(errors="replace"))},
    SYSTEM_NAME: lambda value: {"system_name": _clean(value.decode(errors="replace"))},
}
