"""The unmodified openstacksdk against a real server: what the `openstack` command and Ironic do goes through it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import openstack
import pytest
from openstack import exceptions
from openstack.connection import Connection

from ironlane.store.database import Store
from tests.api.networking import site

# The library warns of its own use of what it deprecates.
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")


@contextmanager
def connected(endpoint: str) -> Iterator[Connection]:
    connection = openstack.connect(
        auth_type="none", endpoint=endpoint, network_endpoint_override=endpoint, load_yaml_config=False
    )
    try:
        yield connection
    finally:
        connection.close()
        connection.session.session.close()


async def drive(endpoint: str, steps: Callable[[Connection], None]) -> None:
    """Run blocking client code beside the server."""

    def run() -> None:
        with connected(endpoint) as connection:
            steps(connection)

    await asyncio.to_thread(run)


async def test_networks_and_subnets(endpoint: str) -> None:
    def steps(cloud: Connection) -> None:
        net = cloud.network.create_network(
            name="prov",
            provider_network_type="vlan",
            provider_physical_network="physnet1",
            provider_segmentation_id=100,
            is_shared=False,
        )
        assert net.provider_segmentation_id == 100
        found = cloud.network.find_network("prov", ignore_missing=False)
        assert found.id == net.id
        assert cloud.network.find_network("nobody", ignore_missing=True) is None
        sub = cloud.network.create_subnet(network_id=net.id, cidr="10.0.0.0/24", ip_version=4, name="s")
        assert sub.gateway_ip == "10.0.0.1"
        changed = cloud.network.update_subnet(sub, dns_nameservers=["192.0.2.1"])
        assert changed.dns_nameservers == ["192.0.2.1"]
        assert [s.id for s in cloud.network.subnets(network_id=net.id, is_dhcp_enabled=True)] == [sub.id]
        assert cloud.network.update_network(net, description="d").description == "d"
        assert [n.name for n in cloud.network.networks(provider_segmentation_id=100)] == ["prov"]
        cloud.network.set_tags(net, ["red"])
        assert [n.tags for n in cloud.network.networks(tags="red")] == [["red"]]
        with pytest.raises(exceptions.ConflictException, match="VLAN 100"):
            cloud.network.create_network(provider_physical_network="physnet1", provider_segmentation_id=100)
        assert cloud.network.find_extension("port-mac-address-regenerate").alias
        assert cloud.network.find_extension("router") is None
        cloud.network.delete_subnet(sub)
        cloud.network.delete_network(net)
        assert list(cloud.network.networks()) == []

    await drive(endpoint, steps)


async def test_ports(endpoint: str, store: Store) -> None:
    ids: dict[str, str] = {}

    def bind(cloud: Connection) -> None:
        net = cloud.network.create_network(name="tenant")
        cloud.network.create_subnet(network_id=net.id, cidr="10.0.0.0/24", ip_version=4)
        port = cloud.network.create_port(network_id=net.id, name="p", binding_vnic_type="baremetal")
        port = cloud.network.update_port(
            port, mac_address="52:54:00:00:01:01", binding_host_id="host-1", binding_profile=site.profile(site.link())
        )
        assert (port.binding_vif_type, port.status) == ("other", "DOWN")
        with pytest.raises(exceptions.ConflictException, match="already bound"):
            cloud.network.update_port(port, mac_address="52:54:00:00:01:02")
        ids["port"] = port.id

    def unbind(cloud: Connection) -> None:
        port = cloud.network.get_port(ids["port"])
        assert port.status == "ACTIVE"
        query = {"mac_address": "52:54:00:00:01:01", "fixed_ips": "ip_address=10.0.0.2", "binding:host_id": "host-1"}
        assert [p.id for p in cloud.network.ports(**query)] == [port.id]
        for number in range(5):
            cloud.network.create_port(network_id=port.network_id, name=f"more-{number}")
        assert len(list(cloud.network.ports(limit=2, sort_key="name", sort_dir="desc"))) == 6
        port = cloud.network.update_port(port, binding_host_id="", binding_profile={})
        assert port.binding_vif_type == "unbound"
        cloud.network.delete_port(port, if_revision=port.revision_number)
        with pytest.raises(exceptions.NotFoundException):
            cloud.network.get_port(ids["port"])
        with pytest.raises(exceptions.BadRequestException, match="mac_address"):
            cloud.network.create_port(network_id=port.network_id, mac_address="nonsense")

    await drive(endpoint, bind)
    await store.write(site.converge)
    await drive(endpoint, unbind)
