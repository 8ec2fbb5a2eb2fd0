"""Checks of single values that clients send. Each takes the value and the name of its field, and returns what is kept.

All raise `Invalid` naming the field.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ironlane.model.errors import Invalid
from ironlane.model.link import LAG_MODES, bond_options, normal_mac, parse_link

Check = Callable[[Any, str], Any]
Schema = dict[str, Any]

_SCHEMAS: dict[Check, Schema] = {}


def schema_of(check: Check) -> Schema:
    """What a check takes, as JSON Schema; more than the schema says may be refused."""
    return _SCHEMAS.get(check, {})


def _takes(check: Check, schema: Schema) -> Check:
    _SCHEMAS[check] = schema
    return check


_NAME = re.compile(r"[A-Za-z0-9._~-]{1,255}")
_RESERVED_NAMES = frozenset({"detail", "maintenance", "management", "ports", "portgroups", "states", "vendor_passthru"})
_GROUP = re.compile(r"[a-zA-Z0-9_.-]*")
_TRAIT = re.compile(r"(?:CUSTOM|HW|COMPUTE|MISC|OWNER|STORAGE)_[A-Z0-9_]+")
_TRUE = frozenset({"true", "t", "1", "yes", "y", "on"})
_FALSE = frozenset({"false", "f", "0", "no", "n", "off"})
LINK_KEYS = frozenset({"switch_id", "port_id", "switch_info", "hostname", "network_type"})


def text(longest: int = 255, *, shortest: int = 0) -> Check:
    """A string of so many characters."""

    def check(value: Any, field: str) -> str:
        if not isinstance(value, str):
            raise Invalid(f"{field}: must be a string", field=field)
        if not shortest <= len(value) <= longest:
            raise Invalid(f"{field}: must have {shortest} to {longest} characters", field=field)
        return value

    return _takes(check, {"type": "string", "minLength": shortest, "maxLength": longest})


def optional(check: Check) -> Check:
    """null, or what `check` takes."""

    def checked(value: Any, field: str) -> Any:
        return None if value is None else check(value, field)

    return _takes(checked, {"anyOf": [schema_of(check), {"type": "null"}]})


def flag(value: Any, field: str) -> bool:
    """A boolean, or one of the words for it (the command line sends strings)."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _TRUE | _FALSE:
        return value.lower() in _TRUE
    raise Invalid(f"{field}: {str(value)[:32]!r} is neither true nor false", field=field)


def list_of(check: Check) -> Check:
    """A list, each entry of which `check` takes; null is an empty one."""

    def checked(value: Any, field: str) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise Invalid(f"{field}: must be a list", field=field)
        return [check(item, f"{field}[{index}]") for index, item in enumerate(value)]

    return _takes(checked, {"type": "array", "items": schema_of(check)})


def index(value: Any, field: str) -> int:
    """A number from 0 to 2147483647; the command line sends it as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:11])
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 31:
        raise Invalid(f"{field}: must be a number from 0 to 2147483647", field=field)
    return value


def json_object(value: Any, field: str) -> dict[str, Any]:
    """A JSON object; null is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Invalid(f"{field}: must be an object", field=field)
    return value


def identifier(value: Any, field: str) -> str:
    """A UUID, in its usual form with hyphens and small letters."""
    try:
        return str(uuid.UUID(value if isinstance(value, str) else ""))
    except ValueError:
        raise Invalid(f"{field}: Expected a UUID but received {str(value)[:64]}.", field=field) from None


