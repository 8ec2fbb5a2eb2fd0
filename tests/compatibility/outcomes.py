"""What became of a client's tests, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import NamedTuple


class Result(StrEnum):
    PASSED = "passed"
    LEFT_OUT = "left out"
    """By the test itself, which did not find what it tests."""
    FAILED = "failed"


class Outcome(NamedTuple):
    """`test` is its name below the client's test package; `words` are its own about why it did not pass."""

    test: str
    result: Result
    words: str = ""


class Reason(NamedTuple):
    """Why the tests whose name matches `pattern` do not pass; the first one that matches counts."""

    pattern: str
    text: str


class Line(NamedTuple):
    """One group of tests in the table."""

    group: str
    counts: tuple[int, int, int]
    why: str


def unexplained(outcomes: Iterable[Outcome], reasons: Sequence[Reason]) -> list[Outcome]:
    """Tests that failed, and nobody has said why."""
    return [o for o in outcomes if o.result is Result.FAILED and _reason(o, reasons) is None]


def unneeded(outcomes: Iterable[Outcome], reasons: Sequence[Reason]) -> list[Reason]:
    """Reasons for what does not happen."""
    needed = {_reason(o, reasons) for o in outcomes if o.result is not Result.PASSED}
    return [reason for reason in reasons if reason not in needed]


def lines(outcomes: Iterable[Outcome], reasons: Sequence[Reason]) -> list[Line]:
    """A line for each class of tests; its tests' reasons, each once."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in sorted(outcomes):
        groups.setdefault(outcome.test.rpartition(".")[0], []).append(outcome)
    return [_line(group, members, reasons) for group, members in groups.items()]


def table(outcomes: Sequence[Outcome], reasons: Sequence[Reason]) -> str:
    """The tests as a table in Markdown, with a sum above it."""
    passed, left_out, failed = _counts(outcomes)
    return "\n".join(
        [
            f"{len(outcomes)} tests: {passed} passed, {left_out} left themselves out, {failed} failed.",
            "",
            "| tests | passed | left out | failed | why |",
            "| --- | ---: | ---: | ---: | --- |",
            *(
                f"| {line.group} | {' | '.join(str(count or '') for count in line.counts)} | {line.why} |"
                for line in lines(outcomes, reasons)
            ),
        ]
    )


def _line(group: str, members: Sequence[Outcome], reasons: Sequence[Reason]) -> Line:
    whys: dict[str, list[str]] = {}
    for member in members:
        if member.result is not Result.PASSED:
            reason = _reason(member, reasons)
            text = reason.text if reason else f"“{member.words}”"
            whys.setdefault(text, []).append(member.test.rpartition(".")[2])
    partly = len(whys) > 1 or any(member.result is Result.PASSED for member in members)
    told = [f"{', '.join(f'`{name}`' for name in names)}: {text}" if partly else text for text, names in whys.items()]
    return Line(group, _counts(members), "; ".join(told))


def _counts(outcomes: Sequence[Outcome]) -> tuple[int, int, int]:
    results = [outcome.result for outcome in outcomes]
    return results.count(Result.PASSED), results.count(Result.LEFT_OUT), results.count(Result.FAILED)


def _reason(outcome: Outcome, reasons: Sequence[Reason]) -> Reason | None:
    return next((reason for reason in reasons if fnmatchcase(outcome.test, reason.pattern)), None)
