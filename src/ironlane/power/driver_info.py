"""Reading `driver_info`: each function takes one key and raises `Invalid` naming it when its value cannot work.

Clients send numbers and booleans as JSON or as strings (`openstack baremetal node create --driver-info ipmi_port=623`
sends a string), so both are read. The value of a secret never enters a message.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ironlane.model.errors import Invalid

_HOST_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_TRUE = frozenset({"true", "1", "yes", "on", "t", "y"})
_FALSE = frozenset({"false", "0", "no", "off", "f", "n"})


def invalid(key: str, message: str) -> Invalid:
    """The error for a bad value, with the field as the client wrote it."""
    return Invalid(message, field=f"driver_info.{key}")


def require(driver_info: Mapping[str, Any], keys: Iterable[str]) -> None:
    """Raise `Invalid` for the first of `keys` that is missing or empty."""
    for key in sorted(keys):
        if driver_info.get(key) in (None, ""):
            raise invalid(key, "is required by this driver and missing; set it on the node")


def text(driver_info: Mapping[str, Any], key: str, default: str = "") -> str:
    """A string without control characters."""
    value = driver_info.get(key)
    if value is None:
        return default
    if not isinstance(value, str):
        raise invalid(key, "must be a string")
    if not value.isprintable():
        raise invalid(key, "has characters that cannot be printed")
    return value


def secret(driver_info: Mapping[str, Any], key: str, *, longest: int | None = None) -> str:
    """A password: a string without NUL or line ends, of at most `longest` bytes in UTF-8. "" if there is none."""
    value = driver_info.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise invalid(key, "must be a string")
    if any(char in value for char in "\0\r\n"):
        raise invalid(key, "must not contain NUL or line ends")
    if longest is not None and len(value.encode()) > longest:
        raise invalid(key, f"is longer than the {longest} bytes that the protocol has room for")
    return value


def number(driver_info: Mapping[str, Any], key: str, *, low: int, high: int, default: int | None = None) -> int | None:
    """An integer from `low` to `high`, both included."""
    value = driver_info.get(key)
    if value is None or value == "":
        return default
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise invalid(key, f"must be a whole number from {low} to {high}")
    return value


def choice(driver_info: Mapping[str, Any], key: str, allowed: Iterable[str], default: str) -> str:
    """One of `allowed`, in whatever case the client wrote it."""
    value = driver_info.get(key)
    if value is None or value == "":
        return default
    for candidate in allowed:
        if str(value).lower() == candidate.lower():
            return candidate
    raise invalid(key, f"must be one of {', '.join(sorted(allowed))}")


def boolean(value: object) -> bool | None:
    """The truth value that a JSON boolean or one of the usual words means; None if it means none."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    return False if word in _FALSE else None


def host(driver_info: Mapping[str, Any], key: str) -> str:
    """An IP address or a host name (RFC 1123, underscores tolerated).

    It can never be mistaken for a command's option, because neither starts with a hyphen.
    """
    value = text(driver_info, key)
    if not is_host(value):
        raise invalid(key, "must be an IP address or a host name")
    return value


def is_host(value: str) -> bool:
    """Whether `value` is an IP address (with a zone, such as fe80::1%eth0, if link-local) or a host name."""
    address, percent, zone = value.partition("%")
    if percent and not _HOST_LABEL.fullmatch(zone):
        return False
    try:
        ipaddress.ip_address(address)
    except ValueError:
        labels = address.removesuffix(".").split(".")
        return not percent and len(value) <= 253 and all(_HOST_LABEL.fullmatch(label) for label in labels)
    return True
