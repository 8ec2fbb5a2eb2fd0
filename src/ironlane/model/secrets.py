"""Which keys of a free-form object hold secrets: nobody may read those back; they are answered as `******`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "******"

_SECRET = re.compile(
    r"pass(word|wd|phrase)|secret|token|credential|community|private|(^|_)(auth|api|kg|priv|ssh)?_?key($|_)",
    re.IGNORECASE,
)
_NO_SECRET = re.compile(r"_key_?(file(name)?|path|name|id)$", re.IGNORECASE)
_WHOLE = frozenset({"configdrive"})
"""Keys whose value is hidden because of what is inside."""


def masked(values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy in which secrets read `******`, at any depth."""
    return {key: MASK if is_secret(key) and value is not None else _inner(value) for key, value in values.items()}


def unmasked(values: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """A client's copy of masked values, with what is stored where it sent `******` back."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        before = stored.get(key)
        if value == MASK and key in stored and is_secret(key):
            result[key] = before
        elif isinstance(value, Mapping):
            result[key] = unmasked(value, before if isinstance(before, Mapping) else {})
        elif isinstance(value, list) and isinstance(before, list):
            result[key] = [
                unmasked(item, before[i] if i < len(before) and isinstance(before[i], Mapping) else {})
                if isinstance(item, Mapping)
                else item
                for i, item in enumerate(value)
            ]
        else:
            result[key] = value
    return result


def _inner(value: Any) -> Any:
    if isinstance(value, Mapping):
        return masked(value)
    if isinstance(value, list | tuple):
        return [_inner(item) for item in value]
    return value


def is_secret(key: object) -> bool:
    """Whether a key sounds like a secret's. One too many hidden costs less than one shown."""
    name = str(key)
    return name in _WHOLE or (bool(_SECRET.search(name)) and not _NO_SECRET.search(name))
