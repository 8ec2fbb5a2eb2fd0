"""The NETCONF session: framing, hardened parsing, errors, host keys, logins."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from ironlane.lab.netconf import NetconfServer
from ironlane.model.errors import Invalid, Permanent, Temporary
from ironlane.model.fabric import PortConfig, SwitchId, Vlan
from ironlane.model.plan import Change, Plan
from ironlane.switches.base import Access
from ironlane.switches.netconf import (
    BASE,
    Framing,
    MessageTooLong,
    NetconfSession,
    RpcError,
    parse_reply,
    parse_xml,
)
from ironlane.switches.openconfig import write
from ironlane.switches.openconfig.names import NetconfDialect
from ironlane.switches.openconfig.write import operation

PASSWORD = "s3cret"
PUT_ON = Change("Ethernet1", PortConfig(enabled=False), PortConfig(untagged=Vlan(104)))
KEY = asyncssh.generate_private_key("ssh-ed25519")
OTHER_KEY = asyncssh.generate_private_key("ssh-ed25519")


@pytest.fixture
async def server() -> AsyncIterator[NetconfServer]:
    server = NetconfServer(["Ethernet1"], lambda _: None, password=PASSWORD, host_key=KEY)
    await server.start()
    yield server
    await server.stop()


def access(server: NetconfServer, secret: str = PASSWORD, **options: Any) -> Access:
    return Access(SwitchId("leaf-1"), "127.0.0.1", server.port, "admin", secret, options, timeout=5)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=4), st.booleans(), st.integers(1, 7))
def test_framing_round_trip_in_any_pieces(messages: list[bytes], chunked: bool, size: int) -> None:
    messages = [message for message in messages if chunked or b"]]>]]>" not in message + b"]]>"]
    sender, receiver = Framing(), Framing()
    sender.chunked = receiver.chunked = chunked
    wire = b"".join(sender.encode(message) for message in messages)
    received = []
    for start in range(0, len(wire), size):
        receiver.feed(wire[start : start + size])
        while (message := receiver.next_message()) is not None:
            received.append(message)
    assert received == messages


def test_chunks_of_one_message_are_joined() -> None:
    framing = Framing()
    framing.chunked = True
    framing.feed(b'\n#4\n<rpc\n#18\n message-id="102"\n\n##\n')
    assert framing.next_message() == b'<rpc message-id="102"\n'


@pytest.mark.parametrize("bytes_", [b"\n#0\nx", b"\n#x\n", b"#4\nabcd", b"\n#99999999999999", b"xx\n"])
def test_broken_chunks_are_refused(bytes_: bytes) -> None:
    framing = Framing()
    framing.chunked = True
    framing.feed(bytes_)
    with pytest.raises(ValueError, match="chunk"):
        framing.next_message()


@pytest.mark.parametrize("chunked", [False, True])
def test_messages_are_bounded(chunked: bool) -> None:
    framing = Framing(limit=100)
    framing.chunked = chunked
    framing.feed(b"\n#101\n" + b"x" * 101)
    with pytest.raises(MessageTooLong):
        framing.next_message()


@pytest.mark.parametrize(
    "text",
    [
        b'<!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>',
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>',
        b"<x>&undefined;</x>",
        b"<x>",
        b"",
        "<x/>".encode("utf-16"),
    ],
)
def test_dangerous_or_malformed_xml_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"malformed XML|document type"):
        parse_xml(text)


def test_errors_are_read_and_warnings_are_not() -> None:
    reply = parse_reply(
        parse_xml(
            f"""<rpc-reply xmlns="{BASE}" message-id="1">
              <rpc-error><error-tag>x</error-tag><error-severity>warning</error-severity></rpc-error>
              <rpc-error><error-type>protocol</error-type><error-tag>lock-denied</error-tag>
                <error-severity>error</error-severity><error-path>/a/b</error-path>
                <error-message xml:lang="en">Lock
                  failed</error-message><error-info><session-id>454</session-id></error-info></rpc-error>
            </rpc-reply>""".encode()
        )
    )
    assert reply.errors == (RpcError("lock-denied", "Lock failed", "/a/b", session="454"),)
    assert str(reply.errors[0]) == "Lock failed, error-tag lock-denied, at /a/b, held by session 454"


async def test_host_keys_that_are_accepted(server: NetconfServer, tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:{server.port} {server.host_key}\n")
    for options in (
        {"host_key": server.host_key + " a comment"},
        {"host_key": [OTHER_KEY.export_public_key().decode(), KEY.get_fingerprint()]},
        {"known_hosts": known_hosts},
        {"insecure_host_key": True},
    ):
        session = await NetconfSession.open(access(server, **options))
        assert session.is_open
        assert session.supports("candidate", "1.0")
        await session.close()
        assert not session.is_open


async def test_host_keys_that_are_not_accepted(
    server: NetconfServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{server.port} {OTHER_KEY.export_public_key().decode()}")
    for options in (
        {},
        {"insecure_host_key": "yes"},
        {"host_key": OTHER_KEY.get_fingerprint()},
        {"known_hosts": str(tmp_path / "known_hosts")},
    ):
        with pytest.raises(Permanent, match="leaf-1: its SSH host key is not the one we know"):
            await NetconfSession.open(access(server, **options))
    with pytest.raises(Invalid, match=r"options\.host_key"):
        await NetconfSession.open(access(server, host_key=7))
    assert not server.sessions


async def test_a_wrong_password_is_permanent_and_stays_secret(server: NetconfServer) -> None:
    wrong = access(server, secret="hunter2", host_key=server.host_key)
    with pytest.raises(Permanent, match="login of user 'admin' refused") as caught:
        await NetconfSession.open(wrong)
    assert "hunter2" not in repr(caught.value) + repr(caught.value.__cause__) + repr(wrong)


async def test_a_closed_port_is_temporary() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(Temporary, match="leaf-1: no SSH connection"):
            await NetconfSession.open(Access(SwitchId("leaf-1"), "127.0.0.1", port, timeout=5))


async def test_a_peer_that_is_no_netconf_server_is_permanent(server: NetconfServer) -> None:
    with pytest.raises(Permanent, match="not a NETCONF server"):
        await NetconfSession.open(access(server, host_key=server.host_key, max_message=64))


async def test_an_answer_that_is_too_long_is_permanent() -> None:
    many = NetconfServer([f"Ethernet{n}" for n in range(50)], lambda _: None, password=PASSWORD, host_key=KEY)
    await many.start()
    session = await NetconfSession.open(access(many, host_key=many.host_key, max_message=4000))
    with pytest.raises(Permanent, match="longer than `max_message`"):
        await session.rpc("<get/>")
    assert not session.is_open
    await session.close()
    await many.stop()


async def test_unknown_operations_are_permanent(server: NetconfServer) -> None:
    session = await NetconfSession.open(access(server, host_key=server.host_key))
    with pytest.raises(Permanent, match="operation-not-supported"):
        await session.rpc("<reboot/>")
    assert session.is_open
    await session.close()


async def test_answers_to_questions_asked_at_once_find_their_askers(server: NetconfServer) -> None:
    session = await NetconfSession.open(access(server, host_key=server.host_key))
    lock, nonsense, read = session.ask(
        operation("lock", "target", "candidate"), "<reboot/>", operation("get-config", "source", "running")
    )
    assert (await session.reply(read)).element.find(f"{{{BASE}}}data") is not None, "also the last one first"
    assert [error.tag for error in (await session.reply(nonsense)).errors] == ["operation-not-supported"]
    assert not (await session.reply(lock)).errors
    with pytest.raises(Permanent, match="reboot"):
        await session.rpc("<reboot/>", operation("unlock", "target", "candidate"))
    assert not (await session.call(operation("lock", "target", "candidate"))).errors, "what was behind it was done"
    await session.close()


async def test_a_question_that_is_never_answered_ends_the_session(server: NetconfServer) -> None:
    server.faults.hang.add("lock")
    session = await NetconfSession.open(access(server, host_key=server.host_key))
    with pytest.raises(Temporary, match="expected the reply to message 1"):
        await session.rpc(operation("lock", "target", "candidate"), operation("discard-changes"))
    assert not session.is_open
    await session.close()


async def _ask(session: NetconfSession, question: str, known: bytes) -> tuple[bytes, etree._Element | None]:
    (asked,) = session.ask(question)
    return await session.reply_unless_same(asked, known)


async def test_an_answer_that_is_the_same_is_told_by_its_digest(server: NetconfServer) -> None:
    question = operation("get-config", "source", "running")
    session = await NetconfSession.open(access(server, host_key=server.host_key))
    first, reply = await _ask(session, question, b"")
    assert reply is not None
    assert await _ask(session, question, first) == (first, None)
    for body in (write.edit_config(Plan(SwitchId("leaf-1"), (PUT_ON,)), {}, NetconfDialect()), operation("commit")):
        await session.rpc(body)
    second, reply = await _ask(session, question, first)
    assert second != first
    assert reply is not None
    assert b">104<" in etree.tostring(reply)
    await session.close()
    again = await NetconfSession.open(access(server, host_key=server.host_key))
    assert await _ask(again, question, second) == (second, None), "also in another session"
    server.faults.refuse.add("get-config")
    with pytest.raises(Permanent, match="get-config"):
        await _ask(again, question, second)
    await again.close()
