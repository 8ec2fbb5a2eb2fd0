"""The judge: what clients were told, against what the switches themselves forward. It never looks at our rows as truth.

What may be on a switch port follows from requests alone. A *wish* is what one network port asks of one switch port: a
VLAN, tagged or not. It is **live** from the moment its request is sent until the moment the request that ends it is
sent, and **leaving** from then until the API has stopped listing it among the attachments. Switches call the judge on
every change of what they forward, so that nothing is too short to be seen:

I1  At no moment does a host have one switch port on a provider VLAN and any on a tenant VLAN. Whatever clients ask for.
I2  At no moment does an owned switch port carry a VLAN of which no wish, live or leaving, stands for it; the idle VLAN
    of its switch excepted. "Leaving" ends when the API says so: an attachment that is not listed any more must not be
    on the wire, now or later. Once all is quiet, each port carries exactly what is wished for, or it is idle.
I3  When a VLAN is given to a new network, no owned switch port carries it.
I4  A network port that the API calls ACTIVE is carried, at some moment while that was asked, by all its switch ports,
    with the tag, and bundled if it shall be. Of a switch that takes lines one by one, a port on which some other wish
    comes or goes is excepted, while its lines go through.
KEEP What the API called ACTIVE, and of which nothing else was asked since, is not taken off a switch port, whatever
    becomes of its other links. Switches that take lines one by one are excepted, and ports that a fault has changed or
    that something else comes to or leaves.
I5  What was acknowledged is there at the end, and fulfilled; an acknowledged port is never not found.
I6  A port that is not ours changes only by the hand of its owner.
REC The records are true. A plan that is called verified was shown by the switch between its saving and its end. Once
    all is quiet, history has one open period for each VLAN that is wished for on a port, and no other; no two periods
    of one network port on one switch port overlap.

**Faults excuse what they do, and no more.** What a reboot or a hand puts on a port is excused (I1, I2, I3) until it is
off the port for good (a commit on trial, which the switch undoes, is not for good); a port from which they took
something is excused from I4 until it is whole again, unless the API said `TELLING` seconds after the fault, or later,
that it is not ACTIVE, and ACTIVE after that. Refusals, broken sessions, silence and killed processes excuse nothing.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

from ironlane.lab.forwarding import PortForwarding
from ironlane.lab.switch import VirtualSwitch
from tests.faults.rack import Host, Place, Rack

NEVER = float("inf")
TELLING = 2.0
"""Seconds that a busy service may need to tell what it has read back; a fault may come in between."""


class Wish(NamedTuple):
    """What a network port asks of one switch port. `bundled`: as a member of a LAG."""

    place: Place
    vlan: int
    tagged: bool
    bundled: bool


@dataclass(slots=True)
class Port:
    """The wishes of one network port, by how far they are."""

    live: frozenset[Wish] = frozenset()
    """Acknowledged, and nothing sent against it."""
    coming: frozenset[Wish] = frozenset()
    """Sent, not answered."""
    leaving: dict[Wish, float] = field(default_factory=dict)
    """Ended, with when that was acknowledged."""
    before: frozenset[Wish] = frozenset()
    changes: int = 0
    active: int = -1
    """`changes` when the API last called it ACTIVE."""
    last_not_active: float = 0.0
    """When the API was last asked and did not say ACTIVE."""

    def all(self) -> Iterator[Wish]:
        yield from self.live
        yield from self.coming
        yield from self.leaving


class Judge:
    """`note` gets a line for the history; `provider` are the provider networks' VLANs."""

    def __init__(self, rack: Rack, provider: Collection[int], note: Callable[[str], None]) -> None:
        self.violations: list[str] = []
        self.ports: dict[str, Port] = defaultdict(Port)
        self._rack = rack
        self._provider = frozenset(provider)
        self._note = note
        self._faulty: set[str] = set()
        self._excused: dict[Place, set[int]] = defaultdict(set)
        self._by_us: dict[Place, frozenset[int]] = defaultdict(frozenset)
        """What a port carried when it was last changed, and not by a fault."""
        self._disturbed: dict[Place, float] = {}
        self._on_trial: dict[Place, tuple[int, set[int], float | None]] = {}
        """What the latest commit made good of a fault: the switch may undo it."""
        self._owner: dict[Place, Host] = {place: host for host in rack.hosts.values() for place in host.places}
        self._owned = {Place(leaf.name, port) for leaf in rack.leaves.values() for port in leaf.owned}
        self._log: dict[Place, list[tuple[float, PortForwarding]]] = {}
        self._touched: dict[Place, list[float]] = defaultdict(list)
        """When faults changed a port."""
        self.at_next_change: Callable[[], None] | None = None
        """Called once, when a switch begins to forward otherwise than before, and not by a fault."""

    def watch(self) -> None:
        """From here on everything counts."""
        for leaf in self._rack.leaves.values():
            for port, forwarding in leaf.switch.forwarding.items():
                self._log[Place(leaf.name, port)] = [(0.0, forwarding)]
                self._by_us[Place(leaf.name, port)] = forwarding.vlans
            leaf.switch.observers.append(self._loaded)

    def violated(self, rule: str, text: str) -> None:
        """Something that must never be."""
        self.violations.append(f"{rule}: {text}")
        self._note(f"*** {rule} VIOLATED: {text}")

    # --- what clients say and hear ------------------------------------------------------------------------------------

    def sending(self, asked: Mapping[str, frozenset[Wish]]) -> None:
        """A request goes out that makes these the wishes of these network ports."""
        for port_id, wishes in asked.items():
            port = self.ports[port_id]
            port.before, port.coming = port.live, wishes - port.live
            port.leaving |= dict.fromkeys(port.live - wishes, NEVER)
            port.live &= wishes
            port.changes += 1

    def acknowledged(self, asked: Mapping[str, frozenset[Wish]]) -> None:
        """It was answered: so it is."""
        now = time.monotonic()
        for port_id, wishes in asked.items():
            port = self.ports[port_id]
            port.leaving = {w: min(at, now) for w, at in port.leaving.items() if w not in wishes}
            port.live, port.coming = wishes, frozenset()
            port.changes += 1

    def refused(self, asked: Mapping[str, frozenset[Wish]]) -> None:
        """It was refused: nothing of it came about."""
        for port_id in asked:
            port = self.ports[port_id]
            for wish in port.before:
                port.leaving.pop(wish, None)
            port.live, port.coming = port.before, frozenset()
            port.changes += 1

    def network_made(self, name: str, vlan: int) -> None:
        """A new network was given a VLAN (I3)."""
        for place in self.carriers(vlan):
            self.violated("I3", f"VLAN {vlan} was given to network {name} while {place} carries it")

    def carriers(self, vlan: int) -> list[Place]:
        """Ports of ours that carry a VLAN, and not by a fault."""
        return [place for place in sorted(self._owned) if vlan in self._carried(place) - self._excused[place]]

    # --- what switches do ---------------------------------------------------------------------------------------------

    @contextmanager
    def fault(self, switch: str) -> Iterator[None]:
        """What this switch does meanwhile is not by our doing."""
        self._faulty.add(switch)
        try:
            yield
        finally:
            self._faulty.discard(switch)

    def _loaded(
        self, switch: VirtualSwitch, old: Mapping[str, PortForwarding], new: Mapping[str, PortForwarding]
    ) -> None:
        now, faulty = time.monotonic(), switch.name in self._faulty
        changed = [Place(switch.name, name) for name in new if old[name] != new[name]]
        for place in changed:
            forwarding = new[place.port]
            self._log[place].append((now, forwarding))
            if faulty:
                self._touched[place].append(now)
            self._note(f"    {place} {'by a fault ' if faulty else ''}carries {_shown(forwarding)}")
            if place not in self._owned:
                if not faulty:
                    self.violated("I6", f"{place} is not ours, and now carries {_shown(forwarding)}")
                continue
            excused = self._excused[place]
            undone = self._undone(place)
            excused |= (undone[0] if undone else set()) & forwarding.vlans
            if faulty:
                # What was off the port already is not leaving any more, whether or not the API has said so yet.
                left = self._leaving(place) - self._by_us[place]
                excused |= forwarding.vlans - old[place.port].vlans - (self._allowed(place) - left)
            else:
                self._by_us[place] = forwarding.vlans
            commits = self._rack.leaves[switch.name].plane.commits
            self._on_trial[place] = commits, excused - forwarding.vlans, self._disturbed.get(place)
            if not faulty:  # a VLAN taken away by hand may be defined again, and is on the port then as before
                excused &= forwarding.vlans
            if not faulty and undone is None:
                self._check_kept(place, old[place.port])
            self._check_whole(place, now if faulty else undone and undone[1])
            for vlan in sorted(forwarding.vlans - excused - self._allowed(place)):
                self.violated("I2", f"{place} carries VLAN {vlan}, which nobody asks for there")
        strike = self.at_next_change
        if changed and not faulty and strike is not None:
            self.at_next_change = None
            strike()
        for host in {self._owner[place].name: self._owner[place] for place in changed if place in self._owner}.values():
            self._check_walls(host)

    def _undone(self, place: Place) -> tuple[set[int], float | None] | None:
        """What comes back of a fault, if the switch undoes its latest commit now."""
        leaf = self._rack.leaves[place.switch]
        commits, vlans, disturbed = self._on_trial.get(place, (-1, set(), None))
        return (vlans, disturbed) if leaf.faults.atomic and commits == leaf.plane.commits else None

    def _check_walls(self, host: Host) -> None:
        sides: dict[bool, list[str]] = {True: [], False: []}
        for place in host.places:
            idle = self._rack.leaves[place.switch].idle_vlan
            for vlan in self._carried(place) - self._excused[place] - {idle}:
                sides[vlan in self._provider].append(f"VLAN {vlan} at {place}")
        if sides[True] and sides[False]:
            self.violated("I1", f"{host.name} is on {', '.join(sides[True])} and on {', '.join(sides[False])}")

    def _check_kept(self, place: Place, before: PortForwarding) -> None:
        here = [port for port in self.ports.values() if any(wish.place == place for wish in port.all())]
        busy = any(wish.place == place for port in here for wish in [*port.coming, *port.leaving])
        if busy or place in self._disturbed or not self._rack.leaves[place.switch].faults.atomic:
            return
        for port in here:
            for wish in port.live if port.active == port.changes else ():
                if wish.place == place and _fulfils(before, wish) and not self._carries(wish):
                    now = _shown(self._forwarding(place))
                    self.violated("KEEP", f"{place} carried {wish[1:]}, which was ACTIVE, and now carries {now}")

    def _check_whole(self, place: Place, fault_at: float | None) -> None:
        """Whether a port carries what is wished for: if not, by a fault, it is disturbed until it does."""
        whole = all(self._carries(wish) for port in self.ports.values() for wish in port.live if wish.place == place)
        if whole:
            self._disturbed.pop(place, None)
        elif fault_at is not None:
            self._disturbed[place] = fault_at

    def _leaving(self, place: Place) -> set[int]:
        """VLANs that stand for nothing there but wishes that have ended."""
        ports = self.ports.values()
        asked = {wish.vlan for port in ports for wish in [*port.live, *port.coming] if wish.place == place}
        return {wish.vlan for port in ports for wish in port.leaving if wish.place == place} - asked

    def _allowed(self, place: Place) -> set[int]:
        found = {wish.vlan for port in self.ports.values() for wish in port.all() if wish.place == place}
        idle = self._rack.leaves[place.switch].idle_vlan
        return found if idle is None else found | {idle}

    def _carried(self, place: Place) -> frozenset[int]:
        return self._forwarding(place).vlans

    def _forwarding(self, place: Place) -> PortForwarding:
        return self._rack.leaves[place.switch].switch.forwarding[place.port]

    def _carries(self, wish: Wish) -> bool:
        return _fulfils(self._forwarding(wish.place), wish)

    # --- what the API says --------------------------------------------------------------------------------------------

    def attachments(self, rows: Collection[Mapping[str, Any]], asked_at: float) -> None:
        """An answer of the API: what it does not list any more has to be off the switches."""
        listed = {(row["network_port"], row["switch"], row["port"], row["vlan"]) for row in rows}
        for port_id, port in self.ports.items():
            for wish, ended in list(port.leaving.items()):
                if ended >= asked_at or (port_id, *wish.place, wish.vlan) in listed:
                    continue
                del port.leaving[wish]
                carried = self._carried(wish.place) - self._excused[wish.place] - self._allowed(wish.place)
                if wish.vlan in carried:
                    self.violated("I2", f"the API says that {wish.place} has left VLAN {wish.vlan}; it carries it")

    def stamps(self) -> dict[str, int]:
        """For `statuses`: taken before the API is asked."""
        return {port_id: port.changes for port_id, port in self.ports.items()}

    def statuses(self, rows: Collection[Mapping[str, Any]], asked_at: float, stamps: Mapping[str, int]) -> None:
        """An answer of the API: what is ACTIVE has to be on the switches (I4), what is live has to be there (I5)."""
        found = {row["id"]: row["status"] for row in rows}
        for port_id, changes in stamps.items():
            port = self.ports[port_id]
            if port.changes != changes:
                continue  # something was asked of it meanwhile
            if found.get(port_id) == "ACTIVE":
                port.active = changes
            else:
                port.last_not_active = asked_at
                if port_id not in found and port.live:
                    self.violated("I5", f"port {port_id} was acknowledged, and is not listed")
                continue
            for wish in port.live:
                if not self._carried_since(wish, asked_at) and not self._excusable(wish, port_id, found):
                    carried = _shown(self._forwarding(wish.place))
                    self.violated("I4", f"port {port_id} is ACTIVE; {wish.place} carries {carried}, not {wish[1:]}")

    def _carried_since(self, wish: Wish, since: float) -> bool:
        log = self._log[wish.place]
        then = [forwarding for at, forwarding in log if at > since]
        before = [forwarding for at, forwarding in log if at <= since][-1:]
        return any(_fulfils(forwarding, wish) for forwarding in [*before, *then])

    def _excusable(self, wish: Wish, port_id: str, statuses: Mapping[str, str]) -> bool:
        fault_at = self._disturbed.get(wish.place)
        if fault_at is not None and fault_at > self.ports[port_id].last_not_active - TELLING:
            return True
        if self._rack.leaves[wish.place.switch].faults.atomic:
            return False
        return any(
            other_id != port_id
            and any(w.place == wish.place for w in other.all())
            and (other.coming or other.leaving or statuses.get(other_id) != "ACTIVE")
            for other_id, other in self.ports.items()
        )

    # --- frames -------------------------------------------------------------------------------------------------------

    def frames(self, vlans: Collection[int]) -> None:
        """Every NIC sends, and every VLAN is sent into: nothing gets anywhere that it may not."""
        for host in self._rack.hosts.values():
            for nic, place in zip(host.nics, host.places, strict=True):
                may = self._allowed(place) | self._excused[place]
                for tag, vlan in sorted(self._rack.sent_into(nic, vlans), key=str):
                    if vlan not in may:
                        self.violated("I2", f"a frame of {nic.interface.name} (tag {tag}) came out in VLAN {vlan}")
        places = {n.interface.name: p for h in self._rack.hosts.values() for n, p in zip(h.nics, h.places, strict=True)}
        for vlan in vlans:
            for nic_name, _tag in self._rack.arrivals(vlan):
                place = places[nic_name]
                if vlan not in self._allowed(place) | self._excused[place]:
                    self.violated("I2", f"a frame in VLAN {vlan} reached {nic_name}")

    # --- once all is quiet --------------------------------------------------------------------------------------------

    def unfulfilled(self) -> list[str]:
        """What is not on the switches as wished for, and what is there that should not be."""
        found, lags = [], defaultdict(set)
        for place in sorted(self._owned):
            wishes = {w for port in self.ports.values() for w in port.live if w.place == place}
            forwarding, idle = self._forwarding(place), self._rack.leaves[place.switch].idle_vlan
            if not wishes:
                if forwarding.vlans != ({idle} if idle else set()) or forwarding.lag is not None:
                    found.append(f"{place} carries {_shown(forwarding)}; nobody asks for anything there")
                continue
            pvid = {w.vlan for w in wishes if not w.tagged}
            tagged = {w.vlan for w in wishes if w.tagged}
            right = (
                forwarding.enabled
                and ({forwarding.pvid} if forwarding.pvid else set()) == pvid
                and forwarding.tagged == tagged
                and (forwarding.lag is not None) is any(w.bundled for w in wishes)
            )
            if not right:
                found.append(f"{place} carries {_shown(forwarding)}; wished for is {sorted(w[1:] for w in wishes)}")
            if forwarding.lag is not None and place in self._owner:
                lags[self._owner[place].name].add((forwarding.lag.number, forwarding.lag.lacp))
        found += [f"{host} has LAGs {sorted(numbers)}, not one" for host, numbers in lags.items() if len(numbers) > 1]
        return found

    def plans(self, rows: Collection[Mapping[str, Any]]) -> None:
        """What the service says of its plans: the verified ones were to be seen on their switches."""
        for row in rows:
            if row["outcome"] != "verified":
                continue
            begun, ended = (_monotonic(row[name]) for name in ("created_at", "finished_at"))
            for change in row["changes"]:
                place = Place(row["switch"], change["port"])
                shown = [forwarding for at, forwarding in self._log[place] if begun <= at <= ended]
                shown += [forwarding for at, forwarding in self._log[place] if at < begun][-1:]
                by_fault = any(begun <= at <= ended for at in self._touched[place])
                if not by_fault and not any(_is_as_planned(forwarding, change["after"]) for forwarding in shown):
                    seen = ", then ".join(_shown(forwarding) for forwarding in shown)
                    text = f"plan {row['id']} is called verified; {place} carried {seen}, not {change['after']}"
                    self.violated("REC", text)

    def history(self, rows: Collection[Mapping[str, Any]]) -> None:
        """What the service says of who held what: that of now is what is wished for, and nothing is there twice."""
        wished = Counter((port_id, *wish[:3]) for port_id, port in self.ports.items() for wish in port.live)
        periods: dict[tuple[str, Place, int, bool], list[tuple[str, str]]] = defaultdict(list)
        for row in rows:
            held = row["network_port"], Place(row["switch"], row["port"]), row["vlan"], row["tagged"]
            periods[held].append((row["from_at"], row["to_at"] or "now"))
        now = Counter({held: sum(to == "now" for _, to in times) for held, times in periods.items()})
        for held in sorted((now - wished) | (wished - now)):
            self.violated(
                "REC", f"history has {now[held]} open periods of {held[1:]} for port {held[0]}: {periods[held]}"
            )
        for held, times in periods.items():
            for (_, before), (after, _) in pairwise(sorted(times)):
                if before > after:  # "now" is after all times
                    self.violated(
                        "REC", f"history has {held[1:]} twice at one time for port {held[0]}: {sorted(times)}"
                    )

    def misdelivered(self, vlans: Collection[int]) -> list[str]:
        """Frames that do not come out exactly where they should."""
        found = []
        for host in self._rack.hosts.values():
            for nic, place in zip(host.nics, host.places, strict=True):
                wishes = {w for port in self.ports.values() for w in port.live if w.place == place}
                right = {(w.vlan if w.tagged else None, w.vlan) for w in wishes}
                idle = self._rack.leaves[place.switch].idle_vlan
                if not wishes and idle is not None:
                    right = {(None, idle)}
                sent = self._rack.sent_into(nic, vlans)
                if sent != right:
                    found.append(f"frames of {nic.interface.name} came out as {sorted(sent, key=str)}, not {right}")
        return found


