"""The life of a server: the tables agree with one another, and refusals say what would be possible."""

from __future__ import annotations

import pytest

from ironlane.model.errors import Invalid
from ironlane.model.states import DELETABLE, FAILURE, VERBS, WORKING, ProvisionState, Verb, step_for

S = ProvisionState


def test_every_verb_is_possible_somewhere_and_leads_somewhere() -> None:
    assert set(VERBS) == set(Verb)
    for steps in VERBS.values():
        for step in steps.values():
            assert (step.target is None) == (step.state not in WORKING)


def test_failures_rest() -> None:
    assert not WORKING & set(FAILURE.values())
    assert not WORKING & DELETABLE


def test_the_whole_life_is_reachable_from_enroll() -> None:
    reached, frontier = {S.ENROLL}, {S.ENROLL}
    while frontier:
        after = set()
        for state in frontier:
            for steps in VERBS.values():
                if state in steps:
                    after |= {steps[state].state, steps[state].target or steps[state].state}
            if state in FAILURE:
                after.add(FAILURE[state])
        frontier = after - reached
        reached |= after
    # The waiting states are entered by the lifecycle loop alone.
    assert reached == set(S) - {S.CLEAN_WAIT, S.DEPLOY_WAIT, S.INSPECT_WAIT, S.RESCUE_WAIT, S.SERVICE_WAIT}


@pytest.mark.parametrize("state", list(S))
@pytest.mark.parametrize("verb", list(Verb))
def test_a_verb_is_done_or_refused_with_what_would_do(verb: Verb, state: ProvisionState) -> None:
    if state in VERBS[verb]:
        assert step_for(verb, state, node="n1") == VERBS[verb][state]
        return
    with pytest.raises(Invalid, match=f'"{verb.value}" can not be performed on node "n1"') as caught:
        step_for(verb, state, node="n1")
    assert caught.value.code == "InvalidStateRequested"
    assert all(repr(possible.value) in caught.value.message for possible in VERBS[verb])


def test_an_unknown_verb_is_refused_with_the_known_ones() -> None:
    with pytest.raises(Invalid, match="'fly' is no provision target; use one of manage"):
        step_for("fly", S.ENROLL, node="n1")
