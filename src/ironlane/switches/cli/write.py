"""Plan → the lines that carry it out, by the platform's templates. Pure.

The order stays safe also on a switch that takes every line into force at once: VLANs are defined, ports leave their
LAG, empty LAGs go, LAGs are made or changed, ports on their own, at last ports in LAGs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ironlane.model.errors import Permanent
from ironlane.model.fabric import VLAN_MAX, LacpRate, Lag, LagMode, PortConfig, PortMode
from ironlane.model.plan import Change, Plan
from ironlane.switches.cli.platform import Platform

_SHORTEST_RANGE = 3  # "7-8" is no shorter than "7,8"
_NOTHING = PortConfig(enabled=False)


@dataclass(frozen=True, slots=True)
class Known:
    """What the last look at the switch told beyond the plan's ports."""

    members: Mapping[str, int] | None = None
    """Port → LAG number, for all ports of the switch; None before the first look."""
    vlans: Collection[int] = ()
    """The VLANs that are defined."""
    ports: Mapping[str, PortConfig] = field(default_factory=dict)
    """What ports carry. It goes before what a plan says that they carried: the plan may have been carried out already,
    or in part."""
    foreign: Mapping[str, int] = field(default_factory=dict)
    """Ports that are not ours → the LAG that they are in."""
    mlags: Mapping[int, int] = field(default_factory=dict)
    """LAG number → MLAG id, for all LAGs of the switch that have one."""
    mlag_domain: str | None = None

    def after(self, plan: Plan) -> Known:
        """The same once the plan is carried out."""
        members = dict(self.members or {})
        for change in plan.changes:
            members.pop(change.port, None)
            if change.after.lag is not None:
                members[change.port] = change.after.lag.number
        ports = {**self.ports, **{change.port: change.after for change in plan.changes}}
        gone = set((self.members or {}).values()) - set(members.values())
        mlags = {number: mlag for number, mlag in self.mlags.items() if number not in gone}
        for number, config in _lags(plan):
            mlags.pop(number, None)
            if config.lag is not None and config.lag.mlag is not None:
                mlags[number] = config.lag.mlag
        defined = frozenset(self.vlans) | frozenset(_wanted(plan))
        return replace(self, members=members, vlans=defined, ports=ports, mlags=mlags)

    def corrected(self, plan: Plan) -> Plan:
        """The plan with what ports really carry before it."""
        found = ((change, self.ports.get(change.port, change.before)) for change in plan.changes)
        return replace(plan, changes=tuple(c if b == c.before else replace(c, before=b) for c, b in found))


def lines(plan: Plan, known: Known, platform: Platform, *, define_vlans: bool = True) -> list[str]:
    """The lines between `begin` and `commit` of a transaction.

    Raises:
        Permanent: a port config that the platform cannot express, or members of one LAG that contradict each other.
    """
    plan = known.corrected(plan)
    for change in plan.changes:
        problem = _problem(change, platform)
        if problem:
            raise Permanent(f"switch port {change.port}: {problem}")
    write, lags, after = platform.write, _lags(plan), known.after(plan)
    _leave_others_alone(lags, known, after, platform)
    leaving = {change.port: change for change in plan.changes if _leaves(change, known, platform)}
    sent: list[str] = []
    if define_vlans and (missing := sorted(set(_wanted(plan)) - set(known.vlans))):
        sent += expand(write.vlan, {"new_vlans": missing, "new_vlan_lists": vlan_lists(missing, platform.vlan_list)})
    for change in leaving.values():
        sent += expand(
            write.leave, _values(change.port, change.after, change.before, platform, old=_was(change, known))
        )
    removed = _removed(plan, lags, known, after, platform)
    for number in removed:
        carried = _lag_before(number, plan) or _NOTHING
        values = _values(platform.lag.interface(number), _NOTHING, carried, platform, old=number)
        sent += expand(write.remove, {**values, "mlag_domain": known.mlag_domain})
    for number, config in lags:
        was = None if number in removed else _lag_before(number, plan)
        if was is None and number in (known.members or {}).values() and number not in removed:
            was = config  # it has members that stay as they are
        values = _values(platform.lag.interface(number), config, was or _NOTHING, platform)
        values |= {"new_settings": was is None or was.lag != config.lag, "mlag_domain": known.mlag_domain}
        sent += expand(write.lag, values)
    for single in (True, False):
        for change in plan.changes:
            if single is (change.after.lag is None):
                before = change.before if change.before.lag is None else _NOTHING
                values = _values(change.port, change.after, before, platform)
                if not single:  # what the port let through by itself goes, whatever the LAG carries
                    values |= {"gone": sorted(before.vlans), "retagged": []}
                    values["joined"] = change.port in leaving or change.before.lag is None
                sent += expand(write.port if single else write.member, values)
    return sent


