"""IPMI through the `ipmitool` command.

One short-lived child process for each command: about 10 ms of CPU, and no state that one BMC's trouble could leave
behind for the next. pyghmi, the alternative in Python, keeps sessions, sockets and a thread as globals of the process,
so a conversation with it can neither be cancelled nor bounded.

Source: IPMI 2.0 rev. 1.1, chapters 13 (RMCP+) and 28 (chassis commands); key names are the Baremetal API's.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ironlane.model.errors import Invalid, Permanent, Temporary
from ironlane.power.base import BootDevice, BootMode, PowerState
from ironlane.power.driver_info import boolean, choice, host, invalid, number, require, secret, text
from ironlane.power.locks import KeyedLocks
from ironlane.power.waiting import Patience, until_reported

_PRIVILEGES = ("ADMINISTRATOR", "OPERATOR", "USER", "CALLBACK")
_INTERFACES = {"2.0": "lanplus", "1.5": "lan"}
_DEVICES = {BootDevice.PXE: ("pxe", 1), BootDevice.DISK: ("disk", 2)}
"""Boot device → (ipmitool's word, boot device selector of IPMI table 28-14)."""

_MANUFACTURERS = Path(".local/usr/share/misc/enterprise-numbers.txt")
"""Where ipmitool looks, below $HOME, for the names of manufacturers before it takes the system's list. That one has
5 MB and is read at each start, which is five sixths of what a command costs (58 ms of CPU instead of 9)."""

_CREDENTIALS = re.compile(
    r"RAKP 2 HMAC is invalid|unauthorized name|invalid integrity check|invalid user ?name|null user", re.IGNORECASE
)
_PRIVILEGE = re.compile(r"Insufficient privilege|unauthorized role|invalid role|privilege level exceeds", re.IGNORECASE)
_PROTOCOL = re.compile(
    r"is not what we requested|no matching|cipher suite match|invalid \w+ algorithm|Authentication type|"
    r"does not support IPMI v2",
    re.IGNORECASE,
)
_UNREACHABLE = re.compile(r"Unable to establish|Address lookup|Could not open socket|no response", re.IGNORECASE)
_REFUSED = re.compile(r"Invalid command|Invalid data field|not supported|out of range|Illegal", re.IGNORECASE)
_NOISE = re.compile(
    r"^(Loading IANA|Running Get|Discovered|Invalid completion code|Using best|RAW |\s*$|(\s[0-9a-f]{2})+$)"
)


@dataclass(frozen=True)
class _Target:
    address: str
    port: int
    username: str
    password: str = field(repr=False)
    privilege: str
    cipher_suite: int | None
    interface: str

    @property
    def name(self) -> str:
        return f"BMC {self.address} (IPMI, UDP port {self.port})"


class IpmiPower:
    """Drives BMCs that speak IPMI over LAN.

    `timeout` bounds one ipmitool command, in seconds; `concurrency` how many of them run at once (a dead BMC holds one
    place for `timeout`). One BMC gets one command at a time, because many have room for few sessions.
    """

    required = frozenset({"ipmi_address"})
    properties: Mapping[str, str] = {
        "ipmi_address": "IP address or host name of the BMC. Required.",
        "ipmi_port": "UDP port of the BMC, 1–65535. Default 623.",
        "ipmi_username": "User name, at most 16 bytes. Default: the anonymous user.",
        "ipmi_password": "Password, at most 20 bytes (16 with IPMI 1.5).",
        "ipmi_priv_level": f"Privilege level to ask for: {', '.join(_PRIVILEGES)}. Default ADMINISTRATOR.",
        "ipmi_cipher_suite": "Cipher suite ID, 1–17, only with IPMI 2.0. Default: the best that both sides have. "
        "Suite 0 is refused, because it lets anybody in.",
        "ipmi_protocol_version": "'2.0' or '1.5'. Default '2.0'.",
        "ipmi_disable_boot_timeout": "Tell the BMC not to forget a boot device after 60 s. Default true.",
        "ipmi_bridging": "Only 'no': the BMC itself is asked, never one behind it.",
    }

    def __init__(
        self,
        *,
        ipmitool: str = "ipmitool",
        timeout: float = 20.0,
        patience: Patience = Patience(),  # noqa: B008 - frozen
        concurrency: int = 64,
    ) -> None:
        self._ipmitool = ipmitool
        self._timeout = timeout
        self._patience = patience
        self._places = asyncio.Semaphore(concurrency)
        self._one_at_a_time = KeyedLocks()
        self._home: TemporaryDirectory[str] | None = None

    def validate(self, driver_info: Mapping[str, Any]) -> None:
        """Raise `Invalid` naming the key that cannot work."""
        require(driver_info, self.required)
        _target(driver_info)
        _boot_timeout_disabled(driver_info)

    async def get_power(self, driver_info: Mapping[str, Any]) -> PowerState:
        """Get Chassis Status (28.2), bit 0 of the current power state."""
        target = _target(driver_info)
        return await self._power(target)

    async def set_power(self, driver_info: Mapping[str, Any], state: PowerState, timeout: float | None = None) -> None:
        """Chassis Control (28.3) power up or power down, at once and without asking the operating system."""
        if state is PowerState.ERROR:
            raise Invalid("A server can be set to 'power on' or 'power off', not to 'error'")
        target = _target(driver_info)
        if await self._power(target) is state:
            return
        word = "on" if state is PowerState.ON else "off"
        await self._run(target, "chassis", "power", word)
        patience = self._patience.for_client(timeout)
        await until_reported(
            lambda: self._power(target), state, patience, bmc=target.name, asked=f"chassis power {word}"
        )

    async def shut_down(self, driver_info: Mapping[str, Any]) -> None:
        """Chassis Control 5: an emulated fatal over-temperature, which operating systems take for the power button."""
        target = _target(driver_info)
        if await self._power(target) is not PowerState.OFF:
            await self._run(target, "chassis", "power", "soft")

    async def reboot(self, driver_info: Mapping[str, Any], timeout: float | None = None) -> None:
        """Off and on, each read back: `power cycle` would not tell whether the server was ever off."""
        await self.set_power(driver_info, PowerState.OFF, timeout)
        await self.set_power(driver_info, PowerState.ON, timeout)

    async def get_boot_device(self, driver_info: Mapping[str, Any]) -> BootDevice | None:
        """Boot flags (parameter 5 of table 28-14); None when they are not valid or name some other device."""
        flags = await self._boot_flags(_target(driver_info))
        if not flags[0] & 0x80:
            return None
        selector = flags[1] >> 2 & 0x0F
        return next((device for device, (_, code) in _DEVICES.items() if code == selector), None)

    async def set_boot_device(
        self,
        driver_info: Mapping[str, Any],
        device: BootDevice,
        *,
        persistent: bool = False,
        mode: BootMode | None = None,
    ) -> None:
        """Set the boot flags. Without `mode`, Legacy or UEFI boot stays as the BMC reports it."""
        target = _target(driver_info)
        flags = await self._boot_flags(target)
        efi = bool(flags[0] & 0x20) if mode is None else mode is BootMode.UEFI
        options = [word for word, wanted in (("persistent", persistent), ("efiboot", efi)) if wanted]
        if _boot_timeout_disabled(driver_info):
            # Set System Boot Options, parameter 3, bit 3: keep the flags valid when no power command follows within
            # 60 s. Not every BMC has it, and those that have not may keep the flags anyway.
            with suppress(Permanent):
                await self._run(target, "raw", "0x00", "0x08", "0x03", "0x08")
        arguments = [f"options={','.join(options)}"] if options else []
        command = ("chassis", "bootdev", _DEVICES[device][0], *arguments)
        # ipmitool 1.8.19 exits with 0 even when the BMC refuses this one, so only its words count.
        await self._run(target, *command, expected="Set Boot Device to")

    async def close(self) -> None:
        """Remove the directory that children had for a home. They live no longer than the call that started them."""
        if self._home is not None:
            self._home.cleanup()
            self._home = None

    async def _power(self, target: _Target) -> PowerState:
        answer = await self._run(target, "chassis", "power", "status")
        match = re.search(r"Chassis Power is (\w+)", answer)
        words = {"on": PowerState.ON, "off": PowerState.OFF}
        return words.get(match.group(1).lower(), PowerState.ERROR) if match else PowerState.ERROR

    async def _boot_flags(self, target: _Target) -> bytes:
        """Data 1 and 2 of the boot flags, as the BMC sends them."""
        answer = await self._run(target, "raw", "0x00", "0x09", "0x05", "0x00", "0x00")
        try:
            data = bytes.fromhex(answer)
        except ValueError:
            data = b""
        if len(data) < 4:
            raise Temporary(f"{target.name} answers a question for its boot flags with {_shortened(answer)!r}")
        return data[2:4]

    async def _run(self, target: _Target, *command: str, expected: str = "") -> str:
        """Standard output of one ipmitool command, which has failed when `expected` is not in it.

        `command` is only ever made of words in this file.
        """
        async with self._one_at_a_time(f"{target.address}:{target.port}"), self._places:
            code, out, err = await self._spawn(target, command)
        if code != 0 or expected not in out:
            raise _failure(target, " ".join(command), out, err)
        return out

    async def _spawn(self, target: _Target, command: tuple[str, ...]) -> tuple[int, str, str]:
        # The password goes through the environment, which only this user and root can read; argv is for all to see.
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C",
            "HOME": self._make_home(),
            "IPMI_PASSWORD": target.password,
        }
        try:
            child = await asyncio.create_subprocess_exec(
                self._ipmitool,
                *_arguments(target),
                *command,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,  # without a terminal it cannot ask for a password
            )
        except FileNotFoundError as error:
            raise Permanent(f"{self._ipmitool} is not installed on the conductor's host; install it") from error
        except OSError as error:
            raise Temporary(f"{self._ipmitool} cannot be started on the conductor's host: {error}") from error
        try:
            async with asyncio.timeout(self._timeout):
                out, err = await child.communicate()
        except TimeoutError:
            raise Temporary(
                f"{target.name} did not answer '{' '.join(command)}' within {self._timeout:g} s; check its address, "
                "its cable and that IPMI over LAN is enabled"
            ) from None
        finally:
            if child.returncode is None:
                await asyncio.shield(_reap(child))
        return child.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace")

    def _make_home(self) -> str:
        """A home with a list of one manufacturer, because no answer that is read here names any."""
        if self._home is None:
            self._home = TemporaryDirectory(prefix="ironlane-ipmitool-", ignore_cleanup_errors=True)
            numbers = Path(self._home.name) / _MANUFACTURERS
            numbers.parent.mkdir(parents=True)
            numbers.write_text("0\n  Reserved\n    -\n      -\n")
        return self._home.name


