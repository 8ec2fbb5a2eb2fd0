"""One process: the three APIs and a conductor on one database. `ironlane serve` runs it; the demo and the tests too.

This is the wiring: the only module that knows all floors. It makes the parts, hands each what it needs, and starts and
stops them in order.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from ironlane.agent.client import AgentClient
from ironlane.api.baremetal import app as baremetal
from ironlane.api.fabric import app as fabric
from ironlane.api.http import Mounts
from ironlane.api.identity.base import Authenticator, NoAuthentication
from ironlane.api.identity.basic import BasicAuthentication
from ironlane.api.identity.htpasswd import PasswordFile
from ironlane.api.identity.keystone import KeystoneAuthentication, KeystoneSettings
from ironlane.api.networking import app as networking
from ironlane.boot.dhcp import DhcpEngine
from ironlane.boot.dnsmasq import DnsmasqEngine
from ironlane.boot.dnsmasq_files import DnsmasqSettings
from ironlane.boot.image_service import ImageService
from ironlane.boot.kea import KeaEngine
from ironlane.boot.kea_config import KeaSettings
from ironlane.boot.network_boot import FixedBoot, NetworkBoot
from ironlane.boot.services import BootServices
from ironlane.conductor.allocating import allocate
from ironlane.conductor.dhcp import DhcpLoop
from ironlane.conductor.fabric import FabricLoop, FabricSettings, driver_factory
from ironlane.conductor.housekeeping import Housekeeping
from ironlane.conductor.lifecycle import LifecycleLoop
from ironlane.conductor.members import Members
from ironlane.conductor.power_sync import PowerSync, PowerSyncSettings
from ironlane.conductor.work import LifecycleSettings
from ironlane.conductor.worker import Worker
from ironlane.model.errors import IronlaneError, Permanent, Temporary, Unauthorized
from ironlane.power.base import PowerDriver
from ironlane.power.drivers import DRIVERS
from ironlane.settings import Settings
from ironlane.store import allocations, leases, previews
from ironlane.store.database import Hint, Store, Tx, open_store
from ironlane.store.leases import Membership
from ironlane.store.nodes import seal
from ironlane.store.schema import migrate
from ironlane.store.tables import nodes, switches
from ironlane.store.vault import Vault
from ironlane.switches.kinds import KINDS

log = structlog.get_logger(__name__)


class Service:
    """The parts of one process, started together and stopped together."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.identity = _identity(settings)
        self.store: Store = open_store(settings.database_url, vault=Vault(settings.encryption_keys()))
        self.power: Mapping[str, PowerDriver] = {name: make() for name, make in DRIVERS.items()}
        self.agents = AgentClient(proxy=settings.agent_proxy)
        self.members = Members(self.store, _membership(settings, self.power), ttl=settings.ttl)
        self.fabric = FabricLoop(
            self.store,
            self.members,
            driver_factory(KINDS),
            settings.read_secret,
            _fabric_settings(settings),
        )
        services = settings.boot_services
        self.boot = None if services is None else BootServices(services)
        self.lifecycle = LifecycleLoop(
            self.store,
            lease=lambda: self.members.lease,
            ring=lambda: self.members.ring,
            power=self.power,
            agents=self.agents,
            settings=_lifecycle_settings(settings, self.boot or FixedBoot(settings.boot)),
            ttl=settings.ttl,
        )
        self.power_sync = PowerSync(
            self.store,
            lease=lambda: self.members.lease,
            ring=lambda: self.members.ring,
            power=self.power,
            settings=PowerSyncSettings(settings.power_sync_interval, settings.power_sync_force),
            ttl=settings.ttl,
        )
        self.housekeeping = Housekeeping(self.store, timedelta(seconds=settings.plan_retention))
        self._workers = {
            "switch": Worker(
                "switch",
                self.fabric.converge,
                self._switches_due,
                interval=settings.scan_interval,
            ),
            "node": Worker(
                "node",
                self.lifecycle.advance,
                self._due(nodes),
                interval=settings.scan_interval,
            ),
            "allocation": Worker(
                "allocation",
                partial(allocate, self.store),
                self._allocations_due,
                interval=settings.scan_interval,
            ),
        }
        engine = _dhcp_engine(settings)
        self.dhcp = None if engine is None else DhcpLoop(self.store, engine, interval=settings.scan_interval)
        self.stopping = asyncio.Event()
        """Set when the process is about to end: requests that wait for something are answered."""
        self.app = Mounts(self._apis(), Starlette(routes=[Route("/healthz", self._health)]))

    async def start(self) -> None:
        """Bring the schema up to date, join, and start the loops: what was under way in the rows goes on."""
        await migrate(self.store)
        sealed = await self.store.write(seal)
        if sealed:
            log.info("secrets were sealed with the first encryption key", nodes=sealed)
        if self.boot is not None:
            await self.boot.start()
        if self.dhcp is not None:
            await self.dhcp.start()
        await self.members.start()
        self.store.listen(self._hinted)
        for worker in self._workers.values():
            worker.start()
        self.power_sync.start()
        self.housekeeping.start()

    async def stop(self) -> None:
        """Stop the loops after the work in hand, give up the lease, and close everything."""
        await self.housekeeping.stop()
        await self.power_sync.stop()
        for worker in self._workers.values():
            await worker.stop()
        await self.fabric.close()
        for driver in self.power.values():
            await driver.close()
        await self.agents.close()
        await self.identity.close()
        await self.members.stop()
        if self.dhcp is not None:
            await self.dhcp.stop()
        if self.boot is not None:
            await self.boot.stop()
        await self.store.close()

    def _apis(self) -> dict[str, ASGIApp]:
        """The three APIs by where they are mounted."""
        settings = self._settings
        return {
            "/networking": networking.create(
                self.store, identity=self.identity, limits=settings.limits, conductor_timeout=settings.lease_ttl
            ),
            "/baremetal": baremetal.create(
                self.store,
                heartbeat_timeout=int(settings.agent_silence),
                cabling=settings.cabling,
                automated_clean=settings.automated_clean,
                agent_tls=settings.agent_require_tls,
                image_service=bool(settings.image_service),
                identity=self.identity,
            ),
            "/fabric": fabric.create(self.store, settings.cabling, self.stopping, self.identity),
        }

    def _due(self, table: sa.Table) -> Callable[[bool], Awaitable[list[str]]]:
        return lambda waiting: self.store.read(lambda tx: leases.due(tx, table, waiting=waiting))

    async def _switches_due(self, waiting: bool) -> list[str]:
        """Also those that somebody in another process asks about."""
        return await self.store.read(
            lambda tx: [*leases.due(tx, switches, waiting=waiting), *previews.switches_asked(tx)]
        )

    async def _allocations_due(self, _waiting: bool) -> list[str]:
        return await self.store.read(allocations.allocating)

    def _hinted(self, hint: Hint) -> None:
        if hint.kind in self._workers:
            self._workers[hint.kind].poke(hint.id)

    async def _health(self, request: Request) -> JSONResponse:
        """200 when the database answers and the conductor holds its lease; else `status` is `failing`, and it is 503.

        `status` is `degraded` while DHCP or the boot services are not as they should be. That is 200 too: the APIs are
        none the worse for it. Everybody is told the names of what is `failing`; an administrator is told the details,
        which name hosts and addresses.
        """
        failing, details = await self._findings()
        down = failing.keys() & {"database", "conductor"}
        answer: dict[str, Any] = {"status": "failing" if down else "degraded" if failing else "ok"}
        if failing:
            answer["failing"] = list(failing)
        if await self._is_admin(request):
            answer |= details
        return JSONResponse(answer, 503 if down else 200)

    async def _findings(self) -> tuple[Mapping[str, str], Mapping[str, Any]]:
        """What fails and why, by its name; and the details, with the switches counted by state."""
        failing: dict[str, str] = {}
        details: dict[str, Any] = {}
        try:
            details["switches"] = await self.store.read(_switch_states)
        except IronlaneError as error:
            failing["database"] = error.message
        try:
            lease = self.members.lease
            details |= {"conductor": lease.hostname, "epoch": lease.epoch}
        except IronlaneError as error:
            failing["conductor"] = error.message
        if self.dhcp is not None:
            details["dhcp"] = told = self.dhcp.state()
            failing |= {} if told["state"] == "ok" else {"DHCP": told["reason"]}
        if self.boot is not None:
            details["boot"] = self.boot.state()
            tftp = details["boot"]["tftp"]
            failing |= {} if tftp["state"] == "ok" else {"TFTP": tftp["reason"]}
        if failing:
            details["reasons"] = [f"{name}: {reason}" for name, reason in failing.items()]
        return failing, details

    async def _is_admin(self, request: Request) -> bool:
        """Nobody is refused here: who does not prove to be an administrator is told as much as a load balancer."""
        try:
            return (await self.identity.authenticate(request.scope)).is_admin
        except (Unauthorized, Temporary):
            if any(request.headers.get(name) for name in ("authorization", "x-auth-token")):  # nobody guesses unseen
                log.info("health was asked for with credentials that did not count")
            return False


