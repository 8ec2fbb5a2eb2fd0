"""Clients of the Networking API, one for each host: they bind, move, unbind and delete, and never lose their patience.

Each knows what it was told, nothing else. A request that was not answered is sent again, or looked up if sending it
twice would make two. What it asks for and hears goes to the judge.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ironlane.cli.client import Client, Refused, Unreachable
from tests.faults.judge import Judge, Wish
from tests.faults.rack import Host

NETWORKING = "/networking/v2.0"
SHAPES = ("bundle", "static", "pair", "first", "second")
"""How a tenant port is bound: LACP or a static LAG over both switches, both links without a LAG, one link."""
_MODES = {"bundle": "802.3ad", "static": "balance-xor", "pair": "active-backup"}
_FAULT, _TOO_BUSY = 500, 503


@dataclass(slots=True, eq=False)
class Network:
    id: str
    name: str
    vlan: int


@dataclass(slots=True, eq=False)
class NetworkPort:
    id: str
    network: Network
    shape: str = ""
    """How it is bound; empty: it is not."""
    trunk: str = ""
    sub_ports: list[NetworkPort] = field(default_factory=list)


class Api:
    """Requests that are sent until they are answered: to each process in turn, if there are several.

    `awake` tells which of them are up and not asleep.
    """

    def __init__(
        self,
        clients: Sequence[Client],
        judge: Judge,
        note: Callable[[str], None],
        awake: Callable[[], Sequence[Client]],
    ) -> None:
        self.judge = judge
        self._clients = itertools.cycle(clients)
        self._awake = awake
        self._note = note

    @property
    def _client(self) -> Client:
        return next(self._clients)

    async def get(self, path: str, query: dict[str, str] | None = None) -> Any:
        while True:
            try:
                return await self._client.get(path, query)
            except Unreachable:
                await asyncio.sleep(0.05)
            except Refused as error:
                self._strange(f"GET {path}", error)

    async def look(self, path: str) -> Any:
        """The same, of a process that does not sleep: what goes wrong meanwhile is to be seen meanwhile."""
        while True:
            for client in self._awake()[:1]:
                with contextlib.suppress(Unreachable):
                    return await client.get(path)
            await asyncio.sleep(0.05)

    async def send(self, who: str, method: str, path: str, body: Any = None) -> Any:
        """A request that may be sent twice.

        Raises:
            Refused: with a status of 4xx.
        """
        while True:
            try:
                answer = await self._client.request(method, path, body)
            except Unreachable:
                self._note(f"  {who}: {method} {path}: no answer")
                await asyncio.sleep(0.05)
            except Refused as error:
                self._note(f"  {who}: {method} {path} {_brief(body)}: {error.status} {error.message[:120]}")
                self._strange(f"{method} {path}", error)
            else:
                self._note(f"  {who}: {method} {path} {_brief(body)}: ok")
                return answer

    async def create(self, who: str, noun: str, body: dict[str, Any], *, quietly: bool = False) -> dict[str, Any]:
        """POST something with a name of its own, once. `quietly`: a refusal is not worth a line.

        Raises:
            Refused: with a status of 4xx.
        """
        path = f"{NETWORKING}/{noun}s"
        while True:
            try:
                made = (await self._client.request("POST", path, {noun: body}))[noun]
            except Unreachable:
                self._note(f"  {who}: POST {path} {_brief(body)}: no answer")
                found = (await self.get(path, {"name": body["name"]}))[f"{noun}s"]
                if not found:
                    continue
                made = found[0]
            except Refused as error:
                if not quietly:
                    self._note(f"  {who}: POST {path} {_brief(body)}: {error.status} {error.message[:120]}")
                self._strange(f"POST {path}", error)
                continue
            self._note(f"  {who}: POST {path} {_brief(body)}: {made['id']}")
            return dict(made)

    def _strange(self, what: str, error: Refused) -> None:
        """Passes on what is the client's fault; a broken service is told of; a busy one is asked again."""
        if error.status < _FAULT:
            raise error
        if error.status != _TOO_BUSY:
            self.judge.violated("I5", f"{what} was answered {error.status}: {error.message}")


