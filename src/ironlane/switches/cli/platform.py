"""The form of a platform file: everything that Ironlane knows about one command line.

A file is read once and checked as a whole, so that a slip in it is told by its field when the driver is made and not by
a switch later on. `docs/adding-a-switch.md` explains the form with an example.
"""

from __future__ import annotations

import functools
import re
import string
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from ironlane.model.errors import Invalid
from ironlane.model.fabric import VLAN_MAX, VLAN_MIN

VALUES = {
    "name": "the interface's name: the port's, or the LAG's",
    "description": "the port's description",
    "enabled": "it is not shut",
    "access": "it is an access port",
    "trunk": "it is a trunk",
    "untagged": "the access VLAN, or the trunk's native VLAN",
    "tagged": "each tagged VLAN",
    "tagged_lists": "the same as lists, a line's worth each",
    "vlans": "all VLANs that are let through, as a list in the platform's form (its first line's worth)",
    "more_vlans": "each further line's worth of that list",
    "each_vlan": "each VLAN that is let through",
    "gone": "each VLAN that was let through before, and is no longer; of a member, by the port itself",
    "gone_lists": "of a trunk that stays a trunk: the same as lists, a line's worth each",
    "retagged": "each VLAN that stays, but tagged instead of untagged or the other way round",
    "lag": "number of the LAG that the port is in after the plan",
    "lag_name": "that LAG's name",
    "lacp": "that LAG negotiates",
    "static": "that LAG does not",
    "fast": "LACPDUs every second",
    "min_links": "how many links that LAG needs, if more than one",
    "fallback": "a member forwards while the partner sends no LACPDUs",
    "mlag": "the id by which both switches of an MLAG pair know that LAG",
    "old_mlag": "the id that it had before, if it has another or none now",
    "mlag_domain": "the MLAG domain that the switch says it is in",
    "joined": "the port was not in that LAG before",
    "new_settings": "the LAG is new, or its settings change",
    "old_lag": "number of the LAG that the port leaves",
    "old_lag_name": "that LAG's name",
    "new_vlans": "each VLAN to define",
    "new_vlan_lists": "the same as lists, a line's worth each",
    "item": "the value that `each` is at",
    "clock": "the time limit of a confirmed commit as hh:mm:ss",
    "minutes": "the same in minutes, rounded up",
}
"""What templates may name, in `{braces}` and after `if`, `unless` and `each`."""

FACTS = frozenset(
    "enabled description mode access native allowed lag lag_mode rate min_links fallback mlag".split()  # noqa: SIM905
)
"""What rules of `read` may tell about an interface."""


def _steps(value: object) -> object:
    """Bring a template into tuples: a line, or (condition, name, steps)."""
    if isinstance(value, str):
        return (_line(value),)
    if isinstance(value, list | tuple):
        return tuple(step for part in value for step in _steps(part))  # type: ignore[attr-defined]
    if isinstance(value, dict):
        found = []
        for key, steps in value.items():
            word, _, name = str(key).partition(" ")
            if word not in ("if", "unless", "each") or name not in VALUES:
                raise ValueError(f"{key!r}: expected `if`, `unless` or `each` and one of {', '.join(VALUES)}")
            found.append((word, name, _steps(steps)))
        return tuple(found)
    raise ValueError(f"{value!r} is neither a line nor steps")


def _line(text: str) -> str:
    for _, name, spec, conversion in string.Formatter().parse(text):
        if name is not None and (name not in VALUES or spec or conversion):
            raise ValueError(f"{text!r}: no value {name!r}; there are {', '.join(VALUES)}")
    return text


