"""What the commands send who they are with: nothing until they are asked, and then what the environment has."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ironlane.cli.client import Client, Refused, Unreachable
from ironlane.cli.credentials import NotLoggedIn, answer_to
from ironlane.lab.certificate import self_signed
from tests.api.identity.keystone import FakeKeystone, User

ALICE = {"IRONLANE_USERNAME": "alice", "IRONLANE_PASSWORD": "for alice"}


class Service:
    """Asks as the service asks; `seen` are the credentials of each request."""

    def __init__(self, challenge: str, accepted: set[str]) -> None:
        self.challenge = challenge
        self.accepted = accepted
        self.seen: list[str] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        shown = request.headers.get("Authorization") or request.headers.get("X-Auth-Token") or ""
        self.seen.append(shown)
        if self.challenge and shown not in self.accepted:
            told = {"error": {"code": "Unauthorized", "message": "who are you?", "field": None}}
            return web.json_response(told, status=401, headers={"WWW-Authenticate": self.challenge})
        return web.json_response({"method": request.method, "body": await request.text()})

    async def start(self, ssl_context: Any = None) -> web.AppRunner:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=ssl_context).start()
        self.url = f"{'https' if ssl_context else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
        return runner


def basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


@pytest.fixture
async def asks_basic() -> AsyncIterator[Service]:
    service = Service('Basic realm="Ironlane"', {basic("alice:for alice")})
    runner = await service.start()
    yield service
    await runner.cleanup()


@pytest.fixture
async def keystone() -> AsyncIterator[FakeKeystone]:
    roles = {"red": ("member",), "system": ("reader",)}
    async with FakeKeystone(User("alice", "for alice", roles)).running() as running:
        yield running


@pytest.fixture
async def asks_keystone(keystone: FakeKeystone) -> AsyncIterator[Service]:
    service = Service(f'Keystone uri="{keystone.url}"', keystone.tokens)  # type: ignore[arg-type] - has `in`
    runner = await service.start()
    yield service
    await runner.cleanup()


def openstack(keystone: FakeKeystone, **more: str) -> dict[str, str]:
    return {
        "OS_AUTH_URL": keystone.url,
        "OS_USERNAME": "alice",
        "OS_PASSWORD": "for alice",
        "OS_PROJECT_NAME": "red",
        **more,
    }


async def test_who_is_not_asked_says_nothing() -> None:
    service = Service("", set())
    runner = await service.start()
    async with Client(service.url, {**ALICE, "OS_TOKEN": "token"}) as client:
        await client.get("/fabric/v1/switches")
    assert service.seen == [""]
    await runner.cleanup()


async def test_a_password_is_sent_once_it_is_asked_for(asks_basic: Service) -> None:
    async with Client(asks_basic.url, ALICE) as client:
        answer = await client.request("PUT", "/x", {"a": 1})
        assert answer == {"method": "PUT", "body": '{"a": 1}'}, "the body comes again with the second request"
        await client.get("/y")
    assert asks_basic.seen == ["", *[basic("alice:for alice")] * 2]


async def test_a_wrong_password_is_not_tried_for_ever(asks_basic: Service) -> None:
    async with Client(asks_basic.url, {**ALICE, "IRONLANE_PASSWORD": "wrong"}) as client:
        with pytest.raises(Refused, match="who are you") as caught:
            await client.get("/x")
    assert caught.value.status == 401
    assert len(asks_basic.seen) == 2


async def test_without_a_password_it_is_said_what_to_set(asks_basic: Service) -> None:
    async with Client(asks_basic.url, {}) as client:
        with pytest.raises(NotLoggedIn, match="set IRONLANE_USERNAME and IRONLANE_PASSWORD"):
            await client.get("/x")


async def test_one_log_in_serves_many_requests(asks_keystone: Service, keystone: FakeKeystone) -> None:
    async with Client(asks_keystone.url, openstack(keystone)) as client:
        await asyncio.gather(*(client.get(f"/{number}") for number in range(20)))
        assert keystone.requests["log in"] == 1
        keystone.tokens.clear()  # revoked
        await client.get("/again")
    assert keystone.requests["log in"] == 2


async def test_what_the_log_in_says(asks_keystone: Service, keystone: FakeKeystone) -> None:
    root = keystone.url.removesuffix("/v3")
    cases = [
        (openstack(keystone), "red"),
        (openstack(keystone, OS_AUTH_URL=f"{root}/"), "red"),
        (openstack(keystone, OS_PROJECT_NAME="", OS_PROJECT_ID="red"), "red"),
        (openstack(keystone, OS_SYSTEM_SCOPE="all"), "system"),
        (openstack(keystone, OS_USER_DOMAIN_NAME="Default", OS_PROJECT_DOMAIN_ID="default"), "red"),
    ]
    for environ, scope in cases:
        keystone.tokens.clear()
        async with Client(asks_keystone.url, environ) as client:
            await client.get("/x")
        assert [token.scope for token in keystone.tokens.values()] == [scope]


async def test_a_token_from_the_environment(asks_keystone: Service, keystone: FakeKeystone) -> None:
    token = keystone.issue("alice", "red", timedelta(hours=1))
    async with Client(asks_keystone.url, {"OS_TOKEN": token}) as client:
        await client.get("/x")
    assert keystone.requests["log in"] == 0


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "set OS_TOKEN, or OS_AUTH_URL"),
        ({"OS_AUTH_URL": "http://127.0.0.1:9/v3"}, "OS_USERNAME and OS_PASSWORD"),
        ({"OS_AUTH_URL": "http://127.0.0.1:9", "OS_USERNAME": "a"}, "cannot be reached"),
        ({"OS_AUTH_URL": "http://keystone.example/v3", "OS_USERNAME": "a"}, "not https"),
    ],
)
async def test_why_there_is_no_token(asks_keystone: Service, environ: dict[str, str], said: str) -> None:
    async with Client(asks_keystone.url, environ) as client:
        with pytest.raises(NotLoggedIn, match=said):
            await client.get("/x")


async def test_keystone_says_no(asks_keystone: Service, keystone: FakeKeystone) -> None:
    async with Client(asks_keystone.url, openstack(keystone, OS_PASSWORD="wrong")) as client:
        with pytest.raises(NotLoggedIn, match=r"does not accept .* \(status 401\)"):
            await client.get("/x")


@pytest.mark.parametrize("challenge", ['Basic realm="x"', "Keystone uri=x"])
async def test_nothing_is_sent_over_plain_http_to_another_host(challenge: str) -> None:

    environ = {**ALICE, "OS_TOKEN": "token"}
    with pytest.raises(NotLoggedIn, match="not https"):
        await answer_to(challenge, "http://ironlane.example:9797", None, environ)  # type: ignore[arg-type]
    assert await answer_to(challenge, "https://ironlane.example:9797", None, environ)  # type: ignore[arg-type]


async def test_certificates_are_verified_with_ones_own_authorities(tmp_path: Path) -> None:
    context, certificate = self_signed(IPv4Address("127.0.0.1"))
    (tmp_path / "ca.pem").write_text(certificate)
    service = Service('Basic realm="Ironlane"', {basic("alice:for alice")})
    runner = await service.start(context)
    async with Client(service.url, ALICE) as client:
        with pytest.raises(Unreachable):
            await client.get("/x")
    assert service.seen == []
    for variable in ("IRONLANE_CAFILE", "OS_CACERT"):
        async with Client(service.url, {**ALICE, variable: str(tmp_path / "ca.pem")}) as client:
            await client.get("/x")
    await runner.cleanup()
    with pytest.raises(NotLoggedIn, match="IRONLANE_CAFILE: no certificates"):
        async with Client(service.url, {"IRONLANE_CAFILE": __file__}):
            pass
