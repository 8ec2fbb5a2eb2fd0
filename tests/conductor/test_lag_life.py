"""A bonded server's life on a pair of command-line switches: single links while it boots, one MLAG on its tenant
network, single links again; and an operator's own port channel beside it, which nobody touches."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
import pytest
import sqlalchemy as sa

from ironlane.lab.cli import CliSwitch
from ironlane.lab.cli.state import Interface
from ironlane.lab.forwarding import LagMembership, PortForwarding
from ironlane.store import nodes
from ironlane.store.attachments import of_host, support_from_json
from ironlane.store.database import Store, Tx
from ironlane.store.tables import lag_claims, portgroups, switches
from ironlane.switches.base import Access, SwitchDriver
from ironlane.switches.cli import CliDriver
from ironlane.switches.cli import platform as platforms
from tests.conductor.site import CLEANING, MACS, PORTS, PROVISIONING, Site
from tests.conductor.test_fabric import settled

STRANGE = "p9"
"""A port that is not ours, in the operator's Port-Channel1 of the first switch."""


class CliSite(Site):
    """The same site, on Arista's command line, as a pair."""

    def __init__(self, store: Store, file: Path) -> None:
        super().__init__(store)
        self.file = file
        self.servers: dict[str, CliSwitch] = {}
        self.seen: dict[str, dict[str, PortForwarding]] = {}

    def _driver(self, access: Access) -> SwitchDriver:  # type: ignore[override]
        server = self.servers[access.switch]
        options = {"platform_file": str(self.file), "host_key": server.host_key}
        return CliDriver(Access(access.switch, "127.0.0.1", server.port, "admin", "admin", options))

    def forwards(self, leaf: str) -> dict[str, PortForwarding]:
        """What a switch's ports really do, without those that are shut."""
        return {port: it for port, it in self.seen[leaf].items() if it.enabled}


@pytest.fixture
async def site(store: Store, tmp_path: Path) -> AsyncIterator[CliSite]:
    text = (Path(platforms.__file__).parent / "platforms" / "arista-eos.yaml").read_text()
    text = text.replace(r"Ethernet\d+(/\d+){0,2}", r"p\d+").replace("(?:Ethernet|", "(?:p|")
    (tmp_path / "site.yaml").write_text(text)
    key = asyncssh.generate_private_key("ssh-ed25519")
    made = CliSite(store, tmp_path / "site.yaml")
    servers, seen = made.servers, made.seen
    for leaf in MACS:
        servers[leaf] = CliSwitch(
            "arista-eos",
            [*PORTS, STRANGE],
            lambda config, leaf=leaf: seen.update({leaf: dict(config)}),  # type: ignore[misc]
            hostname=leaf,
            host_key=key,
        )
        await servers[leaf].start()
    running = servers["leaf-1"].device.running
    running.interfaces["Port-Channel1"] = Interface(description="to the firewall")
    running.interfaces[STRANGE].group, running.interfaces[STRANGE].group_mode = 1, "active"
    await made.furnish()

    def pair(tx: Tx) -> None:
        for leaf, peer in zip(MACS, reversed(MACS), strict=True):
            tx.execute(sa.update(switches).where(switches.c.id == leaf).values(mlag_peer=peer))

    await store.write(pair)
    async with made.conductor():
        await settled(made)
        yield made
    for server in servers.values():
        await server.stop()


async def test_single_links_while_it_boots_and_one_mlag_for_its_tenant(site: CliSite) -> None:
    node = await site.node(1)
    group = sa.update(portgroups).where(portgroups.c.node_id == node.id)
    await site.store.write(
        lambda tx: tx.execute(group.values(properties={"lacp_rate": "fast", "min_links": 2, "fallback": True}))
    )

    def alone(vlan: int) -> dict[str, PortForwarding]:
        return {"p1": PortForwarding(True, vlan)}

    def ours(leaf: str) -> dict[str, PortForwarding]:
        return {port: it for port, it in site.forwards(leaf).items() if port != STRANGE}

    operators = site.servers["leaf-1"].device.running.interfaces[STRANGE]
    await site.ask(node, "manage")
    await site.until_state(node, "manageable")
    await site.ask(node, "provide")
    await site.until_state(node, "clean wait", "booted")
    assert (ours("leaf-1"), ours("leaf-2")) == (alone(CLEANING), {}), "the PXE NIC's link, in no LAG"
    await site.report(node)
    await site.until_state(node, "available")

    port = await site.tenant_port("red")
    await site.attach(node, port)
    await site.ask(node, "active")
    await site.until_state(node, "wait call-back", "booted")
    assert (ours("leaf-1"), ours("leaf-2")) == (alone(PROVISIONING), {})
    await site.report(node)
    await site.until_state(node, "active")
    lag = LagMembership(2, lacp=True, fallback=True, min_links=1, mlag=2)
    bundled = {"p1": PortForwarding(True, await site.vlan(port), lag=lag)}
    assert (ours("leaf-1"), ours("leaf-2")) == (bundled, bundled), "1 is the operator's on one of them"
    attached = await site.store.read(lambda tx: of_host(tx, node.id))
    assert {a.lag.mlag for a in attached if a.lag} == {2}

    await site.ask(node, "deleted")
    await site.until_state(node, "clean wait", "booted")
    assert (ours("leaf-1"), ours("leaf-2")) == (alone(CLEANING), {}), "unbundled before it is cleaned"
    for server in site.servers.values():
        assert "Port-Channel2" not in server.device.running.interfaces
    assert site.servers["leaf-1"].device.running.interfaces[STRANGE] == operators
    assert site.servers["leaf-1"].device.running.interfaces["Port-Channel1"].description == "to the firewall"
    await site.report(node)
    await site.until_state(node, "available")
    assert await site.store.read(lambda tx: tx.all(sa.select(lag_claims))) == []
    assert await site.store.read(lambda tx: nodes.by_id(tx, node.id).last_error) in (None, "")


async def test_what_switches_can_do_and_what_others_use_is_on_record(site: CliSite) -> None:
    def on_record(tx: Tx) -> dict[str, frozenset[int]]:
        rows = tx.all(sa.select(switches.c.id, switches.c.lags))
        found = {row.id: support_from_json(row.lags) for row in rows}
        return {name: can.foreign for name, can in found.items() if can is not None}

    assert await site.store.read(on_record) == {"leaf-1": frozenset({1}), "leaf-2": frozenset()}
