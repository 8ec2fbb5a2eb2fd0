"""`/v2.0/rbac-policies`: who may use another's network. Source: Networking API v2.0 reference, "RBAC Policies".

Networks are shared, and nothing else, with a project or with all (`*`). A network's `shared` says that it is with all.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from fastapi import Request
from pydantic import Field
from starlette.responses import JSONResponse, Response

from ironlane.api.listing import Attribute
from ironlane.api.networking.fields import Body, OneOrSeveral, Owned, Text, Uuid, either
from ironlane.api.networking.requests import (
    BULK_MAX,
    LimitsDep,
    ProjectDep,
    StoreDep,
    View,
    chosen,
    collected,
    create_all,
    created,
    fields_of,
    listed,
    no_content,
    row_id,
)
from ironlane.store import rbac
from ironlane.store.rbac import NewPolicy, Policy

NOUN, PLURAL = "rbac_policy", "rbac_policies"

ATTRIBUTES = {
    "id": Attribute("id"),
    "project_id": Attribute("project_id"),
    "tenant_id": Attribute("project_id"),
    "object_type": Attribute("object_type"),
    "object_id": Attribute("object_id"),
    "target_tenant": Attribute("target_project"),
    "action": Attribute("action"),
}

Target = Annotated[Text, Field(min_length=1)]


class PolicyCreate(Owned):
    object_type: Literal["network"]
    object_id: Uuid
    target_tenant: Target
    action: Literal["access_as_shared"]

    def new(self, project: str) -> NewPolicy:
        return NewPolicy(self.object_id, self.target_tenant, self.owned(project)["project_id"])


class PolicyUpdate(Body):
    read_only: ClassVar[frozenset[str]] = frozenset(
        {"id", "project_id", "tenant_id", "object_type", "object_id", "action"}
    )

    target_tenant: Target


class PoliciesCreate(OneOrSeveral[PolicyCreate]):
    """One policy, or several that are all created or none."""

    model_config = either(NOUN, PLURAL)

    rbac_policy: PolicyCreate | None = None
    rbac_policies: Annotated[list[PolicyCreate] | None, Field(min_length=1, max_length=BULK_MAX)] = None


class PolicyChange(Body):
    rbac_policy: PolicyUpdate


async def create(body: PoliciesCreate, store: StoreDep, project: ProjectDep, limits: LimitsDep) -> JSONResponse:
    news = [item.new(project) for item in body.items()]
    made = await store.write(lambda tx: create_all(tx, PLURAL, news, rbac.create, kind=NOUN, limits=limits))
    return created(NOUN, PLURAL, [view(policy) for policy in made], bulk=body.bulk)


async def list_(request: Request, store: StoreDep) -> JSONResponse:
    asked = collected(request, ATTRIBUTES, standard=False)
    found, more = await store.read(lambda tx: rbac.page(tx, asked.listing))
    return listed(request, PLURAL, asked, [view(policy) for policy in found], more)


async def show(request: Request, ident: str, store: StoreDep) -> JSONResponse:
    policy_id, fields = row_id("RBAC policy", ident), fields_of(request)
    policy = await store.read(lambda tx: rbac.get(tx, policy_id))
    return JSONResponse({NOUN: chosen(view(policy), fields)})


async def update(ident: str, body: PolicyChange, store: StoreDep) -> JSONResponse:
    policy_id = row_id("RBAC policy", ident)
    after = await store.write(lambda tx: rbac.update(tx, policy_id, body.rbac_policy.target_tenant))
    return JSONResponse({NOUN: view(after)})


async def delete(ident: str, store: StoreDep) -> Response:
    policy_id = row_id("RBAC policy", ident)
    await store.write(lambda tx: rbac.delete(tx, policy_id))
    return no_content()


def view(policy: Policy) -> View:
    """A policy as the API shows it."""
    found: dict[str, Any] = {
        "id": policy.id,
        "tenant_id": policy.project_id,
        "project_id": policy.project_id,
        "object_type": policy.object_type,
        "object_id": policy.object_id,
        "target_tenant": policy.target_project,
        "action": policy.action,
    }
    return found
