"""`/v1/cabling`: where each NIC is on record, what LLDP says of it at either end, and whether the two agree."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from ironlane.api.fabric.bodies import Text
from ironlane.model.cabling import CablingPolicy, Sighting, Verdict
from ironlane.store import cabling, nodes
from ironlane.store.cabling import Judged
from ironlane.store.database import Store, Tx


class CablingQuery(BaseModel):
    """Which NICs: of one node (name or UUID) or of all; with `verdict` those of which LLDP says so."""

    model_config = ConfigDict(extra="forbid")

    node: Text | None = None
    verdict: Verdict | None = None


def router(store: Store, policy: CablingPolicy) -> APIRouter:
    """The one route."""
    routes = APIRouter(prefix="/v1", tags=["cabling"])

    @routes.get("/cabling")
    async def list_cabling(query: Annotated[CablingQuery, Query()]) -> dict[str, Any]:
        """Every NIC by node: `recorded`, `heard` (by the server), `shown` (by the switch), and the verdict."""

        def read(tx: Tx) -> list[Judged]:
            of = nodes.find(tx) if query.node is None else [nodes.get(tx, query.node)]
            return cabling.of_nodes(tx, of, policy)

        found = await store.read(read)
        wanted = [one for one in found if query.verdict in {None, one.judgement.verdict}]
        return {"cabling": [_view(one) for one in wanted]}

    return routes


def _view(one: Judged) -> dict[str, Any]:
    link, switch = one.cable.recorded, one.cable.switch
    recorded = None
    if link is not None and not link.unmanaged:
        name = switch.id if switch is not None else link.switch_info
        recorded = {"switch": name, "switch_id": link.switch_id, "port": link.port_id}
    return {
        "node": one.node.name,
        "node_uuid": one.node.id,
        "nic": one.nic.name,
        "port_uuid": one.nic.id,
        "address": one.nic.address,
        "recorded": recorded,
        "heard": None if one.cable.heard is None else _sighting(one.cable.heard),
        "shown": [_sighting(sighting) for sighting in one.cable.shown],
        "verdict": one.judgement.verdict.value,
        "reason": one.judgement.sentence,
        "problems": one.problems,
    }


def _sighting(sighting: Sighting) -> dict[str, Any]:
    told = sighting.neighbour
    return {
        "chassis": told.chassis or None,
        "port": told.port or None,
        "port_description": told.port_description or None,
        "system_name": told.system_name or None,
        "at": sighting.at.isoformat(),
    }
