"""A virtual rack, and a service that is killed and comes back, with everything that watches the two."""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Self

from ironlane.cli.apply.outcome import Action
from ironlane.cli.apply.run import apply
from ironlane.cli.client import Client, Refused, Unreachable
from ironlane.cli.demo.phases import Phases
from ironlane.cli.demo.reaching import Sampler, Tenancy
from ironlane.cli.demo.site_text import PROVIDER_VLANS, demo_racks, site_text
from ironlane.cli.virtual import environment, running_gateway, virtual_rack
from ironlane.lab.gateway import Gateway
from ironlane.lab.machine import BootDevice, Machine, Power
from ironlane.lab.rack import RackDescription, VirtualRack
from ironlane.lab.server import Stage
from ironlane.lab.switch import VirtualSwitch
from ironlane.site.check import read_site
from tests.service.front import Front
from tests.service.history import History
from tests.service.process import ENCRYPTION_KEY, START, Running, Zygote, free_port

SWITCH_PASSWORD, BMC_PASSWORD = "switch-kf83hqpa", "bmc-92hxkw1z"
SECRETS = {"IRONLANE_SECRET_SWITCHES": SWITCH_PASSWORD, "IRONLANE_SECRET_BMCS": BMC_PASSWORD}
NODES = "/baremetal/v1/nodes"
NETWORKING = "/networking/v2.0"
TENANTS = {"red": ("server-1-1", "server-1-2"), "blue": ("server-1-3",)}
VLAN_NAMES = dict(zip(PROVIDER_VLANS, ("cleaning", "provisioning"), strict=True))
AWAITED = 3
"""So many of the deadly moments are awaited at a time, in their order."""
PATIENCE = 100.0
"""Seconds that a phase may take, with all its restarts, on a machine that is busy with other tests."""


def description() -> RackDescription:
    """One pair of switches, three servers in LACP portgroups, with passwords that are nowhere else."""
    racks = demo_racks(1, 3)
    return replace(
        racks,
        switches=tuple(replace(switch, password=SWITCH_PASSWORD) for switch in racks.switches),
        servers=tuple(replace(server, bmc_password=BMC_PASSWORD) for server in racks.servers),
    )


async def enrol(client: Client, rack: VirtualRack, text: str = "") -> None:
    """What `ironlane site apply` does with the rack's site file, or another `text`; then until every switch is as it
    should be."""
    site = read_site(text or site_text(rack))
    secrets = {"switches": SWITCH_PASSWORD, "bmcs": BMC_PASSWORD}
    async for outcome in apply(client, site, secrets.__getitem__, dry_run=False, new_passwords=False):
        assert outcome.action is not Action.FAILED, outcome.lines()

    async def converged() -> bool:
        switches = (await client.get("/fabric/v1/switches"))["switches"]
        return all(switch["converged"] for switch in switches)

    await until(converged, "the switches to converge")


async def until(true: Callable[[], Awaitable[bool]], what: str, seconds: float = PATIENCE) -> None:
    """Ask again and again. A service that does not answer, or not now, is asked again too."""
    reason = ""
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    if await true():
                        return
                except (Unreachable, Refused) as error:
                    if isinstance(error, Refused) and error.status < 500:
                        raise
                    reason = f" ({error.message})"
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"waited {seconds} s for {what}{reason}") from None


