"""The gNMI driver against the lab's gNMI server: round trips, lost connections, refusals, TLS, other writers."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings

from ironlane.lab import by_hand
from ironlane.lab.forwarding import PortForwarding
from ironlane.lab.gnmi.server import Certificate
from ironlane.lab.netconf.schema import MODULES
from ironlane.model.errors import Invalid, Permanent, Temporary
from ironlane.model.fabric import Lag, PortConfig, Vlan
from ironlane.model.plan import Change, Plan, diff
from ironlane.protobuf import gnmi_pb2 as pb
from ironlane.switches.gnmi import GnmiDriver
from tests.switches.gnmi_bench import LEAF, PORTS, SHUT, Bench
from tests.switches.test_openconfig_lab import expected_forwarding, switches


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = await Bench().start()
    yield bench
    await bench.stop()


@pytest.fixture(scope="module", params=[{}, {"confirmed_commit": False}], ids=["confirmed", "outright"])
def rounds(request: pytest.FixtureRequest) -> Iterator[tuple[asyncio.Runner, Bench]]:
    with asyncio.Runner() as runner:
        bench = runner.run(Bench(server_options=request.param).start())
        yield runner, bench
        runner.run(bench.stop())


@settings(max_examples=20, deadline=None)
@given(first=switches(), second=switches())
def test_what_is_applied_is_read_back_and_its_inverse_leads_back(
    rounds: tuple[asyncio.Runner, Bench], first: dict[str, PortConfig], second: dict[str, PortConfig]
) -> None:
    runner, bench = rounds

    async def scenario() -> None:
        await bench.converge(first)
        plan = await bench.converge(second)
        assert dict(bench.forwarding) == {port: expected_forwarding(config) for port, config in second.items()}
        await bench.driver.apply(plan)
        assert await bench.driver.observe(PORTS) == second
        await bench.driver.apply(plan.inverse)
        assert await bench.driver.observe(PORTS) == first
        assert dict(bench.forwarding) == {port: expected_forwarding(config) for port, config in first.items()}

    runner.run(scenario())


def aggregates(bench: Bench) -> set[str]:
    running = bench.server.configuration.read("running")
    return {e.text or "" for e in running.iter("{http://openconfig.net/yang/interfaces}name")} - set(PORTS)


def one_vlan(vlan: int, port: str = "Ethernet1") -> Plan:
    return Plan(LEAF, (Change(port, SHUT, PortConfig(untagged=Vlan(vlan))),))


async def test_one_plan_is_one_commit(bench: Bench) -> None:
    await bench.converge({port: PortConfig(untagged=Vlan(10)) for port in PORTS})
    assert bench.server.commits == 1
    assert [len(request.extension) for request in bench.server.received] == [1, 1]


async def test_a_switch_that_ignores_the_extension_is_sent_one_set(bench: Bench) -> None:
    bench.server.confirmed_commit = False
    await bench.converge({"Ethernet1": PortConfig(untagged=Vlan(10))})
    assert [len(request.extension) for request in bench.server.received] == [0]


async def test_ports_that_the_switch_does_not_have_are_left_out(bench: Bench) -> None:
    assert await bench.driver.observe(["Ethernet1", "Ethernet99"]) == {"Ethernet1": SHUT}


async def test_an_answer_that_is_the_same_is_not_read_again(bench: Bench) -> None:
    desired = {"Ethernet1": PortConfig(untagged=Vlan(10))}
    await bench.converge(desired)
    seen = await bench.driver.observe(desired)
    assert await bench.driver.observe(desired) is seen
    assert (await bench.driver.observe(PORTS)).keys() == set(PORTS)
    other = GnmiDriver(bench.access())
    await other.apply(Plan(LEAF, (Change("Ethernet1", desired["Ethernet1"], SHUT),)))
    await other.close()
    assert await bench.driver.observe(desired) == {"Ethernet1": SHUT}


async def test_a_lag_goes_with_its_last_member_and_not_before(bench: Bench) -> None:
    bundled = PortConfig(untagged=Vlan(10), lag=Lag(5))
    await bench.converge({"Ethernet1": bundled, "Ethernet2": bundled})
    fresh = GnmiDriver(bench.access())
    await fresh.apply(Plan(LEAF, (Change("Ethernet1", bundled, SHUT),)))
    assert aggregates(bench) == {"Port-Channel5"}
    assert bench.forwarding["Ethernet2"].pvid == 10
    await fresh.apply(Plan(LEAF, (Change("Ethernet2", bundled, SHUT),)))
    await fresh.close()
    assert aggregates(bench) == set()


async def test_a_lag_with_members_of_others_is_told_and_not_touched(bench: Bench) -> None:
    own, strange = "Ethernet1", "Ethernet4"
    operator = GnmiDriver(bench.access())
    theirs = {strange: PortConfig(untagged=Vlan(10), lag=Lag(1))}
    await operator.apply(diff(LEAF, theirs, await operator.observe(theirs)))
    before = await bench.driver.observe([own])
    assert set(bench.driver.foreign_lags()) == {1}
    wrong = diff(LEAF, {own: PortConfig(untagged=Vlan(10), lag=Lag(1))}, before)
    for _ in range(2):
        with pytest.raises(Permanent, match=r"Port-Channel1 is not touched: .*\(Ethernet4\)"):
            await bench.driver.apply(wrong)
    await bench.driver.apply(diff(LEAF, {own: PortConfig(untagged=Vlan(10), lag=Lag(2))}, before))
    await bench.driver.observe([own])
    assert set(bench.driver.foreign_lags()) == {1}
    assert await operator.observe(theirs) == theirs
    await operator.close()


async def test_what_comes_later_is_foreseen(bench: Bench) -> None:
    bundled = PortConfig(untagged=Vlan(10), lag=Lag(5))
    await bench.converge({"Ethernet1": bundled, "Ethernet2": bundled})
    leave = [Plan(LEAF, (Change(port, bundled, SHUT),)) for port in ("Ethernet1", "Ethernet2")]
    foreseen = bench.driver.render_after(leave[1], [leave[0]])
    assert bench.driver.render(leave[1]) != foreseen
    await bench.driver.apply(leave[0])
    assert bench.driver.render(leave[1]) == foreseen
    assert await bench.driver.observe(["Ethernet1"]) == {"Ethernet1": SHUT}


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", ["commit", "confirm"])
async def test_a_connection_lost_at_any_step_leaves_all_or_nothing(bench: Bench, step: str, moment: str) -> None:
    desired = {"Ethernet1": PortConfig(untagged=Vlan(10), lag=Lag(3)), "Ethernet2": PortConfig(untagged=Vlan(11))}
    plan = diff(LEAF, desired, await bench.driver.observe(desired))
    drops = bench.server.faults.drop_before if moment == "before" else bench.server.faults.drop_after
    drops.add(step)
    with pytest.raises(Temporary, match="leaf-1"):
        await bench.driver.apply(plan)
    drops.clear()
    confirmed = (step, moment) == ("confirm", "after")
    assert await bench.driver.observe(desired) == (desired if confirmed else dict.fromkeys(desired, SHUT))
    assert bench.forwarding["Ethernet2"].pvid == (11 if confirmed else 1)
    await bench.converge(desired)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_an_outright_set_whose_answer_is_lost_is_read_again(bench: Bench, moment: str) -> None:
    bench.server.confirmed_commit = False
    desired = {"Ethernet1": PortConfig(untagged=Vlan(10))}
    await bench.driver.observe(desired)
    getattr(bench.server.faults, f"drop_{moment}").add("set")
    with pytest.raises(Temporary):
        await bench.driver.apply(one_vlan(10))
    getattr(bench.server.faults, f"drop_{moment}").clear()
    assert await bench.driver.observe(desired) == (desired if moment == "after" else dict.fromkeys(desired, SHUT))


@pytest.mark.parametrize("step", ["commit", "confirm"])
async def test_a_refusal_at_any_step_leaves_nothing_behind(bench: Bench, step: str) -> None:
    assert await bench.driver.observe(["Ethernet1"]) == {"Ethernet1": SHUT}
    bench.server.faults.refuse[step] = grpc.StatusCode.ABORTED
    with pytest.raises(Permanent, match=rf"leaf-1: Set: {step} refused by the lab \(ABORTED\)"):
        await bench.driver.apply(one_vlan(10))
    assert bench.server.configuration.waiting is None
    assert bench.forwarding["Ethernet1"].pvid == 1
    bench.server.faults.refuse.clear()
    await bench.converge({"Ethernet1": PortConfig(untagged=Vlan(20))})


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, Temporary),
        (grpc.StatusCode.DEADLINE_EXCEEDED, Temporary),
        (grpc.StatusCode.ABORTED, Temporary),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Temporary),
        (grpc.StatusCode.PERMISSION_DENIED, Permanent),
        (grpc.StatusCode.UNAUTHENTICATED, Permanent),
        (grpc.StatusCode.INTERNAL, Permanent),
        (grpc.StatusCode.NOT_FOUND, Permanent),
    ],
)
async def test_what_a_switch_answers_is_temporary_or_permanent(bench: Bench, code: Any, kind: type[Exception]) -> None:
    bench.server.faults.refuse["get"] = code
    with pytest.raises(kind, match="leaf-1: Get"):
        await bench.driver.observe(PORTS)


async def test_one_bad_port_leaves_the_others_as_they_were(bench: Bench) -> None:
    plan = Plan(LEAF, (*one_vlan(10).changes, *one_vlan(10, "Ethernet99").changes))
    with pytest.raises(Permanent, match=r"no such interface.*Ethernet99 at /oc-if:interfaces.*INVALID_ARGUMENT"):
        await bench.driver.apply(plan)
    assert bench.forwarding["Ethernet1"] == PortForwarding(enabled=False, pvid=1)
    await bench.converge({"Ethernet1": PortConfig(untagged=Vlan(10))})


async def test_a_vlan_that_is_not_defined_is_refused_with_the_switchs_words(bench: Bench) -> None:
    driver = GnmiDriver(bench.access(create_vlans=False))
    with pytest.raises(Permanent, match=r"VLAN 10 is not defined.*access-vlan \(FAILED_PRECONDITION\)"):
        await driver.apply(one_vlan(10))
    await driver.close()


async def test_a_switch_that_hangs_is_given_up(bench: Bench) -> None:
    driver = GnmiDriver(bench.access(timeout=0.5))
    await driver.observe(PORTS)
    bench.server.faults.hang.add("commit")
    with pytest.raises(Temporary, match=r"leaf-1: Set: no answer within 0\.5 s"):
        await driver.apply(one_vlan(10))
    bench.server.faults.hang.clear()
    assert await driver.observe(["Ethernet1"]) == {"Ethernet1": SHUT}
    await driver.close()


async def test_cancelling_an_apply_rolls_back(bench: Bench) -> None:
    await bench.driver.observe(PORTS)
    bench.server.faults.hang.add("confirm")
    committed = asyncio.Event()
    told = bench.on_running

    def on_running(config: Mapping[str, PortForwarding]) -> None:
        told(config)
        committed.set()

    bench.server.configuration._on_running = on_running
    apply = asyncio.create_task(bench.driver.apply(one_vlan(10)))
    await committed.wait()
    assert bench.forwarding["Ethernet1"].pvid == 10
    apply.cancel()
    with pytest.raises(asyncio.CancelledError):
        await apply
    assert await bench.driver.observe(["Ethernet1"]) == {"Ethernet1": SHUT}
    assert bench.forwarding["Ethernet1"].pvid == 1


async def test_a_commit_that_nobody_confirms_is_undone_by_the_switch(bench: Bench) -> None:
    driver = GnmiDriver(bench.access(confirm_timeout=1))
    await driver.observe(PORTS)
    bench.server.faults.drop_before |= {"confirm", "cancel"}  # as if the conductor died in between
    with pytest.raises(Temporary):
        await driver.apply(one_vlan(10))
    assert bench.server.configuration.waiting is not None
    bench.server.faults.drop_before.clear()
    with pytest.raises(Temporary, match="a commit waits to be confirmed"):
        await bench.driver.observe(PORTS)  # another life of the conductor believes nothing meanwhile
    undone = asyncio.Event()
    bench.server.configuration._on_running = lambda _: undone.set()
    await asyncio.wait_for(undone.wait(), 30)
    assert await bench.driver.observe(["Ethernet1"]) == {"Ethernet1": SHUT}
    await driver.close()


async def test_two_drivers_that_compete_leave_the_plan_of_one(bench: Bench) -> None:
    other = GnmiDriver(bench.access())
    pairs = [(bench.driver, 10), (other, 20)]
    for driver, _ in pairs:
        await driver.observe(PORTS)
    bundle = {vlan: PortConfig(untagged=Vlan(vlan), lag=Lag(vlan)) for _, vlan in pairs}
    plans = [Plan(LEAF, tuple(Change(port, SHUT, bundle[vlan]) for port in PORTS)) for _, vlan in pairs]
    results = await asyncio.gather(
        *(driver.apply(plan) for (driver, _), plan in zip(pairs, plans, strict=True)), return_exceptions=True
    )
    assert any(result is None for result in results)
    assert all(result is None or isinstance(result, Temporary) for result in results), results
    assert set(bench.forwarding.values()) in ({expected_forwarding(config)} for config in bundle.values())
    await other.close()


async def test_a_driver_that_lags_behind_cannot_take_a_lag_from_others(bench: Bench) -> None:
    bundled = PortConfig(untagged=Vlan(10), lag=Lag(5))
    await bench.converge({"Ethernet1": bundled})
    other = GnmiDriver(bench.access())
    await other.observe(PORTS)
    await other.apply(Plan(LEAF, (Change("Ethernet2", SHUT, bundled),)))
    with pytest.raises(Permanent, match=r"Port-Channel5 does not exist.*FAILED_PRECONDITION"):
        await bench.driver.apply(Plan(LEAF, (Change("Ethernet1", bundled, SHUT),)))
    assert {bench.forwarding[port].pvid for port in ("Ethernet1", "Ethernet2")} == {10}
    await bench.driver.apply(Plan(LEAF, (Change("Ethernet1", bundled, SHUT),)))  # it has read the switch again
    assert aggregates(bench) == {"Port-Channel5"}
    await other.close()


async def test_a_restarted_switch_is_found_again(bench: Bench) -> None:
    desired = {"Ethernet1": PortConfig(untagged=Vlan(10))}
    await bench.converge(desired)
    await bench.server.stop()
    for _ in range(2):
        with pytest.raises(Temporary, match=r"leaf-1: .*UNAVAILABLE"):
            await bench.driver.observe(desired)
    await bench.server.start()
    assert await bench.driver.observe(desired) == desired


async def test_a_login_that_is_not_accepted_is_permanent_and_not_told(bench: Bench) -> None:
    driver = GnmiDriver(bench.access(secret="not-the-secret"))
    with pytest.raises(Permanent, match="UNAUTHENTICATED") as caught:
        await driver.observe(PORTS)
    assert "not-the-secret" not in str(caught.value)
    driver = GnmiDriver(bench.access(secret="päss"))
    with pytest.raises(Permanent, match="its password is not plain ASCII"):
        await driver.observe(PORTS)


@pytest.mark.parametrize(
    "lacking",
    [
        {"config_type": False},
        {"absent": grpc.StatusCode.NOT_FOUND},
        {"config_type": False, "absent": grpc.StatusCode.NOT_FOUND},
        {"strict": False},
        {"models": [uri for uri in MODULES if "openconfig-lacp" not in uri]},
        {"encodings": [pb.JSON, pb.JSON_IETF]},
    ],
    ids=str,
)
async def test_switches_that_can_do_less(lacking: dict[str, Any]) -> None:
    bench = await Bench(server_options=lacking).start()
    await bench.converge({"Ethernet1": PortConfig(untagged=Vlan(10))})
    await bench.converge({"Ethernet2": PortConfig(untagged=Vlan(10), lag=Lag(4))})
    await bench.stop()


async def test_a_target_is_named_where_it_is_wanted() -> None:
    bench = await Bench(server_options={"target": "OC-YANG"}).start()
    with pytest.raises(Permanent, match="no target ''"):
        await bench.driver.observe(PORTS)
    bench.driver = GnmiDriver(bench.access(target="OC-YANG", origin="openconfig"))
    await bench.converge({"Ethernet1": PortConfig(untagged=Vlan(10))})
    assert {request.prefix.target for request in bench.server.received} == {"OC-YANG"}
    await bench.stop()


@pytest.mark.parametrize(
    ("lacking", "reason"),
    [
        ({"encodings": [pb.JSON]}, "without the encoding JSON_IETF, only JSON"),
        ({"models": MODULES[:1]}, "without openconfig-vlan"),
    ],
)
async def test_switches_that_can_do_too_little_are_refused(lacking: dict[str, Any], reason: str) -> None:
    bench = await Bench(server_options=lacking).start()
    for _ in range(2):
        with pytest.raises(Permanent, match=reason):
            await bench.driver.observe(PORTS)
    await bench.stop()


async def test_an_answer_that_is_too_long_is_refused(bench: Bench) -> None:
    driver = GnmiDriver(bench.access(max_message=100))
    with pytest.raises(Permanent, match="see option max_message"):
        await driver.observe(PORTS)
    await driver.close()


# --- TLS --------------------------------------------------------------------------------------------------------------


def certificate(name: str) -> Certificate:
    """One that signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    return Certificate(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain),
        made.public_bytes(serialization.Encoding.PEM),
    )