def _switch_states(tx: Tx) -> dict[str, int]:
    counted = sa.func.count().label("counted")
    rows = tx.all(sa.select(switches.c.state, counted).group_by(switches.c.state))
    return {row.state: row.counted for row in rows}


def _fabric_settings(settings: Settings) -> FabricSettings:
    return FabricSettings(
        lease_ttl=settings.ttl,
        timeout=settings.switch_timeout,
        last_retry=timedelta(seconds=settings.switch_retry),
        audit=timedelta(seconds=settings.audit_interval),
        files=settings.switch_files_dir,
    )


def _lifecycle_settings(settings: Settings, boot: NetworkBoot) -> LifecycleSettings:
    return LifecycleSettings(
        cleaning_network=settings.cleaning_network,
        provisioning_network=settings.provisioning_network,
        inspection_network=settings.inspection_network,
        rescuing_network=settings.rescuing_network,
        servicing_network=settings.servicing_network,
        add_ports=settings.inspection_add_ports,
        cabling=settings.cabling,
        report_timeout=timedelta(seconds=settings.report_timeout),
        attempts=settings.node_attempts,
        agent_silence=timedelta(seconds=settings.agent_silence),
        clean_timeout=timedelta(seconds=settings.clean_timeout),
        deploy_timeout=timedelta(seconds=settings.deploy_timeout),
        service_timeout=timedelta(seconds=settings.service_timeout),
        clean_priorities=settings.clean_priorities,
        boot=boot,
        images=ImageService(settings.image_service) if settings.image_service else None,
        soft_timeout=timedelta(seconds=settings.soft_power_timeout),
    )


