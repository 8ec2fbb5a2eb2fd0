"""Desired against observed: the projection, the diff, and the plan that makes one into the other.

`project` and `diff` are the heart of the fabric loop. Both are pure; there is no "plug" or "unplug" verb.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ironlane.model.errors import Permanent
from ironlane.model.fabric import (
    Attachment,
    AttachmentState,
    ManagedPorts,
    PortConfig,
    PortMode,
    SwitchId,
    Vlan,
)

IDLE_DESCRIPTION = "ironlane idle"


@dataclass(frozen=True, slots=True)
class Change:
    """One switch port's step from `before` to `after`, and the network ports that asked for it."""

    port: str
    before: PortConfig
    after: PortConfig
    network_ports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """All changes for one switch, to be made in one commit. An empty plan means converged."""

    switch: SwitchId
    changes: tuple[Change, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes)

    @property
    def inverse(self) -> Plan:
        """The plan that takes the switch back to where this one found it."""
        return Plan(
            self.switch,
            tuple(Change(c.port, before=c.after, after=c.before, network_ports=c.network_ports) for c in self.changes),
        )


def idle_config(idle_vlan: Vlan | None) -> PortConfig:
    """What an owned switch port carries while nobody is attached: the idle VLAN, or it is shut."""
    return PortConfig(untagged=idle_vlan, enabled=idle_vlan is not None, description=IDLE_DESCRIPTION)


def project(attachments: Iterable[Attachment], ports: ManagedPorts) -> dict[str, PortConfig]:
    """What each owned port of one switch should carry, given the live attachments.

    Only `WANTED` attachments count; those of other switches are ignored. Every owned port gets an entry, so that a
    port nobody asks for is idle by projection and not by somebody's clean-up (invariant I2).

    Raises:
        Permanent: two untagged networks on one switch port, or a port that is not ours. The store rejects both before
            they become rows, so this is a broken invariant and nothing may be written.
    """
    by_port: dict[str, list[Attachment]] = defaultdict(list)
    for attachment in attachments:
        if attachment.switch == ports.switch and attachment.state is AttachmentState.WANTED:
            by_port[attachment.port].append(attachment)
    foreign = by_port.keys() - ports.names
    if foreign:
        raise Permanent(f"switch {ports.switch}: attachments on ports that are not managed: {sorted(foreign)}")
    idle = idle_config(ports.idle_vlan)
    return {name: _carry(name, by_port[name]) if name in by_port else idle for name in sorted(ports.names)}


def _carry(name: str, attachments: list[Attachment]) -> PortConfig:
    untagged = {a.vlan for a in attachments if not a.tagged}
    tagged = frozenset(a.vlan for a in attachments if a.tagged)
    lags = {a.lag for a in attachments}
    hosts = {a.host for a in attachments}
    if len(untagged) > 1 or len(lags) > 1 or len(hosts) > 1:
        wishes = ", ".join(f"{a.network_port} (VLAN {a.vlan}, host {a.host})" for a in attachments)
        raise Permanent(f"switch port {name}: contradictory attachments: {wishes}")
    return PortConfig(
        mode=PortMode.TRUNK if tagged else PortMode.ACCESS,
        untagged=next(iter(untagged), None),
        tagged=tagged,
        lag=next(iter(lags)),
        description=f"ironlane {next(iter(hosts))}",
    )


def diff(
    switch: SwitchId,
    desired: Mapping[str, PortConfig],
    observed: Mapping[str, PortConfig],
    attachments: Iterable[Attachment] = (),
) -> Plan:
    """What has to change on the switch so that `observed` becomes `desired`, ports in name order.

    Ports that are observed but not desired are not ours and do not appear (invariant I6).

    Raises:
        Permanent: a desired port does not exist on the switch.
    """
    missing = sorted(desired.keys() - observed.keys())
    if missing:
        raise Permanent(
            f"switch {switch} has no port {', '.join(missing)}: correct the site file or the cabling record"
        )
    asked: dict[str, list[str]] = defaultdict(list)
    for attachment in attachments:
        if attachment.switch == switch:
            asked[attachment.port].append(attachment.network_port)
    return Plan(
        switch,
        tuple(
            Change(port, observed[port], config, tuple(sorted(set(asked[port]))))
            for port, config in sorted(desired.items())
            if observed[port] != config
        ),
    )


def drift(verified: Mapping[str, PortConfig], observed: Mapping[str, PortConfig]) -> dict[str, PortConfig]:
    """The ports that somebody else has changed since they were last verified, with what they carry now."""
    return {port: observed[port] for port, config in verified.items() if port in observed and observed[port] != config}
