"""nova-compute's side of the Baremetal API: the real driver, in nova's environment, in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bench import environments
from tests.openstack.glance import empty_database
from tests.openstack.ironic import Credentials

COMPUTE = Path(__file__).with_name("nova_compute.py")


def environment() -> Path:
    """The virtual environment with nova and Glance, and in it an empty database of each.

    Raises:
        Unavailable: the packages cannot be installed.
    """
    made = environments.environment("nova", "openstack-nova.lock")
    with environments.alone(made.with_suffix(".database")):
        empty = _empty_database(made)
        if not empty.exists():
            config, building = made / "schema.conf", made / "building.sqlite"
            building.unlink(missing_ok=True)
            config.write_text(
                f"[DEFAULT]\nstate_path = {made}\n[database]\nconnection = sqlite:///{building}\n"
                f"[api_database]\nconnection = sqlite:///{made}/unused.sqlite\n"
            )
            environments.run(made / "bin/nova-manage", "--config-file", config, "db", "sync", "--local_cell")
            building.rename(empty)
        empty_database(made)
    return made


def _empty_database(made: Path) -> Path:
    return made / "empty.sqlite"


class DriverError(Exception):
    """What the driver raised: the exception's name and text."""


class Compute:
    """`tests/openstack/nova_compute.py` in a process: see there for what can be ordered."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    @classmethod
    @asynccontextmanager
    async def running(
        cls, made: Path, folder: Path, ironlane: str, credentials: Credentials | None = None
    ) -> AsyncIterator[Compute]:
        """`ironlane` is the URL of the service."""
        database = folder / "nova.sqlite"
        await asyncio.to_thread(shutil.copy, _empty_database(made), database)
        (folder / "nova.conf").write_text(configuration(folder, database, ironlane, credentials))
        path = folder / "nova-compute.log"
        with path.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                str(made / "bin/python"),
                *("-P", str(COMPUTE), "nova.conf"),  # not to import what lies beside it
                cwd=folder,
                env={**os.environ, "PYTHONWARNINGS": "ignore"},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=1 << 24,
            )
        try:
            yield cls(process, path)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def order(self, name: str, *arguments: object) -> Any:
        """What the method answers.

        Raises:
            DriverError: it raised.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, *arguments]).encode() + b"\n")
        await self._process.stdin.drain()
        line = await self._process.stdout.readline()
        if not line:
            raise AssertionError(f"nova-compute ended: {self._log.read_text()[-3000:]}")
        answer = json.loads(line)
        if "error" in answer:
            raise DriverError(answer["error"])
        return answer["result"]


def configuration(folder: Path, database: Path, ironlane: str, credentials: Credentials | None) -> str:
    how = "auth_type = none"
    if credentials is not None:
        how = f"auth_type = http_basic\nusername = {credentials.username}\npassword = {credentials.password}"
    return f"""[DEFAULT]
host = compute-one
state_path = {folder}
transport_url = fake://
[oslo_concurrency]
lock_path = {folder}
[database]
connection = sqlite:///{database}
[ironic]
{how}
endpoint_override = {ironlane}/baremetal
api_retry_interval = 1
[neutron]
{how}
endpoint_override = {ironlane}/networking
"""
