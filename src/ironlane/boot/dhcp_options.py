"""DHCP options of a provision port, as `extra_dhcp_opts` of the Networking API.

Option numbers: RFC 2132 (66, 67), RFC 5859 (150); 255 stands for the server address field (siaddr) in Ironic's and
dnsmasq's convention. The tag `ipxe` is set by the DHCP server when the client sends option 175.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class BootSettings:
    """What a conductor offers to servers that boot over the network.

    `boot_file` is what PXE firmware loads by TFTP from `tftp_server`: the ramdisk's loader, or iPXE. With `script_url`
    iPXE goes on there. A `boot_file` that is a URL needs no TFTP server (UEFI HTTP boot).
    """

    tftp_server: str = "127.0.0.1"
    boot_file: str = "undionly.kpxe"
    script_url: str = ""


def pxe_options(settings: BootSettings) -> list[dict[str, Any]]:
    """`extra_dhcp_opts` for a server that is to boot the ramdisk now."""
    if settings.script_url:
        options = [("tag:!ipxe,67", settings.boot_file), ("tag:ipxe,67", settings.script_url)]
    else:
        options = [("67", settings.boot_file)]
    if not settings.boot_file.startswith(("http://", "https://")):
        options += [(number, settings.tftp_server) for number in ("66", "150", "255")]
    return [{"opt_name": name, "opt_value": value, "ip_version": 4} for name, value in options]
