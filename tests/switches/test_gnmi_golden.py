"""Golden files: a plan → the exact SetRequests; answers to Get → port configs. IRONLANE_GOLDEN=write renews the former.

Plans and port configs are those of the NETCONF driver: one translation, two encodings.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import text_format

from ironlane.model.errors import Invalid, Permanent
from ironlane.model.fabric import PortConfig, SwitchId, Vlan
from ironlane.model.plan import Change, Plan
from ironlane.protobuf import gnmi_pb2 as pb
from ironlane.switches.base import Access
from ironlane.switches.gnmi import GnmiDriver, read, write
from ironlane.switches.gnmi.names import GnmiDialect
from tests.switches.test_openconfig_golden import load_plan, port_config

OPENCONFIG = Path(__file__).parent / "golden" / "openconfig"
GOLDEN = Path(__file__).parent / "golden" / "gnmi"
PLANS = sorted(path.stem for path in OPENCONFIG.glob("plan-*.yaml"))


def driver(**options: Any) -> GnmiDriver:
    return GnmiDriver(Access(SwitchId("leaf-1"), "192.0.2.1", options=options))


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_becomes_exactly_these_requests(name: str) -> None:
    plan, members, options = load_plan(OPENCONFIG / f"{name}.yaml")
    made = driver(**options)
    made._members = members
    text = "\n\n".join(made.render(plan)) + "\n"
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("IRONLANE_GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("name", PLANS)
def test_the_text_is_the_whole_request(name: str) -> None:
    plan, members, options = load_plan(OPENCONFIG / f"{name}.yaml")
    dialect = GnmiDialect.from_options({**options, "target": "OC-YANG", "origin": "openconfig"})
    for confirm in (False, True):
        for request in write.requests(plan, members, dialect, confirm=confirm):
            assert text_format.Parse(write.text(request), pb.SetRequest()) == request


def test_quotes_and_backslashes_survive_in_the_text() -> None:
    odd = PortConfig(untagged=Vlan(5), description="""it's "odd" \\ näive""")
    plan = Plan(SwitchId("leaf-1"), (Change("Ethernet1", PortConfig(), odd),))
    (request,) = write.requests(plan, {}, GnmiDialect(), confirm=False)
    assert text_format.Parse(write.text(request), pb.SetRequest()) == request


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("observe-*.txt")), ids=lambda path: path.stem)
def test_an_answer_becomes_exactly_these_port_configs(path: Path) -> None:
    case = yaml.safe_load((OPENCONFIG / f"{path.stem}.yaml").read_text())
    expected = {name: port_config(fields) for name, fields in case["ports"].items()}
    answer = text_format.Parse(path.read_text(), pb.GetResponse())
    seen = read.observation([answer], [*expected, "Ethernet99"], GnmiDialect())
    assert seen.ports == expected
    assert seen.members == case["members"]


@pytest.mark.parametrize(
    "value", ["json_ietf_val: '{'", "json_ietf_val: '7'", "proto_bytes: 'x'"], ids=["broken", "no object", "binary"]
)
def test_what_is_no_answer_is_not_taken_for_one(value: str) -> None:
    where = "path { elem { name: 'x' } elem { name: 'y' key {} } }"
    text = f"notification {{ update {{ {where} val {{ {value} }} }} }}"
    answer = text_format.Parse(text, pb.GetResponse())
    with pytest.raises(ValueError, match=r"Expecting|in place of an object|proto_bytes"):
        read.observation([answer], ["Ethernet1"], GnmiDialect())


def test_an_empty_plan_is_nothing_to_send() -> None:
    assert driver().render(Plan(SwitchId("leaf-1"))) == ()


def test_what_cannot_be_written_is_refused_before_it_is_sent() -> None:
    plan = Plan(SwitchId("leaf-1"), (Change("Ethernet1", PortConfig(), PortConfig(untagged=Vlan(5000))),))
    with pytest.raises(Permanent, match=r"Ethernet1: VLAN ids \[\d+\] are outside 1 to 4094"):
        driver().render(plan)


@pytest.mark.parametrize(
    "options",
    [
        {"lag_nam": "x{number}"},
        {"validate": False},
        {"target": 7},
        {"confirm_timeout": 0},
        {"tls": "no"},
        {"tls_verify": False},
        {"tls_key": "/etc/key.pem"},
        {"tls": False},
    ],
)
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match=f"options.{next(iter(options))}"):
        driver(**options)
