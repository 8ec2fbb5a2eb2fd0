"""openstacksdk's own functional tests, in a process of their own, against a service of their own."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.compatibility.cloud import CLOUD, Cloud, Preparation, cloud, nothing
from tests.compatibility.keystone import OTHER_CLOUD, TENANT_CLOUD, cloud_with_keystone
from tests.compatibility.outcomes import Outcome, Reason, Result

FUNCTIONAL = "openstack.tests.functional"
PATIENCE = 300
"""Seconds that one test may take, on a machine that is busy with others."""


@dataclass(frozen=True, slots=True)
class Suite:
    """One service's tests.

    Args:
        name: of the package below `openstack.tests.functional`.
        prepare: makes what the tests expect to be there.
        reasons: why some do not pass.
        keystone: log in at a Keystone, as an admin and as tenants; `prepare` is not called.
        settings: the service's environment.
        environment: the tests'.
        root: where clients look for the list of versions; they find one there only.
    """

    name: str
    prepare: Preparation = nothing
    reasons: Sequence[Reason] = ()
    keystone: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    root: str = ""


async def outcomes(suite: Suite, folder: Path) -> list[Outcome]:
    """Run a suite; `folder` is an empty place for its database and its log."""
    if suite.keystone:
        async with cloud_with_keystone(folder, suite.settings) as found:
            tenants = {"OPENSTACKSDK_DEMO_CLOUD": TENANT_CLOUD, "OPENSTACKSDK_DEMO_CLOUD_ALT": OTHER_CLOUD}
            return await _run(suite, found, folder, tenants)
    async with cloud(folder, suite.prepare, suite.settings, suite.root) as found:
        return await _run(suite, found, folder, {})


async def _run(suite: Suite, found: Cloud, folder: Path, tenants: Mapping[str, str]) -> list[Outcome]:
    answer = folder / "outcomes.json"
    clouds = ("OPERATOR_CLOUD", "SYSTEM_ADMIN_CLOUD", "DEMO_CLOUD", "DEMO_CLOUD_ALT")
    environment = {
        **found.environment,
        **{f"OPENSTACKSDK_{role}": CLOUD for role in clouds},
        "OS_TEST_TIMEOUT": str(PATIENCE),
        "OPENSTACKSDK_FUNC_TEST_TIMEOUT": str(PATIENCE),
        **tenants,
        **suite.environment,
    }
    log = folder / "tests.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "ignore", "-m", "tests.compatibility.openstacksdk_process"),
            *(f"{FUNCTIONAL}.{suite.name}", str(answer)),
            cwd=Path(__file__).parents[2],
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            status = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if status != 0:
        raise RuntimeError(f"the tests of {suite.name} did not run to their end:\n{log.read_text()[-3000:]}")
    return [Outcome(test, Result(result), words) for test, result, words in json.loads(answer.read_text())]
