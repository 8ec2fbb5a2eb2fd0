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

HOST = "5d9d4b0e-6c63-4d8f-9d6e-0f1c2a3b4c5d"
ROOT = Path(__file__).parents[2]


async def test_what_is_overtaken_is_not_written(tmp_path: Path) -> None:
    assert await _seen(tmp_path) == {
        "undisturbed": ["DOWN", "ACTIVE", "DOWN"],
        "unbound before ML2 looks": "DOWN",
        "unbound after ML2 looked": "DOWN",
        "bound elsewhere after ML2 looked": "DOWN",
        "unbound while ML2 writes": "DOWN",
        "its network goes down while ML2 writes": "DOWN",
        "verified while it is unbound": "DOWN",
        "verified while it is bound elsewhere": "DOWN",
        "administratively down": ["DOWN", "ACTIVE"],
        "its network is down": ["DOWN", "DOWN", "ACTIVE"],
        "somebody else's block is lifted": ["DOWN", "DOWN", "ACTIVE"],
        "somebody else's block is lifted while it is bound elsewhere": "DOWN",
        "somebody else's block is lifted while it is unbound": "DOWN",
        "its links were malformed before we were here": [True, False],
        "its profile cannot be read": [False, False],
        "our block": [True, False, True, False],
        "refused when it is unbound": ["DOWN", False],
        "refused when it is bound elsewhere": ["ACTIVE", False],
        "its network goes down while it is unbound": ["DOWN", False],
        "not as it should be when it is unbound": ["ACTIVE", False],
        "bound while it is deleted": True,
        "bound without links": [["DOWN", True, False], ["DOWN", True, False]],
        "about to move to another host": ["ACTIVE", False, HOST],
        "sub-port of a parent port on other links": [
            ["DOWN", "DOWN"],
            ["ACTIVE", "DOWN"],
            ["ACTIVE", "ACTIVE"],
            ["DOWN", "DOWN"],
            ["DOWN", "DOWN"],
            ["ACTIVE", "DOWN"],
            ["ACTIVE", "ACTIVE"],
            ["DOWN", "DOWN"],
            ["DOWN", "DOWN"],
            ["DOWN", "DOWN"],
        ],
        "parent port is unbound, and the process ends": ["DOWN", "DOWN"],
        "parent port is unbound while a sub-port comes": ["DOWN", "DOWN"],
        "parent port is bound elsewhere while its sub-port is made ACTIVE": "DOWN",
        "taken off its trunk while it is bound": [True, False],
        "made a sub-port though it is bound by itself": ["DOWN", True],
        "its trunk is deleted, and the process ends": ["ACTIVE", "DOWN", "DOWN", False],
        "one of two sub-ports cannot be bound": [False, True, True],
        "trunk is looked at while a port comes back": "ACTIVE",
        "trunk of somebody else's": "DOWN",
    }


async def _seen(folder: Path) -> Any:
    try:
        made = await asyncio.to_thread(neutron.environment)
    except neutron.Unavailable as why:
        pytest.skip(f"no Neutron on this machine: {why}")
    nobody = {"auth_type": "none", "endpoint": "http://127.0.0.1:9", "url": "http://127.0.0.1:9"}
    async with neutron.configured(made, folder, nobody) as env:
        env["PYTHONPATH"] += f":{ROOT}"
        command = [str(made / "bin/python"), "-P", "-m", "tests.openstack.inside"]
        with (folder / "neutron.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(*command, env=os.environ | env, stdout=PIPE, stderr=log)
            told, _ = await process.communicate()
        assert process.returncode == 0, (folder / "neutron.log").read_text()[-5000:]
    return json.loads(told.splitlines()[-1])  # after what Neutron logs
