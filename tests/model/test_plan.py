"""The projection and the diff: pure, total over owned ports, and silent about all others."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironlane.model.errors import Permanent
from ironlane.model.fabric import (
    Attachment,
    AttachmentState,
    HostId,
    Lag,
    ManagedPorts,
    PortConfig,
    PortMode,
    Side,
    SwitchId,
    Vlan,
)
from ironlane.model.plan import diff, idle_config, project

LEAF = SwitchId("leaf-1")
OWNED = ManagedPorts(LEAF, frozenset({"p1", "p2", "p3"}), idle_vlan=Vlan(999))


def attachment(port: str, vlan: int, *, host: str = "h1", **changes: object) -> Attachment:
    base = Attachment(
        id=f"{port}-{vlan}",
        switch=LEAF,
        port=port,
        network_port=f"np-{port}-{vlan}",
        network="net",
        host=HostId(host),
        vlan=Vlan(vlan),
        side=Side.TENANT,
        state=AttachmentState.WANTED,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def test_every_owned_port_is_projected_and_nobodys_port_is_idle() -> None:
    desired = project([attachment("p1", 100)], OWNED)
    assert desired.keys() == OWNED.names
    assert desired["p1"].untagged == 100
    assert desired["p2"] == idle_config(Vlan(999))


def test_without_an_idle_vlan_an_idle_port_is_shut() -> None:
    desired = project([], replace(OWNED, idle_vlan=None))
    assert all(not config.enabled and not config.vlans for config in desired.values())


@pytest.mark.parametrize("state", [AttachmentState.HELD, AttachmentState.LEAVING])
def test_held_and_leaving_attachments_carry_nothing(state: AttachmentState) -> None:
    assert project([attachment("p1", 100, state=state)], OWNED) == project([], OWNED)


def test_tagged_networks_make_a_trunk_with_the_untagged_one_as_native() -> None:
    desired = project([attachment("p1", 100), attachment("p1", 200, tagged=True)], OWNED)
    assert desired["p1"] == PortConfig(PortMode.TRUNK, Vlan(100), frozenset({Vlan(200)}), description="ironlane h1")


def test_lag_is_carried_by_every_member() -> None:
    desired = project([attachment("p1", 100, lag=Lag(7)), attachment("p2", 100, lag=Lag(7))], OWNED)
    assert desired["p1"] == desired["p2"]
    assert desired["p1"].lag == Lag(7)


def test_two_untagged_networks_on_one_port_are_a_broken_invariant() -> None:
    with pytest.raises(Permanent, match="contradictory"):
        project([attachment("p1", 100), attachment("p1", 101)], OWNED)


def test_a_port_that_is_not_owned_is_never_projected() -> None:
    with pytest.raises(Permanent, match="not managed"):
        project([attachment("p9", 100)], OWNED)


def test_other_switches_are_ignored() -> None:
    assert project([attachment("p1", 100, switch=SwitchId("leaf-2"))], OWNED) == project([], OWNED)


def test_diff_names_who_asked() -> None:
    wish = attachment("p1", 100)
    plan = diff(LEAF, project([wish], OWNED), project([], OWNED), [wish])
    assert [(c.port, c.network_ports) for c in plan.changes] == [("p1", ("np-p1-100",))]


def test_diff_refuses_ports_that_the_switch_does_not_have() -> None:
    with pytest.raises(Permanent, match="no port p3"):
        diff(LEAF, project([], OWNED), {"p1": PortConfig(), "p2": PortConfig()})


def configs() -> st.SearchStrategy[PortConfig]:
    vlans = st.integers(1, 4094).map(Vlan)
    return st.builds(
        PortConfig,
        mode=st.sampled_from(PortMode),
        untagged=st.none() | vlans,
        tagged=st.frozensets(vlans, max_size=3),
        lag=st.none() | st.builds(Lag, st.integers(1, 5)),
        enabled=st.booleans(),
        description=st.sampled_from(["", "ironlane idle"]),
    )


PORTS = st.dictionaries(st.sampled_from(["p1", "p2", "p3", "foreign"]), configs(), min_size=4, max_size=4)


@given(desired=PORTS, observed=PORTS)
def test_applying_a_diff_converges_and_its_inverse_goes_back(
    desired: dict[str, PortConfig], observed: dict[str, PortConfig]
) -> None:
    owned = {name: config for name, config in desired.items() if name != "foreign"}
    plan = diff(LEAF, owned, observed)
    assert all(change.port != "foreign" for change in plan.changes)
    after = {**observed, **{change.port: change.after for change in plan.changes}}
    assert not diff(LEAF, owned, after)
    back = {**after, **{change.port: change.after for change in plan.inverse.changes}}
    assert back == observed
