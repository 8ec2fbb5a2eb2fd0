"""A real Neutron binds through the mechanism driver: ACTIVE is read back, and both sides may be away at any time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from openstack.exceptions import BadRequestException, ConflictException

from ironlane.lab.rack import NicDescription
from tests.openstack import neutron
from tests.openstack.bed import PROVISIONING, Bed, until

pytestmark = [
    pytest.mark.openstack,
    pytest.mark.timeout(900),
    # The library warns of its own use of what it deprecates.
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:openstack"),
]

HOST = "5d9d4b0e-6c63-4d8f-9d6e-0f1c2a3b4c5d"
OTHER_HOST = "6e0e5c1f-7d74-4e90-8e7f-1f2d3b4c5d6e"


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Bed]:
    try:
        made = await asyncio.to_thread(neutron.environment)
    except neutron.Unavailable as why:
        pytest.skip(f"no Neutron on this machine: {why}")
    async with Bed.running(made, tmp_path) as running:
        yield running


async def test_bindings_survive_that_either_side_is_killed(bed: Bed) -> None:
    assert list(bed.folder.glob("driver/neutron_ironlane-*.dist-info/licenses/LICENSE"))
    cloud, nics = bed.cloud, bed.servers[0].nics[:2]
    provisioning = await cloud.network("provisioning", PROVISIONING)
    tenant = await cloud.network("tenant")
    vlan = tenant.provider_segmentation_id

    own = await cloud.port(provisioning)
    await cloud.bind(own, HOST, bed.profile(nics[:1]))
    await cloud.becomes(own, "ACTIVE")
    assert bed.carried(nics[:1]) == [{PROVISIONING}]
    shown = (await bed.bindings())[own]
    assert (shown["side"], shown["status"]) == ("provider", "ACTIVE")
    # To become ACTIVE is no change of what is wished for.
    assert shown["revision"] < (await cloud.call("get_port", own)).revision_number

    bad = {"local_link_information": [{"port_id": "x"}]}
    with pytest.raises(BadRequestException, match=r"local_link_information\[0\]\.switch_id"):
        await cloud.bind(await cloud.port(tenant), HOST, bad)

    await bed.kill_ironlane()  # Neutron goes on answering, and promises nothing.
    moved = await cloud.port(tenant)
    begun = time.monotonic()
    await cloud.call("delete_port", own)
    await cloud.bind(moved, HOST, bed.profile(nics, "802.3ad"))
    assert time.monotonic() - begun < 30, "Neutron waits for an Ironlane that is not there"
    assert await cloud.status(moved) == "DOWN"
    await bed.neutron.kill()  # What its processes had in mind is lost as well.
    assert bed.carried(nics[:1]) == [{PROVISIONING}]
    await bed.start_ironlane()
    await bed.neutron.start()
    await cloud.becomes(moved, "ACTIVE")
    assert bed.carried(nics) == [{vlan}, {vlan}]
    assert bed.lags(nics) == [True, True]

    other = await cloud.port(tenant)  # Neutron is killed with a wish on its way, and the switches go on.
    await cloud.unbind(moved)
    await cloud.bind(other, HOST, bed.profile(nics[:1]))
    await bed.neutron.kill()
    await bed.neutron.start()
    await cloud.becomes(other, "ACTIVE")
    assert (bed.carried(nics), bed.lags(nics)) == ([{vlan}, set()], [False, False])

    # A network that goes down takes its ports along, and brings them back.
    await cloud.call("update_network", tenant.id, is_admin_state_up=False)
    await until(lambda: _carried(bed, nics, [set(), set()]), "the switch port to leave the network that is down")
    await cloud.becomes(other, "DOWN")
    await cloud.call("update_network", tenant.id, is_admin_state_up=True)
    await until(lambda: _carried(bed, nics, [{vlan}, set()]), "the switch port to come back")
    await cloud.becomes(other, "ACTIVE")

    # Its VLAN is another network's at once, but only when no switch carries it any more.
    with pytest.raises(ConflictException):
        await cloud.call("delete_network", tenant.id, ignore_missing=False)
    await bed.kill_ironlane()
    for port in await cloud.call("ports", network_id=tenant.id):
        await cloud.call("delete_port", port.id)
    await cloud.call("delete_network", tenant.id, ignore_missing=False)
    heir = await cloud.network("heir", vlan)
    inherited, elsewhere = await cloud.port(heir), bed.servers[1].nics[:1]
    await cloud.bind(inherited, OTHER_HOST, bed.profile(elsewhere))
    assert bed.carried(nics) == [{vlan}, set()]
    await bed.start_ironlane()
    await cloud.becomes(inherited, "ACTIVE")
    assert (bed.carried(nics), bed.carried(elsewhere)) == ([set(), set()], [{vlan}])

    await cloud.unbind(inherited)
    await bed.neutron.kill()
    await bed.kill_ironlane()
    await bed.start_ironlane()
    await bed.neutron.start()
    await until(lambda: _nothing_left(bed), "the switch ports to be given back")
    assert bed.carried(elsewhere) == [set()]


async def test_sub_ports_are_where_their_parent_port_is(bed: Bed) -> None:
    cloud, nics = bed.cloud, bed.servers[0].nics[:2]
    networks = [await cloud.network(name) for name in ("native", "first", "second")]
    native, first, second = (network.provider_segmentation_id for network in networks)
    parent = await cloud.port(networks[0])
    one, two = [await cloud.port(network, "normal") for network in networks[1:]]

    def tagged(port: str, vlan: int) -> dict[str, object]:
        return {"port_id": port, "segmentation_type": "vlan", "segmentation_id": vlan}

    with pytest.raises(BadRequestException, match=f"segmentation_id has to be {first}"):
        await cloud.call("create_trunk", port_id=parent, sub_ports=[tagged(one, second)])
    trunk = await cloud.call("create_trunk", port_id=parent, sub_ports=[tagged(one, first)])
    await cloud.bind(parent, HOST, bed.profile(nics, "802.3ad"))
    for port in (parent, one):
        await cloud.becomes(port, "ACTIVE")
    assert bed.carried(nics) == [{native, first}] * 2
    assert (await cloud.call("get_port", one)).binding_host_id == HOST

    async def trunk_is(status: str) -> bool:
        return bool((await cloud.call("get_trunk", trunk.id)).status == status)

    await until(lambda: trunk_is("ACTIVE"), "the trunk to be ACTIVE")

    await cloud.call("add_trunk_subports", trunk.id, [tagged(two, second)])
    await cloud.becomes(two, "ACTIVE")
    assert bed.carried(nics) == [{native, first, second}] * 2
    await cloud.call("delete_trunk_subports", trunk.id, [{"port_id": one}])
    await until(lambda: _carried(bed, nics, [{native, second}] * 2), "the sub-port to leave")
    assert await cloud.status(one) == "DOWN"

    # What came and went while Ironlane was away, and what a process of Neutron's had in mind, are both made up for.
    await bed.kill_ironlane()
    await cloud.call("add_trunk_subports", trunk.id, [tagged(one, first)])
    await cloud.call("delete_trunk_subports", trunk.id, [{"port_id": two}])
    assert await cloud.status(one) == "DOWN"
    await bed.neutron.kill()
    await bed.start_ironlane()
    await bed.neutron.start()
    await cloud.becomes(one, "ACTIVE")
    await until(lambda: _carried(bed, nics, [{native, first}] * 2), "the one sub-port to join and the other to leave")

    await cloud.unbind(parent)
    await until(lambda: _carried(bed, nics, [set()] * 2), "the whole trunk to leave")
    assert (await cloud.status(one), await trunk_is("DOWN")) == ("DOWN", True)
    await cloud.bind(parent, HOST, bed.profile(nics[:1]))
    await cloud.becomes(one, "ACTIVE")
    assert bed.carried(nics) == [{native, first}, set()]
    await cloud.call("delete_trunk", trunk.id)
    await until(lambda: _carried(bed, nics, [{native}, set()]), "the sub-ports to leave with their trunk")
    await cloud.becomes(parent, "ACTIVE")


async def _carried(bed: Bed, nics: tuple[NicDescription, ...], vlans: list[set[int]]) -> bool:
    return bed.carried(nics) == vlans


async def _nothing_left(bed: Bed) -> bool:
    await bed.cloud.call("find_network", "heir")  # a process of uWSGI's begins with its first request
    left = (await bed.ironlane.get("/fabric/v1/attachments"))["attachments"]
    return not left and not await bed.bindings()
