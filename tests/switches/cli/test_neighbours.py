"""Whom a command-line switch hears by LLDP.

`golden/cli/<platform>/neighbours.txt` is what a switch answers, `neighbours.yaml` what that is. Run with
IRONLANE_GOLDEN=write to renew. On the lab's switches, with frames that really arrive.
"""

from __future__ import annotations

import asyncio

import pytest
import yaml

from ironlane.lab.cli import CliSwitch
from ironlane.lab.frames import Lldp, mac_bytes
from ironlane.lab.switch import PortForwarding, VirtualSwitch
from ironlane.lab.wire import Interface, connect
from ironlane.model.errors import Invalid, Permanent
from ironlane.model.lldp import Neighbour
from ironlane.switches.base import Access, NeighbourAware
from ironlane.switches.cli import CliDriver
from ironlane.switches.cli import platform as platforms
from ironlane.switches.cli.neighbours import neighbours
from ironlane.switches.cli.platform import NeighbourForm
from tests.switches.cli.bench import IN_THE_LAB, KEY, LEAF, PLATFORMS, port_name
from tests.switches.cli.test_golden import GOLDEN, compare

HOST, NIC = "52:54:00:00:00:01", "52:54:00:00:00:02"


def form_of(platform: str) -> NeighbourForm:
    form = platforms.load(platform).neighbours
    assert form is not None
    return form


@pytest.mark.parametrize("platform", PLATFORMS)
def test_an_answer_becomes_exactly_these_neighbours(platform: str) -> None:
    answer = (GOLDEN / platform / "neighbours.txt").read_text()
    found = neighbours(answer, [port_name(platform, number) for number in range(1, 20)], form_of(platform))
    document = {port: [one.as_json() for one in heard] for port, heard in found.items()}
    compare(yaml.safe_dump(document, sort_keys=False, width=110), GOLDEN / platform / "neighbours.yaml")


@pytest.mark.parametrize("platform", PLATFORMS)
def test_all_platforms_see_the_same_server(platform: str) -> None:
    answer = (GOLDEN / platform / "neighbours.txt").read_text()
    found = neighbours(answer, [port_name(platform, 1)], form_of(platform))
    assert set(found) == {port_name(platform, 1)}, "ports that are not ours are left out"
    (one,) = found[port_name(platform, 1)]
    assert (one.chassis_mac, one.port_mac, one.system_name) == (HOST, NIC, "server-1.dc.example")


@pytest.mark.parametrize("platform", PLATFORMS)
def test_an_answer_without_neighbours_is_none(platform: str) -> None:
    assert neighbours("", [port_name(platform, 1)], form_of(platform)) == {}
    assert neighbours("Total entries displayed: 0\n", [port_name(platform, 1)], form_of(platform)) == {}


@pytest.mark.parametrize("platform", IN_THE_LAB)
async def test_the_lab_tells_what_arrives_on_its_ports(platform: str) -> None:
    ports = [port_name(platform, number) for number in (1, 2)]
    switch = VirtualSwitch("leaf-1", "02:5a:00:00:00:01", ports)
    switch.load({port: PortForwarding(enabled=True) for port in ports})
    ends = [Interface(f"server/eth{number}", lambda _interface, _frame: None) for number in (0, 1)]
    for end, port in zip(ends, ports, strict=True):
        connect(end, switch.interface(port))
    lab = CliSwitch(platform, ports, lambda _config: None, host_key=KEY, neighbours=lambda: switch.neighbours)
    await lab.start()
    access = Access(LEAF, "127.0.0.1", lab.port, "admin", "admin", {"platform": platform, "host_key": lab.host_key})
    driver = CliDriver(access)
    try:
        assert isinstance(driver, NeighbourAware)
        assert await driver.neighbours(ports) == {}
        ends[0].send(Lldp(mac_bytes(HOST), NIC, "server-1", port_mac=mac_bytes(NIC)).frame(mac_bytes(NIC)))
        ends[1].send(Lldp(mac_bytes(HOST), "eno1").frame(mac_bytes(HOST)))
        assert await driver.neighbours(ports) == {
            ports[0]: [Neighbour(HOST, NIC, system_name="server-1")],
            ports[1]: [Neighbour(HOST, "eno1")],
        }
        assert lab.sessions == 1, "one login for all questions"
        assert set(await driver.observe(ports)) == set(ports)
        assert lab.sessions == 2, "the session that configures is another one"
        lab.faults.refuse.add("lldp")
        with pytest.raises(Permanent):
            await driver.neighbours(ports)
        lab.faults.refuse.clear()
        assert set(await driver.neighbours(ports)) == set(ports), "what went wrong has ended it"
        assert lab.sessions == 3
        await driver.observe(ports)
        assert lab.sessions == 3
    finally:
        await driver.close()
        await lab.stop()


async def test_a_platform_may_not_know_how_to_ask() -> None:
    form = platforms.load("sonic").model_copy(update={"neighbours": None})
    driver = CliDriver(Access(LEAF, "127.0.0.1", options={"platform": "sonic"}))
    driver._platform = form
    with pytest.raises(Permanent, match="does not say how to ask"):
        await driver.neighbours(["Ethernet1"])


def test_a_slip_in_a_platform_file_is_told() -> None:
    text = (platforms.resources.files("ironlane.switches.cli") / "platforms" / "sonic.yaml").read_text()
    with pytest.raises(Invalid, match="no group chasis; there are chassis, local"):
        platforms.parse(text.replace("?P<chassis>", "?P<chasis>"), "sonic")


async def test_a_session_in_which_more_came_than_was_asked_for_is_not_asked_again() -> None:
    """A neighbour may call itself what looks like the prompt: then the rest of the answer comes after its end."""
    ports = [port_name("arista-eos", 1)]
    lab = CliSwitch("arista-eos", ports, lambda _config: None, host_key=KEY)
    await lab.start()
    access = Access(LEAF, "127.0.0.1", lab.port, "admin", "admin", {"platform": "arista-eos", "host_key": lab.host_key})
    driver = CliDriver(access)
    try:
        await driver.neighbours(ports)
        assert driver._listener is not None
        driver._listener._process.stdin.write("show version\n")  # stands for the rest of an answer
        async with asyncio.timeout(30):
            while await driver._listener.is_quiet():  # noqa: ASYNC110 - of the channel
                await asyncio.sleep(0.01)
        await driver.neighbours(ports)
        assert lab.sessions == 2
    finally:
        await driver.close()
        await lab.stop()