@dataclass(slots=True)
class Bench:
    """Three servers of two tenants. Whenever the service has ended it is started again, until the bench closes."""

    folder: Path
    zygote: Zygote
    rack: VirtualRack
    gateway: Gateway
    front: Front
    client: Client
    port: int
    history: History
    phases: Phases
    database: str
    vlans: dict[int, str] = field(default_factory=dict)
    """Tenant VLAN to tenant."""
    kills: int = 0
    process: Running | None = None
    up: asyncio.Event = field(default_factory=asyncio.Event)
    deadly: deque[tuple[str, str]] = field(default_factory=deque)
    """Moments at which the service is killed, the first of them next. See `Moments`."""
    after_start: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def running(cls, folder: Path, zygote: Zygote, database: str = "") -> AsyncIterator[Self]:
        """`database` is its URL; without, a file of SQLite in the folder."""
        port = free_port()
        vlans: dict[int, str] = {}
        async with AsyncExitStack() as stack:
            front = await stack.enter_async_context(Front.running(f"http://127.0.0.1:{port}"))
            gateway = await stack.enter_async_context(running_gateway())
            rack = await stack.enter_async_context(virtual_rack(description(), front.url, gateway))
            client = await stack.enter_async_context(Client(front.backend))
            history = History(rack, lambda vlan: VLAN_NAMES.get(vlan) or vlans.get(vlan) or f"VLAN {vlan}")
            phases = Phases(client, list(rack.servers), lambda _states: None)
            bench = cls(folder, zygote, rack, gateway, front, client, port, history, phases, database, vlans)
            keeping = asyncio.create_task(bench._keep_running())
            try:
                await bench.until_up()
                yield bench
            finally:
                keeping.cancel()
                outcome = await asyncio.gather(keeping, return_exceptions=True)
                await bench._end()
                if not isinstance(outcome[0], asyncio.CancelledError):
                    raise outcome[0]

    @property
    def log(self) -> Path:
        return self.folder / "service.log"

    def kill(self) -> None:
        """kill -9, if it is there to be killed."""
        if self.process is not None and self.up.is_set():
            self.up.clear()
            self.kills += 1
            self.process.send(signal.SIGKILL)

    def meet(self, kind: str, what: str) -> bool:
        """A moment has come; True if it was the deadly one."""
        # Several are awaited: what all servers have passed before its turn must not keep the later ones waiting.
        if (kind, what) not in islice(self.deadly, AWAITED) or not self.up.is_set():
            return False
        self.deadly.remove((kind, what))
        self.kill()
        return True

    async def until_up(self) -> None:
        async with asyncio.timeout(START):
            await self.up.wait()

    async def _keep_running(self) -> None:
        database = self.database or f"sqlite:///{self.folder}/bench.sqlite"
        argv = ["serve", "--port", str(self.port), "--database", database]
        argv += ["--hostname", "bench", "--log-level", "info"]
        env = {**SECRETS, **environment(self.rack.description, self.gateway)}
        env |= ENCRYPTION_KEY if self.database else {}
        while True:
            self.process = self.zygote.start(argv, env, self.log)
            await until(self._healthy, f"the service to start; its log: {self.log}", START)
            for work in self.after_start:
                await work()
            self.up.set()
            await self.process.ended()
            self.up.clear()
            self.process.close()

    async def _healthy(self) -> bool:
        return bool(await self.client.get("/healthz"))

    async def _end(self) -> None:
        if self.process is None:
            return
        self.process.send(signal.SIGKILL)
        await self.process.ended()
        self.process.close()
        self.process = None

    async def ask(self, target: str) -> None:
        for name in self.rack.servers:
            await self.client.request("PUT", f"{NODES}/{name}/states/provision", {"target": target})

    async def until_state(self, state: str) -> None:
        seen: dict[str, str] = {}

        async def reached() -> bool:
            query = {"fields": "name,provision_state,last_error", "limit": "100"}
            for node in (await self.client.get(NODES, query))["nodes"]:
                assert "failed" not in node["provision_state"], node
                seen[node["name"]] = node["provision_state"]
            return set(seen.values()) == {state}

        try:
            await until(reached, f"all nodes to be {state}")
        except AssertionError as late:
            raise AssertionError(f"{late}: {seen}; agents: {self._agents()}") from None

    def _agents(self) -> list[Any]:
        servers = [(server, server.agent) for server in self.rack.servers.values()]
        return [(s.name, s.stage.value, a and (a.heartbeats, a.done[-3:], a.refused[-1:])) for s, a in servers]

    async def furnish(self) -> None:
        """Enrolled and manageable; from here on the history counts."""
        await enrol(self.client, self.rack)
        await self.phases.provision("manage", "manageable")
        self.history.attach()

    async def attach(self) -> None:
        """A tenant port for each server, attached as its VIF."""
        for number, (tenant, members) in enumerate(TENANTS.items(), 1):
            network, vlan = await self.phases.tenant_network(tenant, number)
            self.vlans[vlan] = tenant
            for node in members:
                await self.phases.attach(node, network, tenant)
        await self.phases.choose_image(self.gateway.instance_info)

    def tenancy(self) -> Tenancy:
        return Tenancy(TENANTS, {f"services.{vlan}": "conductor" for vlan in PROVIDER_VLANS})

    async def booted(self) -> None:
        """Until the operating systems are up, and their bonds too: only then do they speak LACP."""
        for server in self.rack.servers.values():
            await server.until(lambda s: s.stage is Stage.OS, 20.0)

        async def reached() -> bool:
            return self.rack.reach().pairs() == self.tenancy().expected(deployed=True)

        await until(reached, f"tenants to reach each other, and nobody else: {self.rack.reach().endpoints}", 10.0)

    async def plans(self) -> list[dict[str, Any]]:
        """All plans, oldest first."""
        found: list[dict[str, Any]] = (await self.client.get("/fabric/v1/plans", {"limit": "1000"}))["plans"]
        assert len(found) < 1000, "more plans than one answer shows"
        return found[::-1]


