"""The ML2 driver's client: whom it trusts, what it tells whom, and what it makes of answers."""

from __future__ import annotations

import asyncio
import base64
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from aiohttp import web
from neutron_ironlane import config
from neutron_ironlane.client import Client, Refused, Unreachable
from oslo_config import cfg

from ironlane.lab.certificate import self_signed

SECRET = "word-71hf0kq2"
LISTED = {"stream": "s", "change": 3, "bindings": []}


def configured(folder: Path, *lines: str) -> cfg.ConfigOpts:
    """Options as neutron-server reads them."""
    file = folder / "neutron.conf"
    file.write_text("\n".join(["[ironlane]", *lines]) + "\n")
    conf = cfg.ConfigOpts()
    config.register(conf)
    conf(["--config-file", str(file)])
    return conf


def client(conf: cfg.ConfigOpts) -> Client:
    own = config.own(conf)
    return Client(config.session(conf), own.url, own.timeout)


@asynccontextmanager
async def answering(
    seen: list[web.Request], status: int = 200, body: object = None, tls: ssl.SSLContext | None = None, **headers: str
) -> AsyncIterator[str]:
    """A server that notes requests and answers them all alike; its URL."""

    async def answer(request: web.Request) -> web.Response:
        seen.append(request)
        return web.json_response(LISTED if body is None else body, status=status, headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        yield f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_without_credentials_none_are_sent(tmp_path: Path) -> None:
    seen: list[web.Request] = []
    async with answering(seen) as url:
        assert await asyncio.to_thread(client(configured(tmp_path, f"url = {url}/")).list) == LISTED
    assert (seen[0].method, seen[0].path) == ("GET", "/fabric/v1/bindings")
    assert "Authorization" not in seen[0].headers


async def test_credentials_go_out_as_http_basic_over_verified_tls_and_into_no_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    tls, pem = self_signed(IPv4Address("127.0.0.1"))
    authority = tmp_path / "authority.pem"
    authority.write_text(pem)
    seen: list[web.Request] = []
    async with answering(seen, tls=tls) as url:
        basic = (f"url = {url}", "auth_type = http_basic", "username = neutron", f"password = {SECRET}")
        stranger = client(configured(tmp_path, *basic))
        with pytest.raises(Unreachable, match="certificate verify failed"):
            await asyncio.to_thread(stranger.list)
        assert seen == [], "a password went to somebody unknown"
        conf = configured(tmp_path, *basic, f"cafile = {authority}")
        assert await asyncio.to_thread(client(conf).list) == LISTED
        conf.log_opt_values(logging.getLogger("neutron"), logging.DEBUG)
    sent = base64.b64encode(f"neutron:{SECRET}".encode()).decode()
    assert seen[0].headers["Authorization"] == f"Basic {sent}"
    assert "ironlane.username" in caplog.text
    assert SECRET not in caplog.text
    assert sent not in caplog.text


async def test_nobody_is_followed_elsewhere(tmp_path: Path) -> None:
    seen: list[web.Request] = []
    elsewhere: list[web.Request] = []
    basic = ("auth_type = http_basic", "username = neutron", f"password = {SECRET}")
    async with answering(elsewhere) as other, answering(seen, 302, Location=other) as url:
        with pytest.raises(Unreachable, match="302"):
            await asyncio.to_thread(client(configured(tmp_path, f"url = {url}", *basic)).list)
    assert (len(seen), elsewhere) == (1, [])


@pytest.mark.parametrize(
    ("status", "body", "kind", "may_change"),
    [
        (400, {"error": {"code": "Invalid", "message": "no"}}, Refused, False),
        (409, {"error": {"code": "Conflict", "message": "no"}}, Refused, True),
        (500, {"error": {"code": "Internal", "message": "no"}}, Refused, True),
        (503, {"error": {"code": "Temporary", "message": "no"}}, Unreachable, None),
        (401, {"error": {"code": "Unauthorized", "message": "no"}}, Unreachable, None),
        (403, {"error": {"code": "Forbidden", "message": "no"}}, Unreachable, None),
        (404, {"detail": "Not Found"}, Unreachable, None),
        (200, ["somebody else"], Unreachable, None),
    ],
)
async def test_only_ironlane_itself_can_refuse_a_wish(
    tmp_path: Path, status: int, body: object, kind: type[Exception], may_change: bool | None
) -> None:
    async with answering([], status, body) as url:
        ours = client(configured(tmp_path, f"url = {url}"))
        with pytest.raises(kind) as told:
            await asyncio.to_thread(ours.put, "p", {})
    assert getattr(told.value, "may_change", None) is may_change


async def test_who_does_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    seen: list[web.Request] = []
    async with answering(seen) as url:
        pass
    with pytest.raises(Unreachable, match="does not answer"):
        await asyncio.to_thread(client(configured(tmp_path, f"url = {url}")).list)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        ours = client(configured(tmp_path, f"url = {url}", "timeout = 0.2"))
        with pytest.raises(Unreachable, match="does not answer"):
            await asyncio.to_thread(ours.list)
