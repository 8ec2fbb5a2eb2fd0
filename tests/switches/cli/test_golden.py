"""Golden files of each platform: plans → the exact lines; a switch's answers → port configs.

`golden/cli/plans.yaml` holds plans for all platforms, `golden/cli/<platform>/<plan>.txt` the lines,
`golden/cli/<platform>/observe.txt` what a switch answers to the platform's questions and `observe.yaml` what that is.
Run with IRONLANE_GOLDEN=write to renew, and read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from ironlane.model.fabric import LacpRate, Lag, LagMode, PortConfig, PortMode, SwitchId
from ironlane.model.plan import Change, Plan
from ironlane.switches.base import Access
from ironlane.switches.cli import CliDriver, read, write
from ironlane.switches.cli import platform as platforms
from ironlane.switches.cli.platform import Platform
from tests.switches.cli.bench import PLATFORMS, port_name

GOLDEN = Path(__file__).parent.parent / "golden" / "cli"
PLANS: dict[str, Any] = yaml.safe_load((GOLDEN / "plans.yaml").read_text())


def compare(text: str, golden: Path) -> None:
    if os.environ.get("IRONLANE_GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()


def port_config(fields: dict[str, Any], form: Platform | None = None) -> PortConfig:
    """`form`: LAG settings that it does not have are left out."""
    fields = dict(fields)
    if lag := dict(fields.pop("lag", {})):
        mode = LagMode(lag.pop("mode", "lacp"))
        if form is not None:
            lag = {
                key: value
                for key, value in lag.items()
                if not (key == "rate" and not form.lag.rate)
                and not (key == "fallback" and not form.lag.fallback)
                and not (key == "min_links" and mode.value not in form.lag.min_links)
                and not (key == "mlag" and form.lag.mlag is None)
            }
        fields["lag"] = Lag(mode=mode, rate=LacpRate(lag.pop("rate", "slow")), **lag)
    return PortConfig(mode=PortMode(fields.pop("mode", "access")), tagged=frozenset(fields.pop("tagged", ())), **fields)


def described(config: PortConfig) -> dict[str, Any]:
    """The other way round, defaults left out."""
    fields: dict[str, Any] = {"mode": "trunk"} if config.mode is PortMode.TRUNK else {}
    if config.untagged is not None:
        fields["untagged"] = config.untagged
    if config.tagged:
        fields["tagged"] = sorted(config.tagged) if len(config.tagged) < 100 else f"{len(config.tagged)} VLANs"
    if config.lag is not None:
        lag = config.lag
        given = {"number": lag.number, "mode": lag.mode.value, "rate": lag.rate.value}
        fields["lag"] = given | {"min_links": lag.min_links, "fallback": lag.fallback}
        if lag.mlag is not None:
            fields["lag"]["mlag"] = lag.mlag
    if not config.enabled:
        fields["enabled"] = False
    return fields | ({"description": config.description} if config.description else {})


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("name", PLANS)
def test_a_plan_becomes_exactly_these_lines(platform: str, name: str) -> None:
    case, form = PLANS[name], platforms.load(platform)
    needs = case.get("needs", [])
    able = {
        "mlag": form.lag.mlag is not None,
        "static": form.lag.static,
        "trunk_without_native": form.trunk_without_native,
    }
    if not all(able[need] for need in ([needs] if isinstance(needs, str) else needs)):
        pytest.skip(f"{form.title} has no {name}")
    changes = [
        Change(port_name(platform, c["port"]), port_config(c["before"], form), port_config(c["after"], form))
        for c in case["changes"]
    ]
    driver = CliDriver(Access(SwitchId("leaf-1"), "192.0.2.1", options={"platform": platform}))
    members = {port_name(platform, port): lag for port, lag in case.get("members", {}).items()}
    driver._known = write.Known(members, frozenset(case.get("vlans", [1])), mlag_domain="1")
    lines = driver.render(Plan(SwitchId("leaf-1"), tuple(changes)))
    compare("\n".join(lines) + "\n", GOLDEN / platform / f"{name}.txt")


@pytest.mark.parametrize("platform", PLATFORMS)
def test_answers_become_exactly_these_port_configs(platform: str) -> None:
    form, folder = platforms.load(platform), GOLDEN / platform
    parts = (folder / "observe.txt").read_text().split(">>> ")[1:]
    answers = dict(part.split("\n", 1) for part in parts)
    assert list(answers) == [question.command for question in form.read]
    wanted = {port_name(platform, number) for number in range(25)}
    seen = read.observation(list(answers.values()), wanted, form)
    document = {
        "ports": {port: described(config) for port, config in seen.ports.items()},
        "members": dict(sorted((seen.known.members or {}).items())),
        "vlans": sorted(seen.known.vlans),
    }
    compare(yaml.safe_dump(document, sort_keys=False, width=110), folder / "observe.yaml")


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_platform_has_golden_files(platform: str) -> None:
    assert {path.name for path in (GOLDEN / platform).iterdir()} >= {"access.txt", "lag.txt", "observe.txt"}
