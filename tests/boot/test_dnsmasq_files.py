"""dnsmasq's files, to the letter; `golden/` has them. What they bring about is in `test_dnsmasq`."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path

from ironlane.boot.dnsmasq_files import DnsmasqSettings, configuration, hosts_file, lease_lines, options_file
from ironlane.model.dhcp import Answers, Reservation, ServedSubnet, parse_option

GOLDEN = Path(__file__).parent / "golden"

SUBNETS = {
    "four": ServedSubnet(
        "four",
        ip_network("192.0.2.0/24"),
        gateway=ip_address("192.0.2.1"),
        nameservers=(ip_address("192.0.2.53"),),
        routes=((ip_network("10.0.0.0/9"), ip_address("192.0.2.9")),),
        mtu=9000,
    ),
    "bare": ServedSubnet("bare", ip_network("198.51.100.0/25")),
    "stateful": ServedSubnet(
        "stateful",
        ip_network("2001:db8:1::/64"),
        nameservers=(ip_address("2001:db8::53"),),
        ra_mode="dhcpv6-stateful",
        address_mode="dhcpv6-stateful",
    ),
    "slaac": ServedSubnet("slaac", ip_network("2001:db8:2::/64"), ra_mode="slaac", address_mode="slaac"),
    "theirs": ServedSubnet("theirs", ip_network("2001:db8:3::/64"), address_mode="slaac"),
}
RESERVATION = Reservation(
    "8a5e0c3e",
    "02:00:00:00:00:05",
    (("four", ip_address("192.0.2.100")), ("stateful", ip_address("2001:db8:1::5"))),
    (
        parse_option("66", "192.0.2.2"),
        parse_option("150", "192.0.2.2"),
        parse_option("255", "192.0.2.2"),
        parse_option("224", "A"),
        parse_option("router", ""),
        parse_option("121", "10.0.0.0/8,192.0.2.9"),
        parse_option("23", "2001:db8::53", 6),
        parse_option("tag:!ipxe,67", "undionly.kpxe"),
        parse_option("tag:ipxe,67", 'http://192.0.2.2/"x",\\y'),
        parse_option("tag:ipxe6,59", "http://[2001:db8::2]/x", 6),
    ),
    client_id=b"\xff\x00\x01",
)


def same(name: str, text: str) -> None:
    assert text == (GOLDEN / name).read_text()


def test_configuration() -> None:
    settings = DnsmasqSettings(("eth1", "eth2.11"), Path("/run/ironlane/dhcp"), domain="example.org")
    same("dnsmasq.conf", configuration(settings, Answers(SUBNETS, {})))


def test_a_ports_files() -> None:
    same("hosts", hosts_file(RESERVATION))
    same("opts", options_file(RESERVATION.port, RESERVATION.options))


def test_leases_of_nobody_are_dropped() -> None:
    """Another server may get the address while the lease would run on, and dnsmasq would not give it to it."""
    mine = "1700000000 02:00:00:00:00:05 192.0.2.100 * 01:02:00:00:00:00:05"
    theirs = "1700000000 02:00:00:00:00:06 192.0.2.100 * *"
    free = "1700000000 02:00:00:00:00:05 192.0.2.101 * *"
    by_id = "1700000000 02:00:00:00:00:09 192.0.2.100 * ff:00:01"
    six = "1700000000 1234 2001:db8:1::5 * 00:01"
    text = "\n".join([mine, theirs, free, by_id, "duid 00:01:00", six, "1 2 2001:db8:1::6 * 00:02", "damaged"])
    kept = lease_lines(text, Answers(SUBNETS, {"port": RESERVATION}))
    assert kept.splitlines() == [mine, by_id, "duid 00:01:00", six]
