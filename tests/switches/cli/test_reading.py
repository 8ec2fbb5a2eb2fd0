"""Reading an answer block by block: what was read before is remembered, and it makes no difference."""

from __future__ import annotations

import re

from ironlane.model.fabric import PortConfig, PortMode, Vlan
from ironlane.switches.cli import platform as platforms
from ironlane.switches.cli import read

EOS = platforms.load("arista-eos")
SHOWN = """! Command: show running-config
vlan 10,20
!
interface Ethernet1
   description a server
   switchport access vlan 10
!
interface Ethernet2
   switchport mode trunk
   switchport trunk allowed vlan 10
   switchport trunk allowed vlan add 20
!
interface Ethernet3
   shutdown
end
"""
PORTS = ("Ethernet1", "Ethernet2", "Ethernet3")


def seen(answer: str) -> dict[str, PortConfig]:
    return read.observation([answer], PORTS, EOS).ports


def test_a_block_that_changed_is_read_again() -> None:
    before = seen(SHOWN)
    assert before["Ethernet1"] == PortConfig(untagged=Vlan(10), description="a server")
    changed = seen(SHOWN.replace("access vlan 10", "access vlan 20"))
    assert changed == {**before, "Ethernet1": PortConfig(untagged=Vlan(20), description="a server")}
    assert seen(SHOWN) == before


def test_what_is_said_in_two_places_counts_in_their_order() -> None:
    again = "interface Ethernet1\n   switchport access vlan 20\n"
    assert seen(SHOWN + again)["Ethernet1"].untagged == 20
    assert seen(again + SHOWN)["Ethernet1"].untagged == 10


def test_what_is_remembered_is_not_changed_by_who_reads_it() -> None:
    more = "interface Ethernet2\n   switchport trunk allowed vlan add 30\n"
    assert seen(f"vlan 30\n{SHOWN}{more}")["Ethernet2"].tagged == {10, 20, 30}
    assert seen(SHOWN)["Ethernet2"] == PortConfig(PortMode.TRUNK, None, frozenset({Vlan(10), Vlan(20)}))


def test_a_comment_does_not_end_a_block() -> None:
    assert seen(re.sub(r"\n   ", "\n! somebody was here\n   ", SHOWN)) == seen(SHOWN)
