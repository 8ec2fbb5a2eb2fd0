"""The commands of the deploy ramdisk's agent, on a virtual disk.

Source: ironic-python-agent, extensions `clean`, `deploy`, `image` and `standby`, `extensions/base.py`, `errors.py`.
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp

VERSION = {"generic_hardware_manager": "1.2"}
"""Of the hardware managers in the ramdisk; steps that were listed by another version are refused."""


class Disk(Protocol):
    """What the agent wipes and writes."""

    disk_image: str | None


class CommandError(Exception):
    """A command cannot be carried out: `{type, code, message, details}` as the agent tells it."""

    def __init__(self, kind: str, code: int, message: str, details: str) -> None:
        super().__init__(details)
        self.body = {"type": kind, "code": code, "message": message, "details": details}
        self.code = code


@dataclass(slots=True)
class Command:
    """A command that was given, and what became of it."""

    name: str
    params: Mapping[str, Any]
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "RUNNING"
    result: Any = None
    error: Mapping[str, Any] | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def body(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "command_name": self.name,
            "command_params": dict(self.params),
            "command_status": self.status,
            "command_error": self.error,
            "command_result": self.result,
        }


@dataclass(slots=True)
class AgentCommands:
    """Carries out what the conductor orders, one command at a time.

    `fetch` answers the content of a URL, through the wire. `work` is how long a step takes, in seconds. `finished` is
    called after each asynchronous command; `power_off` shuts the server down.
    """

    disk: Disk
    fetch: Callable[[str], Awaitable[bytes]]
    work: float
    finished: Callable[[], None]
    power_off: Callable[[], None]
    rescued: Callable[[str], None] = lambda _password: None
    """Called with the rescue user's password, hashed, when it is to be let in; the agent ends itself then."""
    version: Mapping[str, str] = field(default_factory=lambda: dict(VERSION))
    broken: set[str] = field(default_factory=set)
    """Names of commands and of clean steps that fail, for tests."""
    given: list[Command] = field(default_factory=list)
    _running: set[asyncio.Task[None]] = field(default_factory=set)

    async def execute(self, name: str, params: Mapping[str, Any]) -> Command:
        """Begin a command; a synchronous one is over when this returns.

        Raises:
            CommandError: unknown, malformed, or the agent is busy with another one.
        """
        if self.given and self.given[-1].status == "RUNNING":
            raise CommandError("AgentIsBusy", 409, "Agent is busy", f"executing command {self.given[-1].name}")
        extension, _, short = name.partition(".")
        synchronous, asynchronous = self._synchronous(), self._asynchronous()
        command = Command(short, params)
        if name in synchronous:
            try:
                command.result, command.status = synchronous[name](params), "SUCCEEDED"
            except CommandError as error:
                command.error, command.status = error.body, "FAILED"
            command.over.set()
        elif name in asynchronous:
            task = asyncio.get_running_loop().create_task(self._carry_out(command, asynchronous[name]))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        else:
            raise CommandError(
                "RequestedObjectNotFoundError", 404, "Not found", f"Extension with id {extension} not found."
            )
        self.given.append(command)
        return command

    def stop(self) -> None:
        """The power goes off."""
        for task in self._running:
            task.cancel()

    async def _carry_out(self, command: Command, work: Callable[[Mapping[str, Any]], Awaitable[Any]]) -> None:
        try:
            await asyncio.sleep(self.work)
            if command.name in self.broken:
                raise CommandError("CommandExecutionError", 500, "Command execution failed", "the disk is on fire")
            command.result = await work(command.params)
            command.status = "SUCCEEDED"
        except CommandError as error:
            mismatch = error.body["type"] == "VersionMismatch"
            command.status = "CLEAN_VERSION_MISMATCH" if mismatch else "FAILED"
            command.error = error.body
        finally:
            command.over.set()
            self.finished()

    def _synchronous(self) -> Mapping[str, Callable[[Mapping[str, Any]], Any]]:
        return {
            "clean.get_clean_steps": lambda _params: self._listed("clean", _CLEAN_STEPS),
            "deploy.get_deploy_steps": lambda _params: self._listed("deploy", _DEPLOY_STEPS),
            "standby.get_partition_uuids": lambda _params: {"partitions": {}, "root uuid": "0x2a2a2a2a"},
            "service.get_service_steps": lambda _params: self._listed("service", _SERVICE_STEPS),
            "standby.sync": lambda _params: None,
            "rescue.finalize_rescue": self._finalize_rescue,
        }

    def _asynchronous(self) -> Mapping[str, Callable[[Mapping[str, Any]], Awaitable[Any]]]:
        return {
            "clean.execute_clean_step": self._clean_step,
            "deploy.execute_deploy_step": self._deploy_step,
            "service.execute_service_step": self._service_step,
            "standby.prepare_image": self._prepare_image,
            "image.install_bootloader": self._install_bootloader,
            "standby.power_off": self._power_off,
        }

    def _listed(self, kind: str, steps: list[dict[str, Any]]) -> dict[str, Any]:
        return {f"{kind}_steps": {"GenericHardwareManager": steps}, "hardware_manager_version": dict(self.version)}

    def _require_version(self, asked: Any) -> None:
        if asked is not None and asked != self.version:
            raise CommandError(
                "VersionMismatch",
                409,
                "Hardware managers version mismatch, reload agent with correct version",
                f"Current versions: {self.version}, versions used by ironic: {asked}",
            )

    async def _clean_step(self, params: Mapping[str, Any]) -> dict[str, Any]:
        self._require_version(params.get("clean_version"))
        step = params["step"]
        if step["step"] in self.broken or step["step"] not in {known["step"] for known in _CLEAN_STEPS}:
            details = f"Error performing clean_step {step['step']}: the disk is on fire"
            raise CommandError("CleaningError", 500, "Clean step failed", details)
        if step["step"].startswith("erase_devices"):
            self.disk.disk_image = None
        return {"clean_result": None, "clean_step": step}

    async def _deploy_step(self, params: Mapping[str, Any]) -> dict[str, Any]:
        self._require_version(params.get("deploy_version"))
        step = params["step"]
        result = await self._write(step["args"]["image_info"]) if step["step"] == "write_image" else None
        return {"deploy_result": result, "deploy_step": step}

    async def _service_step(self, params: Mapping[str, Any]) -> dict[str, Any]:
        self._require_version(params.get("service_version"))
        step = params["step"]
        if step["step"] in self.broken:
            details = f"Error performing service_step {step['step']}: the disk is on fire"
            raise CommandError("ServicingError", 500, "Service step failed", details)
        return {"service_result": None, "service_step": step}

    def _finalize_rescue(self, params: Mapping[str, Any]) -> None:
        password = params.get("rescue_password")
        if not password or params.get("hashed") is not True or "finalize_rescue" in self.broken:
            raise CommandError("CommandExecutionError", 500, "Command execution failed", "no hashed password was given")
        self.rescued(password)

    async def _prepare_image(self, params: Mapping[str, Any]) -> dict[str, str]:
        return {"result": await self._write(params["image_info"])}

    async def _write(self, info: Mapping[str, Any]) -> str:
        url = info["urls"][0]
        try:
            content = await self.fetch(url)
        except (aiohttp.ClientError, OSError) as error:
            details = f"Download of image {info['id']} failed: {error!r}"
            raise CommandError("ImageDownloadError", 500, "Error downloading image", details) from None
        algorithm, wanted = _checksum(info)
        found = hashlib.new(algorithm, content).hexdigest()
        if found != wanted:
            details = (
                f"Image failed to verify against checksum. location: {url}; image ID: {info['id']}; image checksum:"
                f" {wanted}; verification checksum: {found}"
            )
            raise CommandError("ImageChecksumError", 500, "Error verifying image checksum", details)
        self.disk.disk_image = url
        return f"prepare_image: image ({info['id']}) written to device /dev/sda root_uuid=0x2a2a2a2a"

    async def _install_bootloader(self, params: Mapping[str, Any]) -> None:
        if params["target_boot_mode"] not in {"uefi", "bios"} or self.disk.disk_image is None:
            raise CommandError("CommandExecutionError", 500, "Command execution failed", "there is nothing to boot")

    async def _power_off(self, _params: Mapping[str, Any]) -> None:
        self.power_off()


def _checksum(info: Mapping[str, Any]) -> tuple[str, str]:
    """Algorithm and digest that an image is to have. A `checksum` by itself tells its algorithm by its length."""
    if "os_hash_algo" in info:
        return info["os_hash_algo"], info["os_hash_value"]
    return {64: "sha256", 128: "sha512"}[len(info["checksum"])], info["checksum"]


def _step(name: str, priority: int, **more: Any) -> dict[str, Any]:
    return {"step": name, "priority": priority, "interface": "deploy", "reboot_requested": False, **more}


_CLEAN_STEPS = [
    _step("erase_devices", 10, abortable=True),
    _step("erase_devices_metadata", 99, abortable=True),
    _step("burnin_cpu", 0),
    _step("update_firmware", 0, reboot_requested=True),
]
_SERVICE_STEPS = [_step("burnin_cpu", 0), _step("update_firmware", 0, reboot_requested=True)]
_DEPLOY_STEPS = [_step("erase_devices_metadata", 0), _step("inject_files", 0), _step("write_image", 0)]
