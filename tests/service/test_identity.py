"""Authentication of a service in a process of its own: over TLS, on any address, and what it refuses to start with."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from pathlib import Path
from signal import SIGKILL

import aiohttp
import pytest

from ironlane.lab.certificate import new_certificate
from tests.api.identity.keystone import SERVICE_PASSWORD, FakeKeystone, User
from tests.api.identity.passwords import basic, hashed
from tests.service.process import START, Zygote, free_port

ALL_ADDRESSES = "0.0.0.0"  # noqa: S104


def htpasswd(folder: Path) -> Path:
    path = folder / "htpasswd"
    path.write_text(f"root:{hashed('for root')}\n")
    return path


@asynccontextmanager
async def started(
    zygote: Zygote, folder: Path, env: dict[str, str], url: str = "http", tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    port = free_port()
    argv = ["serve", "--port", str(port), "--database", f"sqlite:///{folder}/x.sqlite"]
    running = zygote.start(argv, env, folder / "log")
    address = f"{url}://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls or True)) as session:
            async with asyncio.timeout(START):
                while True:
                    try:
                        async with session.get(f"{address}/healthz") as answer:
                            assert answer.status in {200, 503}
                            break
                    except aiohttp.ClientConnectorCertificateError:
                        raise
                    except aiohttp.ClientError:
                        await asyncio.sleep(0.05)
            yield session, address
    finally:
        running.send(SIGKILL)
        await running.ended()
        running.close()


async def test_basic_over_tls_on_all_addresses(tmp_path: Path, zygote: Zygote) -> None:
    certificate, key = new_certificate(IPv4Address("127.0.0.1"))
    (tmp_path / "cert.pem").write_bytes(certificate)
    (tmp_path / "key.pem").write_bytes(key)
    env = {
        "IRONLANE_HOST": ALL_ADDRESSES,
        "IRONLANE_AUTH_STRATEGY": "http_basic",
        "IRONLANE_HTPASSWD_FILE": str(htpasswd(tmp_path)),
        "IRONLANE_TLS_CERTIFICATE": str(tmp_path / "cert.pem"),
        "IRONLANE_TLS_KEY": str(tmp_path / "key.pem"),
    }
    trusting = ssl.create_default_context(cadata=certificate.decode())
    async with started(zygote, tmp_path, env, "https", trusting) as (session, url):
        for path in ("/networking/v2.0/ports", "/baremetal/v1/nodes", "/fabric/v1/switches"):
            async with session.get(url + path) as answer:
                assert answer.status == 401
                assert answer.headers["WWW-Authenticate"].startswith("Basic ")
            async with session.get(url + path, headers=basic("root", "for root")) as answer:
                assert answer.status == 200
            async with session.get(url + path, headers=basic("root", "wrong")) as answer:
                assert answer.status == 401
        async with session.get(f"{url}/networking/") as answer:
            assert (await answer.json())["versions"][0]["links"][0]["href"] == f"{url}/networking/v2.0/"
        strict = aiohttp.ClientSession()
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await strict.get(f"{url}/healthz")
        await strict.close()


async def test_tokens_of_keystone(tmp_path: Path, zygote: Zygote) -> None:
    root = User("root", "for root", {"ops": ("admin",)})
    async with FakeKeystone(root).running() as keystone:
        env = {
            "IRONLANE_AUTH_STRATEGY": "keystone",
            "IRONLANE_KEYSTONE_URL": keystone.url,
            "IRONLANE_SECRET_KEYSTONE_PASSWORD": SERVICE_PASSWORD,
        }
        async with started(zygote, tmp_path, env) as (session, url):
            ports = f"{url}/networking/v2.0/ports"
            async with session.get(ports) as answer:
                assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, f'Keystone uri="{keystone.url}"')
            headers = {"X-Auth-Token": keystone.issue("root", "ops")}
            async with session.get(ports, headers=headers) as answer:
                assert answer.status == 200


async def test_what_it_does_not_start_with(tmp_path: Path, zygote: Zygote) -> None:
    basic_env = {"IRONLANE_AUTH_STRATEGY": "http_basic"}
    keystone = {"IRONLANE_AUTH_STRATEGY": "keystone"}
    file = {"IRONLANE_HTPASSWD_FILE": str(htpasswd(tmp_path))}
    cases = [
        ({"IRONLANE_HOST": ALL_ADDRESSES}, "auth_strategy is none"),
        ({"IRONLANE_AUTH_STRATEGY": "noauth"}, "auth_strategy: Input should be 'none', 'http_basic' or 'keystone'"),
        (basic_env | {"IRONLANE_HTPASSWD_FILE": str(tmp_path / "missing")}, "missing cannot be read"),
        (keystone, "needs keystone_url"),
        (keystone | {"IRONLANE_KEYSTONE_URL": "http://127.0.0.1:9/v3"}, "secret 'keystone-password' is not there"),
        (basic_env | file | {"IRONLANE_TLS_KEY": str(tmp_path)}, "tls_key needs tls_certificate"),
        (
            basic_env | file | {"IRONLANE_TLS_CERTIFICATE": str(tmp_path / "htpasswd")},
            "htpasswd cannot be used",
        ),
    ]
    for number, (env, message) in enumerate(cases):
        log = tmp_path / f"{number}.log"
        argv = ["serve", "--port", "0", "--database", f"sqlite:///{tmp_path}/x.sqlite"]
        running = zygote.start(argv, env, log)
        async with asyncio.timeout(START):
            await running.ended()
        running.close()
        said = log.read_text()
        assert message in said, said
        assert said.endswith("exit status 1\n")
        assert "Traceback" not in said