async def _reap(child: asyncio.subprocess.Process) -> None:
    """Kill and collect, whatever happens to the caller: no process and no pipe stays behind."""
    with suppress(ProcessLookupError):
        child.kill()
    await child.communicate()


def _arguments(target: _Target) -> list[str]:
    # -v makes ipmitool say why a session failed; without it a wrong password looks like a dead BMC.
    arguments = ["-v", "-I", target.interface, "-H", target.address, "-p", str(target.port), "-L", target.privilege]
    if target.username:
        arguments += ["-U", target.username]
    if target.cipher_suite is not None:
        arguments += ["-C", str(target.cipher_suite)]
    return [*arguments, "-E", "-N", "1", "-R", "4"]


def _failure(target: _Target, command: str, out: str, err: str) -> Permanent | Temporary:
    """Which error a failed ipmitool means, from what it wrote."""
    said = "\n".join(line for line in (err + "\n" + out).splitlines() if not _NOISE.match(line))
    detail = _shortened(said.replace(target.password, "******") if target.password else said)
    if _CREDENTIALS.search(said):
        return Permanent(
            f"{target.name} refuses the credentials of user {target.username!r}: check ipmi_username and "
            f"ipmi_password ({detail})"
        )
    if _PRIVILEGE.search(said):
        return Permanent(
            f"{target.name} does not grant user {target.username!r} the privilege level {target.privilege}: check "
            f"ipmi_priv_level and the user's rights ({detail})"
        )
    if _PROTOCOL.search(said):
        return Permanent(
            f"{target.name} does not offer the protocol version or cipher suite asked for: check "
            f"ipmi_protocol_version and ipmi_cipher_suite ({detail})"
        )
    if _REFUSED.search(said) and not _UNREACHABLE.search(said):
        return Permanent(f"{target.name} refuses '{command}': {detail}")
    return Temporary(f"{target.name} does not carry out '{command}': {detail}")


