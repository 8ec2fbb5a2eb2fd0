"""What the OpenAPI document says of each route: its parameters, its body, its answers.

It is made of the tables that the handlers themselves go by (fields, filters, verbs), so that it says what is so.
Nothing is promised to be there: what is, depends on the version, on `fields`, and on who asks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ironlane.api.baremetal import (
    allocations,
    chassis,
    history,
    microversions,
    nodes,
    portgroups,
    ports,
    states,
    volumes,
)
from ironlane.api.baremetal.checks import Schema, schema_of
from ironlane.api.baremetal.fields import Resource
from ironlane.api.baremetal.listing import Collection
from ironlane.api.baremetal.node_fields import INTERFACES, NODE
from ironlane.api.baremetal.routes import Route
from ironlane.model.states import ProvisionState, Verb
from ironlane.store.nodes import POWER_TARGETS

_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_OBJECT: Schema = {"type": "object"}
_UUID: Schema = {"type": "string", "format": "uuid"}
_LINKS: Schema = {
    "type": "array",
    "items": {"type": "object", "properties": {"href": _TEXT, "rel": _TEXT}, "additionalProperties": False},
}
_STEPS: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["interface", "step"],
        "properties": {"interface": {"type": "string", "minLength": 1}, "step": {"type": "string", "minLength": 1}},
    },
}

_COLLECTIONS: Mapping[str, Collection] = {
    "nodes": nodes.NODES,
    "ports": ports.PORTS,
    "portgroups": portgroups.PORTGROUPS,
    "allocations": allocations.ALLOCATIONS,
    "chassis": chassis.ALL,
    "connectors": volumes.connectors.collection,
    "targets": volumes.targets.collection,
    "history": history.EVENTS,
}
"""By the last word of a list's path."""

_THINGS: Mapping[str, Resource] = {
    "{node}": NODE,
    "{port}": ports.PORT,
    "{portgroup}": portgroups.PORTGROUP,
    "{allocation}": allocations.ALLOCATION,
    "allocation": allocations.ALLOCATION,
    "{chassis}": chassis.CHASSIS,
    "connectors/{ident}": volumes.CONNECTOR,
    "targets/{ident}": volumes.TARGET,
    "{entry}": history.HISTORY,
}
"""By the end of a thing's path."""

_BODIES: Mapping[tuple[str, str], Schema] = {
    ("PUT", "states/provision"): {
        "target": {"type": "string", "enum": [*Verb, "deploy", "undeploy"]},
        "configdrive": {"anyOf": [_TEXT, _OBJECT]},
        "rescue_password": {"type": "string", "minLength": 1, "maxLength": 255},
        **dict.fromkeys(("clean_steps", "deploy_steps", "service_steps"), _STEPS),
    },
    ("PUT", "states/power"): {
        "target": {"type": "string", "enum": list(POWER_TARGETS)},
        "timeout": {"type": "integer", "minimum": 1},
    },
    ("PUT", "management/boot_device"): {
        "boot_device": {"type": "string", "enum": list(states.BOOT_DEVICES)},
        "persistent": _FLAG,
    },
    ("PUT", "maintenance"): {"reason": {"type": "string", "maxLength": 4096}},
    ("POST", "vifs"): {"id": _UUID, "port_uuid": _UUID, "portgroup_uuid": _UUID},
    ("PUT", "traits"): {"traits": {"type": "array", "items": _TEXT}},
    ("POST", "heartbeat/{node}"): {
        "callback_url": _TEXT,
        **dict.fromkeys(("agent_token", "agent_version", "agent_verify_ca", "agent_status_message"), _TEXT),
        "agent_status": {"type": "string", "enum": ["start", "end", "error"]},
    },
    ("POST", "continue_inspection"): {"inventory": _OBJECT},
}
"""Bodies of requests for something to be done, by the end of the path; all but the first key may be left out."""

_STATUS: Mapping[tuple[str, str], int] = {
    ("PUT", "states/provision"): 202,
    ("PUT", "states/power"): 202,
    ("PUT", "maintenance"): 202,
    ("DELETE", "maintenance"): 202,
    ("POST", "vifs"): 204,
    ("POST", "heartbeat/{node}"): 202,
    ("POST", "continue_inspection"): 202,
}
_USUAL = {"GET": 200, "POST": 201, "PATCH": 200, "PUT": 204, "DELETE": 204}


