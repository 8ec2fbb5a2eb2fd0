"""DHCP by a real dnsmasq and a real Kea, asked over a wire: they answer what the API was told, at once; no more."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from ironlane.boot.dnsmasq import DnsmasqEngine
from ironlane.boot.kea import KeaEngine
from ironlane.conductor.dhcp import DhcpLoop
from ironlane.store import ports
from ironlane.store.database import Store
from tests.boot.conftest import SENTINEL, Dhcp
from tests.boot.lan import DISCOVER, NAK, OFFER, Lan, ip

MAC, OTHER = "02:00:00:00:00:05", "02:00:00:00:00:06"
IPXE = {175: b"\xb1\x05\x01\x80\x86\x10\x0e"}
SUBNET: dict[int, bytes] = {
    1: bytes([255, 255, 255, 0]),
    3: bytes([10, 0, 0, 254]),
    6: bytes([10, 0, 0, 53, 10, 0, 0, 54]),
    15: b"lab.example",
    26: (1500).to_bytes(2, "big"),
    121: bytes([16, 10, 7, 10, 0, 0, 7, 0, 10, 0, 0, 254]),
    249: bytes([16, 10, 7, 10, 0, 0, 7, 0, 10, 0, 0, 254]),
}
"""What everybody in the subnet is told."""

PXE = (
    ("tag:!ipxe,67", "undionly.kpxe"),
    ("tag:ipxe,67", "http://10.0.0.1:8080/boot.ipxe?a=b,c;d#e"),
    ("66", "10.0.0.1"),
    ("150", "10.0.0.1"),
    ("255", "10.0.0.9"),
)


async def test_the_answer_is_exactly_the_ports(dhcp: Dhcp, lan: Lan) -> None:
    port = await dhcp.port(MAC, *PXE)
    own = {66: b"10.0.0.1", 150: bytes([10, 0, 0, 1])}
    offer = lan.ask(MAC)
    assert offer is not None
    assert offer.kind == OFFER
    assert offer.said == SUBNET | own | {67: b"undionly.kpxe"}
    assert (offer.yiaddr, offer.siaddr) == (port["fixed_ips"][0]["ip_address"], "10.0.0.9")
    ipxe = lan.ask(MAC, options=IPXE)
    assert ipxe is not None
    told = {67: b"http://10.0.0.1:8080/boot.ipxe?a=b,c;d#e", 175: bytes([176, 1, 1, 255])}
    assert ipxe.said == SUBNET | own | told
    assert lan.lease(MAC).said == offer.said
    bare = lan.ask(MAC, asked=b"\x01")  # asks for neither: then they are in the BOOTP fields
    assert bare is not None
    assert (bare.sname, bare.file) == (b"10.0.0.1", b"undionly.kpxe")
    plain = lan.ask(SENTINEL)
    assert plain is not None
    assert plain.said == SUBNET


async def test_unknown_servers_get_nothing(dhcp: Dhcp, lan: Lan) -> None:
    assert lan.ask(OTHER, sentinel=SENTINEL) is None


async def test_nothing_after_the_port_is_gone(dhcp: Dhcp, lan: Lan) -> None:
    port = await dhcp.port(MAC, *PXE)
    address = lan.lease(MAC).yiaddr
    await dhcp.gone(port)
    assert lan.ask(MAC, sentinel=SENTINEL) is None
    assert lan.renew(MAC, address, sentinel=SENTINEL) is None
    # Its address is another server's at once, although the first one's lease would have run on.
    await dhcp.port(OTHER, fixed_ips=[{"ip_address": address}])
    assert lan.lease(OTHER).yiaddr == address


async def test_no_pxe_options_on_the_tenants_network(dhcp: Dhcp, lan: Lan) -> None:
    """The server's MAC address is on both networks while it moves; each answers for itself."""
    ip("addr", "add", "10.1.0.1/24", "dev", "v0")
    tenant = await dhcp.api.made("networks")
    pool = [{"start": "10.1.0.100", "end": "10.1.0.199"}]
    more = {"cidr": "10.1.0.0/24", "ip_version": 4, "gateway_ip": None, "allocation_pools": pool}
    await dhcp.api.made("subnets", network_id=tenant["id"], **more)
    provision = await dhcp.port(MAC, *PXE)
    there = await dhcp.port(MAC, network=tenant["id"])
    ip("neigh", "add", "10.1.0.250", "lladdr", "02:00:00:00:00:fa", "dev", "v0")
    ip("neigh", "add", "10.0.0.250", "lladdr", "02:00:00:00:00:fa", "dev", "v0")
    on_tenant = lan.ask(MAC, relay="10.1.0.250")
    assert on_tenant is not None
    assert on_tenant.yiaddr == there["fixed_ips"][0]["ip_address"]
    assert on_tenant.said == {1: bytes([255, 255, 255, 0]), 15: b"lab.example", 26: SUBNET[26]}
    on_provider = lan.ask(MAC, relay="10.0.0.250")
    assert on_provider is not None
    assert on_provider.said[67] == b"undionly.kpxe"
    await dhcp.gone(provision)
    assert lan.ask(MAC, relay="10.0.0.250", sentinel=SENTINEL) is None
    again = lan.ask(MAC, relay="10.1.0.250")
    assert again is not None
    assert not again.said.keys() & {43, 60, 66, 67, 150}


