"""iPXE scripts, to the letter."""

from __future__ import annotations

from pathlib import Path

import pytest

from ironlane.boot.script import BootScript, agent_arguments, arguments
from ironlane.model.errors import Invalid

GOLDEN = Path(__file__).parent / "golden"
BASE = "http://192.0.2.2:9798/tokentokentoken"


def test_the_agents_script() -> None:
    extra = (
        *arguments("console=ttyS0,115200 nofb", where="x"),
        *agent_arguments("http://192.0.2.2:9797/baremetal", ""),
    )
    script = BootScript("server-1", f"{BASE}/kernel", f"{BASE}/ramdisk", extra)
    assert script.text() == (GOLDEN / "agent.ipxe").read_text()


def test_inspection_says_where_to_send_the_inventory_and_nothing_says_a_token() -> None:
    told = agent_arguments("http://192.0.2.2:9797/baremetal", "inspection")
    assert "ipa-inspection-callback-url=http://192.0.2.2:9797/baremetal/v1/continue_inspection" in told
    assert not any("token" in word for word in told)


def test_a_name_cannot_add_lines() -> None:
    text = BootScript("x\nshell || ${evil}", "k", "r").text()
    assert "shell" not in [line.split()[0] for line in text.splitlines() if line]
    assert "evil}" not in text


@pytest.mark.parametrize("given", ["a\nshell", "a || shell", "a && shell", "a ; shell", "ü"])
def test_arguments_that_are_none(given: str) -> None:
    with pytest.raises(Invalid) as refused:
        arguments(given, where="driver_info.kernel_append_params")
    assert refused.value.field == "driver_info.kernel_append_params"