def _fulfils(forwarding: PortForwarding, wish: Wish) -> bool:
    if not forwarding.enabled or (forwarding.lag is not None) is not wish.bundled:
        return False
    return wish.vlan in forwarding.tagged if wish.tagged else wish.vlan == forwarding.pvid


def _monotonic(moment: str) -> float:
    """A time of the API's as `time.monotonic` would have told it."""
    return datetime.fromisoformat(moment).timestamp() - time.time() + time.monotonic()


def _is_as_planned(forwarding: PortForwarding, after: Mapping[str, Any]) -> bool:
    if not after["enabled"]:
        return not forwarding.enabled
    lag = after["lag"]["number"] if after["lag"] else None
    return (
        forwarding.enabled
        and (forwarding.lag and forwarding.lag.number) == lag
        and (forwarding.pvid, forwarding.tagged) == (after["untagged"], frozenset(after["tagged"]))
    )


def _shown(forwarding: PortForwarding) -> str:
    if not forwarding.enabled:
        return "nothing (shut)"
    many = 20
    tagged = sorted(forwarding.tagged) if len(forwarding.tagged) < many else f"{len(forwarding.tagged)} VLANs"
    lag = "" if forwarding.lag is None else f" in LAG {forwarding.lag.number}"
    return f"{forwarding.pvid}{f' and tagged {tagged}' if tagged else ''}{lag}"
