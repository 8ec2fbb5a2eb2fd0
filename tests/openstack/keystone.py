"""A real Keystone, on SQLite, behind a plain WSGI server of the standard library."""

from __future__ import annotations

import asyncio
import getpass
import grp
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench import environments
from bench.fabric.peer import listening

ADMIN_PASSWORD = "for admin"

_SERVE = """
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer, make_server

class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

port = int(sys.argv.pop())  # Keystone reads the command line too
from keystone.wsgi.api import application
make_server("127.0.0.1", port, application, Server).serve_forever()
"""


def environment() -> Path:
    """The virtual environment with Keystone, and in it a database with its first user and roles, and its keys.

    Raises:
        Unavailable: the packages cannot be installed.
    """
    made = environments.environment("keystone", "openstack-keystone.lock")
    with environments.alone(made.with_suffix(".database")):
        empty = made / "empty"
        if not empty.exists():
            building = made / "building"
            shutil.rmtree(building, ignore_errors=True)
            (building / "fernet").mkdir(parents=True)
            (building / "credential").mkdir()
            config = building / "keystone.conf"
            config.write_text(_configuration(building))
            manage = (made / "bin/keystone-manage", "--config-file", config)
            owner = ("--keystone-user", getpass.getuser(), "--keystone-group", grp.getgrgid(os.getgid()).gr_name)
            environments.run(*manage, "db_sync")
            environments.run(*manage, "fernet_setup", *owner)
            environments.run(*manage, "credential_setup", *owner)
            environments.run(*manage, "bootstrap", "--bootstrap-password", ADMIN_PASSWORD)
            building.rename(empty)
    return made


def _configuration(folder: Path) -> str:
    return f"""[DEFAULT]
log_file = {folder}/keystone.log
[database]
connection = sqlite:///{folder}/keystone.sqlite
[fernet_tokens]
key_repository = {folder}/fernet
[credential]
key_repository = {folder}/credential
"""


@asynccontextmanager
async def running(made: Path, folder: Path, port: int) -> AsyncIterator[str]:
    """Its URL, with the version."""
    home = folder / "keystone"
    await asyncio.to_thread(shutil.copytree, made / "empty", home)
    (home / "keystone.conf").write_text(_configuration(home))
    with (home / "serve.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(str(made / "bin/python"), "-W", "ignore", "-c", _SERVE, str(port)),
            env={**os.environ, "OS_KEYSTONE_CONFIG_DIR": str(home)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        await listening(socket.AF_INET, ("127.0.0.1", port), process)
        yield f"http://127.0.0.1:{port}/v3"
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()
