"""The sections of a site file, each into its values. What holds between them is checked in `rules`."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, Protocol

import yaml

from ironlane.model.errors import Invalid
from ironlane.model.fabric import VLAN_MAX, VLAN_MIN, DriftPolicy
from ironlane.model.inventory import NAME, SwitchKind, file_option_problem, is_secret_name, ranges_problem
from ironlane.model.link import bond_options, lag_mode, normal_mac, normal_switch_id
from ironlane.model.secrets import is_secret
from ironlane.site import types
from ironlane.site.addresses import SUBNET_KEYS, read_cidr, read_gateway, read_subnet
from ironlane.site.document import BrokenDocument, Problem, compose, scalar
from ironlane.site.fields import Check, Fields
from ironlane.site.ranges import MOST_PORTS, expand_ports, parse_vlans

DRIVERS = ("ipmi", "redfish", "fake-hardware")
PLANES = ("management", "external", "data", "out-of-band")

_TOP = (
    "name",
    "planes",
    "physical_networks",
    "networks",
    "racks",
    "switch_templates",
    "switches",
    "node_templates",
    "nodes",
)
_PLANE = ("cidr", "gateway", "description")
_PHYSICAL_NETWORK = ("name", "tenant_vlans", "mtu")
_NETWORK = ("name", "physical_network", "vlan", "mtu", "subnet")
_RACK = ("name", "description")
_SWITCH = (
    "name",
    "template",
    "kind",
    "rack",
    "address",
    "port",
    "username",
    "secret",
    "mac",
    "datapath_id",
    "physical_network",
    "idle_vlan",
    "mlag_peer",
    "policy",
    "options",
    "ports",
)
_NODE = (
    "name",
    "template",
    "driver",
    "bmc",
    "driver_info",
    "rack",
    "resource_class",
    "properties",
    "nics",
    "portgroups",
)
_BMC = ("address", "port", "username", "password_secret")
_NIC = ("name", "address", "switch", "port", "pxe")
_PORTGROUP = ("name", "mode", "priority", "properties", "nics")


class Entry(NamedTuple):
    """Where a value was read, for the rules that come later."""

    fields: Fields
    nics: tuple[Fields, ...] = ()
    portgroups: tuple[Fields, ...] = ()
    subnet: Fields | None = None


class Draft(NamedTuple):
    """A file that was read but not yet checked as a whole: each value with its place."""

    name: str
    planes: list[tuple[types.Plane, Entry]]
    physical_networks: list[tuple[types.PhysicalNetwork, Entry]]
    networks: list[tuple[types.Network, Entry]]
    racks: list[tuple[types.Rack, Entry]]
    switches: list[tuple[types.Switch, Entry]]
    nodes: list[tuple[types.Node, Entry]]


def draft(text: str, problems: list[Problem]) -> Draft | None:
    """Read a file's text; what is wrong is added to `problems`. None when it is no YAML at all."""
    try:
        root = compose(text)
    except BrokenDocument as broken:
        problems.append(broken.problem)
        return None
    if root is None or (isinstance(root, yaml.ScalarNode) and scalar(root) is None):
        problems.append(Problem(1, "", "the file is empty"))
        return None
    top = Fields(root, "", _TOP, problems)
    return Draft(
        name=top.text("name"),
        planes=[(_plane(name, f), Entry(f)) for name, f in top.named("planes", _PLANE, PLANES).items()],
        physical_networks=[(_physical_network(f), Entry(f)) for f in top.each("physical_networks", _PHYSICAL_NETWORK)],
        networks=[_network(f) for f in top.each("networks", _NETWORK)],
        racks=[(types.Rack(_name(f), f.text("description")), Entry(f)) for f in top.each("racks", _RACK)],
        switches=[(_switch(f), Entry(f)) for f in _with_templates(top, "switch", "switches", _SWITCH)],
        nodes=[_node(f) for f in _with_templates(top, "node", "nodes", _NODE)],
    )