def expressible(change: Change, platform: Platform) -> bool:
    """Whether `lines` would take the change."""
    return not _problem(change, platform)


def expand(steps: Iterable[Any], values: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a template."""
    for step in steps:
        if isinstance(step, str):
            yield step.format_map(values)
            continue
        word, name, inner = step
        value = values.get(name)
        if word == "each":
            for item in value or ():
                yield from expand(inner, {**values, "item": item})
        elif bool(value) is (word == "if"):
            yield from expand(inner, values)


def vlan_lists(vlans: Iterable[int], longest: int) -> list[str]:
    """VLANs in order as lists with ranges, each at most `longest` characters: {1, 7, 8, 9} → "1,7-9"."""
    runs: list[list[int]] = []
    for vlan in sorted(vlans):
        if runs and vlan == runs[-1][-1] + 1:
            runs[-1].append(vlan)
        else:
            runs.append([vlan])
    found: list[str] = []
    for run in runs:
        for text in [f"{run[0]}-{run[-1]}"] if len(run) >= _SHORTEST_RANGE else [str(vlan) for vlan in run]:
            if found and len(found[-1]) + 1 + len(text) <= longest:
                found[-1] += f",{text}"
            else:
                found.append(text)
    return found


def _wanted(plan: Plan) -> Iterator[int]:
    for change in plan.changes:
        if len(change.after.vlans) < VLAN_MAX:  # "all VLANs" means all that are defined anyway
            yield from change.after.vlans


def _values(
    name: str, config: PortConfig, before: PortConfig, platform: Platform, *, old: int | None = None
) -> dict[str, Any]:
    """What templates may name; see `platform.VALUES`."""
    lists = vlan_lists(config.vlans, platform.vlan_list)
    gone = sorted(before.vlans - config.vlans)
    lag, was = config.lag, before.lag
    return {
        "name": name,
        "description": config.description,
        "enabled": config.enabled,
        "access": config.mode is PortMode.ACCESS,
        "trunk": config.mode is PortMode.TRUNK,
        "untagged": config.untagged,
        "tagged": sorted(config.tagged),
        "tagged_lists": vlan_lists(config.tagged, platform.vlan_list),
        "vlans": lists[0] if lists else "",
        "more_vlans": lists[1:],
        "each_vlan": sorted(config.vlans),
        "gone": gone,
        "gone_lists": vlan_lists(gone if config.mode is before.mode is PortMode.TRUNK else (), platform.vlan_list),
        "retagged": sorted(
            (before.tagged & config.vlans - config.tagged) | (config.tagged & before.vlans - before.tagged)
        ),
        "lag": lag and lag.number,
        "lag_name": lag and platform.lag.interface(lag.number),
        "lacp": lag is not None and lag.mode is LagMode.LACP,
        "static": lag is not None and lag.mode is LagMode.STATIC,
        "fast": lag is not None and lag.rate is LacpRate.FAST,
        "min_links": lag.min_links if lag is not None and lag.min_links > 1 else None,
        "fallback": lag is not None and lag.fallback,
        "mlag": lag and lag.mlag,
        "old_mlag": was.mlag if was is not None and was.mlag != (lag and lag.mlag) else None,
        "old_lag": old,
        "old_lag_name": old and platform.lag.interface(old),
    }


def _was(change: Change, known: Known) -> int | None:
    """The LAG that the port is in before the plan."""
    if known.members is not None:
        return known.members.get(change.port)
    return change.before.lag.number if change.before.lag is not None and change.before.lag.number else None


def _leaves(change: Change, known: Known, platform: Platform) -> bool:
    was, before, after = _was(change, known), change.before.lag, change.after.lag
    if was is None:
        return False
    if before is None or after is None or before.number != was:
        return True
    return (before.number, before.mode) != (after.number, after.mode) or _made_anew(before, after, platform)


def _made_anew(before: Lag, after: Lag, platform: Platform) -> bool:
    """A LAG of this number cannot be changed so, but has to go first."""
    form = platform.lag
    chassis = before.mlag != after.mlag or (after.mlag is not None and before.mode is not after.mode)
    return (form.settings_fixed and before != after) or (form.mlag_fixed and chassis)


def _leave_others_alone(lags: Sequence[tuple[int, PortConfig]], known: Known, after: Known, platform: Platform) -> None:
    """A LAG with members that are not ours is not ours (invariant I6), and neither is the MLAG id of another LAG."""
    for number, config in lags:
        name = platform.lag.interface(number)
        if strangers := sorted(port for port, lag in known.foreign.items() if lag == number):
            raise Permanent(
                f"{name} is not touched: it has members that Ironlane does not manage ({', '.join(strangers[:5])});"
                " free the number, or bind the port anew to get another"
            )
        if config.lag is None or config.lag.mlag is None:
            continue
        if platform.lag.mlag_domain and known.mlag_domain is None:
            raise Permanent(f"{name} cannot go on at the MLAG peer: no MLAG domain is set up on the switch")
        mlag = config.lag.mlag
        taken = next((other for other, its in after.mlags.items() if its == mlag and other != number), None)
        if taken is not None:
            raise Permanent(f"{name} cannot have MLAG id {mlag}: {platform.lag.interface(taken)} has it")


def _removed(
    plan: Plan, lags: Sequence[tuple[int, PortConfig]], known: Known, after: Known, platform: Platform
) -> list[int]:
    """LAGs that lose their last member, or have to be made anew."""
    left = {was for change in plan.changes if (was := _was(change, known)) is not None}
    empty = left - set((after.members or {}).values())
    anew = set()
    for number, config in lags:
        before, lag = _lag_before(number, plan), config.lag
        if before is not None and before.lag is not None and lag is not None and _made_anew(before.lag, lag, platform):
            anew.add(number)
    return sorted(empty | anew)


def _lag_before(number: int, plan: Plan) -> PortConfig | None:
    """What a LAG carried before the plan, as far as the plan tells."""
    for change in plan.changes:
        if change.before.lag is not None and change.before.lag.number == number:
            return change.before
    return None


def _lags(plan: Plan) -> Sequence[tuple[int, PortConfig]]:
    """Each LAG that ports of the plan have after it, with what it carries, by number."""
    found: dict[int, PortConfig] = {}
    for change in plan.changes:
        if change.after.lag is None:
            continue
        config = replace(change.after, description="")
        if found.setdefault(change.after.lag.number, config) != config:
            raise Permanent(f"LAG {change.after.lag.number}: port {change.port} contradicts another member")
    return sorted(found.items())


def _problem(change: Change, platform: Platform) -> str:
    """Why a port config cannot be written, or would be read back as something else; empty if it can."""
    config, default = change.after, platform.default_vlan
    if platform.ports.fullmatch(change.port) is None:
        return f"not a port that can be managed on {platform.title}"
    if not all(vlan in platform.vlans for vlan in config.vlans):
        return f"{platform.title} takes VLANs {platform.vlans[0]} to {platform.vlans[-1]}"
    if config.contradiction:
        return config.contradiction
    if config.mode is PortMode.TRUNK and not config.vlans:
        return "there is no trunk without VLANs (it would carry all of them); shut it as an access port"
    if default is not None and config.untagged is None:
        if config.mode is PortMode.ACCESS and config.enabled:
            return f"without a VLAN the switch would put it on VLAN {default}; shut it instead"
        if config.mode is PortMode.TRUNK and (default in config.tagged or not platform.trunk_without_native):
            return f"without a native VLAN the switch would carry VLAN {default} untagged; give it one"
    if config.mode is PortMode.ACCESS and not config.enabled and config.untagged == default and default is not None:
        return f"a shut port on VLAN {default} cannot be told from one without a VLAN"
    if config.description and platform.description.fullmatch(config.description) is None:
        return f"{platform.title} cannot keep the description {config.description!r}"
    return _lag_problem(config.lag, platform) if config.lag is not None else ""


def _lag_problem(lag: Lag, platform: Platform) -> str:
    form = platform.lag
    if not form.numbers[0] <= lag.number <= form.numbers[1] or lag.min_links < 1:
        first, last = form.numbers
        return f"LAG {lag.number} with min-links {lag.min_links}: {platform.title} numbers LAGs {first} to {last}"
    if lag.mode is LagMode.STATIC:
        if not form.static:
            return f"{platform.title} has no static LAGs"
        if lag.rate is not LacpRate.SLOW or lag.fallback:
            return f"static LAG {lag.number} has LACP settings (rate or fallback), which the switch cannot keep"
    if lag.mlag is not None and (problem := _mlag_problem(lag.number, lag.mlag, platform)):
        return problem
    if lag.min_links > 1 and lag.mode.value not in form.min_links:
        return f"{platform.title} has no min-links for {lag.mode.value} LAGs"
    if (lag.fallback and not form.fallback) or (lag.rate is LacpRate.FAST and not form.rate):
        return f"{platform.title} cannot set LAG {lag.number}'s LACP rate or fallback"
    return ""


def _mlag_problem(number: int, mlag: int, platform: Platform) -> str:
    form = platform.lag
    if form.mlag is None:
        return f"{platform.title} has no MLAG that Ironlane could set up for LAG {number}"
    if not form.mlag[0] <= mlag <= form.mlag[1]:
        return f"MLAG id {mlag}: {platform.title} takes {form.mlag[0]} to {form.mlag[1]}"
    if form.mlag_is_number and mlag != number:
        return f"MLAG id {mlag}: on {platform.title} it is the LAG's number, {number}"
    return ""
