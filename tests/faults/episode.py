"""One episode: a rack and a service of its own, a list of steps drawn from a seed, and the judge over all of it.

The steps are the whole input: `steps_of(seed)` is pure, and `play` carries out any list of steps, so that a failing
list can be made shorter by leaving steps out. Threads, sockets and processes keep their own time: the same steps may
meet the service in another moment. What is reproducible is what is asked and what goes wrong, in which order.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

from ironlane.cli.client import Client
from tests.faults.clients import NETWORKING, Api, Networks, Tenant
from tests.faults.judge import Judge
from tests.faults.rack import PORT_NAMES, Leaf, Rack
from tests.faults.service import LEASE, Service
from tests.service.process import Zygote

PROVIDER = {"cleaning": 100, "provisioning": 101}
TENANT_VLANS = (200, 203)
"""Few, so that a VLAN is given away again as soon as it may be."""
VLANS = (*PROVIDER.values(), *range(TENANT_VLANS[0], TENANT_VLANS[1] + 1), 999)
RENEWALS = 40
"""How often a network is asked for until a VLAN is free for it."""
EVERYTHING = 1000
"""More plans and periods than an episode has."""
STEPS = 70
PATIENCE = 90.0
"""Seconds until all has to be fulfilled, once nothing goes wrong any more, on a machine that is busy with others."""

_ACTIONS = {
    **{"boot": 6, "booted": 4, "join": 9, "move": 8, "recycle": 6, "unbind": 4, "rebind": 5, "repeat": 2},
    **{"delete": 5, "trunk": 5, "untag": 2, "untrunk": 2},
}
_FAULTS = {
    **{"hang": 3, "silent": 2, "slow": 3, "logins": 1, "lock": 2, "refuse": 3, "drop before": 3, "drop after": 3},
    **{"drop lines": 6, "drop": 3, "reboot": 2, "erase": 1, "shut": 2, "vlan": 2, "foreign": 2, "undefine": 2},
    **{"deaf": 5},
}
_STUBBORN = ("lock", "hang", "refuse", "slow")
STUBBORN = 0.8
"""Seconds for which a switch does not let go of a VLAN that is to be given away."""
_PAUSES = (0.3, 1.0, LEASE + 1.0, LEASE + 2.0)
"""Seconds for which a process sleeps: some are longer than its lease, so that another takes over."""
_TIMEOUTS = (1.5, 1.5, LEASE + 2.5)
"""Seconds for which the service waits for a switch: sometimes so long that what a process had asked for before it fell
asleep, and lost its lease, is there to be read when it wakes."""


@dataclass(frozen=True, slots=True)
class Step:
    """`what` is done with the host or switch number `which`; `at` and `lasting` say how. Then nothing for `pause`."""

    what: str
    which: int
    at: int
    pause: float
    lasting: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a seed stands for."""

    seed: int
    kinds: tuple[str, ...]
    idle_vlans: tuple[int | None, ...]
    steps: tuple[Step, ...]
    why: str = ""
    timeout: float = _TIMEOUTS[0]

    def to_json(self) -> str:
        """A line a step, for `plans/`: it stays the same when `plan_of` does not."""
        head = {"seed": self.seed, "why": self.why, "kinds": self.kinds, "idle_vlans": self.idle_vlans}
        head["timeout"] = self.timeout
        steps = ",\n  ".join(json.dumps(astuple(step)) for step in self.steps)
        return json.dumps(head)[:-1] + f', "steps": [\n  {steps}\n]}}\n'

    @classmethod
    def from_json(cls, text: str) -> Plan:
        found = json.loads(text)
        steps = tuple(Step(*step) for step in found["steps"])
        timeout = found.get("timeout", _TIMEOUTS[0])
        return cls(found["seed"], tuple(found["kinds"]), tuple(found["idle_vlans"]), steps, found["why"], timeout)


def plan_of(seed: int, length: int = STEPS) -> Plan:
    """Pure."""
    dice = random.Random(seed)
    kinds = tuple(dice.sample(sorted(PORT_NAMES), 2))
    idle = tuple(dice.choice((None, 999)) for _ in kinds)
    timeout = dice.choice(_TIMEOUTS)
    steps = []
    for _ in range(length):
        roll, at = dice.random(), dice.randrange(10_000)
        pause = dice.choice((0.0, 0.0, 0.02, 0.05, 0.1, 0.2))
        lasting = dice.choice((0.1, 0.3, 0.8, 2.0))
        if roll < 0.55:
            what = dice.choices(list(_ACTIONS), list(_ACTIONS.values()))[0]
        elif roll < 0.68:
            what = dice.choice(("network", "renew", "renew"))
        elif roll < 0.89:
            what = dice.choices(list(_FAULTS), list(_FAULTS.values()))[0]
        elif roll < 0.95:
            what, lasting = "pause", dice.choice(_PAUSES)
        else:
            what = "kill"
        lasting = lasting if what in _FAULTS or what == "pause" else 0.0
        steps.append(Step(what, dice.randrange(1000), at, pause, lasting))
    return Plan(seed, kinds, idle, tuple(steps), timeout=timeout)