class Networks:
    """Networks come and go, so that VLANs are used again."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._made = 0
        self.provider: list[Network] = []
        self.tenant: list[Network] = []

    async def furnish(self, provider: dict[str, int]) -> None:
        for name, vlan in provider.items():
            body = {"name": name, "provider:physical_network": "physnet1", "provider:segmentation_id": vlan}
            made = await self._api.create("admin", "network", {**body, "provider:network_type": "vlan"})
            self.provider.append(Network(made["id"], name, vlan))

    async def make(self) -> bool:
        self._made += 1
        name = f"tenant-{self._made}"
        try:
            made = await self._api.create("admin", "network", {"name": name, "project_id": name}, quietly=True)
        except Refused:
            return False  # no VLAN is free
        vlan = made["provider:segmentation_id"]
        self._api.judge.network_made(name, vlan)
        self.tenant.append(Network(made["id"], name, vlan))
        return True

    @staticmethod
    def some(at: int, networks: Sequence[Network]) -> Network | None:
        return networks[at % len(networks)] if networks else None

    async def forget(self, network: Network) -> None:
        if network not in self.tenant:
            return
        self.tenant.remove(network)
        try:
            await self._api.send("admin", "DELETE", f"{NETWORKING}/networks/{network.id}")
        except Refused as refused:
            if refused.status != 404:
                self.tenant.append(network)  # it has ports


class Tenant:
    """All that is done with one host."""

    def __init__(self, host: Host, api: Api, networks: Networks) -> None:
        self.host = host
        self._api = api
        self._networks = networks
        self._made = 0
        self.provision: NetworkPort | None = None
        self.ports: list[NetworkPort] = []

    # --- what steps ask for -------------------------------------------------------------------------------------------

    async def boot(self, at: int) -> None:
        """A provision port for the primary NIC, if there is none."""
        if self.provision is None:
            network = self._networks.provider[at % len(self._networks.provider)]
            port = await self._port(network)
            if port is not None:
                if await self._bind(port, "first"):
                    self.provision = port
                else:
                    await self._delete(port)

    async def booted(self, _at: int) -> None:
        port, self.provision = self.provision, None
        if port is not None:
            await self._delete(port)

    async def join(self, at: int) -> None:
        """A tenant port, bound at once."""
        port = await self._tenant_port(at)
        if port is not None and not await self._bind(port, self._shape(at)) and at % 2:
            self.ports.remove(port)
            await self._delete(port)

    async def move(self, at: int) -> None:
        """From provisioning to the tenant's network: DELETE and PUT back to back, as Ironic does it."""
        port = next((port for port in self.ports if not port.shape), None) or await self._tenant_port(at)
        await self.booted(at)
        if port is not None:
            await self._bind(port, self._shape(at))

    async def recycle(self, at: int) -> None:
        """From tenants' networks to the cleaning network, as fast as it can be said."""
        for port in self.ports:
            if port.shape:
                await self._bind(port, "")
        await self.boot(at)

    async def unbind(self, at: int) -> None:
        if (port := self._some(at)) is not None:
            await self._bind(port, "")

    async def rebind(self, at: int) -> None:
        """In another shape, or in the same again."""
        if (port := self._some(at)) is not None:
            await self._bind(port, self._shape(at // 7))

    async def repeat(self, at: int) -> None:
        if (port := self._some(at)) is not None:
            await self._bind(port, port.shape)

    async def delete(self, at: int) -> None:
        port = self._some(at)
        if port is not None and not port.trunk:
            self.ports.remove(port)
            await self._delete(port)

    async def quit(self, network: Network) -> None:
        """All ports on a network go, but for those that are in trunks."""
        for port in [port for port in self.ports if port.network is network and not port.trunk]:
            self.ports.remove(port)
            await self._delete(port)

    async def trunk(self, at: int) -> None:
        """A trunk on a tenant port, or one more sub-port on that which is there."""
        port = self._some(at)
        networks = [n for n in self._networks.tenant if port is not None and n is not port.network]
        networks = [n for n in networks if port and n not in [sub.network for sub in port.sub_ports]]
        if port is None or not networks:
            return
        sub_port = await self._port(networks[at % len(networks)])
        if sub_port is None:
            return
        asked = {sub_port.id: self._tagged(port, sub_port)}
        members = {"sub_ports": [{"port_id": sub_port.id}]}
        self._api.judge.sending(asked)
        try:
            if port.trunk:
                await self._add(port.trunk, sub_port, members)
            else:
                self._made += 1
                body = {"name": f"{self.host.name}-trunk-{self._made}", "port_id": port.id, **members}
                port.trunk = (await self._api.create(self.host.name, "trunk", body))["id"]
        except Refused:
            self._api.judge.refused(asked)
            await self._delete(sub_port)
            return
        self._api.judge.acknowledged(asked)
        port.sub_ports.append(sub_port)

    async def _add(self, trunk: str, sub_port: NetworkPort, members: dict[str, Any]) -> None:
        """Sent twice, it is refused; then it shows whether the first time was carried out."""
        path = f"{NETWORKING}/trunks/{trunk}"
        try:
            await self._api.send(self.host.name, "PUT", f"{path}/add_subports", members)
        except Refused:
            there = (await self._api.get(path))["trunk"]["sub_ports"]
            if sub_port.id not in [member["port_id"] for member in there]:
                raise

    async def untag(self, at: int) -> None:
        """One sub-port less."""
        port = next((port for port in self.ports if port.sub_ports), None)
        if port is None:
            return
        sub_port = port.sub_ports.pop(at % len(port.sub_ports))
        asked = {sub_port.id: frozenset[Wish]()}
        self._api.judge.sending(asked)
        path = f"{NETWORKING}/trunks/{port.trunk}/remove_subports"
        await self._send("PUT", path, {"sub_ports": [{"port_id": sub_port.id}]}, repeated_is=404)
        self._api.judge.acknowledged(asked)
        await self._delete(sub_port)

    async def untrunk(self, _at: int) -> None:
        port = next((port for port in self.ports if port.trunk), None)
        if port is None:
            return
        asked = {sub_port.id: frozenset[Wish]() for sub_port in port.sub_ports}
        self._api.judge.sending(asked)
        await self._send("DELETE", f"{NETWORKING}/trunks/{port.trunk}", repeated_is=404)
        self._api.judge.acknowledged(asked)
        gone, port.trunk, port.sub_ports = port.sub_ports, "", []
        for sub_port in gone:
            await self._delete(sub_port)

    async def settle(self, at: int) -> None:
        """What contradicts itself can not be fulfilled: keep one side of the wall."""
        if self.provision is None or not any(port.shape for port in self.ports):
            return
        if at % 2:
            await self.booted(at)
        else:
            for port in self.ports:
                await self._bind(port, "")

    # --- how it is done -----------------------------------------------------------------------------------------------

    def _some(self, at: int) -> NetworkPort | None:
        return self.ports[at % len(self.ports)] if self.ports else None

    def _shape(self, at: int) -> str:
        shape = SHAPES[at % len(SHAPES)]
        return "bundle" if shape == "static" and not self.host.lag else shape

    async def _tenant_port(self, at: int) -> NetworkPort | None:
        if not self._networks.tenant or len(self.ports) > 2:
            return None
        port = await self._port(self._networks.tenant[at % len(self._networks.tenant)])
        if port is not None:
            self.ports.append(port)
        return port

    async def _port(self, network: Network) -> NetworkPort | None:
        self._made += 1
        name = f"{self.host.name}-{self._made}"
        body = {"name": name, "network_id": network.id, "binding:vnic_type": "baremetal", "device_id": self.host.name}
        try:
            made = await self._api.create(self.host.name, "port", body)
        except Refused:
            return None  # the network is gone
        self._api.judge.acknowledged({made["id"]: frozenset()})
        return NetworkPort(made["id"], network)

    async def _bind(self, port: NetworkPort, shape: str) -> bool:
        asked = {port.id: self._untagged(port, shape)}
        before, port.shape = port.shape, shape
        asked |= {sub_port.id: self._tagged(port, sub_port) for sub_port in port.sub_ports}
        body = {"binding:host_id": self.host.name if shape else "", "binding:profile": self._profile(shape)}
        self._api.judge.sending(asked)
        try:
            await self._api.send(self.host.name, "PUT", f"{NETWORKING}/ports/{port.id}", {"port": body})
        except Refused as refused:
            port.shape = before
            self._api.judge.refused(asked)
            if refused.status == 404:
                self._api.judge.violated("I5", f"port {port.id} was acknowledged, and is not found")
            return False
        self._api.judge.acknowledged(asked)
        return True

    async def _delete(self, port: NetworkPort) -> None:
        asked = {port.id: frozenset[Wish]()}
        self._api.judge.sending(asked)
        await self._send("DELETE", f"{NETWORKING}/ports/{port.id}", repeated_is=404)
        self._api.judge.acknowledged(asked)

    async def _send(self, method: str, path: str, body: Any = None, *, repeated_is: int) -> None:
        """`repeated_is`: what is answered when the first time was carried out, and its answer lost."""
        try:
            await self._api.send(self.host.name, method, path, body)
        except Refused as refused:
            if refused.status != repeated_is:
                raise

    def _untagged(self, port: NetworkPort, shape: str) -> frozenset[Wish]:
        return frozenset(
            Wish(place, port.network.vlan, False, shape in ("bundle", "static")) for place in self._places(shape)
        )

    def _tagged(self, parent: NetworkPort, sub_port: NetworkPort) -> frozenset[Wish]:
        bundled = parent.shape in ("bundle", "static")
        return frozenset(Wish(place, sub_port.network.vlan, True, bundled) for place in self._places(parent.shape))

    def _places(self, shape: str) -> Iterable[Any]:
        if not shape:
            return ()
        return {"first": self.host.places[:1], "second": self.host.places[1:]}.get(shape, self.host.places)

    def _profile(self, shape: str) -> dict[str, Any]:
        if not shape:
            return {}
        links = [{"switch_info": place.switch, "port_id": place.port} for place in self._places(shape)]
        group = {"id": f"{self.host.name}-bond", "name": "bond", "bond_mode": _MODES.get(shape, "")}
        return {"local_link_information": links} | ({"local_group_information": group} if shape in _MODES else {})


def _brief(body: Any) -> str:
    text = str(body or "")
    most = 240
    return text if len(text) <= most else text[:most] + "…"
