"""The inspection that ironic-python-agent begins with: what is in the server and what its NICs hear, sent to the API.

Source: ironic-python-agent, `inspector.py` and the inventory's data model. The agent posts at every boot of a ramdisk
that is told where to; an API that did not ask for an inspection answers 404, and the agent goes on.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from ironlane.lab.firmware import Booted, Timings
from ironlane.lab.frames import lldp_tlvs, mac_text
from ironlane.lab.nic import Nic

_URL_IN_SCRIPT = re.compile(rb"ipa-inspection-callback-url=(\S+)")


@dataclass(frozen=True, slots=True)
class Hardware:
    """What the ramdisk finds in a server."""

    cpus: int = 16
    architecture: str = "x86_64"
    memory_mb: int = 65536
    disk_bytes: int = 480 * 1000**3
    bmc_address: str = ""


async def inspect(
    booted: Booted,
    *,
    api_url: str,
    nics: Mapping[str, Nic],
    hardware: Hardware,
    http: aiohttp.ClientSession,
    timings: Timings,
) -> str:
    """Send the inventory; answers what came of it. Repeats itself while the services do not answer, or fail.

    A boot script that says where the API is has to say where the inventory goes, or none is sent.
    """
    named = _URL_IN_SCRIPT.search(booted.content)
    if named is None and b"ipa-api-url=" in booted.content:
        return "not told to inspect"
    url = named[1].decode() if named else f"{api_url.rstrip('/')}/v1/continue_inspection"
    while True:
        if booted.endpoint.resolve(booted.services) is not None:
            try:
                async with http.post(url, json=inventory(booted, nics, hardware)) as response:
                    if response.status < 500:
                        return "inspected" if response.status < 300 else f"not inspected: {response.status}"
            except (aiohttp.ClientError, TimeoutError):
                pass
        await asyncio.sleep(timings.retry)


def inventory(booted: Booted, nics: Mapping[str, Nic], hardware: Hardware) -> dict[str, Any]:
    """The body of `POST /v1/continue_inspection`, collectors `default` and `lldp`."""
    disk = {"name": "/dev/sda", "model": "lab", "size": hardware.disk_bytes, "rotational": False}
    addresses = [str(interface.ip) for interface in booted.endpoint.addresses]
    lldp = {name: _tlvs(nic) for name, nic in nics.items()}
    interfaces = [
        {
            "name": name,
            "mac_address": mac_text(nic.mac),
            "ipv4_address": addresses[0] if nic is booted.nic and addresses else None,
            "ipv6_address": None,
            "has_carrier": nic.carrier,
            "lldp": lldp[name],
            "vendor": "0x1af4",
            "product": "0x0001",
            "client_id": None,
            "biosdevname": None,
        }
        for name, nic in nics.items()
    ]
    pxe_interface = mac_text(booted.nic.mac)
    return {
        "inventory": {
            "interfaces": interfaces,
            "cpu": {"model_name": "lab", "count": hardware.cpus, "architecture": hardware.architecture, "flags": []},
            "disks": [disk],
            "memory": {"total": hardware.memory_mb << 20, "physical_mb": hardware.memory_mb},
            "bmc_address": hardware.bmc_address or None,
            "bmc_v6address": None,
            "system_vendor": {"product_name": "lab", "serial_number": "", "manufacturer": "Ironlane"},
            "boot": {"current_boot_mode": "bios", "pxe_interface": f"01-{pxe_interface.replace(':', '-')}"},
            "hostname": "localhost",
        },
        "root_disk": disk,
        "boot_interface": pxe_interface,
        "configuration": {"collectors": ["default", "lldp"], "managers": []},
        "lldp_raw": lldp,
        "error": None,
    }


def _tlvs(nic: Nic) -> list[list[Any]]:
    """The TLVs of the latest LLDPDU as they came, in the agent's form."""
    return [[kind, value.hex()] for kind, value in lldp_tlvs(nic.lldp_pdu)]
