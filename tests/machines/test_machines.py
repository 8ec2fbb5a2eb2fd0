"""A QEMU machine through its whole life, by the command that `make lab` runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from ironlane.lab.machines.programs import why_not

WANTED = "IRONLANE_TEST_MACHINES"
PATIENCE = 600


@pytest.mark.machines
@pytest.mark.timeout(PATIENCE + 60)
@pytest.mark.skipif(os.environ.get(WANTED) != "1", reason=f"boots QEMU for a minute or more: {WANTED}=1 runs it")
def test_one_server_lives_its_whole_life() -> None:
    if reason := why_not():
        pytest.skip(reason)
    done = subprocess.run(
        [sys.executable, "-m", "ironlane", "machines", "--servers", "1"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    looked = re.search(r"^(\d+) things looked at, 0 wrong$", done.stdout, re.MULTILINE)
    assert looked, done.stdout
    assert int(looked[1]) > 40, done.stdout
