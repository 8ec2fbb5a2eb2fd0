"""From the text of a site file to a `Site`, or to everything that is wrong with it."""

from __future__ import annotations

from ironlane.site.document import Problem
from ironlane.site.read import draft
from ironlane.site.rules import check
from ironlane.site.types import Site


class BrokenSite(Exception):
    """The file says things that are wrong. `problems` are all of them, by line."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(f"{len(problems)} problems, the first: {problems[0].show('line')}")
        self.problems = problems


def read_site(text: str) -> Site:
    """Read and check a site file.

    Raises:
        BrokenSite: with every problem that was found, sorted by line.
    """
    problems: list[Problem] = []
    found = draft(text, problems)
    if found is not None:
        check(found)
    if found is None or problems:
        raise BrokenSite(sorted(problems))
    return Site(
        name=found.name,
        planes=tuple(value for value, _ in found.planes),
        physical_networks=tuple(value for value, _ in found.physical_networks),
        networks=tuple(value for value, _ in found.networks),
        racks=tuple(value for value, _ in found.racks),
        switches=tuple(value for value, _ in found.switches),
        nodes=tuple(value for value, _ in found.nodes),
    )
