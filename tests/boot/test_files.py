"""Each node's boot files: over HTTP and TFTP, to whoever was told where, and gone after the phase."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from ironlane.boot.files import BootFilesSettings
from ironlane.boot.images import CacheSettings
from ironlane.boot.services import BootServices, BootServicesSettings
from ironlane.model.errors import Permanent
from ironlane.model.node import Node, NodeId
from tests.boot.conftest import Dhcp
from tests.boot.lan import Lan
from tests.conductor.site import Site

UNDI, SNP, KERNEL, RAMDISK = b"undionly" * 5000, b"snponly" * 5000, b"kernel" * 9000, b"ramdisk" * 9000
MAC = "02:00:00:00:00:05"


@pytest.fixture
def settings(tmp_path: Path) -> BootServicesSettings:
    for name, content in (("undionly.kpxe", UNDI), ("snponly.efi", SNP), ("vmlinuz", KERNEL), ("initrd", RAMDISK)):
        (tmp_path / "given").mkdir(exist_ok=True)
        (tmp_path / "given" / name).write_bytes(content)
    files = BootFilesSettings(
        tmp_path / "boot",
        "http://127.0.0.1:0",
        "127.0.0.1",
        firmware=tmp_path / "given",
        api_url="http://192.0.2.2:9797/baremetal",
        arguments="console=ttyS0",
    )
    cache = CacheSettings(tmp_path / "boot" / "images", (tmp_path / "given",))
    return BootServicesSettings("127.0.0.1", 0, files, cache, tftp_command=("no-such-program",))


@pytest_asyncio.fixture
async def services(settings: BootServicesSettings) -> AsyncIterator[BootServices]:
    made = BootServices(settings)
    await made.start()
    yield made
    await made.stop()


def a_node(tmp_path: Path, name: str = "one", **driver_info: Any) -> Node:
    images = {"deploy_kernel": f"file://{tmp_path}/given/vmlinuz", "deploy_ramdisk": f"file://{tmp_path}/given/initrd"}
    checksum = {"deploy_kernel_checksum": hashlib.sha256(KERNEL).hexdigest()}
    return Node(NodeId(f"id-{name}"), name=name, driver_info={**images, **checksum, **driver_info})


def told(options: Any) -> dict[str, str]:
    return {option["opt_name"]: option["opt_value"] for option in options if option["ip_version"] == 4}


async def get(url: str) -> tuple[int, bytes]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.read()


async def test_from_the_dhcp_answer_to_the_kernel(services: BootServices, tmp_path: Path) -> None:
    options = told(await services.prepare(a_node(tmp_path), "cleaning"))
    status, script = await get(options["tag:ipxe,67"])
    assert status == 200
    kernel = next(line for line in script.decode().splitlines() if line.startswith("kernel "))
    words = kernel.split(" || ")[0].split()
    assert words[6:] == ["console=ttyS0", "ipa-api-url=http://192.0.2.2:9797/baremetal", *words[8:]]
    assert await get(words[5]) == (200, KERNEL)
    assert await get(words[5].removesuffix("kernel") + "ramdisk") == (200, RAMDISK)
    base, token = options["tag:ipxe,67"].removesuffix("/boot.ipxe").rsplit("/", 1)
    assert options["tag:!ipxe,67"] == f"{token}/undionly.kpxe"
    assert options["tag:!ipxe,tag:efi-x86_64,67"] == f"{token}/snponly.efi"
    assert await get(options["tag:!ipxe,tag:efi-x86_64,tag:efi-http,67"]) == (200, SNP)
    assert told(await services.prepare(a_node(tmp_path), "cleaning")) == options, "again is the same as once"
    assert base.startswith("http://127.0.0.1:")


async def test_nobody_gets_at_the_files_of_another(services: BootServices, tmp_path: Path) -> None:
    one = told(await services.prepare(a_node(tmp_path, "one"), "cleaning"))["tag:ipxe,67"]
    two = told(await services.prepare(a_node(tmp_path, "two"), "cleaning"))["tag:ipxe,67"]
    assert one != two
    base, token, _ = one.rsplit("/", 2)
    for path in ("", "/", f"/{token}", f"/{token}/", f"/{token[:-1]}x/kernel", "/id-one/kernel", f"/{token}/.kernel"):
        assert (await get(base + path))[0] == 404
    # aiohttp's client would tidy these up, so they are sent as they are.
    port = int(base.rsplit(":", 1)[1])
    for path in (
        f"/{token}/../../images/x",
        f"/{token}/..%2f..%2findex%2fid-two",
        "/%2e%2e/index/id-two",
        "/../index/id-two",
    ):
        assert b" 404 " in await _raw(port, path)
    with pytest.raises(Permanent):
        await services.discard("../images")


async def test_torn_down_and_a_new_place_every_time(services: BootServices, tmp_path: Path) -> None:
    first = told(await services.prepare(a_node(tmp_path), "cleaning"))["tag:ipxe,67"]
    await services.discard("id-one")
    await services.discard("id-one")
    assert (await get(first))[0] == 404
    second = told(await services.prepare(a_node(tmp_path), "provisioning"))["tag:ipxe,67"]
    assert second != first
    assert (await get(second))[0] == 200


async def test_another_life_of_the_process(settings: BootServicesSettings, tmp_path: Path) -> None:
    """What was made ready stays where it was; what belongs to no node goes."""
    first = BootServices(settings)
    await first.start()
    before = told(await first.prepare(a_node(tmp_path), "cleaning"))["tag:!ipxe,67"]
    await first.stop()
    (tmp_path / "boot" / "nodes" / "stray").mkdir()
    second = BootServices(settings)
    await second.start()
    try:
        assert not (tmp_path / "boot" / "nodes" / "stray").exists()
        assert told(await second.prepare(a_node(tmp_path), "cleaning"))["tag:!ipxe,67"] == before
    finally:
        await second.stop()


async def test_what_cannot_be_booted_is_told(services: BootServices, tmp_path: Path) -> None:
    for changes, message in (
        ({"deploy_ramdisk": None}, "driver_info.deploy_ramdisk: is missing"),
        ({"deploy_kernel": "ftp://x/y"}, "driver_info.deploy_kernel: is not an http, https or file URL"),
        ({"deploy_kernel_checksum": "ab" * 32}, "is not the image that it should be"),
        ({"kernel_append_params": "a\nb"}, "driver_info.kernel_append_params"),
        ({"deploy_kernel": "file:///etc/passwd", "deploy_kernel_checksum": ""}, "is not in a directory"),
    ):
        with pytest.raises(Permanent, match=message):
            await services.prepare(a_node(tmp_path, **changes), "cleaning")
    shutil.rmtree(tmp_path / "given")
    with pytest.raises(Permanent, match="there is no iPXE in"):
        await services.prepare(a_node(tmp_path), "cleaning")


async def test_nodes_without_a_kernel_boot_what_others_serve(services: BootServices) -> None:
    options = told(await services.prepare(Node(NodeId("id-x"), name="x"), "cleaning"))
    assert options == {"67": "undionly.kpxe", "66": "127.0.0.1", "150": "127.0.0.1", "255": "127.0.0.1"}


async def test_a_ramdisk_as_the_instance(services: BootServices, tmp_path: Path) -> None:
    given = f"file://{tmp_path}/given"
    instance = {
        "kernel": f"{given}/initrd",
        "ramdisk": f"{given}/vmlinuz",
        "ramdisk_kernel_arguments": "root=/dev/ram0",
    }
    node = replace(a_node(tmp_path), instance_info=instance, interfaces={"deploy_interface": "ramdisk"})
    script = (await get(told(await services.prepare(node, "provisioning"))["tag:ipxe,67"]))[1].decode()
    assert "root=/dev/ram0" in script
    assert "ipa-api-url" not in script


async def test_the_life_of_a_node(store: Any, services: BootServices, tmp_path: Path) -> None:
    """The conductor has the files ready before the server is powered on, and takes them away after the phase."""
    site = Site(store)
    site.settings = replace(site.settings, boot=services)
    await site.furnish()
    nodes_directory = tmp_path / "boot" / "nodes"
    async with site.conductor():
        node = await site.node(1)
        await _give(store, node.id, a_node(tmp_path).driver_info)
        await site.ask(node, "manage")
        await site.until_state(node, "manageable")
        await site.ask(node, "provide")
        await site.until_state(node, "clean wait", "booted")
        (directory,) = nodes_directory.iterdir()
        assert sorted(path.name for path in directory.iterdir()) == [
            "boot.ipxe",
            "kernel",
            "ramdisk",
            "snponly.efi",
            "undionly.kpxe",
        ]
        options = told(await store.read(_provision_options))
        assert options["tag:!ipxe,67"] == f"{directory.name}/undionly.kpxe"
        await site.report(node)
        await site.until_state(node, "available")
        assert list(nodes_directory.iterdir()) == []


async def test_tftp_over_the_wire(dhcp: Dhcp, lan: Lan, settings: BootServicesSettings, tmp_path: Path) -> None:
    """By a real dnsmasq, with busybox' client: the path that DHCP told, and nothing else."""
    if shutil.which("busybox") is None:
        pytest.skip("busybox is not installed (package busybox-static)")
    here = replace(settings, host="10.0.0.1", tftp_command=("dnsmasq",))
    here = replace(here, files=replace(here.files, http_url="http://10.0.0.1:0", tftp_server="10.0.0.1"))
    services = BootServices(here)
    await services.start()
    try:
        given = await services.prepare(a_node(tmp_path), "cleaning")
        port = await dhcp.api.made("ports", network_id=dhcp.network, mac_address=MAC, extra_dhcp_opts=list(given))
        answer = lan.ask(MAC)
        assert answer is not None
        assert (answer.siaddr, answer.said[66]) == ("10.0.0.1", b"10.0.0.1")
        efi = lan.ask(MAC, options={93: b"\x00\x07"})
        assert efi is not None
        over_http = lan.ask(MAC, options={93: b"\x00\x10", 60: b"HTTPClient:Arch:00016"})
        assert over_http is not None
        assert over_http.said[60] == b"HTTPClient"
        assert over_http.said[67].startswith(b"http://10.0.0.1:")
        assert await _tftp(answer.said[67].decode(), tmp_path) == UNDI
        assert await _tftp(efi.said[67].decode(), tmp_path) == SNP
        token = answer.said[67].decode().split("/")[0]
        for path in (
            "undionly.kpxe",
            f"{token}/../../index/id-one",
            "../index/id-one",
            "/etc/passwd",
            f"{token}/nothing",
        ):
            assert await _tftp(path, tmp_path) is None
        told_of = services.state()["tftp"]
        assert told_of["not_found"] >= 1
        assert told_of["state"] == "ok"
        await _killed_and_back(services)
        assert await _tftp(efi.said[67].decode(), tmp_path) == SNP
        await dhcp.gone(port)
        await services.discard("id-one")
        assert await _tftp(efi.said[67].decode(), tmp_path) is None
    finally:
        await services.stop()


