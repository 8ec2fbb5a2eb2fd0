"""What a switch shows → what ports carry, by the platform's rules. Pure.

A state that no `PortConfig` describes is read as the nearest one that carries no less, and its description gets the
reason in brackets: so it differs from anything desired, and the operator sees why.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple

from ironlane.model.errors import Permanent
from ironlane.model.fabric import VLAN_MAX, VLAN_MIN, LacpRate, Lag, LagMode, PortConfig, PortMode, Vlan
from ironlane.switches.cli.platform import Platform, Question
from ironlane.switches.cli.write import Known

_ALL = range(VLAN_MIN, VLAN_MAX + 1)
_NOT_UNDERSTOOD = "[not understood: "
_INTEGERS = ("lag", "min_links")


@dataclass(frozen=True, slots=True)
class Observation:
    """`ports`: what the wanted ports carry. `known`: what `write` needs to know besides.

    `foreign`: LAG ids, MLAG ids among them, that are in use for anything but LAGs of wanted ports.
    """

    ports: dict[str, PortConfig]
    known: Known
    foreign: frozenset[int] = frozenset()


@dataclass(slots=True)
class _Interface:
    """What the switch says about one interface. `unknown` is the reason why this is not the whole truth, or empty."""

    facts: dict[str, Any] = field(default_factory=dict)
    allowed: list[str] = field(default_factory=list)
    unknown: str = ""

    def take(self, more: _Interface) -> None:
        """Something else is said about it, further down."""
        self.facts.update(more.facts)
        self.allowed += more.allowed
        self.unknown = self.unknown or more.unknown


class _Part(NamedTuple):
    """What a part of an answer says. Remembered, and put together with others by `observation`: it is not changed."""

    vlan_names: Mapping[str, str]
    interfaces: Sequence[tuple[str, _Interface]]
    domain: str | None


def observation(answers: Sequence[str], wanted: Collection[str], platform: Platform) -> Observation:
    """Read the answers to the platform's questions, in their order. Wanted ports not shown are left out.

    Raises:
        Permanent: an answer is not in the form that the platform file says.
    """
    interfaces: dict[str, _Interface] = {}
    vlan_names: dict[str, str] = {}
    domain = None
    for question, answer in zip(platform.read, answers, strict=True):
        for part in _parts(question, answer):
            vlan_names.update(part.vlan_names)
            domain = part.domain or domain
            for name, said in part.interfaces:
                interfaces.setdefault(name, _Interface()).take(said)
    defined = {vlan for ids in vlan_names.values() for vlan in parse_vlans(ids, {})}
    reader = _Reader(platform, interfaces, vlan_names, defined)
    members = {name: i.facts["lag"] for name, i in interfaces.items() if i.facts.get("lag") is not None}
    ports = {
        name: reader.port(name)
        for name in sorted(set(wanted) & interfaces.keys())
        if platform.ports.fullmatch(name) is not None
    }
    foreign = {name: number for name, number in members.items() if name not in wanted}
    lags = {number for name in interfaces if (number := platform.lag.number(name)) is not None}
    mlags = {number: mlag for number in lags if (mlag := reader.mlag(number)) is not None}
    ours = {number for name, number in members.items() if name in wanted} - set(foreign.values())
    others = (lags | set(members.values())) - ours
    return Observation(
        ports,
        Known(members, frozenset(defined), ports, foreign, mlags, domain),
        frozenset(others | {mlag for number, mlag in mlags.items() if number in others}),
    )


def _parts(question: Question, answer: str) -> Iterator[_Part]:
    """What the answer says, part by part. After a commit most blocks of a configuration are as they were before."""
    if question.format == "blocks":
        for block in _BLOCKS.split(answer):
            yield _remembered(question, block)
    else:
        yield _part(question, answer)


def _part(question: Question, text: str) -> _Part:
    interfaces: dict[str, _Interface] = {}
    vlan_names: dict[str, str] = {}
    domain = None
    for statement in statements(question, text):
        if question.mlag_domain is not None and (match := question.mlag_domain.fullmatch(statement)):
            domain = match["id"]
        _take_vlans(statement, question, vlan_names)
        _take_facts(statement, question, interfaces)
    return _Part(vlan_names, tuple(interfaces.items()), domain)


_BLOCKS = re.compile(r"^(?=[^\s!])", re.MULTILINE)
"""Before a line that is indented below nothing. A comment does not end a block."""
_remembered = lru_cache(16384)(_part)


def understood(config: PortConfig) -> bool:
    """A port config that was read is the whole truth."""
    return _NOT_UNDERSTOOD not in config.description


def statements(question: Question, answer: str) -> Iterator[str]:
    """The answer as statements; see `Question`."""
    if question.format == "json":
        start = min((at for at in (answer.find("{"), answer.find("[")) if at >= 0), default=0)
        try:
            document, _ = json.JSONDecoder().raw_decode(answer[start:])
        except ValueError as error:
            raise Permanent(f"the answer to {question.command!r} is not JSON: {error}") from None
        yield from _leaves(document, "")
        return
    parents: list[tuple[int, str]] = []
    for raw in answer.splitlines():
        line = raw.strip()
        if not line or line.startswith("!"):
            continue
        if question.format == "lines":
            yield line
            continue
        indent = len(raw) - len(raw.lstrip())
        while parents and parents[-1][0] >= indent:
            parents.pop()
        path = f"{parents[-1][1]} {line}" if parents else line
        parents.append((indent, path))
        yield path


def _leaves(node: Any, path: str) -> Iterator[str]:
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _leaves(value, f"{path} {key}".lstrip())
    elif isinstance(node, list):
        for value in node:
            yield from _leaves(value, path)
    else:
        yield path if node in ({}, None) else f"{path} {node}"


def parse_vlans(text: str, names: Mapping[str, str]) -> set[int]:
    """`10,20-22`, `10 20 to 22`, `all`, `none`, or a VLAN's name.

    Raises:
        ValueError: it is none of these, or outside 1 to 4094.
    """
    found: set[int] = set()
    for word in re.split(r"[,\s]+", re.sub(r"\s+to\s+", "-", text.strip())):
        if word == "all":
            found.update(_ALL)
        elif match := re.fullmatch(r"(\d+)(?:-(\d+))?", names.get(word, word)):
            first, last = int(match[1]), int(match[2] or match[1])
            if first not in _ALL or last not in _ALL or first > last:
                raise ValueError(f"VLANs {text}")
            found.update(range(first, last + 1))
        elif word not in ("none", ""):
            raise ValueError(f"VLANs {text}")
    return found


def _take_vlans(statement: str, question: Question, vlan_names: dict[str, str]) -> None:
    for pattern in question.vlans:
        if match := pattern.fullmatch(statement):
            groups = match.groupdict()
            vlan_names[groups.get("vlan_name") or groups["ids"]] = groups["ids"]


def _take_facts(statement: str, question: Question, interfaces: dict[str, _Interface]) -> None:
    for rule in question.rules:
        match = rule.match.fullmatch(statement)
        if match is None:
            continue
        groups = match.groupdict()
        name = groups.pop("name")
        for single in expand_names(name) if question.name_ranges else (name,):
            interface = interfaces.setdefault(single, _Interface())
            if rule.unknown:
                interface.unknown = interface.unknown or statement.rpartition(name)[2].strip() or statement
            found = {key: text for key, text in groups.items() if text is not None} | rule.set
            if "allowed" in found:
                interface.allowed.append(str(found.pop("allowed")))
            for key, text in found.items():
                interface.facts[key] = int(text) if key in _INTEGERS and isinstance(text, str) else text
        return


def expand_names(text: str) -> list[str]:
    """`swp1-3,swp7` → swp1, swp2, swp3, swp7."""
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"(.*?)(\d+)-(\d+)", part)
        if match and int(match[2]) <= int(match[3]) < int(match[2]) + 1024:
            found += [f"{match[1]}{number}" for number in range(int(match[2]), int(match[3]) + 1)]
        else:
            found.append(part)
    return found


class _Reader:
    """Interfaces as the switch shows them → port configs."""

    def __init__(
        self,
        platform: Platform,
        interfaces: Mapping[str, _Interface],
        vlan_names: Mapping[str, str],
        defined: Collection[int],
    ) -> None:
        self._platform = platform
        self._defined = frozenset(defined)
        self._interfaces = interfaces
        self._vlan_names = vlan_names

    def port(self, name: str) -> PortConfig:
        """What a port carries. In a LAG, the LAG tells the VLANs; what the port itself still has rests meanwhile."""
        port = self._interfaces[name]
        unknown = port.unknown
        number, inactive = port.facts.get("lag"), ""
        enabled = bool(self._fact("enabled", port))
        if number is None:
            config, problem = self._carried(port, enabled)
        else:
            lag_interface = self._interfaces.get(self._platform.lag.interface(number))
            if lag_interface is None:
                config, problem = PortConfig(), f"LAG {number} does not exist"
                lag_interface = _Interface()
            else:
                enabled = enabled and bool(self._fact("enabled", lag_interface))
                config, problem = self._carried(lag_interface, enabled)
                if self._platform.lag.equal_members and self._carried(port, enabled)[0] != config:
                    inactive = f"suspended: it has other VLANs than LAG {number}"
            lag, strange = self._lag(int(number), port, lag_interface)
            config = replace(config, lag=lag)
            unknown = lag_interface.unknown if port.unknown == "" else port.unknown
            problem = problem or strange
        description = _unquoted(str(port.facts.get("description", "")))
        if reason := unknown or problem:
            description = f"{description} {_NOT_UNDERSTOOD}{reason}]".strip()
        if undefined := self._undefined(config):
            inactive = f"not defined: VLAN {', '.join(map(str, undefined))}"
        return replace(config, enabled=enabled, description=description, inactive=inactive)

    def _undefined(self, config: PortConfig) -> list[int]:
        """VLANs that the port would carry if the switch had them."""
        if not any(question.vlans for question in self._platform.read) or len(config.vlans) == len(_ALL):
            return []  # all VLANs are all that are defined
        return sorted(config.vlans - self._defined - {self._platform.default_vlan})

    def mlag(self, number: int) -> int | None:
        """The MLAG id of a LAG."""
        interface = self._interfaces.get(self._platform.lag.interface(number))
        said = None if interface is None else interface.facts.get("mlag")
        if said is None:
            return None
        return number if self._platform.lag.mlag_is_number else int(said)

    def _fact(self, key: str, *interfaces: _Interface) -> Any:
        for interface in interfaces:
            if key in interface.facts:
                return interface.facts[key]
        return self._platform.defaults.get(key)

    def _carried(self, interface: _Interface, enabled: bool) -> tuple[PortConfig, str]:
        """Mode and VLANs. Lines that do not apply to the mode are ignored, as the switch does."""
        default = self._platform.default_vlan
        try:
            if self._fact("mode", interface) != "trunk":
                access = self._one("access", interface)
                if access == default and not enabled:
                    access = None  # shut on the default VLAN, it carries nothing
                return PortConfig(untagged=access), ""
            native = self._one("native", interface)
            allowed = set()
            for text in interface.allowed or [str(self._fact("allowed", interface) or "none")]:
                allowed |= parse_vlans(text, self._vlan_names)
        except ValueError as error:
            return PortConfig(), str(error)
        problem = ""
        if native is not None and native not in allowed:
            if native == default:
                native = None  # the list keeps it off the port
            else:
                problem = f"native VLAN {native} is not among the allowed ones"
        tagged = frozenset(Vlan(vlan) for vlan in allowed if vlan != native)
        return PortConfig(PortMode.TRUNK, native, tagged), problem

    def _one(self, key: str, interface: _Interface) -> Vlan | None:
        value = self._fact(key, interface)
        vlans = parse_vlans(str(value), self._vlan_names) if value is not None else set()
        if len(vlans) > 1:
            raise ValueError(f"VLANs {value}")
        return Vlan(vlans.pop()) if vlans else None

    def _lag(self, number: int, port: _Interface, lag_interface: _Interface) -> tuple[Lag, str]:
        mode = str(self._fact("lag_mode", port, lag_interface))
        links = int(self._fact("min_links", port, lag_interface) or 1)
        unknown = "" if mode in list(LagMode) else f"LAG mode {mode}"
        if mode == LagMode.STATIC:
            return Lag(number, LagMode.STATIC, min_links=max(1, links), mlag=self.mlag(number)), unknown
        rate = str(self._fact("rate", port, lag_interface))
        unknown = unknown or ("" if rate in list(LacpRate) else f"LACP rate {rate}")
        return Lag(
            number,
            rate=LacpRate.FAST if rate == LacpRate.FAST else LacpRate.SLOW,
            min_links=max(1, links),
            fallback=bool(self._fact("fallback", port, lag_interface)),
            mlag=self.mlag(number),
        ), unknown


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