def described(route: Route) -> dict[str, Any]:
    """`openapi_extra` of a route."""
    names = re.findall(r"{(\w+)}", route.path)
    parameters = [{"name": n, "in": "path", "required": True, "schema": _TEXT} for n in names]
    parameters += [_query(name, since) for name, since in _queries(route).items()]
    parameters.append(
        {
            "name": microversions.REQUEST_HEADER,
            "in": "header",
            "description": f"At least {microversions.number(route.since)} for this request.",
            "schema": {"type": "string", "enum": [microversions.number(microversions.NEWEST), "latest"]},
        }
    )
    found: dict[str, Any] = {"parameters": parameters, "responses": _responses(route)}
    body = _body(route)
    if body is not None:
        found["requestBody"] = {"content": {"application/json": {"schema": body}}}
    return found


def _by_end(path: str, table: Mapping[Any, Any], method: str = "") -> Any:
    for end, value in table.items():
        key, wanted = (end[1], end[0]) if isinstance(end, tuple) else (end, method)
        if wanted == method and (path == f"/v1/{key}" or path.endswith(f"/{key}")):
            return value
    return None


def _collection(route: Route) -> Collection | None:
    """What a `GET` of this path lists; None: it does not list."""
    path = route.path.removesuffix("/detail")
    return _COLLECTIONS.get(path.rpartition("/")[2]) if route.method == "GET" else None


def _queries(route: Route) -> Mapping[str, int]:
    collection = _collection(route)
    if collection is not None:
        return collection.parameters
    if route.method == "GET" and _by_end(route.path, _THINGS) is not None:
        return {"fields": 8}
    return {"addresses": 22, "node_uuid": 22} if route.path == "/v1/lookup" else {}


def _query(name: str, since: int) -> Schema:
    schema = _QUERY_TYPES.get(name, _TEXT)
    return {"name": name, "in": "query", "description": f"Since {microversions.number(since)}.", "schema": schema}


_QUERY_TYPES: Mapping[str, Schema] = {
    **dict.fromkeys(("detail", "maintenance", "associated", "retired", "sharded", "include_children"), _FLAG),
    "limit": {"type": "integer", "minimum": 1},
    "sort_dir": {"type": "string", "enum": ["asc", "desc"]},
    "sort_key": {"type": "string", "enum": ["uuid", "created_at", "updated_at"]},
    "fields": {"type": "string", "enum": ["uuid", "uuid,created_at", "created_at,links"]},
    "address": {"type": "string", "format": "mac-address"},
    "provision_state": {"type": "string", "enum": list(ProvisionState)},
    **dict.fromkeys(("marker", "node_uuid", "instance_uuid", "chassis_uuid"), _UUID),
}


def _body(route: Route) -> Schema | None:
    if route.method == "PATCH":
        resource = _by_end(route.path, _THINGS)
        return None if resource is None else _patch(resource)
    collection = _COLLECTIONS.get(route.path.rpartition("/")[2]) if route.method == "POST" else None
    if collection is not None:
        return _new(collection.resource)
    properties = _by_end(route.path, _BODIES, route.method)
    if properties is None:
        return None
    first = next(iter(properties))
    return {
        "type": "object",
        "required": [] if first == "reason" else [first],
        "properties": properties,
        "additionalProperties": route.path == "/v1/continue_inspection",
    }


def _new(resource: Resource) -> Schema:
    settable = {field.name: field for field in resource.fields.values() if field.check is not None}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [name for name, field in settable.items() if field.required],
        "properties": {
            name: {"description": f"Since {microversions.number(field.since)}.", **schema_of(field.check)}
            for name, field in settable.items()
            if field.check is not None
        },
    }


