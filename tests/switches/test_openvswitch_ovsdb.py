"""The OVSDB session against a scripted server, and the framing of its stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from ironlane.model.errors import Permanent, Temporary
from ironlane.switches.ovsdb import Endpoint, Framer, Session, atoms, pairs, tls_context, to_map, to_set, uuid_of

Answer = Callable[[dict[str, Any]], str | None]


class ScriptedServer:
    """Answers each request by a function; None keeps silent."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answer: Answer = lambda request: json.dumps({"id": request["id"], "error": None, "result": [{}]})
        self.greeting = ""
        self.received: list[dict[str, Any]] = []
        self.connections = 0
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        writer.write(self.greeting.encode())
        framer = Framer()
        while octets := await reader.read(65536):
            for message in map(json.loads, framer.feed(octets)):
                self.received.append(message)
                if (text := self.answer(message)) is not None:
                    writer.write(text.encode())
        writer.close()


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[ScriptedServer]:
    scripted = ScriptedServer(tmp_path / "db.sock")
    listening = await asyncio.start_unix_server(scripted.serve, str(scripted.path))
    yield scripted
    listening.close()
    for writer in scripted.writers:
        writer.close()
    await asyncio.sleep(0)


@pytest_asyncio.fixture
async def session(server: ScriptedServer) -> AsyncIterator[Session]:
    made = Session(Endpoint(path=str(server.path)), timeout=0.5, probe_interval=0.05)
    yield made
    await made.close()


def results(*objects: object) -> Answer:
    return lambda request: json.dumps({"id": request["id"], "error": None, "result": list(objects)})


async def test_a_transaction_is_one_request_and_its_results(server: ScriptedServer, session: Session) -> None:
    server.answer = results({"count": 1}, {})
    operations = [{"op": "mutate"}, {"op": "comment"}]
    assert await session.transact(operations, request_id="plan") == [{"count": 1}, {}]
    assert server.received == [{"method": "transact", "params": ["Open_vSwitch", *operations], "id": "plan"}]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("timed out", Temporary),
        ("resources exhausted", Temporary),
        ("not owner", Temporary),
        ("constraint violation", Permanent),
        ("referential integrity violation", Permanent),
        ("unknown column", Permanent),
    ],
)
async def test_errors_of_operations(
    server: ScriptedServer, session: Session, error: str, kind: type[Exception]
) -> None:
    server.answer = results({}, {"error": error, "details": "because"}, None)
    with pytest.raises(kind, match=f"update Port: {error}: because"):
        await session.transact([{"op": "comment"}, {"op": "update", "table": "Port"}, {"op": "comment"}])
    server.answer = results({}, {"error": error, "details": "because"})
    with pytest.raises(kind, match=f"commit: {error}"):
        await session.transact([{"op": "comment"}])


async def test_errors_of_requests_and_malformed_answers(server: ScriptedServer, session: Session) -> None:
    server.answer = lambda request: json.dumps({"id": request["id"], "error": {"error": "unknown database"}})
    with pytest.raises(Permanent, match="unknown database"):
        await session.transact([])
    for answer in ("[1]", "}", '{"id":', '{"id": 5, "result": 7, "error": null}'):
        server.answer = lambda _request, text=answer: text  # type: ignore[misc]
        with pytest.raises(Temporary):
            await session.transact([{"op": "comment"}])
    server.answer = results()
    with pytest.raises(Temporary, match="0 results to 1 operations"):
        await session.transact([{"op": "comment"}])


async def test_the_servers_echo_is_answered_at_any_time(server: ScriptedServer, session: Session) -> None:
    server.greeting = '{"method":"echo","params":["x"],"id":"probe"}'
    await session.transact([{"op": "comment"}])
    await asyncio.sleep(0.02)
    assert {"result": ["x"], "error": None, "id": "probe"} in server.received


async def test_a_silent_server_is_probed_and_given_up(server: ScriptedServer, session: Session) -> None:
    server.answer = lambda _request: None
    with pytest.raises(Temporary, match="no sign of life"):
        await session.transact([{"op": "comment"}])
    assert any(message.get("method") == "echo" for message in server.received)
    server.answer = results({})
    assert await session.transact([{"op": "comment"}]) == [{}]
    assert server.connections == 2


async def test_a_live_but_slow_server_is_waited_for_until_the_timeout(server: ScriptedServer, session: Session) -> None:
    server.answer = lambda request: json.dumps({"id": "echo", "result": []}) if request["method"] == "echo" else None
    with pytest.raises(Temporary, match="no answer within"):
        await session.transact([{"op": "comment"}])


async def test_a_cancelled_requests_answer_meets_nobody(server: ScriptedServer, session: Session) -> None:
    server.answer = lambda _request: None
    task = asyncio.create_task(session.transact([{"op": "comment"}], request_id="plan"))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    server.answer = results({"count": 2})
    assert await session.transact([{"op": "comment"}], request_id="plan") == [{"count": 2}]
    assert server.connections == 2


async def test_nobody_listens(tmp_path: Path) -> None:
    for endpoint in (Endpoint(path=str(tmp_path / "none")), Endpoint(host="127.0.0.1", port=1)):
        session = Session(endpoint, timeout=1)
        with pytest.raises(Temporary, match=r"127\.0\.0\.1:1|none"):
            await session.transact([])
        await session.close()


leaves = st.text('ab{}[]"\\ü\n', max_size=6) | st.integers()
objects = st.dictionaries(
    st.text('a{"\\', max_size=3), leaves | st.lists(leaves) | st.fixed_dictionaries({"in": leaves})
)


@settings(max_examples=60)
@given(st.lists(objects, max_size=4), st.integers(1, 17))
def test_the_framer_finds_objects_however_the_stream_is_cut(messages: list[dict[str, Any]], size: int) -> None:
    stream = b" \n".join(json.dumps(message, ensure_ascii=False).encode() for message in messages)
    framer, found = Framer(), []
    for start in range(0, len(stream), size):
        found += [json.loads(text) for text in framer.feed(stream[start : start + size])]
    assert found == messages


def test_the_framer_has_a_limit() -> None:
    framer = Framer(limit=10)
    with pytest.raises(Temporary, match="more than 10 octets"):
        framer.feed(b'{"a": "0123456789"')


def test_notations() -> None:
    assert atoms(["set", [["uuid", "a"], ["uuid", "b"]]]) == ["a", "b"]
    assert atoms(["uuid", "a"]) == ["a"]
    assert atoms(7) == [7]
    assert atoms(to_set([])) == []
    assert pairs(to_map({"b": "2", "a": "1"})) == {"a": "1", "b": "2"}
    assert to_set([uuid_of("a")]) == ["set", [["uuid", "a"]]]


def test_tls_verifies_unless_told_otherwise(tmp_path: Path) -> None:
    assert tls_context({}) is None
    context = tls_context({"tls": True})
    assert context
    assert context.check_hostname
    careless = tls_context({"tls": True, "tls_verify": False})
    assert careless
    assert not careless.check_hostname
    with pytest.raises(Permanent, match="TLS files"):
        tls_context({"tls": True, "tls_ca": str(tmp_path / "missing.pem")})
