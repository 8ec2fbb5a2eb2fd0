"""The driver against a NETCONF server that we did not write: Debian's netconfd (yuma123), behind an SSH subsystem.

It is run twice. "published": with the OpenConfig modules as published, where openconfig_models.py says what had to be
cut. "subset": with modules of our own in golden/openconfig/yang, with their names, namespaces and types, cut down to
what the driver uses, as of 2024: they have LACP fallback, which the archive's version has not yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import asyncssh
import pytest

from ironlane.model.errors import Permanent, Temporary
from ironlane.model.fabric import LacpRate, Lag, LagMode, PortConfig, PortMode, SwitchId, Vlan
from ironlane.model.plan import Change, Plan, diff
from ironlane.switches.base import Access
from ironlane.switches.netconf import NetconfSession
from ironlane.switches.openconfig import OpenConfigDriver
from ironlane.switches.openconfig.write import confirmed_commit, operation
from tests.switches import openconfig_models

NETCONFD, SUBSYSTEM = "/usr/sbin/netconfd", "/usr/sbin/netconf-subsystem"
YANG = Path(__file__).parent / "golden" / "openconfig" / "yang"
LEAF = SwitchId("leaf-1")
SHUT = PortConfig(enabled=False)
BUNDLE = PortConfig(PortMode.TRUNK, Vlan(10), frozenset({Vlan(20), Vlan(21), Vlan(22)}), Lag(5, rate=LacpRate.FAST))

pytestmark = pytest.mark.skipif(
    shutil.which(NETCONFD) is None or shutil.which(SUBSYSTEM) is None,
    reason="Debian's netconfd package is not installed",
)


@dataclass
class Netconfd:
    """A running netconfd: its models, its socket, and what it has said so far."""

    models: str
    socket: Path
    said: str = ""

    def listen(self, terminal: int) -> None:
        """Collect what it says until it ends (in a thread)."""
        with contextlib.suppress(OSError), open(terminal, "rb", buffering=0) as stream:
            while data := stream.read(4096):
                self.said += data.decode(errors="replace")


@pytest.fixture(scope="module", params=["published", "subset"])
def netconfd(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Netconfd]:
    """It writes what is committed into its startup file, a copy of ours; and it speaks at once only to a terminal."""
    home = tmp_path_factory.mktemp("netconfd")
    startup = shutil.copy(YANG / "startup-cfg.xml", home)
    yang, names = YANG, [path.stem for path in sorted(YANG.glob("*.yang"))]
    if request.param == "published":
        yang = home / "yang"
        yang.mkdir()
        openconfig_models.unpack(yang)
    server = Netconfd(request.param, home / "ncx.sock")
    command = [NETCONFD, f"--startup={startup}", "--superuser=lab", f"--ncxserver-sockname={server.socket}"]
    command += [f"--modpath={yang}:/usr/share/yuma/modules"]
    command += [f"--module={name}" for name in names]
    ours, its = os.openpty()
    process = subprocess.Popen(command, cwd=home, env={"HOME": str(home)}, stdout=its, stderr=its)
    os.close(its)
    listener = threading.Thread(target=server.listen, args=[ours])
    listener.start()
    try:
        deadline = time.monotonic() + 10
        while not server.socket.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)  # it tells nobody when it is ready
        assert server.socket.exists(), server.said
        yield server
    finally:
        process.terminate()
        process.wait(10)
        listener.join()


class _AnyPassword(asyncssh.SSHServer):
    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return username == password


async def relay(netconfd: Netconfd, process: asyncssh.SSHServerProcess[bytes]) -> None:
    """One session: what sshd does with a subsystem."""
    subsystem = await asyncio.create_subprocess_exec(
        SUBSYSTEM,
        f"--ncxserver-sockname=830@{netconfd.socket}",
        env={"USER": "lab", "SSH_CONNECTION": "127.0.0.1 40000 127.0.0.1 830"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert subsystem.stdin is not None
    assert subsystem.stdout is not None

    async def upwards(stdin: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncssh.Error, OSError):
            while data := await process.stdin.read(65536):
                stdin.write(data)
        stdin.close()

    # netconfd takes one message from each read: what comes in together with another one waits for the next.
    hello = await subsystem.stdout.readuntil(b"]]>]]>")
    upward = asyncio.create_task(upwards(subsystem.stdin))
    number = re.search(rb"<session-id>([0-9]+)<", hello)
    assert number is not None
    while f"Session {int(number[1])} for lab@127.0.0.1 now active" not in netconfd.said:  # noqa: ASYNC110
        await asyncio.sleep(0.002)
    process.stdout.write(hello)
    while data := await subsystem.stdout.read(65536):
        process.stdout.write(data)
    process.exit(0)
    await upward
    await subsystem.wait()


@pytest.fixture
async def access(netconfd: Netconfd) -> AsyncIterator[Access]:
    """SSH in front of netconfd."""
    sessions = []

    async def serve(process: asyncssh.SSHServerProcess[bytes]) -> None:
        sessions.append(asyncio.create_task(relay(netconfd, process)))

    key = asyncssh.generate_private_key("ssh-ed25519")
    server = await asyncssh.create_server(
        _AnyPassword, "127.0.0.1", 0, server_host_keys=[key], process_factory=serve, encoding=None
    )
    host_key = key.export_public_key().decode()
    yield Access(
        LEAF, "127.0.0.1", server.get_port(), "lab", "lab", {"host_key": host_key, "validate": False}, timeout=10
    )
    await asyncio.gather(*sessions)
    server.close()
    await server.wait_closed()


@pytest.fixture
async def driver(access: Access) -> AsyncIterator[OpenConfigDriver]:
    driver = OpenConfigDriver(access)
    yield driver
    await driver.close()


@pytest.fixture
async def other(access: Access) -> AsyncIterator[NetconfSession]:
    """Somebody else's session."""
    session = await NetconfSession.open(access)
    yield session
    await session.close()