async def leaks(client: Client, log: Path, secrets: Iterable[str]) -> list[str]:
    """Where the log, a file of SQLite beside it, or an answer of the APIs, tells one of the secrets."""
    collections = ["/healthz", "/fabric/v1/switches", "/fabric/v1/attachments", "/fabric/v1/plans?limit=1000"]
    collections += [f"{NETWORKING}/{noun}" for noun in ("networks", "subnets", "ports")]
    collections += [f"/baremetal/v1/{noun}/detail" for noun in ("nodes", "ports", "portgroups")]
    collections += ["/baremetal/v1/conductors", "/baremetal/v1/drivers"]
    nodes = (await client.get(NODES))["nodes"]
    switches = (await client.get("/fabric/v1/switches"))["switches"]
    collections += [f"{NODES}/{node['uuid']}" for node in nodes]
    collections += [f"/fabric/v1/switches/{switch['name']}/ports" for switch in switches]
    told = {path: repr(await client.get(path)) for path in collections} | {"the log": _text(log)}
    told |= {file.name: file.read_bytes().decode(errors="replace") for file in log.parent.glob("*.sqlite*")}
    return [f"{where} tells {secret}" for where, text in told.items() for secret in secrets if secret in text]


def _text(log: Path) -> str:
    return log.read_text()


@asynccontextmanager
async def sampled(bench: Bench) -> AsyncIterator[Sampler]:
    """Frames are sent all the time: who reaches whom."""
    sampler = Sampler(bench.tenancy())

    async def sample() -> None:
        while True:
            sampler.take(bench.rack.reach())
            await asyncio.sleep(0.05)

    task = asyncio.create_task(sample())
    try:
        yield sampler
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Moments:
    """Makes the rack tell the bench of each moment, as `(kind, what)`:

    - `switch before`, `switch`: a NETCONF operation, not carried out yet, or carried out and not answered;
      `confirmed-commit` is on trial, the `commit` after it for good.
    - `forwards`: the switch forwards otherwise than before, in the middle of carrying out a commit.
    - `bmc`: `set_boot_device`, `power_on`, `power_off`, carried out and not answered.
    - `agent`: `lookup`, `start` (the first heartbeat) are in the rows, and the answer is lost; `told`: it has arrived.
    - `ordered`: a command that the agent has taken, and not answered.
    """

    def __init__(self, bench: Bench) -> None:
        for server in bench.rack.netconf.values():
            server.faults.hang = _Listening(lambda what: bench.meet("switch before", what))
            server.faults.drop_after = _Listening(lambda what: bench.meet("switch", what))
        for switch in bench.rack.switches.values():
            switch.observers.append(lambda switch, old, new: _forwards(bench, switch, old, new))
        assert bench.rack.redfish is not None
        for system in bench.rack.redfish.systems.values():
            system.machine = _Watched(system.machine, lambda what: bench.meet("bmc", what))
        for server in bench.rack.servers.values():
            server.ordered = lambda name: bench.meet("ordered", name) and None
        bench.front.answered = lambda what: bench.meet("agent", what)
        bench.front.delivered = lambda what: bench.meet("told", what)


def _forwards(bench: Bench, _switch: VirtualSwitch, old: object, new: object) -> None:
    if old != new:
        bench.meet("forwards", "commit")


