"""`ironlane plan`, `drift`, `history` and `restore`, against a service with a conductor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import click
import pytest
from click.testing import Result

from ironlane.cli.show import Time, step
from ironlane.model.fabric import DriftPolicy, PortConfig, Vlan
from ironlane.store import plans, ports
from ironlane.store.attachments import config_to_json
from ironlane.store.database import Store
from ironlane.store.tables import switches
from tests.cli.conftest import Command
from tests.conductor.site import Site
from tests.conductor.test_fabric import sabotage, settled
from tests.conductor.test_foresight import freed, held_by, to_tenant


@pytest.fixture
async def site(store: Store) -> AsyncIterator[Site]:
    made = Site(store)
    await made.furnish()
    async with made.conductor():
        await settled(made)
        yield made


@pytest.fixture(autouse=True)
def service(monkeypatch: pytest.MonkeyPatch, url: str) -> Iterator[None]:
    monkeypatch.setenv("IRONLANE_URL", url)
    return


def lines(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return list(result.output.splitlines())


def sent_in(output: list[str]) -> list[str]:
    """The texts that a plan shows, without its comments."""
    return [line for line in output if line and not line.startswith("#")]


async def test_plan_shows_the_very_texts_that_are_sent(site: Site, ironlane: Command) -> None:
    assert lines(await ironlane("plan")) == ["nothing to send"]
    node, _ = await to_tenant(site)
    await settled(site)
    told = lines(await ironlane("plan", "--node", "node-1", "--to", "cleaning"))
    assert [line for line in told if line.startswith("# gen")] == [
        "# generation 1 of 2, first",
        "# generation 2 of 2, once that was seen done",
    ]
    vlan = site.leaves["leaf-1"].carried["p1"].untagged
    assert next(line.split() for line in told if line.startswith("# p1"))[1:7] == f"p1 VLAN {vlan}, in LAG 1".split()
    since = site.store.now()
    await site.ask(node, "deleted")
    await site.until_state(node, "clean wait", "booted")
    made = [plan for plan in await site.store.read(plans.latest) if plan.created_at > since]
    assert sorted(sent_in(told)) == sorted(text for plan in made for text in plan.rendered)


async def test_plan_names_a_switch_that_does_not_answer(site: Site, ironlane: Command) -> None:
    site.leaves["leaf-2"].unreachable = True
    assert (await ironlane("drift", "--audit")).exit_code == 1
    result = await ironlane("plan")
    assert result.exit_code == 0
    assert "switch leaf-2 cannot be asked: leaf-2 does not answer" in result.output
    result = await ironlane("plan", "--switch", "leaf-2")
    assert (result.exit_code, "leaf-2 does not answer" in result.output) == (1, True)
    result = await ironlane("plan", "--node", "node-9")
    assert (result.exit_code, "target" in result.output) == (1, True)


async def test_drift_in_words(site: Site, ironlane: Command) -> None:
    await site.store.write(lambda tx: tx.execute(switches.update().values(policy=DriftPolicy.REPORT.value)))
    assert lines(await ironlane("drift")) == ["no drift is open"]
    sabotage(site)
    titles, row = lines(await ironlane("drift", "--audit", "--switch", "leaf-1"))
    assert titles.split() == ["FOUND", "AT", "SWITCH", "PORT", "SHOULD", "BE", "WAS", "FOUND", "STATE"]
    assert row.split()[1:] == ["leaf-1", "p5", "shut", "VLAN", "666", "open"]
    await site.store.write(lambda tx: tx.execute(switches.update().values(policy=DriftPolicy.REPAIR.value)))
    assert lines(await ironlane("drift", "--audit")) == ["no drift is open"]
    _, row = lines(await ironlane("drift", "--all"))
    assert row.split()[6] == "repaired"


async def test_history_and_restore(site: Site, ironlane: Command) -> None:
    port, host = await site.tenant_port("red"), "host-1"
    await held_by(site, port, host, 1)
    held, then = site.carried(), site.store.now().isoformat()
    _, *rows = lines(await ironlane("history", "--host", host, "--at", then))
    vlan = str(await site.vlan(port))
    assert [row.split()[1:8] for row in sorted(rows)] == [
        ["-", leaf, "p1", vlan, "1", host, port] for leaf in site.leaves
    ]
    assert len(lines(await ironlane("history", "--at", "-1h"))) == 1
    assert lines(await ironlane("restore", "--at", then)) == ["nothing to restore"]
    await freed(site, port)
    told = lines(await ironlane("restore", "--at", then))
    assert told[1].split()[:4] == ["bind", port, "not", "bound"]
    assert told[-1] == "This is only the plan; --yes does it."
    assert site.carried() == {"leaf-1": {}, "leaf-2": {}}
    told = lines(await ironlane("restore", "--at", then, "--yes"))
    assert told[-1] == "1 network port is to be as then; the switches follow"
    await site.until(lambda tx: ports.get(tx, port).status == "ACTIVE", "back")
    assert site.carried() == held


async def test_restore_stops_at_conflicts(site: Site, ironlane: Command) -> None:
    port = await site.tenant_port("red")
    await held_by(site, port, "host-1", 1)
    then = site.store.now().isoformat()
    await freed(site, port)
    await site.store.write(lambda tx: ports.update(tx, port, {"admin_state_up": False}))
    result = await ironlane("restore", "--at", then, "--yes")
    assert result.exit_code == 1
    assert "administratively down" in result.output
    assert "nothing is done while there are conflicts" in result.output


def test_times() -> None:
    def read(text: str) -> datetime:
        return Time().convert(text, None, None)

    assert abs(read("-15m") - (datetime.now(UTC) - timedelta(minutes=15))) < timedelta(seconds=5)
    assert read("2026-11-22T16:00:00+01:00") == read("2026-11-22T15:00:00Z") == datetime(2026, 11, 22, 15, tzinfo=UTC)
    for wrong in ("", "-15", "yesterday", "-999999w", "0001-01-01T00:00:00+14:00"):
        with pytest.raises(click.BadParameter, match="neither ISO 8601"):
            read(wrong)


def test_a_step_tells_what_differs() -> None:
    idle, carrying = config_to_json(PortConfig(enabled=False)), config_to_json(PortConfig(untagged=Vlan(7)))
    renamed = {**carrying, "description": "x"}
    assert step(idle, carrying) == ("shut", "VLAN 7")
    assert step(carrying, renamed) == ("VLAN 7 (description: )", "VLAN 7 (description: x)")