async def test_options_change_while_the_lease_lives(dhcp: Dhcp, lan: Lan) -> None:
    port = await dhcp.port(MAC)
    address = lan.lease(MAC).yiaddr
    ident = port["id"]
    for change, expected in (
        ([{"opt_name": "67", "opt_value": "first"}], {67: b"first"}),
        ([{"opt_name": "67", "opt_value": "second"}, {"opt_name": "66", "opt_value": "x"}], {66: b"x", 67: b"second"}),
        ([{"opt_name": "67", "opt_value": None}], {66: b"x"}),
        ([{"opt_name": "tag:efi-x86_64,67", "opt_value": "snp"}, {"opt_name": "67", "opt_value": "bios"}], None),
    ):
        await dhcp.api.changed("ports", ident, extra_dhcp_opts=change)
        renewed = lan.renew(MAC, address)
        assert renewed is not None
        if expected is not None:
            assert renewed.said == SUBNET | expected
    for architecture, name in ((0, b"bios"), (7, b"snp"), (9, b"snp"), (11, b"bios")):
        answer = lan.ask(MAC, options={93: architecture.to_bytes(2, "big")})
        assert answer is not None
        assert answer.said[67] == name


async def test_changes_of_addresses_and_subnets(dhcp: Dhcp, lan: Lan) -> None:
    port = await dhcp.port(MAC)
    address = lan.lease(MAC).yiaddr
    await dhcp.api.changed("ports", port["id"], fixed_ips=[{"ip_address": "10.0.0.77"}])
    refused = lan.renew(MAC, address)
    assert refused is not None
    assert refused.kind == NAK
    assert lan.lease(MAC).yiaddr == "10.0.0.77"
    await dhcp.api.changed("ports", port["id"], mac_address=OTHER)
    assert lan.ask(MAC, sentinel=SENTINEL) is None
    assert lan.lease(OTHER).yiaddr == "10.0.0.77"
    await dhcp.api.changed("subnets", dhcp.subnet, gateway_ip=None, dns_nameservers=[], host_routes=[])
    answer = lan.ask(OTHER)
    assert answer is not None
    assert answer.said == {n: v for n, v in SUBNET.items() if n in {1, 15, 26}}
    await dhcp.api.changed("ports", port["id"], admin_state_up=False)
    assert lan.ask(OTHER, sentinel=SENTINEL) is None
    await dhcp.api.changed("subnets", dhcp.subnet, enable_dhcp=False)
    assert dhcp.loop.state()["subnets"] == 0
    assert lan.ask(SENTINEL) is None  # nobody is left to answer


async def test_client_identifier(dhcp: Dhcp, lan: Lan) -> None:
    """As InfiniBand needs it: the MAC address in the port is not the one that asks."""
    port = await dhcp.port(MAC, ("61", "ff:00:00:00:00:00:02:00:01"))
    mine = {61: bytes.fromhex("ff0000000000020001")}
    answer = lan.ask(OTHER, options=mine)
    assert answer is not None
    assert answer.yiaddr == port["fixed_ips"][0]["ip_address"]
    assert lan.ask(OTHER, sentinel=SENTINEL) is None


@pytest.mark.parametrize("value", ['say "hi", \\ and # more', "10.0.0.1", "aa:bb", "1234", "tag:x,67,y", "Ünïcode"])
async def test_values_arrive_as_they_were_written(dhcp: Dhcp, lan: Lan, value: str) -> None:
    await dhcp.port(MAC, ("67", value))
    answer = lan.ask(MAC)
    assert answer is not None
    assert answer.said == SUBNET | {67: value.encode()}


async def test_options_without_a_known_form(dhcp: Dhcp, lan: Lan) -> None:
    port = await dhcp.port(MAC, ("224", "aa:bb:0c"))
    for value, expected in (("7", b"\x07"), ("300", b"\x01\x2c"), ("10.0.0.1", b"\x0a\0\0\x01"), ("a,b", b"a,b")):
        await dhcp.api.changed("ports", port["id"], extra_dhcp_opts=[{"opt_name": "224", "opt_value": value}])
        answer = lan.ask(MAC)
        assert answer is not None
        assert answer.said[224] == expected


