"""Bad requests: each is refused with a 4xx that names the field, and leaves every row as it was."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from ironlane.api.networking import app
from ironlane.store.database import Store, open_store
from ironlane.store.tables import metadata
from tests.api.networking import site
from tests.api.networking.conftest import Networking

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOBODY = str(uuid.UUID(int=7))
PROVIDER = {"provider:network_type": "vlan", "provider:physical_network": "physnet1"}
VNIC = {"binding:vnic_type": "baremetal", "binding:host_id": "host-1"}
LINK = site.link()


class Case(NamedTuple):
    """A request, and what its refusal must say. `{net}` and the like in url and body are ids of `Site.ids`."""

    method: str
    url: str
    body: Any
    status: int
    says: str
    kind: str = ""


def network(status: int, says: str, kind: str = "", **attributes: Any) -> Case:
    return Case("POST", "/v2.0/networks", {"network": attributes}, status, says, kind)


def vlan(status: int, says: str, number: object, kind: str = "") -> Case:
    return network(status, says, kind, **PROVIDER, **{"provider:segmentation_id": number})


def subnet(status: int, says: str, kind: str = "", **attributes: Any) -> Case:
    body = {"network_id": "{net}", "cidr": "10.9.0.0/24", "ip_version": 4, **attributes}
    return Case("POST", "/v2.0/subnets", {"subnet": body}, status, says, kind)


def port(status: int, says: str, kind: str = "", **attributes: Any) -> Case:
    return Case("POST", "/v2.0/ports", {"port": {"network_id": "{net}", **attributes}}, status, says, kind)


def profile(status: int, says: str, value: Any, kind: str = "") -> Case:
    return port(status, says, kind, **VNIC, **{"binding:profile": value})


def change(plural: str, status: int, says: str, kind: str = "", **attributes: Any) -> Case:
    noun = plural[:-1]
    ident = "{net}" if noun == "network" else f"{{{noun}}}"
    return Case("PUT", f"/v2.0/{plural}/{ident}", {noun: attributes}, status, says, kind)


def query(plural: str, status: int, says: str, text: str) -> Case:
    return Case("GET", f"/v2.0/{plural}?{text}", None, status, says)


def raw(body: bytes, status: int, says: str, kind: str = "") -> Case:
    return Case("POST", "/v2.0/ports", body, status, says, kind)


CASES = [
    # networks
    network(400, "Unrecognized attribute(s) 'colour'", "HTTPBadRequest", colour="blue"),
    network(400, "Unrecognized attribute(s) 'a, b'", a=1, b=2),
    network(400, "name", name=5),
    network(400, "name", name=None),
    network(400, "name", name="x" * 256),
    network(400, "name", name="nul\0"),
    network(400, "name", name="\ud800"),
    network(400, "admin_state_up", admin_state_up="perhaps"),
    network(400, "shared", shared=None),
    network(400, "mtu", mtu="big"),
    network(400, "mtu", mtu=True),
    network(400, "mtu", mtu=67),
    network(400, "mtu", mtu=9001),
    network(400, "mtu", mtu=10**30),
    network(400, "tags", tags=["a,b"]),
    network(400, "project_id", project_id="a", tenant_id="b"),
    network(400, "availability_zone_hints", availability_zone_hints=["nova"]),
    network(400, "provider:network_type", "InvalidInput", **{"provider:network_type": "vxlan"}),
    network(400, "provider:physical_network", **{"provider:physical_network": "nowhere"}),
    network(400, "provider:physical_network", **{"provider:segmentation_id": 7}),
    network(400, "provider:physical_network", **{"provider:network_type": "flat"}),
    network(
        400,
        "provider:segmentation_id",
        **{**PROVIDER, "provider:network_type": "flat", "provider:segmentation_id": 7},
    ),
    vlan(400, "provider:segmentation_id", 0),
    vlan(400, "provider:segmentation_id", 4095),
    vlan(400, "provider:segmentation_id", -1),
    vlan(400, "provider:segmentation_id", "many"),
    vlan(400, "provider:segmentation_id", 1.5),
    vlan(400, "provider:segmentation_id", 250),
    vlan(400, "provider:segmentation_id", site.IDLE_VLAN),
    vlan(409, "provider:segmentation_id", 100, "VlanIdInUse"),
    Case("POST", "/v2.0/networks", {}, 400, "network"),
    Case("POST", "/v2.0/networks", {"net": {}}, 400, "net"),
    Case("POST", "/v2.0/networks", {"network": {}, "networks": [{}]}, 400, "networks"),
    Case("POST", "/v2.0/networks", {"networks": []}, 400, "networks"),
    Case("POST", "/v2.0/networks", {"networks": [{}, {"name": 1}]}, 400, "networks[1].name"),
    Case("POST", "/v2.0/networks", {"networks": [{}, {"mtu": 1}]}, 400, "networks[1]: mtu"),
    change("networks", 400, "read-only attribute provider:network_type", **PROVIDER),
    change("networks", 400, "Cannot update read-only attribute id", id=NOBODY),
    change("networks", 400, "Unrecognized attribute(s) 'colour'", colour=1),
    change("networks", 400, "mtu", mtu=None),
    change("networks", 400, "mtu", mtu=20000),
    Case("PUT", f"/v2.0/networks/{NOBODY}", {"network": {}}, 404, NOBODY, "NetworkNotFound"),
    Case("PUT", "/v2.0/networks/{net}", {"network": []}, 400, "network"),
    Case("DELETE", "/v2.0/networks/{net}", None, 409, "{net}", "NetworkInUse"),
    Case("DELETE", f"/v2.0/networks/{NOBODY}", None, 404, NOBODY, "NetworkNotFound"),
    Case("GET", "/v2.0/networks/prov", None, 404, "prov", "NetworkNotFound"),
    Case("GET", "/v2.0/networks/{net}?name=x", None, 400, "name"),
    # subnets
    Case("POST", "/v2.0/subnets", {"subnet": {"network_id": "{net}"}}, 400, "Required attribute 'cidr, ip_version'"),
    subnet(400, "network_id", network_id="prov"),
    subnet(404, "network_id", "NetworkNotFound", network_id=NOBODY),
    subnet(400, "cidr", cidr="10.9.0.0"),
    subnet(400, "cidr", cidr="10.9.0.0/33"),
    subnet(400, "cidr", cidr="0.0.0.0/0"),
    subnet(400, "cidr", cidr="224.0.0.0/24"),
    subnet(400, "cidr", cidr="fd00::/64"),
    subnet(400, "cidr", cidr=None),
    subnet(400, "cidr", cidr="10.10.0.128/25"),
    subnet(400, "cidr", cidr="10.0.0.0/8"),
    subnet(400, "ip_version", ip_version=5),
    subnet(400, "ip_version", ip_version=None),
    subnet(400, "gateway_ip", gateway_ip="10.9.1.1"),
    subnet(400, "gateway_ip", gateway_ip="10.9.0.255"),
    subnet(400, "gateway_ip", gateway_ip="gw"),
    subnet(400, "gateway_ip", gateway_ip=""),
    subnet(400, "allocation_pools[0]", allocation_pools=[{"start": "10.9.0.9", "end": "10.9.0.8"}]),
    subnet(400, "allocation_pools[0]", allocation_pools=[{"start": "10.9.0.9", "end": "10.9.1.8"}]),
    subnet(400, "allocation_pools[0].end", allocation_pools=[{"start": "10.9.0.9", "end": "fd00::1"}]),
    subnet(400, "allocation_pools[0].end", allocation_pools=[{"start": "10.9.0.9"}]),
    subnet(400, "allocation_pools[0].size", allocation_pools=[{"start": "10.9.0.9", "end": "10.9.0.10", "size": 2}]),
    subnet(
        409,
        "allocation_pools",
        "OverlappingAllocationPools",
        allocation_pools=[{"start": "10.9.0.9", "end": "10.9.0.20"}, {"start": "10.9.0.20", "end": "10.9.0.30"}],
    ),
    subnet(
        409,
        "allocation_pools[0]",
        "GatewayConflictWithAllocationPools",
        allocation_pools=[{"start": "10.9.0.1", "end": "10.9.0.20"}],
    ),
    subnet(400, "dns_nameservers[0]", dns_nameservers=["ns.example.com"]),
    subnet(400, "dns_nameservers", dns_nameservers=["192.0.2.1", "192.0.2.1"]),
    subnet(400, "dns_nameservers", dns_nameservers="192.0.2.1"),
    subnet(400, "host_routes[0].nexthop", host_routes=[{"destination": "0.0.0.0/0", "nexthop": "fd00::1"}]),
    subnet(400, "host_routes[0].destination", host_routes=[{"destination": "all", "nexthop": "10.9.0.2"}]),
    subnet(400, "ipv6_ra_mode", ipv6_ra_mode="slaac"),
    subnet(400, "ipv6_address_mode", ip_version=6, cidr="fd00::/64", ipv6_address_mode="magic"),
    subnet(400, "cidr", ip_version=6, cidr="fd00::/56", ipv6_address_mode="slaac"),
    subnet(
        400, "ipv6_ra_mode", ip_version=6, cidr="fd00::/64", ipv6_ra_mode="slaac", ipv6_address_mode="dhcpv6-stateful"
    ),
    subnet(400, "subnetpool_id", subnetpool_id=NOBODY),
    change("subnets", 400, "Cannot update read-only attribute cidr", cidr="10.8.0.0/24"),
    change("subnets", 400, "Cannot update read-only attribute ip_version", ip_version=6),
    change("subnets", 400, "allocation_pools", allocation_pools=None),
    change("subnets", 409, "allocation_pools", gateway_ip="10.10.0.30"),
    change("subnets", 409, "gateway_ip", "IpAddressAlreadyAllocated", gateway_ip="10.10.0.2"),
    Case("DELETE", "/v2.0/subnets/{subnet}", None, 409, "{subnet}", "SubnetInUse"),
    Case("GET", "/v2.0/subnets/x", None, 404, "x", "SubnetNotFound"),
    # ports
    port(404, "network_id", "NetworkNotFound", network_id=NOBODY),
    port(400, "network_id", network_id="prov"),
    port(400, "network_id", network_id=None),
    Case("POST", "/v2.0/ports", {"port": {}}, 400, "Required attribute 'network_id'"),
    port(400, "Unrecognized attribute(s) 'security_groups'", security_groups=[]),
    port(400, "mac_address", "InvalidMAC", mac_address="52:54:00:00:01"),
    port(400, "mac_address", "InvalidMAC", mac_address="53:54:00:00:00:01"),
    port(400, "mac_address", mac_address="00:00:00:00:00:00"),
    port(400, "mac_address", mac_address=7),
    port(409, "mac_address", "MacAddressInUse", mac_address="52-54-00-00-00-01"),
    port(400, "fixed_ips[0].ip_address", "InvalidIpForNetwork", fixed_ips=[{"ip_address": "192.0.2.9"}]),
    port(400, "fixed_ips[0].ip_address", "InvalidIpForSubnet", fixed_ips=[{"ip_address": "10.10.0.1"}]),
    port(400, "fixed_ips[0].ip_address", fixed_ips=[{"ip_address": "10.10.0.255"}]),
    port(400, "fixed_ips[0].ip_address", fixed_ips=[{"ip_address": "ten"}]),
    port(400, "fixed_ips[0].subnet_id", fixed_ips=[{"subnet_id": NOBODY}]),
    port(400, "fixed_ips[0].subnet_id", fixed_ips=[{"subnet_id": "s"}]),
    port(400, "fixed_ips[0]", fixed_ips=[{}]),
    port(400, "fixed_ips[0].mac", fixed_ips=[{"ip_address": "10.10.0.9", "mac": 1}]),
    port(400, "fixed_ips", fixed_ips=None),
    port(409, "fixed_ips", "IpAddressAlreadyAllocated", fixed_ips=[{"ip_address": "10.10.0.2"}]),
    port(409, "fixed_ips", "IpAddressAlreadyAllocated", fixed_ips=[{"ip_address": "10.10.0.9"}] * 2),
    port(409, "fixed_ips", "IpAddressGenerationFailure", network_id="{tiny}"),
    port(
        409, "fixed_ips", "IpAddressGenerationFailure", fixed_ips=[{"subnet_id": "{tiny_subnet}"}], network_id="{tiny}"
    ),
    port(400, "extra_dhcp_opts[0].opt_name", extra_dhcp_opts=[{"opt_value": "x"}]),
    port(400, "opt_name", extra_dhcp_opts=[{"opt_name": " ", "opt_value": "x"}]),
    port(400, "opt_value", extra_dhcp_opts=[{"opt_name": "67", "opt_value": " "}]),
    port(400, "ip_version", extra_dhcp_opts=[{"opt_name": "67", "opt_value": "x", "ip_version": 5}]),
    port(400, "extra_dhcp_opts", extra_dhcp_opts={"67": "x"}),
    port(400, "extra_dhcp_opts[0]", extra_dhcp_opts=[{"opt_name": "67", "opt_value": "x\ntag:p-1,66,evil"}]),
    port(400, "opt_value", extra_dhcp_opts=[{"opt_name": "67", "opt_value": "x\ry"}]),
    port(400, "opt_value", extra_dhcp_opts=[{"opt_name": "150", "opt_value": "{nobody}"}]),
    port(400, "opt_name", extra_dhcp_opts=[{"opt_name": "67,66", "opt_value": "x"}]),
    port(400, "opt_name", extra_dhcp_opts=[{"opt_name": "tag:mine,67", "opt_value": "x"}]),
    port(400, "opt_name", extra_dhcp_opts=[{"opt_name": "53", "opt_value": "5"}]),
    port(400, "binding:vnic_type", **{"binding:vnic_type": "carrier-pigeon"}),
    port(400, "binding:vnic_type", **{"binding:vnic_type": None}),
    port(400, "binding:host_id", **{"binding:host_id": 7}),
    port(400, "binding:profile", **{"binding:profile": "x"}),
    port(400, "binding:profile", **{"binding:profile": {"x": "y" * 5000}}),
    profile(400, "binding:profile.local_link_information", {"local_link_information": {}}),
    profile(400, "local_link_information[0]", {"local_link_information": ["x"]}),
    profile(400, "local_link_information[0].port_id", {"local_link_information": [{"switch_id": LINK["switch_id"]}]}),
    profile(400, "local_link_information[0].switch_id", {"local_link_information": [{"port_id": "Ethernet1/2"}]}),
    profile(400, "local_link_information[0].switch_id", {"local_link_information": [LINK | {"switch_id": "leaf"}]}),
    profile(
        400,
        "local_link_information[0].switch_id",
        {"local_link_information": [LINK | {"switch_id": "00:11:22:33:44:99", "switch_info": "sw9"}]},
    ),
    profile(400, "local_link_information[0].port_id", {"local_link_information": [LINK | {"port_id": "Ethernet9/9"}]}),
    profile(400, "local_link_information", {"local_link_information": [LINK, LINK]}),
    profile(400, "binding:profile.physical_network", site.profile(LINK) | {"physical_network": "physnet2"}),
    profile(400, "binding:profile.physical_network", site.profile(LINK) | {"physical_network": 1}),
    profile(
        400,
        "local_group_information.bond_mode",
        site.profile(LINK, local_group_information={"id": NOBODY, "bond_mode": "glue"}),
    ),
    profile(400, "local_group_information.id", site.profile(LINK, local_group_information={"bond_mode": "4"})),
    profile(409, "local_link_information", site.profile(site.link(port=1)), "SwitchPortInUse"),
    port(400, "network_id", network_id="{flat}", **VNIC, **{"binding:profile": {"local_link_information": [LINK]}}),
    Case(
        "POST",
        "/v2.0/ports",
        {"ports": [{"network_id": "{net}"}, {"network_id": "{net}", "mac_address": "52:54:00:00:00:01"}]},
        409,
        "ports[1]: mac_address",
        "MacAddressInUse",
    ),
    change("ports", 409, "mac_address", "PortBound", mac_address="52:54:00:00:00:99"),
    change("ports", 409, "mac_address", "PortBound", mac_address=None),
    change("ports", 409, "mac_address", "PortBound", mac_address=None, **{"binding:host_id": ""}),
    change("ports", 400, "Cannot update read-only attribute network_id", network_id=NOBODY),
    Case("PUT", "/v2.0/ports/{port}", {"port": {"status": "ACTIVE"}}, 400, "read-only attribute status"),
    change("ports", 400, "Cannot update read-only attribute binding:vif_type", **{"binding:vif_type": "ovs"}),
    change("ports", 400, "switch_id", **{"binding:profile": {"local_link_information": [LINK | {"switch_id": "?"}]}}),
    Case("GET", "/v2.0/ports/" + "9" * 300, None, 404, "999", "PortNotFound"),
    Case("DELETE", "/v2.0/ports/nul%00", None, 404, "nul", "PortNotFound"),
    # lists
    query("ports", 400, "colour", "colour=blue"),
    query("ports", 400, "security_groups", "security_groups=x"),
    query("ports", 400, "limit", "limit=-1"),
    query("ports", 400, "limit", "limit=ten"),
    query("ports", 400, "limit", "limit=99999999999999999999"),
    query("ports", 400, "marker", f"marker={NOBODY}"),
    query("ports", 400, "sort_key", "sort_key=colour"),
    query("ports", 400, "sort_key", "sort_key=binding:profile"),
    query("ports", 400, "sort_dir", "sort_key=id&sort_dir=up"),
    query("ports", 400, "sort_dir", "sort_key=id&sort_key=name&sort_dir=asc"),
    query("ports", 400, "page_reverse", "page_reverse=maybe"),
    query("ports", 400, "admin_state_up", "admin_state_up=maybe"),
    query("ports", 400, "mac_address", "mac_address=52:54"),
    query("ports", 400, "fixed_ips", "fixed_ips=10.0.0.1"),
    query("ports", 400, "fixed_ips", "fixed_ips=ip_address=ten"),
    query("ports", 400, "changed_since", "changed_since=yesterday"),
    query("ports", 400, "changed_since", "changed_since=0001-01-01T00:00:00%2B14:00"),
    query("networks", 400, "changed_since", "changed_since=9999-12-31T23:59:59-14:00"),
    query("ports", 400, "name", "name=%00"),
    query("ports", 400, "tags-any", "tags-any=" + ",".join(str(number) for number in range(101))),
    query("ports", 400, "not-tags", "&".join(f"not-tags=a{number},b{number}" for number in range(51))),
    query("networks", 400, "provider:segmentation_id", "provider:segmentation_id=blue"),
    query("subnets", 400, "gateway_ip", "gateway_ip=gw"),
    # tags
    Case("PUT", "/v2.0/networks/{net}/tags", {"tags": "red"}, 400, "tags"),
    Case("PUT", "/v2.0/networks/{net}/tags", {}, 400, "tags"),
    Case("PUT", "/v2.0/networks/{net}/tags/" + "x" * 61, None, 400, "tag"),
    Case("DELETE", "/v2.0/networks/{net}/tags/red", None, 404, "red", "TagNotFound"),
    Case("GET", "/v2.0/routers/{net}/tags", None, 404, "could not be found"),
    # shapes of requests
    raw(b"{", 400, "JSON"),
    raw(b"", 400, "body"),
    raw(b"[]", 400, "body"),
    raw(b"null", 400, "body"),
    raw(b"\xff\xfe", 400, "body"),
    raw(b"[" * 100_000, 400, "body"),
    raw(b'{"port": {"network_id": "{net}", "binding:profile": {"x": NaN}}}', 400, "binding:profile"),
    raw(b'{"port": {"network_id": "\\ud800"}}', 400, "network_id"),
    raw(b'{"port": {"network_id": "{net}", "fixed_ips": [{"subnet_id": "\\ud800"}]}}', 400, "fixed_ips[0].subnet_id"),
    raw(b'{"network": {"\\udfff": 1}}', 400, "network"),
    raw(b'{"port": "' + b"x" * 1_100_000 + b'"}', 413, "1048576", "RequestTooLarge"),
    Case("GET", "/v2.0/unknown", None, 404, "could not be found", "HTTPNotFound"),
    Case("GET", "/v3", None, 404, "could not be found", "HTTPNotFound"),
    Case("PATCH", "/v2.0/ports", {}, 405, "method", "HTTPMethodNotAllowed"),
    Case("GET", "/v2.0/extensions/router", None, 404, "router", "ExtensionNotFound"),
]


class Site(NamedTuple):
    api: Networking
    store: Store
    ids: dict[str, str]
    rows: dict[str, list[tuple[Any, ...]]]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def full(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A site with a provider network, a full one, a flat one, and a bound port."""
    folder: Path = tmp_path_factory.mktemp("bad-input")
    store = open_store(f"sqlite:///{folder}/api.sqlite")
    await store.write(lambda tx: metadata.create_all(tx.connection))
    await store.write(site.seed)
    api = Networking(app.create(store))
    net = await api.made("networks", name="prov", **PROVIDER, **{"provider:segmentation_id": 100})
    pool = [{"start": "10.10.0.2", "end": "10.10.0.100"}]
    sub = await api.made("subnets", network_id=net["id"], cidr="10.10.0.0/24", ip_version=4, allocation_pools=pool)
    tiny = await api.made("networks", name="tiny")
    few = await api.made("subnets", network_id=tiny["id"], cidr="10.11.0.0/30", ip_version=4)
    await api.made("ports", network_id=tiny["id"])
    flat = await api.made("networks", **{"provider:network_type": "flat", "provider:physical_network": "physnet2"})
    bound = await api.made(
        "ports",
        network_id=net["id"],
        mac_address="52:54:00:00:00:01",
        **VNIC,
        **{"binding:profile": site.profile(site.link(port=1))},
    )
    ids = {"net": net, "subnet": sub, "tiny": tiny, "tiny_subnet": few, "flat": flat, "port": bound}
    yield Site(api, store, {name: thing["id"] for name, thing in ids.items()}, await site.dump(store))
    await store.close()


def filled(text: str, ids: dict[str, str]) -> str:
    for name, ident in ids.items():
        text = text.replace("{" + name + "}", ident)
    return text


@pytest.mark.parametrize("case", CASES, ids=[f"{n}-{c.method}-{c.status}-{c.says[:30]}" for n, c in enumerate(CASES)])
async def test_refused_and_nothing_changed(full: Site, case: Case) -> None:
    body = case.body if isinstance(case.body, bytes) else b"" if case.body is None else json.dumps(case.body).encode()
    if b"{net}" in body or not isinstance(case.body, bytes):
        body = filled(body.decode(), full.ids).encode()
    answer = await full.api.request(case.method, filled(case.url, full.ids), body=body)
    assert answer.status == case.status, answer.body
    error = answer.json()["NeutronError"]
    assert set(error) == {"type", "message", "detail"}
    assert filled(case.says, full.ids) in error["message"]
    if case.kind:
        assert error["type"] == case.kind
    assert answer.headers["x-openstack-request-id"].startswith("req-")
    assert await site.dump(full.store) == full.rows
