"""A real Ironic takes a server through its life, with Ironlane for its Neutron."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bench.environments import Unavailable
from ironlane.cli.client import Client
from ironlane.cli.credentials import NotLoggedIn
from ironlane.lab.server import Stage
from tests.openstack import ironic
from tests.openstack.bed import until
from tests.openstack.ironic_bed import CREDENTIALS, VLANS, IronicBed
from tests.service.bench import NETWORKING

pytestmark = [
    pytest.mark.openstack,
    pytest.mark.timeout(900),
    # The library warns of its own use of what it deprecates.
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:openstack"),
]

TENANT = "red+storage/lag"
"""Both networks, on both links of the LAG."""


@pytest.fixture
async def made() -> Path:
    try:
        return await asyncio.to_thread(ironic.environment)
    except Unavailable as why:
        pytest.skip(f"no Ironic on this machine: {why}")


async def tenant_port(bed: IronicBed) -> tuple[str, str]:
    """A tenant's port, the parent of a trunk, and the sub-port."""
    parent = await bed.port(await bed.network("red"))
    sub = await bed.port(await bed.network("storage"), "normal")
    vlan = next(vlan for vlan, name in bed.vlans.items() if name == "storage")
    tagged = {"port_id": sub, "segmentation_type": "vlan", "segmentation_id": vlan}
    await bed.ironlane.request("POST", f"{NETWORKING}/trunks", {"trunk": {"port_id": parent, "sub_ports": [tagged]}})
    return parent, sub


async def nothing_left(bed: IronicBed, port: str) -> None:
    """The server is available: no switch carries anything, no port is bound, and no invariant was ever broken."""
    assert [await bed.ports_of(name) for name in VLANS] == [[], [], []]
    shown = await bed.shown(port)
    assert (shown["binding:host_id"], shown["binding:vif_type"], shown["status"]) == ("", "unbound", "DOWN")
    assert shown["mac_address"] not in {nic.mac for nic in bed.description.nics}
    assert bed.watch.violations == []


async def test_fake_hardware_lives_with_ironlane_for_neutron(made: Path, tmp_path: Path) -> None:
    async with IronicBed.running(made, tmp_path, manage_agent_boot=False) as bed:
        # Ironic's next request is there before this switch has done what the last one asked for; its peer is quicker.
        bed.rack.netconf[bed.description.nics[0].switch].commit_delay = 1.5
        # Its fake BMC knows no boot device but PXE, and `direct` would set the disk at the end.
        interfaces = {"boot_interface": "fake", "deploy_interface": "custom-agent", "rescue_interface": "agent"}
        await bed.enrol_node(driver="fake-hardware", **interfaces)
        port, sub = "", ""

        async def waiting(state: str) -> None:
            """Ironic has seen its port ACTIVE: one switch port is on the network, and no other on any."""
            name = {"clean wait": "cleaning", "wait call-back": "provisioning", "rescue wait": "rescuing"}[state]
            assert bed.carried() == [name, "idle"]
            (own,) = await bed.ports_of(name)
            assert (own["status"], own["binding:vif_type"], own["binding:host_id"]) == ("ACTIVE", "other", bed.node)
            assert own["mac_address"] == bed.description.nics[0].mac
            for other in filter(None, (port, sub)):
                assert (await bed.shown(other))["status"] == "DOWN"
            await bed.boot_by_hand(state)

        await bed.go("manage", "manageable")
        since = bed.history.mark()
        await bed.go("provide", "available", waiting)
        await idle(bed)
        assert bed.sequences(since) == [["idle", "cleaning", "idle"], ["idle"]]

        port, sub = await tenant_port(bed)
        await bed.ironic("attach_vif_to_node", bed.node, port)
        assert (await bed.shown(port))["mac_address"] == bed.description.nics[0].mac
        since = bed.history.mark()
        await bed.go("active", "active", waiting)
        assert bed.sequences(since) == [["idle", "provisioning", "idle", TENANT], ["idle", TENANT]]
        await on_its_tenants_network(bed, port, sub)

        since = bed.history.mark()
        await bed.go("rescue", "rescue", waiting, rescue_password="let me in")
        assert bed.sequences(since) == [[TENANT, "idle", "rescuing", "idle", TENANT], [TENANT, "idle", TENANT]]
        await until(lambda: is_at(bed, Stage.RESCUE), "the rescue user to be let in")
        since = bed.history.mark()
        await bed.go("unrescue", "active")
        assert bed.sequences(since) == [[TENANT], [TENANT]]
        await on_its_tenants_network(bed, port, sub)

        since = bed.history.mark()
        await bed.go("deleted", "available", waiting)
        await idle(bed)
        assert bed.sequences(since) == [[TENANT, "idle", "cleaning", "idle"], [TENANT, "idle"]]
        await nothing_left(bed, port)


