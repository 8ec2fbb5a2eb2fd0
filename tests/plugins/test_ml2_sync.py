"""The ML2 driver keeps Ironlane and Neutron in line: against the real fabric API, with a Neutron in memory."""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from keystoneauth1.session import Session
from neutron_ironlane.client import Client
from neutron_ironlane.sync import Sync
from starlette.types import ASGIApp, Receive, Scope, Send

from ironlane.store.database import Store, open_store
from ironlane.store.tables import metadata
from tests.api.fabric.test_bindings import BLUE, RED, body, obey
from tests.plugins.fabric import fabric, listening
from tests.plugins.neutron_side import FakeNeutron

ONE, TWO = (str(uuid.UUID(int=number)) for number in (11, 12))


def wish(**changed: Any) -> dict[str, Any]:
    whole = {"parent_id": None, **body(**changed)}
    del whole["revision"]
    return whole


def elsewhere() -> dict[str, Any]:
    """Of another server, on another switch port."""
    link = {"switch_id": "02:00:00:00:00:01", "port_id": "Ethernet1/2", "switch_info": "leaf-1"}
    return wish(host_id=str(uuid.UUID(int=202)), profile={"local_link_information": [link]})


class Ironlane:
    """The fabric API at an address that stays the same when it is stopped, and comes back with another store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self._port = int(taken.getsockname()[1])
        self.client = Client(Session(), f"http://127.0.0.1:{self._port}", timeout=10)
        self.fails_for = ""
        self._running = AsyncExitStack()
        self._stopping = asyncio.Event()

    async def start(self) -> None:
        self._stopping = asyncio.Event()
        app = await fabric(self.store, self._stopping)
        await self._running.enter_async_context(listening(self._sometimes(app), self._port))

    async def stop(self) -> None:
        self._stopping.set()
        await self._running.aclose()

    def _sometimes(self, app: ASGIApp) -> ASGIApp:
        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            if self.fails_for and scope["path"].endswith(self.fails_for):
                told = b'{"error": {"code": "Internal", "message": "a mistake of ours"}}'
                headers = [(b"content-type", b"application/json")]
                await send({"type": "http.response.start", "status": 500, "headers": headers})
                await send({"type": "http.response.body", "body": told})
            else:
                await app(scope, receive, send)

        return answer


@pytest.fixture
async def ironlane(store: Store) -> AsyncIterator[Ironlane]:
    running = Ironlane(store)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
def neutron() -> FakeNeutron:
    return FakeNeutron()


@pytest.fixture
async def sync(ironlane: Ironlane, neutron: FakeNeutron) -> AsyncIterator[Sync]:
    made = Sync(ironlane.client, neutron)
    yield made
    made.stop()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 - another thread's doing
            await asyncio.sleep(0.02)


async def request(sync: Sync, neutron: FakeNeutron, port: str, wished: dict[str, Any] | None) -> None:
    """What a request of Neutron's API comes to."""
    revision = neutron.bind(port, wished)
    await asyncio.to_thread(sync.hand_over, port, revision)


async def bindings(ironlane: Ironlane) -> dict[str, Any]:
    return {b["id"]: b for b in (await asyncio.to_thread(ironlane.client.list))["bindings"]}


async def until_bindings(ironlane: Ironlane, ports: set[str]) -> None:
    """Until these are bound and no others."""
    async with asyncio.timeout(60):
        while set(await bindings(ironlane)) != ports:  # noqa: ASYNC110 - another thread's doing
            await asyncio.sleep(0.02)


async def test_a_port_is_active_when_ironlane_says_so_and_down_when_it_does_not_any_more(
    sync: Sync, ironlane: Ironlane, neutron: FakeNeutron
) -> None:
    sync.start()
    await request(sync, neutron, ONE, wish())
    assert (await bindings(ironlane))[ONE]["status"] == "DOWN"
    assert neutron.changed == []
    await obey(ironlane.store)
    await until(lambda: neutron.ports[ONE].status == "ACTIVE")
    await request(sync, neutron, ONE, wish(network_id=BLUE, vlan=251))
    await obey(ironlane.store)
    await obey(ironlane.store)
    await until(lambda: neutron.ports[ONE].status == "ACTIVE")
    await request(sync, neutron, ONE, None)
    assert await bindings(ironlane) == {}
    assert neutron.changed == [(ONE, "ACTIVE")] * 2


