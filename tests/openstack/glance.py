"""A real Glance on SQLite, under uWSGI; everybody may read its images without a token. It is in nova's environment."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from bench import environments
from bench.fabric.peer import listening
from tests.service.process import free_port

RULES = ("default", "get_images", "get_image", "download_image", "add_image", "upload_image", "publicize_image")


def empty_database(made: Path) -> Path:
    """A database with Glance's tables, in the environment; made if it is not there."""
    empty, building = made / "glance.sqlite", made / "glance-building.sqlite"
    if not empty.exists():
        building.unlink(missing_ok=True)
        config = made / "glance-schema.conf"
        config.write_text(f"[database]\nconnection = sqlite:///{building}\n")
        environments.run(made / "bin/glance-manage", "--config-file", config, "db_sync")
        building.rename(empty)
    return empty


class Glance:
    """Its URL, and how an image gets there."""

    def __init__(self, url: str) -> None:
        self.url = url

    @classmethod
    @asynccontextmanager
    async def running(cls, made: Path, folder: Path) -> AsyncIterator[Glance]:
        port = free_port()
        shutil.copy(empty_database(made), folder / "glance.sqlite")
        (folder / "glance-policy.yaml").write_text("".join(f'"{rule}": "@"\n' for rule in RULES))
        (folder / "glance-api.conf").write_text(_configuration(made, folder, port))
        arguments = (
            *("--http-socket", f"127.0.0.1:{port}", "--module", "glance.wsgi.api:application", "--need-app"),
            *("--threads", "2", "--enable-threads", "--virtualenv", str(made), "--disable-logging"),
        )
        with (folder / "glance.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                str(made / "bin/uwsgi"),
                *arguments,
                cwd=folder,
                env={**os.environ, "OS_GLANCE_CONFIG_DIR": str(folder), "OS_GLANCE_CONFIG_FILES": "glance-api.conf"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            await listening(socket.AF_INET, ("127.0.0.1", port), process)
            yield cls(f"http://127.0.0.1:{port}")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    async def upload(self, name: str, content: bytes) -> str:
        """The new image's id."""
        body = {"name": name, "disk_format": "raw", "container_format": "bare", "visibility": "public"}
        async with aiohttp.ClientSession(raise_for_status=True) as session:
            async with session.post(f"{self.url}/v2/images", json=body) as answer:
                image = str((await answer.json())["id"])
            kind = {"Content-Type": "application/octet-stream"}
            async with session.put(f"{self.url}/v2/images/{image}/file", data=content, headers=kind):
                return image


def _configuration(made: Path, folder: Path, port: int) -> str:
    return f"""[DEFAULT]
enabled_backends = disk:file
worker_self_reference_url = http://127.0.0.1:{port}
[glance_store]
default_backend = disk
[disk]
filesystem_store_datadir = {folder}/images
[os_glance_staging_store]
filesystem_store_datadir = {folder}/staging
[os_glance_tasks_store]
filesystem_store_datadir = {folder}/tasks
[database]
connection = sqlite:///{folder}/glance.sqlite
[paste_deploy]
config_file = {made}/etc/glance/glance-api-paste.ini
[oslo_policy]
policy_file = {folder}/glance-policy.yaml
[oslo_concurrency]
lock_path = {folder}
"""
