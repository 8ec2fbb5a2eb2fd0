"""Boot files of nodes: what each is to boot, in a directory of its own that nobody can guess.

`nodes/<token>/` has the first stage (iPXE for each kind of firmware), the node's iPXE script, its kernel and its
ramdisk. The same directory is served by TFTP (the first stage) and by HTTP. The token is in the DHCP answers to the
node's MAC address and nowhere else, so that no server gets at the files of another; behind a DHCP relay too, where a
server's own address or MAC address would be of no help. Images are hard links into the cache.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ironlane.boot.dhcp_options import BootSettings
from ironlane.boot.images import Image, ImageCache, image_of
from ironlane.boot.network_boot import FixedBoot
from ironlane.boot.script import BootScript, agent_arguments, arguments
from ironlane.model.errors import Invalid, Permanent
from ironlane.model.node import Node

SCRIPT, KERNEL, RAMDISK = "boot.ipxe", "kernel", "ramdisk"
TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")

_FIRMWARE = {
    "bios": ("undionly.kpxe", "undionly.kkpxe", "ipxe.pxe"),
    "efi-x86_64": ("snponly.efi", "ipxe.efi"),
    "efi-arm64": ("snponly-arm64.efi", "ipxe-arm64.efi"),
}
"""Names of iPXE's first stage by architecture tag, the best first; only those that are there are offered."""


@dataclass(frozen=True, slots=True)
class BootFilesSettings:
    """`http_url` and `tftp_server`: as the servers reach us. The rest is what a node's `driver_info` does not say."""

    directory: Path
    http_url: str
    tftp_server: str
    firmware: Path = Path("/usr/lib/ipxe")
    api_url: str = ""
    """Where the agent reports; empty when the ramdisk knows by itself."""
    arguments: str = ""
    defaults: Mapping[str, str] = field(default_factory=dict)
    """`deploy_kernel`, `deploy_ramdisk` and their `_checksum`."""
    fallback: BootSettings = field(default_factory=BootSettings)
    """For nodes that name no kernel."""


