"""NVIDIA Cumulus Linux: NVUE's `nv` in a shell; a tree of settings, staged until `nv config apply`."""

from __future__ import annotations

import copy
import json
import re
import shlex
from collections.abc import Sequence
from typing import Any

from ironlane.lab.cli.device import Device, OnRunning, Shell
from ironlane.lab.cli.state import ALL_VLANS, Config, Interface, parse_list

Tree = dict[str, Any]

# Settings that `nv set` takes: a path of patterns. The last one is a value where the entry before it is not a list.
_INTERFACE = r"interface (?:swp\d+(?:s\d+)?|bond\d+)"
_SETTINGS = {
    rf"{_INTERFACE} description": r".+",
    rf"{_INTERFACE} type": r"swp|bond",
    rf"{_INTERFACE} bridge domain br_default access": r"\d+",
    rf"{_INTERFACE} bridge domain br_default untagged": r"\d+|none",
    rf"{_INTERFACE} bond mode": r"lacp|static",
    rf"{_INTERFACE} bond lacp-rate": r"fast|slow",
    rf"{_INTERFACE} bond lacp-bypass": r"on|off",
    r"interface bond\d+ bond mlag id": r"\d{1,5}|auto",
}
_LISTS = {
    rf"{_INTERFACE} link state": r"up|down",
    rf"{_INTERFACE} bridge domain br_default vlan": r"[\d,-]+|all",
    rf"{_INTERFACE} bond member": r"swp\d+(?:s\d+)?",
    r"bridge domain br_default vlan": r"[\d,-]+",
}


class NvueShell(Shell):
    device: NvueDevice

    @property
    def prompt(self) -> str:
        return f"cumulus@{self.device.hostname}:mgmt:~$ "

    def execute(self, line: str) -> str:
        try:
            words = shlex.split(line)
        except ValueError as error:
            return f"-bash: {error}\n"
        if not words:
            return ""
        if words in (["exit"], ["logout"]):
            self.closed = True
            return ""
        told = self.device.lldp(line)
        if told is not None:
            return told
        if words[0] != "nv":
            return f"-bash: {words[0]}: command not found\n"
        match words[1:]:
            case ["set", *path]:
                return self._set(path)
            case ["unset", *path]:
                return self._unset(path)
            case ["config", "detach"]:
                self.device.staged = None
                return ""
            case ["config", "apply", "-y"]:
                return self._apply()
            case ["config", "save"]:
                self.device.save()
                return "saved [rev_id: 2]\n"
            case ["config", "show", "-o", "json"]:
                document = [
                    {"header": {"model": "MSN2410", "version": "Cumulus Linux 5.9.1"}},
                    {"set": self.device.tree},
                ]
                return json.dumps(document, indent=2) + "\n"
            case ["show", "interface", "-o", "json"]:
                shown = {port: {"link": {"oper-status": "up"}, "type": "swp"} for port in self.device.ports}
                return json.dumps({"eth0": {"type": "eth"}, **shown}, indent=2) + "\n"
        return f"Error: Invalid command: {line}\n"

    @property
    def _staged(self) -> Tree:
        if self.device.staged is None:
            self.device.staged = copy.deepcopy(self.device.tree)
        return self.device.staged

    def _set(self, words: list[str]) -> str:
        path, value = " ".join(words[:-1]), words[-1] if words else ""
        for pattern, values in _LISTS.items():
            if re.fullmatch(pattern, path) and re.fullmatch(values, value):
                node = _node(self._staged, words[:-1])
                if path.endswith("link state"):
                    node.clear()
                vlans = parse_list(value) if path.endswith("vlan") and value != "all" else None
                if path.endswith("vlan") and value != "all" and vlans is None:
                    return f"Error: Invalid parameter: '{value}' is not a VLAN range\n"
                for entry in sorted(vlans) if vlans else [value]:
                    node[str(entry)] = {}
                return ""
        for pattern, values in _SETTINGS.items():
            if re.fullmatch(pattern, path) and re.fullmatch(values, value):
                _node(self._staged, words[:-1])[words[-2]] = None
                parent = _node(self._staged, words[:-2])
                parent[words[-2]] = int(value) if value.isdigit() and words[-2] != "description" else value
                return ""
        return f"Error: Invalid parameter: {' '.join(words)}\n"

    def _unset(self, words: list[str]) -> str:
        node: Any = self._staged
        for word in words[:-1]:
            node = node.get(word) if isinstance(node, dict) else None
        if isinstance(node, dict) and words:
            node.pop(words[-1], None)
        return ""

    def _apply(self) -> str:
        device = self.device
        if device.lock_refused:
            return "Error: The configuration is locked: another apply is in progress\n"
        if device.staged is None:
            return "Warning: current pending revision is empty\n"
        problem = device.problem(device.staged)
        if problem:
            return f"Invalid config [rev_id: 3]\n  {problem}\n"
        device.tree, device.staged = device.staged, None
        device.running = device.meaning()
        device.commits += 1
        device.tell()
        return "applied [rev_id: 3]\n"


