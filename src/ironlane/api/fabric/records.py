"""What is on record: who is attached, which plans were made, what others changed, who held what when."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from ironlane.api.fabric.bodies import AttachmentQuery, DriftQuery, HistoryQuery, PlanQuery
from ironlane.api.fabric.views import attachment_view, drift_view, holding_view, plan_view
from ironlane.store import attachments, drifts, holdings, plans
from ironlane.store.database import Store


def router(store: Store) -> APIRouter:
    """The routes that only read."""
    routes = APIRouter(prefix="/v1", tags=["records"])

    @routes.get("/attachments")
    async def list_attachments(query: Annotated[AttachmentQuery, Query()]) -> dict[str, Any]:
        """Who wishes for which switch port, and whether it was read back; all filters must match."""
        found = await store.read(lambda tx: attachments.find(tx, **query.model_dump()))
        return {"attachments": [attachment_view(attachment) for attachment in found]}

    @routes.get("/plans")
    async def list_plans(query: Annotated[PlanQuery, Query()]) -> dict[str, Any]:
        """The newest plans first: what was changed on which switch, in its own words, and the outcome."""
        found = await store.read(lambda tx: plans.latest(tx, query.switch, query.limit))
        return {"plans": [plan_view(record) for record in found]}

    @routes.get("/drifts")
    async def list_drifts(query: Annotated[DriftQuery, Query()]) -> dict[str, Any]:
        """What somebody else changed on our ports, newest first: what was expected, what was found, how it ended."""
        found = await store.read(
            lambda tx: drifts.find(tx, switch=query.switch, open_only=query.open, limit=query.limit)
        )
        return {"drifts": [drift_view(drift) for drift in found]}

    @routes.get("/history")
    async def list_history(query: Annotated[HistoryQuery, Query()]) -> dict[str, Any]:
        """Who held which VLAN on which port, from when to when, by which request; newest first."""
        found = await store.read(lambda tx: holdings.find(tx, **query.model_dump()))
        return {"history": [holding_view(holding) for holding in found]}

    return routes
