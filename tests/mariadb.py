"""A MariaDB server of the tests' own, on a private Unix socket and on a port of 127.0.0.1."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.service.process import free_port

PASSWORD = "of-the-database-8f3k"
"""Of every user; it is to be found in no log and no answer."""


def missing() -> str:
    """What is not there to start a server with, or nothing."""
    return ", ".join(name for name in ("mariadbd", "mariadb-install-db", "mariadb") if _program(name) is None)


@dataclass(frozen=True, slots=True)
class MariaDb:
    """A running server."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    def run(self, *statements: str) -> None:
        client = [str(_program("mariadb")), "--no-defaults", f"--socket={self._socket}", "-uroot"]
        subprocess.run([*client, "-e", "; ".join(statements)], check=True, capture_output=True)

    def new_database(self) -> str:
        """The URL of an empty database, which compares and keeps text as MariaDB does unless told otherwise.

        Its user is of the same name, and may do what it likes there, and nothing elsewhere.
        """
        name = "test_" + os.urandom(6).hex()
        user = f"CREATE USER {name}@localhost IDENTIFIED BY '{PASSWORD}'"
        self.run(f"CREATE DATABASE {name}", user, f"GRANT ALL ON {name}.* TO {name}@localhost")
        return f"mariadb+asyncmy://{name}:{PASSWORD}@localhost/{name}?unix_socket={self._socket}"

    def shut_out(self, user: str) -> None:
        """End what this user has open, and have it denied access."""
        self.run(f"ALTER USER {user}@localhost ACCOUNT LOCK", f"KILL USER {user}@localhost")

    def let_in(self, user: str) -> None:
        self.run(f"ALTER USER {user}@localhost ACCOUNT UNLOCK")

    @property
    def _socket(self) -> Path:
        return self.folder / "socket"


@contextmanager
def running(*options: str) -> Iterator[MariaDb]:
    """A server with defaults that are of no help: Latin 1, half of a time zone off, text cut off to what fits."""
    folder = Path(tempfile.mkdtemp(prefix="ironlane-mariadb-"))
    temporary = folder / "temporary"
    temporary.mkdir()  # a server that starts takes away the temporary tables of others in the same place
    data = ["--no-defaults", f"--datadir={folder}/data", f"--tmpdir={temporary}"]
    data += ["--user=root"] if os.geteuid() == 0 else []
    install = [str(_program("mariadb-install-db")), *data, "--skip-test-db", "--auth-root-authentication-method=normal"]
    try:
        subprocess.run(install, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port = free_port()
        listen = (f"--socket={folder}/socket", "--bind-address=127.0.0.1", f"--port={port}")
        unhelpful = ("--default-time-zone=+05:30", "--sql-mode=", "--character-set-server=latin1")
        fast = ("--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--performance-schema=0")
        server = [str(_program("mariadbd")), *data, *listen, *unhelpful, *fast, "--max-connections=400", *options]
        with (folder / "log").open("wb") as log, subprocess.Popen(server, stdout=log, stderr=log) as process:
            try:
                found = MariaDb(folder, port, process)
                _until_ready(found)
                yield found
            finally:
                process.terminate()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def _until_ready(server: MariaDb) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            server.run("SELECT 1")
        except subprocess.CalledProcessError:
            if server.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("MariaDB did not start: " + (server.folder / "log").read_text()) from None
            time.sleep(0.05)
        else:
            return
