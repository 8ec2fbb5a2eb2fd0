"""Plan → what has to become of the leaves, in an order that stays consistent even on a switch that goes step by step:
VLANs are defined, ports leave their LAG, new LAGs are made, ports join or change, empty LAGs go. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from ironlane.model.errors import Permanent
from ironlane.model.fabric import VLAN_MAX, Lag, LagMode, PortConfig, PortMode
from ironlane.model.plan import Change, Plan
from ironlane.switches.openconfig.leaves import Lacp, SwitchedVlan
from ironlane.switches.openconfig.names import Dialect


@dataclass(frozen=True, slots=True)
class PortEdit:
    """A physical port. In a LAG, the aggregate carries the VLANs and the port has none of its own."""

    name: str
    description: str
    """Empty: it is to have none."""
    enabled: str
    left: str
    """The aggregate interface that it was in as far as is known, or empty."""
    joined: str
    """The aggregate interface that it is to be in, or empty."""
    vlans: SwitchedVlan | None
    """Replaced as a whole, so that nothing of an earlier mode stays."""


@dataclass(frozen=True, slots=True)
class LagEdit:
    """An aggregate interface: made, or brought up to date."""

    name: str
    lag_type: str
    min_links: str
    enabled: str
    vlans: SwitchedVlan
    lacp: Lacp | None
    """Replaced as a whole; None: it is to have no such entry."""


@dataclass(frozen=True, slots=True)
class Edit:
    """All of one plan, in order."""

    vlans: tuple[int, ...]
    """To be defined in the dialect's network instance."""
    alone: tuple[PortEdit, ...]
    """Ports that are in no LAG after the plan."""
    lags: tuple[LagEdit, ...]
    members: tuple[PortEdit, ...]
    """Ports that are in one of `lags` after the plan."""
    empty: tuple[str, ...]
    """Aggregate interfaces that have no member any more: to be removed, with their LACP settings."""


def edit(plan: Plan, members: Mapping[str, str], dialect: Dialect) -> Edit:
    """What the plan means for the leaves.

    `members` maps ports to aggregate interfaces before the plan, also those of ports that the plan does not mention:
    a LAG goes when its last member leaves.

    Raises:
        Permanent: a port config that OpenConfig cannot express, or members of one LAG that contradict each other.
    """
    for change in plan.changes:
        _check(change.port, change.after, dialect)
    staying = set(members_after(plan, members, dialect).values())
    left = [dialect.lag_interface(c.before.lag.number) for c in plan.changes if c.before.lag and c.before.lag.number]
    lags = tuple(_lags(plan, dialect))
    ports = [_port(change, members, dialect) for change in plan.changes]
    return Edit(
        vlans=_vlans(c.after for c in plan.changes) if dialect.create_vlans else (),
        alone=tuple(port for port in ports if not port.joined),
        lags=lags,
        members=tuple(port for port in ports if port.joined),
        empty=tuple(sorted(set(left) - staying, key=lambda name: dialect.lag_number(name) or 0)),
    )


def leave_others_alone(plan: Plan, members: Mapping[str, str], ours: Collection[str] | None, dialect: Dialect) -> None:
    """A LAG with members that are not ours is not ours (invariant I6).

    `ours` are the managed ports; None: nobody has said which those are.

    Raises:
        Permanent: the plan would change such a LAG.
    """
    if ours is None:
        return
    numbers = {change.after.lag.number for change in plan.changes if change.after.lag is not None}
    for name in (dialect.lag_interface(number) for number in sorted(numbers)):
        strangers = sorted(port for port, its in members.items() if its == name and port not in ours)
        if strangers:
            raise Permanent(
                f"{name} is not touched: it has members that Ironlane does not manage ({', '.join(strangers[:5])});"
                " free the number, or bind the port anew to get another"
            )


def members_after(plan: Plan, members: Mapping[str, str], dialect: Dialect) -> dict[str, str]:
    """Port → aggregate interface once the plan is carried out; `members` is what it was before."""
    after = dict(members)
    for change in plan.changes:
        after.pop(change.port, None)
        if change.after.lag is not None:
            after[change.port] = dialect.lag_interface(change.after.lag.number)
    return after


def _vlans(configs: Iterable[PortConfig]) -> tuple[int, ...]:
    wanted: set[int] = set()
    for port in configs:
        if len(port.vlans) < VLAN_MAX:  # "all VLANs" means all that are defined anyway
            wanted |= port.vlans
    return tuple(sorted(wanted))


def _port(change: Change, members: Mapping[str, str], dialect: Dialect) -> PortEdit:
    was, now = change.before.lag, change.after.lag
    return PortEdit(
        name=change.port,
        description=change.after.description,
        enabled=str(change.after.enabled).lower(),
        left=members.get(change.port) or (dialect.lag_interface(was.number) if was and was.number else ""),
        joined=dialect.lag_interface(now.number) if now is not None else "",
        vlans=SwitchedVlan.of(change.after) if now is None else None,
    )


def _lags(plan: Plan, dialect: Dialect) -> Iterable[LagEdit]:
    """Each LAG that ports have after the plan, by number."""
    found: dict[int, tuple[Lag, PortConfig]] = {}
    for change in plan.changes:
        lag = change.after.lag
        if lag is None:
            continue
        config = replace(change.after, description="")
        if found.setdefault(lag.number, (lag, config)) != (lag, config):
            raise Permanent(f"LAG {lag.number}: port {change.port} contradicts another member")
    for number, (lag, config) in sorted(found.items()):
        yield LagEdit(
            name=dialect.lag_interface(number),
            lag_type=lag.mode.name,
            min_links=str(lag.min_links),
            enabled=str(config.enabled).lower(),
            vlans=SwitchedVlan.of(config),
            lacp=Lacp.of(lag),
        )


def _check(port: str, config: PortConfig, dialect: Dialect) -> None:
    """Refuse what cannot be written, or would be read back as something else."""
    if problem := config.contradiction or _problem(config, dialect):
        raise Permanent(f"switch port {port}: {problem}")


def _problem(config: PortConfig, dialect: Dialect) -> str:
    if config.mode is PortMode.TRUNK and not config.vlans:
        return "OpenConfig has no trunk without VLANs (it would carry all of them); shut it as an access port"
    if config.mode is PortMode.ACCESS and config.enabled and config.untagged is None:
        return f"without a VLAN the switch would put it on VLAN {dialect.default_vlan}; shut it instead"
    if config.mode is PortMode.ACCESS and not config.enabled and config.untagged == dialect.default_vlan:
        return f"a shut port on VLAN {dialect.default_vlan} cannot be told from one without a VLAN"
    if not _storable(config.description):
        return "its description has control characters, or blanks at an end"
    return _lag_problem(config.lag) if config.lag is not None else ""


def _storable(text: str) -> bool:
    """Comes back as it was sent: XML 1.0 characters only, on one line, without blanks at the ends."""
    return text == text.strip() and re.search(r"[\x00-\x1f\ud800-\udfff\ufffe\uffff]", text) is None


def _lag_problem(lag: Lag) -> str:
    if lag.number < 1 or lag.min_links < 1:
        return f"LAG {lag.number} with min-links {lag.min_links}: both begin at 1"
    if lag.mode is LagMode.STATIC and lag != Lag(lag.number, LagMode.STATIC, min_links=lag.min_links):
        return f"static LAG {lag.number} has LACP settings (rate or fallback), which the switch cannot keep"
    return ""
