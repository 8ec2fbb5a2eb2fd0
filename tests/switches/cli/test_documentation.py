"""docs/adding-a-switch.md: its platform file is whole, and does what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ironlane.model.fabric import LacpRate, Lag, PortConfig, PortMode, SwitchId, Vlan
from ironlane.model.plan import Change, Plan
from ironlane.switches.base import Access
from ironlane.switches.cli import CliDriver, read, write
from ironlane.switches.cli import platform as platforms

PAGE = (Path(__file__).parents[3] / "docs" / "adding-a-switch.md").read_text()
FILE, _ = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
ANSWERS, LINES = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
ON_10 = PortConfig(untagged=Vlan(10))


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "nclu.yaml").write_text(FILE)
    return str(tmp_path / "nclu.yaml")


def test_the_plan_becomes_the_lines_on_the_page(path: str) -> None:
    driver = CliDriver(Access(SwitchId("leaf-1"), "192.0.2.1", options={"platform_file": path}))
    driver._known = write.Known({}, frozenset({10}))
    after = PortConfig(PortMode.TRUNK, Vlan(10), frozenset(map(Vlan, (20, 21, 22, 30))))
    assert "\n".join(driver.render(Plan(SwitchId("leaf-1"), (Change("swp1", ON_10, after),)))) + "\n" == LINES


def test_the_answers_on_the_page_are_understood(path: str) -> None:
    form = platforms.load_file(path)
    answers = dict(part.split("\n", 1) for part in ANSWERS.split(">>> ")[1:])
    assert list(answers) == [question.command for question in form.read]
    seen = read.observation(list(answers.values()), [f"swp{number}" for number in range(9)], form)
    assert seen.ports == {
        "swp1": PortConfig(untagged=Vlan(101), description="ironlane node-1"),
        "swp2": PortConfig(enabled=False),
        "swp3": PortConfig(PortMode.TRUNK, None, frozenset(map(Vlan, (20, 21, 22)))),
        "swp4": PortConfig(PortMode.TRUNK, Vlan(10), frozenset({Vlan(20)})),
        "swp5": PortConfig(description="[not understood: bridge learning off]"),
        "swp6": PortConfig(untagged=Vlan(10), lag=Lag(5, rate=LacpRate.FAST, fallback=True, mlag=5)),
    }
    assert sorted(seen.known.vlans) == [10, 20, 21, 22, 101]
