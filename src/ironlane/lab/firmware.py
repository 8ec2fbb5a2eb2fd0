"""A server's network boot: DHCP, then the boot file by TFTP or HTTP (PXE 2.1, iPXE)."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

import aiohttp

from ironlane.lab import tftp
from ironlane.lab.dhcp import CLIENT_PORT, SERVER_PORT, DhcpMessage, MessageType, Option
from ironlane.lab.endpoint import Ipv4Endpoint
from ironlane.lab.frames import BROADCAST, LIMITED_BROADCAST, NO_ADDRESS, FrameError, Ipv4, Udp
from ironlane.lab.nic import Nic

_TFTP_CLIENT_PORT = 2070


class BootError(Exception):
    """The network boot failed; the message says where it stopped."""


@dataclass(frozen=True, slots=True)
class Timings:
    """How long a virtual server takes over things, in seconds."""

    dhcp_timeout: float = 0.3
    """Wait for the first answer; doubles with each repetition, as RFC 2131, section 4.1, has it."""
    dhcp_tries: int = 3
    tftp_timeout: float = 0.5
    retry: float = 0.1
    """From a failed network boot to the next, or from an unanswered call of the agent to the next."""
    post: float = 0.0
    """Power-on self-test."""
    work: float = 0.05
    """Wiping or writing the disk."""
    heartbeat: float = 1.0
    """Between heartbeats of an agent that has nothing to do."""
    http_timeout: float = 10.0
    os_boot: float = 0.0
    os_dhcp_retry: float = 0.3
    """Between rounds of the operating system's DHCP client."""


@dataclass(frozen=True, slots=True)
class Booted:
    """A finished network boot: the configured NIC, the services' address on its network, and what was booted."""

    nic: Nic
    endpoint: Ipv4Endpoint
    services: IPv4Address
    boot_file: str
    content: bytes


async def acquire(endpoint: Ipv4Endpoint, timings: Timings, *, ipxe: bool = False) -> DhcpMessage | None:
    """Get a lease by DHCP and configure the endpoint with it. Answers the ACK, or None when nobody leased.

    `ipxe` says so in the request, as iPXE's DHCP client does.
    """
    endpoint.addresses.clear()
    xid = random.randbytes(4)
    arrived: asyncio.Queue[DhcpMessage] = asyncio.Queue()

    def receive(_mac: bytes, _packet: Ipv4, datagram: Udp) -> None:
        try:
            message = DhcpMessage.parse(datagram.payload)
        except FrameError:
            return
        if not message.request and (message.xid, message.mac) == (xid, endpoint.mac):
            arrived.put_nowait(message)

    def ask(kind: MessageType, options: dict[int, bytes]) -> None:
        options = {Option.MESSAGE_TYPE: bytes([kind]), Option.PARAMETER_LIST: bytes([1, 3, 66, 67, 150]), **options}
        if ipxe:
            options |= {Option.IPXE: b"\xb1\x05\x01\x80\x86\x10\x0e", Option.USER_CLASS: b"iPXE"}
        message = DhcpMessage(True, xid, endpoint.mac, options, broadcast=False)
        endpoint.send_udp(BROADCAST, LIMITED_BROADCAST, Udp(CLIENT_PORT, SERVER_PORT, message.pack()))

    endpoint.bind(CLIENT_PORT, receive)
    try:
        for attempt in range(timings.dhcp_tries):
            timeout = timings.dhcp_timeout * 2**attempt
            ask(MessageType.DISCOVER, {})
            offer = await _next(arrived, {MessageType.OFFER}, timeout)
            server = offer.address(Option.SERVER_ID) if offer else None
            if offer is None or server is None:
                continue
            ask(
                MessageType.REQUEST,
                {Option.REQUESTED_ADDRESS: offer.yiaddr.packed, Option.SERVER_ID: server.packed},
            )
            answer = await _next(arrived, {MessageType.ACK, MessageType.NAK}, timeout)
            if answer is not None and answer.type is MessageType.ACK:
                netmask = answer.address(Option.NETMASK)
                endpoint.addresses.append(IPv4Interface(f"{answer.yiaddr}/{netmask or 32}"))
                return answer
        return None
    finally:
        endpoint.unbind(CLIENT_PORT)


async def _next(arrived: asyncio.Queue[DhcpMessage], kinds: set[MessageType], timeout: float) -> DhcpMessage | None:
    try:
        async with asyncio.timeout(timeout):
            while True:
                message = await arrived.get()
                if message.type in kinds:
                    return message
    except TimeoutError:
        return None


async def network_boot(nic: Nic, http: aiohttp.ClientSession, timings: Timings) -> Booted:
    """Boot from the network through one NIC.

    A boot file that is itself a boot loader (iPXE) asks once more by DHCP, saying that it is iPXE.

    Raises:
        BootError: no carrier, no lease, no boot file, or the file could not be fetched.
    """
    if not nic.carrier:
        raise BootError("no carrier")
    endpoint = Ipv4Endpoint(nic.mac, nic.send)
    nic.consumer = lambda _nic, frame: endpoint.receive(frame)
    boot_file, services, content = await _fetch(endpoint, http, timings, ipxe=False)
    if _is_ipxe(boot_file):
        boot_file, services, content = await _fetch(endpoint, http, timings, ipxe=True)
    return Booted(nic, endpoint, services, boot_file, content)


def _is_ipxe(name: str) -> bool:
    base = name.rpartition("/")[2].lower()
    return base.endswith((".kpxe", ".kkpxe", ".efi")) or base == "ipxe.pxe"


async def _fetch(
    endpoint: Ipv4Endpoint, http: aiohttp.ClientSession, timings: Timings, *, ipxe: bool
) -> tuple[str, IPv4Address, bytes]:
    lease = await acquire(endpoint, timings, ipxe=ipxe)
    if lease is None:
        raise BootError("no DHCP answer")
    services = lease.address(Option.SERVER_ID) or NO_ADDRESS
    name = lease.text(Option.BOOT_FILE)
    if not name:
        raise BootError("DHCP names no boot file")
    if name.startswith(("http://", "https://")):
        return name, services, await _get(endpoint, services, name, http)
    server = _tftp_server(lease)
    if server is None:
        raise BootError(f"DHCP names no TFTP server for boot file {name}")
    try:
        content = await tftp.read(endpoint, server, name, port=_TFTP_CLIENT_PORT, timeout=timings.tftp_timeout)
    except tftp.TftpError as error:
        raise BootError(str(error)) from error
    return name, services, content


def _tftp_server(lease: DhcpMessage) -> IPv4Address | None:
    """The TFTP server: option 150, else 66 if it is an address, else the next-server field."""
    address = lease.address(Option.TFTP_ADDRESS)
    if address is not None:
        return address
    try:
        return IPv4Address(lease.text(Option.TFTP_SERVER))
    except ValueError:
        return None if lease.siaddr == NO_ADDRESS else lease.siaddr


async def _get(endpoint: Ipv4Endpoint, services: IPv4Address, url: str, http: aiohttp.ClientSession) -> bytes:
    """HTTP runs beside the virtual wire, so it is done only while the services answer on the wire."""
    if endpoint.resolve(services) is None:
        raise BootError(f"{services} does not answer ARP, so {url} cannot be fetched")
    try:
        async with http.get(url) as response:
            response.raise_for_status()
            return await response.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise BootError(f"{url}: {error!r}") from error
