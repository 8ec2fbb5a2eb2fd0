"""The lab's command lines by themselves: what they take, what they refuse, and how it looks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import asyncssh
import pytest

from ironlane.lab.cli import PLATFORMS, CliSwitch
from ironlane.lab.cli.device import Shell
from ironlane.lab.forwarding import LagMembership, PortForwarding

KEY = asyncssh.generate_private_key("ssh-ed25519")
NAMES = {
    "arista-eos": "Ethernet{}",
    "aruba-aoscx": "1/1/{}",
    "cisco-iosxe": "GigabitEthernet1/0/{}",
    "cisco-nxos": "Ethernet1/{}",
    "dell-os10": "ethernet1/1/{}",
    "juniper-junos": "xe-0/0/{}",
    "nvidia-cumulus": "swp{}",
    "sonic": "Ethernet{}",
}


class Terminal:
    """A shell on a device, without a network."""

    def __init__(self, platform: str) -> None:
        self.forwarding: Mapping[str, PortForwarding] = {}
        ports = [NAMES[platform].format(number) for number in range(1, 4)]
        self.device = PLATFORMS[platform]("leaf-1", ports, self.tell)
        self.device.tell()
        self.shell: Shell = self.device.login()

    def tell(self, forwarding: Mapping[str, PortForwarding]) -> None:
        self.forwarding = forwarding

    def type(self, *lines: str) -> str:
        """The answer to the last line."""
        answer = ""
        for line in lines:
            answer = self.shell.execute(line)
        return answer


START = {
    "arista-eos": ("configure session s1", "vlan 10,20"),
    "aruba-aoscx": ("configure terminal", "vlan 10,20"),
    "cisco-iosxe": ("configure terminal", "vlan 10,20"),
    "cisco-nxos": ("configure terminal", "vlan 10,20"),
    "dell-os10": ("start transaction", "configure terminal", "interface vlan10", "interface vlan20"),
    "juniper-junos": ("configure exclusive", "set vlans v10 vlan-id 10", "set vlans v20 vlan-id 20"),
    "nvidia-cumulus": ("nv set bridge domain br_default vlan 10,20",),
    "sonic": ("sudo config vlan add 10", "sudo config vlan add 20"),
}
IF = "interface "

REFUSALS = [
    ("arista-eos", ("swichport",), "% Invalid input"),
    ("arista-eos", (IF + "Ethernet99",), "% Invalid input"),
    ("arista-eos", (IF + "Ethernet1", "switchport access vlan 4095"), "% Invalid input"),
    ("arista-eos", (IF + "Ethernet1", "port-channel min-links 2"), "% Invalid input"),
    (
        "arista-eos",
        (IF + "Ethernet1", "channel-group 1 mode active", IF + "Ethernet2", "channel-group 1 mode on"),
        "Cannot change mode; remove all members",
    ),
    ("arista-eos", (IF + "Ethernet1", "mlag 5"), "% Invalid input"),
    ("arista-eos", ("mlag 5",), "% Invalid input"),
    (
        "arista-eos",
        (IF + "Port-Channel1", "mlag 5", IF + "Port-Channel2", "mlag 5"),
        "mlag 5 is in use by Port-Channel1",
    ),
    ("cisco-nxos", (IF + "Ethernet1/1", "vpc 5"), "% Invalid command"),
    (
        "cisco-nxos",
        (IF + "port-channel1", "vpc 5", IF + "port-channel2", "vpc 5"),
        "vPC 5 is already used by port-channel1",
    ),
    ("cisco-nxos", (IF + "port-channel1", "vpc 5", "vpc 6"), "in another vPC"),
    ("dell-os10", (IF + "ethernet1/1/1", "vlt-port-channel 5"), "Unrecognized command"),
    ("dell-os10", (IF + "port-channel1", "vlt-port-channel 5", "vlt-port-channel 6"), "another VLT port-channel ID"),
    ("aruba-aoscx", (IF + "lag 7", IF + "lag 7 multi-chassis"), "exists and is not multi-chassis"),
    ("aruba-aoscx", (IF + "lag 7 multi-chassis", IF + "lag 7 multi-chassis static"), "mode of lag 7 cannot be changed"),
    (
        "nvidia-cumulus",
        ("nv set interface bond1 bond mlag id 5", "nv set interface bond2 bond mlag id 5", "nv config apply -y"),
        "mlag id 5 is used by more than one bond",
    ),
    ("nvidia-cumulus", ("nv set interface swp1 bond mlag id 5",), "Error: Invalid"),
    ("sonic", ("sudo config mclag member add 1 PortChannel9",), "PortChannel9 is invalid!"),
    (
        "sonic",
        ("sudo config portchannel add PortChannel1", "sudo config mclag member add 2 PortChannel1"),
        "MCLAG Domain 2 not configured",
    ),
    (
        "sonic",
        (
            "sudo config portchannel add PortChannel1",
            "sudo config mclag member add 1 PortChannel1",
            "sudo config portchannel del PortChannel1",
        ),
        "remove it from the domain first",
    ),
    ("cisco-nxos", (IF + "Ethernet1/1", "frobnicate"), "% Invalid command at '^' marker"),
    ("cisco-nxos", ("vlan 3970",), "reserved"),
    (
        "cisco-nxos",
        (IF + "port-channel5", "switchport mode trunk", IF + "Ethernet1/1", "channel-group 5 mode active"),
        "port not compatible",
    ),
    (
        "cisco-nxos",
        (IF + "Ethernet1/1", "channel-group 5 mode active", "switchport access vlan 10"),
        "member of port-channel5",
    ),
    ("cisco-nxos", (IF + "port-channel5", "no lacp suspend-individual"), "that is admin up"),
    ("cisco-iosxe", (IF + "GigabitEthernet1/0/9",), "% Invalid input detected at '^' marker"),
    ("cisco-iosxe", ("vlan 1003",), "Command rejected"),
    (
        "cisco-iosxe",
        (
            IF + "GigabitEthernet1/0/1",
            "channel-group 1 mode on",
            IF + "GigabitEthernet1/0/2",
            "channel-group 1 mode active",
        ),
        "Command rejected",
    ),
    ("dell-os10", (IF + "ethernet1/1/1", "switchport access vlan 99"), "VLAN 99 does not exist"),
    ("dell-os10", (IF + "ethernet1/1/1", "channel-group 1 mode active"), "in switchport mode"),
    (
        "dell-os10",
        (
            IF + "port-channel1",
            IF + "ethernet1/1/1",
            "no switchport",
            "channel-group 1 mode active",
            "switchport mode access",
        ),
        "not allowed on a port-channel member",
    ),
    ("dell-os10", (IF + "ethernet1/1/1", "switchport trunk allowed vlan 10"), "not in trunk mode"),
    ("aruba-aoscx", (IF + "1/1/1", "vlan access 99"), "VLAN 99 does not exist"),
    ("aruba-aoscx", (IF + "1/1/1", "lag 7"), "LAG 7 does not exist"),
    ("aruba-aoscx", (IF + "lag 7", IF + "1/1/1", "lag 7", "vlan access 10"), "part of a LAG"),
    ("aruba-aoscx", (IF + "1/1/1", "routing", "vlan access 10"), "routed interface"),
    ("juniper-junos", ("set interfaces xe-0/0/1 unit 0 family ether-switching",), "syntax error"),
    ("juniper-junos", ("set vlans v10b vlan-id 10", "commit"), "check-out failed"),
    (
        "juniper-junos",
        ("set interfaces xe-0/0/1 unit 0 family ethernet-switching vlan members 99", "commit"),
        "vlan 99 is not defined",
    ),
    ("juniper-junos", ("set interfaces xe-0/0/1 ether-options 802.3ad ae1", "commit"), "ae1 is not configured"),
    ("juniper-junos", ("delete interfaces xe-0/0/1 disable",), "statement not found"),
    ("nvidia-cumulus", ("nv set interface swp1 bridge domain br_default acces 10",), "Error: Invalid"),
    ("nvidia-cumulus", ("nv set interface swp99 link state up", "nv config apply -y"), "not a physical interface"),
    (
        "nvidia-cumulus",
        ("nv set interface swp1 bridge domain br_default access 99", "nv config apply -y"),
        "VLAN 99 is not in bridge domain",
    ),
    (
        "nvidia-cumulus",
        (
            "nv set interface bond1 bond member swp1",
            "nv set interface bond2 bond member swp1",
            "nv config apply -y",
        ),
        "already a member of bond1",
    ),
    ("sonic", ("config vlan add 30",), "Root privileges"),
    ("sonic", ("sudo config vlan add 1",), "Error: Vlan1 is default VLAN"),
    ("sonic", ("sudo config vlan add 10",), "Error: Vlan10 already exists."),
    ("sonic", ("sudo config vlan member add -u 99 Ethernet1",), "Vlan99 does not exist"),
    ("sonic", ("sudo config vlan member add -u 10 Ethernet1",), "is in routed mode!"),
    (
        "sonic",
        ("sudo config switchport mode access Ethernet1", "sudo config vlan member add 10 Ethernet1"),
        "is in access mode! Tagged Members cannot be added",
    ),
    (
        "sonic",
        (
            "sudo config portchannel add PortChannel1",
            "sudo config switchport mode access Ethernet1",
            "sudo config vlan member add -u 10 Ethernet1",
            "sudo config portchannel member add PortChannel1 Ethernet1",
        ),
        "configured as VLAN_MEMBER",
    ),
    (
        "sonic",
        (
            "sudo config portchannel add PortChannel1",
            "sudo config portchannel member add PortChannel1 Ethernet1",
            "sudo config portchannel del PortChannel1",
        ),
        "contains members",
    ),
]


@pytest.mark.parametrize(("platform", "lines", "said"), REFUSALS, ids=lambda value: str(value)[:30])
def test_what_the_real_one_refuses_is_refused(platform: str, lines: tuple[str, ...], said: str) -> None:
    assert said in Terminal(platform).type(*START[platform], *lines)


ACCESS = {
    "arista-eos": (IF + "Ethernet1", "switchport access vlan 10", "commit"),
    "aruba-aoscx": (IF + "1/1/1", "no shutdown", "vlan access 10"),
    "cisco-iosxe": (IF + "GigabitEthernet1/0/1", "switchport access vlan 10"),
    "cisco-nxos": (IF + "Ethernet1/1", "switchport access vlan 10"),
    "dell-os10": (IF + "ethernet1/1/1", "switchport access vlan 10", "end", "commit"),
    "juniper-junos": ("set interfaces xe-0/0/1 unit 0 family ethernet-switching vlan members v10", "commit"),
    "nvidia-cumulus": ("nv set interface swp1 bridge domain br_default access 10", "nv config apply -y"),
    "sonic": ("sudo config switchport mode access Ethernet1", "sudo config vlan member add -u 10 Ethernet1"),
}


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
def test_a_port_is_put_on_a_vlan(platform: str) -> None:
    terminal = Terminal(platform)
    terminal.type(*START[platform], *ACCESS[platform])
    assert next(iter(terminal.forwarding.values())) == PortForwarding(True, 10)


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
def test_every_device_starts_up_without_any_of_our_vlans(platform: str) -> None:
    assert all(port.vlans <= {1} for port in Terminal(platform).forwarding.values())


def test_a_catalyst_makes_the_vlan_that_an_access_port_is_put_on() -> None:
    terminal = Terminal("cisco-iosxe")
    said = terminal.type("configure terminal", IF + "GigabitEthernet1/0/1", "switchport access vlan 77")
    assert said == "% Access VLAN does not exist. Creating vlan 77\n"
    assert terminal.forwarding["GigabitEthernet1/0/1"].pvid == 77


def test_a_catalyst_suspends_a_member_that_does_not_match() -> None:
    terminal = Terminal("cisco-iosxe")
    terminal.type("configure terminal", "vlan 10", IF + "Port-channel1", "switchport access vlan 10")
    terminal.type(IF + "GigabitEthernet1/0/1", "channel-group 1 mode active")
    assert not terminal.forwarding["GigabitEthernet1/0/1"].enabled
    terminal.type(IF + "GigabitEthernet1/0/1", "switchport access vlan 10")
    joined = PortForwarding(True, 10, lag=LagMembership(1, True))
    assert terminal.forwarding["GigabitEthernet1/0/1"] == joined
    terminal.type(IF + "Port-channel1", "switchport access vlan 20")
    assert terminal.forwarding["GigabitEthernet1/0/1"] == replace(joined, pvid=20), "members follow their LAG"


def test_eos_sessions_are_few_and_outlive_the_login() -> None:
    terminal = Terminal("arista-eos")
    for number in range(5):
        assert terminal.device.login().execute(f"configure session s{number}") == ""
    assert "Maximum number of pending sessions" in terminal.type("configure session s5")
    assert terminal.type("no configure session s0", "configure session s5") == ""
    assert terminal.shell.prompt == "leaf-1(config-s-s5)#"


async def test_over_ssh_with_echo_prompt_and_counters() -> None:
    switch = CliSwitch("arista-eos", ["Ethernet1"], lambda _: None, host_key=KEY)
    await switch.start()
    async with asyncssh.connect(
        "127.0.0.1", switch.port, username="admin", password="admin", known_hosts=None, config=None
    ) as connection:
        process = await connection.create_process(term_type="vt100")
        process.stdin.write("terminal length 0\nshow running-config\nexit\n")
        text = await process.stdout.read()
    assert "leaf-1#terminal length 0\r\nleaf-1#show running-config\r\n" in text
    assert "interface Ethernet1\r\n!\r\n" in text
    assert (switch.sessions, switch.commands) == (1, 3)
    with pytest.raises(asyncssh.PermissionDenied):
        await asyncssh.connect(
            "127.0.0.1", switch.port, username="admin", password="wrong", known_hosts=None, config=None
        )
    await switch.stop()


async def test_hundreds_in_one_process_are_cheap() -> None:
    started = time.process_time()
    switches = [CliSwitch("cisco-nxos", ["Ethernet1/1"], lambda _: None, host_key=KEY) for _ in range(200)]
    for switch in switches:
        await switch.start()
    for switch in switches:
        await switch.stop()
    assert time.process_time() - started < 5
