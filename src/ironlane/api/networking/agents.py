"""`/v2.0/agents`: who brings ports onto the switches. Source: Networking API v2.0 reference, "Agents".

In Neutron agents do what the server decides. Here conductors do, and nobody else: each is shown as an agent, and
all that can be changed is its description.

Before Ironic binds a port of a smart NIC it waits for the agent on that NIC, by its `host`. Here the NIC is a switch of
that name; who asks for it by its name is shown it, alive while it is reached.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar, Literal

from fastapi import Request
from starlette.responses import JSONResponse

from ironlane.api.listing import Attribute, flag
from ironlane.api.networking.fields import Body, NullableText
from ironlane.api.networking.requests import StoreDep, View, chosen, collected, fields_of, listed, row_id
from ironlane.model import policy
from ironlane.model.errors import Invalid, NotFound
from ironlane.store import conductors, switches
from ironlane.store.conductors import Conductor
from ironlane.store.database import Tx
from ironlane.store.listing import Listing
from ironlane.store.switches import SwitchRecord

NOUN, PLURAL = "agent", "agents"

ATTRIBUTES = {
    **{name: Attribute(name) for name in ("id", "agent_type", "binary", "topic", "host", "description")},
    **{name: Attribute(name, flag) for name in ("admin_state_up", "alive")},
}
_NAMESPACE = uuid.UUID("0e1b2a8c-6f0e-4c0f-8b6f-3c1a0d1f9f55")
"""Conductors are known by their host names; their ids as agents are made of these."""


class AgentUpdate(Body):
    """A conductor is taken out of service by stopping its process, so `admin_state_up` is always true."""

    read_only: ClassVar[frozenset[str]] = frozenset(
        {"id", "agent_type", "binary", "topic", "host", "alive", "created_at", "heartbeat_timestamp", "configurations"}
    )

    description: NullableText = ""
    admin_state_up: Literal[True] = True


class AgentChange(Body):
    agent: AgentUpdate


async def list_(request: Request, store: StoreDep) -> JSONResponse:
    asked = collected(request, ATTRIBUTES, standard=False)
    timeout = request.app.state.conductor_timeout
    hosts = [str(host) for host in asked.listing.equal.get("host", ())]

    def read(tx: Tx) -> list[View]:
        if not policy.allowed(tx.caller, "get_agent"):
            return []
        found = [view(conductor, tx.now, timeout) for conductor in conductors.listed(tx)]
        return found + [_smart_nic(switches.get(tx, host)) for host in hosts if switches.exists(tx, host)]

    views = await store.read(read)
    found, more = _page(views, asked.listing)
    return listed(request, PLURAL, asked, found, more)


async def show(request: Request, ident: str, store: StoreDep) -> JSONResponse:
    policy.require(store.caller, "get_agent")
    agent, fields = row_id(NOUN, ident), fields_of(request)
    found = await store.read(lambda tx: _get(tx, agent))
    return JSONResponse({NOUN: chosen(view(found, store.now(), request.app.state.conductor_timeout), fields)})


async def update(request: Request, ident: str, body: AgentChange, store: StoreDep) -> JSONResponse:
    policy.require(store.caller, "update_agent")
    agent = row_id(NOUN, ident)

    def change(tx: Tx) -> Conductor:
        found = _get(tx, agent)
        if "description" in body.agent.given():
            conductors.describe(tx, found.hostname, body.agent.description)
        return _get(tx, agent)

    after = await store.write(change)
    return JSONResponse({NOUN: view(after, store.now(), request.app.state.conductor_timeout)})


def view(conductor: Conductor, now: datetime, timeout: float) -> View:
    """A conductor as an agent; alive when it was heard of in the last `timeout` seconds."""
    return {
        "id": agent_id(conductor.hostname),
        "agent_type": "Ironlane conductor",
        "binary": "ironlane",
        "topic": "",
        "host": conductor.hostname,
        "description": conductor.description,
        "admin_state_up": True,
        "alive": conductor.alive(now, timeout),
        "created_at": _moment(conductor.created_at),
        "heartbeat_timestamp": _moment(conductor.heartbeat_at),
        "configurations": {
            "conductor_group": conductor.conductor_group,
            "drivers": [driver.name for driver in conductor.drivers],
        },
        "availability_zone": None,
    }


def _smart_nic(switch: SwitchRecord) -> View:
    return {
        "id": agent_id(f"switch {switch.id}"),
        "agent_type": "Ironlane switch",
        "binary": "ironlane",
        "topic": "",
        "host": switch.id,
        "description": switch.reason,
        "admin_state_up": True,
        "alive": switch.state == "ok",
        "created_at": _moment(switch.created_at),
        "heartbeat_timestamp": _moment(switch.observed_at or switch.created_at),
        "configurations": {"conductor": switch.conductor or ""},
        "availability_zone": None,
    }


def agent_id(hostname: str) -> str:
    """The id of a conductor as an agent."""
    return str(uuid.uuid5(_NAMESPACE, hostname))


def _get(tx: Tx, ident: str) -> Conductor:
    found = next((conductor for conductor in conductors.listed(tx) if agent_id(conductor.hostname) == ident), None)
    if found is None:
        raise NotFound(NOUN, ident)
    return found


def _moment(when: datetime) -> str:
    """As Neutron writes the times of agents: UTC, without saying so."""
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _page(views: Sequence[View], listing: Listing) -> tuple[list[View], bool]:
    """What a listing asks for of the few that there are, as `ironlane.store.listing` does it of rows."""
    found = sorted(views, key=lambda agent: str(agent["id"]))
    for name, descends in reversed(listing.order):
        found.sort(key=lambda agent: agent[name], reverse=descends)
    found = [agent for agent in found if all(agent[name] in values for name, values in listing.equal.items())]
    if listing.reverse:
        found.reverse()
    if listing.marker is not None:
        at = next((index for index, agent in enumerate(found) if agent["id"] == listing.marker), None)
        if at is None:
            raise Invalid(f"{listing.marker!r} is the id of nothing in this collection", field="marker")
        found = found[at + 1 :]
    page = found[: listing.limit]
    return (page[::-1] if listing.reverse else page), len(found) > len(page)
