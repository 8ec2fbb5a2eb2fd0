"""The peer: a real Neutron with networking-generic-switch, on the same switches.

Neutron's API runs under uWSGI on MariaDB, in a virtual environment of its own that is made on first use and kept under
`IRONLANE_BENCH_CACHE` (default `~/.cache/ironlane-bench`). It is asked for the same moves with the same requests.

It gets what its documentation offers for speed and asks nothing of the operator: VLANs are there already
(`ngs_manage_vlans = false`; otherwise each network costs a session with every switch), and there are more API processes
than Neutron would start by itself on this machine.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from bench import environments
from bench.environments import Unavailable, run
from bench.fabric.rack import Rack
from bench.fabric.shape import (
    PASSWORD,
    PHYSICAL_NETWORK,
    PROVISIONING_VLAN,
    TENANT_VLANS,
    Server,
    servers,
    switch_mac,
    switch_name,
)

PROCESSES = 4
"""Of Neutron's API, each busy with one request at a time; by itself it takes half the number of processors."""

_PATIENCE = 600.0


@dataclass(frozen=True)
class PeerMoved:
    """`single` are seconds of single binds, one after the other, request to ACTIVE."""

    servers: int
    clients: int
    seconds: float
    switch_ports: int
    single: tuple[float, ...]
    versions: str

    @property
    def rate(self) -> float:
        return self.switch_ports / self.seconds


def environment() -> Path:
    """The virtual environment with Neutron, made if it is not there.

    Raises:
        Unavailable: MariaDB is not installed, or the packages cannot be.
    """
    missing = [name for name in ("mariadbd", "mariadb-install-db") if _program(name) is None]
    if missing:
        raise Unavailable(f"{', '.join(missing)} not found: install the Debian package mariadb-server")
    return environments.environment("neutron", "bench-peer.lock")


async def measure(rack: Rack, count: int, clients: int, singles: int = 3, *, processes: int = PROCESSES) -> PeerMoved:
    """Move the first `count` servers of the rack; then bind and unbind one of the rest `singles` times on its own.

    Raises:
        Unavailable: see `environment`.
    """
    made = await asyncio.to_thread(environment)
    fleet = list(servers(rack.shape))
    async with AsyncExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ironlane-bench-peer-")))
        database = await stack.enter_async_context(mariadb(place, made))
        url = await stack.enter_async_context(_neutron(place, made, database, rack, processes))
        api = await stack.enter_async_context(_api(url))
        provisioning = await _network(api, "provisioning", PROVISIONING_VLAN)
        tenant = await _network(api, "tenant", TENANT_VLANS[0])
        single = await _singles(api, fleet[-1], tenant, singles)
        moving = fleet[:count]
        ports = [(server, await _port(api, provisioning), await _port(api, tenant)) for server in moving]
        await _each(clients, [_bind(api, own, server, 1) for server, own, _ in ports])
        begun = time.perf_counter()
        await _each(clients, [_move(api, *one) for one in ports])
        await _active(api, [port for *_, port in ports])
        seconds = time.perf_counter() - begun
    joined = sum(len(server.nics) for server in moving)
    return PeerMoved(count, clients, seconds, joined, tuple(single), _versions(made))


# --- what is asked of it ----------------------------------------------------------------------------------------------


class _Api:
    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def request(self, method: str, path: str, body: object | None = None) -> Any:
        async with self._session.request(method, f"{self._url}/v2.0/{path}", json=body) as answer:
            text = await answer.text()
            if answer.status >= 300:
                raise RuntimeError(f"Neutron: {method} {path}: {answer.status} {text[:500]}")
            return await answer.json() if text else None


@asynccontextmanager
async def _api(url: str) -> AsyncIterator[_Api]:
    timeout = aiohttp.ClientTimeout(total=_PATIENCE)
    # uWSGI closes a connection after each answer.
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        yield _Api(session, url)


async def _network(api: _Api, name: str, vlan: int) -> str:
    provider = {
        "provider:network_type": "vlan",
        "provider:physical_network": PHYSICAL_NETWORK,
        "provider:segmentation_id": vlan,
    }
    answer = await api.request("POST", "networks", {"network": {"name": name, **provider}})
    return str(answer["network"]["id"])


async def _port(api: _Api, network: str) -> str:
    body = {"port": {"network_id": network, "binding:vnic_type": "baremetal", "admin_state_up": True}}
    return str((await api.request("POST", "ports", body))["port"]["id"])


