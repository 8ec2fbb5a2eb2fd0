"""The ramdisk: busybox, perl with what it needs, kernel modules, and the agent; a few megabytes, made in a second.

The format is that of Linux's initramfs ("newc" of cpio(5)), gzipped.
"""

from __future__ import annotations

import gzip
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ironlane.lab.machines.programs import modules_of, program
from ironlane.model.errors import Permanent

_MODULES = ("virtio_pci", "virtio_net", "virtio_blk", "bonding", "vfat", "nls_cp437", "nls_ascii")
_PERL = (
    "use strict; use warnings; use constant; use Socket; use File::Glob;"
    " print join qq{\\n}, $^X, values %INC, @DynaLoader::dl_shared_objects"
)
_HERE = Path(__file__).parent
_DIRECTORY, _FILE, _LINK, _DEVICE = 0o040755, 0o100644, 0o120777, 0o020600


@dataclass(slots=True)
class Archive:
    """A cpio archive in the making; directories above a file are made by themselves."""

    _entries: dict[str, tuple[int, bytes, int]] = field(default_factory=dict)

    def directory(self, path: str) -> None:
        parts = path.strip("/").split("/")
        for count in range(1, len(parts) + 1):
            self._entries.setdefault("/".join(parts[:count]), (_DIRECTORY, b"", 0))

    def file(self, path: str, content: bytes, *, executable: bool = False) -> None:
        name = path.strip("/")
        if "/" in name:
            self.directory(name.rsplit("/", 1)[0])
        self._entries[name] = (_FILE | (0o111 if executable else 0), content, 0)

    def device(self, path: str, major: int, minor: int) -> None:
        name = path.strip("/")
        self.directory(name.rsplit("/", 1)[0])
        self._entries[name] = (_DEVICE, b"", major << 16 | minor)

    def packed(self) -> bytes:
        entries = [*self._entries.items(), ("TRAILER!!!", (0, b"", 0))]
        return gzip.compress(b"".join(_entry(name, *entry) for name, entry in entries), 6)


def _entry(name: str, mode: int, content: bytes, device: int) -> bytes:
    raw = name.encode() + b"\0"
    numbers = [0, mode, 0, 0, 1, 0, len(content), 0, 0, device >> 16, device & 0xFFFF, len(raw), 0]
    head = b"070701" + b"".join(b"%08x" % number for number in numbers)
    return _padded(head + raw) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def ramdisk(kernel: Path) -> bytes:
    """A ramdisk for a kernel of this host; also the operating system that the lab installs (see `init.sh`)."""
    archive = Archive()
    for path in ("proc", "sys", "dev", "tmp"):
        archive.directory(path)
    archive.device("dev/console", 5, 1)  # before anything is mounted, the first process' output goes there
    archive.file("init", (_HERE / "init.sh").read_bytes(), executable=True)
    archive.file("lease", (_HERE / "lease.sh").read_bytes(), executable=True)
    archive.file("agent.pl", (_HERE / "agent.pl").read_bytes())
    archive.file("bin/busybox", Path(program("busybox")).read_bytes(), executable=True)
    for file in _perl():
        archive.file(str(file), file.read_bytes(), executable=True)
    archive.file("bin/perl", b'#!/bin/sh\nexec /usr/bin/perl "$@"\n', executable=True)
    loaded = modules(modules_of(kernel), _MODULES)
    for module in loaded:
        archive.file(f"modules/{module.name}", module.read_bytes())
    archive.file("modules/order", "\n".join(module.name for module in loaded).encode())
    return archive.packed()


def modules(directory: Path, wanted: Iterable[str]) -> list[Path]:
    """Modules with all that they depend on, in the order in which they have to be loaded, but for built-in ones."""
    depends: dict[str, tuple[Path, list[str]]] = {}
    for line in (directory / "modules.dep").read_text().splitlines():
        path, _, rest = line.partition(":")
        depends[_module(path)] = (directory / path, [_module(word) for word in rest.split()])
    builtin = {_module(line) for line in (directory / "modules.builtin").read_text().splitlines()}
    found: list[Path] = []

    def add(name: str) -> None:
        if name not in depends:
            if name in builtin:
                return
            raise Permanent(f"there is no module {name} in {directory}")
        path, needs = depends[name]
        for need in needs:
            add(need)
        if path not in found:
            found.append(path)

    for name in wanted:
        add(name)
    return found


def _module(path: str) -> str:
    return path.rsplit("/", 1)[-1].split(".ko", maxsplit=1)[0].replace("-", "_")


def _perl() -> list[Path]:
    """Perl, the modules that the agent uses, and the libraries that these need."""
    told = subprocess.run([program("perl"), "-e", _PERL], capture_output=True, text=True, check=True).stdout
    files = {Path(line) for line in told.splitlines()}
    binaries = [path for path in files if path.suffix not in {".pm", ".pl"}]
    for binary in binaries:
        linked = subprocess.run([program("ldd"), str(binary)], capture_output=True, text=True, check=True).stdout
        files |= {Path(path) for path in re.findall(r"(/\S+) \(0x", linked)}
    return sorted(files)