def _with_templates(top: Fields, noun: str, section: str, known: Collection[str]) -> list[Fields]:
    """The items of a section, each completed from the template that it names."""
    templates = top.named(f"{noun}_templates", [key for key in known if key not in ("name", "template")])
    items = top.each(section, known)
    for item in items:
        name = item.text("template")
        if name in templates:
            item.inherit(templates[name])
        elif name:
            item.problem("template", f"there is no {noun} template {name!r}")
    return items


def _name(fields: Fields) -> str:
    return fields.text("name", required=True, check=_name_problem)


def _name_problem(text: str) -> str | None:
    if NAME.fullmatch(text):
        return None
    return f"{text!r} is no name: 1 to 64 of A-Z a-z 0-9 _ . - beginning with a letter or digit"


def _secret_problem(text: str) -> str | None:
    return None if is_secret_name(text) else "must be the name of a secret (A-Z a-z 0-9 _ . -), never the secret itself"


def _address_problem(text: str) -> str | None:
    if "://" in text and ("@" in text or "?" in text):
        return "must not carry a login: name the user in username and the password's secret in password_secret"
    return "must not contain spaces" if " " in text else None


def _one_of(names: Collection[str]) -> Check:
    return lambda text: None if text in names else f"{text!r} is none of {', '.join(names)}"


def _plane(name: str, fields: Fields) -> types.Plane:
    network = read_cidr(fields, required=False)
    return types.Plane(name, str(network or ""), read_gateway(fields, network), fields.text("description"))


def _physical_network(fields: Fields) -> types.PhysicalNetwork:
    ranges = []
    for item in fields.texts("tenant_vlans"):
        try:
            ranges.append(parse_vlans(item.value))
        except ValueError as error:
            fields.problem_at(item, str(error))
    wrong = ranges_problem(ranges)
    if wrong is not None:
        fields.problem("tenant_vlans", wrong)
        ranges = []
    mtu = fields.number("mtu", 68, 65535)
    return types.PhysicalNetwork(_name(fields), tuple(ranges), 1500 if mtu is None else mtu)


def _network(fields: Fields) -> tuple[types.Network, Entry]:
    below = fields.mapping("subnet", SUBNET_KEYS)
    network = types.Network(
        name=_name(fields),
        physical_network=fields.text("physical_network", required=True),
        vlan=fields.number("vlan", VLAN_MIN, VLAN_MAX, required=True) or 0,
        mtu=fields.number("mtu", 68, 65535),
        subnet=None if below is None else read_subnet(below),
    )
    return network, Entry(fields, subnet=below)


def _switch(fields: Fields) -> types.Switch:
    datapath_id = _parsed(fields, "datapath_id", normal_switch_id)
    if ":" in datapath_id:
        fields.problem("datapath_id", "is a MAC address; a datapath id has 16 hex digits")
        datapath_id = ""
    if not fields.text("mac") and not fields.text("datapath_id"):
        fields.problem("mac", "or datapath_id must be given: links name the switch by one of them")
    options = fields.free("options")
    wrong = file_option_problem(options)
    if wrong is not None:
        fields.problem("options", f"{wrong[0]} {wrong[1]}")
    return types.Switch(
        name=_name(fields),
        kind=fields.text("kind", required=True, check=_one_of([kind.value for kind in SwitchKind])),
        address=fields.text("address", required=True, check=_address_problem),
        physical_network=fields.text("physical_network", required=True),
        ports=_ports(fields),
        rack=fields.text("rack") or None,
        port=fields.number("port", 1, 65535),
        username=fields.text("username"),
        secret=fields.text("secret", check=_secret_problem),
        mac=_parsed(fields, "mac", normal_mac) or None,
        datapath_id=datapath_id or None,
        idle_vlan=fields.number("idle_vlan", VLAN_MIN, VLAN_MAX),
        mlag_peer=fields.text("mlag_peer") or None,
        policy=fields.text("policy", check=_one_of([policy.value for policy in DriftPolicy]))
        or DriftPolicy.REPAIR.value,
        options=options,
    )