async def test_a_smart_nic_is_a_switch_of_its_own(made: Path, tmp_path: Path) -> None:
    """Ironic waits for an agent on the NIC, and binds to its host name. (It boots into the firmware's setup to take
    the NIC off a network again, which its fake BMC cannot; so that half is done in its place.)"""
    async with IronicBed.running(made, tmp_path, manage_agent_boot=False) as bed:
        interfaces = {"boot_interface": "fake", "deploy_interface": "custom-agent"}
        nic = await bed.enrol_smart_nic(driver="fake-hardware", **interfaces)
        await bed.go("manage", "manageable")
        await bed.go("provide", "clean wait")
        assert bed.carried() == ["cleaning", "idle"]
        (own,) = await bed.ports_of("cleaning")
        assert (own["binding:vnic_type"], own["binding:host_id"]) == ("smart-nic", nic.switch)
        assert (own["binding:vif_type"], own["status"]) == ("other", "ACTIVE")
        await bed.ironlane.request("DELETE", f"{NETWORKING}/ports/{own['id']}")
        await idle(bed)


async def on_its_tenants_network(bed: IronicBed, port: str, sub: str) -> None:
    """ACTIVE, on both links, and what runs on the server reaches nothing of the provider's."""
    assert bed.carried() == [TENANT, TENANT]
    for one in (port, sub):
        shown = await bed.shown(one)
        assert (shown["status"], shown["binding:host_id"]) == ("ACTIVE", bed.node)
    bed.server.disk_image = "what the custom agent wrote"
    bed.server.set_boot_device("disk")
    await bed.server.reset()
    await bed.server.until(lambda server: server.stage is Stage.OS, 60)
    assert bed.rack.reach().endpoints[bed.server.name] == frozenset()


async def idle(bed: IronicBed) -> None:
    """Ironic does not wait for what it deleted: until the switches were read back without it."""

    async def reached() -> bool:
        return not (await bed.ironlane.get("/fabric/v1/attachments"))["attachments"]

    await until(reached, "the switch ports to be given back")
    assert bed.carried() == ["idle", "idle"]


async def is_at(bed: IronicBed, stage: Stage) -> bool:
    return bed.server.stage is stage


async def test_redfish_and_http_basic(made: Path, tmp_path: Path) -> None:
    """Ironic by itself: it switches the power, and its boot options are what DHCP answers with."""
    async with IronicBed.running(made, tmp_path, credentials=CREDENTIALS) as bed:
        async with Client(bed.url) as nobody:
            with pytest.raises(NotLoggedIn):
                await nobody.get(f"{NETWORKING}/networks")
        await bed.enrol_node(driver="redfish", boot_interface="pxe", rescue_interface="agent", driver_info=bed.redfish)
        await bed.go("manage", "manageable")
        since = bed.history.mark()
        await bed.go("provide", "available")
        await idle(bed)
        assert bed.sequences(since) == [["idle", "cleaning", "idle"], ["idle"]]
        port, _ = await tenant_port(bed)
        await bed.ironic("attach_vif_to_node", bed.node, port)
        since = bed.history.mark()
        await bed.go("active", "active")
        assert bed.sequences(since) == [["idle", "provisioning", "idle", TENANT], ["idle", TENANT]]
        await bed.server.until(lambda server: server.stage is Stage.OS, 60)
        assert bed.server.disk_image == bed.gateway.instance_info["image_source"]
        await bed.go("deleted", "available")
        await idle(bed)
        await nothing_left(bed, port)
        assert bed.server.disk_image is None
