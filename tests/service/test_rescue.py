"""A deployed server is rescued and comes back, on virtual hardware: what runs on it, and whom it reaches, by frames."""

from __future__ import annotations

from pathlib import Path

import pytest

from ironlane.cli.client import Client
from ironlane.cli.demo.phases import Phases
from ironlane.lab.server import Stage
from ironlane.model.sha_crypt import sha512_crypt
from tests.service.bench import NODES, SECRETS, until
from tests.service.test_server_faults import NODE, _site

PASSWORD = "geheim-4gq8"  # of nothing


async def test_a_server_is_rescued_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    patient = {"report_timeout": 60.0, "agent_silence": 60.0, "node_attempts": 8}
    async with _site(tmp_path, **patient) as site:
        phases = Phases(site.client, [NODE, "server-1-2"], lambda _states: None)
        network, vlan = await phases.tenant_network("red", 1)
        site.watch.tenant_of = {vlan: "red"}.get
        for node in (NODE, "server-1-2"):
            await site.client.request("PUT", f"{NODES}/{node}/states/provision", {"target": "manage"})
            await _until_state(site.client, node, "manageable")
            patch = [{"op": "add", "path": "/instance_info", "value": site.gateway.instance_info}]
            await site.client.request("PATCH", f"{NODES}/{node}", patch)
            await phases.attach(node, network, "red")
            await site.client.request("PUT", f"{NODES}/{node}/states/provision", {"target": "adopt"})
        for node in (NODE, "server-1-2"):
            await _until_state(site.client, node, "active")
            site.rack.servers[node].disk_image = "the tenant's"
            await site.client.request("PUT", f"{NODES}/{node}/states/power", {"target": "rebooting"})
            await site.rack.servers[node].until(lambda s: s.stage is Stage.OS, 60.0)

        body = {"target": "rescue", "rescue_password": PASSWORD}
        await site.client.request("PUT", f"{NODES}/{NODE}/states/provision", body)
        await site.until_state("rescue")
        await site.server.until(lambda s: s.stage is Stage.RESCUE, 60.0)
        assert site.server.agent is not None
        given = site.server.agent.password
        assert given == sha512_crypt(PASSWORD, given.split("$")[2])
        assert site.server.agent_port is None, "nobody can command the agent any more"
        assert site.rack.reach().endpoints[NODE] == {"server-1-2"}, "its tenant's peer, and no service of ours"

        await site.ask("unrescue")
        await site.until_state("active")
        await site.server.until(lambda s: s.stage is Stage.OS, 60.0)

        async def bonded() -> bool:
            return site.rack.reach().endpoints[NODE] == {"server-1-2"}

        await until(bonded, "the bond to be up again")
        assert all(vlan in s.forwarding["Ethernet1"].vlans for s in site.rack.switches.values())
        assert site.watch.violations == []
        assert PASSWORD not in str(await site.client.get(f"{NODES}/{NODE}"))


async def _until_state(client: Client, node: str, state: str) -> None:
    async def reached() -> bool:
        shown = await client.get(f"{NODES}/{node}")
        assert "failed" not in shown["provision_state"], shown["last_error"]
        return bool(shown["provision_state"] == state)

    await until(reached, f"{node} to be {state}")