class Parser(Protocol):
    """One of the model's parsers: a text in any notation to its normal form, or `Invalid`."""

    def __call__(self, text: str, *, where: str) -> str: ...


def _parsed(fields: Fields, key: str, parse: Parser, *, required: bool = False) -> str:
    """A text in its normal form, by one of the model's parsers."""
    text = fields.text(key, required=required)
    if not text:
        return ""
    try:
        return parse(text, where="")
    except Invalid as error:
        fields.problem(key, error.message)
        return ""


def _ports(fields: Fields) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for item in fields.texts("ports", required=True):
        try:
            expanded = expand_ports(item.value)
        except ValueError as error:
            fields.problem_at(item, str(error))
            continue
        twice = [name for name in expanded if name in names]
        if twice:
            fields.problem_at(item, f"names {twice[0]} again" + (f" (and {len(twice) - 1} more)" if twice[1:] else ""))
        names.update(dict.fromkeys(expanded))
    if len(names) > MOST_PORTS:
        fields.problem("ports", f"are {len(names)}; at most {MOST_PORTS} are allowed")
    return tuple(names)


def _node(fields: Fields) -> tuple[types.Node, Entry]:
    nics = fields.each("nics", _NIC, required=True)
    groups = fields.each("portgroups", _PORTGROUP)
    node = types.Node(
        name=_name(fields),
        driver=fields.text("driver", required=True, check=_one_of(DRIVERS)),
        bmc=_bmc(fields),
        driver_info=_driver_info(fields),
        rack=fields.text("rack") or None,
        resource_class=fields.text("resource_class", check=lambda t: "is too long" if len(t) > 80 else None) or None,
        properties=fields.free("properties"),
        nics=tuple(_nic(f) for f in nics),
        portgroups=tuple(_portgroup(f) for f in groups),
    )
    return node, Entry(fields, tuple(nics), tuple(groups))


def _bmc(fields: Fields) -> types.Bmc | None:
    below = fields.mapping("bmc", _BMC)
    if below is None:
        return None
    return types.Bmc(
        address=below.text("address", required=True, check=_address_problem),
        port=below.number("port", 1, 65535),
        username=below.text("username"),
        password_secret=below.text("password_secret", check=_secret_problem),
    )


def _driver_info(fields: Fields) -> dict[str, object]:
    found = fields.free("driver_info")
    for key in found:
        if is_secret(key):
            fields.problem("driver_info", f"{key}: no secrets in this file; name one in bmc.password_secret")
    return found


def _nic(fields: Fields) -> types.Nic:
    switch, port = fields.text("switch"), fields.text("port")
    if bool(switch) != bool(port):
        fields.problem("port" if switch else "switch", "is missing: a cable has a switch and a port, or neither")
    return types.Nic(
        name=_name(fields),
        address=_parsed(fields, "address", normal_mac, required=True),
        switch=switch or None,
        port=port or None,
        pxe=fields.flag("pxe", False),
    )


def _portgroup(fields: Fields) -> types.Portgroup:
    properties = fields.free("properties")
    if "priority" in properties:
        fields.problem("properties", "priority: give it as the portgroup's own key")
    try:
        bond_options(properties, where="properties")
    except Invalid as error:
        fields.problem("properties", error.message)
    mode = fields.text("mode", required=True)
    try:
        if mode:
            lag_mode(mode, where="")
    except Invalid as error:
        fields.problem("mode", error.message)
        mode = ""
    return types.Portgroup(
        name=_name(fields),
        nics=tuple(item.value for item in fields.texts("nics", required=True)),
        mode=mode,
        priority=fields.number("priority", -1_000_000, 1_000_000) or 0,
        properties=properties,
    )
