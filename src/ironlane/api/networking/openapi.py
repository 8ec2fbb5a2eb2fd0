"""What the OpenAPI document says of a route beyond what FastAPI sees: query strings, answers, errors.

It is made of the tables that the handlers themselves go by (`ATTRIBUTES` of each noun), so that it says what is so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from types import ModuleType
from typing import Any

from pydantic import BaseModel, create_model

from ironlane.api import listing
from ironlane.api.listing import Attribute
from ironlane.api.networking import (
    agents,
    answers,
    availability_zones,
    discovery,
    extensions,
    ip_availability,
    networks,
    ports,
    quotas,
    rbac_policies,
    subnets,
    tags,
    trunks,
)

Schema = dict[str, Any]
Handler = Callable[..., Any]

_SHOWN: Mapping[ModuleType, type[BaseModel]] = {
    networks: answers.Network,
    subnets: answers.Subnet,
    ports: answers.Port,
    trunks: answers.Trunk,
    rbac_policies: answers.RbacPolicy,
    agents: answers.Agent,
    ip_availability: answers.NetworkIpAvailability,
}
"""The nouns whose handlers are alike: list and show, and some of create, update, delete."""
_STANDARD = frozenset({networks, subnets, ports, trunks})
"""Those with tags and times."""

_TYPES: Mapping[listing.Convert, Schema] = {
    listing.text: {"type": "string"},
    listing.flag: {"type": "boolean"},
    listing.integer: {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
    listing.mac: {"type": "string", "format": "mac-address"},
    listing.address: {"type": "string", "format": "ip-address"},
}
_FIELDS: Schema = {
    "name": "fields",
    "in": "query",
    "description": "An attribute to show; several times for several. Without it, all are shown.",
    "schema": {"type": "array", "items": {"type": "string"}},
}


def described(handler: Handler) -> dict[str, Any]:
    """Arguments of `add_api_route` that describe what a handler takes and answers."""
    answer, status = _answers().get(handler, (None, 200))
    responses: dict[int | str, dict[str, Any]] = {
        "default": {"model": answers.Refusal, "description": "It was refused, or failed."}
    }
    if answer is not None:
        responses[status] = {"model": answer}
    return {"responses": responses, "openapi_extra": {"parameters": _parameters().get(handler, [])}}


@cache
def _answers() -> dict[Handler, tuple[type[BaseModel], int]]:
    """Handler to its answer, and the status of it."""
    found: dict[Handler, tuple[type[BaseModel], int]] = {
        discovery.versions: (answers.Versions, 200),
        discovery.version: (answers.Collections, 200),
        extensions.list_: (_of("extensions", list[answers.Extension]), 200),
        extensions.show: (_of("extension", answers.Extension), 200),
        availability_zones.list_: (_of("availability_zones", list[answers.AvailabilityZone]), 200),
        quotas.list_: (_of("quotas", list[answers.ProjectQuota]), 200),
        quotas.details: (_of("quota", answers.QuotaDetails), 200),
        quotas.details_json: (_of("quota", answers.QuotaDetails), 200),
        quotas.project: (answers.MyProject, 200),
        quotas.tenant: (answers.MyTenant, 200),
        tags.list_: (answers.Tags, 200),
        tags.create: (answers.Tags, 201),
        tags.replace: (answers.Tags, 200),
        trunks.get_subports: (answers.TrunkSubPorts, 200),
        trunks.add_subports: (answers.Trunk, 200),
        trunks.remove_subports: (answers.Trunk, 200),
    }
    quota = _of("quota", answers.Quota)
    found |= dict.fromkeys((quotas.show, quotas.update, quotas.default), (quota, 200))
    for module, model in _SHOWN.items():
        noun, plural = module.NOUN, module.PLURAL
        several = {plural: (list[model], ...)}  # type: ignore[valid-type]
        links = {f"{plural}_links": (list[answers.Link], ...)}
        found[module.list_] = (_model(f"{model.__name__}List", several | links), 200)
        found[module.show] = (_of(noun, model), 200)
        if hasattr(module, "create"):
            found[module.create] = (_model(f"{model.__name__}Made", {noun: (model, ...)} | several), 201)
        if hasattr(module, "update"):
            found[module.update] = (_of(noun, model), 200)
    return found


@cache
def _parameters() -> dict[Handler, list[Schema]]:
    """Handler to what its query string may have."""
    found = {module.show: [_FIELDS] for module in (*_SHOWN, quotas)}
    found[trunks.get_subports] = [_FIELDS]
    for module in _SHOWN:
        found[module.list_] = _of_list(module.ATTRIBUTES, standard=module in _STANDARD)
    found[networks.list_].append(_many("status", {"type": "string"}))
    addresses = _many("fixed_ips", {"type": "string"})
    addresses["description"] = "ip_address=, subnet_id= or ip_address_substr=, and a value."
    found[ports.list_].append(addresses)
    found[ip_availability.list_].append(_many("ip_version", _TYPES[listing.integer]))
    found[quotas.list_] = _of_list({}, standard=False)
    found[availability_zones.list_] = _of_list(availability_zones.ATTRIBUTES, standard=False)
    return found


def _of_list(attributes: Mapping[str, Attribute], *, standard: bool) -> list[Schema]:
    """The parameters that `ironlane.api.listing.parse` takes."""
    found = [_many(name, _TYPES[attribute.convert]) for name, attribute in attributes.items()]
    if standard:
        found += [
            {**_many(name, {"type": "string"}), "description": "Tags, with commas between them."}
            for name in listing.TAG_PARAMETERS
        ]
        found.append({"name": "changed_since", "in": "query", "schema": {"type": "string", "format": "date-time"}})
    if attributes:
        found.append(_many("sort_key", {"type": "string", "enum": sorted(attributes)}))
        found.append(_many("sort_dir", {"type": "string", "enum": ["asc", "desc"]}))
    found.append({"name": "limit", "in": "query", "schema": _TYPES[listing.integer]})
    found.append({"name": "marker", "in": "query", "schema": {"type": "string", "format": "uuid"}})
    found.append({"name": "page_reverse", "in": "query", "schema": {"type": "boolean"}})
    return [*found, _FIELDS]


def _many(name: str, items: Schema) -> Schema:
    return {
        "name": name,
        "in": "query",
        "description": "Several times: one of several.",
        "schema": {"type": "array", "items": items},
    }


@cache
def _of(name: str, content: Any) -> type[BaseModel]:
    """An answer that has one attribute."""
    (inner,) = getattr(content, "__args__", (content,))
    several = "List" if inner is not content else ""
    return _model(f"{inner.__name__}{several or 'Answer'}", {name: (content, ...)})


def _model(name: str, fields: Mapping[str, Any]) -> type[BaseModel]:
    made: type[BaseModel] = create_model(name, __base__=answers.Answer, **fields)
    return made
