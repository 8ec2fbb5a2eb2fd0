"""What the machines are made of: programs and files of this host, found or named by the package that has them."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ironlane.lab.openvswitch import SCHEMA
from ironlane.model.errors import Permanent

PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/bin", "/bin"])

_PACKAGES = {
    "qemu-system-x86_64": "qemu-system-x86",
    "ovs-vswitchd": "openvswitch-switch",
    "ovsdb-server": "openvswitch-switch",
    "dnsmasq": "dnsmasq-base",
    "busybox": "busybox-static",
    "syslinux": "syslinux",
    "mcopy": "mtools",
    "mkfs.vfat": "dosfstools",
    "ipmitool": "ipmitool",
    "ip": "iproute2",
    "ethtool": "ethtool",
    "perl": "perl-base",
    "unshare": "util-linux",
}
OVMF = Path("/usr/share/ovmf/OVMF.fd")
"""Firmware of machines that boot by UEFI."""
EFI_LOADER = Path("/usr/lib/systemd/boot/efi/systemd-bootx64.efi")

_FILES = {
    Path("/usr/lib/ipxe/qemu/pxe-virtio.rom"): "ipxe-qemu",
    Path("/usr/lib/ipxe/snponly.efi"): "ipxe",
    OVMF: "ovmf",
    EFI_LOADER: "systemd-boot-efi",
    Path("/usr/share/seabios/bios-256k.bin"): "seabios",
    SCHEMA: "openvswitch-switch",
}
NAMESPACE = ("unshare", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")
"""Before a command that is to run in namespaces of its own, as an ordinary user; with it all that it started ends."""


_NAMESPACES_MEANS = (
    "this kernel gives an ordinary user no namespaces: as root set user.max_user_namespaces above 0, and where they"
    " exist kernel.unprivileged_userns_clone=1 and kernel.apparmor_restrict_unprivileged_userns=0 (sysctl -w); a"
    " container has to allow unshare(2)"
)


def program(name: str) -> str:
    """Its path.

    Raises:
        Permanent: it is not there.
    """
    found = shutil.which(name, path=PATH)
    if found is None:
        raise Permanent(f"there is no program {name}: install the package {_PACKAGES.get(name, name)}")
    return found


def missing() -> list[str]:
    """Packages that are not installed, as Debian calls them."""
    packages = {package for name, package in _PACKAGES.items() if shutil.which(name, path=PATH) is None}
    packages |= {package for path, package in _FILES.items() if not path.exists()}
    if not kernels():
        packages.add("linux-image-cloud-amd64")
    return sorted(packages)


def why_not() -> str | None:
    """Why the machines cannot run here, in a sentence; None if they can."""
    if packages := missing():
        return f"packages are missing: apt-get install --no-install-recommends {' '.join(packages)}"
    if not any(os.access(kernel, os.R_OK) for kernel in kernels()):
        return f"{kernels()[0]} cannot be read by this user: chmod a+r {kernels()[0]}"
    return forbidden()


def forbidden() -> str | None:
    """What a container or a hardened kernel may forbid: the namespaces, and in them a mount and a network device."""
    for command, means in (
        ("true", _NAMESPACES_MEANS),
        ("mount -t tmpfs none /run", "mounts in a user namespace are forbidden, as in some containers"),
        (
            "ip link add name v0 type veth peer name v1",
            "network devices in a user namespace are forbidden, as in some containers",
        ),
    ):
        tried = subprocess.run(
            [*NAMESPACE, "sh", "-c", command], capture_output=True, text=True, check=False, env=environment()
        )
        if tried.returncode:
            return f"{means} ({tried.stderr.strip() or f'{command}: ended with {tried.returncode}'})"
    return None


def kernels() -> list[Path]:
    """Kernels with their modules, readable ones first, then those for clouds, which are small."""
    found = [p for p in Path("/boot").glob("vmlinuz-*-amd64") if (modules_of(p) / "modules.dep").is_file()]
    return sorted(found, key=lambda path: (not os.access(path, os.R_OK), "cloud" not in path.name, path.name))


def modules_of(kernel: Path) -> Path:
    """Where a kernel's modules are."""
    return Path("/lib/modules") / kernel.name.removeprefix("vmlinuz-")


async def run(name: str, *arguments: str | Path, stdin: bytes = b"") -> str:
    """What a short command wrote.

    Raises:
        Permanent: there is no such program, or it failed; with what it said.
    """
    return await asyncio.to_thread(_run, [program(name), *map(str, arguments)], stdin)


def _run(command: Sequence[str], stdin: bytes) -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False, env=environment())
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise Permanent(f"{' '.join(command)}: {said}")
    return done.stdout.decode()


def environment() -> dict[str, str]:
    """This process' environment, with the programs of administrators on the path."""
    return {**os.environ, "PATH": PATH}
