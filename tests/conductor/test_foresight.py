"""What would be sent, told before: the very text that is sent when the change is made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi import FastAPI

from ironlane.api.fabric import failures, foresight
from ironlane.api.fabric.app import create
from ironlane.model.cabling import CablingPolicy
from ironlane.model.fabric import SwitchId
from ironlane.model.lldp import Neighbour
from ironlane.model.node import Node
from ironlane.store import attachments, cabling, networks, nodes, plans, ports, vifs
from ironlane.store import drifts as drift_rows
from ironlane.store.attachments import of_host
from ironlane.store.database import Store
from ironlane.store.tables import metadata
from tests.api.asgi import Client
from tests.conductor.site import MACS, Site
from tests.conductor.test_fabric import bind, sabotage, settled, until_status


@pytest.fixture
async def site(store: Store) -> AsyncIterator[Site]:
    made = Site(store)
    await made.furnish()
    async with made.conductor():
        await settled(made)
        yield made


@pytest.fixture
def api(store: Store) -> Client:
    return Client(create(store), "/fabric")


async def asked(api: Client, body: dict[str, Any]) -> list[list[dict[str, Any]]]:
    answer = await api.post("/v1/plan", body)
    assert answer.status == 200, answer.body
    assert answer.json()["unavailable"] == []
    return list(answer.json()["generations"])


def texts(generations: list[list[dict[str, Any]]]) -> dict[str, list[tuple[str, ...]]]:
    """Switch to what is sent to it, commit after commit."""
    told: dict[str, list[tuple[str, ...]]] = {}
    for generation in generations:
        for its in generation:
            told.setdefault(its["switch"], []).append(tuple(its["rendered"]))
    return told


async def sent(site: Site, since: datetime) -> dict[str, list[tuple[str, ...]]]:
    """The same, as it was put on record before it was sent."""
    told: dict[str, list[tuple[str, ...]]] = {}
    for record in reversed(await site.store.read(plans.latest)):
        if record.created_at > since:
            assert record.outcome is plans.Outcome.VERIFIED, record
            told.setdefault(record.switch, []).append(record.rendered)
    return told


async def unchanged(site: Site) -> list[list[tuple[object, ...]]]:
    """All rows but those of questions, and of who is due when."""

    def read(tx):  # type: ignore[no-untyped-def]
        tables = [t for t in metadata.sorted_tables if t.name not in {"previews", "switches", "conductors", "nodes"}]
        return [sorted(map(repr, tx.all(sa.select(table)))) for table in tables]

    return await site.store.read(read)


def profile(number: int) -> dict[str, Any]:
    return {
        "local_link_information": [{"switch_id": mac, "port_id": f"p{number}"} for mac in MACS.values()],
        "local_group_information": {"id": f"g{number}", "bond_mode": "802.3ad"},
    }


async def test_a_binding_is_foreseen_byte_for_byte_and_nothing_is_sent(site: Site, api: Client) -> None:
    _, other = await bind(site, 1, "red")  # has the first LAG id
    await until_status(site, other, "ACTIVE")
    await settled(site)
    node, port = await site.node(2), await site.tenant_port("blue")
    before, commits = await unchanged(site), {n: leaf.commits for n, leaf in site.leaves.items()}
    told = await asked(api, {"network_port": port, "binding": {"host_id": node.id, "profile": profile(2)}})
    assert await unchanged(site) == before
    assert {n: leaf.commits for n, leaf in site.leaves.items()} == commits
    assert [[its["switch"] for its in generation] for generation in told] == [["leaf-1", "leaf-2"]]
    assert told[0][0]["changes"][0]["after"]["lag"]["number"] == 2
    since = site.store.now()
    change = {"vnic_type": "baremetal", "host_id": node.id, "profile": profile(2)}
    await site.store.write(lambda tx: ports.update(tx, port, change))
    await until_status(site, port, "ACTIVE")
    assert await sent(site, since) == texts(told)


async def to_tenant(site: Site) -> tuple[Node, str]:
    node, port = await site.node(1), await site.tenant_port("red")
    await site.to_available(node)
    await site.attach(node, port)
    await site.to_active(node)
    return node, port


async def test_moves_of_a_node_are_foreseen_generation_by_generation(site: Site, api: Client) -> None:
    node, _ = await to_tenant(site)
    await settled(site)
    told = await asked(api, {"node": "node-1", "target": "cleaning"})
    assert [[(its["switch"], its["exact"]) for its in generation] for generation in told] == [
        [("leaf-1", True), ("leaf-2", True)],
        [("leaf-1", False)],  # this kind of switch cannot tell what it will be sent later
    ]
    vlans = [[its["changes"][0]["after"]["untagged"] for its in generation] for generation in told]
    assert vlans == [[None, None], [10]]
    since = site.store.now()
    await site.ask(node, "deleted")
    await site.until_state(node, "clean wait", "booted")
    assert await sent(site, since) == texts(told)
    told = await asked(api, {"node": node.id, "target": "idle"})
    assert [[its["switch"] for its in generation] for generation in told] == [["leaf-1"]]


async def test_joining_the_tenant_is_foreseen(site: Site, api: Client) -> None:
    node, port = await site.node(1), await site.tenant_port("red")
    await site.to_available(node)
    await site.attach(node, port)
    await site.ask(node, "active")
    await site.until_state(node, "wait call-back", "booted")
    told = await asked(api, {"node": node.id, "target": "tenant"})
    assert [[its["switch"] for its in generation] for generation in told] == [["leaf-1"], ["leaf-1", "leaf-2"]]
    since = site.store.now()
    await site.report(node)
    await site.until_state(node, "active")
    assert await sent(site, since) == texts(told)


async def test_what_is_pending_is_told_and_not_hurried(site: Site, api: Client) -> None:
    assert await asked(api, {}) == []
    leaf = site.leaves["leaf-1"]
    leaf.refuse = lambda change: bool(change.after.vlans)
    _, port = await bind(site, 1, "red")
    await until_status(site, port, "DOWN", "refuses")
    told = await asked(api, {"switch": "leaf-1"})
    (its,) = told[0]
    assert its["changes"][0]["network_ports"] == [port]
    assert its["rendered"] == [f"p1: {leaf.carried['p1']}"] or its["rendered"][0].startswith("p1: ")
    leaf.refuse = lambda _change: False
    await until_status(site, port, "ACTIVE")
    assert await asked(api, {"switch": "leaf-1"}) == []


async def test_a_switch_that_does_not_answer_is_named(site: Site, api: Client) -> None:
    site.leaves["leaf-2"].unreachable = True
    node, port = await bind(site, 1, "red")
    await until_status(site, port, "DOWN", "leaf-2 does not answer")
    answer = await api.post("/v1/plan", {"switch": "leaf-2"})
    assert (answer.status, answer.json()["error"]["code"]) == (503, "PreviewFailed")
    assert "leaf-2 does not answer" in answer.json()["error"]["message"]
    every = (await api.post("/v1/plan", {})).json()
    assert [its["switch"] for its in every["unavailable"]] == ["leaf-2"]
    assert await site.store.read(lambda tx: len(of_host(tx, node.id))) == 2


async def test_a_question_does_not_swallow_a_drift(site: Site, api: Client) -> None:
    found = sabotage(site)
    assert await asked(api, {"switch": "leaf-1"}) == [], "what was read back lately is gone by"
    assert (await api.post("/v1/switches/leaf-1/audit", None)).json()["audit_due"]
    await site.until(lambda _tx: site.leaves["leaf-1"].carried["p5"] != found, "repaired")
    await site.until(lambda tx: bool(drift_rows.find(tx)) and not drift_rows.find(tx, open_only=True), "recorded")
    drifts = (await api.get("/v1/drifts?switch=leaf-1")).json()["drifts"]
    assert [(d["port"], d["found"]["untagged"], d["resolution"]) for d in drifts] == [("p5", 666, "repaired")]
    assert (await api.get("/v1/drifts?open=true")).json() == {"drifts": []}
    assert (await api.post("/v1/audit", None)).json() == {"switches": ["leaf-1", "leaf-2"]}


async def test_drift_that_is_tolerated_survives_other_changes(site: Site, api: Client) -> None:
    def report(tx):  # type: ignore[no-untyped-def]
        tx.execute(sa.text("update switches set policy = 'report'"))

    await site.store.write(report)
    found = sabotage(site)
    await api.post("/v1/switches/leaf-1/audit", None)
    await site.until(lambda tx: "p5" in tx.execute(sa.text("select reason from switches")).scalars().first(), "told")
    _, port = await bind(site, 1, "red")
    await until_status(site, port, "ACTIVE")
    assert site.leaves["leaf-1"].carried["p5"] == found
    ((its,),) = await asked(api, {"switch": "leaf-1"})
    assert (its["changes"], its["tolerated"]) == ([], ["p5"])


async def restored(api: Client, at: datetime, **more: Any) -> dict[str, Any]:
    answer = await api.post("/v1/restore", {"at": at.isoformat(), **more})
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json()
    return found


async def held_by(site: Site, port: str, host: str, number: int) -> None:
    """Bind a network port for a host that is no node of ours, and wait until it is so."""
    change = {"vnic_type": "baremetal", "host_id": host, "profile": profile(number)}
    await site.store.write(lambda tx: ports.update(tx, port, change))
    await until_status(site, port, "ACTIVE")


async def freed(site: Site, *which: str) -> None:
    for port in which:
        await site.store.write(lambda tx, p=port: ports.update(tx, p, {"host_id": "", "profile": {}}))
    await site.until(lambda tx: not attachments.find(tx), "all gone")
    await settled(site)


async def test_restore_swaps_back_what_was_swapped(site: Site, api: Client) -> None:
    red, blue, green, gone = [await site.tenant_port(name) for name in ("red", "blue", "green", "gone")]
    await held_by(site, red, "host-1", 1)
    await held_by(site, blue, "host-2", 2)
    await held_by(site, gone, "host-4", 4)
    then = site.store.now()
    await freed(site, red, blue, gone)
    await site.store.write(lambda tx: ports.delete(tx, gone))
    await held_by(site, red, "host-1", 2)
    await held_by(site, blue, "host-2", 1)
    await held_by(site, green, "host-3", 3)
    await settled(site)
    before = await unchanged(site)
    plan = await restored(api, then)
    assert await unchanged(site) == before, "a dry run changes nothing"
    actions = {action["network_port"]: action for action in plan["actions"]}
    assert {port: actions[port]["action"] for port in actions} == {red: "rebind", blue: "rebind", green: "unbind"}
    assert [link["port"] for link in actions[red]["after"]["links"]] == ["p1", "p1"]
    assert [(item["network_port"], item["binding"]["host"]) for item in plan["not_restorable"]] == [(gone, "host-4")]
    assert [[its["switch"] for its in generation] for generation in plan["generations"]] == [["leaf-1", "leaf-2"]] * 2
    since = site.store.now()
    done = await restored(api, then, dry_run=False, token=plan["token"])
    assert [action["conflict"] for action in done["actions"]] == [None] * 3
    for port in (red, blue):
        await until_status(site, port, "ACTIVE")
    await settled(site)
    assert await sent(site, since) == texts(plan["generations"])
    vlans = {number: await site.vlan(port) for number, port in ((1, red), (2, blue))}
    for carried in site.carried().values():
        assert {name: config.untagged for name, config in carried.items()} == {"p1": vlans[1], "p2": vlans[2]}
    assert (await restored(api, then))["actions"] == []
    answer = await api.post("/v1/restore", {"at": then.isoformat(), "dry_run": False, "token": plan["token"]})
    assert (answer.status, answer.json()["error"]["field"]) == (409, "token")


async def test_restore_with_a_conflict_changes_nothing(site: Site, api: Client) -> None:
    red, blue = [await site.tenant_port(name) for name in ("red", "blue")]
    await held_by(site, red, "host-1", 1)
    await held_by(site, blue, "host-2", 2)
    then = site.store.now()
    await freed(site, red, blue)
    await site.store.write(lambda tx: ports.update(tx, red, {"admin_state_up": False}))
    before = await unchanged(site)
    plan = await restored(api, then)
    assert {a["network_port"]: bool(a["conflict"]) for a in plan["actions"]} == {red: True, blue: False}
    answer = await api.post("/v1/restore", {"at": then.isoformat(), "dry_run": False})
    assert (answer.status, answer.json()["error"]["code"]) == (409, "RestoreConflict")
    assert "nothing was changed" in answer.json()["error"]["message"]
    assert red in answer.json()["error"]["message"]
    assert await unchanged(site) == before


async def test_restore_puts_nobody_on_a_port_that_another_server_is_cabled_to(site: Site, api: Client) -> None:
    node, port = await to_tenant(site)
    then = site.store.now()
    await site.store.write(lambda tx: vifs.detach(tx, nodes.by_id(tx, node.id), port))
    await site.until(lambda tx: not attachments.find(tx), "left")
    await site.node(2)
    stranger = {"p1": [Neighbour("52:54:00:02:00:01", "52:54:00:02:00:01")]}
    await site.store.write(lambda tx: cabling.note_shown(tx, SwitchId("leaf-1"), ["p1"], stranger))
    (action,) = (await restored(api, then))["actions"]
    assert "the switch's LLDP shows a NIC of node node-2" in action["conflict"]
    answer = await api.post("/v1/restore", {"at": then.isoformat(), "dry_run": False})
    assert answer.status == 409
    assert not await site.store.read(attachments.find)


async def test_restore_attaches_vifs_of_active_servers_again(site: Site, api: Client) -> None:
    node, port = await to_tenant(site)
    held, then = site.carried(), site.store.now()
    await site.store.write(lambda tx: vifs.detach(tx, nodes.by_id(tx, node.id), port))
    await site.until(lambda tx: not attachments.find(tx), "left")
    plan = await restored(api, then)
    assert [(a["action"], a["network_port"]) for a in plan["actions"]] == [("bind", port)]
    await restored(api, then, dry_run=False)
    await until_status(site, port, "ACTIVE")
    assert site.carried() == held
    assert await site.store.read(lambda tx: vifs.listed(tx, node.id)) == [port]
    await site.ask(node, "deleted")
    await site.until_state(node, "clean wait", "booted")
    (lost,) = (await restored(api, then))["not_restorable"]
    assert lost["reason"] == "node node-1 is clean wait, not active"


BAD = [
    ("/v1/plan", {"switch": "leaf-9"}, 404, None),
    ("/v1/plan", {"swich": "leaf-1"}, 400, "swich"),
    ("/v1/plan", {"switch": "leaf-1", "node": "node-1", "target": "idle"}, 400, "node"),
    ("/v1/plan", {"node": "node-1"}, 400, "target"),
    ("/v1/plan", {"target": "idle"}, 400, "node"),
    ("/v1/plan", {"node": "node-1", "target": "moon"}, 400, "target"),
    ("/v1/plan", {"node": "node-9", "target": "idle"}, 404, None),
    ("/v1/plan", {"node": "bare", "target": "cleaning"}, 409, "target"),
    ("/v1/plan", {"network_port": "np"}, 400, "binding"),
    ("/v1/plan", {"network_port": "np", "binding": {"host_id": "h"}}, 404, None),
    ("/v1/plan", {"network_port": "np", "binding": {}}, 400, "binding.host_id"),
    ("/v1/restore", {}, 400, "at"),
    ("/v1/restore", {"at": "yesterday"}, 400, "at"),
    ("/v1/restore", {"at": "2026-11-22T15:00:00"}, 400, "at"),
    ("/v1/restore", {"at": "0001-01-01T00:00:00+14:00"}, 400, "at"),
    ("/v1/restore", {"at": "9999-12-31T23:59:59Z"}, 400, "at"),
    ("/v1/restore", {"at": 1700000000}, 400, "at"),
    ("/v1/restore", {"at": "2026-11-22T15:00:00Z", "dry_run": "no"}, 400, "dry_run"),
]


async def test_what_cannot_be_asked(site: Site, api: Client) -> None:
    await site.store.write(lambda tx: nodes.create(tx, {"name": "bare", "driver": "fake-hardware"}))
    before = await unchanged(site)
    for path, body, status, field in BAD:
        answer = await api.post(path, body)
        assert (answer.status, answer.json()["error"]["field"]) == (status, field), (body, answer.body)
    for query in ("at=now", "vlan=0", "vlan=x", "limit=0", "hosts=x", "port=%00"):
        assert (await api.get(f"/v1/history?{query}")).status == 400, query
    assert await unchanged(site) == before


async def test_nobody_there_to_answer(store: Store) -> None:
    await Site(store).furnish()
    app = FastAPI()
    failures.install(app, None, admit=lambda _scope: None)
    app.include_router(foresight.router(store, CablingPolicy(), patience=0.05))
    answer = await Client(app).post("/v1/plan", {"switch": "leaf-1"})
    assert answer.status == 503
    assert "switch leaf-1: no answer within 0.05 s" in answer.json()["error"]["message"]


async def test_history_over_http(site: Site, api: Client) -> None:
    node, port = await bind(site, 1, "red")
    await until_status(site, port, "ACTIVE")
    vlan = await site.vlan(port)
    now = site.store.now().isoformat().replace("+00:00", "Z")
    for query in (f"host={node.id}", f"vlan={vlan}&port=p1", f"network_port={port}&at={now}"):
        found = (await api.get(f"/v1/history?switch=leaf-1&{query}")).json()["history"]
        assert [(h["port"], h["vlan"], h["network_port"], h["to_at"]) for h in found] == [("p1", vlan, port, None)]
    network = await site.store.read(lambda tx: networks.get(tx, ports.get(tx, port).network_id).id)
    assert len((await api.get(f"/v1/history?network={network}")).json()["history"]) == 2
