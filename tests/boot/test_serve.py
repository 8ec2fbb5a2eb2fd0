"""`ironlane serve` with DHCP and boot files: on the wire what its API was told, and nothing when it is dead."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest_asyncio

from tests.boot.lan import Lan

MAC, SENTINEL = "02:00:00:00:00:05", "02:00:00:00:00:fe"


@dataclass
class Service:
    process: asyncio.subprocess.Process
    url: str
    session: aiohttp.ClientSession

    async def health(self) -> dict[str, Any]:
        async with self.session.get(f"{self.url}/healthz") as answer:
            return dict(await answer.json())

    async def made(self, plural: str, **attributes: Any) -> dict[str, Any]:
        body = {plural[:-1]: attributes}
        async with self.session.post(f"{self.url}/networking/v2.0/{plural}", json=body) as answer:
            assert answer.status == 201, await answer.text()
            return dict((await answer.json())[plural[:-1]])

    async def delete(self, path: str) -> None:
        async with self.session.delete(f"{self.url}/networking/v2.0/{path}") as answer:
            assert answer.status == 204


@pytest_asyncio.fixture
async def service(lan: Lan, tmp_path: Path) -> AsyncIterator[Service]:
    settings = {
        "DATABASE_URL": f"sqlite:///{tmp_path}/ironlane.sqlite",
        "PORT": "0",
        "DHCP_INTERFACES": "v0",
        "BOOT_HOST": "10.0.0.1",
        "STATE_DIR": str(tmp_path / "state"),
    }
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "ironlane", "serve"),
        env={**os.environ, **{f"IRONLANE_{name}": value for name, value in settings.items()}},
        stdout=asyncio.subprocess.PIPE,
        stderr=log,
    )
    os.close(log)
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 60)
    url = line.decode().split()[1].removesuffix("/networking")
    async with aiohttp.ClientSession() as session:
        yield Service(process, url, session)
    if process.returncode is None:
        process.terminate()
    await process.wait()


async def test_the_process(service: Service, lan: Lan, tmp_path: Path) -> None:
    put = {"tenant_vlans": [[200, 299]]}
    async with service.session.put(f"{service.url}/fabric/v1/physical-networks/physnet1", json=put) as answer:
        assert answer.status in {200, 201}, await answer.text()
    network = await service.made("networks")
    pool = [{"start": "10.0.0.100", "end": "10.0.0.199"}]
    await service.made("subnets", network_id=network["id"], cidr="10.0.0.0/24", ip_version=4, allocation_pools=pool)
    await service.made("ports", network_id=network["id"], mac_address=SENTINEL)
    options = [{"opt_name": "67", "opt_value": "boot"}]
    port = await service.made("ports", network_id=network["id"], mac_address=MAC, extra_dhcp_opts=options)
    offer = await asyncio.to_thread(lan.ask, MAC)
    assert offer is not None
    assert offer.said[67] == b"boot"
    told = await service.health()
    assert told["dhcp"]["state"] == "ok"
    assert told["dhcp"]["reservations"] == 2
    assert told["boot"]["tftp"]["state"] == "ok"
    assert told["boot"]["http"] == "10.0.0.1:9798"
    async with service.session.get("http://10.0.0.1:9798/nothing/here") as answer:
        assert answer.status == 404
    assert (told["status"], told.get("reasons")) == ("ok", None)
    await _dying_tftp_is_told(service)
    await service.delete(f"ports/{port['id']}")
    assert lan.ask(MAC, sentinel=SENTINEL) is None
    daemons = _children(service.process.pid)
    assert len(daemons) == 2
    service.process.send_signal(signal.SIGKILL)
    await service.process.wait()
    async with asyncio.timeout(30):
        while any(Path(f"/proc/{pid}").exists() for pid in daemons):  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.02)
    assert lan.ask(SENTINEL) is None, "nobody knows any more whether this is true"


async def _dying_tftp_is_told(service: Service) -> None:
    """It is started again, later each time: so sooner or later it is seen to be missing."""
    async with asyncio.timeout(60):
        while (told := await service.health())["status"] == "ok":
            for pid in _children(service.process.pid):
                if b"--enable-tftp" in Path(f"/proc/{pid}/cmdline").read_bytes():  # noqa: ASYNC240
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.05)
        assert (told["status"], told["failing"]) == ("degraded", ["TFTP"])
        assert [reason for reason in told["reasons"] if reason.startswith("TFTP: it died")], told
        while (await service.health())["status"] != "ok":  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