async def test_nothing_is_lost_while_ironlane_is_away(sync: Sync, ironlane: Ironlane, neutron: FakeNeutron) -> None:
    await request(sync, neutron, ONE, wish())
    await ironlane.stop()
    await request(sync, neutron, TWO, wish(network_id=BLUE, vlan=251))
    await request(sync, neutron, ONE, None)
    assert neutron.ports[TWO].status == "DOWN"
    await ironlane.start()
    await until_bindings(ironlane, {TWO})


async def test_a_process_that_begins_makes_up_for_one_that_died(
    sync: Sync, ironlane: Ironlane, neutron: FakeNeutron
) -> None:
    neutron.bind(ONE, wish())  # and the process died before it handed that over
    await asyncio.to_thread(ironlane.client.put, TWO, wish(network_id=BLUE, vlan=251) | {"revision": 1})
    sync.start()
    await until_bindings(ironlane, {ONE})


async def test_another_database_of_ironlanes_is_told_everything(
    sync: Sync, ironlane: Ironlane, neutron: FakeNeutron, tmp_path: Path
) -> None:
    sync.start()
    await request(sync, neutron, ONE, wish())
    await obey(ironlane.store)
    await until(lambda: neutron.ports[ONE].status == "ACTIVE")
    await ironlane.stop()
    ironlane.store = open_store(f"sqlite:///{tmp_path}/other.sqlite")
    await ironlane.store.write(lambda tx: metadata.create_all(tx.connection))
    await ironlane.start()
    await until(lambda: neutron.ports[ONE].status == "DOWN")
    await obey(ironlane.store)
    await until(lambda: neutron.ports[ONE].status == "ACTIVE")
    await ironlane.stop()
    await ironlane.store.close()


async def test_what_was_told_long_ago_changes_no_status(sync: Sync, ironlane: Ironlane, neutron: FakeNeutron) -> None:
    neutron.bind(ONE, wish())
    down = await asyncio.to_thread(ironlane.client.put, ONE, wish() | {"revision": 1})
    await obey(ironlane.store)
    active = await asyncio.to_thread(ironlane.client.get, ONE)
    assert (down["status"], active["status"]) == ("DOWN", "ACTIVE")
    neutron.ports[ONE].status = "ACTIVE"
    await asyncio.to_thread(sync._take_status, ONE, down)
    assert neutron.changed == [], "an answer from before it was ACTIVE takes that away"
    await asyncio.to_thread(ironlane.client.put, ONE, wish(network_id=BLUE, vlan=251) | {"revision": 2})
    neutron.ports[ONE].status = "DOWN"
    await asyncio.to_thread(sync._take_status, ONE, active)
    assert neutron.changed == [], "ACTIVE, and nobody has read it back"


async def test_who_changes_a_status_has_seen_the_last_of_it(
    sync: Sync, ironlane: Ironlane, neutron: FakeNeutron
) -> None:
    neutron.bind(ONE, wish())
    binding = await asyncio.to_thread(ironlane.client.put, ONE, wish() | {"revision": 1})
    await obey(ironlane.store)
    looks = iter(range(9))

    def rebind() -> None:
        if next(looks) == 1:
            neutron.bind(ONE, wish(network_id=BLUE, vlan=251))

    neutron.before_settling = rebind
    await asyncio.to_thread(sync._take_status, ONE, binding)
    assert neutron.ports[ONE].status == "DOWN", "another request came between the look and the change"
    assert neutron.changed == []


