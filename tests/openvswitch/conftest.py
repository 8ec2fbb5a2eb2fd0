"""Fixtures on a real Open vSwitch. The first ones need no root: dummy interfaces and no namespaces."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from ironlane.lab.openvswitch import OpenVSwitch
from ironlane.model.fabric import SwitchId
from ironlane.switches.base import Access
from ironlane.switches.openvswitch import OpenVSwitchDriver

from .bed import why_not

PORTS = tuple(f"swp{number}" for number in range(1, 7))


@pytest.fixture(scope="module")
def ovs() -> Iterator[OpenVSwitch]:
    """A running private Open vSwitch without bridges."""
    if reason := why_not(namespaces=False):
        pytest.skip(reason)
    directory = Path(tempfile.mkdtemp(prefix="ironlane-ovs-"))
    running = OpenVSwitch(directory)
    try:
        asyncio.run(running.start())
        yield running
    finally:
        running.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest_asyncio.fixture
async def bridge(ovs: OpenVSwitch) -> OpenVSwitch:
    """The same with a fresh bridge `br0` with six unconfigured ports, `swp1` to `swp6`."""
    ports = [word for port in PORTS for word in ("--", "add-port", "br0", port, "--", *_dummy(port))]
    fresh = ("--if-exists", "del-br", "br0", "--", "add-br", "br0", "--", "set", "Bridge", "br0")
    await ovs.vsctl(*fresh, "datapath_type=dummy", *ports)
    return ovs


def _dummy(port: str) -> tuple[str, ...]:
    return ("set", "Interface", port, "type=dummy")


@pytest_asyncio.fixture
async def driver(bridge: OpenVSwitch) -> AsyncIterator[OpenVSwitchDriver]:
    """The driver of that bridge."""
    made = driver_of(bridge)
    yield made
    await made.close()


def driver_of(running: OpenVSwitch, **options: object) -> OpenVSwitchDriver:
    """A driver of the bridge `br0`; `socket` and `timeout` may differ from the usual."""
    socket = str(options.pop("socket", running.socket))
    timeout = float(str(options.pop("timeout", 5.0)))
    access = Access(SwitchId("leaf-1"), socket, options={"bridge": "br0", "settle": 0.0, **options}, timeout=timeout)
    return OpenVSwitchDriver(access)
