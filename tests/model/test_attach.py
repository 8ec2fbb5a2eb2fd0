"""Where a VIF goes: against a plain restatement of Ironic's order, and our priority before it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironlane.model.attach import binding_profile, choose, mac_of, primary_nic, pxe_nic
from ironlane.model.errors import Conflict, Rejected
from ironlane.model.node import BaremetalPort, BaremetalPortId, NodeId, Portgroup, PortgroupId

NODE = NodeId("node")
PHYSNETS = (None, "physnet1", "physnet2")
LINK = {"switch_id": "00:11:22:33:44:01", "port_id": "Ethernet1"}


def nic(number: int, group: str | None = None, **more: object) -> BaremetalPort:
    return BaremetalPort(
        BaremetalPortId(f"port-{number}"),
        NODE,
        f"52:54:00:00:00:{number:02x}",
        PortgroupId(group) if group else None,
        **{"local_link_connection": {**LINK, "port_id": f"Ethernet{number}"}, **more},  # type: ignore[arg-type]
    )


def bond(name: str, **more: object) -> Portgroup:
    return Portgroup(PortgroupId(name), NODE, name, **more)  # type: ignore[arg-type]


@st.composite
def machines(draw: st.DrawFn) -> tuple[list[BaremetalPort], list[Portgroup]]:
    """NICs and portgroups of a node, some taken, some without a link; portgroups on one physical network each."""
    names = [f"bond{i}" for i in range(draw(st.integers(0, 3)))]
    groups = [
        bond(
            name,
            internal_info={"tenant_vif_port_id": f"vif-{name}"} if draw(st.integers(0, 4)) == 0 else {},
            properties=draw(st.sampled_from([{}, {"priority": 0}, {"priority": 1}, {"priority": "2"}])),
        )
        for name in names
    ]
    physnet_of = {name: draw(st.sampled_from(PHYSNETS)) for name in names}
    ports = []
    for number in range(draw(st.integers(0, 6))):
        group = draw(st.sampled_from([None, *names]))
        ports.append(
            nic(
                number,
                group,
                pxe_enabled=draw(st.booleans()),
                physical_network=physnet_of[group] if group else draw(st.sampled_from(PHYSNETS)),
                internal_info={"tenant_vif_port_id": f"vif-{number}"} if draw(st.integers(0, 4)) == 0 else {},
                **({} if draw(st.integers(0, 5)) else {"local_link_connection": {}}),
            )
        )
    return ports, groups


def reference(
    physnets: set[str], ports: list[BaremetalPort], groups: list[Portgroup]
) -> BaremetalPort | Portgroup | None:
    """Ironic's rule in its own steps: collect the candidates, then sort them once per criterion, last one first."""
    broken = {port.portgroup_id for port in ports if port.internal_info}
    usable = [
        port
        for port in ports
        if not port.internal_info
        and port.local_link_connection
        and (not physnets or port.physical_network is None or port.physical_network in physnets)
    ]
    candidates: list[BaremetalPort | Portgroup] = [port for port in usable if port.portgroup_id is None]
    for group in groups:
        members = [port for port in usable if port.portgroup_id == group.id]
        if not group.internal_info:
            candidates += members if group.id in broken else [group] if members else []

    def physnet(place: BaremetalPort | Portgroup) -> str | None:
        return next((p.physical_network for p in ports if place.id in (p.id, p.portgroup_id)), None)

    for criterion in (
        lambda place: isinstance(place, Portgroup) or place.pxe_enabled,
        lambda place: isinstance(place, Portgroup),
        lambda place: physnet(place) in physnets,
        lambda place: int(place.properties.get("priority", 0)) if isinstance(place, Portgroup) else 0,
    ):
        candidates.sort(key=lambda place, by=criterion: -int(by(place)))  # type: ignore[misc]
    return candidates[0] if candidates else None


@given(machines(), st.sets(st.sampled_from(["physnet1", "physnet2"])))
def test_choice_is_ironics_after_priority(
    machine: tuple[list[BaremetalPort], list[Portgroup]], physnets: set[str]
) -> None:
    expected = reference(physnets, *machine)
    if expected is None:
        with pytest.raises(Rejected, match="no free physical port") as caught:
            choose("new", physnets, *machine)
        assert caught.value.code == "NoFreePhysicalPorts"
        assert "VIF new" in caught.value.message
    else:
        assert choose("new", physnets, *machine).id == expected.id


