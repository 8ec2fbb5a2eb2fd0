"""Community SONiC: `config …` in a shell, each line by itself, and CONFIG_DB to look at.

What is refused follows sonic-utilities (config/vlan.py, config/main.py and config/switchport.py), release 202411.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable

from ironlane.lab.cli.device import Device, Shell
from ironlane.lab.cli.state import Config, Interface

_PORTCHANNEL = re.compile(r"PortChannel(\d{1,4})")


class SonicShell(Shell):
    device: SonicDevice

    @property
    def prompt(self) -> str:
        return f"admin@{self.device.hostname}:~$ "

    def execute(self, line: str) -> str:
        try:
            words = shlex.split(line)
        except ValueError as error:
            return f"-bash: {error}\n"
        if not words:
            return ""
        if words == ["show", "runningconfiguration", "all"]:
            return json.dumps(self.device.database(), indent=4) + "\n"
        told = self.device.lldp(line)
        if told is not None:
            return told
        if words in (["exit"], ["logout"]):
            self.closed = True
            return ""
        if words[0] == "config":
            return "Root privileges are required for this operation\n"
        if words[0] != "sudo":
            return f"-bash: {words[0]}: command not found\n"
        if words[1:4] == ["sonic-db-cli", "CONFIG_DB", "HSET"]:
            return self._describe(words[4:])
        if words[1:2] != ["config"]:
            return f"sudo: {' '.join(words[1:2])}: command not found\n"
        problem = self._config(words[2:])
        if problem is None:
            self.device.commits += 1
            self.device.tell()
            return ""
        return f'Usage: config [OPTIONS] COMMAND [ARGS]...\nTry "config -h" for help.\n\nError: {problem}\n'

    def _describe(self, words: list[str]) -> str:
        key, _, name = (words[0] if words else "").partition("|")
        port = self.device.running.interfaces.get(name)
        if key != "PORT" or port is None or len(words) != 3 or words[1] != "description":
            return "Error: wrong number of arguments\n"
        port.description = words[2]
        return "0\n"

    def _config(self, words: list[str]) -> str | None:
        """What is wrong; None if it has been carried out."""
        if self.device.lock_refused:
            return "Config is locked by another process"
        if words == ["save", "-y"]:
            self.device.save()
            self.device.commits -= 1  # what is saved was in force before
            return None
        handlers: dict[tuple[str, ...], Callable[[list[str]], str | None]] = {
            ("vlan", "member", "add"): self._add_member,
            ("vlan", "member", "del"): self._delete_member,
            ("vlan", "add"): self._add_vlan,
            ("switchport", "mode"): self._switchport,
            ("interface", "shutdown"): lambda rest: self._admin(rest, False),
            ("interface", "startup"): lambda rest: self._admin(rest, True),
            ("portchannel", "member", "add"): self._join,
            ("portchannel", "member", "del"): self._part,
            ("portchannel", "add"): self._add_lag,
            ("portchannel", "del"): self._delete_lag,
            ("checkpoint",): lambda rest: self._checkpoint("checkpoint", rest),
            ("rollback",): lambda rest: self._checkpoint("rollback", rest),
            ("delete-checkpoint",): lambda rest: self._checkpoint("delete-checkpoint", rest),
            ("mclag", "member", "add"): lambda rest: self._mclag(rest, True),
            ("mclag", "member", "del"): lambda rest: self._mclag(rest, False),
        }
        for start, handler in handlers.items():
            if tuple(words[: len(start)]) == start:
                return handler(words[len(start) :])
        return f'No such command "{" ".join(words[:2])}".'

    def _vlan(self, text: str) -> int | str:
        if not text.isdigit() or not 2 <= int(text) <= 4094:
            return "Vlan1 is default VLAN" if text == "1" else f"Invalid VLAN ID {text} (2-4094)"
        return int(text)

    def _add_vlan(self, rest: list[str]) -> str | None:
        vlan = self._vlan(rest[0]) if len(rest) == 1 else "Missing argument"
        if isinstance(vlan, str):
            return vlan
        if vlan in self.device.running.vlans:
            return f"Vlan{vlan} already exists."
        self.device.running.vlans[vlan] = f"Vlan{vlan}"
        return None

    def _member(self, rest: list[str]) -> tuple[int, str, Interface] | str:
        if len(rest) != 2:
            return "Missing argument"
        vlan, interface = self._vlan(rest[0]), self.device.running.interfaces.get(rest[1])
        if isinstance(vlan, str):
            return vlan
        if vlan not in self.device.running.vlans:
            return f"Vlan{vlan} does not exist"
        return (vlan, rest[1], interface) if interface is not None else f"{rest[1]} does not exist"

    def _add_member(self, rest: list[str]) -> str | None:
        untagged = "-u" in rest
        found = self._member([word for word in rest if word != "-u"])
        if isinstance(found, str):
            return found
        vlan, name, port = found
        if vlan == port.access or vlan in port.allowed:
            return f"{name} is already a member of Vlan{vlan}"
        if port.group is not None:
            return f"{name} is part of portchannel!"
        if untagged and port.access is not None:
            return f"{name} is already untagged member!"
        if port.mode == "routed":
            return f"{name} is in routed mode!\nUse switchport mode command to change port mode"
        if port.mode == "access" and not untagged:
            return f"{name} is in access mode! Tagged Members cannot be added"
        port.allowed |= {vlan}
        if untagged:
            port.access = port.native = vlan
        return None

    def _delete_member(self, rest: list[str]) -> str | None:
        found = self._member(rest)
        if isinstance(found, str):
            return found
        vlan, name, port = found
        if vlan not in port.allowed:
            return f"{name} is not a member of Vlan{vlan}"
        port.allowed -= {vlan}
        if vlan == port.access:
            port.access = port.native = None
        return None

    def _switchport(self, rest: list[str]) -> str | None:
        port = self.device.running.interfaces.get(rest[1]) if len(rest) == 2 else None
        if port is None or rest[0] not in ("access", "trunk", "routed"):
            return "Invalid value"
        mode, name = rest
        if port.mode == mode:
            return f"{name} is already in {mode} mode"
        if port.group is not None and mode != "routed":
            return f"{name} is part of portchannel!"
        if mode == "routed" and port.allowed:
            return f"{name} has VLAN membership(s); remove them first"
        if mode == "access" and port.allowed - {port.access}:
            return f"{name} is in trunk mode and has tagged VLAN(s)"
        port.mode, port.switched = mode, mode != "routed"
        return None

    def _admin(self, rest: list[str], up: bool) -> str | None:
        port = self.device.running.interfaces.get(rest[0]) if len(rest) == 1 else None
        if port is None:
            return "Interface name is invalid. Please enter a valid interface name!!"
        port.up = up
        return None

    def _add_lag(self, rest: list[str]) -> str | None:
        name = rest[0] if rest else ""
        options = dict(zip(rest[1::2], rest[2::2], strict=False))
        match = _PORTCHANNEL.fullmatch(name)
        if match is None or options.keys() - {"--min-links", "--fallback", "--fast-rate"} or len(rest) % 2 == 0:
            return f"{name} is invalid!, name should have prefix 'PortChannel' and suffix '<0-9999>'"
        if name in self.device.running.interfaces:
            return f"{name} already exists!"
        self.device.running.interfaces[name] = lag = _routed()
        lag.group_mode = "active"
        lag.min_links = int(options.get("--min-links", "1"))
        lag.fallback = options.get("--fallback") == "true"
        lag.rate = "fast" if options.get("--fast-rate") == "true" else ""
        return None

    def _delete_lag(self, rest: list[str]) -> str | None:
        lag = self.device.running.interfaces.get(rest[0]) if len(rest) == 1 else None
        if lag is None or rest[0] in self.device.ports:
            return f"{' '.join(rest)} is not present."
        if lag.mlag is not None:
            return f"{rest[0]} is a member of an MCLAG domain, remove it from the domain first"
        if lag.allowed:
            return f"{rest[0]} has vlan configured, remove VLAN membership to proceed"
        if self.device.running.members(int(rest[0][len("PortChannel") :])):
            return f"Error: Portchannel {rest[0]} contains members. Remove members before deleting Portchannel!"
        del self.device.running.interfaces[rest[0]]
        return None

    def _checkpoint(self, verb: str, rest: list[str]) -> str | None:
        """Checkpoints of the Generic Config Updater."""
        device, name = self.device, " ".join(rest)
        if verb == "checkpoint":
            return None if device.take_checkpoint(name) else f"Checkpoint {name} already exists"
        if verb == "rollback":
            return None if device.restore_checkpoint(name) else f"Checkpoint {name} does not exist"
        return None if device.checkpoints.pop(name, None) is not None else f"Checkpoint {name} does not exist"

    def _mclag(self, rest: list[str], on: bool) -> str | None:
        if len(rest) != 2 or rest[0] != str(self.device.mclag_domain):
            return f"MCLAG Domain {' '.join(rest[:1])} not configured, configure mclag domain first"
        lag = self.device.running.interfaces.get(rest[1])
        if lag is None or _PORTCHANNEL.fullmatch(rest[1]) is None:
            return f"{rest[1]} is invalid!, name should have prefix 'PortChannel' and suffix '<0-9999>'"
        lag.mlag = int(rest[1].removeprefix("PortChannel")) if on else None
        return None

    def _lag_member(self, rest: list[str]) -> tuple[int, str, Interface] | str:
        if len(rest) != 2 or rest[0] not in self.device.running.interfaces or rest[0] in self.device.ports:
            return f"{' '.join(rest[:1])} is not present."
        if rest[1] not in self.device.ports:
            return f"Interface name {rest[1]} is invalid"
        return int(rest[0][len("PortChannel") :]), rest[1], self.device.running.interfaces[rest[1]]

    def _join(self, rest: list[str]) -> str | None:
        found = self._lag_member(rest)
        if isinstance(found, str):
            return found
        number, name, port = found
        if port.group == number:
            return f"{name} is already a member of {rest[0]}"
        if port.group is not None:
            return f"{name} Interface is already member of PortChannel{port.group}"
        if port.allowed:
            return f"{name} Interface configured as VLAN_MEMBER under vlan : Vlan{min(port.allowed)}"
        port.group = number
        return None

    def _part(self, rest: list[str]) -> str | None:
        found = self._lag_member(rest)
        if isinstance(found, str):
            return found
        number, name, port = found
        if port.group != number:
            return f"{name} is not a member of portchannel {rest[0]}"
        port.group = None
        return None


def _routed() -> Interface:
    return Interface(switched=False, mode="routed", access=None, native=None, allowed=frozenset())


class SonicDevice(Device):
    """Ports are routed out of the box. `commits` counts lines that changed something."""

    platform = "sonic"
    shell = SonicShell
    mclag_domain: int | None = 1
    """The MCLAG domain that the operator has set up; None: none."""

    def factory(self) -> Config:
        return Config({name: _routed() for name in self.ports}, {})

    def lag_name(self, number: int) -> str:
        return f"PortChannel{number}"

    def database(self) -> dict[str, dict[str, dict[str, str]]]:
        """CONFIG_DB, the tables that matter here."""
        interfaces = self.running.interfaces
        ports, lags, members, vlan_members = {}, {}, {}, {}
        for name, interface in interfaces.items():
            row = {"admin_status": "up" if interface.up else "down", "mtu": "9100", "mode": interface.mode}
            if name in self.ports:
                ports[name] = {**row, "lanes": "1,2,3,4", "description": interface.description}
            else:
                lags[name] = {**row, "lacp_key": "auto", "fast_rate": "true" if interface.rate else "false"}
                lags[name] |= {"min_links": str(interface.min_links)} if interface.min_links > 1 else {}
                lags[name] |= {"fallback": "true"} if interface.fallback else {}
            if interface.group is not None:
                members[f"PortChannel{interface.group}|{name}"] = {"NULL": "NULL"}
            for vlan in sorted(interface.allowed):
                mode = "untagged" if vlan == interface.access else "tagged"
                vlan_members[f"Vlan{vlan}|{name}"] = {"tagging_mode": mode}
        domain = self.mclag_domain
        peers = {} if domain is None else {str(domain): {"source_ip": "192.0.2.1", "peer_ip": "192.0.2.2"}}
        shared = [name for name, interface in interfaces.items() if interface.mlag is not None]
        return {
            "MCLAG_DOMAIN": peers,
            "MCLAG_INTERFACE": {f"{domain}|{name}": {"if_type": "PortChannel"} for name in shared},
            "DEVICE_METADATA": {"localhost": {"hostname": self.hostname, "hwsku": "Force10-S6000"}},
            "PORT": ports,
            "PORTCHANNEL": lags,
            "PORTCHANNEL_MEMBER": members,
            "VLAN": {f"Vlan{vlan}": {"vlanid": str(vlan)} for vlan in sorted(self.running.vlans)},
            "VLAN_MEMBER": vlan_members,
        }