async def test_the_certificate_is_verified(tmp_path: Path) -> None:
    shown, other = certificate("leaf-1.example"), certificate("leaf-1.example")
    for name, one in (("shown", shown), ("other", other)):
        (tmp_path / name).write_bytes(one.chain)
    bench = await Bench({"tls_ca": str(tmp_path / "shown")}, {"certificate": shown}).start()
    for options, reason in (
        (
            {},
            r"leaf-1: Capabilities: .*Hostname Verification Check failed.*tls_server_name",
        ),  # the name is not the address
        ({"tls_server_name": "leaf-1.example", "tls_ca": str(tmp_path / "other")}, "CERTIFICATE_VERIFY_FAILED"),
        ({"tls_server_name": "leaf-1.example", "tls_ca": ""}, "CERTIFICATE_VERIFY_FAILED"),
        ({"tls_server_name": "leaf-1.example", "tls_ca": str(tmp_path / "none")}, "TLS files cannot be used"),
    ):
        driver = GnmiDriver(bench.access(**options))
        with pytest.raises(Permanent, match=reason):
            await driver.observe(PORTS)
        await driver.close()
    assert bench.server.requests == 0, "nobody that is not known gets the password"
    bench.driver = GnmiDriver(bench.access(tls_server_name="leaf-1.example"))
    await bench.converge({"Ethernet1": PortConfig(untagged=Vlan(10))})
    await bench.stop()