async def _bind(api: _Api, port: str, server: Server, nics: int) -> None:
    binding = {
        "binding:vnic_type": "baremetal",
        "binding:host_id": server.host,
        "binding:profile": server.profile(server.nics[:nics]),
    }
    await api.request("PUT", f"ports/{port}", {"port": binding})


async def _unbind(api: _Api, port: str) -> None:
    await api.request("PUT", f"ports/{port}", {"port": {"binding:host_id": "", "binding:profile": {}}})


async def _move(api: _Api, server: Server, provisioning: str, tenant: str) -> None:
    await api.request("DELETE", f"ports/{provisioning}")
    await _bind(api, tenant, server, len(server.nics))


async def _active(api: _Api, ports: Sequence[str]) -> None:
    end = time.monotonic() + _PATIENCE
    for port in ports:
        while True:
            shown = (await api.request("GET", f"ports/{port}"))["port"]
            if shown["status"] == "ACTIVE":
                break
            if shown["binding:vif_type"] == "binding_failed" or time.monotonic() > end:
                raise RuntimeError(f"Neutron did not bind a port: {shown['binding:vif_type']}, {shown['status']}")
            await asyncio.sleep(0.02)


async def _singles(api: _Api, server: Server, network: str, times: int) -> list[float]:
    """One port on one switch port, on an idle system."""
    port = await _port(api, network)
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        await _bind(api, port, server, 1)
        await _active(api, [port])
        found.append(time.perf_counter() - begun)
        await _unbind(api, port)
    return found


async def _each(clients: int, work: Sequence[Any]) -> None:
    left: Iterator[Any] = iter(work)

    async def client() -> None:
        for one in left:
            await one

    await asyncio.gather(*(client() for _ in range(clients)))


# --- running it -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def mariadb(place: Path, made: Path) -> AsyncIterator[str]:
    """A server of our own on a Unix socket, with Neutron's schema. Making that takes a minute: a copy is kept."""
    data, template = place / "mariadb", made / "database"
    socket_path = place / "mariadb.sock"
    url = f"mysql+pymysql://root@localhost/neutron?unix_socket={socket_path}"
    fresh = not template.exists()
    if fresh:
        install = (_program("mariadb-install-db"), *_places(data), "--skip-test-db")
        await asyncio.to_thread(run, *install, "--auth-root-authentication-method=normal")
    else:
        await asyncio.to_thread(shutil.copytree, template, data)
    async with _mariadbd(data, socket_path):
        if fresh:
            client = (_program("mariadb"), "--no-defaults", f"--socket={socket_path}", "-uroot", "-e")
            await asyncio.to_thread(run, *client, "CREATE DATABASE neutron CHARACTER SET utf8")
            config = place / "migrate.conf"
            config.write_text(f"[database]\nconnection = {url}\n")
            manage = (made / "bin/neutron-db-manage", "--config-file", config, "upgrade", "heads")
            await asyncio.to_thread(run, *manage)
        else:
            yield url
    if fresh:
        await asyncio.to_thread(shutil.copytree, data, template)
        async with _mariadbd(data, socket_path):
            yield url


@asynccontextmanager
async def _mariadbd(data: Path, socket_path: Path) -> AsyncIterator[None]:
    arguments = (*_places(data), f"--socket={socket_path}", "--skip-networking")
    with Path(f"{data}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            str(_program("mariadbd")), *arguments, "--max-connections=400", stdout=log, stderr=log
        )
    try:
        await listening(socket.AF_UNIX, str(socket_path), process)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@asynccontextmanager
async def _neutron(place: Path, made: Path, database: str, rack: Rack, processes: int) -> AsyncIterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    (place / "neutron.conf").write_text(_configuration(place, made, database, rack))
    # Without authentication nobody has the role `service` that Neutron asks for here.
    (place / "policy.yaml").write_text(
        "".join(f'"{verb}_port:binding:profile": "@"\n' for verb in ("create", "update"))
    )
    arguments = (
        *("--http-socket", f"127.0.0.1:{port}", "--module", "neutron.wsgi.api:application"),
        *("--processes", str(processes), "--threads", "1", "--enable-threads", "--master", "--lazy-apps"),
        *("--die-on-term", "--buffer-size", "65535", "--disable-logging", "--need-app", "--virtualenv", str(made)),
    )
    with (place / "neutron.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            str(made / "bin/uwsgi"),
            *arguments,
            env={**os.environ, "OS_NEUTRON_CONFIG_DIR": str(place), "OS_NEUTRON_CONFIG_FILES": "neutron.conf"},
            cwd=place,
            stdout=log,
            stderr=log,
        )
    try:
        await listening(socket.AF_INET, ("127.0.0.1", port), process)
        url = f"http://127.0.0.1:{port}"
        await _all_workers(url, place / "neutron.log", processes)
        yield url
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 20)
        except TimeoutError:
            process.kill()


