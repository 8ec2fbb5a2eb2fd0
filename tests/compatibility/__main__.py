"""`python -m tests.compatibility [SUITE…]`: run openstacksdk's tests, and write docs/compatibility.md."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.compatibility import baremetal, baremetal_commands, networking, openstackclient
from tests.compatibility.document import write
from tests.compatibility.openstacksdk import Suite, outcomes
from tests.compatibility.outcomes import table, unexplained, unneeded

SUITES: tuple[Suite, ...] = (networking.SUITE, baremetal.SUITE)


TRIALS = {"openstackclient network": openstackclient.try_all, "openstackclient baremetal": baremetal_commands.try_all}
"""The `openstack` command's tables, and how each comes about."""


async def commands() -> int:
    """Try the `openstack` command; the number of faults."""
    faults = 0
    for name, try_all in TRIALS.items():
        with tempfile.TemporaryDirectory(prefix="ironlane-compat-") as folder:
            tried = await try_all(Path(folder))
        write(name, openstackclient.table(tried))
        print(f"{name}: {openstackclient.table(tried).splitlines()[0]}")
        for one in openstackclient.wrong(tried):
            print(f"openstack {one.command.words}: {one.said or 'works, although: ' + one.command.why}")
            faults += 1
    return faults


async def main(names: Sequence[str]) -> int:
    """Exit status: 1 when a failure has no reason, or a reason has no failure."""
    faults = await commands() if not names or "openstackclient" in names else 0
    for suite in SUITES:
        if names and suite.name not in names:
            continue
        with tempfile.TemporaryDirectory(prefix="ironlane-compat-") as folder:
            found = await outcomes(suite, Path(folder))
        write(f"openstacksdk {suite.name}", table(found, suite.reasons))
        print(f"{suite.name}: {table(found, suite.reasons).splitlines()[0]}")
        for outcome in unexplained(found, suite.reasons):
            print(f"failed, and nobody says why: {outcome.test}: {outcome.words}")
            faults += 1
        for reason in unneeded(found, suite.reasons):
            print(f"a reason for nothing: {reason.pattern}")
            faults += 1
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
