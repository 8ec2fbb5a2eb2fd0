"""`/v1/plan`, `/v1/restore` and `/v1/audit`: what would be sent to the switches, going back, and looking anew.

What would be sent is found out in two steps: the change is rehearsed in the rows (`store.foresight`), and the
conductors of the switches concerned say what they would send for it (`store.previews`). Nothing is sent.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from fastapi import APIRouter

from ironlane.api.fabric.bodies import PlanBody, RestoreBody
from ironlane.api.fabric.views import action_view, lost_view
from ironlane.model.cabling import CablingPolicy
from ironlane.model.errors import Conflict, Temporary
from ironlane.model.fabric import SwitchId
from ironlane.store import foresight, nodes, ports, previews, restore, switches
from ironlane.store.database import Store, Tx
from ironlane.store.previews import Answer, Wishes
from ironlane.store.restore import Action, Lost

PATIENCE = 10.0
"""Seconds that the switches' conductors are given for their answers."""

_FIRST_LOOK, _LAST_LOOK = 0.01, 0.2
"""Seconds between two looks at the rows. The conductor may be another process, so there is nothing else to wait for."""


def router(store: Store, policy: CablingPolicy, patience: float = PATIENCE) -> APIRouter:
    """The routes that ask and order."""
    routes = APIRouter(prefix="/v1", tags=["plan, restore, audit"])

    @routes.post("/plan")
    async def plan(body: PlanBody) -> dict[str, Any]:
        """What would be sent to each switch, in its own words: for what is pending on one switch or on all, for a
        node's move, or for the binding of a network port. Each generation is sent once the one before is seen done."""
        body.check()
        answers = await _ask(store, await store.rehearse(lambda tx: _wishes(tx, body)), patience)
        if body.switch or body.node or body.network_port:
            _require_all(answers)
        return _shown(answers)

    @routes.post("/restore")
    async def go_back(body: RestoreBody) -> dict[str, Any]:
        """Bring tenants' network ports back to what they were bound to at a moment; a dry run unless told otherwise.

        All or nothing: 409 when anything is in the way of one of them."""
        if not body.dry_run:
            actions, lost = await store.write(lambda tx: _carry_out(tx, body, policy))
            return {**_restored(body, actions, lost), "generations": [], "unavailable": []}
        actions, lost, wishes = await store.rehearse(lambda tx: _rehearse(tx, body, policy))
        answers = await _ask(store, wishes, patience)
        return {**_restored(body, actions, lost), **_shown(answers)}

    @routes.post("/audit", status_code=202)
    async def audit() -> dict[str, Any]:
        """Have all switches read now, to find what somebody else changed."""
        return {"switches": await store.write(switches.make_all_audit_due)}

    return routes


def _wishes(tx: Tx, body: PlanBody) -> Mapping[SwitchId, Wishes]:
    """The attachments that there would be; in a rehearsal."""
    if body.node is not None and body.target is not None:
        node = nodes.get(tx, body.node)
        foresight.move(tx, node, body.target)
        return foresight.generations(tx, [node.id])
    if body.network_port is not None and body.binding is not None:
        change = body.binding.model_dump()
        before = ports.get(tx, body.network_port)
        ports.update(tx, body.network_port, change)
        return foresight.generations(tx, {before.host_id, body.binding.host_id} - {""})
    if body.switch is not None:
        return foresight.pending(tx, [body.switch])
    return foresight.pending(tx, [record.id for record in switches.all_(tx)])


def _rehearse(
    tx: Tx, body: RestoreBody, policy: CablingPolicy
) -> tuple[list[Action], list[Lost], Mapping[SwitchId, Wishes]]:
    actions, lost = restore.work_out(tx, body.at)
    done = restore.carry_out(tx, actions, policy)
    if any(action.conflict for action in done):
        return done, lost, {}  # nothing would be done, so nothing would be sent
    return done, lost, foresight.generations(tx)


def _carry_out(tx: Tx, body: RestoreBody, policy: CablingPolicy) -> tuple[list[Action], list[Lost]]:
    actions, lost = restore.work_out(tx, body.at)
    if body.token is not None and body.token != _token(actions):
        raise Conflict("is that of another plan: things have changed since; look at the new one", field="token")
    done = restore.carry_out(tx, actions, policy)
    conflicts = [f"network port {a.network_port}: {a.conflict}" for a in done if a.conflict]
    if conflicts:
        raise Conflict(f"nothing was changed. {'; '.join(conflicts)}", field="at", code="RestoreConflict")
    return done, lost


def _restored(body: RestoreBody, actions: Sequence[Action], lost: Sequence[Lost]) -> dict[str, Any]:
    return {
        "at": body.at.isoformat(),
        "dry_run": body.dry_run,
        "token": _token(actions),
        "actions": [action_view(action) for action in actions],
        "not_restorable": [lost_view(item) for item in lost],
    }


def _token(actions: Sequence[Action]) -> str:
    """Names a set of actions, whatever became of them."""
    told = [{**action_view(action), "conflict": None} for action in actions]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


async def _ask(store: Store, wishes: Mapping[SwitchId, Wishes], patience: float) -> list[Answer]:
    """The conductors' answers, once all are there. When patience is at its end, those that are missing have failed."""
    ids = list((await store.write(lambda tx: previews.ask(tx, wishes))).values()) if wishes else []
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + patience, _FIRST_LOOK
    while True:
        answers = await store.read(lambda tx: previews.read(tx, ids))
        if all(answer.state is not previews.State.ASKED for answer in answers):
            return answers
        if loop.time() >= deadline:
            return await store.write(lambda tx: _give_up(tx, ids, patience))
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LAST_LOOK)


def _give_up(tx: Tx, ids: Sequence[str], patience: float) -> list[Answer]:
    for answer in previews.read(tx, ids):
        if answer.state is previews.State.ASKED:
            known = switches.get(tx, answer.switch).reason if switches.exists(tx, answer.switch) else "it was deleted"
            reason = f"no answer within {patience:g} s{': ' if known else ''}{known}"
            previews.fail(tx, [answer.id], reason)
    return previews.read(tx, ids)


def _require_all(answers: Sequence[Answer]) -> None:
    """Raises: Temporary, when a switch could not tell."""
    failed = [answer for answer in answers if answer.state is previews.State.FAILED]
    if failed:
        told = "; ".join(f"switch {answer.switch}: {answer.reason}" for answer in failed)
        raise Temporary(f"it cannot be told what would be sent. {told}", code="PreviewFailed")


def _shown(answers: Sequence[Answer]) -> dict[str, Any]:
    """Generation by generation, what is sent to each switch; generations in which nothing is sent are left out."""
    rows = zip_longest(*(answer.generations for answer in answers))
    generations = [
        [
            {"switch": answer.switch, **its}
            for answer, its in zip(answers, row, strict=True)
            if its is not None and (its["changes"] or its["tolerated"] or its["missing"])
        ]
        for row in rows
    ]
    failed = [answer for answer in answers if answer.state is previews.State.FAILED]
    return {
        "generations": [generation for generation in generations if generation],
        "unavailable": [{"switch": answer.switch, "reason": answer.reason} for answer in failed],
    }