async def test_a_wish_that_was_taken_back_at_the_same_revision_comes_back(
    sync: Sync, ironlane: Ironlane, neutron: FakeNeutron
) -> None:
    await request(sync, neutron, ONE, wish())
    port = neutron.ports[ONE]
    port.status = "ACTIVE"
    wished, port.wish = port.wish, None  # its network goes down, which is no change of the port
    await asyncio.to_thread(sync.hand_over, ONE, port.revision)
    assert await bindings(ironlane) == {}
    assert port.status == "DOWN"
    port.wish = wished
    await asyncio.to_thread(sync.hand_over, ONE, port.revision)
    await until_bindings(ironlane, {ONE})
    assert port.revision > 1  # the thread that compares may have done it as well


async def test_a_process_that_begins_leaves_no_port_active_that_is_to_be_nowhere(
    sync: Sync, neutron: FakeNeutron
) -> None:
    neutron.bind(ONE, None)
    neutron.ports[ONE].status = "ACTIVE"  # its network is down, and the process died before it wrote that
    sync.start()
    await until(lambda: neutron.ports[ONE].status == "DOWN")


async def test_a_port_that_cannot_be_bound_is_in_error_until_it_can(
    sync: Sync, ironlane: Ironlane, neutron: FakeNeutron
) -> None:
    sync.start()
    strange = {"local_link_information": [{"switch_id": "02:00:00:00:00:99", "port_id": "x", "switch_info": "no"}]}
    await request(sync, neutron, ONE, wish(profile=strange))
    await until(lambda: neutron.ports[ONE].status == "ERROR")
    await request(sync, neutron, ONE, wish())
    await obey(ironlane.store)
    await until(lambda: neutron.ports[ONE].status == "ACTIVE")


async def test_one_wish_that_fails_holds_up_no_other(sync: Sync, ironlane: Ironlane, neutron: FakeNeutron) -> None:
    ironlane.fails_for = ONE
    sync.start()
    await request(sync, neutron, ONE, wish(network_id=BLUE, vlan=251))
    await request(sync, neutron, TWO, wish(network_id=RED))
    assert set(await bindings(ironlane)) == {TWO}
    assert neutron.ports[ONE].status == "DOWN"
    await obey(ironlane.store)
    await until(lambda: neutron.ports[TWO].status == "ACTIVE")
    await request(sync, neutron, TWO, None)
    await obey(ironlane.store)
    ironlane.fails_for = ""
    await until_bindings(ironlane, {ONE})


async def test_a_wish_that_fails_in_neutron_holds_up_no_other(
    sync: Sync, ironlane: Ironlane, neutron: FakeNeutron
) -> None:
    """Such as for another mechanism driver, which refuses the status."""
    neutron.bind(ONE, wish())
    neutron.bind(TWO, elsewhere())
    neutron.fails_for = ONE
    sync.start()
    await until_bindings(ironlane, {ONE, TWO})
    await obey(ironlane.store)
    await until(lambda: neutron.ports[TWO].status == "ACTIVE")


async def test_a_change_of_a_network_is_followed_by_a_process_that_had_no_port_yet(
    sync: Sync, ironlane: Ironlane, neutron: FakeNeutron
) -> None:
    neutron.bind(ONE, wish())
    await asyncio.to_thread(sync.compare)
    await until_bindings(ironlane, {ONE})


async def test_what_is_wished_for_again_while_it_is_taken_back_stays(
    sync: Sync, ironlane: Ironlane, neutron: FakeNeutron
) -> None:
    """A network goes down and comes up again, each seen by another process."""
    other = Sync(ironlane.client, neutron)
    await request(sync, neutron, ONE, wish())
    port = neutron.ports[ONE]
    wished, port.wish = port.wish, None

    def up() -> None:
        neutron.after_reading = lambda: None
        port.wish = wished
        other._compare()

    neutron.after_reading = up
    await asyncio.to_thread(sync.hand_over, ONE, port.revision)
    await until_bindings(ironlane, {ONE})


async def test_who_unbinds_a_port_that_was_bound_again_meanwhile_does_not_take_that_back(
    sync: Sync, ironlane: Ironlane, neutron: FakeNeutron
) -> None:
    other = Sync(ironlane.client, neutron)
    await request(sync, neutron, ONE, wish())
    unbound = neutron.bind(ONE, None)

    def rebind() -> None:
        neutron.after_reading = lambda: None
        other.hand_over(ONE, neutron.bind(ONE, wish(network_id=BLUE, vlan=251)))

    neutron.after_reading = rebind
    await asyncio.to_thread(sync.hand_over, ONE, unbound)
    assert (await bindings(ironlane))[ONE]["vlan"] == 251


