"""`ironlane site apply` against the three real APIs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.cli.conftest import Command

EXAMPLES = Path(__file__).parents[2] / "examples"
SECRETS = {"IRONLANE_SECRET_BMCS": "s3cret-of-the-bmcs", "IRONLANE_SECRET_SWITCHES": "s3cret-of-the-switches"}
HEADERS = {"X-OpenStack-Ironic-API-Version": "1.94"}


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A copy of the lab's site file."""
    copy = tmp_path / "lab.yaml"
    copy.write_text((EXAMPLES / "lab-site.yaml").read_text())
    return copy


@pytest.fixture
def file(lab: Path) -> Path:
    """The same with only two of its servers, to be edited: nine things in all."""
    cut(lab, "  - name: server-03")
    return lab


async def get(url: str, path: str) -> Any:
    async with aiohttp.ClientSession(headers=HEADERS) as session, session.get(url + path) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def everything(url: str) -> list[Any]:
    """All that a site file can change, as the APIs show it."""
    paths = (
        "/fabric/v1/physical-networks",
        "/fabric/v1/switches",
        "/networking/v2.0/networks",
        "/networking/v2.0/subnets",
        "/baremetal/v1/nodes/detail",
        "/baremetal/v1/portgroups/detail",
        "/baremetal/v1/ports/detail",
    )
    return [await get(url, path) for path in paths]


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def cut(file: Path, begin: str) -> None:
    text = file.read_text()
    file.write_text(text[: text.index(begin)])


async def test_the_second_run_finds_everything_unchanged(url: str, ironlane: Command, lab: Path) -> None:
    first = await ironlane("site", "apply", lab, "--url", url, env=SECRETS)
    assert first.exit_code == 0, first.output
    assert first.output.endswith("23 created\n")
    before = await everything(url)
    second = await ironlane("site", "apply", lab, "--url", url)  # no secrets: nothing needs them
    assert second.exit_code == 0, second.output
    assert second.output.endswith("23 unchanged\n")
    assert {line.split()[0] for line in second.output.splitlines()[:-1]} == {"unchanged"}
    assert await everything(url) == before


async def test_what_the_services_know_afterwards(url: str, ironlane: Command, file: Path) -> None:
    await ironlane("site", "apply", file, "--url", url, env=SECRETS)
    switches = {s["name"]: s for s in (await get(url, "/fabric/v1/switches"))["switches"]}
    assert switches["leaf-1a"]["mlag_peer"] == "leaf-1b"
    assert switches["leaf-1a"]["secret"] == "switches"
    networks = {n["name"]: n for n in (await get(url, "/networking/v2.0/networks"))["networks"]}
    assert networks["cleaning"]["provider:segmentation_id"] == 100
    subnets = (await get(url, "/networking/v2.0/subnets"))["subnets"]
    assert {s["allocation_pools"][0]["end"] for s in subnets} == {"10.100.0.200", "10.101.0.200"}
    node = await get(url, "/baremetal/v1/nodes/server-01")
    assert node["driver_info"] == {
        "redfish_address": "http://127.0.0.1:8400",
        "redfish_system_id": "/redfish/v1/Systems/server-01",
        "redfish_username": "ironlane",
        "redfish_password": "******",
    }
    ports = {p["address"]: p for p in (await get(url, "/baremetal/v1/ports/detail"))["ports"]}
    group = (await get(url, "/baremetal/v1/portgroups/server-01-bond0"))["uuid"]
    port = ports["52:54:00:00:01:01"]
    assert (port["node_uuid"], port["portgroup_uuid"], port["pxe_enabled"]) == (node["uuid"], group, False)
    assert port["local_link_connection"]["switch_id"] == "02:1a:00:00:01:02"
    assert port["local_link_connection"]["port_id"] == "Ethernet1/1"
    assert port["physical_network"] == "physnet1"


async def test_changes_are_made_and_told_field_by_field(url: str, ironlane: Command, file: Path) -> None:
    await ironlane("site", "apply", file, "--url", url, env=SECRETS)
    edit(file, "idle_vlan: 99", "idle_vlan: 98")
    edit(file, "[1-8]", "[1-9]")
    edit(file, "10.101.0.200", "10.101.0.150")
    edit(file, "mtu: 9000", "mtu: 8000")
    edit(file, "cpus: 32", "cpus: 64")
    edit(file, "lacp_rate: fast", "lacp_rate: slow")
    edit(file, "leaf-1b, port: Ethernet1/2", "leaf-1b, port: Ethernet1/9")
    result = await ironlane("site", "apply", file, "--url", url, env=SECRETS)
    assert result.exit_code == 0, result.output
    for line in (
        "mtu: 9000 -> 8000",
        "idle_vlan: 99 -> 98",
        "ports: +Ethernet1/9",
        "properties.cpus: 32 -> 64",
        "subnet allocation_pools",
        "portgroup server-01-bond0: properties.lacp_rate: fast -> slow",
        "port 52:54:00:00:02:01: local_link_connection: ",
    ):
        assert line in result.output
    assert result.output.endswith("8 changed, 1 unchanged\n")
    again = await ironlane("site", "apply", file, "--url", url)
    assert again.output.endswith("9 unchanged\n")