def _shortened(said: str) -> str:
    line = "; ".join(part.strip() for part in said.splitlines() if part.strip())
    return line if len(line) <= 300 else line[:300] + "…"


def _boot_timeout_disabled(driver_info: Mapping[str, Any]) -> bool:
    value = boolean(driver_info.get("ipmi_disable_boot_timeout", True))
    if value is None:
        raise invalid("ipmi_disable_boot_timeout", "must be true or false")
    return value


def _target(driver_info: Mapping[str, Any]) -> _Target:
    version = choice(driver_info, "ipmi_protocol_version", _INTERFACES, "2.0")
    suite = number(driver_info, "ipmi_cipher_suite", low=1, high=17)
    if suite is not None and version != "2.0":
        raise invalid("ipmi_cipher_suite", "needs ipmi_protocol_version 2.0")
    if driver_info.get("ipmi_bridging") not in (None, "", "no"):
        # Ignoring it would switch the wrong server.
        raise invalid("ipmi_bridging", "is not supported; only 'no' is")
    username = text(driver_info, "ipmi_username")
    if len(username.encode()) > 16:
        raise invalid("ipmi_username", "is longer than the 16 bytes that the protocol has room for")
    if username.startswith("-"):
        raise invalid("ipmi_username", "must not start with a hyphen")
    return _Target(
        address=host(driver_info, "ipmi_address"),
        port=number(driver_info, "ipmi_port", low=1, high=65535, default=623) or 623,
        username=username,
        password=secret(driver_info, "ipmi_password", longest=20 if version == "2.0" else 16),
        privilege=choice(driver_info, "ipmi_priv_level", _PRIVILEGES, "ADMINISTRATOR"),
        cipher_suite=suite,
        interface=_INTERFACES[version],
    )
