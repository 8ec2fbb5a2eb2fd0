"""Agents: the conductors, as a Networking API shows them."""

from __future__ import annotations

from datetime import timedelta

from ironlane.store import leases
from ironlane.store.database import Store, Tx, open_store
from ironlane.store.leases import Membership
from tests.api.networking.conftest import Networking, application


async def join(store: Store, *names: str) -> None:
    def work(tx: Tx) -> None:
        for name in names:
            leases.join(tx, Membership(name, [{"name": "redfish"}], conductor_group="rack-1"))

    await store.write(work)


async def test_none_without_conductors(networking: Networking) -> None:
    assert await networking.listed("agents") == []


async def test_a_conductor_is_an_agent(networking: Networking, store: Store) -> None:
    await join(store, "c1")
    (agent,) = await networking.listed("agents")
    assert {name: agent[name] for name in ("host", "binary", "agent_type", "alive", "admin_state_up")} == {
        "host": "c1",
        "binary": "ironlane",
        "agent_type": "Ironlane conductor",
        "alive": True,
        "admin_state_up": True,
    }
    assert agent["configurations"] == {"conductor_group": "rack-1", "drivers": ["redfish"]}
    assert await networking.shown("agents", agent["id"]) == agent
    assert (await networking.get(f"/v2.0/agents/{agent['id']}?fields=host")).json() == {"agent": {"host": "c1"}}
    for ident in ("0" * 32, "c1"):
        missing = await networking.get(f"/v2.0/agents/{ident}")
        assert (missing.status, missing.json()["NeutronError"]["type"]) == (404, "AgentNotFound")
    assert (await networking.delete(f"/v2.0/agents/{agent['id']}")).status == 405


async def test_all_that_changes_is_the_description(networking: Networking, store: Store) -> None:
    await join(store, "c1", "c2")
    one, two = await networking.listed("agents", "sort_key=host")
    changed = await networking.changed("agents", one["id"], description="in the cellar", admin_state_up=True)
    assert changed == {**one, "description": "in the cellar"}
    assert await networking.listed("agents", "description=in the cellar") == [changed]
    assert await networking.shown("agents", two["id"]) == two
    await join(store, "c1")  # another life
    assert (await networking.shown("agents", one["id"]))["description"] == "in the cellar"
    for refused in ({"admin_state_up": False}, {"host": "c3"}, {"description": 1}, {"colour": "red"}):
        answer = await networking.put(f"/v2.0/agents/{one['id']}", {"agent": refused})
        assert (answer.status, next(iter(refused)) in answer.json()["NeutronError"]["message"]) == (400, True)
    assert (await networking.put(f"/v2.0/agents/{'0' * 32}", {"agent": {}})).status == 404


async def test_one_that_left_or_fell_silent_is_dead(store: Store, networking: Networking) -> None:
    gone = await store.write(lambda tx: leases.join(tx, Membership("gone", [])))
    await store.write(lambda tx: leases.leave(tx, gone))
    silent = await store.write(lambda tx: leases.join(tx, Membership("silent", [])))
    assert [a["host"] for a in await networking.listed("agents", "alive=true")] == ["silent"]
    later = open_store(
        str(store._backend.engine.url), now=lambda: store.now() + timedelta(seconds=61)
    )  # the same rows, a minute on
    try:
        after = Networking(application(later))
        assert [a["alive"] for a in await after.listed("agents")] == [False, False]
        await later.write(lambda tx: leases.renew(tx, silent))
        assert [a["host"] for a in await after.listed("agents", "alive=true")] == ["silent"]
    finally:
        await later.close()


async def test_lists(networking: Networking, store: Store) -> None:
    await join(store, "c1", "c2", "c3")
    hosts = [a["host"] for a in await networking.listed("agents", "sort_key=host&sort_dir=desc")]
    assert hosts == ["c3", "c2", "c1"]
    assert [a["host"] for a in await networking.listed("agents", "host=c2&host=c1&sort_key=host&sort_dir=asc")] == [
        "c1",
        "c2",
    ]
    assert await networking.listed("agents", "host=c2&binary=neutron-dhcp-agent") == []
    seen, url = [], "/v2.0/agents?limit=2"
    while url:
        page = (await networking.get(url)).json()
        seen.append([a["id"] for a in page["agents"]])
        links = {link["rel"]: link["href"] for link in page.get("agents_links", ())}
        url = links.get("next", "").removeprefix("http://ironlane.test")
    assert [len(ids) for ids in seen] == [2, 1]
    every = sorted(a["id"] for a in await networking.listed("agents"))
    assert seen[0] + seen[1] == every
    back = await networking.listed("agents", f"limit=2&marker={every[2]}&page_reverse=True&fields=id")
    assert [a["id"] for a in back] == every[:2]
    assert (await networking.get(f"/v2.0/agents?marker={'0' * 32}")).status == 400
    assert (await networking.get("/v2.0/agents?tags=red")).status == 400
