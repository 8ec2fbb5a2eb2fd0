"""All options of the service, each with its meaning beneath it.

Each is read from the environment as `IRONLANE_<NAME>`; the command line overrides a few. Only the wiring (`service`,
`cli`) reads settings; everything else takes arguments.
"""

from __future__ import annotations

import os
import socket
from datetime import timedelta
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ironlane.boot.dhcp_options import BootSettings
from ironlane.model.errors import Permanent
from ironlane.model.inventory import is_secret_name


class Settings(BaseSettings):
    """The service's options. Durations are in seconds."""

    model_config = SettingsConfigDict(env_prefix="IRONLANE_", extra="ignore", frozen=True)

    database_url: str = "sqlite:///ironlane.sqlite"
    """SQLAlchemy URL: `sqlite:///FILE`, `postgresql+asyncpg://…`, `mysql+asyncmy://…`."""

    host: str = "127.0.0.1"
    """Address to listen on. There is no authentication yet, so anything but loopback is refused."""

    port: int = 9797
    """TCP port of all three APIs: `/networking`, `/baremetal`, `/fabric`. 0: any free one."""

    hostname: str = Field(default_factory=socket.gethostname)
    """This conductor's name: on the hash ring, in its lease, and in `openstack baremetal conductor list`."""

    conductor_group: str = ""
    """Nodes of the same `conductor_group` are this conductor's, if the ring says so."""

    cleaning_network: str = "cleaning"
    """Name or UUID of the network that servers are wiped on."""

    provisioning_network: str = "provisioning"
    """Name or UUID of the network that servers are booted and written on. May be the cleaning network."""

    lease_ttl: float = 30.0
    """How long a conductor that stopped without a word keeps what it owns. Heartbeats go out three times as often."""

    scan_interval: float = 1.0
    """How often the tables are searched for due work that no hint told of."""

    switch_timeout: float = 30.0
    """How long one exchange with a switch may take."""

    audit_interval: float = 300.0
    """How often a switch is read without a cause, to find what somebody else changed on its ports."""

    report_timeout: float = 1800.0
    """How long a server that was booted to be cleaned or deployed may take for its report."""

    agent_heartbeat: int = 60
    """How often the ramdisk on a server is told to report."""

    tftp_server: str = "127.0.0.1"
    """TFTP server in the DHCP answers of servers that boot a ramdisk."""

    boot_file: str = "undionly.kpxe"
    """What PXE firmware loads from there; a URL for UEFI HTTP boot."""

    ipxe_script_url: str = ""
    """Where iPXE goes on; empty if `boot_file` is not iPXE."""

    secrets_dir: Path | None = None
    """Directory of files named like the secrets that the site file refers to. `IRONLANE_SECRET_<NAME>` comes first."""

    max_body: int = 1 << 20
    """Largest request body in bytes."""

    @property
    def boot(self) -> BootSettings:
        return BootSettings(self.tftp_server, self.boot_file, self.ipxe_script_url)

    @property
    def ttl(self) -> timedelta:
        return timedelta(seconds=self.lease_ttl)

    def read_secret(self, name: str) -> str:
        """The secret of that name, from the environment or the secrets directory.

        Raises:
            Permanent: there is none, or the name is none that could be.
        """
        if not is_secret_name(name):
            raise Permanent(f"{name!r} is no name of a secret")
        variable = "IRONLANE_SECRET_" + "".join(c if c.isalnum() else "_" for c in name).upper()
        if variable in os.environ:
            return os.environ[variable]
        if self.secrets_dir is not None:
            path = self.secrets_dir / name
            if path.is_file():
                return path.read_text().rstrip("\n")
        raise Permanent(f"secret {name!r} is not there: set {variable}, or put a file of that name into secrets_dir")
