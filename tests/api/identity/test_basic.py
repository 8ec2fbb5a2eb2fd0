"""`http_basic`: who is let in, with which roles, and what a change of the file does; through all three APIs."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import bcrypt
import pytest
from structlog.testing import capture_logs

from ironlane.api.baremetal import app as baremetal
from ironlane.api.fabric import app as fabric
from ironlane.api.identity.base import SCOPE
from ironlane.api.identity.basic import KEPT_FOR, WAITING, BasicAuthentication
from ironlane.api.identity.htpasswd import PasswordFile
from ironlane.api.networking import app as networking
from ironlane.model.caller import Caller
from ironlane.model.errors import Busy, Temporary, Unauthorized
from ironlane.store.database import Store
from tests.api.asgi import Client
from tests.api.identity.passwords import basic, hashed


@pytest.fixture
async def identity(htpasswd: Path) -> AsyncIterator[BasicAuthentication]:
    made = BasicAuthentication(PasswordFile(htpasswd))
    yield made
    await made.close()


async def who(identity: BasicAuthentication, headers: dict[str, str]) -> Caller:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return await identity.authenticate({"type": "http", "headers": raw})


async def refused(identity: BasicAuthentication, headers: dict[str, str]) -> bool:
    try:
        await who(identity, headers)
    except Unauthorized:
        return True
    return False


def rewrite(path: Path, text: str) -> None:
    path.write_text(text)


def swap(path: Path, old: str, new: str) -> None:
    """Another file under the same name."""
    other = path.with_name("other")
    other.write_text(path.read_text().replace(old, new))
    os.replace(other, path)


async def test_a_user_of_ironics_format_is_an_admin(identity: BasicAuthentication) -> None:
    caller = await who(identity, basic("root", "for root"))
    assert (caller.user_name, caller.is_admin, caller.is_system, caller.project_id) == ("root", True, True, "")
    assert {"member", "reader"} < caller.roles


async def test_a_line_may_name_project_and_roles(identity: BasicAuthentication) -> None:
    alice = await who(identity, basic("alice", "for alice"))
    assert (alice.project_id, alice.roles, alice.is_admin) == ("red", {"member", "reader"}, False)
    assert (await who(identity, basic("rita", "for rita"))).roles == {"reader"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic("root", "for alice"),
        basic("root", ""),
        basic("", "for root"),
        basic("nobody", "for root"),
        basic("root", "for root\0"),
        {"Authorization": "Basic"},
        {"Authorization": "Basic %%%"},
        {"Authorization": "Basic cm9vdA=="},
        {"Authorization": "Bearer Zm9yIHJvb3Q="},
        {"Authorization": "Basic /////w=="},
    ],
)
async def test_everybody_else_is_refused(identity: BasicAuthentication, headers: dict[str, str]) -> None:
    assert await refused(identity, headers)


async def test_two_authorization_headers_are_none(identity: BasicAuthentication) -> None:
    good = basic("root", "for root")["Authorization"].encode()
    with pytest.raises(Unauthorized):
        await identity.authenticate({"type": "http", "headers": [(b"authorization", good), (b"authorization", good)]})


async def test_a_password_is_checked_once_also_by_many_at_a_time(
    identity: BasicAuthentication, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = 0
    real = bcrypt.checkpw

    def counted(password: bytes, hashed_password: bytes) -> bool:
        nonlocal checks
        checks += 1
        return bool(real(password, hashed_password))

    monkeypatch.setattr(bcrypt, "checkpw", counted)
    callers = await asyncio.gather(*(who(identity, basic("root", "for root")) for _ in range(20)))
    assert {caller.user_name for caller in callers} == {"root"}
    assert not await refused(identity, basic("root", "for root"))
    assert checks == 1
    assert await refused(identity, basic("root", "wrong"))
    assert await refused(identity, basic("root", "wrong"))
    assert checks == 2
    assert await refused(identity, basic("nobody", "wrong")), "an unknown name costs a check as well"
    assert checks == 3


async def test_unknown_names_take_as_long_as_known_ones(
    identity: BasicAuthentication, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[bytes] = []
    real = bcrypt.checkpw

    def seen(password: bytes, hashed_password: bytes) -> bool:
        checked.append(hashed_password[4:7])
        assert real(password, hashed_password) is False
        return False

    monkeypatch.setattr(bcrypt, "checkpw", seen)
    for name in ("root", "nobody"):
        assert await refused(identity, basic(name, "wrong"))
    assert checked == [b"04$", b"04$"], "bcrypt's cost"


async def test_the_event_loop_goes_on_while_a_password_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "slow"
    path.write_text(f"root:{bcrypt.hashpw(b'for root', bcrypt.gensalt(11)).decode()}\n")
    identity = BasicAuthentication(PasswordFile(path))
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    turning = asyncio.create_task(turn())
    await who(identity, basic("root", "for root"))
    turning.cancel()
    await identity.close()
    assert turns > 10


async def test_a_flood_of_wrong_passwords_keeps_out_nobody_who_was_let_in_before(
    htpasswd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    identity = BasicAuthentication(PasswordFile(htpasswd), clock=lambda: now)
    for name in ("root", "alice"):
        await who(identity, basic(name, f"for {name}"))
    go_on = threading.Event()
    real = bcrypt.checkpw

    def held(password: bytes, hashed_password: bytes) -> bool:
        go_on.wait(60)
        return bool(real(password, hashed_password))

    monkeypatch.setattr(bcrypt, "checkpw", held)
    flood = [asyncio.create_task(refused(identity, basic("root", f"wrong {n}"))) for n in range(WAITING)]
    await asyncio.sleep(0.1)
    with capture_logs() as logs:
        for name, password in (("root", "another"), ("nobody", "another"), ("rita", "for rita")):
            with pytest.raises(Busy):
                await who(identity, basic(name, password))
    assert [entry["log_level"] for entry in logs] == ["warning"], "one line for the whole of it"
    again = asyncio.create_task(refused(identity, basic("root", "wrong 0")))
    assert (await who(identity, basic("alice", "for alice"))).user_name == "alice"
    now = KEPT_FOR + 1
    expired = asyncio.create_task(who(identity, basic("alice", "for alice")))
    await asyncio.sleep(0.1)
    assert not expired.done(), "it has to be checked once more"
    go_on.set()
    assert all(await asyncio.gather(*flood, again)), "401, as always"
    assert (await expired).user_name == "alice"
    assert (await who(identity, basic("rita", "for rita"))).user_name == "rita"
    await identity.close()


async def test_a_change_of_the_file_counts_at_once(identity: BasicAuthentication, htpasswd: Path) -> None:
    assert not await refused(identity, basic("root", "for root"))
    assert not await refused(identity, basic("alice", "for alice"))
    rewrite(htpasswd, f"root:{hashed('another')}\nnew:{hashed('for new')}\n")
    assert await refused(identity, basic("root", "for root"))
    assert await refused(identity, basic("alice", "for alice"))
    assert not await refused(identity, basic("root", "another"))
    assert not await refused(identity, basic("new", "for new"))


async def test_a_file_of_equal_size_and_new_content_counts_too(identity: BasicAuthentication, htpasswd: Path) -> None:
    assert not await refused(identity, basic("root", "for root"))
    swap(htpasswd, "root:", "toor:")
    assert await refused(identity, basic("root", "for root"))
    assert not await refused(identity, basic("toor", "for root"))


async def test_without_its_file_nobody_comes_in(identity: BasicAuthentication, htpasswd: Path) -> None:
    assert not await refused(identity, basic("root", "for root"))
    os.rename(htpasswd, f"{htpasswd}.away")
    with pytest.raises(Temporary):
        await who(identity, basic("root", "for root"))
    os.rename(f"{htpasswd}.away", htpasswd)
    assert not await refused(identity, basic("root", "for root"))


async def test_lines_that_are_none_are_left_out_and_told_without_what_they_say(tmp_path: Path) -> None:
    path = tmp_path / "htpasswd"
    path.write_text(
        "plain:hunter2\n"
        "md5:$apr1$salt$abcdefghijklmnopqrstuv\n"
        "old:$2a$10$" + "a" * 53 + "\n"
        f":{hashed('x')}\n"
        f"roleless:{hashed('x')}:red\n"
        f"odd:{hashed('x')}:red:Root!\n"
        f"good:{hashed('for good')}\n"
        f"good:{hashed('again')}\n"
    )
    with capture_logs() as logs:
        users, fresh = PasswordFile(path).users()
    assert fresh
    assert set(users) == {"good"}
    assert [entry["line"] for entry in logs] == [1, 2, 3, 4, 5, 6, 8]
    assert "hunter2" not in str(logs)


async def test_each_api_answers_401_in_its_own_shape(store: Store, identity: BasicAuthentication) -> None:
    challenge = 'Basic realm="Ironlane"'
    neutron = await Client(networking.create(store, identity=identity)).get("/v2.0/ports")
    assert (neutron.status, neutron.headers["www-authenticate"]) == (401, challenge)
    assert neutron.json()["NeutronError"]["type"] == "Unauthorized"
    ironic = await Client(baremetal.create(store, identity=identity)).get("/v1/nodes")
    assert (ironic.status, ironic.headers["www-authenticate"]) == (401, challenge)
    assert json.loads(ironic.json()["error_message"])["faultcode"] == "Client"
    ours = await Client(fabric.create(store, identity=identity)).get("/v1/switches")
    assert (ours.status, ours.headers["www-authenticate"]) == (401, challenge)
    assert ours.json()["error"]["code"] == "Unauthorized"
    for answer in (neutron, ironic, ours):
        assert answer.headers["x-openstack-request-id"].startswith("req-")


async def test_what_is_public_and_what_is_not(store: Store, identity: BasicAuthentication) -> None:
    cases = [
        (networking, "GET", "/", 200),
        (networking, "GET", "/v2.0", 200),
        (networking, "GET", "/v2.0/", 200),
        (networking, "GET", "/v2.0/extensions", 401),
        (networking, "PUT", "/v2.0", 401),
        (networking, "GET", "/nothing", 401),
        (baremetal, "GET", "/", 200),
        (baremetal, "GET", "/v1", 200),
        (baremetal, "GET", "/v1/", 200),
        (baremetal, "GET", "/v1/lookup?addresses=02:00:00:00:00:01", 404),
        (baremetal, "POST", "/v1/heartbeat/0b5f1d3e-5f1c-4f0e-9d0c-000000000001", 400),
        (baremetal, "POST", "/v1/continue_inspection", 400),
        (baremetal, "POST", "/v1/lookup", 401),
        (baremetal, "GET", "/v1/heartbeat/x", 401),
        (baremetal, "POST", "/v1/heartbeat/x/y", 401),
        (baremetal, "GET", "/v1/drivers", 401),
        (fabric, "GET", "/", 200),
        (fabric, "GET", "/v1", 200),
        (fabric, "GET", "/v1/", 200),
        (fabric, "POST", "/v1/audit", 401),
    ]
    apps = {api: api.create(store, identity=identity) for api in (networking, baremetal, fabric)}
    for api, method, path, status in cases:
        for root in ("", "/mounted"):
            client = Client(apps[api], root)
            versioned = {"X-OpenStack-Ironic-API-Version": "1.94"}
            answer = await client.request(method, path, headers=versioned)
            assert answer.status == status, (api.__name__, method, path, root, answer.body)


async def test_the_project_header_counts_for_nothing_with_credentials(
    store: Store, identity: BasicAuthentication
) -> None:
    client = Client(networking.create(store, identity=identity))
    headers = {**basic("root", "for root"), "X-Project-Id": "forged", "X-Roles": "admin"}
    answer = await client.get("/v2.0/networks", headers=headers)
    assert answer.status == 200
    wrong = {**basic("root", "wrong"), "X-Project-Id": "forged", "X-Roles": "admin"}
    assert (await client.get("/v2.0/networks", headers=wrong)).status == 401


async def test_the_log_names_the_user_and_no_password(store: Store, identity: BasicAuthentication) -> None:
    client = Client(networking.create(store, identity=identity))
    with capture_logs() as logs:
        await client.get("/v2.0/networks", headers=basic("root", "for root"))
        await client.get("/v2.0/networks", headers=basic("root", "hunter2"))
    served, turned_away = (entry for entry in logs if entry["event"] == "request")
    assert (served["user"], served["status"], turned_away["status"]) == ("root", 200, 401)
    assert "hunter2" not in str(logs)
    assert "for root" not in str(logs)


async def test_a_body_of_a_stranger_is_not_read(store: Store, identity: BasicAuthentication) -> None:
    app = networking.create(store, identity=identity)
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        raise AssertionError("the body was asked for")

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v2.0/networks",
        "headers": [(b"content-length", b"1000000")],
        "query_string": b"",
    }
    await app(scope, receive, send)
    assert sent[0]["status"] == 401
    assert SCOPE not in scope
