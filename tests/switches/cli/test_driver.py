"""The CLI driver against the lab's switches: transactions, lost sessions, locks, refusals, logins, options."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ironlane.lab.by_hand import put_on, undefine
from ironlane.model.errors import Invalid, Permanent, Temporary
from ironlane.model.fabric import Lag, LagMode, PortConfig, PortMode, Vlan
from ironlane.model.plan import Change, Plan, diff
from ironlane.switches.base import Access
from ironlane.switches.cli import CliDriver
from ironlane.switches.cli import driver as driver_module
from ironlane.switches.cli import platform as platforms
from tests.switches.cli.bench import IN_THE_LAB, LEAF, PLATFORMS, Bench

ON_10 = PortConfig(untagged=Vlan(10))
ON_20 = PortConfig(untagged=Vlan(20))
SHUT = PortConfig(enabled=False)
ATOMIC = [name for name in IN_THE_LAB if platforms.load(name).transaction.atomic]


@pytest.fixture
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    bench = await Bench(getattr(request, "param", "arista-eos"), count=2).start()
    yield bench
    await bench.stop()


def on(*platform_names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("bench", platform_names, indirect=True)


@on(*IN_THE_LAB)
async def test_one_plan_is_one_commit_and_survives_a_reboot(bench: Bench) -> None:
    desired = dict.fromkeys(bench.ports, ON_10)
    await bench.converge(desired)
    if bench.platform != "sonic":  # every line counts
        assert bench.switch.commits == 1
    await bench.switch.stop(reboot=True)
    await bench.switch.start()
    assert await bench.driver.observe(bench.ports) == desired


async def test_what_is_not_saved_is_lost_at_a_reboot(bench: Bench) -> None:
    driver = CliDriver(bench.access(save=False))
    await driver.apply(Plan(LEAF, (Change(bench.ports[0], ON_20, ON_10),)))
    await driver.close()
    await bench.switch.stop(reboot=True)
    await bench.switch.start()
    assert (await bench.driver.observe(bench.ports))[bench.ports[0]] == PortConfig(untagged=Vlan(1))


@on(*ATOMIC)
async def test_a_session_lost_at_any_line_leaves_all_or_nothing(bench: Bench) -> None:
    before = dict.fromkeys(bench.ports, ON_20)
    after = dict.fromkeys(bench.ports, replace(ON_10, lag=Lag(3)))
    await bench.converge(before)
    plan = diff(LEAF, after, await bench.driver.observe(bench.ports))
    lines = len(bench.driver.render(plan))
    for at in range(0, lines, 3):
        await bench.driver.observe(bench.ports)
        bench.switch.faults.drop_at = at
        with pytest.raises(Temporary, match="leaf-1: session lost at"):
            await bench.driver.apply(plan)
        bench.switch.faults.drop_at = None
        await bench.switch.sessions_ended()
        seen = await bench.driver.observe(bench.ports)
        assert seen in (before, after)
        if seen == after:
            assert at >= lines - 2, "only the saving was left"
            return
    await bench.converge(after)


@on("cisco-nxos", "sonic")
async def test_what_a_lost_session_left_half_done_is_done_next_time(bench: Bench) -> None:
    before = dict.fromkeys(bench.ports, ON_20)
    after = dict.fromkeys(bench.ports, replace(ON_10, lag=Lag(3)))
    await bench.converge(before)
    lines = len(bench.driver.render(diff(LEAF, after, before)))
    for at in range(1, lines, 4):
        plan = diff(LEAF, after, await bench.driver.observe(bench.ports))
        if not plan:
            break
        bench.switch.faults.drop_at = at
        with contextlib.suppress(Temporary):  # the less is missing, the less there is to lose
            await bench.driver.apply(plan)
            break
        bench.switch.faults.drop_at = None
        await bench.switch.sessions_ended()
    bench.switch.faults.drop_at = None
    await bench.converge(after)


TRUNK = PortConfig(PortMode.TRUNK, Vlan(30), frozenset({Vlan(40), Vlan(41)}))


@on(*(name for name in IN_THE_LAB if name not in ATOMIC))
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (ON_20, replace(ON_10, lag=Lag(3))),
        (replace(TRUNK, lag=Lag(3)), SHUT),
        (replace(ON_10, lag=Lag(3)), replace(TRUNK, lag=Lag(3))),
        (replace(ON_10, lag=Lag(3)), replace(ON_20, lag=Lag(4))),
        (TRUNK, replace(ON_20, lag=Lag(3))),
    ],
)
async def test_what_is_half_done_does_not_read_back_as_done(
    bench: Bench, before: PortConfig, after: PortConfig
) -> None:
    """Cut at every line: what is observed as wanted is what the switch forwards, and the rest is done next time."""
    desired, at = dict.fromkeys(bench.ports, after), 0
    while True:
        await bench.driver.apply(
            diff(LEAF, dict.fromkeys(bench.ports, before), await bench.driver.observe(bench.ports))
        )
        bench.switch.faults.drop_at = None
        plan = diff(LEAF, desired, await bench.driver.observe(bench.ports))
        if at >= len(bench.driver.render(plan)):
            break
        bench.switch.faults.drop_at = at
        with pytest.raises(Temporary):
            await bench.driver.apply(plan)
        bench.switch.faults.drop_at = None
        await bench.switch.sessions_ended()
        seen = await bench.driver.observe(bench.ports)
        for port, config in seen.items():
            if config in (before, after):
                assert bench.forwarding[port] == bench.expected(config), f"{port}, cut at line {at}"
        await bench.driver.apply(diff(LEAF, desired, seen))
        assert await bench.driver.observe(bench.ports) == desired
        assert set(bench.forwarding.values()) == {bench.expected(after)}, f"cut at line {at}, then done"
        at += 1


async def test_a_commit_that_was_not_saved_is_saved_later(bench: Bench) -> None:
    port = bench.ports[0]
    await bench.converge({port: ON_20})
    bench.switch.faults.drop_before.add("write memory")
    with pytest.raises(Temporary):
        await bench.driver.apply(Plan(LEAF, (Change(port, ON_20, ON_10),)))
    bench.switch.faults.drop_before.clear()
    assert await bench.driver.observe([port]) == {port: ON_10}
    await bench.driver.save()
    await bench.switch.stop(reboot=True)
    await bench.switch.start()
    assert await bench.driver.observe([port]) == {port: ON_10}


@on("arista-eos", "cisco-iosxe", "cisco-nxos", "aruba-aoscx")
async def test_a_vlan_that_somebody_took_away_is_defined_again(bench: Bench) -> None:
    desired = {bench.ports[0]: ON_10, bench.ports[1]: TRUNK}
    await bench.converge(desired)
    before = bench.forwarding
    assert undefine(bench.switch, 10)
    assert undefine(bench.switch, 40)
    assert bench.forwarding != before, "the ports are configured as before, and forward less"
    seen = await bench.driver.observe(bench.ports)
    assert [port.inactive for port in seen.values()] == ["not defined: VLAN 10", "not defined: VLAN 40"]
    await bench.driver.apply(diff(LEAF, desired, seen))
    assert await bench.driver.observe(bench.ports) == desired
    assert bench.forwarding == before


@on("cisco-iosxe")
async def test_a_member_that_the_switch_suspends_is_not_as_it_should_be(bench: Bench) -> None:
    desired = dict.fromkeys(bench.ports, replace(ON_10, lag=Lag(3)))
    await bench.converge(desired)
    assert put_on(bench.switch, bench.ports[0], 20)  # by hand, on the member: the LAG is on VLAN 10
    assert not bench.forwarding[bench.ports[0]].enabled
    seen = (await bench.driver.observe(bench.ports))[bench.ports[0]]
    assert "suspended" in seen.inactive
    await bench.driver.apply(diff(LEAF, desired, await bench.driver.observe(bench.ports)))
    assert await bench.driver.observe(bench.ports) == desired
    assert set(bench.forwarding.values()) == {bench.expected(desired[bench.ports[0]])}


@on(*ATOMIC)
async def test_a_refused_line_leaves_nothing_behind(bench: Bench) -> None:
    port = bench.ports[0]
    await bench.converge({port: ON_20})
    bench.switch.faults.refuse.add("the-unwanted")
    plan = Plan(LEAF, (Change(port, ON_20, replace(ON_10, description="the-unwanted")),))
    with pytest.raises(Permanent, match=r"leaf-1: .*the-unwanted.*: .*(nvalid|unknown|Unrecognized|not found)"):
        await bench.driver.apply(plan)
    assert await bench.driver.observe([port]) == {port: ON_20}
    await bench.converge({port: ON_10})


async def test_lines_after_a_refused_one_are_not_sent() -> None:
    bench = await Bench("cisco-iosxe", count=2).start()
    bench.switch.faults.refuse.add("switchport access vlan 10")
    with pytest.raises(Permanent, match="Invalid input detected"):
        await bench.driver.apply(Plan(LEAF, (Change(bench.ports[0], ON_20, ON_10),)))
    at = bench.switch.lines.index("switchport access vlan 10")
    assert bench.switch.lines[at + 1] == "end", "nothing more of the plan; what follows looks at what has become of it"
    await bench.stop()


@on(*(name for name in IN_THE_LAB if name != "aruba-aoscx"))
async def test_a_lock_is_temporary(bench: Bench) -> None:
    port = bench.ports[0]
    before = await bench.driver.observe([port])
    bench.switch.device.lock_refused = True
    with pytest.raises(Temporary, match=r"(?i)lock"):
        await bench.driver.apply(diff(LEAF, {port: ON_10}, before))
    bench.switch.device.lock_refused = False
    await bench.converge({port: ON_10})


async def test_another_users_exclusive_edit_is_temporary() -> None:
    bench = await Bench("juniper-junos").start()
    other = bench.switch.device.login()
    other.execute("configure exclusive")
    with pytest.raises(Temporary, match="database locked by"):
        await bench.driver.apply(Plan(LEAF, (Change(bench.ports[0], SHUT, ON_10),)))
    other.hang_up()
    await bench.converge({bench.ports[0]: ON_10})
    await bench.stop()


@on(*ATOMIC)
async def test_lines_are_typed_ahead_no_further_than_asked(bench: Bench) -> None:
    """Nothing is sent after a refused line is noticed: with little room, little of the plan; with much, more of it."""
    port = bench.ports[0]
    plan = Plan(LEAF, (Change(port, ON_20, replace(ON_10, description="the-unwanted")),))
    bench.switch.faults.refuse.add("the-unwanted")
    sent = {}
    for ahead in (0, 1, 2000):
        driver = CliDriver(bench.access(type_ahead=ahead))
        await driver.observe([port])
        bench.switch.lines.clear()
        with pytest.raises(Permanent, match="the-unwanted"):
            await driver.apply(plan)
        body = bench.switch.lines[: -len(platforms.load(bench.platform).transaction.abort)]
        sent[ahead] = body[body.index(next(line for line in body if "the-unwanted" in line)) + 1 :]
        await driver.close()
    assert sent[0] == sent[1] == []
    assert sent[2000]
    assert (await bench.driver.observe([port]))[port].description != "the-unwanted"


async def test_a_switch_that_hangs_is_given_up(bench: Bench) -> None:
    driver = CliDriver(bench.access(0.5))
    bench.switch.faults.hang.add("switchport mode")
    with pytest.raises(Temporary, match=r"no answer to 'switchport mode access' within 0\.5 s"):
        await driver.apply(Plan(LEAF, (Change(bench.ports[0], ON_20, ON_10),)))
    bench.switch.faults.hang.clear()
    bench.switch.drop()
    assert (await driver.observe(bench.ports[:1]))[bench.ports[0]] == PortConfig(untagged=Vlan(1))
    await driver.close()


async def test_leftovers_of_an_earlier_session_are_not_committed(bench: Bench) -> None:
    other = bench.switch.device.login()
    for line in ("configure session ironlane", f"interface {bench.ports[1]}", "switchport access vlan 66"):
        assert other.execute(line) == ""
    other.hang_up()
    await bench.converge({bench.ports[0]: ON_10})
    assert bench.switch.device.running.interfaces[bench.ports[1]].access == 1


@on("arista-eos", "juniper-junos")
async def test_a_commit_that_was_not_confirmed_is_not_believed(bench: Bench) -> None:
    driver = CliDriver(bench.access(confirm_timeout=90))
    assert driver.capabilities.confirmed_commit
    port = bench.ports[0]
    await driver.apply(Plan(LEAF, (Change(port, ON_20, ON_10),)))
    assert await driver.observe([port]) == {port: ON_10}
    confirm = "configure session ironlane commit" if bench.platform == "arista-eos" else "commit and-quit"
    bench.switch.faults.drop_before.add(confirm)
    with pytest.raises(Temporary, match="session lost"):
        await driver.apply(Plan(LEAF, (Change(port, ON_10, ON_20),)))
    bench.switch.faults.drop_before.clear()
    assert bench.forwarding[port].pvid == 20
    with pytest.raises(Temporary, match="a commit waits to be confirmed"):
        await driver.observe([port])
    waiting = bench.switch.device.waiting  # type: ignore[attr-defined]
    timer = waiting[1] if isinstance(waiting, tuple) else waiting
    timer._run()  # the time is over
    timer.cancel()
    assert bench.forwarding[port].pvid == 10
    assert await driver.observe([port]) == {port: ON_10}
    await driver.close()


async def test_enabling_with_a_password_that_shows_up_nowhere() -> None:
    bench = await Bench("cisco-iosxe", switch_options={"enable_password": "admin"}).start()
    await bench.converge({bench.ports[0]: ON_10})
    assert "admin" not in bench.switch.lines
    await bench.stop()
    bench = await Bench("cisco-iosxe", switch_options={"enable_password": "another"}).start()
    with pytest.raises(Permanent, match="'enable' did not help user 'admin'"):
        await bench.driver.observe(bench.ports)
    await bench.stop()


async def test_host_key_and_password_are_checked(bench: Bench) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ"
    with pytest.raises(Permanent, match="host key is not the one we know"):
        await CliDriver(bench.access(host_key=key)).observe([])
    with pytest.raises(Permanent, match="login of user 'admin' refused") as caught:
        await CliDriver(bench.access(10.0, "wr0ng-secret")).observe([])
    assert "wr0ng-secret" not in str(caught.value)


async def test_a_line_that_looks_like_a_prompt_is_not_taken_for_one(bench: Bench) -> None:
    bench.switch.device.running.interfaces[bench.ports[0]].description = "spine-1# "
    bench.switch.device.running.interfaces[bench.ports[1]].description = "leaf-1(config)#x"
    seen = await bench.driver.observe(bench.ports)
    assert [config.description for config in seen.values()] == ["spine-1#", "leaf-1(config)#x"]


@on(*IN_THE_LAB)
async def test_a_refused_question_is_not_an_empty_switch(bench: Bench) -> None:
    bench.switch.faults.refuse.add(platforms.load(bench.platform).read[-1].command)
    with pytest.raises(Permanent, match=r"leaf-1: '(show|nv|sudo) "):
        await bench.driver.observe(bench.ports)


async def test_an_endless_answer_is_refused(bench: Bench) -> None:
    with pytest.raises(Permanent, match="longer than `max_answer`"):
        await CliDriver(bench.access(max_answer=100)).observe(bench.ports)


@on(*IN_THE_LAB)
async def test_ports_that_the_switch_does_not_have(bench: Bench) -> None:
    missing = bench.ports[0][:-1] + "9"
    assert set(await bench.driver.observe([bench.ports[0], missing, "no such port"])) == {bench.ports[0]}
    with pytest.raises(Permanent):
        await bench.driver.apply(Plan(LEAF, (Change(missing, SHUT, ON_10),)))


@on("cisco-nxos")
async def test_a_long_list_of_vlans_takes_more_than_one_line(bench: Bench) -> None:
    tagged = frozenset(Vlan(vlan) for vlan in range(3, 600, 2))
    await bench.converge({bench.ports[0]: PortConfig(PortMode.TRUNK, Vlan(2), tagged)})
    assert sum("allowed vlan add" in line for line in bench.switch.lines) > 3
    assert max(map(len, bench.switch.lines)) < 255
    await bench.converge({bench.ports[0]: ON_10})


@pytest.mark.parametrize("name", ["Ethernet1\nreload", "Ethernet1 ; reload", "ethernet1", "Port-Channel1", ""])
def test_no_other_text_than_a_ports_name_gets_into_a_line(name: str) -> None:
    driver = CliDriver(Access(LEAF, "192.0.2.1", options={"platform": "arista-eos"}))
    with pytest.raises(Permanent, match="not a port that can be managed on Arista EOS"):
        driver.render(Plan(LEAF, (Change(name, SHUT, ON_10),)))


@pytest.mark.parametrize(
    ("platform", "config", "reason"),
    [
        ("cisco-nxos", PortConfig(untagged=Vlan(4000)), "takes VLANs 1 to 3967"),
        ("sonic", PortConfig(untagged=Vlan(1)), "takes VLANs 2 to 4094"),
        ("arista-eos", PortConfig(untagged=Vlan(5), tagged=frozenset({Vlan(6)})), "no tagged VLANs"),
        ("arista-eos", PortConfig(PortMode.TRUNK, Vlan(5), frozenset({Vlan(5)})), "both tagged and untagged"),
        ("juniper-junos", PortConfig(PortMode.TRUNK), "no trunk without VLANs"),
        ("arista-eos", PortConfig(), "would put it on VLAN 1"),
        ("arista-eos", PortConfig(PortMode.TRUNK, None, frozenset({Vlan(1)})), "carry VLAN 1 untagged"),
        ("dell-os10", PortConfig(PortMode.TRUNK, None, frozenset({Vlan(9)})), "carry VLAN 1 untagged"),
        ("arista-eos", PortConfig(untagged=Vlan(1), enabled=False), "cannot be told"),
        ("arista-eos", replace(ON_10, description="what?"), "cannot keep the description"),
        ("arista-eos", replace(ON_10, description="one\nreload"), "cannot keep the description"),
        ("sonic", replace(ON_10, description="it's"), "cannot keep the description"),
        ("sonic", replace(ON_10, description="`reboot`"), "cannot keep the description"),
        ("sonic", replace(ON_10, description="$(reboot)'"), "cannot keep the description"),
        ("aruba-aoscx", replace(ON_10, description="x" * 65), "cannot keep the description"),
        ("cisco-iosxe", replace(ON_10, lag=Lag(129)), "numbers LAGs 1 to 128"),
        ("sonic", replace(ON_10, lag=Lag(1, LagMode.STATIC)), "no static LAGs"),
        ("arista-eos", replace(ON_10, lag=Lag(1, LagMode.STATIC, fallback=True)), "LACP settings"),
        ("nvidia-cumulus", replace(ON_10, lag=Lag(1, min_links=2)), "no min-links"),
    ],
)
def test_what_cannot_be_written_is_refused_before_it_is_sent(platform: str, config: PortConfig, reason: str) -> None:
    driver = CliDriver(Access(LEAF, "192.0.2.1", options={"platform": platform}))
    port = Bench(platform).ports[0]
    with pytest.raises(Permanent, match=reason):
        driver.render(Plan(LEAF, (Change(port, SHUT, config),)))


def test_members_of_one_lag_that_contradict_each_other_are_refused() -> None:
    driver = CliDriver(Access(LEAF, "192.0.2.1", options={"platform": "arista-eos"}))
    changes = [Change(f"Ethernet{vlan}", SHUT, PortConfig(untagged=Vlan(vlan), lag=Lag(3))) for vlan in (10, 11)]
    with pytest.raises(Permanent, match="LAG 3: port Ethernet11 contradicts"):
        driver.render(Plan(LEAF, tuple(changes)))


def test_an_empty_plan_is_nothing_to_send() -> None:
    assert CliDriver(Access(LEAF, "192.0.2.1", options={"platform": "sonic"})).render(Plan(LEAF)) == ()


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({}, "platform"),
        ({"platform": "nortel"}, "platform"),
        ({"platform": "sonic", "platform_file": "x"}, "platform"),
        ({"platform_file": "/nowhere.yaml"}, "platform_file"),
        ({"platform": "sonic", "pipe": 1}, "pipe"),
        ({"platform": "sonic", "save": "no"}, "save"),
        ({"platform": "sonic", "commit_timeout": -1}, "commit_timeout"),
        ({"platform": "sonic", "confirm_timeout": 60}, "confirm_timeout"),
    ],
)
def test_options_are_checked(options: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid, match=f"options.{field}"):
        CliDriver(Access(LEAF, "192.0.2.1", options=options))


FILE = Path(platforms.__file__).parent / "platforms" / "arista-eos.yaml"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("title: Arista EOS", "titel: Arista EOS", "title: Field required"),
        ("{vlans}", "{vlan}", "no value 'vlan'"),
        ("if fallback:", "if fall:", "expected `if`, `unless` or `each`"),
        ("(?P<rate>fast)", "(?P<speed>fast)", "no fact speed"),
        ("vlans: 1-4094", "vlans: 0-4095", "is not a range"),
        ("title: Arista EOS", "title: [", "while parsing"),
    ],
)
def test_a_slip_in_a_platform_file_is_told_by_its_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(FILE.read_text().replace(old, new, 1))
    with pytest.raises(Invalid, match=f"mine.yaml: .*{said}"):
        CliDriver(Access(LEAF, "192.0.2.1", options={"platform_file": str(path)}))


async def test_a_platform_file_of_ones_own(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(FILE.read_text())
    driver = CliDriver(bench.access(platform="", platform_file=str(path)))
    assert len(await driver.observe(bench.ports)) == 2
    await driver.close()


def test_capabilities_are_those_of_the_files() -> None:
    able = {name: driver_module.capabilities(platforms.load(name)) for name in PLATFORMS}
    assert {name for name, c in able.items() if c.atomic_commit} == {
        "arista-eos",
        "dell-os10",
        "juniper-junos",
        "nvidia-cumulus",
    }
    assert {name for name, c in able.items() if not c.static_lag} == {"sonic"}
    assert able["cisco-iosxe"].lag_numbers == range(1, 129)
