"""What the dialects show of their LLDP neighbours, and the line that asks for it. Written from the vendors' manuals."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ironlane.lab.frames import Lldp, mac_text

Heard = Mapping[str, Lldp]


def _dotted(mac: bytes) -> str:
    digits = mac.hex()
    return ".".join(digits[i : i + 4] for i in (0, 4, 8))


def _port(heard: Lldp) -> str:
    """The port id with a MAC address as Cisco and Arista write it."""
    return _dotted(heard.port_mac) if heard.port_mac else heard.port


def _eos(heard: Heard) -> str:
    text = ""
    for port, neighbour in heard.items():
        quoted = _port(neighbour) if neighbour.port_mac else f'"{neighbour.port}"'
        subtype = "MAC address(3)" if neighbour.port_mac else "Interface name (5)"
        text += (
            f"Interface {port} detected 1 LLDP neighbors:\n\n"
            f"  Neighbor {_dotted(neighbour.chassis)}/{quoted}, age 7 seconds\n"
            "  Discovered 0:01:11 ago; Last changed 0:01:11 ago\n"
            "  - Chassis ID type: MAC address (4)\n"
            f"    Chassis ID     : {_dotted(neighbour.chassis)}\n"
            f"  - Port ID type: {subtype}\n"
            f"    Port ID     : {quoted}\n"
            f"  - Time To Live: {neighbour.ttl} seconds\n"
        )
        text += f'  - System Name: "{neighbour.system_name}"\n' if neighbour.system_name else ""
        text += "\n"
    return text


def _nxos(heard: Heard) -> str:
    text = "Capability codes:\n  (R) Router, (B) Bridge, (S) Station, (O) Other\n"
    text += "Device ID            Local Intf      Hold-time  Capability  Port ID\n\n"
    for port, neighbour in heard.items():
        text += (
            f"Chassis id: {_dotted(neighbour.chassis)}\nPort id: {_port(neighbour)}\n"
            f"Local Port id: {port.replace('Ethernet', 'Eth')}\nPort Description: null\n"
            f"System Name: {neighbour.system_name or 'null'}\nSystem Description: null\n"
            f"Time remaining: {neighbour.ttl} seconds\nVlan ID: not advertised\n\n\n"
        )
    return f"{text}Total entries displayed: {len(heard)}\n"


def _iosxe(heard: Heard) -> str:
    text = ""
    for port, neighbour in heard.items():
        short = port.replace("GigabitEthernet", "Gi")
        name = f"System Name: {neighbour.system_name}\n" if neighbour.system_name else "System Name - not advertised\n"
        text += (
            "------------------------------------------------\n"
            f"Local Intf: {short}\nChassis id: {_dotted(neighbour.chassis)}\nPort id: {_port(neighbour)}\n"
            f"Port Description - not advertised\n{name}\nSystem Description - not advertised\n\n"
            f"Time remaining: {neighbour.ttl} seconds\n\n"
        )
    return f"{text}\nTotal entries displayed: {len(heard)}\n\n"


def _junos(heard: Heard) -> str:
    rows = "Local Interface    Parent Interface    Chassis Id          Port info          System Name\n"
    for port, neighbour in heard.items():
        rows += f"{port:<19}{'-':<20}{mac_text(neighbour.chassis):<20}{neighbour.port:<19}{neighbour.system_name}\n"
    return rows


def _lldpctl(heard: Heard) -> str:
    """lldpd's own client, as SONiC and Cumulus Linux have it."""
    bar = "-" * 79 + "\n"
    text = f"{bar}LLDP neighbors:\n{bar}"
    for port, neighbour in heard.items():
        kind = "mac" if neighbour.port_mac else "ifname"
        text += (
            f"Interface:    {port}, via: LLDP, RID: 1, Time: 0 day, 00:01:11\n  Chassis:     \n"
            f"    ChassisID:    mac {mac_text(neighbour.chassis)}\n"
        )
        text += f"    SysName:      {neighbour.system_name}\n" if neighbour.system_name else ""
        text += f"  Port:        \n    PortID:       {kind} {neighbour.port}\n    TTL:          {neighbour.ttl}\n{bar}"
    return text


def _os10(heard: Heard) -> str:
    text = ""
    for port, neighbour in heard.items():
        subtype = "Mac address (3)" if neighbour.port_mac else "Interface name (5)"
        text += (
            "Remote Chassis ID Subtype: Mac address (4)\n"
            f"Remote Chassis ID: {mac_text(neighbour.chassis)}\n"
            f"Remote Port Subtype: {subtype}\nRemote Port ID: {neighbour.port}\n"
            f"Remote Port Description: \nLocal Port ID: {port}\nLocally assigned remote Neighbor Index: 1\n"
            f"Remote TTL: {neighbour.ttl}\nRemote System Name: {neighbour.system_name or 'Not Advertised'}\n\n"
        )
    return text


def _aoscx(heard: Heard) -> str:
    bar = "-" * 80 + "\n"
    text = (
        f"LLDP Neighbor Information \n=========================\n\nTotal Neighbor Entries          : {len(heard)}\n\n"
    )
    for port, neighbour in heard.items():
        lines = {
            "Port": port,
            "Neighbor Entries": "1",
            "Neighbor System-Name": neighbour.system_name,
            "Neighbor System-Description": "",
            "Neighbor Chassis-ID": mac_text(neighbour.chassis),
            "Neighbor Port-ID": neighbour.port,
            "Neighbor Port-Desc": "",
            "TTL": str(neighbour.ttl),
        }
        text += bar + "\n" + "".join(f"{name:<31}: {value}\n" for name, value in lines.items()) + "\n"
    return text


ANSWERS: Mapping[str, tuple[str, Callable[[Heard], str]]] = {
    "arista-eos": ("show lldp neighbors detail", _eos),
    "aruba-aoscx": ("show lldp neighbor-info detail", _aoscx),
    "cisco-iosxe": ("show lldp neighbors detail", _iosxe),
    "cisco-nxos": ("show lldp neighbors detail", _nxos),
    "dell-os10": ("show lldp neighbors detail", _os10),
    "juniper-junos": ("show lldp neighbors", _junos),
    "nvidia-cumulus": ("sudo -n lldpctl", _lldpctl),
    "sonic": ("show lldp neighbors", _lldpctl),
}
"""By platform: the line, and the answer."""
