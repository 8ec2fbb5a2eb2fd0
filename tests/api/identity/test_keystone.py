"""`keystone`: which tokens are let in, how often Keystone is asked, and what happens while it does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from ironlane.api.baremetal import app as baremetal
from ironlane.api.fabric import app as fabric
from ironlane.api.identity.keystone import KeystoneAuthentication, KeystoneSettings
from ironlane.api.networking import app as networking
from ironlane.model.caller import Caller
from ironlane.model.errors import Permanent, Temporary, Unauthorized
from ironlane.store.database import Store
from tests.api.asgi import Client
from tests.api.identity.keystone import SERVICE_PASSWORD, FakeKeystone, User


class Time:
    """A clock that both sides go by, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime(2026, 11, 26, tzinfo=UTC) + timedelta(seconds=self.seconds)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def keystone(time: Time) -> AsyncIterator[FakeKeystone]:
    alice = User("alice", "for alice", {"red": ("member", "reader"), "blue": ("Reader",), "elsewhere": ()})
    root = User("root", "for root", {"ops": ("admin",), "system": ("reader",)})
    fake = FakeKeystone(alice, root)
    fake.now = time.now
    async with fake.running():
        yield fake


@pytest.fixture
async def identity(keystone: FakeKeystone, time: Time) -> AsyncIterator[KeystoneAuthentication]:
    made = make(keystone, time)
    yield made
    await made.close()


def settings(keystone: FakeKeystone) -> KeystoneSettings:
    return KeystoneSettings(keystone.url, "ironlane", SERVICE_PASSWORD, timeout=5.0)


def make(keystone: FakeKeystone, time: Time) -> KeystoneAuthentication:
    return KeystoneAuthentication(settings(keystone), clock=time.monotonic, now=time.now)


async def who(identity: KeystoneAuthentication, token: str) -> Caller:
    return await identity.authenticate({"type": "http", "headers": [(b"x-auth-token", token.encode("latin-1"))]})


async def test_a_token_says_user_project_and_roles(keystone: FakeKeystone, identity: KeystoneAuthentication) -> None:
    caller = await who(identity, keystone.issue("alice", "red"))
    assert caller == Caller(keystone.users["alice"].id, "alice", "red", frozenset({"member", "reader"}))
    assert (await who(identity, keystone.issue("alice", "blue"))).roles == {"reader"}, "names in small letters"
    assert (await who(identity, keystone.issue("alice", "elsewhere"))).roles == frozenset()
    admin = await who(identity, keystone.issue("root", "ops"))
    assert (admin.is_admin, admin.is_system) == (True, False)
    system = await who(identity, keystone.issue("root", "system"))
    assert (system.is_system, system.project_id, system.is_admin) == (True, "", False)


@pytest.mark.parametrize("token", ["", "notused", "gAAAA-made-up", "with space", "sn\xf6w", "x" * 9000])
async def test_made_up_tokens_are_refused(identity: KeystoneAuthentication, token: str) -> None:
    with pytest.raises(Unauthorized):
        await who(identity, token)


async def test_keystone_is_asked_once_for_a_token_also_by_many_at_a_time(
    keystone: FakeKeystone, identity: KeystoneAuthentication
) -> None:
    token = keystone.issue("alice", "red")
    callers = await asyncio.gather(*(who(identity, token) for _ in range(30)))
    assert {caller.user_name for caller in callers} == {"alice"}
    await who(identity, token)
    assert keystone.requests == {"log in": 1, "validate": 1}


async def test_many_tokens_at_a_time_need_one_log_in(keystone: FakeKeystone, identity: KeystoneAuthentication) -> None:
    tokens = [keystone.issue("alice", "red") for _ in range(10)]
    await asyncio.gather(*(who(identity, token) for token in tokens))
    assert keystone.requests == {"log in": 1, "validate": 10}


