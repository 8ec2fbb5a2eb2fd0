"""`/v1/switches`: enrolling switches, and what is on their ports."""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict

from ironlane.api.fabric.bodies import ForgetBody, SwitchBody, Text, require_name
from ironlane.api.fabric.views import MADE, port_view, switch_view
from ironlane.model.fabric import Attachment, SwitchId
from ironlane.store import attachments, forgetting, switches
from ironlane.store.database import Store, Tx


class PortQuery(BaseModel):
    """One port by name, which may contain slashes; without it, all owned ports."""

    model_config = ConfigDict(extra="forbid")

    name: Text | None = None


def router(store: Store) -> APIRouter:
    """The routes below `/v1/switches`."""
    routes = APIRouter(prefix="/v1/switches", tags=["switches"])

    @routes.get("")
    async def list_switches() -> dict[str, Any]:
        """All switches, by name."""
        return {"switches": await store.read(_list)}

    @routes.get("/{name}")
    async def get_switch(name: str) -> dict[str, Any]:
        """One switch."""
        return await store.read(lambda tx: _view(tx, name))

    @routes.put("/{name}", responses=MADE)
    async def put_switch(name: str, body: SwitchBody, response: Response) -> dict[str, Any]:
        """Enrol a switch (201) or replace what is said about it (200). An equal body changes nothing."""
        spec = body.spec(require_name(name))

        def put(tx: Tx) -> tuple[bool, dict[str, Any]]:
            known = switches.exists(tx, name)
            switches.put(tx, spec)
            return known, _view(tx, name)

        known, view = await store.write(put)
        response.status_code = 200 if known else 201
        return view

    @routes.delete("/{name}", status_code=204)
    async def delete_switch(name: str) -> None:
        """Forget a switch to which nobody is attached. Nothing is changed on the switch itself."""
        await store.write(lambda tx: switches.delete(tx, name))

    @routes.post("/{name}/forget")
    async def forget_switch(name: str, body: ForgetBody) -> dict[str, Any]:
        """Forget a switch that is gone for good, whoever is attached to it.

        Nobody reads back that its ports are clean: whoever asks for this vouches that no frame passes through it any
        more. Servers move on as if it were so, and its VLANs are given to others.
        """
        forgotten = await store.write(lambda tx: forgetting.forget(tx, name, body.reason))
        return {"network_ports": list(forgotten.network_ports), "plan": forgotten.plan}

    @routes.get("/{name}/ports")
    async def list_ports(name: str, query: Annotated[PortQuery, Query()]) -> dict[str, Any]:
        """The owned ports, what each was last seen to carry, and who is on it."""
        return {"ports": await store.read(lambda tx: _ports(tx, name, query.name))}

    @routes.post("/{name}/reconcile", status_code=202)
    async def reconcile(name: str) -> dict[str, Any]:
        """Have the switch observed, and put right if need be, now rather than at its next turn."""

        def due(tx: Tx) -> dict[str, Any]:
            switches.make_due(tx, name)
            return _view(tx, name)

        return await store.write(due)

    @routes.post("/{name}/audit", status_code=202)
    async def audit(name: str) -> dict[str, Any]:
        """Have the switch itself read now, to find what somebody else changed. Done when `audit_due` is false again."""

        def due(tx: Tx) -> dict[str, Any]:
            switches.make_audit_due(tx, name)
            return _view(tx, name)

        return await store.write(due)

    return routes


def _list(tx: Tx) -> list[dict[str, Any]]:
    names = switches.port_names(tx)
    return [switch_view(record, names.get(record.id, ())) for record in switches.all_(tx)]


def _view(tx: Tx, name: str) -> dict[str, Any]:
    return switch_view(switches.get(tx, name), switches.managed_ports(tx, name).names)


def _ports(tx: Tx, name: str, only: str | None) -> list[dict[str, Any]]:
    switches.get(tx, name)
    on_port: dict[str, list[Attachment]] = defaultdict(list)
    for attachment in attachments.of_switch(tx, SwitchId(name)):
        on_port[attachment.port].append(attachment)
    owned = switches.ports_of(tx, name)
    return [port_view(port, on_port[port.name]) for port in owned if only in (None, port.name)]
