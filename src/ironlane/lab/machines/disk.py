"""The image that servers are written with: a disk with boot loaders, a kernel and an operating system, made without
root."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from ironlane.lab.machines.programs import EFI_LOADER, run

_ROOM = 4 << 20
"""Bytes of the file system beyond its files."""


async def bootable(image: Path, kernel: Path, ramdisk: Path, arguments: str) -> None:
    """Make `image`: a FAT file system on the whole disk, from which SYSLINUX boots by BIOS, systemd-boot by UEFI."""
    syslinux = (
        f"DEFAULT lab\nPROMPT 0\nSAY lab: SYSLINUX\nLABEL lab\nKERNEL vmlinuz\nINITRD initrd\nAPPEND {arguments}\n"
    )
    await asyncio.to_thread(_empty, image, (kernel, ramdisk))
    await run("mkfs.vfat", "-F", "16", "-n", "LAB", image)
    for source, name in ((kernel, "vmlinuz"), (ramdisk, "initrd")):
        await run("mcopy", "-i", image, source, f"::{name}")
    await run("mmd", "-i", image, "::EFI", "::EFI/BOOT", "::loader", "::loader/entries")
    await run("mcopy", "-i", image, EFI_LOADER, "::EFI/BOOT/BOOTX64.EFI")
    entry = f"title lab\nlinux /vmlinuz\ninitrd /initrd\noptions {arguments}\n"
    for name, text in (("syslinux.cfg", syslinux), ("loader/entries/lab.conf", entry)):
        await run("mcopy", "-i", image, "-", f"::{name}", stdin=text.encode())
    await run("syslinux", "--install", image)


def _empty(image: Path, files: Iterable[Path]) -> None:
    """A file of whole megabytes, with room for the files."""
    size = -(-(sum(file.stat().st_size for file in files) + _ROOM) // (1 << 20)) << 20
    image.unlink(missing_ok=True)
    with image.open("wb") as file:
        file.truncate(size)
