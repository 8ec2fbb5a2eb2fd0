"""Virtual environments with OpenStack's own services, made from lock files on first use and kept.

They lie under `IRONLANE_BENCH_CACHE` (default `~/.cache/ironlane-bench`), each made anew when its lock file changes.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REQUIREMENTS = Path(__file__).parents[1] / "requirements"


class Unavailable(Exception):
    """Something cannot be run on this machine."""


def environment(name: str, lock: str) -> Path:
    """The environment of that name, with what a lock file in `requirements/` names.

    Several processes may ask at once: one makes it.

    Raises:
        Unavailable: the packages cannot be installed.
    """
    wanted = (REQUIREMENTS / lock).read_text()
    cache = Path(os.environ.get("IRONLANE_BENCH_CACHE", "~/.cache/ironlane-bench")).expanduser()
    cache.mkdir(parents=True, exist_ok=True)
    made = cache / name
    with alone(cache / f"{name}.lock"):
        stamp = made / "installed"
        if not stamp.exists() or stamp.read_text() != wanted:
            shutil.rmtree(made, ignore_errors=True)
            run(sys.executable, "-m", "venv", made)
            # Of thousands of modules a few hundred are ever imported: those are compiled when they are.
            options = ("--quiet", "--disable-pip-version-check", "--no-compile", "--require-hashes")
            run(made / "bin/python", "-m", "pip", "install", *options, "-r", REQUIREMENTS / lock)
            stamp.write_text(wanted)
    return made


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """No other process is in here with the same file."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run(*command: Any) -> str:
    """What a command printed.

    Raises:
        Unavailable: it failed.
    """
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"{' '.join(map(str, command[:4]))} failed: {(done.stderr or done.stdout)[-1500:]}")
    return done.stdout
