"""The power drivers by the names that a node's `driver` field uses, and what of `driver_info` nobody may read back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ironlane.power.base import PowerDriver
from ironlane.power.fake import FakePower
from ironlane.power.ipmi import IpmiPower
from ironlane.power.redfish import RedfishPower

DRIVERS: Mapping[str, Callable[[], PowerDriver]] = {
    "ipmi": IpmiPower,
    "redfish": RedfishPower,
    "fake-hardware": FakePower,
}
"""One instance of a driver serves all nodes that name it; whoever makes one must `close()` it."""

SECRET_KEYS = frozenset({"ipmi_password", "ipmi_hex_kg_key", "redfish_password"})
"""Keys whose values are secrets. `masked` hides more than these."""

_SECRET_WORDS = ("password", "passwd", "passphrase", "secret", "token", "private_key", "community")
_MASK = "******"


def masked(driver_info: Mapping[str, Any]) -> dict[str, Any]:
    """A copy for API answers: values of secrets are "******", as in the Baremetal API.

    Beside `SECRET_KEYS`, any key that sounds like a secret is masked, at any depth: operators keep credentials of
    other tools here too, and to hide one value too many costs less than to show one.
    """
    return {
        key: _MASK if _is_secret(key) and value is not None else _inner(value) for key, value in driver_info.items()
    }


def _inner(value: Any) -> Any:
    if isinstance(value, Mapping):
        return masked(value)
    if isinstance(value, list | tuple):
        return [_inner(item) for item in value]
    return value


def _is_secret(key: object) -> bool:
    name = str(key).lower()
    return name in SECRET_KEYS or any(word in name for word in _SECRET_WORDS)
