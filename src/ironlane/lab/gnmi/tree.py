"""gNMI paths into a tree of configuration, and its content as JSON (RFC 7951), both ways.

Trees and schema are those of `lab.netconf`: lxml elements, checked by its `datastore.edit`. Pure but for the tree that
is changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from lxml import etree

from ironlane.lab.netconf import datastore
from ironlane.lab.netconf.datastore import RpcFault
from ironlane.lab.netconf.schema import MODULES, ROOT, Form, Kind, Node
from ironlane.protobuf import gnmi_pb2 as pb

_MODULE = {uri.partition("?")[0]: uri.partition("module=")[2].partition("&")[0] for uri in MODULES}
"""Namespace → name of the module."""
_IDENTITIES = "iana-if-type"
ANY = "*"


class Step(NamedTuple):
    """One element of a path: its schema node, its tag, and of a list entry its key; `ANY` means all entries."""

    node: Node
    tag: str
    key: str


def resolve(prefix: pb.Path, path: pb.Path, schema: Node = ROOT) -> list[Step]:
    """The way to what a path names, from the root of a schema.

    Raises:
        RpcFault: `unknown-element` for what the schema does not have, `bad-element` for keys that do not fit.
    """
    for origin in {prefix.origin, path.origin} - {"", "openconfig"}:
        raise RpcFault("operation-not-supported", f"no origin {origin!r} on this switch")
    steps = []
    node = schema
    for elem in [*prefix.elem, *path.elem]:
        tag = _child(node, elem.name)
        node = node.children[tag]
        keys = dict(elem.key)
        key = keys.pop(etree.QName(node.key).localname, ANY) if node.kind is Kind.LIST else ""
        if keys:
            raise RpcFault("bad-element", f"{elem.name} has no key {', '.join(sorted(keys))}")
        steps.append(Step(node, tag, key))
    return steps


def find(tree: etree._Element, steps: Sequence[Step]) -> list[etree._Element]:
    """All elements that a path names."""
    found = [tree]
    for step in steps:
        found = [
            child
            for element in found
            for child in element.iterchildren(step.tag)
            if step.key in ("", ANY) or (child.findtext(step.node.key) or "") == step.key
        ]
    return found


def delete(tree: etree._Element, steps: Sequence[Step]) -> None:
    """What is not there is silently accepted (gNMI specification section 3.4.6)."""
    if not steps:
        tree[:] = []
    for element in find(tree, steps) if steps else ():
        parent = element.getparent()
        if parent is not None:
            parent.remove(element)


def replace(tree: etree._Element, steps: Sequence[Step], value: pb.TypedValue) -> None:
    """What is there goes, what the value says comes (section 3.4.4)."""
    content = config([(steps, value)])
    delete(tree, steps)
    datastore.edit(tree, content)


def config(updates: Iterable[tuple[Sequence[Step], pb.TypedValue]]) -> etree._Element:
    """The content of an <edit-config> that merges values at their paths, in order."""
    root = etree.Element("config")
    for steps, value in updates:
        if any(step.key == ANY for step in steps):
            raise RpcFault("bad-element", "what is to be set needs all keys in its path")
        parent = root
        for step in steps[:-1]:
            parent = _enter(parent, step)
        content = decoded(value)
        if not steps:
            _fill(root, ROOT, content)
        elif steps[-1].node.kind in (Kind.LEAF, Kind.LEAF_LIST):
            _add_leaves(parent, steps[-1].tag, steps[-1].node, content)
        else:
            _fill(_enter(parent, steps[-1]), steps[-1].node, content)
    return root


def decoded(value: pb.TypedValue) -> Any:
    """A value as JSON has it."""
    kind = value.WhichOneof("value")
    if kind in ("json_ietf_val", "json_val"):
        try:
            return json.loads(value.json_ietf_val or value.json_val)
        except ValueError as error:
            raise RpcFault("invalid-value", f"malformed JSON: {error}") from None
    if kind == "leaflist_val":
        return [decoded(element) for element in value.leaflist_val.element]
    if kind in ("string_val", "int_val", "uint_val", "bool_val"):
        return getattr(value, kind)
    raise RpcFault("operation-not-supported", f"values as {kind} are not supported")


def to_json(element: etree._Element, node: Node, *, within: str | None = None) -> Any:
    """An element as JSON. `within` is the namespace of what encloses it: only other ones are named (section 4)."""
    if node.kind in (Kind.LEAF, Kind.LEAF_LIST):
        return _scalar(element.text or "", node)
    content: dict[str, Any] = {}
    for child in element:
        inner = node.children[child.tag]
        name = etree.QName(child)
        label = name.localname if name.namespace == within else f"{_MODULE[name.namespace or '']}:{name.localname}"
        value = to_json(child, inner, within=name.namespace)
        if inner.kind in (Kind.LIST, Kind.LEAF_LIST):
            content.setdefault(label, []).append(value)
        else:
            content[label] = value
    return content


def path_of(element: etree._Element, steps: Sequence[Step]) -> pb.Path:
    """The path of one element that `find` found, with its keys."""
    lineage = [element, *element.iterancestors()]
    path = pb.Path()
    for step, at in zip(steps, reversed(lineage[: len(steps)]), strict=True):
        key = {}
        if step.node.kind is Kind.LIST:
            key[etree.QName(step.node.key).localname] = at.findtext(step.node.key) or ""
        path.elem.add(name=etree.QName(step.tag).localname, key=key)
    return path


def _child(node: Node, name: str) -> str:
    """The tag of a schema node's child. The module's name before it may be left out."""
    module, _, local = name.rpartition(":")
    for tag in node.children:
        qualified = etree.QName(tag)
        if qualified.localname == local and module in ("", _MODULE[qualified.namespace or ""]):
            return tag
    raise RpcFault("unknown-element", f"no element {name} here")


def _enter(parent: etree._Element, step: Step) -> etree._Element:
    element = etree.SubElement(parent, step.tag)
    if step.node.kind is Kind.LIST:
        etree.SubElement(element, step.node.key).text = step.key
    return element


def _fill(element: etree._Element, node: Node, content: Any) -> None:
    if not isinstance(content, dict):
        raise RpcFault("invalid-value", f"{etree.QName(element).localname}: expected an object, not {content!r}")
    for name, value in content.items():
        tag = _child(node, name)
        inner = node.children[tag]
        if inner.kind is Kind.LIST:
            for entry in _list(name, value):
                _fill(etree.SubElement(element, tag), inner, entry)
        elif inner.kind is Kind.CONTAINER:
            _fill(etree.SubElement(element, tag), inner, value)
        elif tag == node.key and element.find(tag) is not None:
            if element.findtext(tag) != _text(name, inner, value):
                raise RpcFault("invalid-value", f"{name} {value!r} contradicts the key in the path")
        else:
            _add_leaves(element, tag, inner, value)


def _add_leaves(parent: etree._Element, tag: str, node: Node, value: Any) -> None:
    name = etree.QName(tag).localname
    for item in _list(name, value) if node.kind is Kind.LEAF_LIST else [value]:
        leaf = etree.SubElement(parent, tag, nsmap={"id": node.identities} if node.identities else None)
        leaf.text = _text(name, node, item)


def _list(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise RpcFault("invalid-value", f"{name}: expected a list, not {value!r}")
    return value


def _text(name: str, node: Node, value: Any) -> str:
    """A leaf's value as XML has it. JSON's types are not interchangeable: 12 is a number, "12" is none."""
    fits = {
        Form.STRING: isinstance(value, str),
        Form.BOOLEAN: isinstance(value, bool),
        Form.NUMBER: type(value) is int,
        Form.NUMBER_OR_STRING: type(value) is int or (isinstance(value, str) and not value.isdigit()),
    }[node.form]
    if not fits:
        raise RpcFault("invalid-value", f"{name}: expected a {node.form.value}, not {value!r}")
    if node.identities:
        module, _, local = value.partition(":")
        if module != _IDENTITIES:
            raise RpcFault("invalid-value", f"{name}: {value!r} is no identity of {_IDENTITIES}")
        return f"id:{local}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _scalar(text: str, node: Node) -> Any:
    if node.identities:
        return f"{_IDENTITIES}:{text.rpartition(':')[2]}"
    if node.form is Form.BOOLEAN:
        return text == "true"
    if node.form is Form.NUMBER or (node.form is Form.NUMBER_OR_STRING and text.isdigit()):
        return int(text)
    return text