class BootFiles:
    """A `NetworkBoot` that makes each node's files and keeps track of whose they are."""

    def __init__(self, settings: BootFilesSettings, cache: ImageCache) -> None:
        self.settings = settings
        self._cache = cache
        self._nodes = settings.directory / "nodes"
        self._index = settings.directory / "index"
        self._owners: dict[str, str] = {}
        self._fallback = FixedBoot(settings.fallback)

    @property
    def root(self) -> Path:
        """What TFTP and HTTP serve."""
        return self._nodes

    def start(self) -> None:
        """Make the directories; what another life of this process made ready is still so."""
        for directory in (self._nodes, self._index):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._owners = {path.read_text(): path.name for path in self._index.iterdir()}
        for stray in [path for path in self._nodes.iterdir() if path.name not in self._owners]:
            shutil.rmtree(stray)
        self._cache.start()

    async def prepare(self, node: Node, purpose: str) -> Sequence[Mapping[str, Any]]:
        """See `NetworkBoot`."""
        try:
            images, extra = _wanted(node, purpose, self.settings)
        except Invalid as error:
            raise Permanent(error.message) from error
        if images is None:
            await self.discard(node.id)
            return await self._fallback.prepare(node, purpose)
        stages = self._stages()
        token = self._token(node.id)
        base = f"{self.settings.http_url.rstrip('/')}/{token}"
        script = BootScript(node.label, f"{base}/{KERNEL}", f"{base}/{RAMDISK}", extra).text()
        paths = dict(zip((KERNEL, RAMDISK), await self._fetched(images), strict=True))
        paths |= {path.name: path for path in stages.values()}
        try:
            self._lay_out(self._nodes / token, paths, {SCRIPT: script})
        except FileNotFoundError as error:
            message = f"kernel and ramdisk of node {node.label} do not fit into the image cache together"
            raise Permanent(f"{message}; make it larger (image_cache_mb)") from error
        return self._options(token, stages)

    async def discard(self, node_id: str) -> None:
        """See `NetworkBoot`. Downloads under way are finished by who has the file open; no new one begins."""
        entry = self._index / _safe(node_id)
        if entry.exists():
            token = entry.read_text()
            shutil.rmtree(self._nodes / token, ignore_errors=True)
            entry.unlink(missing_ok=True)
            self._owners.pop(token, None)

    def whose(self, token: str) -> str:
        """The node that a token is of; for the log."""
        return self._owners.get(token, "nobody")

    async def _fetched(self, images: Sequence[Image]) -> list[Path]:
        return list(await asyncio.gather(*(self._cache.fetch(image) for image in images)))

    def _token(self, node_id: str) -> str:
        entry = self._index / _safe(node_id)
        if not entry.exists():
            new = self._index.parent / f"new-{entry.name}"
            token = secrets.token_urlsafe(32)
            self._owners[token] = node_id
            new.write_text(token)
            new.replace(entry)
        return entry.read_text()

    def _lay_out(self, directory: Path, paths: Mapping[str, Path], texts: Mapping[str, str]) -> None:
        """Each file appears whole under its name, or is left as it is when it is the right one already."""
        directory.mkdir(mode=0o700, exist_ok=True)
        for name, source in paths.items():
            there = directory / name
            if there.exists() and os.path.samefile(there, source):
                continue
            new = directory / f".{name}"
            new.unlink(missing_ok=True)
            try:
                os.link(source.resolve(), new)
            except OSError:  # another file system
                shutil.copyfile(source, new)
            new.replace(there)
        for name, text in texts.items():
            new = directory / f".{name}"
            new.write_text(text)
            new.replace(directory / name)

    def _stages(self) -> dict[str, Path]:
        found = {
            tag: next((p for name in names if (p := self.settings.firmware / name).is_file()), None)
            for tag, names in _FIRMWARE.items()
        }
        stages = {tag: path for tag, path in found.items() if path is not None}
        if not stages:
            message = f"there is no iPXE in {self.settings.firmware} to boot servers with"
            raise Permanent(f"{message}: install the package ipxe, or say where it is (firmware_dir)")
        return stages

    def _options(self, token: str, stages: Mapping[str, Path]) -> list[dict[str, Any]]:
        """Firmware gets iPXE for its architecture, iPXE its script, a firmware that boots over HTTP a URL."""
        url = f"{self.settings.http_url.rstrip('/')}/{token}"
        found = [("tag:ipxe,67", f"{url}/{SCRIPT}")]
        for tag, path in stages.items():
            condition = "tag:!ipxe," if tag == "bios" else f"tag:!ipxe,tag:{tag},"
            found.append((f"{condition}67", f"{token}/{path.name}"))
            if tag != "bios":
                found.append((f"{condition}tag:efi-http,67", f"{url}/{path.name}"))
        found.append(("tag:efi-http,60", "HTTPClient"))
        found += [(number, self.settings.tftp_server) for number in ("66", "150", "255")]
        options: list[dict[str, Any]] = [{"opt_name": n, "opt_value": v, "ip_version": 4} for n, v in found]
        if "efi-x86_64" in stages:
            first = f"{url}/{stages['efi-x86_64'].name}"
            for name, value in (("tag:!ipxe6,59", first), ("tag:ipxe6,59", f"{url}/{SCRIPT}")):
                options.append({"opt_name": name, "opt_value": value, "ip_version": 6})
        return options


def _wanted(
    node: Node, purpose: str, settings: BootFilesSettings
) -> tuple[tuple[Image, Image] | None, tuple[str, ...]]:
    """Kernel and ramdisk with the arguments; None where nobody names them.

    A node whose instance is a ramdisk boots that one in the end, all others the ramdisk with the agent.
    """
    if purpose == "provisioning" and node.interfaces.get("deploy_interface") == "ramdisk":
        kernel = image_of(node.instance_info, KERNEL, where="instance_info")
        ramdisk = image_of(node.instance_info, RAMDISK, where="instance_info")
        given = str(node.instance_info.get("ramdisk_kernel_arguments") or "")
        extra = arguments(given, where="instance_info.ramdisk_kernel_arguments")
        names = ("instance_info.kernel", "instance_info.ramdisk")
    else:
        own = {k: v for k, v in node.driver_info.items() if k.startswith(("deploy_kernel", "deploy_ramdisk")) and v}
        both = {**settings.defaults, **own} if not own.keys() & {"deploy_kernel", "deploy_ramdisk"} else own
        kernel = image_of(both, "deploy_kernel", where="driver_info")
        ramdisk = image_of(both, "deploy_ramdisk", where="driver_info")
        given = str(node.driver_info.get("kernel_append_params") or settings.arguments)
        extra = (
            *arguments(given, where="driver_info.kernel_append_params"),
            *agent_arguments(settings.api_url, purpose),
        )
        names = ("driver_info.deploy_kernel", "driver_info.deploy_ramdisk")
    if kernel is None and ramdisk is None:
        return None, ()
    if kernel is None or ramdisk is None:
        there, missing = names if ramdisk is None else reversed(names)
        raise Invalid("is missing, although the other one is there: " + there, field=missing)
    return (kernel, ramdisk), extra


def _safe(node_id: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", node_id):
        raise Permanent(f"{node_id!r} is no id of a node")
    return node_id
