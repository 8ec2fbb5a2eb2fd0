"""A lab switch with a command line, what it forwards, and a driver for it; and port configs for it to carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import asyncssh
from hypothesis import strategies as st

from ironlane.lab.cli import PLATFORMS as DIALECTS
from ironlane.lab.cli import CliSwitch
from ironlane.lab.forwarding import LagMembership, PortForwarding
from ironlane.model.fabric import LacpRate, Lag, LagMode, PortConfig, PortMode, SwitchId, Vlan
from ironlane.model.plan import Plan, diff
from ironlane.switches.base import Access
from ironlane.switches.cli import CliDriver
from ironlane.switches.cli import platform as platforms

SECRET = "admin"
LEAF = SwitchId("leaf-1")
KEY = asyncssh.generate_private_key("ssh-ed25519")
PLATFORMS = platforms.names()
IN_THE_LAB = [name for name in PLATFORMS if name in DIALECTS]


def port_name(platform: str, number: int) -> str:
    return platforms.load(platform).example.replace("{number}", str(number))


def port_names(platform: str, count: int = 5) -> list[str]:
    return [port_name(platform, number) for number in range(1, count + 1)]


@dataclass
class Bench:
    platform: str
    count: int = 5
    options: Mapping[str, Any] = field(default_factory=dict)
    forwarding: Mapping[str, PortForwarding] = field(default_factory=dict)
    switch_options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ports = port_names(self.platform, self.count)
        self.history: list[Mapping[str, PortForwarding]] = []
        self.switch = CliSwitch(self.platform, self.ports, self.on_running, host_key=KEY, **self.switch_options)

    def on_running(self, config: Mapping[str, PortForwarding]) -> None:
        self.forwarding = config
        self.history.append(config)

    def access(self, timeout: float = 10.0, secret: str = SECRET, **options: Any) -> Access:
        options = {"platform": self.platform, "host_key": self.switch.host_key, **self.options, **options}
        return Access(LEAF, "127.0.0.1", self.switch.port, "admin", secret, options, timeout)

    async def start(self) -> Bench:
        await self.switch.start()
        self.driver = CliDriver(self.access())
        return self

    async def stop(self) -> None:
        await self.driver.close()
        await self.switch.stop()

    async def converge(self, desired: Mapping[str, PortConfig]) -> Plan:
        """Observe, diff, apply, and observe again."""
        plan = diff(LEAF, desired, await self.driver.observe(desired))
        self.switch.lines.clear()
        text = self.driver.render(plan)
        before = self.forwarding
        self.history.clear()
        await self.driver.apply(plan)
        assert tuple(self.switch.lines) == text, "what is shown is what is sent"
        for moment in self.history:
            for port, at in moment.items():
                strange = at.vlans - before[port].vlans - self.forwarding[port].vlans
                assert not strange, f"{port} carried {strange} for a moment"
        assert await self.driver.observe(desired) == desired
        return plan

    def expected(self, config: PortConfig) -> PortForwarding:
        """How a port forwards that is configured so."""
        lag = config.lag and LagMembership(
            config.lag.number,
            config.lag.mode is LagMode.LACP,
            config.lag.fallback,
            config.lag.min_links,
            config.lag.mlag,
            alone=config.lag.mlag is None and platforms.load(self.platform).lag.mlag is not None,
        )
        untagged: int | None = config.untagged
        if untagged is None and config.mode is PortMode.ACCESS:
            untagged = platforms.load(self.platform).default_vlan
        return PortForwarding(config.enabled, untagged, config.tagged, lag)


def vlans(platform: str) -> st.SearchStrategy[Vlan]:
    """VLANs that the platform takes, without the default one."""
    known = platforms.load(platform).vlans
    return st.integers(max(2, known[0]), known[-1]).map(Vlan)


@st.composite
def carried(draw: st.DrawFn, platform: str) -> PortConfig:
    """Any port config that the platform can express, without a LAG."""
    form = platforms.load(platform)
    text = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9 ._:/-]{0,20}[A-Za-z0-9]", fullmatch=True)
    description = draw(st.just("") | text.map(lambda t: " ".join(t.split())))
    enabled = draw(st.booleans())
    vlan = vlans(platform)
    if draw(st.booleans()):
        empty = form.default_vlan is None or not enabled
        return PortConfig(untagged=draw(st.none() | vlan if empty else vlan), enabled=enabled, description=description)
    tagged = draw(st.frozensets(vlan, max_size=6))
    untagged = draw(vlan if not tagged or not form.trunk_without_native else st.none() | vlan)
    return PortConfig(PortMode.TRUNK, untagged, tagged - {untagged}, None, enabled, description)


@st.composite
def lags(draw: st.DrawFn, number: int, platform: str) -> Lag:
    form = platforms.load(platform).lag
    mode = draw(st.sampled_from(LagMode)) if form.static else LagMode.LACP
    links = draw(st.integers(1, 4)) if mode.value in form.min_links else 1
    ids = [None] if form.mlag is None else [None, number] if form.mlag_is_number else [None, number, number + 3]
    mlag = draw(st.sampled_from(ids))
    if mode is LagMode.STATIC:
        return Lag(number, mode, min_links=links, mlag=mlag)
    rate = draw(st.sampled_from(LacpRate)) if form.rate else LacpRate.SLOW
    return Lag(number, mode, rate, links, draw(st.booleans()) if form.fallback else False, mlag)


@st.composite
def switches(draw: st.DrawFn, platform: str) -> dict[str, PortConfig]:
    """What all ports of a switch carry, some of them in LAGs."""
    last = platforms.load(platform).lag.numbers[1]
    bundles = {number: replace(draw(carried(platform)), lag=draw(lags(number, platform))) for number in (1, 2, last)}
    config = {}
    for port in port_names(platform):
        number = draw(st.sampled_from([None, *bundles]))
        single = draw(carried(platform))
        config[port] = single if number is None else replace(bundles[number], description=single.description)
    return config
