"""What goes wrong with servers, on virtual hardware with real protocols: each fault ends in the right state, told in a
sentence, with the server off all networks; and the operator's next try works."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ironlane.cli.client import Client, Refused
from ironlane.cli.demo.site_text import PROVIDER_VLANS
from ironlane.cli.virtual import environment, running_gateway, virtual_rack
from ironlane.lab.gateway import Gateway
from ironlane.lab.rack import VirtualRack
from ironlane.lab.reach import InvariantWatch
from ironlane.lab.server import VirtualServer
from ironlane.power.redfish import RedfishPower
from ironlane.power.waiting import Patience
from ironlane.service import Server
from ironlane.settings import Settings
from tests.service.bench import BMC_PASSWORD, NODES, SECRETS, description, enrol, until
from tests.service.process import free_port

NODE = "server-1-1"


@dataclass
class Site:
    """A rack, and in this process a service that gives up soon."""

    rack: VirtualRack
    client: Client
    gateway: Gateway
    watch: InvariantWatch

    @property
    def server(self) -> VirtualServer:
        return self.rack.servers[NODE]

    @property
    def bmc(self) -> Any:
        assert self.rack.redfish is not None
        return self.rack.redfish.systems[NODE]

    async def ask(self, target: str) -> None:
        await self.client.request("PUT", f"{NODES}/{NODE}/states/provision", {"target": target})

    async def patch(self, path: str, value: object) -> None:
        await self.client.request("PATCH", f"{NODES}/{NODE}", [{"op": "add", "path": path, "value": value}])

    async def until_state(self, state: str) -> dict[str, Any]:
        return await self.until_true(lambda node: node["provision_state"] == state, state)

    async def until_true(self, true: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        seen: dict[str, Any] = {}

        async def reached() -> bool:
            seen.update(await self.client.get(f"{NODES}/{NODE}"))
            return true(seen)

        try:
            await until(reached, what, 60.0)
        except AssertionError as late:
            state = {key: seen.get(key) for key in ("provision_state", "last_error", "driver_internal_info")}
            raise AssertionError(f"{late}: {state}; {list(self.server.journal)[-3:]}") from None
        return seen

    async def until_off_all_networks(self) -> None:
        async def nowhere() -> bool:
            held = [switch.forwarding["Ethernet1"].vlans for switch in self.rack.switches.values()]
            return not any(held)

        await until(nowhere, "the server to be off all networks", 20.0)

    async def available(self) -> None:
        await self.ask("manage")
        await self.until_state("manageable")
        await self.ask("provide")
        await self.until_state("available")

    async def failed(self, state: str, *told: str) -> None:
        """It fails in this state, says so in these words, and is off all networks."""
        node = await self.until_state(state)
        for words in told:
            assert words in (node["last_error"] or "")
        await self.until_off_all_networks()
        if state == "clean failed":
            assert (node["maintenance"], node["fault"]) == (True, "clean failure")

    async def cleaned_again(self) -> None:
        """What an operator does after a failed cleaning."""
        await self.client.request("DELETE", f"{NODES}/{NODE}/maintenance")
        await self.available()


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)


@pytest.fixture
async def site(tmp_path: Path, secrets: None) -> AsyncIterator[Site]:
    async with _site(tmp_path) as made:
        yield made
        assert made.watch.violations == []


@asynccontextmanager
async def _site(folder: Path, **changes: Any) -> AsyncIterator[Site]:
    async with running_gateway() as gateway:
        boot = environment(description(), gateway)
        usual = {
            "boot_file": boot["IRONLANE_BOOT_FILE"],
            "report_timeout": 4.0,
            "agent_silence": 3.0,
            "node_attempts": 2,
        }
        settings = Settings(
            port=free_port(),
            database_url=f"sqlite:///{folder}/service.sqlite",
            hostname="c1",
            tftp_server=boot["IRONLANE_TFTP_SERVER"],
            agent_proxy=boot["IRONLANE_AGENT_PROXY"],
            power_sync_interval=0.2,
            **(usual | changes),
        )
        server = Server(settings)
        power = RedfishPower(timeout=2.0, patience=Patience(0.05, 0.5))
        server.service.power["redfish"] = power  # type: ignore[index]
        serving = asyncio.create_task(server.run())
        try:
            url = await server.listening()
            async with virtual_rack(description(), url, gateway) as rack, Client(url) as client:
                await enrol(client, rack)
                yield Site(rack, client, gateway, rack.watch(PROVIDER_VLANS, lambda _vlan: None))
        finally:
            server.stop()
            await serving


async def test_a_wrong_password_is_told_and_can_be_put_right(site: Site) -> None:
    await site.patch("/driver_info/redfish_password", "wrong")
    await site.ask("manage")
    node = await site.until_true(lambda node: bool(node["last_error"]), "the failure")
    assert node["provision_state"] == "enroll"
    assert "refuses the credentials" in node["last_error"]
    assert "check redfish_username, redfish_password" in node["last_error"]
    await site.patch("/driver_info/redfish_password", BMC_PASSWORD)
    await site.available()


async def test_a_bmc_that_is_unreachable_fails_the_cleaning_and_the_server_stands_alone(site: Site) -> None:
    await site.ask("manage")
    await site.until_state("manageable")
    site.server.ordered = lambda name: setattr(site.bmc, "refuse", name == "execute_clean_step" or site.bmc.refuse)
    await site.ask("provide")
    await site.failed("clean failed", "cannot be talked to")
    site.server.ordered = lambda _name: None
    site.bmc.refuse = False
    await site.cleaned_again()


async def test_a_bmc_that_hangs_is_not_waited_for_by_anybody_else(site: Site) -> None:
    site.bmc.hang = True
    await site.ask("manage")
    other = "server-1-2"
    await site.client.request("PUT", f"{NODES}/{other}/states/provision", {"target": "manage"})

    async def manageable() -> bool:
        return bool((await site.client.get(f"{NODES}/{other}"))["provision_state"] == "manageable")

    await until(manageable, "the other server", 20.0)
    node = await site.until_true(lambda node: bool(node["last_error"]), "the failure")
    assert "did not answer" in node["last_error"]


async def test_a_power_command_that_is_ignored_is_told(site: Site) -> None:
    await site.ask("manage")
    await site.until_state("manageable")
    site.bmc.ignore_power = True
    await site.ask("provide")
    await site.failed("clean failed", "accepted On but after 0.5 s it still reports 'power off'")
    site.bmc.ignore_power = False
    await site.cleaned_again()


async def test_a_server_that_never_reports_is_given_up(site: Site) -> None:
    await site.ask("manage")
    await site.until_state("manageable")
    nics, site.server.pxe_nics = site.server.pxe_nics, ()
    await site.ask("provide")
    await site.failed("clean failed", "no report from the ramdisk within 0:00:04", "look at the server's console")
    site.server.pxe_nics = nics
    await site.cleaned_again()


async def test_a_boot_file_that_is_not_there_is_no_end_of_waiting(tmp_path: Path, secrets: None) -> None:
    async with _site(tmp_path, boot_file="misspelt") as site:
        await site.ask("manage")
        await site.until_state("manageable")
        await site.ask("provide")
        await site.failed("clean failed", "no report from the ramdisk within 0:00:04", "boot files that are not there")
        assert [line for line in site.server.journal if "misspelt" in line], list(site.server.journal)
        assert site.watch.violations == []


async def test_an_agent_that_dies_half_way_is_given_up(site: Site) -> None:
    await site.ask("manage")
    await site.until_state("manageable")
    crashes: list[asyncio.Task[None]] = []

    def crash(name: str) -> None:
        if name == "execute_clean_step":
            crashes.append(asyncio.get_running_loop().create_task(site.server.crash()))

    site.server.ordered = crash
    await site.ask("provide")
    node = await site.until_state("clean failed")
    assert any(words in node["last_error"] for words in ("was last heard of at", "cannot be talked to"))
    await site.until_off_all_networks()
    site.server.ordered = lambda _name: None
    await site.cleaned_again()


async def test_an_image_that_is_not_the_one_it_should_be_is_not_booted(site: Site) -> None:
    await site.available()
    right = site.gateway.instance_info
    await site.patch("/instance_info", {**right, "image_checksum": "0" * 64})
    await site.ask("active")
    await site.failed("deploy failed", "write_image failed", "Error verifying image checksum", "deploy the node again")
    assert site.server.disk_image is None
    await site.patch("/instance_info", {**right, "image_source": f"{site.gateway.url}/nosuch"})
    await site.ask("active")
    await site.until_true(
        lambda node: node["provision_state"] == "deploy failed" and "404" in (node["last_error"] or ""), "the other"
    )
    await site.patch("/instance_info", right)
    await site.ask("active")
    await site.until_state("active")
    assert site.server.disk_image == right["image_source"]
    with pytest.raises(Refused, match=r"can not be performed"):
        await site.ask("provide")


async def test_power_that_changes_behind_our_back_is_seen(site: Site) -> None:
    await site.available()
    await site.until_true(lambda node: node["power_state"] == "power off", "off")
    await site.server.power_on()
    await site.until_true(lambda node: node["power_state"] == "power on", "on")
    site.bmc.unavailable = True
    node = await site.until_true(lambda node: node["fault"] == "power failure", "the fault")
    assert "503" in node["last_error"]
    site.bmc.unavailable = False
    await site.until_true(lambda node: node["fault"] is None and not node["maintenance"], "the end of the fault")
