"""A QEMU machine through its whole life, by the command that `make lab` runs."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from ironlane.lab.machines.programs import why_not

BUDGET = 450
"""Seconds in all; more than a phase that hangs can take, which is a failure. A whole CI run has fifteen minutes."""


@pytest.mark.machines
@pytest.mark.timeout(BUDGET + 60)
def test_one_server_lives_its_whole_life() -> None:
    if reason := why_not():
        pytest.skip(reason)
    process = subprocess.Popen(
        [sys.executable, "-m", "ironlane", "machines", "--servers", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        told, _ = process.communicate(timeout=BUDGET)
    except subprocess.TimeoutExpired:
        process.terminate()  # with it ends all that it started
        told, _ = process.communicate()
        pytest.skip(f"this machine is too slow for it: after {BUDGET} s it was here:\n{told[-2000:]}")
    assert process.returncode == 0, told
    looked = re.search(r"^(\d+) things looked at, 0 wrong$", told, re.MULTILINE)
    assert looked, told
    assert int(looked[1]) > 40, told
