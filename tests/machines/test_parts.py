"""Parts of the machines' lab that need no packages: cables, the ramdisk's archive and the order of its modules."""

from __future__ import annotations

import asyncio
import gzip
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ironlane.lab.machines.cable import Cable
from ironlane.lab.machines.programs import forbidden
from ironlane.lab.machines.ramdisk import Archive, modules
from ironlane.model.errors import Permanent


async def test_a_cable_carries_frames_both_ways_each_with_its_own_length() -> None:
    with tempfile.TemporaryDirectory(prefix="ironlane-cable-") as folder:
        nic, port = Path(folder) / "nic", Path(folder) / "port"
        plugged: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        switch = await asyncio.start_unix_server(lambda *ends: plugged.put_nowait(ends), port)
        cable = Cable(nic, port)
        await cable.start()
        from_cable, to_cable = await asyncio.open_unix_connection(nic)
        async with asyncio.timeout(20):
            from_port, to_port = await plugged.get()
            to_cable.write(b"\0\0\0\x03abc" + b"\0\0\0\x01d")
            assert await from_port.readexactly(8) == b"\0\x03abc\0\x01d"
            to_port.write(b"\0\x02ef")
            assert await from_cable.readexactly(6) == b"\0\0\0\x02ef"
            to_port.close()  # the switch is gone: so is the link
            assert await from_cable.read() == b""
        await cable.stop()
        to_cable.close()
        switch.close()


def test_an_archive_holds_directories_before_their_files() -> None:
    archive = Archive()
    archive.file("a/b/run", b"#!/bin/sh\n", executable=True)
    archive.file("a/data", b"12345")
    archive.device("dev/console", 5, 1)
    found = _entries(gzip.decompress(archive.packed()))
    assert list(found) == ["a", "a/b", "a/b/run", "a/data", "dev", "dev/console", "TRAILER!!!"]
    assert {name: mode for name, (mode, *_) in found.items() if name.startswith("a")} == {
        "a": 0o40755,
        "a/b": 0o40755,
        "a/b/run": 0o100755,
        "a/data": 0o100644,
    }
    assert found["a/b/run"][2] == b"#!/bin/sh\n"
    assert found["a/data"][2] == b"12345"
    assert found["dev/console"] == (0o20600, os.makedev(5, 1), b"")


def test_modules_come_after_those_that_they_depend_on(tmp_path: Path) -> None:
    _modules(tmp_path, "a/nic.ko: b/net-fail.ko b/bus.ko\nb/net-fail.ko: b/core.ko\nb/core.ko:\nb/bus.ko:\n")
    found = [path.name for path in modules(tmp_path, ["nic", "built_in", "bus"])]
    assert found == ["core.ko", "net-fail.ko", "bus.ko", "nic.ko"]


def test_a_module_that_is_nowhere_is_named(tmp_path: Path) -> None:
    _modules(tmp_path, "b/bus.ko:\n")
    with pytest.raises(Permanent, match="nic"):
        modules(tmp_path, ["nic"])


def _modules(folder: Path, depends: str) -> None:
    (folder / "modules.dep").write_text(depends)
    (folder / "modules.builtin").write_text("kernel/built-in.ko\n")


def _entries(data: bytes) -> dict[str, tuple[int, int, bytes]]:
    """Name to mode, device and content, by cpio(5)'s "newc"."""
    found = {}
    at = 0
    while at < len(data):
        assert data[at : at + 6] == b"070701"
        numbers = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        mode, size, major, minor, length = (numbers[n] for n in (1, 6, 9, 10, 11))
        name = data[at + 110 : at + 110 + length - 1].decode()
        begin = _aligned(at + 110 + length)
        found[name] = (mode, os.makedev(major, minor), data[begin : begin + size])
        at = _aligned(begin + size)
    return found


def _aligned(offset: int) -> int:
    return offset + -offset % 4


def test_a_kernel_that_forbids_namespaces_is_told_with_the_remedy() -> None:
    if reason := forbidden():
        pytest.skip(reason)
    inner = [sys.executable, "-c", "from ironlane.lab.machines.programs import forbidden; print(forbidden())"]
    # The limit is a namespace's own: that of this host is left alone.
    script = 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"'
    told = subprocess.run(
        ["unshare", "--map-root-user", "sh", "-c", script, "sh", *inner], capture_output=True, text=True, check=True
    ).stdout
    assert "user.max_user_namespaces" in told
    assert "unshare" in told
