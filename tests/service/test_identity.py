"""Authentication of a service in a process of its own: over TLS, on any address, and what it refuses to start with."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from pathlib import Path
from signal import SIGKILL

import aiohttp
import pytest

from ironlane.api.identity.basic import WAITING
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
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, ssl=tls or True)) as session:
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


async def test_a_flood_of_wrong_passwords_is_told_to_come_again(tmp_path: Path, zygote: Zygote) -> None:
    """Each API says so in its own shape, while who was let in before is served."""
    (tmp_path / "htpasswd").write_text(f"root:{hashed('for root', cost=9)}\n")
    env = {"IRONLANE_AUTH_STRATEGY": "http_basic", "IRONLANE_HTPASSWD_FILE": str(tmp_path / "htpasswd")}
    paths = ["/networking/v2.0/ports", "/baremetal/v1/nodes", "/fabric/v1/switches"]
    async with started(zygote, tmp_path, env) as (session, url), asyncio.timeout(START):

        async def get(path: str, password: str) -> tuple[int, str, str]:
            async with session.get(url + path, headers=basic("root", password)) as answer:
                return answer.status, answer.headers.get("Retry-After", ""), await answer.text()

        assert (await get(paths[0], "for root"))[0] == 200
        flood = [asyncio.create_task(get(paths[n % 3], f"wrong {n}")) for n in range(4 * WAITING)]
        await asyncio.wait(flood, return_when=asyncio.FIRST_COMPLETED)
        for path in paths:
            assert (await get(path, "for root"))[0] == 200
        assert not all(task.done() for task in flood), "those were served in the middle of it"
        answers = await asyncio.gather(*flood)
        assert {status for status, _, _ in answers} == {401, 503}
        for first, message in enumerate(
            (
                lambda body: body["NeutronError"]["message"],
                lambda body: json.loads(body["error_message"])["faultstring"],
                lambda body: body["error"]["message"],
            )
        ):
            busy = [(retry, body) for status, retry, body in answers[first::3] if status == 503]
            assert busy
            for retry, body in busy:
                assert (retry, message(json.loads(body))) == ("5", "Too many passwords are being checked; try again.")
        assert (await get(paths[0], "wrong at last"))[0] == 401


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
