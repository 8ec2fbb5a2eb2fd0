"""The contract that every switch driver fulfils."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from ironlane.model.fabric import LagMode, LagSupport, Mlag, PortConfig, SwitchId
from ironlane.model.lldp import Neighbour
from ironlane.model.plan import Plan


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a kind of switch can do; the loop decides by these, never by a driver's name."""

    atomic_commit: bool
    """A commit takes effect as a whole or not at all."""
    confirmed_commit: bool = False
    """A commit rolls itself back unless it is confirmed in time."""
    lacp: bool = True
    static_lag: bool = True
    lag_numbers: range = range(1, 1001)
    """LAG ids that Ironlane may use on the switch."""
    min_links: frozenset[LagMode] = frozenset(LagMode)
    """The modes in which a minimum of links can be kept."""
    fallback: bool = True
    """One member can forward while the partner speaks no LACP."""
    mlag: Mlag = Mlag.NUMBER
    descriptions: bool = True
    """A port's description is stored. Where it is not, it is left out of what is asked for."""

    def lag_support(self, foreign: Collection[int] = ()) -> LagSupport:
        """The same for those who choose LAGs; `foreign` are ids that are somebody else's."""
        modes = {LagMode.LACP: self.lacp, LagMode.STATIC: self.static_lag}
        return LagSupport(
            self.lag_numbers,
            frozenset(mode for mode, able in modes.items() if able),
            self.min_links,
            self.fallback,
            self.mlag,
            frozenset(foreign),
        )


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a switch and log in: all that a driver may know about it besides what it is asked to do.

    `secret` is the password or key passphrase, resolved from the site's credential reference by the caller; it is
    kept out of `repr`. `options` are the driver's own, each documented in the driver's module docstring.
    """

    switch: SwitchId
    address: str
    """Host name, IP address or socket path."""
    port: int | None = None
    username: str = ""
    secret: str = field(default="", repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)
    timeout: float = 30.0
    """Seconds that a single exchange with the switch may take."""


class SwitchDriver(Protocol):
    """One open conversation with one switch. Used by one task at a time (the switch's writer).

    A driver connects on first use, keeps its session, and opens a new one after a failure. All methods raise

    * `ironlane.model.errors.Temporary` when the switch cannot be reached, is locked or answers too late, and
    * `ironlane.model.errors.Permanent` when it refuses what it is asked for.
    """

    capabilities: Capabilities

    async def observe(self, ports: Collection[str]) -> Mapping[str, PortConfig]:
        """What the named ports carry now. A port that the switch does not have is left out of the answer.

        What the switch says beyond `PortConfig`'s vocabulary must not be dressed up as something it is not: a port in
        a state that no `PortConfig` describes reads back as the nearest one that *differs* from any desired one.
        """
        ...

    def render(self, plan: Plan) -> tuple[str, ...]:
        """The exact text or messages that `apply` will send for the plan, in order. Pure; needs no session."""
        ...

    async def apply(self, plan: Plan) -> None:
        """Make all changes of the plan in one commit. Returns once the switch has accepted them; no read-back here.

        Applying a plan twice is harmless. Where the switch has no atomic commit, a failure may leave part of it.
        """
        ...

    async def close(self) -> None:
        """End the session. The driver may be used again afterwards."""
        ...


@runtime_checkable
class Considerate(Protocol):
    """A driver that can tell which LAG ids on the switch are somebody else's. One that cannot has no such method."""

    def foreign_lags(self) -> Collection[int]:
        """Ids that were in use, by the last `observe`, for anything but LAGs of the ports that it was asked for."""
        ...


@runtime_checkable
class ReadingBack(Protocol):
    """A driver that can ask the switch what it carries in one go with a commit. One that cannot has no such method."""

    async def apply_and_observe(self, plan: Plan, ports: Collection[str]) -> Mapping[str, PortConfig]:
        """As `apply`, and then `observe`: what is returned was asked after the commit, and not before the switch has
        accepted it. The plan is not empty."""
        ...


@runtime_checkable
class Saving(Protocol):
    """A driver of switches that forget what was committed unless it is saved. `apply` saves; one that broke off may not
    have."""

    async def save(self) -> None:
        """Make what the switch runs survive a reboot."""
        ...


@runtime_checkable
class Foresighted(Protocol):
    """A driver that can also tell what it would send later. One that cannot has no such method."""

    def render_after(self, plan: Plan, earlier: Sequence[Plan]) -> tuple[str, ...]:
        """The exact text or messages for `plan` once the plans in `earlier` have been carried out, in that order.

        Pure; as `render`, it goes by the last `observe`.
        """
        ...


@runtime_checkable
class NeighbourAware(Protocol):
    """A driver that can also tell whom the switch hears by LLDP. One that cannot has no such method."""

    async def neighbours(self, ports: Collection[str]) -> Mapping[str, Sequence[Neighbour]]:
        """Who is behind each of the named ports, by itself; a port that hears nobody is left out.

        Raises as the methods of `SwitchDriver`; Permanent also where the switch does not speak LLDP.
        """
        ...