def _dhcp_engine(settings: Settings) -> DhcpEngine | None:
    """The engine that the settings name.

    Raises:
        Permanent: it is not told where to answer.
    """
    if settings.dhcp == "none":
        return None
    if not settings.interfaces:
        raise Permanent(f"dhcp_engine {settings.dhcp} needs dhcp_interfaces to answer on")
    if settings.dhcp == "kea":
        return KeaEngine(
            KeaSettings(
                settings.interfaces,
                settings.state_dir.absolute() / "kea",
                settings.read_secret(settings.kea_database),
                lease_seconds=settings.dhcp_lease,
                domain=settings.dhcp_domain,
            )
        )
    return DnsmasqEngine(
        DnsmasqSettings(
            settings.interfaces,
            settings.state_dir.absolute() / "dhcp",
            lease_seconds=settings.dhcp_lease,
            domain=settings.dhcp_domain,
        )
    )


def _membership(settings: Settings, power: Mapping[str, PowerDriver]) -> Membership:
    drivers: list[dict[str, Any]] = [
        {"name": name, "required": sorted(driver.required), "properties": dict(driver.properties)}
        for name, driver in power.items()
    ]
    return Membership(
        hostname=settings.hostname,
        drivers=drivers,
        conductor_group=settings.conductor_group,
        cleaning_network=settings.cleaning_network,
        provisioning_network=settings.provisioning_network,
    )


def _identity(settings: Settings) -> Authenticator:
    """The strategy that the settings name.

    Raises:
        Permanent: it is not told what it needs, or would let in whoever reaches the address.
    """
    if settings.auth_strategy == "http_basic":
        file = PasswordFile(settings.htpasswd_file)
        try:
            file.users()
        except Temporary as error:
            raise Permanent(error.message) from error
        return BasicAuthentication(file)
    if settings.auth_strategy == "keystone":
        if urlsplit(settings.keystone_url).scheme not in {"http", "https"}:
            raise Permanent("auth_strategy keystone needs keystone_url, such as https://keystone.example/v3")
        return KeystoneAuthentication(
            KeystoneSettings(
                settings.keystone_url,
                settings.keystone_username,
                settings.read_secret(settings.keystone_password),
                user_domain=settings.keystone_user_domain,
                project=settings.keystone_project,
                project_domain=settings.keystone_project_domain,
                cafile=str(settings.keystone_cafile or ""),
                public_url=settings.keystone_public_url,
                keep=settings.keystone_cache,
            )
        )
    if not _is_loopback(settings.host):
        raise Permanent(
            f"will not listen on {settings.host}: auth_strategy is none, so everybody is an admin, and only loopback is"
            " safe; set auth_strategy to http_basic or keystone"
        )
    return NoAuthentication()


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Server:
    """A `Service` behind its TCP port."""

    def __init__(self, settings: Settings) -> None:
        self.service = Service(settings)
        self._settings = settings
        self._url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._uvicorn = uvicorn.Server(
            uvicorn.Config(
                self.service.app,
                http="httptools",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                timeout_graceful_shutdown=5,
                ssl_certfile=settings.tls_certificate,
                ssl_keyfile=settings.tls_key,
            )
        )

    async def listening(self) -> str:
        """The address, once it listens: `http://127.0.0.1:9797`, `https://…` with a certificate."""
        return await asyncio.shield(self._url)

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, or until `stop`.

        Raises:
            Permanent: the port is taken, or the certificate cannot be used.
        """
        self._load_certificate()
        with _listener(self._settings.host, self._settings.port) as listener:
            await self.service.start()
            try:
                host, port = listener.getsockname()[:2]
                scheme = "https" if self._uvicorn.config.is_ssl else "http"
                self._url.set_result(f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}")
                await self._uvicorn.serve(sockets=[listener])
            finally:
                await self.service.stop()

    def _load_certificate(self) -> None:
        config = self._uvicorn.config
        try:
            config.load()
        except (OSError, ssl.SSLError) as error:
            raise Permanent(f"the certificate in {config.ssl_certfile} cannot be used: {error}") from error
        if config.ssl is None and not _is_loopback(self._settings.host):
            log.warning("credentials travel in the clear: no tls_certificate", host=self._settings.host)

    def stop(self) -> None:
        """Finish the requests and the work in hand, then return from `run`."""
        self._uvicorn.should_exit = True
        self.service.stopping.set()


def _listener(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise Permanent(f"cannot listen on {host} port {port}: {error.strerror}") from error
