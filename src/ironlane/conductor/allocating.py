"""Allocations are met: a node is chosen for each. Any conductor may do it, for it touches rows only."""

from __future__ import annotations

from datetime import timedelta

import structlog

from ironlane.model.node import AllocationState
from ironlane.store import allocations
from ironlane.store.database import Store

log = structlog.get_logger(__name__)


async def allocate(store: Store, ident: str) -> timedelta | None:
    """Meet one allocation; there is nothing to wait for."""
    met = await store.write(lambda tx: allocations.meet(tx, ident))
    if met is not None and met.state is AllocationState.ACTIVE:
        log.info("allocation met", allocation=met.id, node=met.node_id)
    elif met is not None:
        log.warning("allocation not met", allocation=met.id, reason=met.last_error)
    return None
