"""`python -m tests.compatibility.openstackclient_process FILE`: run the `openstack` commands that stdin has as JSON.

In one process, because the command takes a second to start. FILE gets, for each, what it said of its failure, or "".
"""

from __future__ import annotations

import contextlib
import io
import json
import shlex
import sys
from pathlib import Path

from openstackclient.shell import OpenStackShell


def tried(words: str) -> str:
    """What a command wrote about its failure."""
    output, errors = io.StringIO(), io.StringIO()
    status: object
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            status = OpenStackShell().run(shlex.split(words))
        except SystemExit as ended:
            status = ended.code
    print(f"--- openstack {words}: {status}\n{output.getvalue()}{errors.getvalue()}", flush=True)
    return "" if status == 0 else errors.getvalue().strip() or f"status {status}"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps([tried(words) for words in json.load(sys.stdin)]))
