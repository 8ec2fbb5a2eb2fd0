"""The iPXE script of one node: a pure function of what it is to boot. Source: ipxe.org/cmd, ipxe.org/scripting."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ironlane.model.errors import Invalid

_PRINTABLE = re.compile(r"[ -~]*")
_OPERATORS = frozenset({"&&", "||", ";"})


@dataclass(frozen=True, slots=True)
class BootScript:
    """`kernel` and `ramdisk` are URLs; `arguments` the kernel's command line, without what iPXE itself adds."""

    title: str
    kernel: str
    ramdisk: str
    arguments: tuple[str, ...] = ()

    def text(self) -> str:
        """The script. It begins again when a download fails: nobody stands beside the server to press a key."""
        title = "".join(c if c.isalnum() or c in " ._-" else "?" for c in self.title)[:80]
        line = " ".join([*self.arguments, "BOOTIF=01-${mac:hexhyp}", "initrd=ramdisk"])
        return "\n".join(
            [
                "#!ipxe",
                f"echo Ironlane boots {title}",
                "set attempt:int32 0",
                ":boot",
                "imgfree",
                f"kernel --name kernel --timeout 60000 {self.kernel} {line} || goto again",
                f"initrd --name ramdisk --timeout 60000 {self.ramdisk} || goto again",
                "boot || goto again",
                ":again",
                "inc attempt",
                "iseq ${attempt} 10 && reboot ||",
                "echo It did not work; once more in 3 seconds",
                "sleep 3",
                "goto boot",
                "",
            ]
        )


def arguments(text: str, *, where: str) -> tuple[str, ...]:
    """The words of a kernel command line that an operator wrote.

    Raises:
        Invalid: a line end, or a word that iPXE would take as its own.
    """
    if not _PRINTABLE.fullmatch(text):
        raise Invalid("has a line end or another character in it that is no part of a command line", field=where)
    words = text.split()
    wrong = next((word for word in words if word in _OPERATORS), None)
    if wrong:
        raise Invalid(f"has {wrong!r} in it, which iPXE would not pass on", field=where)
    return tuple(words)


def agent_arguments(api_url: str, purpose: str) -> Sequence[str]:
    """What the agent in the ramdisk is told: where to report. Its token it gets there; never here, where anybody on
    the network could read it. Source: ironic-python-agent, "Kernel parameters"."""
    if not api_url:
        return ()
    told = [f"ipa-api-url={api_url}"]
    if purpose == "inspection":
        told += [f"ipa-inspection-callback-url={api_url}/v1/continue_inspection", "ipa-collect-lldp=1"]
    return told