def _node(tree: Tree, path: Sequence[str]) -> Tree:
    for word in path:
        if not isinstance(tree.get(word), dict):
            tree[word] = {}
        tree = tree[word]
    return tree


class NvueDevice(Device):
    """`tree` runs; `staged` waits for `nv config apply`."""

    platform = "nvidia-cumulus"
    shell = NvueShell

    def __init__(self, hostname: str, ports: Sequence[str], on_running: OnRunning) -> None:
        self.tree: Tree = {"bridge": {"domain": {"br_default": {"type": "vlan-aware"}}}, "interface": {}}
        self.saved: Tree = copy.deepcopy(self.tree)
        self.staged: Tree | None = None
        super().__init__(hostname, ports, on_running)

    def lag_name(self, number: int) -> str:
        return f"bond{number}"

    def factory(self) -> Config:
        return self.meaning()

    def _state(self) -> Any:
        return self.tree

    def _restore(self, state: Any) -> None:
        self.tree = state
        self.running = self.meaning()

    def save(self) -> None:
        self.saved = copy.deepcopy(self.tree)

    def reboot(self) -> None:
        self.admit()
        self.tree, self.staged = copy.deepcopy(self.saved), None
        self.running = self.meaning()
        self.locked_by = None

    def erase(self) -> None:
        self.saved = {"bridge": {"domain": {"br_default": {"type": "vlan-aware"}}}, "interface": {}}

    def problem(self, tree: Tree) -> str:
        """Why it cannot be applied; empty if it can."""
        owner: dict[str, str] = {}
        defined = set(tree["bridge"]["domain"]["br_default"].get("vlan", {}))
        for name, settings in tree["interface"].items():
            if name.startswith("swp") and name not in self.ports:
                return f"interface {name}: is not a physical interface on this switch"
            for member in settings.get("bond", {}).get("member", {}):
                if member in owner:
                    return f"interface {name}: {member} is already a member of {owner[member]}"
                owner[member] = name
            domain = settings.get("bridge", {}).get("domain", {}).get("br_default", {})
            vlans = {str(domain[key]) for key in ("access", "untagged") if domain.get(key) not in (None, "none")}
            missing = (vlans | set(domain.get("vlan", {}))) - defined - {"1", "all"}
            if missing:
                return f"interface {name}: VLAN {min(missing)} is not in bridge domain br_default"
            if "access" in domain and ("untagged" in domain or "vlan" in domain):
                return f"interface {name}: access excludes untagged and vlan"
        ids = [settings.get("bond", {}).get("mlag", {}).get("id") for settings in tree["interface"].values()]
        if doubles := {number for number in ids if number not in (None, "auto") and ids.count(number) > 1}:
            return f"mlag id {min(doubles)} is used by more than one bond"
        for member in owner:
            if "bridge" in tree["interface"].get(member, {}):
                return f"interface {member}: a bond member cannot be in a bridge"
        return ""

    def meaning(self) -> Config:
        """What the tree means. A port that is not in the bridge carries nothing."""
        blank = Interface(switched=False, access=None, native=None, allowed=frozenset())
        config = Config({port: copy.copy(blank) for port in self.ports}, {1: "default"})
        for vlan in self.tree["bridge"]["domain"]["br_default"].get("vlan", {}):
            config.vlans[int(vlan)] = ""
        for name, settings in self.tree["interface"].items():
            interface = config.interfaces.setdefault(name, copy.copy(blank))
            interface.up = "down" not in settings.get("link", {}).get("state", {})
            _bridge(interface, settings.get("bridge", {}).get("domain", {}).get("br_default"))
            bond = settings.get("bond", {})
            interface.group_mode = "active" if name.startswith("bond") and bond.get("mode", "lacp") == "lacp" else ""
            interface.fallback = bond.get("lacp-bypass") == "on"
            mlag = bond.get("mlag", {}).get("id")
            interface.mlag = mlag if isinstance(mlag, int) and mlag else None
        for name, settings in self.tree["interface"].items():
            for member in settings.get("bond", {}).get("member", {}):
                config.interfaces[member].group = int(name.removeprefix("bond"))
        return config


def _bridge(interface: Interface, domain: Tree | None) -> None:
    if domain is None:
        return
    interface.switched = True
    if "access" in domain:
        interface.access = int(domain["access"])
        return
    interface.mode = "trunk"
    untagged = domain.get("untagged", 1)
    interface.native = None if untagged == "none" else int(untagged)
    vlans = domain.get("vlan", {})
    interface.allowed = frozenset(int(vlan) for vlan in vlans if vlan != "all") if vlans else ALL_VLANS
