"""The policy's table: what its page says of it, and how its rules are asked."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from ironlane.model import policy
from ironlane.model.caller import INTERNAL, Caller
from ironlane.model.errors import Forbidden
from ironlane.model.policy import RULES, Grant, Target

MEMBER = Caller(project_id="red", roles=frozenset({"member"}))
READER = Caller(project_id="red", roles=frozenset({"reader"}))
STRANGER = Caller(project_id="", roles=frozenset({"member"}))
AUDITOR = Caller(roles=frozenset({"reader"}), is_system=True)
NOVA = Caller(project_id="services", roles=frozenset({"service"}))


def test_the_page_says_what_the_table_says() -> None:
    generator = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "generate-policy"))
    text = generator["PAGE"].read_text(encoding="utf-8")
    assert text == generator["page"](), "run scripts/generate-policy"


def test_every_line_has_admins_and_no_name_twice_the_same_grant() -> None:
    for name, grants in RULES.items():
        assert Grant.ADMIN in grants, name
        assert len(set(grants)) == len(grants), name


def test_who_owns_nothing_gets_nothing_that_is_nobodys() -> None:
    """Things of no project (provision ports, nodes without an owner) are not those of a caller without a project."""
    for name in RULES:
        assert not policy.allowed(STRANGER, name, Target()), name
        assert not policy.possible(STRANGER, name), name


def test_a_member_in_its_project_and_another() -> None:
    assert policy.allowed(MEMBER, "update_port", Target(project="red"))
    assert not policy.allowed(MEMBER, "update_port", Target(project="blue", network_project="red"))
    assert policy.allowed(MEMBER, "delete_port", Target(project="blue", network_project="red"))
    assert not policy.allowed(READER, "update_port", Target(project="red"))
    assert policy.allowed(READER, "get_port", Target(project="red"))


def test_system_readers_see_everything_and_change_nothing() -> None:
    for name in RULES:
        if name == "baremetal:node:get_console":
            continue  # what it would show is a way in
        reads = ":get" in name or name.startswith("get_") or name.endswith(":list")
        assert policy.allowed(AUDITOR, name, Target(project="red")) is reads, name


@pytest.mark.parametrize("name", ["create_something", "baremetal:node:explode", ""])
def test_what_has_no_line_is_for_admins(name: str) -> None:
    assert policy.allowed(INTERNAL, name)
    assert not policy.allowed(NOVA, name)
    assert not policy.allowed(MEMBER, name, Target("red", "red", True, "red", "red"))


def test_attributes_have_rules_of_their_own() -> None:
    policy.require(MEMBER, "create_network", Target(project="red"), ["name", "description"])
    with pytest.raises(Forbidden, match="rule:create_network:shared is disallowed by policy"):
        policy.require(MEMBER, "create_network", Target(project="red"), ["name", "shared"])
    with pytest.raises(Forbidden, match=r"rule:baremetal:node:update:\* is"):
        policy.require(MEMBER, "baremetal:node:update", Target(owner="red"), ["driver_info"])
    policy.require(MEMBER, "baremetal:node:update", Target(lessee="red"), ["instance_info"])


def test_what_is_hidden() -> None:
    assert policy.hidden(MEMBER, "get_network") == {
        "provider:network_type",
        "provider:physical_network",
        "provider:segmentation_id",
    }
    assert policy.hidden(READER, "get_port") == {
        "binding:host_id",
        "binding:profile",
        "binding:vif_type",
        "binding:vif_details",
    }
    for caller in (INTERNAL, NOVA, AUDITOR):
        assert not policy.hidden(caller, "get_network")
        assert not policy.hidden(caller, "get_port")


def test_roles_imply_each_other() -> None:
    assert Caller(roles=frozenset({"admin"})).roles == {"admin", "member", "reader"}
    assert MEMBER.roles == {"member", "reader"}
    assert READER.roles == {"reader"}
