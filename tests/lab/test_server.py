from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from ironlane.lab.endpoint import Ipv4Endpoint
from ironlane.lab.frames import Udp, mac_bytes
from ironlane.lab.machine import Machine
from ironlane.lab.nic import Bond, Nic
from ironlane.lab.server import BondPlan, Stage, Timings, VirtualServer
from ironlane.lab.tftp import TftpError, TftpServer, files_below, read
from ironlane.lab.wire import Interface, connect

QUICK = Timings(dhcp_timeout=0.01, dhcp_tries=1, retry=0.01, os_dhcp_retry=0.01)
MACS = {"eth0": "52:54:00:00:00:01", "eth1": "52:54:00:00:00:02"}


def endpoints() -> tuple[Ipv4Endpoint, Ipv4Endpoint]:
    """Two hosts at the ends of one cable."""
    made: list[Ipv4Endpoint] = []
    ends = [Interface(f"end{n}", lambda i, frame: made[int(i.name[-1])].receive(frame)) for n in (0, 1)]
    connect(*ends)
    for n, end in enumerate(ends):
        made.append(Ipv4Endpoint(mac_bytes(f"02:00:00:00:00:0{n}"), end.send))
        made[n].addresses.append(IPv4Interface(f"10.0.0.{n + 1}/24"))
    return made[0], made[1]


async def test_power_and_boot_device_as_a_bmc_drives_them() -> None:
    server = VirtualServer("s", MACS, timings=QUICK)
    machine: Machine = server
    assert (machine.power, machine.boot_device, machine.boot_persistent) == ("off", "disk", True)
    machine.set_boot_device("pxe")
    assert (machine.boot_device, machine.boot_persistent) == ("pxe", False)
    await machine.power_on()
    await machine.power_on()
    assert machine.power == "on"
    await server.until(lambda s: "eth1: no carrier" in s.journal)
    assert (machine.boot_device, machine.boot_persistent) == ("disk", True)
    await machine.reset()
    await server.until(lambda s: s.stage is Stage.HALTED)
    machine.set_boot_device("pxe", persistent=True)
    assert (machine.boot_device, machine.boot_persistent) == ("pxe", True)
    await machine.power_off()
    await machine.power_off()
    assert machine.power == "off"
    with pytest.raises(ValueError, match="cannot boot from 'floppy'"):
        machine.set_boot_device("floppy")  # type: ignore[arg-type]
    await server.close()


async def test_waiting_ends_with_the_reason() -> None:
    server = VirtualServer("s", MACS)
    with pytest.raises(TimeoutError, match=r"server s: off after 0\.01 s"):
        await server.until(lambda s: s.stage is Stage.OS, timeout=0.01)


async def test_an_error_in_the_boot_process_is_not_lost() -> None:
    server = VirtualServer("s", MACS, disk_image="x", bond=BondPlan("no-such-mode", ("eth0", "eth1")))
    await server.power_on()
    await server.until(lambda s: s.journal[-1].startswith("crashed: ValueError"))
    with pytest.raises(ValueError, match="not a bonding mode"):
        await server.close()
    assert server.power == "off"


async def test_a_running_system_answers_and_records() -> None:
    server = VirtualServer(
        "s", MACS, disk_image="x", addresses={"eth0": IPv4Interface("10.0.0.1/24")}, dhcp=False, timings=QUICK
    )
    cable = Interface("peer", lambda _, frame: peer.receive(frame))
    peer = Ipv4Endpoint(mac_bytes("02:00:00:00:00:09"), cable.send)
    peer.addresses.append(IPv4Interface("10.0.0.9/24"))
    connect(server.interface("eth0"), cable)
    await server.power_on()
    await server.until(lambda s: s.stage is Stage.OS)
    assert peer.ping(IPv4Address("10.0.0.1"))
    assert server.os is not None
    assert server.os.ping(IPv4Address("10.0.0.9"))
    assert [name for name, _ in server.os.received][:1] == ["eth0"]
    assert not peer.ping(IPv4Address("10.0.0.7"))
    await server.close()
    assert not peer.ping(IPv4Address("10.0.0.1"))


def test_a_host_ignores_what_is_not_for_it() -> None:
    one, two = endpoints()
    got: list[bytes] = []
    two.bind(1000, lambda _mac, _packet, datagram: got.append(datagram.payload))
    one.send_udp(two.mac, IPv4Address("10.0.0.2"), Udp(5, 1000, b"yes"))
    one.send_udp(two.mac, IPv4Address("10.0.0.77"), Udp(5, 1000, b"other address"))
    one.send_udp(mac_bytes("02:00:00:00:00:77"), IPv4Address("10.0.0.2"), Udp(5, 1000, b"other MAC"))
    one.send_udp(two.mac, IPv4Address("10.0.0.2"), Udp(5, 1001, b"other port"))
    two.receive(b"garbage")
    assert got == [b"yes"]


@pytest.mark.parametrize("size", [0, 511, 512, 1024, 5000])
async def test_files_of_all_sizes_come_by_tftp(size: int) -> None:
    client, server = endpoints()
    TftpServer(server, {"file": bytes(range(256)) * 20}.get if size == 5000 else {"file": b"x" * size}.get)
    content = await read(client, IPv4Address("10.0.0.2"), "file", port=2000, timeout=1)
    assert len(content) == (5120 if size == 5000 else size)
    with pytest.raises(TftpError, match="no such file"):
        await read(client, IPv4Address("10.0.0.2"), "other", port=2000, timeout=1)


async def test_tftp_failures_have_reasons() -> None:
    client, _ = endpoints()
    with pytest.raises(TftpError, match="does not answer ARP"):
        await read(client, IPv4Address("10.0.0.7"), "file", port=2000, timeout=1)
    with pytest.raises(TftpError, match="stopped answering"):
        await read(client, IPv4Address("10.0.0.2"), "file", port=2000, timeout=0.01)


def test_tftp_serves_a_directory_and_nothing_outside(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "in").write_bytes(b"in")
    (tmp_path / "out").write_bytes(b"out")
    serve = files_below(tmp_path / "root")
    assert (serve("in"), serve("/in"), serve("../out"), serve("none")) == (b"in", b"in", None, None)


@pytest.mark.parametrize(
    ("mode", "sent"), [("balance-rr", [2, 2]), ("broadcast", [4, 4]), ("active-backup", [4, 0]), ("802.3ad", [4, 0])]
)
def test_bonding_modes_without_lacp_partner(mode: str, sent: list[int]) -> None:
    nics = [Nic("s", name, mac) for name, mac in MACS.items()]
    counts = [0, 0]

    def count(interface: Interface, frame: bytes) -> None:
        counts[int(interface.name)] += frame[12:14] == b"\x88\xb5"

    for n, nic in enumerate(nics):
        nic.interface.up = True
        connect(nic.interface, Interface(str(n), count))
    bond = Bond("bond0", nics, mode, lambda _: None, lambda: None)
    assert bond.mac == nics[0].mac
    for _ in range(4):
        bond.send(b"\xff" * 6 + bond.mac + b"\x88\xb5")
    assert counts == sent
