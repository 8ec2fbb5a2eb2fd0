"""Bindings of somebody else's Neutron: durable, in the order of revisions, and told by push when they are read back."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
import sqlalchemy as sa

from ironlane.api.fabric.app import create
from ironlane.model.fabric import AttachmentState, ManagedPorts, SwitchId
from ironlane.model.plan import project
from ironlane.store import networks, settling
from ironlane.store.attachments import of_switch
from ironlane.store.database import Store, Tx
from ironlane.store.networks import NewNetwork
from ironlane.store.tables import segments
from tests.api.asgi import Answer, Client
from tests.api.fabric.test_fabric import LEAF

LEAF_1, PORTS = SwitchId("leaf-1"), frozenset(LEAF["ports"])
PORT, OTHER, CHILD = (str(uuid.UUID(int=number)) for number in (1, 2, 3))
RED, BLUE = (str(uuid.UUID(int=number)) for number in (101, 102))
HOST = str(uuid.UUID(int=201))


def body(revision: int = 1, **changed: Any) -> dict[str, Any]:
    link = {"switch_id": "02:00:00:00:00:01", "port_id": "Ethernet1/1", "switch_info": "leaf-1"}
    whole = {
        "revision": revision,
        "network_id": RED,
        "vlan": 250,
        "physical_network": "physnet1",
        "side": "tenant",
        "host_id": HOST,
        "profile": {"local_link_information": [link]},
    }
    return whole | changed


def subport(revision: int = 1, **changed: Any) -> dict[str, Any]:
    return {"revision": revision, "network_id": BLUE, "vlan": 251, "physical_network": "physnet1"} | {
        "parent_id": PORT,
        **changed,
    }


@pytest.fixture
async def api(store: Store) -> Client:
    client = Client(create(store), "/fabric")
    await client.put("/v1/physical-networks/physnet1", {"tenant_vlans": [[200, 250]]})
    assert (await client.put("/v1/switches/leaf-1", LEAF)).status == 201
    return client


async def obey(store: Store) -> None:
    """The switch does what it is told, and is read back."""

    def work(tx: Tx) -> None:
        seen = of_switch(tx, LEAF_1)
        settling.settle(tx, LEAF_1, seen, project(seen, ManagedPorts(LEAF_1, PORTS)))

    await store.write(work)


async def wishes(store: Store) -> set[tuple[str, int, bool, str]]:
    found = await store.read(lambda tx: of_switch(tx, LEAF_1))
    return {(a.network_port, a.vlan, a.tagged, a.state.value) for a in found}


def code(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json()["error"]["code"]


async def test_a_binding_is_active_only_after_read_back(api: Client, store: Store) -> None:
    answer = await api.put(f"/v1/bindings/{PORT}", body())
    assert (answer.status, answer.json()["status"]) == (201, "DOWN")
    assert answer.json()["reason"] == "waiting for switch leaf-1 (Ethernet1/1)"
    await obey(store)
    shown = (await api.get(f"/v1/bindings/{PORT}")).json()
    assert (shown["status"], shown["reason"]) == ("ACTIVE", "")
    assert {key: shown[key] for key in body()} == body()
    listed = (await api.get("/v1/bindings")).json()
    assert (listed["bindings"], listed["change"]) == ([shown], shown["change"])


async def test_repeating_it_changes_nothing_and_a_late_one_is_refused(api: Client, store: Store) -> None:
    await api.put(f"/v1/bindings/{PORT}", body(3))
    before = (await api.get(f"/v1/bindings/{PORT}")).json()
    assert (await api.put(f"/v1/bindings/{PORT}", body(3))).json() == before
    newer = (await api.put(f"/v1/bindings/{PORT}", body(4))).json()
    assert newer == before | {"revision": 4}, "not a change that anybody has to hear of"
    late = await api.put(f"/v1/bindings/{PORT}", body(3, network_id=BLUE, vlan=251))
    assert code(late) == (409, "StaleRevision")
    assert code(await api.delete(f"/v1/bindings/{PORT}?revision=3")) == (409, "StaleRevision")
    assert await wishes(store) == {(PORT, 250, False, "wanted")}


async def test_what_was_taken_back_is_not_brought_back_by_a_late_repetition(api: Client, store: Store) -> None:
    await api.put(f"/v1/bindings/{PORT}", body(3))
    await obey(store)
    assert (await api.delete(f"/v1/bindings/{PORT}?revision=4")).status == 204
    assert (await api.get(f"/v1/bindings/{PORT}")).status == 404
    assert code(await api.put(f"/v1/bindings/{PORT}", body(3))) == (409, "StaleRevision")
    assert code(await api.put(f"/v1/bindings/{PORT}", body(4))) == (409, "StaleRevision")
    assert await wishes(store) == {(PORT, 250, False, "leaving")}
    assert (await api.put(f"/v1/bindings/{PORT}", body(5))).status == 201
    assert await wishes(store) == {(PORT, 250, False, "leaving"), (PORT, 250, False, "held")}
    # Its deletion may even overtake the wish itself.
    assert (await api.delete(f"/v1/bindings/{OTHER}?revision=2")).status == 204
    assert code(await api.put(f"/v1/bindings/{OTHER}", body(2))) == (409, "StaleRevision")
    assert (await api.delete(f"/v1/bindings/{CHILD}")).status == 404


async def test_break_before_make_across_foreign_networks(api: Client, store: Store) -> None:
    await api.put(f"/v1/bindings/{PORT}", body(side="provider"))
    await obey(store)
    await api.delete(f"/v1/bindings/{PORT}?revision=2")
    moved = (await api.put(f"/v1/bindings/{OTHER}", body(network_id=BLUE, vlan=251))).json()
    assert "waiting until leaf-1/Ethernet1/1" in moved["reason"]
    assert await wishes(store) == {(PORT, 250, False, "leaving"), (OTHER, 251, False, AttachmentState.HELD.value)}
    await obey(store)
    assert await wishes(store) == {(OTHER, 251, False, "wanted")}


async def test_a_vlan_is_one_networks_ours_or_foreign(api: Client, store: Store) -> None:
    own = await store.write(lambda tx: networks.create(tx, NewNetwork(name="own")))
    taken = await api.put(f"/v1/bindings/{PORT}", body(vlan=own.vlan))
    assert code(taken) == (409, "VlanIdInUse")
    assert own.id in taken.json()["error"]["message"]
    assert code(await api.put(f"/v1/bindings/{PORT}", body(vlan=99)))[1] == "VlanIdInUse", "idle ports carry it"
    assert (await api.get(f"/v1/bindings/{PORT}")).status == 404, "a refused wish leaves no trace"

    await api.put(f"/v1/bindings/{PORT}", body(vlan=201))
    second = await store.write(lambda tx: networks.create(tx, NewNetwork(name="second")))
    assert (own.vlan, second.vlan) == (200, 202), "the foreign network's VLAN is passed over"
    assert code(await api.put(f"/v1/bindings/{OTHER}", body(network_id=BLUE, vlan=201)))[1] == "VlanIdInUse"
    await obey(store)
    await api.delete(f"/v1/bindings/{PORT}?revision=2")
    still = await api.put(f"/v1/bindings/{OTHER}", body(network_id=BLUE, vlan=201))
    assert "gone but still on a switch" in still.json()["error"]["message"]
    await obey(store)
    left = await store.read(lambda tx: {row.vlan for row in tx.all(sa.select(segments.c.vlan))})
    assert left == {200, 202}
    assert (await api.put(f"/v1/bindings/{OTHER}", body(network_id=BLUE, vlan=201))).status == 201


async def test_our_own_ports_and_networks_are_not_foreign(api: Client, store: Store) -> None:
    own = await store.write(lambda tx: networks.create(tx, NewNetwork(name="own")))
    assert code(await api.put(f"/v1/bindings/{PORT}", body(network_id=own.id))) == (409, "NotForeign")


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"profile": {}}, "profile.local_link_information"),
        ({"profile": {"local_link_information": [{"port_id": "x"}]}}, "profile.local_link_information[0].switch_id"),
        ({"host_id": ""}, "host_id"),
        ({"vlan": None}, "network_id"),
        ({"vlan": 4095}, "vlan"),
        ({"revision": "1"}, "revision"),
        ({"parent_id": OTHER}, "host_id"),
        ({"physical_network": "elsewhere"}, "profile.local_link_information[0].switch_id"),
    ],
)
async def test_mistakes_are_told_by_field(api: Client, store: Store, changed: dict[str, Any], field: str) -> None:
    answer = await api.put(f"/v1/bindings/{PORT}", body() | changed)
    assert (answer.status, answer.json()["error"]["field"]) == (400, field)
    assert await wishes(store) == set()


async def test_sub_ports_follow_their_parent_port_in_whatever_order_they_come(api: Client, store: Store) -> None:
    lonely = (await api.put(f"/v1/bindings/{CHILD}", subport())).json()
    assert lonely["reason"] == f"its parent port {PORT} is not bound"
    await api.put(f"/v1/bindings/{PORT}", body())
    await obey(store)
    await obey(store)
    assert await wishes(store) == {(PORT, 250, False, "wanted"), (CHILD, 251, True, "wanted")}
    assert (await api.get(f"/v1/bindings/{CHILD}")).json()["status"] == "ACTIVE"
    await api.delete(f"/v1/bindings/{PORT}?revision=2")
    assert await wishes(store) == {(PORT, 250, False, "leaving"), (CHILD, 251, True, "leaving")}
    await obey(store)
    assert (await api.get(f"/v1/bindings/{CHILD}")).json()["status"] == "DOWN"


async def test_changes_are_pushed(api: Client, store: Store) -> None:
    start = (await api.get("/v1/bindings/events")).json()
    assert start == {"stream": "", "change": 0, "bindings": []}
    waiting = asyncio.create_task(api.get("/v1/bindings/events?wait=60"))
    await asyncio.sleep(0)
    await api.put(f"/v1/bindings/{PORT}", body())
    told = (await asyncio.wait_for(waiting, 30)).json()
    assert [(b["id"], b["status"]) for b in told["bindings"]] == [(PORT, "DOWN")]
    follow = f"/v1/bindings/events?wait=60&stream={told['stream']}&after="
    waiting = asyncio.create_task(api.get(f"{follow}{told['change']}"))
    await obey(store)
    told = (await asyncio.wait_for(waiting, 30)).json()
    assert [(b["id"], b["status"]) for b in told["bindings"]] == [(PORT, "ACTIVE")]
    nothing = (await api.get(f"{follow}{told['change']}".replace("wait=60", "wait=0"))).json()
    assert nothing == told | {"bindings": []}
    other = (await api.get("/v1/bindings/events?wait=60&stream=another&after=999")).json()
    assert [b["id"] for b in other["bindings"]] == [PORT], "who comes from another database is told all"


async def test_nobody_is_kept_waiting_by_a_process_that_stops(store: Store) -> None:
    stopping = asyncio.Event()
    waiting = asyncio.create_task(Client(create(store, stopping=stopping), "").get("/v1/bindings/events?wait=60"))
    await asyncio.sleep(0)
    stopping.set()
    assert (await asyncio.wait_for(waiting, 30)).status == 200
