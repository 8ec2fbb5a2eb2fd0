"""The phases of a server's life, asked for through the HTTP APIs as any client would."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from ironlane.cli.client import Client
from ironlane.model.errors import Permanent

NODES, NETWORKING = "/baremetal/v1/nodes", "/networking/v2.0"
PATIENCE = 120.0
"""Seconds that a phase may take."""

Progress = Callable[[Counter[str]], None]
"""Called with the number of nodes in each state, again and again."""


class Phases:
    """Moves all nodes of a site at once; `progress` is told how far they are, `patience` is what a phase may take."""

    def __init__(self, client: Client, nodes: Sequence[str], progress: Progress, patience: float = PATIENCE) -> None:
        self._client = client
        self._nodes = nodes
        self._progress = progress
        self._patience = patience
        self.tenant_ports: dict[str, str] = {}
        """Node to its tenant port's UUID."""

    async def provision(self, target: str, state: str) -> None:
        """Ask for `target` on all nodes, and wait until all are in `state`.

        Raises:
            Permanent: a node fails, or takes too long.
        """
        await asyncio.gather(
            *(
                self._client.request("PUT", f"{NODES}/{node}/states/provision", {"target": target})
                for node in self._nodes
            )
        )
        await self._until(state)

    async def _until(self, state: str) -> None:
        seen: list[dict[str, Any]] = []
        query = urlencode({"fields": "name,provision_state,last_error", "limit": 1000})
        try:
            async with asyncio.timeout(self._patience):
                while True:
                    seen = (await self._client.get(f"{NODES}?{query}"))["nodes"]
                    states = Counter(node["provision_state"] for node in seen)
                    self._progress(states)
                    failed = [node for node in seen if "failed" in node["provision_state"]]
                    if failed:
                        raise Permanent(f"node {failed[0]['name']}: {failed[0]['last_error']}")
                    if states == {state: len(self._nodes)}:
                        return
                    await asyncio.sleep(0.1)
        except TimeoutError:
            late = [f"{node['name']} ({node['provision_state']})" for node in seen if node["provision_state"] != state]
            raise Permanent(f"not {state} within {self._patience:.0f} s: {', '.join(late)}") from None

    async def tenant_network(self, tenant: str, number: int) -> tuple[str, int]:
        """A network with a subnet for a tenant; its UUID and the VLAN that it was given."""
        body = {"network": {"name": tenant, "project_id": tenant}}
        network = (await self._client.request("POST", f"{NETWORKING}/networks", body))["network"]
        subnet = {
            "network_id": network["id"],
            "project_id": tenant,
            "name": tenant,
            "ip_version": 4,
            "cidr": f"192.0.{number}.0/24",
        }
        await self._client.request("POST", f"{NETWORKING}/subnets", {"subnet": subnet})
        return network["id"], network["provider:segmentation_id"]

    async def attach(self, node: str, network: str, tenant: str) -> None:
        """A tenant port for a node, attached as its VIF."""
        body = {"port": {"network_id": network, "project_id": tenant, "name": node, "binding:vnic_type": "baremetal"}}
        port = (await self._client.request("POST", f"{NETWORKING}/ports", body))["port"]
        await self._client.request("POST", f"{NODES}/{node}/vifs", {"id": port["id"]})
        self.tenant_ports[node] = port["id"]

    async def choose_image(self, instance_info: Mapping[str, str]) -> None:
        """What all nodes are to be written with."""
        patch = [{"op": "add", "path": "/instance_info", "value": dict(instance_info)}]
        await asyncio.gather(*(self._client.request("PATCH", f"{NODES}/{node}", patch) for node in self._nodes))

    async def links(self) -> Mapping[str, tuple[str, int]]:
        """Of each node's tenant port: its status, and how many switch ports its binding names."""
        found = {}
        for node, port_id in self.tenant_ports.items():
            port = (await self._client.get(f"{NETWORKING}/ports/{port_id}"))["port"]
            found[node] = (port["status"], len(port["binding:profile"].get("local_link_information", [])))
        return found
