"""Admission with tags: what a trunk's sub-ports wait for, and what they do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironlane.model.admission import admit, blockers, held_reason
from ironlane.model.fabric import Attachment, AttachmentState, HostId, Lag, Side, SwitchId, Vlan

HELD, WANTED, LEAVING = AttachmentState.HELD, AttachmentState.WANTED, AttachmentState.LEAVING


def attachment(ident: str, vlan: int, **given: Any) -> Attachment:
    base = Attachment(
        id=ident,
        switch=SwitchId("leaf-1"),
        port="p1",
        network_port=ident,
        network=f"net-{vlan}",
        host=HostId("h1"),
        vlan=Vlan(vlan),
        side=Side.TENANT,
        state=WANTED,
    )
    return replace(base, **given)


NEW_TAG = attachment("new", 201, tagged=True, state=HELD)


@pytest.mark.parametrize(
    ("other", "waits"),
    [
        (attachment("parent", 200), False),
        (attachment("parent", 200, state=HELD), True),
        (attachment("parent", 200, state=LEAVING), True),
        (attachment("sibling", 202, tagged=True), False),
        (attachment("sibling", 202, tagged=True, state=HELD), False),
        (attachment("sibling", 202, tagged=True, state=LEAVING), False),
        (attachment("same VLAN", 201, tagged=True, state=LEAVING), True),
        (attachment("elsewhere", 201, tagged=True, state=LEAVING, port="p2"), False),
        (attachment("elsewhere", 200, state=HELD, port="p2"), False),
        (attachment("other host", 202, tagged=True, state=LEAVING, host="h2"), True),
        (attachment("other LAG", 202, tagged=True, state=LEAVING, lag=Lag(7)), True),
        (attachment("provider", 10, side=Side.PROVIDER, port="p2"), True),
        (attachment("provider", 10, side=Side.PROVIDER, port="p2", tagged=True, state=LEAVING), True),
    ],
)
def test_what_a_tag_waits_for(other: Attachment, waits: bool) -> None:
    assert blockers(NEW_TAG, [NEW_TAG, other]) == ([other] if waits else [])
    if other.state is not HELD:
        assert admit([NEW_TAG, other]) == ([] if waits else [NEW_TAG])


@pytest.mark.parametrize("tagged", [False, True])
def test_an_untagged_one_waits_for_all_that_leaves_from_its_switch_port(tagged: bool) -> None:
    leaving = attachment("old", 202, tagged=tagged, state=LEAVING)
    assert blockers(attachment("new", 200, state=HELD), [leaving]) == [leaving]


def test_a_trunk_is_admitted_whole_with_the_parent_port_first() -> None:
    parent = attachment("z-parent", 200, state=HELD)
    assert [a.id for a in admit([NEW_TAG, parent])] == ["z-parent", "new"]
    leaving = attachment("old", 202, tagged=True, state=LEAVING)
    assert admit([NEW_TAG, parent, leaving]) == []
    assert "parent port z-parent" in held_reason(NEW_TAG, [parent])
    assert "has left VLAN 202" in held_reason(parent, [leaving])


any_attachment = st.builds(
    attachment,
    st.uuids().map(str),
    st.sampled_from([200, 201, 202]),
    tagged=st.booleans(),
    state=st.sampled_from([HELD, WANTED, LEAVING]),
    side=st.sampled_from(list(Side)),
    port=st.sampled_from(["p1", "p2"]),
    lag=st.sampled_from([None, Lag(1)]),
)


@given(st.lists(any_attachment, max_size=8))
def test_what_is_admitted_never_meets_what_leaves_or_stands_on_the_other_side(present: list[Attachment]) -> None:
    admitted = admit(present)
    on_wire = [a for a in present if a.state is not HELD] + admitted
    for new in admitted:
        for other in on_wire:
            assert other.side is new.side, "I1"
            if other.state is LEAVING and other.switch_port == new.switch_port:
                assert (new.tagged, other.tagged) == (True, True), "two generations"
                assert new.vlan != other.vlan
                assert new.lag == other.lag


@given(st.lists(any_attachment.map(lambda a: replace(a, side=Side.TENANT)), max_size=8))
def test_nothing_waits_once_all_that_leaves_is_gone(present: list[Attachment]) -> None:
    left = [a for a in present if a.state is not LEAVING]
    assert {a.id for a in admit(left)} == {a.id for a in left if a.state is HELD}
