"""Starts `ironlane serve` quickly, again and again: everything is imported once, each service is a fork of that.

A program of its own. Each line on its standard input is `{"argv": […], "env": {…}, "log": FILE}`; the answer is the
new process's id. What runs in the child is the `ironlane` command as its user runs it; only the imports (three seconds
on a slow machine) are done already. The last line of its log is its exit status. The children end with the zygote.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys

import ironlane.service  # noqa: F401 - what takes long
from ironlane.cli.main import main


def child(order: dict[str, object]) -> None:
    """Become the service; does not return."""
    log = os.open(str(order["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, source in enumerate((nothing, log, log)):
        os.dup2(source, number)
    os.environ.update(order["env"])  # type: ignore[call-overload]
    status = 1
    try:
        main(order["argv"], standalone_mode=True)  # type: ignore[arg-type]
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    finally:
        os.write(log, f"exit status {status}\n".encode())
        os._exit(status)


def run() -> None:
    children: list[int] = []
    try:
        while line := sys.stdin.buffer.raw.readline():  # type: ignore[attr-defined]
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            pid = os.fork()
            if pid == 0:
                child(json.loads(line))
            children.append(pid)
            print(pid, flush=True)
    finally:
        for pid in children:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                if os.waitpid(pid, os.WNOHANG)[0] == 0:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)


if __name__ == "__main__":
    print("ready", flush=True)
    run()
