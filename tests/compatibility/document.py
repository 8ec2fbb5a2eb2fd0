"""docs/compatibility.md: each table stands between two marks, and everything else is written by hand."""

from __future__ import annotations

from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "compatibility.md"


def written(name: str) -> str:
    """What the document has between the marks of `name`."""
    begin, end = _marks(name)
    return DOCUMENT.read_text().partition(begin)[2].partition(end)[0].strip()


def write(name: str, text: str) -> None:
    """Put `text` between the marks of `name`."""
    begin, end = _marks(name)
    before, found, rest = DOCUMENT.read_text().partition(begin)
    if not found:
        raise LookupError(f"{DOCUMENT.name} has no {begin}")
    DOCUMENT.write_text(f"{before}{begin}\n\n{text}\n\n{end}{rest.partition(end)[2]}")


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: written by `make compat` -->", f"<!-- end of {name} -->"