async def test_the_last_of_two_wishes_of_one_revision_stays(
    sync: Sync, ironlane: Ironlane, neutron: FakeNeutron
) -> None:
    """Such as when the name of a network changes, and with it the side."""
    other = Sync(ironlane.client, neutron)
    revision = neutron.bind(ONE, wish())

    def rename() -> None:
        neutron.after_reading = lambda: None
        neutron.ports[ONE].wish = wish(side="provider")
        other.hand_over(ONE, revision)

    neutron.after_reading = rename
    await asyncio.to_thread(sync.hand_over, ONE, revision)
    assert (await bindings(ironlane))[ONE]["side"] == "provider"


async def test_a_deleted_port_leaves_even_if_it_was_bound_when_its_deletion_had_begun(
    sync: Sync, ironlane: Ironlane, neutron: FakeNeutron
) -> None:
    revision = neutron.bind(ONE, None)
    await request(sync, neutron, ONE, wish())
    del neutron.ports[ONE]
    await asyncio.to_thread(sync.hand_over, ONE, revision)
    assert await bindings(ironlane) == {}


async def test_a_neutron_whose_database_was_restored_is_right(
    sync: Sync, ironlane: Ironlane, neutron: FakeNeutron
) -> None:
    await asyncio.to_thread(ironlane.client.put, ONE, wish(network_id=BLUE, vlan=251) | {"revision": 70})
    await asyncio.to_thread(ironlane.client.delete, TWO, 80)
    neutron.bind(ONE, wish())
    neutron.bind(TWO, elsewhere())
    sync.start()
    await until_bindings(ironlane, {ONE, TWO})
    assert (await bindings(ironlane))[ONE]["vlan"] == wish()["vlan"]


async def test_what_is_not_accepted_is_not_active(sync: Sync, ironlane: Ironlane, neutron: FakeNeutron) -> None:
    """Ironlane has lost its database, and somebody else has the VLAN."""
    await asyncio.to_thread(ironlane.client.put, TWO, wish(network_id=BLUE) | {"revision": 1})
    neutron.bind(TWO, wish(network_id=BLUE))
    neutron.bind(ONE, wish())
    neutron.ports[ONE].status = "ACTIVE"
    sync.start()
    await until(lambda: neutron.ports[ONE].status == "DOWN")


async def test_what_cannot_be_taken_back_is_tried_again(sync: Sync, ironlane: Ironlane, neutron: FakeNeutron) -> None:
    sync.start()
    await request(sync, neutron, ONE, wish())
    await obey(ironlane.store)
    await until(lambda: neutron.ports[ONE].status == "ACTIVE")
    ironlane.fails_for = ONE
    await request(sync, neutron, ONE, None)
    ironlane.fails_for = ""
    await until_bindings(ironlane, set())


async def test_what_cannot_be_bound_elsewhere_leaves_where_it_was(
    sync: Sync, ironlane: Ironlane, neutron: FakeNeutron
) -> None:
    await request(sync, neutron, ONE, wish())
    await obey(ironlane.store)
    strange = {"local_link_information": [{"switch_id": "02:00:00:00:00:99", "port_id": "x", "switch_info": "no"}]}
    await request(sync, neutron, ONE, wish(profile=strange))
    assert (neutron.ports[ONE].status, await bindings(ironlane)) == ("ERROR", {})
    await request(sync, neutron, ONE, wish())
    assert set(await bindings(ironlane)) == {ONE}


async def test_an_ironlane_whose_database_was_restored_is_told_what_it_lacks(
    sync: Sync, ironlane: Ironlane, neutron: FakeNeutron
) -> None:
    sync.start()
    await until(lambda: sync._stream is not None)
    sync._change += 1000  # it was further
    neutron.bind(ONE, wish())
    await until_bindings(ironlane, {ONE})
