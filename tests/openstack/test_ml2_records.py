"""In one of Neutron's own processes: a port is not ACTIVE if somebody changes it just before that is written."""

from __future__ import annotations

import asyncio
import json
import os
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import pytest

from tests.openstack import neutron

pytestmark = [pytest.mark.openstack, pytest.mark.timeout(300)]

SCRIPT = Path(__file__).with_name("inside_neutron.py")


async def test_what_is_overtaken_is_not_written(tmp_path: Path) -> None:
    assert await _seen(tmp_path) == {
        "undisturbed": ["DOWN", "ACTIVE", "DOWN"],
        "unbound before ML2 looks": "DOWN",
        "unbound after ML2 looked": "DOWN",
        "bound elsewhere after ML2 looked": "DOWN",
        "verified while it is unbound": "DOWN",
        "verified while it is bound elsewhere": "DOWN",
        "administratively down": ["DOWN", "ACTIVE"],
        "somebody else's block is lifted": ["DOWN", "DOWN", "ACTIVE"],
    }


async def _seen(folder: Path) -> Any:
    try:
        made = await asyncio.to_thread(neutron.environment)
    except neutron.Unavailable as why:
        pytest.skip(f"no Neutron on this machine: {why}")
    nobody = {"auth_type": "none", "endpoint": "http://127.0.0.1:9", "url": "http://127.0.0.1:9"}
    async with neutron.configured(made, folder, nobody) as env:
        # -P: this folder has a neutron.py of its own.
        command = [str(made / "bin/python"), "-P", str(SCRIPT)]
        with (folder / "neutron.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(*command, env=os.environ | env, stdout=PIPE, stderr=log)
            told, _ = await process.communicate()
        assert process.returncode == 0, (folder / "neutron.log").read_text()[-5000:]
    return json.loads(told.splitlines()[-1])  # after what Neutron logs
