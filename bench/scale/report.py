"""What was measured, as tables in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- scale: written by `make bench-scale` -->", "<!-- end of scale -->"


def table(found: Mapping[str, Any]) -> str:
    """All figures, and what could not be measured."""
    lines = [
        f"Run {found['run']}. Machine: {found['machine']}.",
        "",
        "| kind | switches | ports each | enrolled | its CPU, each | idle, no audits | idle with audits every 300 s"
        " | audit of all | its CPU | CPU a switch | memory | files |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {s['kind']} | {s['switches']} | {s['ports']} | {s['enrolled']} in {s['enrol_seconds']:.0f} s{' ¹' if s['filled'] else ''}"
        f" | {s['enrol_cpu'] / s['enrolled'] * 1000:.0f} ms | {_standing(s)} | {s['idle']:.1%}"
        f" | {s['audit_seconds']:.1f} s | {s['audit_cpu']:.1f} s | {s['audit_cpu'] / s['switches'] * 1000:.1f} ms"
        f" | {s['memory']:.0f} MiB | {s['files']} |"
        for s in found["steps"]
    ]
    if any(step["filled"] for step in found["steps"]):
        lines += ["", "¹ Their ports were on the idle VLAN already: no commit."]
    if found["problems"]:
        lines += ["", "Not measured:", "", *(f"- {problem}" for problem in found["problems"])]
    return "\n".join(lines)


def _standing(step: Mapping[str, Any]) -> str:
    return f"{step['standing']:.1%} in {step['window']:.0f} s"


def write(found: Mapping[str, Any], directory: Path) -> None:
    """Put the table between its marks in performance.md."""
    path = directory / "performance.md"
    before, _, rest = path.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    path.write_text(f"{before}{BEGIN}\n\n{table(found)}\n\n{END}{after}")