Steps = Annotated[tuple[Any, ...], BeforeValidator(_steps)]
"""A template: lines, and `{if x: …}`, `{unless x: …}`, `{each x: …}` around more of them."""


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rule(_Form):
    """What a line says: the regular expression's groups, named as in `FACTS` (and `name`), and what `set` adds."""

    match: re.Pattern[str]
    set: dict[str, bool | int | str | None] = {}
    unknown: bool = False
    """The line means something that no port config describes."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        strange = (self.match.groupindex.keys() | self.set.keys()) - {*FACTS, "name"}
        if strange:
            raise ValueError(f"{self.match.pattern!r}: no fact {', '.join(sorted(strange))}")
        return self


class Question(_Form):
    """A command that shows configuration, and how its answer is read.

    The answer becomes *statements*, one line each: for `blocks`, every line behind the lines that it is indented below;
    for `json`, every leaf behind its keys; for `lines`, as it is. The first rule that matches a whole statement counts.
    """

    command: str
    format: Literal["blocks", "lines", "json"]
    interface: str = ""
    """A regular expression with a group `name` that stands before `match` in all rules; matched alone, it tells that
    the interface exists."""
    name_ranges: bool = False
    """`name` may be a list with ranges, such as `swp1-4,swp7`."""
    facts: tuple[Rule, ...] = ()
    vlans: tuple[re.Pattern[str], ...] = ()
    """Statements that define VLANs: group `ids`, and perhaps `vlan_name`."""
    mlag_domain: re.Pattern[str] | None = None
    """The statement that tells the switch's MLAG domain: group `id`."""

    def __hash__(self) -> int:
        """By identity: it is looked up for every block that a switch shows (`read`)."""
        return id(self)

    @functools.cached_property
    def rules(self) -> tuple[Rule, ...]:
        """The rules with `interface` put in."""
        if not self.interface:
            return self.facts
        alone = Rule(match=re.compile(self.interface))
        put_in = (
            r.model_copy(update={"match": re.compile(rf"{self.interface} (?:{r.match.pattern})")}) for r in self.facts
        )
        return (alone, *put_in)


class NeighbourForm(_Form):
    """How the switch tells whom it hears by LLDP. It is asked in a login of its own."""

    command: str
    lines: tuple[re.Pattern[str], ...]
    """Whole lines, without the space around them, and what they say: groups `local` (our port; it stays until it is
    said again), `chassis`, `port`, `port_description`, `system_name` (of the neighbour). The first that matches
    counts."""
    begins: re.Pattern[str] | None = None
    """A line with which the next neighbour begins; without it, a line that says `local`."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        known = {"local", "chassis", "port", "port_description", "system_name"}
        strange = {name for pattern in self.lines for name in pattern.groupindex} - known
        if strange:
            raise ValueError(f"lines: no group {', '.join(sorted(strange))}; there are {', '.join(sorted(known))}")
        return self


class LagForm(_Form):
    """What the platform can do for LAGs."""

    name: str
    numbers: tuple[int, int]
    static: bool = True
    min_links: tuple[Literal["lacp", "static"], ...] = ()
    """The modes in which a minimum of links can be set."""
    fallback: bool = True
    rate: bool = True
    settings_fixed: bool = False
    """A LAG has to be made anew to change its settings."""
    equal_members: bool = False
    """A member that would carry other VLANs than its LAG is suspended."""
    mlag: tuple[int, int] | None = None
    """MLAG ids; null: a LAG cannot go on at an MLAG peer, or not so that Ironlane could set it up."""
    mlag_is_number: bool = False
    """The id is the LAG's number. The fact `mlag` may then be anything, and tells that there is one."""
    mlag_fixed: bool = False
    """A LAG has to be made anew to get an MLAG id or to lose it, and while it has one, to change its mode."""
    mlag_domain: bool = False
    """It takes a domain (`Question.mlag_domain`), which the operator has set up."""

    def interface(self, number: int) -> str:
        return self.name.replace("{number}", str(number))

    def number(self, interface: str) -> int | None:
        """The LAG of which that is the name; None: of none."""
        match = re.fullmatch(re.escape(self.name).replace(r"\{number\}", r"(\d{1,5})"), interface)
        return int(match[1]) if match else None


class Enable(_Form):
    """Getting from the login prompt to the privileged one; the password is the login's."""

    unless: re.Pattern[str]
    """A prompt in which this is found needs nothing."""
    command: str
    password: re.Pattern[str]


class SessionForm(_Form):
    """How the conversation goes."""

    prompt: re.Pattern[str]
    """The last line of an answer, with a group `host`, by which the prompt is known again."""
    terminal: str = "vt100"
    enable: Enable | None = None
    prepare: tuple[str, ...] = ()
    """Lines after the login: no paging, no wrapping."""
    refused: tuple[re.Pattern[str], ...]
    """Found in a line of an answer: it was refused."""
    busy: tuple[re.Pattern[str], ...] = ()
    """Refused only for the time being: somebody holds a lock."""
    harmless: tuple[re.Pattern[str], ...] = ()
    """Looks refused, but tells that what is asked for is there already."""