async def test_an_option_of_the_subnet_is_kept_back(dhcp: Dhcp, lan: Lan) -> None:
    await dhcp.port(MAC, ("router", ""))
    answer = lan.ask(MAC)
    assert answer is not None
    if isinstance(dhcp.engine, KeaEngine):
        assert "Kea cannot keep option 3 back" in dhcp.loop.state()["reason"]
    else:
        assert 3 not in answer.said


async def test_a_killed_daemon_is_started_again(dhcp: Dhcp, lan: Lan) -> None:
    await dhcp.port(MAC, *PXE)
    before = lan.lease(MAC)
    restarts = dhcp.loop.state()["restarts"]
    daemon = dhcp.engine._daemon  # type: ignore[attr-defined]
    os.kill(daemon.pid, signal.SIGKILL)
    await daemon.ended.wait()
    async with asyncio.timeout(60):
        while dhcp.loop.state()["restarts"] == restarts or dhcp.loop.state()["state"] != "ok":  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    answer = lan.renew(MAC, before.yiaddr)
    assert answer is not None
    assert answer.said == before.said


@pytest.mark.parametrize("engine", ["dnsmasq"], indirect=True)
async def test_a_daemon_that_cannot_start_is_told(dhcp: Dhcp, tmp_path: Path) -> None:
    engine = dhcp.engine
    assert isinstance(engine, DnsmasqEngine)
    engine._settings = replace(engine._settings, command=("dnsmasq", "--nonsense"))
    port = await dhcp.port(MAC)
    await dhcp.gone(port)
    told = dhcp.loop.state()
    assert told["state"] == "failing"
    assert "bad command line" in told["reason"]


@pytest.mark.parametrize("engine", ["kea"], indirect=True)
async def test_without_its_database_kea_is_silent(dhcp: Dhcp, lan: Lan) -> None:
    port = await dhcp.port(MAC)
    engine = dhcp.engine
    assert isinstance(engine, KeaEngine)
    sound, engine._settings = engine._settings, replace(engine._settings, database="postgresql://nobody@127.0.0.1:1/x")
    await engine._database.close()
    await dhcp.gone(port)
    assert dhcp.loop.state()["state"] == "failing"
    assert lan.ask(MAC) is None
    engine._settings = sound
    async with asyncio.timeout(60):
        while dhcp.loop.state()["state"] != "ok":  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert lan.ask(MAC, sentinel=SENTINEL) is None


@pytest.mark.parametrize("engine", ["kea"], indirect=True)
async def test_another_conductor_writes_the_same_rows(dhcp: Dhcp, lan: Lan, store: Store, kea_database: str) -> None:
    """Of plain options, every Kea answers what any process has written; and what is not ours stays."""
    engine = dhcp.engine
    assert isinstance(engine, KeaEngine)
    foreign = "INSERT INTO hosts (dhcp_identifier, dhcp_identifier_type, dhcp4_subnet_id) VALUES ($1, 0, 7)"
    await engine._database.execute(foreign, b"\1\2\3\4\5\6")
    await dhcp.loop.stop()
    other = KeaEngine(replace(engine._settings, directory=engine._settings.directory / "other"))
    there = DhcpLoop(store, other)
    await there.start()
    try:
        port = await dhcp.port(MAC, ("67", "boot"))
        answer = lan.ask(MAC)
        assert answer is not None
        assert answer.said[67] == b"boot"
        await dhcp.gone(port)
        assert lan.ask(MAC, sentinel=SENTINEL) is None
        rows = await other._database.fetch("SELECT user_context FROM hosts WHERE dhcp4_subnet_id = 7")
        assert len(rows) == 1
    finally:
        await there.stop()


async def test_changes_by_another_process_are_found(dhcp: Dhcp, lan: Lan, store: Store) -> None:
    port = await dhcp.port(MAC, *PXE)
    dhcp.loop._store.answer_with(_nothing)  # its hints are not heard here
    await store.write(lambda tx: ports.delete(tx, port["id"]))
    async with asyncio.timeout(30):
        while dhcp.loop.state().get("reservations") != 1:  # noqa: ASYNC110 - the other process has no event
            await asyncio.sleep(0.02)
    assert lan.ask(MAC, sentinel=SENTINEL) is None


