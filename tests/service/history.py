"""What the virtual switches forwarded, commit by commit, held against the plans that the service has on record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from ironlane.lab.forwarding import PortForwarding
from ironlane.lab.rack import VirtualRack
from ironlane.lab.switch import VirtualSwitch

IDLE = "idle"
Snapshot = dict[str, str]
"""Port to what it carries: `idle`, the name of a VLAN, that with `/lag` when the port is in a LAG."""
Step = dict[str, tuple[str, str]]
"""What one commit changed: port to before and after."""


@dataclass(slots=True)
class History:
    """Attach it when all ports are idle. `name_of` names VLANs.

    A commit that the switch itself undoes, because the session that should have confirmed it died, leaves no trace but
    in `undone`: nobody has relied on it.
    """

    rack: VirtualRack
    name_of: Callable[[int], str]
    snapshots: dict[str, list[Snapshot]] = field(default_factory=dict)
    undone: int = 0
    problems: list[str] = field(default_factory=list)
    _commits: dict[str, int] = field(default_factory=dict)

    def attach(self) -> None:
        for name, switch in self.rack.switches.items():
            self.snapshots[name] = [self._look(switch.forwarding)]
            self._commits[name] = self.rack.netconf[name].commits
            switch.observers.append(self._observe)

    def mark(self) -> dict[str, int]:
        """Now, for `sequence`."""
        return {name: len(snapshots) - 1 for name, snapshots in self.snapshots.items()}

    def sequence(self, switch: str, port: str, since: Mapping[str, int]) -> list[str]:
        """What a port carried since then, one after the other."""
        carried = [snapshot[port] for snapshot in self.snapshots[switch][since[switch] :]]
        return carried[:1] + [after for before, after in pairwise(carried) if before != after]

    def steps(self, switch: str) -> list[Step]:
        """All commits that changed what is forwarded."""
        found = [
            {port: (before[port], after[port]) for port in after if before[port] != after[port]}
            for before, after in pairwise(self.snapshots[switch])
        ]
        return [step for step in found if step]

    def against(self, plans: list[dict[str, Any]]) -> list[str]:
        """What contradicts the plans, oldest first: each commit is one plan's, and each verified plan one commit's."""
        problems = list(self.problems)
        for switch in self.snapshots:
            steps = self.steps(switch)
            made = [(self._step_of(plan), plan["outcome"]) for plan in plans if plan["switch"] == switch]
            made = [(step, outcome) for step, outcome in made if step]
            for number, (step, outcome) in enumerate(made):
                # One that failed without effect is followed by its like; one that had an effect is not.
                repeated = outcome == "failed" and step in [following for following, _ in made[number + 1 : number + 2]]
                if steps and step == steps[0] and not repeated:
                    steps.pop(0)
                elif outcome != "failed":
                    problems.append(f"{switch}: plan {step} is {outcome}, but the switch made {steps[:1]} next")
            problems += [f"{switch}: {step} is of no plan" for step in steps]
        return problems

    def _observe(
        self, switch: VirtualSwitch, _old: Mapping[str, PortForwarding], new: Mapping[str, PortForwarding]
    ) -> None:
        snapshots, now = self.snapshots[switch.name], self._look(new)
        commits = self.rack.netconf[switch.name].commits
        if commits != self._commits[switch.name]:
            self._commits[switch.name] = commits
            snapshots.append(now)
            return
        self.undone += 1
        snapshots.pop()
        if snapshots[-1] != now:
            self.problems.append(f"{switch.name} went back to {now}, not to {snapshots[-1]}")

    def _look(self, forwarding: Mapping[str, PortForwarding]) -> Snapshot:
        return {
            port: self._label(sorted(carries.vlans), carries.lag is not None) for port, carries in forwarding.items()
        }

    def _step_of(self, plan: Mapping[str, Any]) -> Step:
        found = {c["port"]: (self._planned(c["before"]), self._planned(c["after"])) for c in plan["changes"]}
        return {port: (before, after) for port, (before, after) in found.items() if before != after}

    def _planned(self, config: Mapping[str, Any]) -> str:
        vlans = {*config["tagged"], *([] if config["untagged"] is None else [config["untagged"]])}
        return self._label(sorted(vlans) if config["enabled"] else [], config["lag"] is not None)

    def _label(self, vlans: list[int], lag: bool) -> str:
        if not vlans:
            return IDLE
        return "+".join(self.name_of(vlan) for vlan in vlans) + ("/lag" if lag else "")