async def converge(driver: OpenConfigDriver, desired: dict[str, PortConfig]) -> Plan:
    plan = diff(LEAF, desired, await driver.observe(desired))
    await driver.apply(plan)
    assert await driver.observe(desired) == desired
    return plan


async def test_round_trip_with_inverse(driver: OpenConfigDriver) -> None:
    start = {"Ethernet1": SHUT, "Ethernet2": SHUT}
    assert await driver.observe(start) == start
    for step in (
        {"Ethernet1": PortConfig(untagged=Vlan(101), description="node-1"), "Ethernet2": SHUT},
        {"Ethernet1": BUNDLE, "Ethernet2": BUNDLE},
        {"Ethernet1": PortConfig(untagged=Vlan(7)), "Ethernet2": BUNDLE},
        {"Ethernet1": SHUT, "Ethernet2": PortConfig(untagged=Vlan(8), lag=Lag(6, LagMode.STATIC, min_links=2))},
    ):
        before = dict(await driver.observe(step))
        plan = await converge(driver, step)
        await driver.apply(plan)
        await driver.apply(plan.inverse)
        assert await driver.observe(step) == before
        await driver.apply(plan)
    await converge(driver, start)


@pytest.mark.parametrize(
    ("good", "bad", "told"),
    [
        ("<access-vlan>4000", "<access-vlan>4095", "access-vlan"),
        ("<interface-mode>ACCESS", "<interface-mode>HYBRID", "interface-mode"),
        ("<trunk-vlans>20..22", "<trunk-vlans>20-22", ""),
        ("<lag-type>LACP", "<lag-type>BOND", "lag-type"),
        ("<interval>FAST", "<interval>MEDIUM", "interval"),
        ("<status>ACTIVE", "<status>BUSY", "status"),
    ],
)
async def test_refusal_by_schema(
    driver: OpenConfigDriver, other: NetconfSession, good: str, bad: str, told: str
) -> None:
    """What we write is judged by the models: the same edit with one wrong value is refused where that is. (Of a
    leaf-list netconfd does not say where.)"""
    plan = Plan(
        LEAF,
        (
            Change("Ethernet1", SHUT, PortConfig(untagged=Vlan(4000))),
            Change("Ethernet2", SHUT, BUNDLE),
        ),
    )
    edit = driver.render(plan)[2]
    assert good in edit
    with pytest.raises(Permanent, match=rf"(invalid-value|data-invalid).*{told}"):
        await other.rpc(edit.replace(good, bad))
    await other.rpc(operation("discard-changes"))
    assert await driver.observe(["Ethernet1", "Ethernet2"]) == {"Ethernet1": SHUT, "Ethernet2": SHUT}


async def test_refusal_of_an_aggregate_that_does_not_exist(driver: OpenConfigDriver, other: NetconfSession) -> None:
    change = Change("Ethernet1", SHUT, BUNDLE)
    edit = driver.render(Plan(LEAF, (change,)))[2]
    member = ">Port-Channel5</aggregate-id>"
    assert member in edit
    with pytest.raises(Permanent, match=r"instance-required.*aggregate-id"):
        await other.rpc(edit.replace(member, ">Port-Channel77</aggregate-id>"))
    await other.rpc(operation("discard-changes"))
    assert await driver.observe(["Ethernet1"]) == {"Ethernet1": SHUT}


async def test_refusal_of_a_port_that_does_not_exist(driver: OpenConfigDriver) -> None:
    with pytest.raises(Permanent, match="leaf-1"):
        await driver.apply(Plan(LEAF, (Change("Ethernet99", SHUT, PortConfig(untagged=Vlan(10))),)))
    await converge(driver, {"Ethernet1": PortConfig(untagged=Vlan(9))})
    await converge(driver, {"Ethernet1": SHUT})


async def test_fallback_is_refused_by_the_models_of_before_it(netconfd: Netconfd, driver: OpenConfigDriver) -> None:
    """openconfig-lacp has it since 2.1.0: sent only where it is wished for, and then an older switch says no."""
    plan = Plan(LEAF, (Change("Ethernet1", SHUT, replace(BUNDLE, lag=Lag(5, fallback=True))),))
    if netconfd.models == "published":
        with pytest.raises(Permanent, match=r"unknown-element.*lacp"):
            await driver.apply(plan)
        assert await driver.observe(["Ethernet1"]) == {"Ethernet1": SHUT}
    else:
        await driver.apply(plan)
        assert (await driver.observe(["Ethernet1"]))["Ethernet1"].lag == Lag(5, fallback=True)
        await converge(driver, {"Ethernet1": SHUT})


async def test_lock_contention_and_the_end_of_an_unconfirmed_commit(
    driver: OpenConfigDriver, other: NetconfSession
) -> None:
    """netconfd grants the lock on running during a confirmed commit, against RFC 6241; it does undo it."""
    plan = Plan(LEAF, (Change("Ethernet1", SHUT, PortConfig(untagged=Vlan(10))),))
    await other.rpc(operation("lock", "target", "candidate"))
    with pytest.raises(Temporary, match="lock-denied"):
        await driver.apply(plan)
    await other.rpc(driver.render(plan)[2])
    await other.rpc(confirmed_commit(60))
    assert await driver.observe(["Ethernet1"]) == {"Ethernet1": PortConfig(untagged=Vlan(10))}
    await other.close()
    assert await driver.observe(["Ethernet1"]) == {"Ethernet1": SHUT}
