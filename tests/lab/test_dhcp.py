from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from ironlane.lab.dhcp import DhcpMessage, DhcpResponder, ExtraOption, MessageType, Option, PortLease, chosen_options
from ironlane.lab.frames import FrameError
from ironlane.lab.services import NetworkingApiPorts

MAC = bytes.fromhex("525400000001")
SERVER = IPv4Address("10.0.0.2")


def request(kind: MessageType = MessageType.DISCOVER, **options: bytes) -> DhcpMessage:
    named = {getattr(Option, name): value for name, value in options.items()}
    return DhcpMessage(True, b"\1\2\3\4", MAC, {Option.MESSAGE_TYPE: bytes([kind]), **named})


async def find(mac: str, vlan: int) -> PortLease | None:
    if (mac, vlan) != ("52:54:00:00:00:01", 100):
        return None
    options = (ExtraOption("67", "boot.bin"), ExtraOption("66", "10.0.0.2"), ExtraOption("255", "10.0.0.3"))
    return PortLease(IPv4Interface("10.0.0.9/24"), IPv4Address("10.0.0.1"), options)


@given(
    st.dictionaries(st.integers(1, 254).filter(lambda n: n != 53), st.binary(min_size=1, max_size=600), max_size=5),
    st.booleans(),
)
def test_messages_round_trip(options: dict[int, bytes], broadcast: bool) -> None:
    message = DhcpMessage(
        False, b"abcd", MAC, {**options, 53: b"\2"}, yiaddr=IPv4Address(5), siaddr=SERVER, broadcast=broadcast
    )
    assert DhcpMessage.parse(message.pack()) == message
    assert len(message.pack()) >= 300


@pytest.mark.parametrize("cut", [100, 239, 242])
def test_cut_messages_are_refused(cut: int) -> None:
    with pytest.raises(FrameError):
        DhcpMessage.parse(request().pack()[:cut])


async def test_offer_and_ack_carry_the_port() -> None:
    responder = DhcpResponder(find)
    offer = await responder.answer(request(), 100, SERVER)
    assert offer is not None
    assert (offer.type, offer.yiaddr, offer.siaddr) == (
        MessageType.OFFER, IPv4Address("10.0.0.9"), IPv4Address("10.0.0.3")
    )  # fmt: skip
    assert (offer.text(67), offer.text(66)) == ("boot.bin", "10.0.0.2")
    assert offer.address(Option.NETMASK) == IPv4Address("255.255.255.0")
    assert offer.address(Option.ROUTER) == IPv4Address("10.0.0.1")
    asked = request(MessageType.REQUEST, REQUESTED_ADDRESS=offer.yiaddr.packed, SERVER_ID=SERVER.packed)
    ack = await responder.answer(asked, 100, SERVER)
    assert ack is not None
    assert ack.type is MessageType.ACK


async def test_silence_and_refusal() -> None:
    responder = DhcpResponder(find)
    assert await responder.answer(request(), 200, SERVER) is None
    assert await responder.answer(request(MessageType.RELEASE), 100, SERVER) is None
    elsewhere = request(MessageType.REQUEST, SERVER_ID=IPv4Address("10.0.0.99").packed)
    assert await responder.answer(elsewhere, 100, SERVER) is None
    wrong = request(MessageType.REQUEST, REQUESTED_ADDRESS=IPv4Address("10.0.0.77").packed)
    nak = await responder.answer(wrong, 100, SERVER)
    assert nak is not None
    assert nak.type is MessageType.NAK


@pytest.mark.parametrize(
    ("name", "ipxe", "holds"),
    [
        ("67", False, True),
        ("bootfile-name", True, True),
        ("option:bootfile-name", True, True),
        ("tag:ipxe,67", False, False),
        ("tag:ipxe,67", True, True),
        ("tag:!ipxe,67", False, True),
        ("tag:!ipxe,67", True, False),
        ("!175,67", True, False),
        ("!175,67", False, True),
        ("tag:other,67", True, False),
        ("no-such-name", True, False),
    ],
)
def test_conditions_of_options(name: str, ipxe: bool, holds: bool) -> None:
    asked = request(**({"IPXE": b"\1"} if ipxe else {}))
    assert chosen_options([ExtraOption(name, "x")], asked) == ({67: b"x"} if holds else {})


def test_a_condition_goes_before_none_and_addresses_are_packed() -> None:
    options = [
        ExtraOption("tag:ipxe,67", "http://script"),
        ExtraOption("67", "plain"),
        ExtraOption("150", "10.0.0.2"),
        ExtraOption("server-ip-address", "not an address"),
        ExtraOption("59", "v6", ip_version=6),
    ]
    assert chosen_options(options, request(IPXE=b"\1")) == {67: b"http://script", 150: SERVER.packed}


async def test_ports_are_found_through_the_networking_api() -> None:
    asked: list[str] = []

    async def answer(http: web.Request) -> web.Response:
        asked.append(http.path_qs)
        if http.path == "/v2.0/networks":
            found = [{"id": "net-1"}] if http.query["provider:segmentation_id"] == "100" else []
            return web.json_response({"networks": found})
        if http.path == "/v2.0/ports":
            port = {
                "fixed_ips": [
                    {"subnet_id": "sub-6", "ip_address": "fd00::9"},
                    {"subnet_id": "sub-4", "ip_address": "10.0.0.9"},
                ],
                "extra_dhcp_opts": [
                    {"opt_name": "67", "opt_value": "boot.bin", "ip_version": 4},
                    {"opt_name": "61", "opt_value": None, "ip_version": 4},
                ],
            }
            return web.json_response({"ports": [port] if http.query["mac_address"] == MAC.hex(":") else []})
        version = 6 if http.path.endswith("6") else 4
        subnet = {"ip_version": version, "cidr": "10.0.0.0/24", "gateway_ip": None}
        return web.json_response({"subnet": subnet})

    app = web.Application()
    app.router.add_get("/{rest:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    ports = NetworkingApiPorts(f"http://127.0.0.1:{runner.addresses[0][1]}/")
    try:
        lease = await ports(MAC.hex(":"), 100)
        assert lease == PortLease(IPv4Interface("10.0.0.9/24"), None, (ExtraOption("67", "boot.bin"),))
        first = len(asked)
        assert await ports(MAC.hex(":"), 100) == lease
        assert asked[first:] == [f"/v2.0/ports?mac_address={MAC.hex(':')}&network_id=net-1"]
        assert await ports("52:54:00:00:00:99", 100) is None
        assert await ports(MAC.hex(":"), 200) is None
    finally:
        await ports.close()
        await runner.cleanup()
