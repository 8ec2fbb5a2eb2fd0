"""What applying a file did with each thing, and how differences are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ironlane.cli.client import Refused


class Action(StrEnum):
    """What became of one thing."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    UNLISTED = "not in file"
    """The service has it and the file has not; it was left alone."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One thing, what became of it, and in which respects."""

    action: Action
    noun: str
    name: str
    details: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """For the terminal: one line, and one more for each detail."""
        return [f"{self.action.value:<12}{self.noun} {self.name}", *(f"{'':<12}  {detail}" for detail in self.details)]


Difference = tuple[Any, Any]
"""Present and desired value."""


def differences(desired: Mapping[str, Any], present: Mapping[str, Any]) -> dict[str, Difference]:
    """The keys of `desired` whose value is another in `present`."""
    return {key: (present.get(key), value) for key, value in desired.items() if present.get(key) != value}


def tell(found: Mapping[str, Difference]) -> tuple[str, ...]:
    """Each difference in a line: `idle_vlan: 99 -> 98`, `ports: +Ethernet1/9 -Ethernet1/2`."""
    return tuple(f"{key}: {_change(before, after)}" for key, (before, after) in found.items())


def _change(before: object, after: object) -> str:
    if _is_names(before) and _is_names(after):
        added = [f"+{name}" for name in _names(after) if name not in _names(before)]
        removed = [f"-{name}" for name in _names(before) if name not in _names(after)]
        if added or removed:
            return " ".join(added + removed)
    return f"{_show(before)} -> {_show(after)}"


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _names(value: object) -> Sequence[str]:
    return value if isinstance(value, list) else []


def _show(value: object) -> str:
    return "nothing" if value is None else str(value)


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 node`, `2 nodes`, `2 switches`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def unlisted(noun: str, names: Sequence[str]) -> list[Outcome]:
    """Things that only the service has."""
    return [Outcome(Action.UNLISTED, noun, name) for name in sorted(names)]


def failed(noun: str, name: str, error: Refused) -> Outcome:
    """The service refused; the rest of the file is applied all the same."""
    return Outcome(Action.FAILED, noun, name, (error.message,))
