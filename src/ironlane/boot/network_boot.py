"""The contract of network boot: before a server is powered on, what it is to boot is made ready, and its DHCP options
say where it is; after the phase it is gone again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ironlane.boot.dhcp_options import BootSettings, pxe_options
from ironlane.model.errors import Permanent
from ironlane.model.node import Node


class NetworkBoot(Protocol):
    """Makes boot files ready."""

    async def prepare(self, node: Node, purpose: str) -> Sequence[Mapping[str, Any]]:
        """Have ready what the node is to boot for `purpose` (cleaning, provisioning, inspection), and return the
        `extra_dhcp_opts` that lead there. Again and again is the same as once.

        Raises:
            Permanent: it cannot boot so; the message says what to correct.
            Temporary: an image cannot be fetched now.
        """

    async def discard(self, node_id: str) -> None:
        """Nothing of it is to be had any more."""


class FixedBoot:
    """Files that somebody else serves, the same for every node."""

    def __init__(self, settings: BootSettings | None = None) -> None:
        self._options = pxe_options(settings or BootSettings())

    async def prepare(self, node: Node, purpose: str) -> Sequence[Mapping[str, Any]]:
        if purpose == "provisioning" and node.deploy_interface == "ramdisk":
            raise Permanent(
                f"node {node.label} has deploy_interface ramdisk, and this conductor makes no boot files of a tenant's"
                " kernel and ramdisk; give it a directory for them (boot_host)"
            )
        return self._options

    async def discard(self, node_id: str) -> None:
        """Nothing was made."""