@dataclass(slots=True)
class Outcome:
    """`failure` is empty when all was well."""

    plan: Plan
    failure: str = ""
    history: list[str] = field(default_factory=list)
    kills: int = 0
    requests: int = 0
    loads: int = 0

    def report(self) -> str:
        """The failing episode, readable."""
        head = f"seed {self.plan.seed}: {' and '.join(self.plan.kinds)}, idle VLANs {self.plan.idle_vlans}"
        plan = replace(self.plan, why=self.failure[:200]).to_json()
        return "\n".join([head, *self.history, plan, f"seed {self.plan.seed} FAILED: {self.failure}"])


class Episode:
    """What `play` moves."""

    def __init__(self, plan: Plan, rack: Rack, service: Service, clients: list[Client], outcome: Outcome) -> None:
        self._started = time.monotonic()
        self._outcome = outcome
        self._rack = rack
        self._service = service
        self.judge = Judge(rack, PROVIDER.values(), self.note)
        self._api = Api(clients, self.judge, self.note, lambda: [clients[at] for at in service.awake])
        self._networks = Networks(self._api)
        self._tenants = [Tenant(host, self._api, self._networks) for host in rack.hosts.values()]
        self._leaves = list(rack.leaves.values())
        self._dice = random.Random(plan.seed)
        self._working: set[asyncio.Task[None]] = set()
        self._queues: dict[str, asyncio.Task[None]] = {}
        self._troubles: dict[str, asyncio.Task[None]] = {}

    def note(self, text: str) -> None:
        self._outcome.history.append(f"{time.monotonic() - self._started:8.3f} {text}")

    async def furnish(self) -> None:
        """Switches enrolled and idle, the first networks made; from here on the judge watches."""
        await self._api.send(
            "admin", "PUT", "/fabric/v1/physical-networks/physnet1", {"tenant_vlans": [list(TENANT_VLANS)]}
        )
        for leaf in self._leaves:
            await self._api.send("admin", "PUT", f"/fabric/v1/switches/{leaf.name}", leaf.body())
        await self._until(self._converged, "the switches to be enrolled")
        self.judge.watch()
        await self._networks.furnish(PROVIDER)
        for _ in range(3):
            await self._networks.make()

    # --- steps --------------------------------------------------------------------------------------------------------

    async def step(self, step: Step) -> None:
        """One step, and a look at everything."""
        if step.what in _ACTIONS:
            tenant = self._tenants[step.which % len(self._tenants)]
            self.note(f"{tenant.host.name}: {step.what} {step.at}")
            self._queue(tenant.host.name, lambda: getattr(tenant, step.what)(step.at))
        elif step.what == "network":
            self._queue("admin", self._networks.make)
        elif step.what == "renew":
            self._queue("admin", lambda: self._renew(step.at))
        elif step.what == "kill":
            self._now_or_then(step, lambda: self.note(f"kill -9 {self._service.kill(step.which)}"))
        elif step.what == "pause":
            self._now_or_then(step, lambda: self._pause(step))
        else:
            leaf = self._leaves[step.which % len(self._leaves)]
            await self._trouble(leaf, step)
        await asyncio.sleep(step.pause)
        await self.look()

    def _now_or_then(self, step: Step, strike: Callable[[], None]) -> None:
        """Mostly in the midst of work: when a switch has just begun to forward otherwise, or a little later, when it is
        read back."""
        if step.at % 3 == 0 and step.lasting < LEASE:
            strike()
        elif step.at % 3 == 1:
            self.judge.at_next_change = strike
        else:
            loop, later = asyncio.get_running_loop(), step.at % 80 / 1000
            self.judge.at_next_change = lambda: loop.call_later(later, strike)

    def _pause(self, step: Step) -> None:
        alone = len(self._service.processes) == 1  # then nobody takes over, and nothing happens meanwhile
        lasting = min(step.lasting, _PAUSES[0]) if alone else step.lasting
        self.note(f"process {step.which % 2} sleeps for {lasting} s")
        go_on = self._service.stop(step.which)

        async def later() -> None:
            try:
                await asyncio.sleep(lasting)
            finally:
                self.note(f"{go_on()} goes on")

        self._working.add(asyncio.create_task(later()))

    def _queue(self, who: str, work: Callable[[], Awaitable[None]]) -> None:
        """One thing after the other for each client; different ones at once."""
        before = self._queues.get(who)

        async def after() -> None:
            if before is not None:
                await asyncio.wait([before])
            await work()

        self._queues[who] = task = asyncio.create_task(after())
        self._working.add(task)

    async def _trouble(self, leaf: Leaf, step: Step) -> None:
        faults = leaf.faults
        before = self._troubles.get(leaf.name)
        if before is not None and not before.done():
            return  # one fault at a time for each switch that lasts
        self.note(f"{leaf.name} ({leaf.kind}): {step.what} {step.at % 24} for {step.lasting} s")
        if step.what in ("shut", "vlan", "foreign", "undefine"):
            self._by_hand(leaf, step)
            return
        if step.what == "drop":
            faults.drop()
            return
        self._troubles[leaf.name] = asyncio.create_task(self._lasting(leaf, step))

    async def _lasting(self, leaf: Leaf, step: Step) -> None:
        faults = leaf.faults
        if step.what in ("reboot", "erase"):
            with self.judge.fault(leaf.name):
                await faults.reboot(erased=step.what == "erase", seconds=step.lasting / 4)
            return
        try:
            match step.what:
                case "hang":
                    faults.hang()
                case "silent":
                    await faults.go_silent()
                case "slow":
                    faults.slow_down(step.lasting / 5)
                case "logins":
                    faults.refuse_logins()
                    faults.drop()
                case "lock":
                    faults.hold_lock()
                case "refuse":
                    faults.refuse_commits()
                case "drop before" | "drop after":
                    faults.drop_commits(after=step.what == "drop after")
                case "deaf":
                    faults.go_deaf()
                case "drop lines":
                    faults.drop_after_lines(step.at % 24)
            await asyncio.sleep(step.lasting)
        finally:
            await faults.clear()
            self.note(f"{leaf.name}: {step.what} is over")

    def _by_hand(self, leaf: Leaf, step: Step) -> None:
        port = leaf.foreign if step.what == "foreign" else leaf.owned[step.at % len(leaf.owned)]
        with self.judge.fault(leaf.name):
            if step.what == "shut" or (step.what == "foreign" and step.at % 2):
                done = leaf.faults.shut(port)
            elif step.what == "foreign":
                done = leaf.faults.reopen(port)
            elif step.what == "undefine":
                done = leaf.faults.undefine(VLANS[step.at % len(VLANS)])
            else:
                done = leaf.faults.put_on(port, (901, 203, 100)[step.at % 3])
        self.note(f"  by hand at {port}: {'done' if done else 'not taken'}")

    async def look(self) -> None:
        """Frames, and what the API says while it can be asked."""
        self.judge.frames(VLANS)
        for task in [task for task in self._working if task.done()]:
            self._working.discard(task)
            task.result()
        if self._service.awake:
            await self._ask()

    async def _renew(self, at: int) -> None:
        """A network goes, with all that is on it, and another one is made at once: it is to get the same VLAN once no
        switch carries it any more, and a switch that does is slow to let go of it."""
        networks = self._networks.tenant
        carriers = {network.id: self.judge.carriers(network.vlan) for network in networks}
        network = self._networks.some(at, [network for network in networks if carriers[network.id]] or networks)
        if network is None:
            return
        if places := carriers[network.id]:
            leaf = self._rack.leaves[places[at % len(places)].switch]
            await self._trouble(leaf, Step(_STUBBORN[at % len(_STUBBORN)], 0, at, 0.0, STUBBORN))
        for tenant in self._tenants:
            self._queue(tenant.host.name, lambda tenant=tenant: tenant.quit(network))  # type: ignore[misc]
        await asyncio.wait([self._queues[tenant.host.name] for tenant in self._tenants])
        await self._networks.forget(network)
        for _ in range(RENEWALS):
            if await self._networks.make():
                break
            await asyncio.sleep(0.05)

    async def _ask(self) -> None:
        stamps, asked_at = self.judge.stamps(), time.monotonic()
        self.judge.statuses((await self._api.look(f"{NETWORKING}/ports"))["ports"], asked_at, stamps)
        asked_at = time.monotonic()
        self.judge.attachments((await self._api.look("/fabric/v1/attachments"))["attachments"], asked_at)

    # --- the end ------------------------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Nothing goes wrong any more: everything that was acknowledged comes true, and nothing else."""
        self.note("--- faults stop")
        self.judge.at_next_change = None
        await asyncio.gather(*self._troubles.values())
        await self._service.until_up()
        for tenant in self._tenants:
            at = self._dice.randrange(2)
            self._queue(tenant.host.name, lambda tenant=tenant, at=at: tenant.settle(at))  # type: ignore[misc]
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*self._working)
        await self._until(self._fulfilled, "all wishes to be fulfilled")
        self.judge.frames(VLANS)
        self.judge.plans((await self._api.get("/fabric/v1/plans", {"limit": str(EVERYTHING)}))["plans"])
        self.judge.history((await self._api.get("/fabric/v1/history", {"limit": str(EVERYTHING)}))["history"])
        for text in [*self.judge.misdelivered(VLANS), *self._forgetful()]:
            self.judge.violated("at the end", text)

    def _forgetful(self) -> list[str]:
        """Switches that would not come back from a reboot with what was read back from them (I4)."""
        found = []
        for leaf in self._leaves:
            if not leaf.faults.persistent:
                with self.judge.fault(leaf.name):
                    before = dict(leaf.switch.forwarding)
                    leaf.faults.power_cycle()
                    after = leaf.switch.forwarding
                found += [
                    f"{leaf.name}/{port} carried {before[port].vlans}, and {after[port].vlans} after a reboot"
                    for port in leaf.owned
                    if before[port] != after[port]
                ]
        return found

    async def _fulfilled(self) -> str:
        self.judge.frames(VLANS)
        await self._ask()
        ports = (await self._api.get(f"{NETWORKING}/ports"))["ports"]
        wanting = {port_id for port_id, port in self.judge.ports.items() if port.live}
        down = [port for port in ports if port["id"] in wanting and port["status"] != "ACTIVE"]
        if down:
            return f"port {down[0]['id']} is {down[0]['status']}: {await self._reason(down[0]['id'])}"
        rows = (await self._api.get("/fabric/v1/attachments"))["attachments"]
        left = [row for row in rows if row["state"] != "wanted" or not row["applied"]]
        if left:
            return f"attachment {left[0]}"
        return "; ".join(self.judge.unfulfilled()) or await self._converged()

    async def _reason(self, port_id: str) -> str:
        rows = (await self._api.get("/fabric/v1/attachments", {"network_port": port_id}))["attachments"]
        switches = (await self._api.get("/fabric/v1/switches"))["switches"]
        faults = {switch["name"]: switch["reason"] for switch in switches}
        return "; ".join(
            f"{row['switch']}/{row['port']} {row['state']} applied={row['applied']} ({faults.get(row['switch'])})"
            for row in rows
        )

    async def _converged(self) -> str:
        switches = (await self._api.get("/fabric/v1/switches"))["switches"]
        return "; ".join(f"{s['name']} is {s['state']}: {s['reason']}" for s in switches if not s["converged"])

    async def _until(self, missing: Callable[[], Awaitable[str]], what: str) -> None:
        """Ask again and again what is missing, until nothing is; a violation ends it too."""
        text = ""
        try:
            async with asyncio.timeout(PATIENCE):
                while not self.judge.violations and (text := await missing()):  # noqa: ASYNC110 - asked of the API
                    await asyncio.sleep(0.05)
        except TimeoutError:
            self.judge.violated("I5", f"waited {PATIENCE:.0f} s for {what}: {text}")

    async def stop(self) -> None:
        for task in (*self._working, *self._troubles.values()):
            task.cancel()
        await asyncio.gather(*self._working, *self._troubles.values(), return_exceptions=True)