async def test_a_dry_run_changes_nothing(url: str, ironlane: Command, file: Path) -> None:
    empty = await everything(url)
    result = await ironlane("site", "apply", file, "--url", url, "--dry-run")
    assert result.exit_code == 0, result.output
    assert result.output.endswith("would be: 9 created\n")
    assert await everything(url) == empty
    await ironlane("site", "apply", file, "--url", url, env=SECRETS)
    before = await everything(url)
    edit(file, "idle_vlan: 99", "idle_vlan: 98")
    edit(file, "cpus: 32", "cpus: 64")
    result = await ironlane("site", "apply", file, "--url", url, "--dry-run")
    assert result.output.endswith("would be: 3 unchanged, 6 changed\n")
    assert await everything(url) == before


async def test_what_only_the_service_has_is_told_and_left_alone(url: str, ironlane: Command, file: Path) -> None:
    await ironlane("site", "apply", file, "--url", url, env=SECRETS)
    before = await everything(url)
    cut(file, "  - name: server-02")
    result = await ironlane("site", "apply", file, "--url", url)
    assert result.exit_code == 0, result.output
    assert "not in file node server-02" in result.output
    assert result.output.endswith("8 unchanged, 1 not in file\n")
    assert await everything(url) == before


async def test_passwords_are_never_printed_and_sent_again_on_request(url: str, ironlane: Command, file: Path) -> None:
    outputs = [
        await ironlane("site", "apply", file, "--url", url, *options, env=SECRETS)
        for options in (["--dry-run"], [], [], ["--new-passwords"])
    ]
    assert all("s3cret" not in result.output for result in outputs)
    assert outputs[-1].output.count("driver_info.redfish_password: sent") == 2


async def test_a_missing_secret_is_told_by_name(url: str, ironlane: Command, file: Path, tmp_path: Path) -> None:
    result = await ironlane("site", "apply", file, "--url", url)
    assert result.exit_code == 1
    assert "secret 'bmcs' is not there: set IRONLANE_SECRET_BMCS" in result.output
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "bmcs").write_text("from-a-file\n")
    result = await ironlane("site", "apply", file, "--url", url, "--secrets-dir", tmp_path / "secrets")
    assert result.exit_code == 0, result.output


async def test_one_refusal_does_not_stop_the_rest(url: str, ironlane: Command, file: Path) -> None:
    await ironlane("site", "apply", file, "--url", url, env=SECRETS)
    edit(file, "vlan: 100\n", "vlan: 102\n")
    edit(file, "cpus: 32", "cpus: 64")
    result = await ironlane("site", "apply", file, "--url", url)
    assert result.exit_code == 1
    assert "failed      network cleaning" in result.output
    assert "cannot be changed once it is there: provider:segmentation_id: 100 -> 102" in result.output
    assert result.output.endswith("6 unchanged, 1 failed, 2 changed\n")


async def test_nobody_answers(ironlane: Command, file: Path) -> None:
    result = await ironlane("site", "apply", file, "--url", "http://127.0.0.1:1")
    assert result.exit_code == 1
    assert "http://127.0.0.1:1 cannot be reached" in result.output


async def test_a_broken_file_is_not_applied(url: str, ironlane: Command, file: Path) -> None:
    edit(file, "vlan: 100\n", "vlan: 5000\n")
    result = await ironlane("site", "apply", file, "--url", url)
    assert result.exit_code == 1
    assert f"{file}:23: networks[0].vlan: 5000 is not from 1 to 4094" in result.output
    assert (await get(url, "/fabric/v1/physical-networks"))["physical_networks"] == []


async def test_check(ironlane: Command, lab: Path) -> None:
    result = await ironlane("site", "check", lab)
    assert result.output == f"{lab}: 1 physical network, 2 networks, 4 switches, 16 nodes: ok\n"
    edit(lab, "name: cleaning", "name: wiping")
    result = await ironlane("site", "check", lab)
    assert result.exit_code == 0
    assert "no network is named cleaning" in result.output
    edit(lab, "switch: leaf-1a, port: Ethernet1/3", "switch: leaf-1a, port: Ethernet1/33")
    result = await ironlane("site", "check", lab)
    assert result.exit_code == 1
    assert ":82: nodes[2].nics[0].port: 'Ethernet1/33' is not among the ports of switch leaf-1a" in result.output


async def test_switch_list_and_show(url: str, ironlane: Command, file: Path) -> None:
    await ironlane("site", "apply", file, "--url", url, env=SECRETS)
    result = await ironlane("switch", "list", "--url", url)
    assert [line.split()[0] for line in result.output.splitlines()] == [
        "NAME",
        "leaf-1a",
        "leaf-1b",
        "leaf-2a",
        "leaf-2b",
    ]
    result = await ironlane("switch", "show", "leaf-2b", "--url", url)
    assert "mlag_peer           leaf-2a" in result.output
    assert "Ethernet1/8  not read yet  -    idle    -" in result.output
    result = await ironlane("switch", "show", "leaf/9", "--url", url)
    assert result.exit_code == 1