class Confirmed(_Form):
    """A commit that the switch undoes unless it is confirmed."""

    commit: Steps
    confirm: Steps
    pending: str
    """The command that shows whether a commit waits to be confirmed, …"""
    waits: re.Pattern[str]
    """… and what is found in its answer then."""


class Checkpoint(_Form):
    """A copy of the whole configuration that the switch can go back to, whoever changed it since."""

    take: tuple[str, ...]
    restore: tuple[str, ...]
    drop: tuple[str, ...]
    """Also before another is taken; may fail."""


class Transaction(_Form):
    """How a plan's lines are put into force."""

    atomic: bool
    reset: tuple[str, ...] = ()
    """Clears what an earlier session left; may fail."""
    begin: tuple[str, ...]
    commit: tuple[str, ...]
    confirmed: Confirmed | None = None
    abort: tuple[str, ...] = ()
    """After a refusal; may fail."""
    checkpoint: Checkpoint | None = None
    """Where every line counts."""
    save: tuple[str, ...] = ()
    """Makes the running configuration survive a reboot."""


class Write(_Form):
    """Templates, in the order in which a plan uses them."""

    vlan: Steps
    """Define the VLANs that are not defined yet."""
    leave: Steps
    """A port leaves its LAG."""
    remove: Steps
    """A LAG without members goes."""
    lag: Steps
    """A LAG is as it should be."""
    port: Steps
    """A port on its own is as it should be."""
    member: Steps
    """A port in a LAG is as it should be."""


def _range(value: object) -> object:
    match = re.fullmatch(r"(\d+)-(\d+)", value) if isinstance(value, str) else None
    if match is None or not VLAN_MIN <= int(match[1]) <= int(match[2]) <= VLAN_MAX:
        raise ValueError(f"{value!r} is not a range like 1-4094")
    return range(int(match[1]), int(match[2]) + 1)


class Platform(_Form):
    """One platform file."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    title: str
    parts: Any = None
    """Not read: a place for YAML anchors."""
    ports: re.Pattern[str]
    """Names of ports that may be managed. Nothing else gets into a line."""
    example: str
    """Such a name by `{number}`, for golden files and other tests."""
    vlans: Annotated[range, BeforeValidator(_range)] = range(VLAN_MIN, VLAN_MAX + 1)
    """VLANs that ports may be put on."""
    vlan_list: int = Field(default=200, gt=8)
    """Longest VLAN list in one line, in characters."""
    default_vlan: int | None
    """What an access port carries that is told nothing else, and the native VLAN of a trunk; null: nothing."""
    trunk_without_native: bool = True
    description: re.Pattern[str]
    """Descriptions that come back as they were sent."""
    lag: LagForm
    defaults: dict[str, bool | int | str | None]
    """Facts about interfaces that nothing is said about."""
    session: SessionForm
    transaction: Transaction
    read: tuple[Question, ...]
    neighbours: NeighbourForm | None = None
    write: Write


def names() -> list[str]:
    """The platforms that come with Ironlane."""
    found = resources.files("ironlane.switches.cli").joinpath("platforms").iterdir()
    return sorted(path.name.removesuffix(".yaml") for path in found if path.name.endswith(".yaml"))


@functools.cache
def load(name: str) -> Platform:
    """A platform by its name, such as `arista-eos`.

    Raises:
        Invalid: there is no such platform, or its file is malformed.
    """
    if name not in names():
        raise Invalid(f"no platform {name!r}; there are {', '.join(names())}", field="options.platform")
    path = resources.files("ironlane.switches.cli").joinpath("platforms", f"{name}.yaml")
    return parse(path.read_text(encoding="utf-8"), f"platform {name}")


@functools.cache
def load_file(path: str) -> Platform:
    """A platform from a file of the operator's.

    Raises:
        Invalid: it cannot be read, or is malformed.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise Invalid(f"cannot be read: {error}", field="options.platform_file") from None
    return parse(text, path)


def parse(text: str, where: str) -> Platform:
    """A platform from the text of its file; `where` names it in errors.

    Raises:
        Invalid: it is malformed; the message names the first field that is.
    """
    try:
        return Platform.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise Invalid(f"{where}: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"])
        raise Invalid(f"{where}: {place}: {first['msg']}") from None
