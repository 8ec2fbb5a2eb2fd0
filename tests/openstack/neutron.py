"""A real Neutron with our mechanism driver: its API under uWSGI, on MariaDB, in an environment of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from bench.environments import Unavailable
from bench.fabric.peer import environment, listening, mariadb, neutron_options

__all__ = ["PHYSICAL_NETWORK", "Neutron", "Unavailable", "configured", "environment"]

DRIVER = Path(__file__).parents[2] / "plugins" / "neutron-ironlane"
PHYSICAL_NETWORK = "physnet1"
PROCESSES = 2


class Neutron:
    """Neutron's API, to be stopped and started again on the same database."""

    def __init__(self, made: Path, folder: Path, port: int, env: Mapping[str, str]) -> None:
        self._made = made
        self._folder = folder
        self._port = port
        self._env = env
        self._process: asyncio.subprocess.Process | None = None
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / "neutron.log"

    @classmethod
    @asynccontextmanager
    async def running(cls, made: Path, folder: Path, ironlane: Mapping[str, str]) -> AsyncIterator[Neutron]:
        """`ironlane` are options of the driver: where the service is that binds for it, and how to log in."""
        async with configured(made, folder, ironlane) as env:
            with socket.create_server(("127.0.0.1", 0)) as taken:
                neutron = cls(made, folder, taken.getsockname()[1], env)
            await neutron.start()
            try:
                yield neutron
            finally:
                await neutron.kill()

    async def start(self) -> None:
        """Until it listens. Each of its processes loads the application by itself, which takes seconds more."""
        arguments = (
            *("--http-socket", f"127.0.0.1:{self._port}", "--module", "neutron.wsgi.api:application"),
            *("--processes", str(PROCESSES), "--threads", "1", "--enable-threads", "--master", "--lazy-apps"),
            *("--add-header", "Connection: close"),  # uWSGI closes it in any case; openstacksdk wants to be told
            *("--die-on-term", "--buffer-size", "65535", "--disable-logging", "--need-app"),
            *("--virtualenv", str(self._made), "--pythonpath", self._env["PYTHONPATH"]),
        )
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                str(self._made / "bin/uwsgi"),
                *arguments,
                env=os.environ | self._env,
                cwd=self._folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        await listening(socket.AF_INET, ("127.0.0.1", self._port), self._process)

    async def kill(self) -> None:
        """All its processes, at once."""
        if self._process is None:
            return
        group, self._process = self._process, None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group.pid, signal.SIGKILL)
        await group.wait()
        with contextlib.suppress(ProcessLookupError):
            while True:  # until the last of its workers is gone, and its socket with it
                os.killpg(group.pid, 0)
                await asyncio.sleep(0.05)


@asynccontextmanager
async def configured(made: Path, folder: Path, ironlane: Mapping[str, str]) -> AsyncIterator[dict[str, str]]:
    """The database, the driver and the configuration of a Neutron; yields the environment of its processes."""
    driver = folder / "driver"
    await asyncio.to_thread(_install, driver)
    (folder / "policy.yaml").write_text(
        "".join(f'"{verb}_port:binding:profile": "@"\n' for verb in ("create", "update"))
    )
    async with mariadb(folder, made) as database:
        (folder / "neutron.conf").write_text(_configuration(folder, made, database, ironlane))
        yield {
            "PYTHONPATH": str(driver),
            "OS_NEUTRON_CONFIG_DIR": str(folder),
            "OS_NEUTRON_CONFIG_FILES": "neutron.conf",
        }


def _install(target: Path) -> None:
    """The driver as its users install it, beside the environment that the benchmark uses too."""
    source = target.with_name("driver-source")
    shutil.copytree(DRIVER, source)
    arguments = ("install", "--quiet", "--no-deps", "--target", str(target), str(source))
    subprocess.run([sys.executable, "-m", "pip", *arguments], check=True)


def _configuration(folder: Path, made: Path, database: str, ironlane: Mapping[str, str]) -> str:
    options = "\n".join(f"{name} = {value}" for name, value in ironlane.items())
    ranges = f"{PHYSICAL_NETWORK}:3001:3099"
    common = neutron_options(folder, made, database, driver="ironlane", ranges=ranges, service_plugins="trunk")
    return f"""{common}[ironlane]
{options}
provider_networks = provisioning
"""
