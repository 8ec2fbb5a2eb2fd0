"""The matrix of who reaches whom, by groups."""

from __future__ import annotations

from collections.abc import Set

from rich.table import Table

from ironlane.cli.demo.reaching import Pair, Tenancy, count


def matrix(tenancy: Tenancy, pairs: Set[Pair]) -> Table:
    """Rows reach columns: how many of the possible pairs, as measured with frames."""
    groups = tenancy.groups
    table = Table(title="who reaches whom (pairs, measured with frames)", title_justify="left")
    table.add_column("from \\ to")
    for name, members in groups.items():
        table.add_column(f"{name}\n{len(members)} servers" if len(members) > 1 else name, justify="right")
    for name, sources in groups.items():
        cells = []
        for targets in groups.values():
            measured, possible = count(pairs, sources, targets)
            cells.append("–" if not possible else f"{measured}/{possible}" if measured else "·")
        table.add_row(name, *cells)
    return table
