"""What of a `binding:profile` can be checked without asking anybody, so that the API call itself fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

_MODES = frozenset(
    [
        "802.3ad",
        "active-backup",
        "balance-tlb",
        "balance-alb",
        "balance-rr",
        "balance-xor",
        "broadcast",
        "0",
        "1",
        "2",
        "3",
        "4",
        "5",
        "6",
    ]
)


class Malformed(ValueError):
    """Names the field, and says what is wrong with it."""


def check(profile: Mapping[str, Any]) -> None:
    """Refuse malformed link and portgroup information.

    Raises:
        Malformed: names the field.
    """
    where = "binding:profile.local_link_information"
    links = profile.get("local_link_information", [])
    if not isinstance(links, list):
        _refuse(where, "must be a list of links")
    for index, link in enumerate(links):
        _check_link(link, f"{where}[{index}]")
    where = "binding:profile.local_group_information"
    group = profile.get("local_group_information") or {}
    if not isinstance(group, dict):
        _refuse(where, "must be an object")
    mode = str(group.get("bond_mode") or "active-backup")
    if mode not in _MODES:
        _refuse(f"{where}.bond_mode", f"{mode!r} is no bonding mode")


def links_of(port: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A port's links; empty when there are none."""
    return (port.get("binding:profile") or {}).get("local_link_information") or []


def _check_link(link: object, where: str) -> None:
    if not isinstance(link, dict):
        _refuse(where, "must be an object with switch_id and port_id")
    if link.get("network_type") == "unmanaged":
        return
    port_id = link.get("port_id")
    if not isinstance(port_id, str) or not port_id.strip():
        _refuse(f"{where}.port_id", "is missing: name the physical port on the switch")
    if not link.get("switch_id") and not link.get("switch_info"):
        _refuse(f"{where}.switch_id", "is missing: name the switch by its MAC address or datapath id")


def _refuse(where: str, what: str) -> NoReturn:
    raise Malformed(f"{where}: {what}")
