"""Plan → the SetRequests that carry it out, and their text. Pure.

One request has all of it, so that the switch makes all of it or nothing (gNMI specification section 3.4.3). What is to
be replaced as a whole is deleted and then updated, which within one request is the same; the field `replace` would be
carried out before all updates (section 3.4), and so before the VLANs and LAGs that it refers to are there. A switch
that goes through its transaction step by step stays consistent this way, in the order of `openconfig.edit`.

The text is protobuf's text format of the request, a line for each field. (Its JSON would have the values in base64.)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import Message

from ironlane.model.plan import Plan
from ironlane.protobuf import gnmi_ext_pb2 as ext
from ironlane.protobuf import gnmi_pb2 as pb
from ironlane.switches.gnmi.names import GnmiDialect
from ironlane.switches.openconfig.edit import LagEdit, PortEdit, edit
from ironlane.switches.openconfig.leaves import SwitchedVlan

PROBE = "ironlane-probe"
"""Id of a commit that never is."""

Elements = tuple[str | tuple[str, str, str], ...]
"""A path: names, and of list entries name, key and its value."""


def requests(plan: Plan, members: Mapping[str, str], dialect: GnmiDialect, *, confirm: bool) -> list[pb.SetRequest]:
    """What is sent for a plan, in order; see `openconfig.edit.edit`.

    With `confirm`, a commit that the switch undoes if it is not confirmed in time, and its confirmation.
    """
    change = edit_request(plan, members, dialect)
    if not confirm:
        return [change]
    ident = "ironlane-" + hashlib.sha256(change.SerializeToString(deterministic=True)).hexdigest()[:16]
    commit = change.extension.add().commit
    commit.id = ident
    commit.commit.rollback_duration.seconds = dialect.confirm_timeout
    return [change, going_on(dialect, ext.Commit(id=ident, confirm=ext.CommitConfirm()))]


def cancel(ident: str, dialect: GnmiDialect) -> pb.SetRequest:
    """Undo the commit that waits under this id."""
    return going_on(dialect, ext.Commit(id=ident, cancel=ext.CommitCancel()))


def going_on(dialect: GnmiDialect, commit: ext.Commit) -> pb.SetRequest:
    """A request that carries nothing but what is to become of a commit."""
    request = _request(dialect)
    request.extension.add(commit=commit)
    return request


def edit_request(plan: Plan, members: Mapping[str, str], dialect: GnmiDialect) -> pb.SetRequest:
    """All changes of the plan in one request."""
    change = edit(plan, members, dialect)
    request = _request(dialect)
    for vlan in change.vlans:
        number = ("vlan", "vlan-id", str(vlan))
        instance = ("network-instance", "name", dialect.network_instance)
        path: Elements = ("network-instances", instance, "vlans", number, "config")
        _update(request, path, "openconfig-network-instance", {"vlan-id": vlan, "status": "ACTIVE"})
    for port in change.alone:
        _port(request, port)
    for lag in change.lags:
        _lag(request, lag)
    for port in change.members:
        _port(request, port)
    for lag in change.lags:
        _lacp(request, lag)
    for name in change.empty:
        _delete(request, ("lacp", "interfaces", ("interface", "name", name)))
        _delete(request, _interface(name))
    return request


def text(request: pb.SetRequest) -> str:
    """The request in protobuf's text format; values in single quotes, so that JSON's own quotes stay readable."""
    lines = []
    if request.HasField("prefix"):
        lines.append(f"prefix {{ {_line(request.prefix)} }}")
    lines += [f"delete {{ {_line(path)} }}" for path in request.delete]
    for update in request.update:
        value = update.val.json_ietf_val.decode().replace("\\", "\\\\").replace("'", "\\'")
        lines.append(f"update {{ path {{ {_line(update.path)} }} val {{ json_ietf_val: '{value}' }} }}")
    lines += [f"extension {{ {_line(extension)} }}" for extension in request.extension]
    return "\n".join(lines)


def _line(message: Message) -> str:
    return text_format.MessageToString(message, as_one_line=True, as_utf8=True)


def _request(dialect: GnmiDialect) -> pb.SetRequest:
    request = pb.SetRequest()
    if dialect.target or dialect.origin:
        request.prefix.CopyFrom(pb.Path(target=dialect.target, origin=dialect.origin))
    return request


def _port(request: pb.SetRequest, port: PortEdit) -> None:
    entry = _interface(port.name)
    settings: dict[str, Any] = {"name": port.name, "enabled": port.enabled == "true"}
    if port.description:
        settings["description"] = port.description
    else:
        _delete(request, (*entry, "config", "description"))
    if port.left and port.left != port.joined:
        _delete(request, (*entry, "ethernet", "config", "aggregate-id"))
    _delete(request, (*entry, "ethernet", "switched-vlan"))
    _update(request, (*entry, "config"), "openconfig-interfaces", settings)
    if port.joined:
        path = (*entry, "ethernet", "config")
        _update(request, path, "openconfig-if-aggregate", {"aggregate-id": port.joined})
    if port.vlans is not None:
        _switched_vlan(request, (*entry, "ethernet"), port.vlans)


def _lag(request: pb.SetRequest, lag: LagEdit) -> None:
    entry = _interface(lag.name)
    _delete(request, (*entry, "aggregation", "switched-vlan"))
    settings = {"name": lag.name, "type": "iana-if-type:ieee8023adLag", "enabled": lag.enabled == "true"}
    _update(request, (*entry, "config"), "openconfig-interfaces", settings)
    agreed = {"lag-type": lag.lag_type, "min-links": int(lag.min_links)}
    _update(request, (*entry, "aggregation", "config"), "openconfig-if-aggregate", agreed)
    _switched_vlan(request, (*entry, "aggregation"), lag.vlans)


def _switched_vlan(request: pb.SetRequest, parent: Elements, leaves: SwitchedVlan) -> None:
    settings: dict[str, Any] = {"interface-mode": leaves.mode}
    if leaves.access:
        settings["access-vlan"] = int(leaves.access)
    if leaves.native:
        settings["native-vlan"] = int(leaves.native)
    if leaves.trunk:
        settings["trunk-vlans"] = [int(item) if item.isdecimal() else item for item in leaves.trunk]
    _update(request, (*parent, "switched-vlan", "config"), "openconfig-vlan", settings)


def _lacp(request: pb.SetRequest, lag: LagEdit) -> None:
    entry: Elements = ("lacp", "interfaces", ("interface", "name", lag.name))
    _delete(request, entry)
    if lag.lacp is None:
        return
    settings: dict[str, Any] = {"name": lag.name, "interval": lag.lacp.interval, "lacp-mode": lag.lacp.mode}
    if lag.lacp.fallback:
        settings["fallback"] = lag.lacp.fallback == "true"
    _update(request, (*entry, "config"), "openconfig-lacp", settings)


def _interface(name: str) -> Elements:
    return ("interfaces", ("interface", "name", name))


def path_of(elements: Elements) -> pb.Path:
    path = pb.Path()
    for element in elements:
        if isinstance(element, str):
            path.elem.add(name=element)
        else:
            name, key, value = element
            path.elem.add(name=name, key={key: value})
    return path


def _delete(request: pb.SetRequest, path: Elements) -> None:
    request.delete.append(path_of(path))


def _update(request: pb.SetRequest, path: Elements, module: str, settings: Mapping[str, Any]) -> None:
    """At the top of a value, names have their module before them (RFC 7951 section 4)."""
    qualified = {f"{module}:{name}": value for name, value in settings.items()}
    value = json.dumps(qualified, separators=(",", ":"), ensure_ascii=False).encode()
    request.update.add(path=path_of(path), val=pb.TypedValue(json_ietf_val=value))
