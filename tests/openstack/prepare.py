"""Makes the environments of these tests, beside each other: `python -m tests.openstack.prepare [NAME …]`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from bench.environments import Unavailable
from bench.fabric.peer import mariadb
from tests.openstack import ipa, ironic, keystone, neutron, nova


async def main() -> None:
    """One that cannot be made is told of; the tests that need it are skipped."""
    begun = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        makers = {
            "neutron": _neutron,
            "ironic": _ironic,
            "ironic-python-agent": _agent,
            "nova": _nova,
            "keystone": _keystone,
        }
        for name in sys.argv[1:] or makers:
            tasks.create_task(_made(name, makers[name], begun))


async def _made(name: str, make: Callable[[], Coroutine[Any, Any, None]], begun: float) -> None:
    try:
        await make()
    except Unavailable as why:
        print(f"{name}: {why}", flush=True)
    else:
        print(f"{name}: there after {time.monotonic() - begun:.0f} s", flush=True)


async def _neutron() -> None:
    made = await asyncio.to_thread(neutron.environment)
    if (made / "database").exists():
        return
    with tempfile.TemporaryDirectory(prefix="ironlane-prepare-") as place:
        async with mariadb(Path(place), made):
            pass  # it is running, and so there is a copy of its empty tables


async def _agent() -> None:
    await asyncio.to_thread(ipa.environment)


async def _ironic() -> None:
    await asyncio.to_thread(ironic.environment)


async def _nova() -> None:
    await asyncio.to_thread(nova.environment)


async def _keystone() -> None:
    await asyncio.to_thread(keystone.environment)


if __name__ == "__main__":
    asyncio.run(main())
