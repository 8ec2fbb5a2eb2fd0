"""Which keys of a free-form object hold secrets: nobody may read those back; they are answered as `******`.

How they are kept is `ironlane.store.vault`'s.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MASK = "******"

_SECRET = re.compile(
    r"pass(word|wd|phrase)|secret|token|credential|community|private|(^|_)(auth|api|kg|priv|ssh)?_?key($|_)",
    re.IGNORECASE,
)
_NO_SECRET = re.compile(r"_key_?(file(name)?|path|name|id)$", re.IGNORECASE)
_WHOLE = frozenset({"configdrive"})
"""Keys whose value is hidden because of what is inside."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A secret that nobody without the encryption key can read. It has no text that could get into a log."""

    token: str = field(repr=False)


def masked(values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy in which secrets read `******`, at any depth."""
    return {key: MASK if is_secret(key) and value is not None else _inner(value) for key, value in values.items()}


def mask_left(values: Mapping[str, Any], path: str) -> str | None:
    """Where a secret of a client's reads `******`, so that it is none; None when there is no such place."""
    for key, value in values.items():
        here = f"{path}.{key}"
        if value == MASK and is_secret(key):
            return here
        items = value if isinstance(value, list) else [value]
        for item in items:
            found = mask_left(item, here) if isinstance(item, Mapping) else None
            if found is not None:
                return found
    return None


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
    return MASK if isinstance(value, Sealed) else value


def is_secret(key: object) -> bool:
    """Whether a key sounds like a secret's. One too many hidden costs less than one shown."""
    name = str(key)
    return name in _WHOLE or (bool(_SECRET.search(name)) and not _NO_SECRET.search(name))