class _Listening(set[str]):
    """A set of faults that is empty until its moment comes."""

    def __init__(self, meet: Callable[[str], bool]) -> None:
        super().__init__()
        self._meet = meet

    def __contains__(self, operation: object) -> bool:
        return self._meet(str(operation))


class _Watched:
    """A machine as its BMC drives it, telling of each thing done."""

    def __init__(self, machine: Machine, meet: Callable[[str], bool]) -> None:
        self._machine = machine
        self._meet = meet

    @property
    def name(self) -> str:
        return self._machine.name

    @property
    def power(self) -> Power:
        return self._machine.power

    @property
    def boot_device(self) -> BootDevice:
        return self._machine.boot_device

    @property
    def boot_persistent(self) -> bool:
        return self._machine.boot_persistent

    def set_boot_device(self, device: BootDevice, persistent: bool = False) -> None:
        self._machine.set_boot_device(device, persistent)
        self._meet("set_boot_device")

    async def power_on(self) -> None:
        await self._machine.power_on()
        self._meet("power_on")

    async def power_off(self) -> None:
        await self._machine.power_off()
        self._meet("power_off")

    async def reset(self) -> None:
        await self._machine.reset()
        self._meet("reset")


class Scribe:
    """A client that writes all the while, and remembers what it was told is written."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._network = ""
        self.written: dict[str, int] = {}
        """Network port to the number in its description that was last acknowledged."""
        self.acknowledged = 0
        self.lost: list[str] = []
        self.told = asyncio.Event()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Self]:
        body = {"network": {"name": "notes", "project_id": "scribe"}}
        self._network = (await self._bench.client.request("POST", f"{NETWORKING}/networks", body))["network"]["id"]
        self._bench.after_start.append(self.check)
        task = asyncio.create_task(self._write())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self.check()

    async def check(self) -> None:
        """Everything acknowledged by now is there."""
        known = dict(self.written)
        found = (await self._bench.client.get(f"{NETWORKING}/ports", {"network_id": self._network}))["ports"]
        there = {port["id"]: int(port["description"]) for port in found}
        for port, number in known.items():
            if there.get(port, -1) < number:
                self.lost.append(f"port {port} was {number} when it was acknowledged, and is {there.get(port)}")

    async def _write(self) -> None:
        number = 0
        while True:
            number += 1
            port = next(iter(self.written), "") if number % 2 else ""
            method, path = ("PUT", f"{NETWORKING}/ports/{port}") if port else ("POST", f"{NETWORKING}/ports")
            fields = {"description": str(number)} | ({} if port else {"network_id": self._network})
            try:
                answer = await self._bench.client.request(method, path, {"port": fields})
            except Unreachable:
                await asyncio.sleep(0.01)
                continue
            self.written[answer["port"]["id"]] = number
            self.acknowledged += 1
            self.told.set()
            self.told.clear()
            await asyncio.sleep(0.04)


def expected_sequences(phase: str, tenant: str) -> tuple[list[str], list[str]]:
    """What the switch port of the PXE NIC, and that of the other one, carry in a phase, one after the other."""
    bonded = f"{tenant}/lag"
    return {
        "provide": (["idle", "cleaning", "idle"], ["idle"]),
        "deploy": (["idle", "provisioning", "idle", bonded], ["idle", bonded]),
        "delete": ([bonded, "idle", "cleaning", "idle"], [bonded, "idle"]),
    }[phase]


def check_sequences(bench: Bench, phase: str, since: dict[str, int]) -> None:
    """Nothing was applied that the life of a server does not ask for, and nothing came back that had gone."""
    for tenant, members in TENANTS.items():
        for server in members:
            port = f"Ethernet{server.rsplit('-', 1)[1]}"
            for leaf, expected in zip(("leaf-1a", "leaf-1b"), expected_sequences(phase, tenant), strict=True):
                carried = bench.history.sequence(leaf, port, since)
                assert carried == expected, f"{phase}: {leaf}/{port} of {server} carried {carried}, not {expected}"


def closed(plans: Iterable[dict[str, Any]]) -> bool:
    """Whether what became of each plan is on record."""
    return all(plan["outcome"] in ("verified", "failed") for plan in plans)
