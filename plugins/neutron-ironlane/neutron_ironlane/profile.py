"""What of a `binding:profile` can be checked without asking anybody, so that the API call itself fails."""

from neutron_lib import exceptions

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


def check(profile):
    """Refuse malformed link and portgroup information.

    Raises:
        neutron_lib.exceptions.InvalidInput: names the field.
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


def links_of(port):
    """A port's links; empty when there are none."""
    return (port.get("binding:profile") or {}).get("local_link_information") or []


def _check_link(link, where):
    if not isinstance(link, dict):
        _refuse(where, "must be an object with switch_id and port_id")
    if link.get("network_type") == "unmanaged":
        return
    if not isinstance(link.get("port_id"), str) or not link["port_id"].strip():
        _refuse(f"{where}.port_id", "is missing: name the physical port on the switch")
    if not link.get("switch_id") and not link.get("switch_info"):
        _refuse(f"{where}.switch_id", "is missing: name the switch by its MAC address or datapath id")


def _refuse(where, what):
    raise exceptions.InvalidInput(error_message=f"{where}: {what}")