async def _killed_and_back(services: BootServices) -> None:
    pid = services._tftp.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(30):
        while services._tftp.pid == pid or services.state()["tftp"]["state"] != "ok":  # noqa: ASYNC110 - a killed process
            await asyncio.sleep(0.02)


async def _tftp(path: str, tmp_path: Path) -> bytes | None:
    got = tmp_path / "got"
    got.unlink(missing_ok=True)
    process = await asyncio.create_subprocess_exec(
        "busybox", "tftp", "-g", "-l", str(got), "-r", path, "10.0.0.1", stdout=-3, stderr=-3
    )
    code = await asyncio.wait_for(process.wait(), 60)
    return got.read_bytes() if code == 0 else None


async def _raw(port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.split(b"\r\n")[0]


async def _give(store: Any, node_id: str, driver_info: Any) -> None:
    import sqlalchemy as sa

    from ironlane.store.tables import nodes

    where = nodes.c.id == node_id
    await store.write(lambda tx: tx.execute(sa.update(nodes).where(where).values(driver_info=dict(driver_info))))


def _provision_options(tx: Any) -> list[dict[str, Any]]:
    import sqlalchemy as sa

    from ironlane.store.tables import ports

    (row,) = tx.all(sa.select(ports.c.extra_dhcp_opts))
    return list(row.extra_dhcp_opts)
