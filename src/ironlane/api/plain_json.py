"""JSON that clients may put where anything may stand (`extra`, `binding:profile`): every database takes it, and every
answer can hold it."""

from __future__ import annotations

import math
from typing import Any

DEEPEST = 64
"""Levels that JSON may be nested, so that nothing that walks it runs out of stack."""


def require_plain(value: Any) -> None:
    """Refuse what Python's parser takes although it is no JSON, or no database and no answer takes it.

    Raises:
        ValueError: infinity or NaN, NUL, a lone surrogate, or nested too deeply.
    """
    level = [value]
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner += [*item.keys(), *item.values()]
            elif isinstance(item, list):
                inner += item
            else:
                _require_plain_scalar(item)
        if not inner:
            return
        level = inner
    raise ValueError(f"nested more than {DEEPEST} levels deep")


def _require_plain_scalar(value: Any) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("a string contains NUL")
        value.encode()
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no JSON value")
