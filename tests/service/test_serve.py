"""`ironlane serve` as a process: how it starts and stops, what it refuses, and what it does without its database."""

from __future__ import annotations

import asyncio
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from ironlane.cli.apply.run import apply
from ironlane.cli.client import Client, Refused
from ironlane.cli.demo.site_text import site_text
from ironlane.cli.virtual import environment, running_gateway, virtual_rack
from ironlane.lab.rack import VirtualRack
from ironlane.site.check import read_site
from tests.conftest import SERVERS, database_url
from tests.conftest import _postgresql_programs as postgresql_programs
from tests.mariadb import PASSWORD
from tests.service.bench import NODES, SECRETS, closed, description, enrol, leaks, until
from tests.service.process import ENCRYPTION_KEY, Running, Zygote, free_port, serving


@asynccontextmanager
async def started(
    zygote: Zygote, log: Path, *arguments: str, env: dict[str, str] | None = None
) -> AsyncIterator[tuple[Client, Running]]:
    """A service on a free port, healthy, and a client of it; killed at the end."""
    port = free_port()
    running = zygote.start(["serve", "--port", str(port), *arguments], env or {}, log)
    try:
        async with Client(f"http://127.0.0.1:{port}") as client:
            await until(lambda: healthy(client), f"the service; its log: {log}")
            yield client, running
    finally:
        running.send(signal.SIGKILL)
        await running.ended()
        running.close()


async def healthy(client: Client) -> bool:
    return bool(await client.get("/healthz"))


async def unhealthy(client: Client) -> bool:
    """503."""
    try:
        await client.get("/healthz")
    except Refused as error:
        return error.status == 503
    return False


# --- what it refuses -------------------------------------------------------------------------------------------


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


async def test_it_says_why_it_does_not_start(tmp_path: Path, zygote: Zygote, taken_port: int) -> None:
    database = ["--database", f"sqlite:///{tmp_path}/x.sqlite"]
    cases = [
        ([*database, "--host", "0.0.0.0"], {}, "will not listen on 0.0.0.0"),  # noqa: S104
        ([*database, "--host", "lab.example"], {}, "only loopback is safe"),
        ([*database, "--port", str(taken_port)], {}, f"port {taken_port}: Address already in use"),
        (
            ["--port", "0", "--database", f"sqlite:///{tmp_path}/no/x.sqlite"],
            {},
            "x.sqlite.keys cannot be read or made",
        ),
        (["--database", "oracle9://scott:tiger@h/x"], {}, "oracle9"),
        (["--database", "mysql+pymysql://scott:tiger@h/x"], ENCRYPTION_KEY, "mariadb+asyncmy"),
        (["--database", "mariadb+asyncmy://scott:tiger@127.0.0.1:1/x"], ENCRYPTION_KEY, "the database does not answer"),
        ([*database, "--port", "0"], {"IRONLANE_LEASE_TTL": "geheim"}, "lease_ttl: Input should be a valid number"),
    ]
    for number, (arguments, env, message) in enumerate(cases):
        log = tmp_path / f"{number}.log"
        running = zygote.start(["serve", *arguments], env, log)
        async with asyncio.timeout(20):
            await running.ended()
        running.close()
        said = log.read_text()
        assert message in said
        assert said.endswith("exit status 1\n")
        assert not any(word in said for word in ("Traceback", "tiger", "geheim")), said


async def test_a_foreign_host_is_refused_as_a_user_sees_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with serving("--host", "192.0.2.1", log=log) as process, asyncio.timeout(60):
        assert await process.wait() == 1
    assert log.read_text().startswith("Error: will not listen on 192.0.2.1: auth_strategy is none")


# --- how it stops ----------------------------------------------------------------------------------------------


