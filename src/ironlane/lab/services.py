"""The conductor's presence on the wire: a host that sits on the provisioning networks and serves DHCP and TFTP."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

import aiohttp

from ironlane.lab.dhcp import (
    CLIENT_PORT,
    SERVER_PORT,
    DhcpMessage,
    DhcpResponder,
    ExtraOption,
    FindPort,
    MessageType,
    PortLease,
)
from ironlane.lab.endpoint import Ipv4Endpoint
from ironlane.lab.frames import BROADCAST, LIMITED_BROADCAST, Ethernet, FrameError, Ipv4, Udp, mac_bytes, udp_frame
from ironlane.lab.tftp import ReadFile, TftpServer
from ironlane.lab.wire import Interface

__all__ = ["FindPort", "NetworkingApiPorts", "PortLease", "ServicesHost"]


class ServicesHost:
    """One NIC on a trunk port of a switch, with an endpoint in each VLAN it serves.

    `vlans` says which address it has in which VLAN. It answers ARP and ICMP echo everywhere; with `find_port` it
    answers DHCP, for MAC addresses that have a network port; with `read_file` it serves TFTP. Use `close` at the end.
    """

    def __init__(
        self,
        name: str,
        mac: str,
        vlans: Mapping[int, IPv4Interface] | None = None,
        *,
        find_port: FindPort | None = None,
        read_file: ReadFile | None = None,
    ) -> None:
        self.name = name
        self.mac = mac_bytes(mac)
        self.interface = Interface(f"{name}/eth0", self._receive)
        self.taps: list[Callable[[Interface, bytes], None]] = []
        """Called with every arriving frame, as it came."""
        self.silent: deque[tuple[str, int]] = deque(maxlen=1000)
        """MAC address and VLAN of the latest DHCP clients that got no answer."""
        self.failures: deque[str] = deque(maxlen=1000)
        """Why the latest DHCP questions could not be looked up."""
        self._responder = DhcpResponder(find_port) if find_port else None
        self._read_file = read_file
        self._endpoints: dict[int, Ipv4Endpoint] = {}
        self._answering: dict[tuple[bytes, bytes, MessageType, int], asyncio.Task[None]] = {}
        for vlan, address in (vlans or {}).items():
            self.add_vlan(vlan, address)

    @property
    def vlans(self) -> tuple[int, ...]:
        return tuple(self._endpoints)

    def add_vlan(self, vlan: int, address: IPv4Interface) -> None:
        """Be present in one more VLAN, or with one more address in a VLAN."""
        endpoint = self._endpoints.get(vlan)
        if endpoint is None:
            endpoint = self._endpoints[vlan] = Ipv4Endpoint(self.mac, lambda frame: self.send(frame, vlan))
            endpoint.bind(SERVER_PORT, lambda _mac, packet, datagram: self._dhcp(vlan, packet, datagram))
            if self._read_file is not None:
                TftpServer(endpoint, self._read_file)
        endpoint.addresses.append(address)

    def endpoint(self, vlan: int) -> Ipv4Endpoint:
        """The host's IPv4 side in a VLAN.

        Raises:
            KeyError: it is not present there.
        """
        return self._endpoints[vlan]

    def send(self, frame: bytes, vlan: int) -> None:
        """Put an untagged frame on the wire in a VLAN."""
        ethernet = Ethernet.parse(frame)
        self.interface.send(Ethernet(ethernet.dst, ethernet.src, ethernet.ethertype, ethernet.payload, vlan).pack())

    async def close(self) -> None:
        """Stop answering DHCP."""
        tasks = tuple(self._answering.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _receive(self, interface: Interface, frame: bytes) -> None:
        for tap in tuple(self.taps):
            tap(interface, frame)
        try:
            ethernet = Ethernet.parse(frame)
        except FrameError:
            return
        endpoint = self._endpoints.get(ethernet.vlan or 0)
        if endpoint is not None:
            inner = Ethernet(ethernet.dst, ethernet.src, ethernet.ethertype, ethernet.payload)
            endpoint.receive(inner.pack())

    def _dhcp(self, vlan: int, packet: Ipv4, datagram: Udp) -> None:
        """A client asks; looking the port up takes time, so a task answers. Repetitions meanwhile are dropped."""
        try:
            request = DhcpMessage.parse(datagram.payload)
        except FrameError:
            return
        server = self._endpoints[vlan].addresses[0].ip
        key = (request.mac, request.xid, request.type, vlan)
        if self._responder is None or packet.dst not in (server, LIMITED_BROADCAST) or key in self._answering:
            return
        task = asyncio.get_running_loop().create_task(self._answer(self._responder, request, vlan, server))
        self._answering[key] = task
        task.add_done_callback(lambda _: self._answering.pop(key, None))

    async def _answer(self, responder: DhcpResponder, request: DhcpMessage, vlan: int, server: IPv4Address) -> None:
        try:
            answer = await responder.answer(request, vlan, server)
        except (aiohttp.ClientError, TimeoutError, LookupError, ValueError) as error:
            self.failures.append(f"DHCP of {request.mac.hex(':')} in VLAN {vlan}: {error!r}")
            return
        if answer is None:
            self.silent.append((request.mac.hex(":"), vlan))
            return
        to_mac = BROADCAST if answer.broadcast else request.mac
        to = LIMITED_BROADCAST if answer.broadcast else answer.yiaddr
        self.send(udp_frame(self.mac, to_mac, server, to, Udp(SERVER_PORT, CLIENT_PORT, answer.pack())), vlan)


class NetworkingApiPorts:
    """Finds network ports by asking the Networking API; an instance is a `FindPort`.

    `base_url` is the API's root, such as `http://127.0.0.1:9696`. Which networks a VLAN belongs to is remembered
    as long as ports are found there, what a subnet looks like for good. Use `close` at the end.
    """

    def __init__(self, base_url: str, *, headers: Mapping[str, str] | None = None, timeout: float = 10.0) -> None:
        self._base = base_url.rstrip("/") + "/v2.0"
        self._headers = {"X-Auth-Token": "notused", **(headers or {})}
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None
        self._networks: dict[int, list[str]] = {}
        self._subnets: dict[str, dict[str, Any]] = {}

    async def __call__(self, mac: str, vlan: int) -> PortLease | None:
        """Raises `aiohttp.ClientError` or `TimeoutError` when the API does not answer as it should."""
        for network in await self._networks_of(vlan):
            ports = (await self._get("/ports", mac_address=mac, network_id=network))["ports"]
            for port in ports:
                for fixed in port["fixed_ips"]:
                    subnet = await self._subnet(fixed["subnet_id"])
                    if subnet["ip_version"] == 4:
                        return _lease(port, fixed["ip_address"], subnet)
        self._networks.pop(vlan, None)  # the VLAN may belong to another network by now
        return None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _networks_of(self, vlan: int) -> list[str]:
        if vlan not in self._networks:
            answer = await self._get("/networks", **{"provider:segmentation_id": str(vlan)})
            found = [network["id"] for network in answer["networks"]]
            if not found:
                return []
            self._networks[vlan] = found
        return self._networks[vlan]

    async def _subnet(self, ident: str) -> dict[str, Any]:
        if ident not in self._subnets:
            self._subnets[ident] = (await self._get(f"/subnets/{ident}"))["subnet"]
        return self._subnets[ident]

    async def _get(self, path: str, **query: str) -> dict[str, Any]:
        if self._session is None:
            self._session = aiohttp.ClientSession(headers=self._headers, timeout=self._timeout)
        async with self._session.get(self._base + path, params=query) as response:
            response.raise_for_status()
            answer: dict[str, Any] = await response.json()
            return answer


def _lease(port: Mapping[str, Any], address: str, subnet: Mapping[str, Any]) -> PortLease:
    length = IPv4Network(subnet["cidr"]).prefixlen
    gateway = subnet.get("gateway_ip")
    return PortLease(
        IPv4Interface(f"{address}/{length}"),
        IPv4Address(gateway) if gateway else None,
        tuple(_options(port.get("extra_dhcp_opts") or ())),
    )


def _options(raw: Iterable[Mapping[str, Any]]) -> Iterable[ExtraOption]:
    for option in raw:
        if option.get("opt_value") is not None:
            yield ExtraOption(str(option["opt_name"]), str(option["opt_value"]), int(option.get("ip_version") or 4))
