"""What was measured, as a table in Markdown and a plot in SVG."""

from __future__ import annotations

import math
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

Record = Mapping[str, Any]

BEGIN, END = "<!-- figures: written by `make bench` -->", "<!-- end of figures -->"


def run_name() -> str:
    """When it began, and which state of the source it measures: `2026-01-31 12:00 1a2b3c4`, `+` if that was changed."""
    root = Path(__file__).parents[2]
    git = ("git", "-C", str(root))
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    source = [*git, "status", "--porcelain", "--", "src", "bench"]
    changed = subprocess.run(source, capture_output=True, text=True, check=False).stdout.strip()
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    return f"{now} {commit.stdout.strip() or 'unknown'}{'+' if changed else ''}"


def machine() -> str:
    load = os.getloadavg()[0]
    today = datetime.now(UTC).date().isoformat()
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, {today}, load average {load:.0f} at the end"


def table(found: Record) -> str:
    """All figures, and what could not be measured."""
    lines = [f"Machine: {found['machine']}.", "", "### Fleet moves", ""]
    lines += [
        "| switches | ports each | kind | ms a line or RPC | servers | all ACTIVE after | ideal | ratio"
        " | switch ports/s | requests answered after | service's CPU | commits, busiest switch | run |",
        "| ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    lines += [
        f"| {m['switches']} | {m['ports']} | {m['kind']} | {m['delay'] * 1000:g} | {m['servers']}"
        f" | {m['seconds']:.2f} s | {m['ideal']:.2f} s | {m['ratio']:.1f} × | {m['rate']:.0f}"
        f" | {m['asked']:.2f} s | {m['cpu']:.1f} s | {m['commits_most']} | {m['run']} |"
        for m in found["moves"]
    ]
    if found["peers"]:
        lines += ["", "### Neutron with networking-generic-switch, on the same switches", *_peers(found)]
    if found["singles"]:
        lines += ["", "### One port, one client, idle", *_singles(found)]
    if found["problems"]:
        lines += ["", "Not measured:", "", *(f"- {problem}" for problem in found["problems"])]
    return "\n".join(lines)


def _peers(found: Record) -> list[str]:
    lines = [
        "",
        "| ms a line | servers moved | clients | its switch ports/s | Ironlane's, same run | Ironlane is faster by | run |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for p in found["peers"]:
        ours = _like(found["moves"], p)
        own, times = (f"{ours['rate']:.1f}", f"{ours['rate'] / p['rate']:.0f} ×") if ours else ("–", "–")
        lines.append(
            f"| {p['delay'] * 1000:g} | {p['servers']} | {p['clients']} | {p['rate']:.2f} | {own} | {times} | {p['run']} |"
        )
    return [*lines, "", f"Peer: {found['peers'][0]['versions']}."]


def _singles(found: Record) -> list[str]:
    peers = {p["delay"]: f"{statistics.median(p['single']) * 1000:.0f} ms ({p['run']})" for p in found["peers"]}
    lines = [
        "",
        "| kind | ms a line or RPC | bind → ACTIVE, median | the switch's own commit + read | ratio | run | peer, median |",
        "| --- | ---: | ---: | ---: | ---: | --- | ---: |",
    ]
    for s in found["singles"]:
        theirs = peers.get(s["delay"], "–") if s["kind"] == "cli" else "–"
        lines.append(
            f"| {s['kind']} | {s['delay'] * 1000:g} | {s['seconds'] * 1000:.0f} ms | {s['switch'] * 1000:.0f} ms"
            f" | {s['ratio']:.1f} × | {s['run']} | {theirs} |"
        )
    return lines


def _like(moves: Sequence[Record], other: Record) -> Record | None:
    keys = ("kind", "switches", "ports", "delay", "run")
    return next((m for m in moves if all(m[key] == other[key] for key in keys)), None)


def write(found: Record, directory: Path) -> None:
    """Put the table between the marks of performance.md, and the plot beside it."""
    path = directory / "performance.md"
    before, _, rest = path.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    path.write_text(f"{before}{BEGIN}\n\n{table(found)}\n\n{END}{after}")
    (directory / "performance.svg").write_text(plot(found))


# --- the plot ---------------------------------------------------------------------------------------------------------

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 440, 70, 190, 40, 60
_COLOURS = ("#1a5fb4", "#c64600", "#26a269", "#813d9c", "#986a44", "#613583")


def plot(found: Record) -> str:
    """Switch ports per second over the number of switch ports moved, both logarithmic."""
    series: dict[str, list[tuple[float, float]]] = {}
    for m in found["moves"]:
        moved = m["servers"] * (1 if m["switches"] == 1 else 2)
        at = f"{m['kind']}, {m['delay'] * 1000:g} ms"
        series.setdefault(f"Ironlane, {at}", []).append((moved, m["rate"]))
        series.setdefault(f"ideal, {at}", []).append((moved, moved / m["ideal"]))
    for p in found["peers"]:
        name = f"Neutron + NGS, {p['delay'] * 1000:g} ms"
        series.setdefault(name, []).append((p["switch_ports"], p["rate"]))
    points = [point for own in series.values() for point in own]
    if not points:
        return '<svg xmlns="http://www.w3.org/2000/svg"/>'
    x_of = _scale([x for x, _ in points], _LEFT, _WIDTH - _RIGHT)
    y_of = _scale([y for _, y in points], _HEIGHT - _BOTTOM, _TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif"'
        ' font-size="11">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _text(_LEFT, 20, "Fleet moves: switch ports per second, by how many move at once", size=14),
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 16, "switch ports moved", anchor="middle"),
    ]
    for tick in _decades([x for x, _ in points]):
        x = x_of(tick)
        parts += [_line(x, _TOP, x, _HEIGHT - _BOTTOM), _text(x, _HEIGHT - 40, f"{tick:g}", "middle")]
    for tick in _decades([y for _, y in points]):
        y = y_of(tick)
        parts += [_line(_LEFT, y, _WIDTH - _RIGHT, y), _text(_LEFT - 6, y + 4, f"{tick:g}", "end")]
    conditions = list(dict.fromkeys(name.partition(", ")[2] for name in series))
    for row, (name, own) in enumerate(series.items()):
        who, _, condition = name.partition(", ")
        colour = "black" if who.startswith("Neutron") else _COLOURS[conditions.index(condition) % len(_COLOURS)]
        dashes = ' stroke-dasharray="5 4"' if who == "ideal" else ""
        path = " ".join(f"{x_of(moved):.1f},{y_of(rate):.1f}" for moved, rate in sorted(own))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"{dashes}/>')
        parts += [f'<circle cx="{x_of(n):.1f}" cy="{y_of(r):.1f}" r="3" fill="{colour}"/>' for n, r in own]
        left, base = _WIDTH - _RIGHT + 16, _TOP + 8 + 18 * row
        parts.append(f'<path d="M{left} {base - 4}h22" stroke="{colour}" stroke-width="2"{dashes}/>')
        parts.append(_text(left + 28, base, name))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _scale(values: Sequence[float], start: float, end: float) -> Any:
    low, high = math.log10(min(values)), math.log10(max(values))
    low, high = math.floor(low), max(math.ceil(high), math.floor(low) + 1)
    return lambda value: start + (math.log10(value) - low) / (high - low) * (end - start)


def _decades(values: Sequence[float]) -> list[float]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return [10.0**n for n in range(low, high + 1)]


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'


def _text(x: float, y: float, text: str, anchor: str = "start", size: int = 11) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'
