"""All options of the service, each with its meaning beneath it.

Each is read from the environment as `IRONLANE_<NAME>`; the command line overrides a few. Only the wiring (`service`,
`cli`) reads settings; everything else takes arguments.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from ironlane.boot.dhcp_options import BootSettings
from ironlane.boot.files import BootFilesSettings
from ironlane.boot.images import CacheSettings
from ironlane.boot.services import BootServicesSettings
from ironlane.model.cabling import CablingCheck, CablingPolicy
from ironlane.model.errors import Permanent
from ironlane.model.inventory import is_secret_name
from ironlane.model.quota import DEFAULT_LIMITS, UNLIMITED, Limits
from ironlane.store.inspection import AddPorts
from ironlane.store.vault import new_key

ENCRYPTION_KEYS = "encryption-keys"
"""Name of the secret that other secrets are kept under."""

_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:-]{0,14}")
_DOMAIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")


class Settings(BaseSettings):
    """The service's options. Durations are in seconds."""

    model_config = SettingsConfigDict(env_prefix="IRONLANE_", extra="ignore", frozen=True)

    database_url: str = "sqlite:///ironlane.sqlite"
    """SQLAlchemy URL: `sqlite:///FILE`, `postgresql+asyncpg://…`, `mariadb+asyncmy://…`; see
    docs/operations.md."""

    host: str = "127.0.0.1"
    """Address to listen on. With `auth_strategy` none everybody is an admin, so anything but loopback is refused."""

    port: int = 9797
    """TCP port of all three APIs: `/networking`, `/baremetal`, `/fabric`. 0: any free one."""

    tls_certificate: Path | None = None
    """File with the certificate (and those between it and its authority) that the APIs are served with over HTTPS.
    None: over HTTP, for a proxy in front that speaks HTTPS."""

    tls_key: Path | None = None
    """File with the certificate's private key; None: it is in the same file."""

    auth_strategy: Literal["none", "http_basic", "keystone"] = "none"
    """Who is served: `none` everybody on this host, as an admin; `http_basic` those in `htpasswd_file`; `keystone`
    those with a token of Keystone. See docs/identity.md; what they may do: docs/policy.md."""

    htpasswd_file: Path = Path("/etc/ironlane/htpasswd")
    """For `http_basic`: a line a user, as `htpasswd -nB NAME` prints it; a change counts at once."""

    keystone_url: str = ""
    """For `keystone`: its address, with the version: `https://keystone.example/v3`."""

    keystone_public_url: str = ""
    """The address that clients are told when they come without a token. Empty: the same."""

    keystone_cafile: Path | None = None
    """File with the certificates that Keystone's is checked against. None: those of the operating system."""

    keystone_username: str = "ironlane"
    """The user that Ironlane validates tokens as; it needs a role that may, such as `service`."""

    keystone_password: str = "keystone-password"  # noqa: S105  # a name, not the password
    """Name of the secret with its password."""

    keystone_user_domain: str = "Default"
    """Name of the domain that it is in."""

    keystone_project: str = "service"
    """Name of the project that it logs in to."""

    keystone_project_domain: str = "Default"
    """Name of the domain that the project is in."""

    keystone_cache: float = Field(default=300.0, ge=0)
    """How long a token that was found valid counts without asking again, and so how late a revoked one is noticed."""

    hostname: str = Field(default_factory=socket.gethostname)
    """This conductor's name: on the hash ring, in its lease, and in `openstack baremetal conductor list`."""

    conductor_group: str = ""
    """Nodes of the same `conductor_group` are this conductor's, if the ring says so."""

    cleaning_network: str = "cleaning"
    """Name or UUID of the network that servers are wiped on."""

    provisioning_network: str = "provisioning"
    """Name or UUID of the network that servers are booted and written on. May be the cleaning network."""

    inspection_network: str = ""
    """Name or UUID of the network that servers are inspected on. Empty: the cleaning network."""

    rescuing_network: str = ""
    """Name or UUID of the network that rescue ramdisks are booted on. Empty: the provisioning network."""

    servicing_network: str = ""
    """Name or UUID of the network that service steps are taken on. Empty: the provisioning network."""

    inspection_add_ports: AddPorts = AddPorts.ALL
    """Which NICs of an inspected server become baremetal ports: `all`, `active` (with an IP address), `pxe` (the one it
    booted over) or `disabled`. Ports that are there already stay."""

    cabling_check: CablingCheck = CablingCheck.BLOCK
    """What becomes of a tenant attach when LLDP says that a NIC is cabled to another switch port than recorded: `block`
    refuses it, `warn` says so on the node and goes on, `off` does not look. A node's `driver_info` may overrule it."""

    cabling_fresh: float = 30 * 86400.0
    """How long what a server heard by LLDP at its inspection counts."""

    lease_ttl: float = 30.0
    """How long a conductor that stopped without a word keeps what it owns. Heartbeats go out three times as often."""

    scan_interval: float = 1.0
    """How often the tables are searched for due work that no hint told of."""

    switch_timeout: float = 30.0
    """How long one exchange with a switch may take."""

    switch_files_dir: Path | None = None
    """Directory of the files that options of switches name: `known_hosts`, `private_key`, `platform_file`, `tls_ca`,
    `tls_certificate`, `tls_key`. None: those options are refused."""

    switch_retry: float = 60.0
    """Longest time between two attempts at a switch that fails. The first comes after 0.5 s, then twice that."""

    audit_interval: float = 300.0
    """How often a switch is read without a cause, to find what somebody else changed on its ports."""

    plan_retention: float = Field(30 * 86400.0, ge=0)
    """How long plans that are done stay on record (`ironlane plan`, `GET /fabric/v1/plans`); 0: for ever. The latest of
    each switch stays, and so does history, which does not need them."""

    report_timeout: float = 1800.0
    """How long a server that was booted to be inspected, cleaned or deployed may take until its agent is heard of."""

    node_attempts: int = 8
    """How often a step of a node is tried, with up to a minute between, while its BMC, its agent or an image server
    does not answer; then the node is failed."""

    agent_silence: float = 300.0
    """How long an agent at work may be silent before the node is failed. Agents are told, and report several times in
    this span."""

    clean_timeout: float = 86400.0
    """How long cleaning may take in all, once the agent is there."""

    deploy_timeout: float = 7200.0
    """How long writing the image may take in all, once the agent is there."""

    service_timeout: float = 86400.0
    """How long service steps may take in all, once the agent is there."""

    automated_clean: bool = True
    """Whether nodes are cleaned before they become available, if they do not say so themselves when they are made."""

    clean_priorities: dict[str, int] = Field(default_factory=dict)
    """Priorities of clean steps other than the agent's own, as JSON: `{"erase_devices": 0}` leaves the slow one out."""

    agent_require_tls: bool = False
    """Agents that do not serve their commands over HTTPS are refused. Without it their token can be read on the network
    that they are on."""

    agent_proxy: str = ""
    """HTTP proxy by which agents are reached, for a conductor that is not on the provisioning networks itself."""

    power_sync_interval: float = 60.0
    """How often each server's BMC is asked for its power state; 0: never."""

    power_sync_force: bool = False
    """A server whose power differs from the record is switched; else the record follows the server."""

    soft_power_timeout: float = 600.0
    """How long an operating system may take to shut down when it is asked to and the client gives no timeout."""

    quota_network: int = Field(DEFAULT_LIMITS["network"], ge=UNLIMITED)
    """Networks that one project may have, unless its own quota says otherwise; -1: as many as it likes."""

    quota_subnet: int = Field(DEFAULT_LIMITS["subnet"], ge=UNLIMITED)
    """Subnets that one project may have; likewise."""

    quota_port: int = Field(DEFAULT_LIMITS["port"], ge=UNLIMITED)
    """Network ports that one project may have; likewise. Those that a conductor makes are no project's."""

    quota_trunk: int = Field(DEFAULT_LIMITS["trunk"], ge=UNLIMITED)
    """Trunks that one project may have; likewise."""

    quota_rbac_policy: int = Field(DEFAULT_LIMITS["rbac_policy"], ge=UNLIMITED)
    """RBAC policies (networks that are shared with others) that one project may have; likewise."""

    tftp_server: str = "127.0.0.1"
    """TFTP server in the DHCP answers of servers that boot a ramdisk."""

    boot_file: str = "undionly.kpxe"
    """What PXE firmware loads from there; a URL for UEFI HTTP boot."""

    ipxe_script_url: str = ""
    """Where iPXE goes on; empty if `boot_file` is not iPXE."""

    dhcp_engine: Literal["", "none", "dnsmasq", "kea"] = ""
    """What answers DHCP: `none`, `dnsmasq`, `kea`. Empty: dnsmasq if there are `dhcp_interfaces`, else none."""

    dhcp_interfaces: str = ""
    """Network interfaces to answer DHCP on, with commas: those on the provisioning networks, and those that a switch's
    DHCP relay sends to."""

    kea_database: str = "kea-database"
    """Name of the secret with the PostgreSQL URL of Kea's hosts and leases: `postgresql://user:password@host/kea`."""

    dhcp_lease: int = Field(default=3600, ge=120)
    """How long an address is leased for."""

    dhcp_domain: str = ""
    """Domain name in the DHCP answers."""

    state_dir: Path = Path("ironlane-state")
    """Directory of what daemons and boot files need on disk; made when it is needed, and private."""

    boot_host: str = ""
    """Address of this host in the provisioning networks: boot files are served there, by HTTP and TFTP, to whoever
    knows a node's secret path. Empty: none are; `tftp_server`, `boot_file`, `ipxe_script_url` say where others do."""

    boot_port: int = 9798
    """TCP port of the boot files; 0: any free one."""

    boot_url: str = ""
    """How servers reach that port, if it is not `http://boot_host:boot_port`."""

    firmware_dir: Path = Path("/usr/lib/ipxe")
    """Where iPXE is: `undionly.kpxe`, `snponly.efi`."""

    deploy_kernel: str = ""
    """URL (http, https, file) of the kernel for nodes whose `driver_info` has no `deploy_kernel`."""

    deploy_kernel_checksum: str = ""
    """Its SHA-256 or SHA-512 in hex."""

    deploy_ramdisk: str = ""
    """URL of the ramdisk that goes with it."""

    deploy_ramdisk_checksum: str = ""
    """Its SHA-256 or SHA-512 in hex."""

    kernel_append_params: str = ""
    """Kernel arguments for nodes whose `driver_info` has no `kernel_append_params`."""

    agent_api_url: str = ""
    """How the ramdisk's agent reaches the Baremetal API: `ipa-api-url` on the kernel's command line."""

    image_service: str = ""
    """Address of an image service (Images API v2), where images are looked up whose `image_source` is an id, as nova
    sends it. No token is shown there, neither by conductors nor by agents, which fetch the images. Empty: none."""

    image_dirs: str = ""
    """Directories, with commas, that `file:` URLs of kernels and ramdisks may name files in."""

    image_cache_mb: int = Field(default=20480, ge=1)
    """How much room fetched kernels and ramdisks may take, in MiB."""

    secrets_dir: Path | None = None
    """Directory of files named like the secrets that the site file refers to. `IRONLANE_SECRET_<NAME>` comes first."""

    @field_validator("dhcp_interfaces")
    @classmethod
    def _interface_names(cls, value: str) -> str:
        for name in filter(None, value.split(",")):
            if not _INTERFACE.fullmatch(name.strip()):
                raise ValueError(f"{name!r} is no name of a network interface")
        return value

    @field_validator("dhcp_domain")
    @classmethod
    def _domain_name(cls, value: str) -> str:
        if value and not _DOMAIN.fullmatch(value):
            raise ValueError(f"{value!r} is no domain name")
        return value

    @model_validator(mode="after")
    def _whole_certificate(self) -> Self:
        if self.tls_key is not None and self.tls_certificate is None:
            raise ValueError("tls_key needs tls_certificate")
        return self

    @property
    def dhcp(self) -> str:
        """The DHCP engine: `none`, `dnsmasq` or `kea`."""
        return self.dhcp_engine or ("dnsmasq" if self.interfaces else "none")

    @property
    def interfaces(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.dhcp_interfaces.split(",") if name.strip())

    @field_validator("boot_host")
    @classmethod
    def _address(cls, value: str) -> str:
        return str(ipaddress.ip_address(value)) if value else value

    @property
    def boot(self) -> BootSettings:
        return BootSettings(self.tftp_server, self.boot_file, self.ipxe_script_url)

    @property
    def boot_services(self) -> BootServicesSettings | None:
        """None: boot files are somebody else's."""
        if not self.boot_host:
            return None
        host = f"[{self.boot_host}]" if ":" in self.boot_host else self.boot_host
        names = ("deploy_kernel", "deploy_kernel_checksum", "deploy_ramdisk", "deploy_ramdisk_checksum")
        state = self.state_dir.absolute()
        return BootServicesSettings(
            host=self.boot_host,
            port=self.boot_port,
            files=BootFilesSettings(
                directory=state / "boot",
                http_url=self.boot_url or f"http://{host}:{self.boot_port}",
                tftp_server=self.boot_host,
                firmware=self.firmware_dir,
                api_url=self.agent_api_url,
                arguments=self.kernel_append_params,
                defaults={name: value for name in names if (value := getattr(self, name))},
                fallback=self.boot,
            ),
            cache=CacheSettings(
                directory=state / "boot" / "images",
                directories=tuple(Path(d.strip()) for d in self.image_dirs.split(",") if d.strip()),
                limit=self.image_cache_mb << 20,
            ),
        )

    @property
    def cabling(self) -> CablingPolicy:
        return CablingPolicy(self.cabling_check, timedelta(seconds=self.cabling_fresh))

    @property
    def limits(self) -> Limits:
        """What a project may have of each kind by default."""
        return {kind: getattr(self, f"quota_{kind}") for kind in DEFAULT_LIMITS}

    @property
    def ttl(self) -> timedelta:
        return timedelta(seconds=self.lease_ttl)

    def encryption_keys(self) -> list[str]:
        """Keys that BMC passwords are encrypted with in the database: the first for writing, all for reading.

        The secret `encryption-keys`, one key a line; all processes on one database need the same. Without it a SQLite
        database gets a key of its own, beside it in `<file>.keys`, readable for this user only.

        Raises:
            Permanent: there is no such secret, and the database is no file of SQLite.
        """
        given = self._find_secret(ENCRYPTION_KEYS)
        if given is not None:
            return given.split()
        try:
            database = make_url(self.database_url)
        except ArgumentError:
            raise Permanent("database_url is no SQLAlchemy URL") from None
        if database.get_backend_name() != "sqlite":
            raise Permanent(
                f"there is no encryption key for the passwords in a database of {database.get_backend_name()}: set"
                f" {_variable(ENCRYPTION_KEYS)}, or put a file {ENCRYPTION_KEYS} into secrets_dir; make a key with"
                " `openssl rand -base64 32 | tr +/ -_`"
            )
        if database.database in (None, "", ":memory:"):
            return [new_key()]
        return _keys_beside(Path(f"{database.database}.keys"))

    def read_secret(self, name: str) -> str:
        """The secret of that name, from the environment or the secrets directory.

        Raises:
            Permanent: there is none, or the name is none that could be.
        """
        if not is_secret_name(name):
            raise Permanent(f"{name!r} is no name of a secret")
        found = self._find_secret(name)
        if found is None:
            raise Permanent(
                f"secret {name!r} is not there: set {_variable(name)}, or put a file of that name into secrets_dir"
            )
        return found

    def _find_secret(self, name: str) -> str | None:
        if _variable(name) in os.environ:
            return os.environ[_variable(name)]
        if self.secrets_dir is not None:
            path = self.secrets_dir / name
            if path.is_file():
                return path.read_text().rstrip("\n")
        return None


def _variable(secret: str) -> str:
    """The environment variable that a secret is read from."""
    return "IRONLANE_SECRET_" + "".join(c if c.isalnum() else "_" for c in secret).upper()


def _keys_beside(path: Path) -> list[str]:
    """The keys in a file, which is made with a new one when it is not there."""
    try:
        if not path.exists():
            # Whole under another name first: of two processes that start at once, both get the key of the first.
            with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f"{path.name}.") as made:  # mode 0600
                made.write(f"{new_key()}\n")
                made.flush()
                os.fsync(made.fileno())
                with contextlib.suppress(FileExistsError):
                    os.link(made.name, path)
        return path.read_text().split()
    except OSError as error:
        raise Permanent(f"the encryption keys in {path} cannot be read or made: {error.strerror}") from error