@given(machines(), st.sets(st.sampled_from(["physnet1", "physnet2"])))
def test_vifs_fill_the_places_once_each(
    machine: tuple[list[BaremetalPort], list[Portgroup]], physnets: set[str]
) -> None:
    """Attaching until nothing is left uses no place twice, and never a portgroup together with a member of it."""
    ports, groups = machine
    taken: list[str] = []
    while True:
        try:
            place = choose(f"new-{len(taken)}", physnets, ports, groups)
        except Rejected:
            break
        assert place.id not in taken
        taken.append(place.id)
        if isinstance(place, BaremetalPort):
            assert place.portgroup_id not in taken
        info = {"tenant_vif_port_id": f"new-{len(taken) - 1}"}
        ports = [replace(p, internal_info=info) if p.id == place.id else p for p in ports]
        groups = [replace(g, internal_info=info) if g.id == place.id else g for g in groups]


def test_a_vif_is_attached_once() -> None:
    held = nic(1, internal_info={"tenant_vif_port_id": "vif"})
    with pytest.raises(Conflict, match="already attached to port port-1") as caught:
        choose("vif", set(), [held, nic(2)], [])
    assert caught.value.code == "VifAlreadyAttached"


def test_a_portgroup_on_two_physical_networks_is_refused() -> None:
    ports = [nic(1, "bond0", physical_network="physnet1"), nic(2, "bond0", physical_network=None)]
    with pytest.raises(Conflict, match="physnet1") as caught:
        choose("vif", {"physnet1"}, ports, [bond("bond0")])
    assert caught.value.code == "PortgroupPhysnetInconsistent"


def test_a_place_asked_for_is_taken_or_refused() -> None:
    ports, groups = [nic(1), nic(2), nic(3, "bond0")], [bond("bond0")]
    assert choose("vif", set(), ports, groups, port_uuid="port-2").id == "port-2"
    assert choose("vif", set(), ports, groups, portgroup_uuid="bond0").id == "bond0"
    for asked in ({"port_uuid": "port-3"}, {"port_uuid": "bond0"}, {"portgroup_uuid": "port-1"}):
        with pytest.raises(Rejected, match="no free physical port"):
            choose("vif", set(), ports, groups, **asked)


@pytest.mark.parametrize(
    ("address", "first"),
    [("52:54:00:00:00:03", "port-3"), (None, "port-2"), ("52:54:00:00:00:99", "port-2")],
)
def test_primary_nic(address: str | None, first: str) -> None:
    members = [nic(3, "b", pxe_enabled=False), nic(2, "b"), nic(1, "b", pxe_enabled=False)]
    found = primary_nic(bond("b", address=address), members)
    assert found is not None
    assert found.id == first
    assert primary_nic(bond("b"), []) is None


def test_the_node_boots_over_the_portgroup_with_the_highest_priority() -> None:
    ports = [nic(1), nic(2, "low"), nic(3, "high", pxe_enabled=False), nic(4, "high")]
    groups = [bond("low", properties={"priority": 1}), bond("high", properties={"priority": 2})]
    assert pxe_nic(ports, groups) == ports[3]
    assert pxe_nic(ports[:3], groups) == ports[1]
    assert pxe_nic(ports[:1], groups) == ports[0]
    assert pxe_nic([nic(1, pxe_enabled=False), nic(2, local_link_connection={})], []) is None


def test_a_vif_takes_the_mac_of_the_primary_nic() -> None:
    ports = [nic(1, "b", pxe_enabled=False), nic(2, "b")]
    assert mac_of(bond("b"), ports) == ports[1].address
    assert mac_of(bond("b", address="52:54:00:00:00:01"), ports) == ports[0].address
    assert mac_of(ports[0], ports) == ports[0].address


def test_binding_profile_names_all_links_and_the_group() -> None:
    ports = [nic(1, "b", physical_network="physnet1"), nic(2, "b", physical_network="physnet1")]
    group = bond("b", mode="802.3ad", properties={"miimon": 100, "bond_lacp_rate": "fast", "priority": 3})
    assert binding_profile(ports, group) == {
        "local_link_information": [ports[0].local_link_connection, ports[1].local_link_connection],
        "local_group_information": {
            "id": "b",
            "name": "b",
            "bond_mode": "802.3ad",
            "bond_properties": {"bond_miimon": 100, "bond_lacp_rate": "fast"},
        },
        "physical_network": "physnet1",
    }
    assert binding_profile(ports[:1], None) == {
        "local_link_information": [ports[0].local_link_connection],
        "physical_network": "physnet1",
    }
