"""The OpenAPI document tells what is so: requests made up from it are served, and the answers are as it says."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import sqlalchemy as sa

from ironlane.api.networking import agents, answers
from ironlane.model.network import VnicType
from ironlane.model.quota import DEFAULT_LIMITS
from ironlane.store import leases, networks, ports, rbac, subnets, trunks
from ironlane.store.database import Store, Tx
from ironlane.store.leases import Membership
from ironlane.store.networks import NewNetwork
from ironlane.store.ports import NewPort
from ironlane.store.rbac import NewPolicy
from ironlane.store.subnets import NewSubnet
from ironlane.store.tables import metadata
from ironlane.store.trunks import NewSubPort, NewTrunk
from tests.api.described import Described, Known
from tests.api.networking import site
from tests.api.networking.conftest import Networking, application


def furnish(tx: Tx) -> Known:
    """Two networks with a subnet of each kind, ports bound and unbound, a trunk, a policy."""
    for table in reversed(metadata.sorted_tables):
        tx.execute(sa.delete(table))
    site.seed(tx)
    one, two = (
        networks.create(tx, NewNetwork(project_id="p1", name="one", shared=True)),
        networks.create(tx, NewNetwork()),
    )
    four = subnets.create(tx, NewSubnet(network_id=one.id, cidr="192.0.2.0/24", ip_version=4))
    six = subnets.create(tx, NewSubnet(network_id=two.id, cidr="2001:db8::/64", ip_version=6))
    bound = NewPort(
        network_id=one.id,
        vnic_type=VnicType.BAREMETAL,
        host_id="server",
        profile=site.profile(site.link()),
        extra_dhcp_opts=[{"opt_name": "67", "opt_value": "boot", "ip_version": 4}],
        tags=["red"],
    )
    parent, free, sub = [
        ports.create(tx, new) for new in (bound, NewPort(network_id=one.id), NewPort(network_id=two.id))
    ]
    trunk = trunks.create(tx, NewTrunk(port_id=parent.id, project_id="p1", sub_ports=[NewSubPort(sub.id)]))
    policy = rbac.create(tx, NewPolicy(object_id=two.id, target_project="p1"))
    leases.join(tx, Membership("c1", []))
    there = [thing.id for thing in (one, two, four, six, parent, free, sub, trunk, policy)]
    return {
        "/v2.0/networks/{ident}": [one.id, two.id],
        "/v2.0/subnets/{ident}": [four.id, six.id],
        "/v2.0/ports/{ident}": [parent.id, free.id, sub.id],
        "/v2.0/trunks/{ident}": [trunk.id],
        "/v2.0/rbac-policies/{ident}": [policy.id],
        "/v2.0/{collection}/{ident}": there,
        "/v2.0/{collection}/{ident}/tags/{tag}": ["red"],
        "/v2.0/network-ip-availabilities/{ident}": [one.id, two.id],
        "/v2.0/agents/{ident}": [agents.agent_id("c1")],
        "/v2.0/quotas/{project_id}": ["p1"],
        "/v2.0/extensions/{alias}": ["binding"],
        "uuid": [*there, str(uuid.UUID(int=0))],
        "ip-address": ["192.0.2.7", "192.0.2.254", "2001:db8::9", "192.0.2.0", "::", "1.2.3.4.5"],
        "cidr": ["198.51.100.0/24", "192.0.2.0/25", "2001:db8:1::/64", "0.0.0.0/0", "10.0.0.1/32", "10.0.0.0/33"],
        "mac-address": ["02:00:00:00:00:01", "02-00-00-00-00-01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "zz"],
    }


@pytest.mark.usefixtures("quiet")
def test_requests_that_the_document_allows(open_database: Store) -> None:
    described = Described(application(open_database), lambda: open_database.write(furnish))
    assert "\n\n".join(described.faults()) == ""


async def test_what_the_document_promises_is_there(networking: Networking, store: Store) -> None:
    """No attribute of the models is missing in the answers, and none of the answers in the models."""
    await store.write(furnish)
    parents = 0
    for plural, model in (
        ("networks", answers.Network),
        ("subnets", answers.Subnet),
        ("ports", answers.Port),
        ("trunks", answers.Trunk),
        ("extensions", answers.Extension),
    ):
        for thing in await networking.listed(plural):
            parents += "trunk_details" in thing
            absent: dict[str, Any] = {"trunk_details": {"trunk_id": "", "sub_ports": []}} if plural == "ports" else {}
            model.model_validate({**absent, **thing}, strict=True)
    assert parents == 1
    policies = (await networking.get("/v2.0/rbac-policies")).json()["rbac_policies"]
    targets = {answers.RbacPolicy.model_validate(policy, strict=True).target_tenant for policy in policies}
    assert targets == {"*", "p1"}
    (agent,) = await networking.listed("agents")
    assert answers.Agent.model_validate(agent, strict=True).alive
    available = (await networking.get("/v2.0/network-ip-availabilities")).json()["network_ip_availabilities"]
    for found in available:
        answers.NetworkIpAvailability.model_validate(found, strict=True)
    assert len(available) == 2
    quota = (await networking.get("/v2.0/quotas/p1/details")).json()["quota"]
    assert answers.QuotaDetails.model_validate(quota, strict=True).network.used == 1
    limits = (await networking.get("/v2.0/quotas/p1")).json()["quota"]
    assert answers.Quota.model_validate(limits, strict=True).network == 100
    assert limits.keys() == DEFAULT_LIMITS.keys()
