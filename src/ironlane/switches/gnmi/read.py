"""The answer to Get → what ports carry. Pure.

A target may answer with one subtree, with a value for each leaf, or with anything between: all of it is put into one
tree first. Of modules that are not OpenConfig's nothing is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ironlane.model.lldp import Neighbour, told
from ironlane.protobuf import gnmi_pb2 as pb
from ironlane.switches.gnmi.names import GnmiDialect
from ironlane.switches.gnmi.write import Elements, path_of
from ironlane.switches.openconfig import meaning
from ironlane.switches.openconfig.leaves import Interface, Lacp, SwitchedVlan, VlanEntry
from ironlane.switches.openconfig.names import NEIGHBOUR_LEAVES

INTERFACES: Elements = ("interfaces",)
LACP: Elements = ("lacp", "interfaces")
NEIGHBOURS: Elements = ("lldp", "interfaces")

_KEYS = ("name", "vlan-id")
"""The keys of the lists that are read: interfaces, LACP's, network instances; their VLANs."""

Tree = dict[str, Any]


def vlans(dialect: GnmiDialect) -> Elements:
    """Where VLANs are defined."""
    return ("network-instances", ("network-instance", "name", dialect.network_instance), "vlans")


def get_request(paths: Iterable[Elements], dialect: GnmiDialect, kind: pb.GetRequest.DataType) -> pb.GetRequest:
    """The question for everything that `observation` looks at.

    It asks for all interfaces rather than the wanted ones, because which LAGs these are in, and who else is in those
    LAGs, is part of the answer.
    """
    request = pb.GetRequest(path=[path_of(path) for path in paths], type=kind, encoding=pb.JSON_IETF)
    if dialect.target or dialect.origin:
        request.prefix.CopyFrom(pb.Path(target=dialect.target, origin=dialect.origin))
    return request


def observation(
    answers: Iterable[pb.GetResponse], wanted: Collection[str], dialect: GnmiDialect
) -> meaning.Observation:
    """Read the answers to `get_request`. Wanted ports that they do not show are left out.

    Raises:
        ValueError: a value that is neither JSON nor a scalar.
    """
    tree = _tree(answers)
    interfaces = _at(tree, "interfaces", "interface")
    lacp = _at(tree, "lacp", "interfaces", "interface")
    defined = _at(tree, "network-instances", "network-instance", dialect.network_instance, "vlans", "vlan")
    return meaning.observation(
        {name: _interface(entry) for name, entry in interfaces.items()},
        {name: _lacp(entry) for name, entry in lacp.items()},
        [VlanEntry(vlan, _name(_at(entry, "config"), "status")) for vlan, entry in defined.items()],
        wanted,
        dialect,
    )


def neighbours(answer: pb.GetResponse, wanted: Collection[str]) -> dict[str, list[Neighbour]]:
    """Read the answer about `NEIGHBOURS`: who is behind each wanted port that hears anything.

    Raises:
        ValueError: as `observation`.
    """
    found: dict[str, list[Neighbour]] = {}
    for port, interface in _at(_tree([answer]), "lldp", "interfaces", "interface").items():
        for entry in _at(interface, "neighbors", "neighbor").values():
            state = _at(entry, "state") if isinstance(entry, dict) else {}
            neighbour = told(*(_text(state, leaf) for leaf in NEIGHBOUR_LEAVES))
            if port in wanted and neighbour.says:
                found.setdefault(port, []).append(neighbour)
    return found


def digest(answers: Iterable[pb.GetResponse]) -> bytes:
    """What tells an answer from any other, whenever it was given."""
    said = hashlib.sha256()
    for answer in answers:
        for notification in answer.notification:
            content = pb.Notification(prefix=notification.prefix, update=notification.update)
            octets = content.SerializeToString(deterministic=True)
            said.update(len(octets).to_bytes(8, "big") + octets)
    return said.digest()


