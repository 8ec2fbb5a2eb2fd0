"""What a Neutron and an Ironic show, as `POST /fabric/v1/takeover` takes it; and what cannot be taken over."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ironlane.cli.takeover.source import Found, Things
from ironlane.model.secrets import MASK

Secret = Callable[[str, str], str | None]
"""`(node's UUID, key of driver_info)` to the secret that the source does not show, None if nobody gave it."""

_PLAIN = ("id", "project_id", "name", "description", "tags")
_NETWORK = ("admin_state_up", "shared", "port_security_enabled", "mtu")
_SUBNET = (
    *("network_id", "ip_version", "cidr", "gateway_ip", "enable_dhcp", "allocation_pools", "dns_nameservers"),
    *("host_routes", "ipv6_ra_mode", "ipv6_address_mode"),
)
_PORT = ("network_id", "mac_address", "admin_state_up", "port_security_enabled")
_NODE = (
    *("name", "driver", "provision_state", "properties", "extra", "traits", "instance_uuid", "resource_class"),
    *("conductor_group", "owner", "lessee", "description", "power_state", "maintenance", "maintenance_reason"),
    *("protected", "protected_reason", "retired", "retired_reason", "automated_clean"),
)
_PORTGROUP = ("name", "address", "mode", "properties", "extra", "standalone_ports_supported")
_NIC = ("address", "local_link_connection", "pxe_enabled", "physical_network", "is_smartnic", "extra", "name")
_DEPLOY_INTERFACES = frozenset({"direct", "ramdisk"})
_TENANT_VIF = "tenant_vif_port_id"


@dataclass(frozen=True, slots=True)
class Left:
    """A thing that stays where it is, and why; or `remark`: it is taken over, and not all of it."""

    noun: str
    id: str
    name: str
    reason: str
    remark: bool = False


@dataclass(slots=True)
class Translation:
    """The body of the request, but for `dry_run`."""

    body: dict[str, Things] = field(default_factory=dict)
    left: list[Left] = field(default_factory=list)

    def ids(self, name: str) -> set[str]:
        """Of what is taken over."""
        return {thing["id"] for thing in self.body[name]}

    def leave(self, noun: str, thing: Mapping[str, Any], reason: str, *, remark: bool = False) -> None:
        ident = str(thing.get("uuid") or thing.get("id"))
        self.left.append(Left(noun, ident, str(thing.get("name") or thing.get("address") or ""), reason, remark))


def translate(found: Found, provider_networks: Collection[str], secret: Secret) -> Translation:
    """`provider_networks` are names or UUIDs of the networks for cleaning, provisioning and the like."""
    made = Translation()
    made.body["networks"] = list(_networks(made, found.networks, provider_networks))
    made.body["subnets"] = list(_subnets(made, found.subnets))
    sub_ports = {s["port_id"] for trunk in found.trunks for s in trunk["sub_ports"]}
    made.body["ports"] = list(_ports(made, found.ports, sub_ports))
    made.body["trunks"] = list(_trunks(made, found.trunks))
    made.body["nodes"] = [_node(made, node, secret) for node in found.nodes]
    order: dict[str, int] = {}
    made.body["portgroups"] = [_of_node(group, _PORTGROUP, order) for group in found.portgroups]
    made.body["nics"] = [_of_node(nic, _NIC, order) | {"portgroup_id": nic.get("portgroup_uuid")} for nic in found.nics]
    return made


def _networks(made: Translation, networks: Things, provider: Collection[str]) -> Iterable[dict[str, Any]]:
    for network in networks:
        kind, vlan = network.get("provider:network_type"), network.get("provider:segmentation_id")
        if kind is None:
            made.leave("network", network, "its provider attributes are not shown: read it as an admin")
        elif kind != "vlan" or vlan is None:
            made.leave("network", network, f"is of type {kind}; a switch port can be put on a VLAN only")
        else:
            yield {
                **_some(network, _PLAIN),
                **_some(network, _NETWORK),
                "router_external": bool(network.get("router:external")),
                "side": "provider" if {network["id"], network["name"]} & set(provider) else "tenant",
                "physical_network": network["provider:physical_network"],
                "segmentation_id": vlan,
            }


def _subnets(made: Translation, subnets: Things) -> Iterable[dict[str, Any]]:
    networks = made.ids("networks")
    for subnet in subnets:
        if subnet["network_id"] in networks:
            yield {**_some(subnet, _PLAIN), **_some(subnet, _SUBNET), "gateway_ip": subnet.get("gateway_ip")}
        else:
            made.leave("subnet", subnet, "its network is not taken over")


def _ports(made: Translation, ports: Things, sub_ports: Collection[str]) -> Iterable[dict[str, Any]]:
    networks = made.ids("networks")
    for port in ports:
        is_subport, vnic = port["id"] in sub_ports, port.get("binding:vnic_type", "normal")
        host, vif, owner = port.get("binding:host_id") or "", port.get("binding:vif_type"), port["device_owner"]
        if port["network_id"] not in networks:
            made.leave("port", port, "its network is not taken over")
        elif vif is None:
            made.leave("port", port, "its binding is not shown: read it as an admin")
        elif vif == "binding_failed":
            made.leave("port", port, "its binding has failed there")
        elif not is_subport and vnic != "baremetal" and (host or owner.startswith("network:")):
            made.leave("port", port, f"is no server's: {owner or vnic}, {vif}")
        else:
            binding: dict[str, Any] = {"vnic_type": vnic}
            if not is_subport:  # otherwise it follows from the trunk
                binding |= {"host_id": host, "profile": port.get("binding:profile") or {}}
                binding |= _some(port, ("device_id", "device_owner"))
            yield {
                **_some(port, _PLAIN),
                **_some(port, _PORT),
                **binding,
                "extra_dhcp_opts": port.get("extra_dhcp_opts") or [],
                "fixed_ips": [_some(fixed, ("subnet_id", "ip_address")) for fixed in port["fixed_ips"]],
            }


def _trunks(made: Translation, trunks: Things) -> Iterable[dict[str, Any]]:
    ports = made.ids("ports")
    for trunk in trunks:
        missing = {trunk["port_id"], *(s["port_id"] for s in trunk["sub_ports"])} - ports
        if missing:
            made.leave("trunk", trunk, f"these of its ports are not taken over: {', '.join(sorted(missing))}")
            continue
        members = [_some(s, ("port_id", "segmentation_type", "segmentation_id")) for s in trunk["sub_ports"]]
        yield {**_some(trunk, _PLAIN), **_some(trunk, ("port_id", "admin_state_up")), "sub_ports": members}


def _node(made: Translation, node: dict[str, Any], secret: Secret) -> dict[str, Any]:
    body = {"id": node["uuid"], **_some(node, _NODE), "instance_info": _without_masked(node["instance_info"])}
    info, unknown = {}, []
    for key, value in node["driver_info"].items():
        given = secret(node["uuid"], key) if value == MASK else value
        if given is None:
            unknown.append(key)
        else:
            info[key] = given
    body["driver_info"] = info
    if body.get("power_state") not in {"power on", "power off"}:
        body["power_state"] = None
    if unknown:
        reason = f"imported without driver_info {', '.join(unknown)}: set that, and take maintenance off"
        if not body.get("maintenance"):
            body |= {"maintenance": True, "maintenance_reason": reason}
        made.leave(
            "node", node, f"{', '.join(unknown)} of driver_info: in maintenance until somebody sets it", remark=True
        )
    deploy = node.get("deploy_interface")
    if deploy in _DEPLOY_INTERFACES:
        body["interfaces"] = {"deploy_interface": deploy}
    elif deploy not in {None, "fake"}:
        made.leave("node", node, f"deploy_interface {deploy}: it has the driver's default", remark=True)
    return body


def _of_node(thing: Mapping[str, Any], names: Iterable[str], order: dict[str, int]) -> dict[str, Any]:
    """A portgroup or NIC; its VIF, if it has one, comes after those before it."""
    node, vif = thing["node_uuid"], (thing.get("internal_info") or {}).get(_TENANT_VIF)
    info: dict[str, Any] = {}
    if vif:
        order[node] = order.get(node, 0) + 1
        info = {_TENANT_VIF: vif, "tenant_vif_order": order[node]}
    return {"id": thing["uuid"], "node_id": node, **_some(thing, names), "internal_info": info}


def _without_masked(value: Any) -> Any:
    """A copy without the secrets that read `******`."""
    if isinstance(value, Mapping):
        return {key: _without_masked(inner) for key, inner in value.items() if inner != MASK}
    return [_without_masked(inner) for inner in value] if isinstance(value, list) else value


def _some(thing: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """These of its attributes; what is null there is left to be what it is by itself."""
    return {name: thing[name] for name in names if thing.get(name) is not None}