async def test_plain_text_to_a_tls_switch_and_the_reverse_do_not_fall_back(bench: Bench, tmp_path: Path) -> None:
    driver = GnmiDriver(bench.access(tls=True))
    with pytest.raises(Temporary, match="UNAVAILABLE"):
        await driver.observe(PORTS)
    await driver.close()
    assert bench.server.requests == 0


def test_plain_text_is_for_this_machine_only() -> None:
    access = Bench().access()
    GnmiDriver(access)
    with pytest.raises(Invalid, match=r"options\.tls: plain text is for this machine only, not for 192\.0\.2\.1"):
        GnmiDriver(type(access)(LEAF, "192.0.2.1", options={"tls": False}))


async def test_a_vlan_that_is_gone_from_under_a_port_is_seen_and_defined_again() -> None:
    bench = await Bench(server_options={"strict": False}).start()
    desired = {"Ethernet1": PortConfig(untagged=Vlan(10)), "Ethernet2": PortConfig(untagged=Vlan(11), lag=Lag(3))}
    try:
        await bench.converge(desired)
        assert by_hand.undefine(bench.server, 11)
        seen = await bench.driver.observe(desired)
        assert {port: config.inactive for port, config in seen.items()} == {
            "Ethernet1": "",
            "Ethernet2": "not defined: VLAN 11",
        }
        await bench.converge(desired)
        assert bench.forwarding["Ethernet2"].pvid == 11
    finally:
        await bench.stop()
