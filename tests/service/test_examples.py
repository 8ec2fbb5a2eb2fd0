"""What is in examples/ works as it stands."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ironlane.cli.main import main
from tests.service.process import free_port

EXAMPLES = Path(__file__).parents[2] / "examples"
LAB_PORTS = (18301, 18302, 18400)
"""Of virtual-rack.yaml."""


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_site_files_are_in_order(file: Path) -> None:
    checked = CliRunner().invoke(main, ["site", "check", str(file)])
    assert checked.exit_code == 0, checked.output


@pytest.mark.clients
@pytest.mark.timeout(400)
async def test_first_server() -> None:
    if not (Path(sys.executable).parent / "openstack").exists():
        pytest.skip("the openstack command is not installed (make setup)")
    for port in LAB_PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                pytest.skip(f"port {port} of examples/virtual-rack.yaml is taken")
    process = await asyncio.create_subprocess_exec(
        "bash",
        str(EXAMPLES / "first-server.sh"),
        env={**os.environ, "PORT": str(free_port()), "GATEWAY_PORT": str(free_port())},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,  # its service and its rack go with it, whatever happens
    )
    try:
        output = (await asyncio.wait_for(process.communicate(), 380))[0].decode()
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    assert process.returncode == 0, output[-5000:]
    assert "the tenant port was ACTIVE while the server was deployed" in output
