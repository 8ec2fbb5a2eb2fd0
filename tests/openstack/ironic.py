"""A real Ironic, API and conductor in one process on SQLite, with Ironlane as its Neutron."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import environments
from bench.fabric.peer import listening
from ironlane.cli.virtual import BOOT_FILE


def environment() -> Path:
    """The virtual environment with Ironic, and in it an empty database.

    Raises:
        Unavailable: the packages cannot be installed.
    """
    made = environments.environment("ironic", "openstack-ironic.lock")
    with environments.alone(made.with_suffix(".database")):
        empty = _empty_database(made)
        if not empty.exists():
            config, building = made / "schema.conf", made / "building.sqlite"
            building.unlink(missing_ok=True)
            config.write_text(f"[database]\nconnection = sqlite:///{building}\n")
            environments.run(made / "bin/ironic-dbsync", "--config-file", config, "create_schema")
            building.rename(empty)
    return made


def _empty_database(made: Path) -> Path:
    return made / "empty.sqlite"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What Ironic shows to Ironlane's Networking API by HTTP Basic authentication."""

    username: str
    password: str


@dataclass(frozen=True, slots=True)
class Site:
    """What an Ironic is told of the site: where Ironlane is, how agents are reached and booted, and the networks (names
    or UUIDs). `manage_agent_boot`: whether it boots its agents itself."""

    ironlane: str
    proxy: str
    tftp: str
    cleaning: str
    provisioning: str
    rescuing: str
    manage_agent_boot: bool = True
    credentials: Credentials | None = None

    @property
    def authentication(self) -> str:
        if self.credentials is None:
            return "auth_type = none"
        return f"auth_type = http_basic\nusername = {self.credentials.username}\npassword = {self.credentials.password}"


@asynccontextmanager
async def running(made: Path, folder: Path, port: int, site: Site) -> AsyncIterator[str]:
    """Its URL."""
    database = folder / "ironic.sqlite"
    await asyncio.to_thread(shutil.copy, _empty_database(made), database)
    for name in ("tftp", "http", "images", "masters", "certificates"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "ironic.conf").write_text(configuration(folder, database, port, site))
    with (folder / "ironic.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            str(made / "bin/ironic"),
            *("--config-file", "ironic.conf"),
            env={**os.environ, "HTTPS_PROXY": site.proxy, "NO_PROXY": "127.0.0.1"},
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        await listening(socket.AF_INET, ("127.0.0.1", port), process)
        yield f"http://127.0.0.1:{port}"
    finally:
        await _kill(process)


async def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def configuration(folder: Path, database: Path, port: int, site: Site) -> str:
    return f"""[DEFAULT]
host = conductor
auth_strategy = noauth
rpc_transport = none
my_ip = 127.0.0.1
state_path = {folder}
log_file = {folder}/ironic-service.log
enabled_hardware_types = fake-hardware,redfish
enabled_bios_interfaces = no-bios
enabled_boot_interfaces = fake,pxe
enabled_console_interfaces = no-console
enabled_deploy_interfaces = direct,custom-agent
enabled_firmware_interfaces = no-firmware
enabled_inspect_interfaces = no-inspect
enabled_management_interfaces = fake,redfish
enabled_network_interfaces = neutron,noop
enabled_power_interfaces = fake,redfish
enabled_raid_interfaces = no-raid
enabled_rescue_interfaces = agent,no-rescue
enabled_storage_interfaces = noop
enabled_vendor_interfaces = no-vendor
[database]
connection = sqlite:///{database}
[api]
host_ip = 127.0.0.1
port = {port}
api_workers = 1
[service_catalog]
auth_type = none
endpoint_override = http://127.0.0.1:{port}
[neutron]
{site.authentication}
endpoint_override = {site.ironlane}/networking
cleaning_network = {site.cleaning}
provisioning_network = {site.provisioning}
rescuing_network = {site.rescuing}
[dhcp]
dhcp_provider = neutron
[conductor]
automated_clean = true
sync_power_state_interval = 0
file_url_allowed_paths = {folder}/images
[pxe]
tftp_server = {site.tftp}
tftp_root = {folder}/tftp
tftp_master_path = {folder}/masters
pxe_bootfile_name = {BOOT_FILE}
uefi_pxe_bootfile_name = {BOOT_FILE}
images_path = {folder}/images
instance_master_path = {folder}/masters
[deploy]
http_root = {folder}/http
http_url = http://127.0.0.1:{port}
[agent]
manage_agent_boot = {str(site.manage_agent_boot).lower()}
post_deploy_get_power_state_retries = 2
post_deploy_get_power_state_retry_interval = 1
certificates_path = {folder}/certificates
image_download_source = http
command_wait_interval = 1
neutron_agent_status_retry_interval = 1
"""