async def test_sigterm_finishes_the_commit_in_hand_and_gives_up_the_lease(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "service.log"
    arguments = ("--port", str(port), "--database", f"sqlite:///{tmp_path}/x.sqlite", "--hostname", "c1")
    url = f"http://127.0.0.1:{port}"
    async with (
        running_gateway() as gateway,
        virtual_rack(description(), url, gateway) as rack,
        Client(url) as client,
    ):
        env = {**SECRETS, **environment(rack.description, gateway)}
        async with serving(*arguments, env=env, log=log) as process:
            await until(lambda: healthy(client), "the service")
            await enrol(client, rack)
            await _ask(client, rack, "manage", "manageable")
            leaf = rack.netconf["leaf-1a"]
            leaf.commit_delay = 0.5
            for name in rack.servers:
                await client.request("PUT", f"{NODES}/{name}/states/provision", {"target": "provide"})
            commits = leaf.commits
            await until(lambda: _committed(rack, commits), "a commit on trial")
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(20):
                assert await process.wait() == 0
        assert 100 in rack.switches["leaf-1a"].forwarding["Ethernet1"].vlans, "confirmed, not undone"
        with sqlite3.connect(tmp_path / "x.sqlite") as rows:
            assert rows.execute("SELECT online FROM conductors").fetchall() == [(0,)]
            assert {row[0] for row in rows.execute("SELECT outcome FROM plans")} <= {"verified", "failed"}
        rows.close()
        leaf.commit_delay = 0.0
        began = time.monotonic()
        async with serving(*arguments, env=env, log=log):
            await until(lambda: healthy(client), "the service")
            print(f"listening {time.monotonic() - began:.1f} s after the start")
            await _until_all(client, "available")
            assert closed((await client.get("/fabric/v1/plans"))["plans"])


async def _committed(rack: VirtualRack, commits: int) -> bool:
    return rack.netconf["leaf-1a"].commits > commits


async def _ask(client: Client, rack: VirtualRack, verb: str, state: str) -> None:
    for name in rack.servers:
        await client.request("PUT", f"{NODES}/{name}/states/provision", {"target": verb})
    await _until_all(client, state)


async def _until_all(client: Client, state: str) -> None:
    async def reached() -> bool:
        return {node["provision_state"] for node in (await client.get(NODES))["nodes"]} == {state}

    await until(reached, f"all nodes to be {state}")


# --- whose turn it is ------------------------------------------------------------------------------------------


async def test_of_two_services_with_one_name_the_older_stops_acting(tmp_path: Path, zygote: Zygote) -> None:
    arguments = ("--database", f"sqlite:///{tmp_path}/x.sqlite", "--hostname", "c1")
    env = {"IRONLANE_LEASE_TTL": "1.5"}
    old_log, new_log = tmp_path / "old.log", tmp_path / "new.log"
    async with started(zygote, old_log, *arguments, env=env) as (old, _):
        await _make_manageable(old, "first")
        assert "node changed state" in old_log.read_text()
        async with started(zygote, new_log, *arguments, env=env) as (new, _):
            await until(lambda: unhealthy(old), "the older one to know", 10)
            assert "another conductor has taken this one's name" in old_log.read_text()
            acted = old_log.read_text().count("node changed state")
            await _make_manageable(old, "second")
            assert old_log.read_text().count("node changed state") == acted
            assert "second" in new_log.read_text()
            assert await healthy(new)


async def _make_manageable(client: Client, name: str) -> None:
    await client.request("POST", NODES, {"name": name, "driver": "fake-hardware"})
    await client.request("PUT", f"{NODES}/{name}/states/provision", {"target": "manage"})

    async def manageable() -> bool:
        return bool((await client.get(f"{NODES}/{name}"))["provision_state"] == "manageable")

    await until(manageable, f"node {name} to be manageable", 20)


# --- the database ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SERVERS)
async def test_without_its_database_it_says_so_and_goes_on_when_it_is_back(
    tmp_path: Path, zygote: Zygote, kind: str, request: pytest.FixtureRequest
) -> None:
    url, log = database_url(kind, request, tmp_path), tmp_path / "log"
    async with started(zygote, log, "--database", url, env={"IRONLANE_LEASE_TTL": "1.5"} | ENCRYPTION_KEY) as (
        client,
        _,
    ):
        await _make_manageable(client, "first")
        _take_away(url, request)
        await until(lambda: unhealthy(client), "the service to notice", 10)
        with pytest.raises(Refused) as caught:
            await client.request("POST", NODES, {"name": "lost", "driver": "fake-hardware"})
        assert caught.value.status == 503
        assert PASSWORD not in str(caught.value)
        await asyncio.sleep(2.0)  # longer than the lease lives
        assert await unhealthy(client)
        _give_back(url, request)
        await until(lambda: healthy(client), "the service to recover", 20)
        await _make_manageable(client, "second")
        assert await leaks(client, log, [PASSWORD]) == []
    assert "Traceback" not in log.read_text()


def _take_away(url: str, request: pytest.FixtureRequest) -> None:
    name = str(sa.make_url(url).database)
    if url.startswith("mariadb"):
        request.getfixturevalue("mariadb").shut_out(name)
        return
    _psql(url, f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false')
    _psql(url, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")  # noqa: S608


def _give_back(url: str, request: pytest.FixtureRequest) -> None:
    name = str(sa.make_url(url).database)
    if url.startswith("mariadb"):
        request.getfixturevalue("mariadb").let_in(name)
        return
    _psql(url, f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true')


def _psql(url: str, statement: str) -> None:
    programs = postgresql_programs()
    assert programs is not None
    folder = url.rsplit("=", 1)[1]
    subprocess.run(
        [programs / "psql", "-q", "-h", folder, "-U", "ironlane", "-d", "postgres", "-c", statement],
        check=True,
        stdout=subprocess.DEVNULL,
    )


# --- secrets ---------------------------------------------------------------------------------------------------


async def test_passwords_that_do_not_work_are_not_told_either(tmp_path: Path, zygote: Zygote) -> None:
    wrong = {"switches": "wrong-switch-7gh2", "bmcs": "wrong-bmc-5kq1"}
    env = {f"IRONLANE_SECRET_{name.upper()}": secret for name, secret in wrong.items()}
    log = tmp_path / "log"
    arguments = ("--database", f"sqlite:///{tmp_path}/x.sqlite", "--log-level", "debug")
    async with (
        virtual_rack(description(), "http://127.0.0.1:1") as rack,
        started(zygote, log, *arguments, env=env) as (client, _),
    ):
        site = read_site(site_text(rack))
        _ = [o async for o in apply(client, site, wrong.__getitem__, dry_run=False, new_passwords=False)]
        for name in rack.servers:
            await client.request("PUT", f"{NODES}/{name}/states/provision", {"target": "manage"})

        async def told() -> bool:
            nodes = (await client.get(f"{NODES}/detail"))["nodes"]
            switches = (await client.get("/fabric/v1/switches"))["switches"]
            return all(node["last_error"] for node in nodes) and all(s["state"] == "failing" for s in switches)

        await until(told, "all to fail")
        assert await leaks(client, log, wrong.values()) == []
