"""`ironlane import` from a real Neutron, and from a real Ironic, without a moment's interruption."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bench.environments import Unavailable
from tests.openstack import ironic, neutron
from tests.openstack.bed import PROVISIONING, Bed, until
from tests.openstack.ironic_bed import IronicBed
from tests.openstack.second import Second
from tests.openstack.test_ironic import idle, tenant_port

pytestmark = [
    pytest.mark.openstack,
    pytest.mark.timeout(900),
    # The library warns of its own use of what it deprecates.
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:openstack"),
]

HOST = "5d9d4b0e-6c63-4d8f-9d6e-0f1c2a3b4c5d"


async def environment(make: Any) -> Path:
    try:
        return Path(await asyncio.to_thread(make))
    except Unavailable as why:
        pytest.skip(f"not on this machine: {why}")


async def test_a_neutron_is_taken_over(tmp_path: Path) -> None:
    made = await environment(neutron.environment)
    async with Bed.running(made, tmp_path) as bed, Second.running(bed.rack, tmp_path) as second:
        cloud, nics = bed.cloud, bed.servers[0].nics[:2]
        await cloud.network("provisioning", PROVISIONING)
        tenant, other = await cloud.network("tenant"), await cloud.network("other")
        await cloud.call("create_subnet", network_id=tenant.id, ip_version=4, cidr="192.0.2.0/24")
        parent, child = await cloud.port(tenant), await cloud.port(other, "normal")
        tagged = {"port_id": child, "segmentation_type": "vlan", "segmentation_id": other.provider_segmentation_id}
        await cloud.call("create_trunk", port_id=parent, sub_ports=[tagged])
        await cloud.bind(parent, HOST, bed.profile(nics, "802.3ad"))
        for port in (parent, child):
            await cloud.becomes(port, "ACTIVE")
        carried = bed.carried(nics)
        assert carried == [{tenant.provider_segmentation_id, other.provider_segmentation_id}] * 2

        source = ("--networking-url", bed.neutron.url, "--provider-network", "provisioning")
        dry = await second.run(*source)
        assert (dry.exit_code, dry.output.splitlines()[-1]) == (0, "would be: 7 created"), dry.output
        assert (await second.client.get("/networking/v2.0/networks"))["networks"] == []
        done = await second.run(*source, "--apply")
        assert (done.exit_code, done.output.splitlines()[-1]) == (0, "7 created"), done.output
        again = await second.run(*source, "--apply")
        assert (again.exit_code, again.output) == (0, "7 unchanged\n")
        for port in (parent, child):
            await second.becomes_active(port)
            here, there = await second.port(port), await cloud.call("get_port", port)
            assert (here["mac_address"], here["binding:host_id"]) == (there.mac_address, there.binding_host_id)
            assert here["fixed_ips"] == there.fixed_ips

        watch = bed.rack.watch([PROVISIONING], lambda _vlan: "tenant")
        await bed.kill_ironlane()
        await bed.neutron.kill()
        await second.let_go()
        await second.becomes_active(parent)
        assert (bed.carried(nics), watch.violations) == (carried, [])
        unbound = {"port": {"binding:host_id": "", "binding:profile": {}}}
        await second.client.request("PUT", f"/networking/v2.0/ports/{parent}", unbound)

        async def left() -> bool:
            return bed.carried(nics) == [set(), set()]

        await until(left, "the server to leave its networks, as the second Ironlane has it")


async def test_a_server_of_a_real_ironic_is_taken_over(tmp_path: Path) -> None:
    made = await environment(ironic.environment)
    async with IronicBed.running(made, tmp_path) as bed, Second.running(bed.rack, tmp_path) as second:
        await bed.enrol_node(driver="redfish", boot_interface="pxe", rescue_interface="agent", driver_info=bed.redfish)
        await bed.go("manage", "manageable")
        await bed.go("provide", "available")
        await idle(bed)
        port, sub = await tenant_port(bed)
        await bed.ironic("attach_vif_to_node", bed.node, port)
        await bed.go("active", "active")
        carried, commits = bed.carried(), bed.watch.commits

        networks = [word for name in ("cleaning", "provisioning", "rescuing") for word in ("--provider-network", name)]
        source = ("--networking-url", f"{bed.url}/networking", "--baremetal-url", bed.ironic_url, *networks)
        password = bed.redfish["redfish_password"]
        done = await second.run(*source, "--bmc-secret", "bmcs", "--apply", env={"IRONLANE_SECRET_BMCS": password})
        assert done.exit_code == 0, done.output
        assert [line for line in done.output.splitlines() if line.startswith(("left", "conflict"))] == []
        for ident in (port, sub):
            await second.becomes_active(ident)
        node = await second.client.get(f"/baremetal/v1/nodes/{bed.node}")
        assert (node["provision_state"], node["power_state"], node["maintenance"]) == ("active", "power on", False)
        vifs = (await second.client.get(f"/baremetal/v1/nodes/{bed.node}/vifs"))["vifs"]
        assert [vif["id"] for vif in vifs] == [port]
        assert (bed.carried(), bed.watch.commits) == (carried, commits)