def _tree(answers: Iterable[pb.GetResponse]) -> Tree:
    tree: Tree = {}
    for answer in answers:
        for notification in answer.notification:
            for update in notification.update:
                _put(tree, [*notification.prefix.elem, *update.path.elem], _decoded(update.val))
    return tree


def _interface(entry: Tree) -> Interface:
    config, ethernet, aggregation = (_at(entry, name) for name in ("config", "ethernet", "aggregation"))
    agreed = _at(aggregation, "config")
    return Interface(
        description=_text(config, "description"),
        enabled=_text(config, "enabled"),
        aggregate_id=_text(_at(ethernet, "config"), "aggregate-id"),
        on_port=_switched_vlan(_at(ethernet, "switched-vlan", "config")),
        lag_type=_name(agreed, "lag-type"),
        min_links=_text(agreed, "min-links"),
        on_lag=_switched_vlan(_at(aggregation, "switched-vlan", "config")),
    )


def _switched_vlan(config: Tree) -> SwitchedVlan | None:
    if not config:
        return None
    trunk = config.get("trunk-vlans", [])
    return SwitchedVlan(
        mode=_name(config, "interface-mode"),
        access=_text(config, "access-vlan"),
        native=_text(config, "native-vlan"),
        trunk=tuple(str(item).strip() for item in (trunk if isinstance(trunk, list) else [trunk])),
    )


def _lacp(entry: Tree) -> Lacp:
    config = _at(entry, "config")
    return Lacp(_name(config, "lacp-mode"), _name(config, "interval"), _text(config, "fallback"))


def _decoded(value: pb.TypedValue) -> Any:
    kind = value.WhichOneof("value")
    if kind in ("json_ietf_val", "json_val"):
        return json.loads(value.json_ietf_val or value.json_val)
    if kind == "leaflist_val":
        return [_decoded(element) for element in value.leaflist_val.element]
    if kind in ("string_val", "int_val", "uint_val", "bool_val"):
        return getattr(value, kind)
    raise ValueError(f"a value as {kind}, which was not asked for")


def _put(tree: Tree, path: list[pb.PathElem], value: Any) -> None:
    """Put a value where its path says. An entry of a list is found by its key."""
    node = tree
    for position, elem in enumerate(path):
        name = _local(elem.name)
        if position == len(path) - 1 and not elem.key and not isinstance(value, dict):
            _absorb(node, name, value)
            return
        node = node.setdefault(name, {})
        if elem.key:
            node = node.setdefault(_key(elem.key) or str(dict(elem.key)), {})
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} in place of an object")
    for member, inner in value.items():
        _absorb(node, _local(member), inner)


def _absorb(node: Tree, name: str, value: Any) -> None:
    if isinstance(value, dict):
        inner = node.setdefault(name, {})
        for member, content in value.items():
            _absorb(inner, _local(member), content)
    elif isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value):
        entries = node.setdefault(name, {})
        for number, entry in enumerate(value):
            _absorb(entries, _key({_local(name): inner for name, inner in entry.items()}) or f"#{number}", entry)
    else:
        node[name] = value


def _key(leaves: Mapping[str, Any]) -> str:
    """By what an entry of a list is found; empty if by nothing that is known here."""
    return next((str(leaves[key]) for key in _KEYS if key in leaves), "")


def _local(name: str) -> str:
    """``openconfig-vlan:config`` → ``config``. What is another module's keeps its module."""
    module, _, local = name.rpartition(":")
    return local if not module or module.startswith("openconfig-") else name


def _at(node: Tree, *names: str) -> Tree:
    for name in names:
        inner = node.get(name)
        node = inner if isinstance(inner, dict) else {}
    return node


def _text(node: Tree, name: str) -> str:
    """A leaf as text; empty if it is absent."""
    value = node.get(name, "")
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


def _name(node: Tree, name: str) -> str:
    """An enumeration's or identity's name without the module that some write before it."""
    return _text(node, name).rpartition(":")[2]