async def _all_workers(url: str, log: Path, processes: int) -> None:
    """Each process loads the application by itself, which takes seconds; nobody shall be measured in that time."""
    end = time.monotonic() + _PATIENCE
    while log.read_text(errors="replace").count("WSGI app 0") < processes:
        if time.monotonic() > end:
            raise RuntimeError(f"Neutron did not start: {log.read_text(errors='replace')[-2000:]}")
        await asyncio.sleep(0.5)
    async with _api(url) as api:
        await _each(processes, [api.request("GET", "networks") for _ in range(4 * processes)])


def neutron_options(
    place: Path, made: Path, database: str, *, driver: str, ranges: str, service_plugins: str = ""
) -> str:
    """neutron.conf of a Neutron without Keystone and message bus, with one mechanism driver and VLANs only.

    Args:
        place: directory for its state and its policy.
        made: its environment.
        database: SQLAlchemy URL.
        driver: name of the mechanism driver.
        ranges: `network_vlan_ranges`.
        service_plugins: names, separated by commas.
    """
    return f"""[DEFAULT]
core_plugin = ml2
service_plugins = {service_plugins}
auth_strategy = noauth
transport_url = fake://
api_paste_config = {made}/etc/neutron/api-paste.ini
state_path = {place}
dhcp_agent_notification = false
notify_nova_on_port_status_changes = false
notify_nova_on_port_data_changes = false
[oslo_policy]
policy_file = {place}/policy.yaml
[oslo_concurrency]
lock_path = {place}/locks
[database]
connection = {database}
[ml2]
type_drivers = vlan
tenant_network_types = vlan
mechanism_drivers = {driver}
extension_drivers =
[ml2_type_vlan]
network_vlan_ranges = {ranges}
"""


def _configuration(place: Path, made: Path, database: str, rack: Rack) -> str:
    first, last = TENANT_VLANS
    ranges = f"{PHYSICAL_NETWORK}:{PROVISIONING_VLAN}:{PROVISIONING_VLAN},{PHYSICAL_NETWORK}:{first}:{last}"
    text = neutron_options(place, made, database, driver="genericswitch", ranges=ranges)
    text += """[quotas]
quota_port = -1
quota_network = -1
"""
    for index, port in enumerate(rack.ports):
        text += f"""[genericswitch:{switch_name(index)}]
device_type = netmiko_arista_eos
ip = 127.0.0.1
port = {port}
username = admin
password = {PASSWORD}
ngs_mac_address = {switch_mac(index)}
ngs_physical_networks = {PHYSICAL_NETWORK}
ngs_manage_vlans = false
"""
    return text


async def listening(family: int, address: Any, process: asyncio.subprocess.Process) -> None:
    end = time.monotonic() + 60
    while True:
        with socket.socket(family) as probe:
            if probe.connect_ex(address) == 0:
                return
        if process.returncode is not None or time.monotonic() > end:
            raise RuntimeError(f"nobody listens at {address}")
        await asyncio.sleep(0.1)


def _versions(made: Path) -> str:
    shown = run(made / "bin/python", "-m", "pip", "list", "--format=freeze", "--disable-pip-version-check")
    wanted = ("neutron", "networking-generic-switch", "netmiko")
    found = dict(line.split("==") for line in shown.splitlines() if "==" in line)
    return ", ".join(f"{name} {found[name]}" for name in wanted if name in found)


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def _places(data: Path) -> tuple[str, ...]:
    """Options of MariaDB's programs. One that starts takes away the temporary tables of others in the same place."""
    temporary = Path(f"{data}.tmp")
    temporary.mkdir(exist_ok=True)
    user = ("--user=root",) if os.geteuid() == 0 else ()
    return ("--no-defaults", f"--datadir={data}", f"--tmpdir={temporary}", *user)