def name(value: Any, field: str) -> str:
    """A logical name: characters that need no quoting in an address (RFC 3986), and no UUID or word of the API."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise Invalid(
            f"{field}: {str(value)[:64]!r} is no valid name; use letters, digits and . _ ~ - (255 at the most)",
            field=field,
        )
    if value in _RESERVED_NAMES or value in {".", ".."}:
        raise Invalid(f"{field}: {value!r} is reserved", field=field)
    if is_uuid(value):
        raise Invalid(f"{field}: must not look like a UUID", field=field)
    return value


def is_uuid(value: str) -> bool:
    try:
        uuid.UUID(value)
    except ValueError:
        return False
    return True


def mac(value: Any, field: str) -> str:
    """A MAC address in any usual notation; kept with colons and small letters.

    One with the multicast bit is no NIC's, but Ironic takes it, and clients' tests rely on that.
    """
    if not isinstance(value, str):
        raise Invalid(f"{field}: must be a MAC address", field=field, code="InvalidMAC")
    return normal_mac(value, where=field, any_bits=True)


def conductor_group(value: Any, field: str) -> str:
    """Letters, digits and _ . -, kept in small letters; empty is the default group."""
    if not isinstance(value, str) or len(value) > 255 or not _GROUP.fullmatch(value):
        raise Invalid(f"{field}: use letters, digits and _ . - (255 at the most)", field=field)
    return value.lower()


def trait(value: Any, field: str) -> str:
    """A custom trait (`CUSTOM_…`), or one that looks like those of the os-traits library."""
    if not isinstance(value, str) or len(value) > 255 or not _TRAIT.fullmatch(value):
        raise Invalid(
            f"{field}: {str(value)[:64]!r} is no trait; custom ones start with CUSTOM_ and have capital letters,"
            " digits and _ only",
            field=field,
        )
    return value


def one_of(names: Collection[str]) -> Check:
    """One of some words."""

    def check(value: Any, field: str) -> str:
        if value not in names:
            raise Invalid(f"{field}: {str(value)[:64]!r} is not one of {', '.join(names)}", field=field)
        return str(value)

    return _takes(check, {"type": "string", "enum": list(names)})


def link(value: Any, field: str) -> dict[str, Any]:
    """`local_link_connection`: where a NIC is cabled; empty while that is not known.

    `{switch_id, port_id, switch_info?, hostname?, network_type?}`. The switch need not be known yet; its id is kept in
    the usual notation. A smart NIC names `hostname` and `port_id` only.
    """
    given = json_object(value, field)
    if not given:
        return {}
    for key, part in given.items():
        if key not in LINK_KEYS:
            raise Invalid(f"{field}.{key}: unknown; known are {', '.join(sorted(LINK_KEYS))}", field=f"{field}.{key}")
        if not isinstance(part, str) and not (key == "switch_info" and isinstance(part, dict)):
            raise Invalid(f"{field}.{key}: must be a string", field=f"{field}.{key}")
    if "network_type" in given:
        one_of(("managed", "unmanaged"))(given["network_type"], f"{field}.network_type")
    if given.get("hostname") and given.get("port_id") and "switch_id" not in given:
        return given
    parsed = parse_link(given, where=field)
    return given if parsed.switch_id is None else {**given, "switch_id": parsed.switch_id}


def bond_mode(value: Any, field: str) -> str:
    """A Linux bonding mode by name or number."""
    names = [mode for mode in LAG_MODES if not mode.isdigit()]
    if str(value) not in LAG_MODES:
        raise Invalid(f"{field}: {str(value)[:64]!r} is no bonding mode; use one of {', '.join(names)}", field=field)
    return str(value)


def bond_properties(value: Any, field: str) -> dict[str, Any]:
    """Options of the bond (`miimon`, `xmit_hash_policy`, `lacp_rate`, `min_links`, …), and ours: `priority`, an
    integer, 0 by default; `fallback`, whether the switch forwards on one member while the server speaks no LACP.

    The command line sends numbers as strings or as JSON; the priority is kept as a number.
    """
    given = dict(json_object(value, field))
    bond_options(given, where=field)
    if "priority" in given:
        given["priority"] = _priority(given["priority"], f"{field}.priority")
    return given


def _priority(value: Any, field: str) -> int:
    try:
        number = int(value) if isinstance(value, int | str) and not isinstance(value, bool) else None
    except ValueError:
        number = None
    if number is None or abs(number) > 1_000_000:
        raise Invalid(f"{field}: must be an integer; the higher is used first", field=field)
    return number


def steps(value: Any, field: str) -> list[dict[str, Any]]:
    """Clean or deploy steps: a list of `{interface, step, args?, priority?, order?}`."""
    if not isinstance(value, list):
        raise Invalid(f"{field}: must be a list of steps", field=field)
    for index, step in enumerate(value):
        where = f"{field}[{index}]"
        if not isinstance(step, dict):
            raise Invalid(f"{where}: must be an object", field=where)
        for key in ("interface", "step"):
            if not isinstance(step.get(key), str) or not step[key]:
                raise Invalid(f"{where}.{key}: is missing", field=f"{where}.{key}")
        if "args" in step:
            json_object(step["args"], f"{where}.args")
        unknown = sorted(step.keys() - {"interface", "step", "args", "priority", "order"})
        if unknown:
            raise Invalid(f"{where}.{unknown[0]}: unknown", field=f"{where}.{unknown[0]}")
    return value


def query_flag(values: Mapping[str, str], key: str, *, default: bool = False) -> bool:
    """A boolean query parameter."""
    return flag(values[key], key) if key in values else default


_NAMED = {"type": "string", "pattern": r"^[A-Za-z0-9._~-]{1,255}$"}
_OBJECT: Schema = {"type": "object"}
for _check, _schema in (
    (flag, {"type": "boolean"}),
    (json_object, _OBJECT),
    (link, _OBJECT),
    (bond_properties, _OBJECT),
    (identifier, {"type": "string", "format": "uuid"}),
    (name, _NAMED),
    (mac, {"type": "string", "format": "mac-address"}),
    (conductor_group, {"type": "string", "pattern": "^[a-zA-Z0-9_.-]*$", "maxLength": 255}),
    (trait, {"type": "string", "pattern": "^(CUSTOM|HW|COMPUTE|MISC|OWNER|STORAGE)_[A-Z0-9_]+$", "maxLength": 255}),
    (index, {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}),
    (bond_mode, {"type": "string", "enum": [mode for mode in LAG_MODES if not mode.isdigit()]}),
):
    _takes(_check, _schema)
