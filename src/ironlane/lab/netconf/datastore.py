"""Trees of configuration: edit them as <edit-config> does, and select from them as <get-config> does.

A datastore is an lxml element whose children are the top-level containers. All of this is synchronous and pure but for
the tree that an edit is applied to.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from lxml import etree

from ironlane.lab.netconf.schema import NAMESPACES, NETCONF, ROOT, Kind, Node

_OPERATION = f"{{{NETCONF}}}operation"
_OPERATIONS = frozenset({"merge", "replace", "create", "delete", "remove", "none"})
_PREFIXES = {namespace: prefix for prefix, namespace in NAMESPACES.items()}


class RpcFault(Exception):
    """An <rpc-error> for the client (RFC 6241 section 4.3 and appendix A).

    `path` is the error-path with the prefixes of `schema.NAMESPACES`; `info` are leaves of error-info.
    """

    def __init__(
        self,
        tag: str,
        message: str,
        *,
        path: str = "",
        kind: str = "application",
        app_tag: str = "",
        info: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.tag = tag
        self.message = message
        self.path = path
        self.kind = kind
        self.app_tag = app_tag
        self.info = dict(info or {})


def path_of(element: etree._Element) -> str:
    """Where an element of a datastore or of an <edit-config> is: ``/oc-if:interfaces/oc-if:interface[…]/…``."""
    steps: list[str] = []
    lineage = [element, *element.iterancestors()]
    schema: Node | None = ROOT
    for step in reversed([e for e in lineage if etree.QName(e).namespace in _PREFIXES]):
        schema = schema.children.get(step.tag) if schema else None
        name = _short(step.tag)
        if schema is not None and schema.kind is Kind.LIST:
            name += f"[{_short(schema.key)}='{_value(step, schema.key)}']"
        steps.append(name)
    return "".join(f"/{step}" for step in steps)


def edit(tree: etree._Element, config: etree._Element, default: str = "merge") -> None:
    """Apply the content of <config> to a datastore (RFC 6241 section 7.2).

    On a fault the tree is left half edited: the caller works on a copy.

    Raises:
        RpcFault: unknown element, bad value, or data-exists and data-missing by the operation.
    """
    if default == "replace":
        tree[:] = []
        default = "merge"
    editor = _Editor()
    for child in config:
        editor.edit(tree, ROOT, child, default)


class _Editor:
    """One pass over an edit. Remembers list entries by their keys, so that long lists stay cheap."""

    def __init__(self) -> None:
        self._entries: dict[tuple[etree._Element, str], dict[str, etree._Element]] = {}

    def edit(self, parent: etree._Element, schema: Node, change: etree._Element, inherited: str) -> None:
        node = schema.children.get(change.tag)
        if node is None:
            raise RpcFault(
                "unknown-element",
                f"no element {_short(change.tag)} here",
                path=path_of(change),
                info={"bad-element": etree.QName(change).localname},
            )
        operation = change.get(_OPERATION) or inherited
        if operation not in _OPERATIONS:
            raise RpcFault("bad-attribute", f"no operation {operation!r}", path=path_of(change), kind="protocol")
        existing = self._find(parent, node, change)
        if operation == "delete" and existing is None:
            raise RpcFault("data-missing", "cannot delete what is not there", path=path_of(change))
        if operation == "create" and existing is not None:
            raise RpcFault("data-exists", "cannot create what is there", path=path_of(change))
        if operation in ("delete", "remove"):
            self._remove(parent, existing)
        elif node.kind in (Kind.LEAF, Kind.LEAF_LIST):
            if operation != "none":
                _set(parent, node, change, existing)
        else:
            if operation == "replace":
                self._remove(parent, existing)
                existing = None
            self._edit_inside(parent, node, change, existing, operation)

    def _edit_inside(
        self,
        parent: etree._Element,
        node: Node,
        change: etree._Element,
        existing: etree._Element | None,
        operation: str,
    ) -> None:
        """A container or list entry: make it if need be, then go on with its content."""
        if existing is None:
            if operation == "none":
                raise RpcFault("data-missing", "there is no such element to look into", path=path_of(change))
            existing = etree.SubElement(parent, change.tag, nsmap=_default_namespace(change.tag))
            if node.key:
                self._entries[parent, change.tag][_value(change, node.key)] = existing
        for child in change:
            self.edit(existing, node, child, "none" if operation == "none" else "merge")

    def _find(self, parent: etree._Element, node: Node, change: etree._Element) -> etree._Element | None:
        """The instance in the datastore that an element of an edit is about."""
        if node.kind is Kind.LEAF_LIST:
            return next((e for e in parent.iterchildren(change.tag) if e.text == (change.text or "").strip()), None)
        if node.kind is not Kind.LIST:
            return parent.find(change.tag)
        key = _value(change, node.key)
        if not key:
            raise RpcFault(
                "missing-element",
                f"the key {_short(node.key)} is missing",
                path=path_of(change),
                info={"bad-element": etree.QName(node.key).localname},
            )
        if (parent, change.tag) not in self._entries:
            self._entries[parent, change.tag] = {
                _value(entry, node.key): entry for entry in parent.iterchildren(change.tag)
            }
        return self._entries[parent, change.tag].get(key)

    def _remove(self, parent: etree._Element, existing: etree._Element | None) -> None:
        if existing is not None:
            parent.remove(existing)
            entries = self._entries.get((parent, existing.tag), {})
            for key in [key for key, entry in entries.items() if entry is existing]:
                del entries[key]


def _set(parent: etree._Element, node: Node, change: etree._Element, existing: etree._Element | None) -> None:
    text = change.text or ""
    nsmap = _default_namespace(change.tag)
    if node.identities:
        prefix, _, local = text.strip().rpartition(":")
        known = change.nsmap.get(prefix or None) == node.identities
        if not known or not node.accepts(local):
            raise RpcFault("invalid-value", f"{text!r} is not an identity known here", path=path_of(change))
        nsmap["ianaift"] = node.identities
        text = f"ianaift:{local}"
    elif not node.accepts(text.strip()):
        raise RpcFault("invalid-value", f"invalid value {text!r} for {_short(change.tag)}", path=path_of(change))
    leaf = etree.SubElement(parent, change.tag, nsmap=nsmap) if existing is None else existing
    leaf.text = text


def select(tree: etree._Element, subtree: etree._Element | None, schema: Node = ROOT) -> list[etree._Element]:
    """Copies of the parts of a tree that a subtree filter selects (RFC 6241 section 6); None selects all."""
    if subtree is None:
        return [copy.deepcopy(child) for child in tree]
    chosen = []
    for child in tree:
        filters = [f for f in subtree if _same_name(f, child)]
        if filters and (part := _select(child, schema.children[child.tag], filters)) is not None:
            chosen.append(part)
    return chosen


def _select(data: etree._Element, schema: Node, filters: Sequence[etree._Element]) -> etree._Element | None:
    """What sibling filters of one name select of one element, united; None is nothing."""
    inner: list[etree._Element] = []
    for one in filters:
        if len(one) == 0 and not (one.text or "").strip():
            return copy.deepcopy(data)  # a selection node
        matches = [f for f in one if len(f) == 0 and (f.text or "").strip()]
        if not all(_content_matches(data, match) for match in matches):
            continue
        if len(matches) == len(one):
            return copy.deepcopy(data)
        inner.extend(one)
    nsmap: Any = data.nsmap
    part = etree.Element(data.tag, nsmap=nsmap)
    for child in data:
        wanted = [f for f in inner if _same_name(f, child)]
        if not wanted:
            continue
        if len(child) == 0:
            part.append(copy.deepcopy(child))
        elif (found := _select(child, schema.children[child.tag], wanted)) is not None:
            part.append(found)
    if len(part) == 0:
        return None
    if schema.key and part.find(schema.key) is None:
        key = data.find(schema.key)
        if key is not None:
            part.insert(0, copy.deepcopy(key))
    return part


def _content_matches(data: etree._Element, match: etree._Element) -> bool:
    wanted = (match.text or "").strip()
    return any(_same_name(match, child) and (child.text or "").strip() == wanted for child in data)


def _same_name(wanted: etree._Element, data: etree._Element) -> bool:
    """A filter without a namespace of its own matches in any (RFC 6241 section 6.2.1)."""
    name, other = etree.QName(wanted), etree.QName(data)
    return name.localname == other.localname and name.namespace in (other.namespace, NETCONF, None)


def _value(element: etree._Element, key: str) -> str:
    return (element.findtext(key) or "").strip()


def _short(tag: str) -> str:
    name = etree.QName(tag)
    prefix = _PREFIXES.get(name.namespace or "")
    return f"{prefix}:{name.localname}" if prefix else name.localname


def _default_namespace(tag: str) -> Any:
    return {None: etree.QName(tag).namespace}