def _patch(resource: Resource) -> Schema:
    """RFC 6902."""
    paths = [f"/{f.name}" for f in resource.fields.values() if f.check is not None and not f.only_new]
    operation = {
        "type": "object",
        "required": ["op", "path"],
        "properties": {
            "op": {"type": "string", "enum": ["add", "replace", "remove"]},
            "path": {"type": "string", "enum": paths},
            "value": {},
        },
        "additionalProperties": False,
    }
    return {"type": "array", "minItems": 1, "items": operation}


def _responses(route: Route) -> dict[str, Any]:
    status = _by_end(route.path, _STATUS, route.method)
    if route.path.endswith("/vendor_passthru") or status is None:
        status = _USUAL[route.method]
    success: dict[str, Any] = {"description": (route.handler.__doc__ or "").strip().splitlines()[0]}
    if status not in (204, 202) or route.path == "/v1/continue_inspection":
        success["content"] = {"application/json": {"schema": _answer(route)}}
    refusal = {"type": "object", "required": ["error_message"], "properties": {"error_message": _TEXT}}
    return {
        str(status): success,
        "default": {
            "description": "It was refused, or failed.",
            "content": {"application/json": {"schema": {**refusal, "additionalProperties": False}}},
        },
    }


def _answer(route: Route) -> Schema:
    collection = _collection(route)
    if collection is not None:
        shown = {"type": "array", "items": _shown(collection.resource)}
        return _closed({collection.resource.plural: shown, "next": _TEXT})
    made = _COLLECTIONS.get(route.path.rpartition("/")[2]) if route.method == "POST" else None
    resource = made.resource if made is not None else _by_end(route.path, _THINGS)
    if resource is not None:
        return _shown(resource)
    found: Schema = _by_end(route.path, _ANSWERS) or _OBJECT
    return found


def _shown(resource: Resource) -> Schema:
    known: Schema = {field.name: _seen(resource, field.name) for field in resource.fields.values()}
    return _closed({**known, **dict.fromkeys((*resource.sublinks, "links"), _LINKS)})


def _seen(resource: Resource, name: str) -> Schema:
    """A field as it is shown: checked when it was set, or made by the service; null while there is nothing."""
    field = resource.fields[name]
    if name in _SEEN:
        return _SEEN[name]
    if field.check is None or field.secret or field.required:
        return {}
    return {"anyOf": [schema_of(field.check), {"type": "null"}]}


_SEEN: Mapping[str, Schema] = {
    "uuid": _UUID,
    **{key: {"type": ["string", "null"]} for key in ("created_at", "updated_at", "provision_updated_at")},
    "provision_state": {"type": ["string", "null"], "enum": [*ProvisionState, None]},
    "traits": {"type": "array", "items": _TEXT},
}


def _closed(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


_JUDGED = _closed({"result": {"type": ["boolean", "null"]}, "reason": {"type": ["string", "null"]}})
_ANSWERS: Mapping[str, Schema] = {
    "validate": _closed(dict.fromkeys(INTERFACES, _JUDGED)),
    "states": _closed({key: {} for key in states.STATES}),
    "states/console": _closed({"console_enabled": _FLAG, "console_info": {"type": "null"}}),
    "boot_device": _closed({"boot_device": {"type": ["string", "null"]}, "persistent": {"type": ["boolean", "null"]}}),
    "supported": _closed({"supported_boot_devices": {"type": "array", "items": _TEXT}}),
    "vifs": _closed({"vifs": {"type": "array", "items": _closed({"id": _TEXT})}}),
    "traits": _closed({"traits": {"type": "array", "items": _TEXT}}),
    "inventory": _closed({"inventory": _OBJECT, "plugin_data": _OBJECT}),
    "bios": _closed({"bios": {"type": "array"}}),
    "firmware": _closed({"firmware": {"type": "array"}}),
    "children": _closed({"children": {"type": "array", "items": _UUID}}),
    "shards": _closed({"shards": {"type": "array", "items": _closed({"name": _TEXT, "count": {"type": "integer"}})}}),
    "conductors": _closed({"conductors": {"type": "array", "items": _OBJECT}}),
    "drivers": _closed({"drivers": {"type": "array", "items": _OBJECT}}),
    "volume": _closed({"connectors": _LINKS, "targets": _LINKS, "links": _LINKS}),
}
"""By the end of the path; what is not here is an object of which no more is said."""