async def play(plan: Plan, folder: Path, zygote: Zygote, database: str = "") -> Outcome:
    """Carry the plan out, until its end or the first violation. `database` as for `Service.running`."""
    outcome = Outcome(plan)
    async with _staged(plan, folder, zygote, database, outcome) as episode:
        await episode.furnish()
        for step in plan.steps:
            if episode.judge.violations:
                break
            await episode.step(step)
        if not episode.judge.violations:
            await episode.settle()
        outcome.failure = "; ".join(episode.judge.violations)
    return outcome


@asynccontextmanager
async def _staged(plan: Plan, folder: Path, zygote: Zygote, database: str, outcome: Outcome) -> AsyncIterator[Episode]:
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - before anything runs
    async with (
        Rack.running(plan.kinds, plan.idle_vlans) as rack,
        Service.running(folder, zygote, database, plan.timeout) as service,
        AsyncExitStack() as stack,
    ):
        clients = [await stack.enter_async_context(Client(process.url)) for process in service.processes]
        episode = Episode(plan, rack, service, clients, outcome)
        try:
            yield episode
        finally:
            outcome.kills = service.kills
            await episode.stop()


async def shrink(plan: Plan, fails: Callable[[Plan], Awaitable[Any]], rounds: int = 40) -> Plan:
    """A shorter list of steps that still fails: pieces are left out, large ones first."""
    size, left = len(plan.steps) // 2, rounds
    while size and left:
        at = 0
        while at < len(plan.steps) and left:
            left -= 1
            shorter = replace(plan, steps=plan.steps[:at] + plan.steps[at + size :])
            if await fails(shorter):
                plan = shorter
            else:
                at += size
        size //= 2
    return plan