async def test_many_changes_at_once(dhcp: Dhcp, lan: Lan) -> None:
    macs = [f"02:00:00:00:01:{n:02x}" for n in range(40)]
    made = await asyncio.gather(*(dhcp.port(mac, ("67", mac)) for mac in macs))
    for mac in macs:
        answer = lan.ask(mac)
        assert answer is not None
        assert answer.said[67] == mac.encode()
    await asyncio.gather(*(dhcp.gone(port) for port in made[::2]))
    for mac in macs[::2]:
        assert lan.ask(mac, sentinel=SENTINEL) is None
    for mac in macs[1::2]:
        assert lan.ask(mac, DISCOVER) is not None
    assert dhcp.loop.state()["state"] == "ok"


@pytest.mark.parametrize("engine", ["dnsmasq"], indirect=True)
async def test_ipv6(dhcp: Dhcp, lan: Lan) -> None:
    """DHCPv6 with the options of the port by what boots: a URL each, and nothing once the port is gone."""
    pool = [{"start": "fd00:99::100", "end": "fd00:99::1ff"}]
    six = {"cidr": "fd00:99::/64", "ip_version": 6, "gateway_ip": "fd00:99::1", "allocation_pools": pool}
    modes = {"ipv6_ra_mode": "dhcpv6-stateful", "ipv6_address_mode": "dhcpv6-stateful"}
    await dhcp.api.made("subnets", network_id=dhcp.network, dns_nameservers=["fd00:99::53"], **six, **modes)
    named = (("tag:!ipxe6,59", "http://[fd00:99::1]/snp.efi"), ("tag:ipxe6,59", "http://[fd00:99::1]/boot.ipxe"))
    given = [{"opt_name": name, "opt_value": value, "ip_version": 6} for name, value in named]
    port = await dhcp.api.made("ports", network_id=dhcp.network, mac_address=MAC, extra_dhcp_opts=given)
    address = next(ip["ip_address"] for ip in port["fixed_ips"] if ":" in ip["ip_address"])
    firmware = lan.solicit(MAC, (23, 59))
    assert firmware is not None
    assert firmware.address == address
    assert firmware.options[59] == b"http://[fd00:99::1]/snp.efi"
    assert firmware.options[23] == socket.inet_pton(socket.AF_INET6, "fd00:99::53")
    ipxe = lan.solicit(MAC, (59,), ipxe=True)
    assert ipxe is not None
    assert ipxe.options[59] == b"http://[fd00:99::1]/boot.ipxe"
    await dhcp.gone(port)
    after = lan.solicit(MAC, (23, 59), seconds=2.0)
    assert after is None or (after.address == "" and 59 not in after.options)


async def test_overlapping_subnets_are_told(dhcp: Dhcp, lan: Lan) -> None:
    tenant = await dhcp.api.made("networks")
    await dhcp.api.made("subnets", network_id=tenant["id"], cidr="10.0.0.0/16", ip_version=4)
    await dhcp.port(MAC, network=tenant["id"])
    assert lan.ask(MAC, sentinel=SENTINEL) is None
    (reason,) = dhcp.loop.state()["unserved"]
    assert "10.0.0.0/16 overlaps with 10.0.0.0/24" in reason


async def _nothing(_ids: set[str]) -> None:
    return None


async def test_a_real_client(dhcp: Dhcp, lan: Lan, tmp_path: Path) -> None:
    """busybox' udhcpc understands the answer as it is meant."""
    if shutil.which("busybox") is None:
        pytest.skip("busybox is not installed (package busybox-static)")
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\n[ $1 = bound ] && env > {tmp_path}/lease\nexit 0\n")
    script.chmod(0o755)
    mac = _mac_of("v1")
    port = await dhcp.port(mac, *PXE)
    asked = [word for option in ("66", "67", "121") for word in ("-O", option)]
    client = ("busybox", "udhcpc", "-f", "-q", "-n", "-i", "v1", "-s", str(script), *asked)
    process = await asyncio.create_subprocess_exec(*client, stdout=-3, stderr=-3)
    assert await asyncio.wait_for(process.wait(), 60) == 0
    said = dict(line.split("=", 1) for line in (tmp_path / "lease").read_text().splitlines() if "=" in line)
    assert said["ip"] == port["fixed_ips"][0]["ip_address"]
    assert (said["siaddr"], said["router"], said["domain"]) == ("10.0.0.9", "10.0.0.254", "lab.example")
    assert said["staticroutes"] == "10.7.0.0/16 10.0.0.7 0.0.0.0/0 10.0.0.254"
    assert said.get("bootfile", said.get("boot_file")) == "undionly.kpxe"


def _mac_of(nic: str) -> str:
    shown = subprocess.run(["ip", "-json", "link", "show", nic], check=True, capture_output=True).stdout
    return str(json.loads(shown)[0]["address"])