async def test_a_client_that_goes_away_takes_no_answer_from_the_others(
    keystone: FakeKeystone, identity: KeystoneAuthentication
) -> None:
    token = keystone.issue("alice", "red")
    first, second = (asyncio.create_task(who(identity, token)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).user_name == "alice"
    assert keystone.requests["validate"] == 1


async def test_a_revoked_token_counts_until_it_is_asked_about_again(
    keystone: FakeKeystone, identity: KeystoneAuthentication, time: Time
) -> None:
    token = keystone.issue("alice", "red")
    await who(identity, token)
    keystone.revoke(token)
    time.seconds = 299.0
    await who(identity, token)
    time.seconds = 301.0
    with pytest.raises(Unauthorized):
        await who(identity, token)


async def test_an_expired_token_does_not_count_a_moment_longer(
    keystone: FakeKeystone, identity: KeystoneAuthentication, time: Time
) -> None:
    token = keystone.issue("alice", "red", lifetime=timedelta(seconds=60))
    await who(identity, token)
    time.seconds = 59.0
    await who(identity, token)
    asked = keystone.requests["validate"]
    time.seconds = 61.0
    with pytest.raises(Unauthorized):
        await who(identity, token)
    assert keystone.requests["validate"] == asked + 1


async def test_what_keystone_refuses_is_not_asked_again_at_once(
    keystone: FakeKeystone, identity: KeystoneAuthentication, time: Time
) -> None:
    for _ in range(5):
        with pytest.raises(Unauthorized):
            await who(identity, "gAAAA-made-up")
    assert keystone.requests["validate"] == 1
    time.seconds = 31.0
    with pytest.raises(Unauthorized):
        await who(identity, "gAAAA-made-up")
    assert keystone.requests["validate"] == 2


async def test_the_services_own_token_is_renewed(
    keystone: FakeKeystone, identity: KeystoneAuthentication, time: Time
) -> None:
    await who(identity, keystone.issue("alice", "red"))
    time.seconds = 3590.0  # within the last minute of it
    await who(identity, keystone.issue("alice", "red"))
    assert keystone.requests["log in"] == 2
    keystone.tokens.clear()  # all revoked, ours too
    await who(identity, keystone.issue("alice", "red"))
    assert keystone.requests["log in"] == 3


async def test_while_keystone_is_away_known_tokens_count_and_others_wait(
    keystone: FakeKeystone, identity: KeystoneAuthentication
) -> None:
    known, unknown = keystone.issue("alice", "red"), keystone.issue("alice", "red")
    await who(identity, known)
    for status in (500, 503):
        keystone.failing = status
        assert (await who(identity, known)).user_name == "alice"
        with pytest.raises(Temporary):
            await who(identity, unknown)
    keystone.failing = 0
    assert (await who(identity, unknown)).user_name == "alice", "a failure is not kept"


async def test_an_address_where_nobody_listens(time: Time) -> None:
    identity = KeystoneAuthentication(KeystoneSettings("http://127.0.0.1:9/v3", "ironlane", "x"), clock=time.monotonic)
    with pytest.raises(Temporary, match="does not answer"):
        await who(identity, "gAAAA-made-up")
    await identity.close()


async def test_a_wrong_password_of_the_service_is_not_the_clients_fault(keystone: FakeKeystone, time: Time) -> None:
    identity = KeystoneAuthentication(replace(settings(keystone), password="wrong"), now=time.now)
    with pytest.raises(Temporary, match="user ironlane cannot log in") as caught:
        await who(identity, keystone.issue("alice", "red"))
    assert "wrong" not in caught.value.message
    await identity.close()


async def test_a_service_user_that_may_not_validate_is_not_the_clients_fault(
    keystone: FakeKeystone, identity: KeystoneAuthentication
) -> None:
    keystone.users["ironlane"].roles["service"] = ("member",)
    with pytest.raises(Temporary, match="403"):
        await who(identity, keystone.issue("alice", "red"))


async def test_roles_in_a_domain_are_not_roles_here(
    keystone: FakeKeystone, identity: KeystoneAuthentication, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = keystone._told

    def domain_scoped(token: str) -> dict[str, object]:
        told = real(token)
        if told["token"]["user"]["name"] == "root":
            told["token"]["domain"] = told["token"].pop("project")["domain"]
        return told

    monkeypatch.setattr(keystone, "_told", domain_scoped)
    caller = await who(identity, keystone.issue("root", "ops"))
    assert (caller.roles, caller.project_id, caller.is_admin) == (frozenset(), "", False)


def test_certificates_that_are_none_are_told_at_the_start() -> None:
    with pytest.raises(Permanent, match="no certificates"):
        KeystoneAuthentication(KeystoneSettings("https://k/v3", "ironlane", "x", cafile=__file__))


async def test_each_api_says_where_tokens_come_from(
    store: Store, keystone: FakeKeystone, identity: KeystoneAuthentication
) -> None:
    for api, path in ((networking, "/v2.0/ports"), (baremetal, "/v1/nodes"), (fabric, "/v1/switches")):
        client = Client(api.create(store, identity=identity))
        answer = await client.get(path)  # the tests' client sends "notused", as real ones do with auth none
        assert (answer.status, answer.headers["www-authenticate"]) == (401, f'Keystone uri="{keystone.url}"')
        token = keystone.issue("root", "ops")
        assert (await client.get(path, headers={"X-Auth-Token": token})).status == 200
        keystone.failing = 503
        with capture_logs() as logs:
            answer = await client.get(path, headers={"X-Auth-Token": "gAAAA-another"})
        keystone.failing = 0
        assert answer.status == 503
        assert "Keystone" not in answer.body.decode(), "nothing of the inside"
        assert any("503" in str(entry.get("error")) for entry in logs)
