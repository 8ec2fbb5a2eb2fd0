"""Rows of an Open vSwitch database and what they mean as `PortConfig`. Pure; source: ovs-vswitchd.conf.db(5).

A switch port is an Interface row. It lives either in a Port row of its own or, as a LAG member, in the Port row of the
LAG, which is named `lag<number>`. VLANs and the LAG's settings are columns of the Port row; the description and a
member's LACP identity belong to the Interface row, so that they follow it from one Port row to another.

**A port that must carry nothing.** OVSDB cannot set the admin state of a system interface, a Port row without `tag` and
`trunks` carries *all* VLANs, and `tag=4095` alone is not enough: measured with packets, ports with that access tag
reach each other, on one switch and, over a trunk for all VLANs, on two. `trunks=4095` still passes frames that are
tagged 4095 between switches. So an isolated port (shut, or enabled with no VLAN) gets three settings at once:

* `vlan_mode=dot1q-tunnel`, `tag=4095`: whatever it could send or receive is in the reserved VLAN 4095 (IEEE 802.1Q);
* `cvlans=4095`: of that, only frames with a second tag 4095, so neither untagged nor tagged frames come in or go out;
* `protected=true`: and none of it between two isolated ports of a switch.

What remains was measured, too: a frame that the server itself tags with the reserved VLAN id 4095 leaves by a trunk
whose `trunks` are not restricted. Another isolated port, on another switch, receives it only if both switches look at
more than one tag (`Open_vSwitch.other_config:vlan-limit`, which is 1 unless set). Listing the VLANs of the trunks
between switches closes this. The carrier stays up, and LLDP and LACP, which vswitchd itself sends, still work. What the
port is meant to be (shut or not, with which VLANs to come) is recorded in `external_ids:ironlane-isolated` of the Port.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ironlane.model.errors import Permanent
from ironlane.model.fabric import (
    VLAN_MAX,
    VLAN_MIN,
    LacpRate,
    Lag,
    LagMode,
    PortConfig,
    PortMode,
    Vlan,
)
from ironlane.switches.ovsdb import atoms, pairs, to_set

RESERVED = 4095
NOT_A_VLAN = Vlan(0)
"""Among the tagged VLANs of an observed port: it is in a state that no desired `PortConfig` can describe."""
ALL_VLANS = frozenset(Vlan(vlan) for vlan in range(RESERVED + 1))

DESCRIPTION = "ironlane-description"
ISOLATED = "ironlane-isolated"

PORT_OTHER_CONFIG = ("all-members-active", "lacp-fallback-ab", "lacp-system-id", "lacp-time")
"""The keys of a Port's `other_config` that Ironlane writes, beside `PRIMARY`; all others stay as they are."""
PRIMARY = "bond-primary"
"""Which member counts while nobody speaks LACP. Not told to be wrong where somebody else has chosen another one."""
INTERFACE_OTHER_CONFIG = ("lacp-aggregation-key", "lacp-port-id")
"""The same of an Interface."""

BRIDGE_COLUMNS = ("name", "ports")
PORT_COLUMNS = (
    *("_uuid", "name", "interfaces", "vlan_mode", "tag", "trunks", "cvlans", "protected"),
    *("lacp", "bond_mode", "other_config", "external_ids"),
)
INTERFACE_COLUMNS = ("_uuid", "name", "other_config", "external_ids")


@dataclass(frozen=True, slots=True)
class Dialect:
    """Choices of the site that the rows depend on.

    With `mlag_system_id` (a MAC address) LACP speaks in the name of a pair of switches: the same system id and, per
    LAG, the same key on both. `mlag_member` (0 or 1) says which of the two this one is, so that port ids differ.
    """

    lag_prefix: str = "lag"
    mlag_system_id: str | None = None
    mlag_member: int = 0

    def lag_name(self, number: int) -> str:
        return f"{self.lag_prefix}{number}"

    def lag_number(self, port_name: str) -> int | None:
        """The number of the LAG whose Port has this name; None if no LAG of ours is named so."""
        found = re.fullmatch(rf"{re.escape(self.lag_prefix)}([1-9][0-9]{{0,3}})", port_name)
        return int(found[1]) if found else None


@dataclass(frozen=True, slots=True)
class InterfaceRow:
    """A row of the Interface table."""

    uuid: str
    name: str
    other_config: Mapping[str, str] = field(default_factory=dict)
    external_ids: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PortRow:
    """A row of the Port table; empty columns are None or empty."""

    uuid: str
    name: str
    interfaces: frozenset[str]
    """UUIDs of Interface rows."""
    vlan_mode: str | None = None
    tag: int | None = None
    trunks: frozenset[int] = frozenset()
    cvlans: frozenset[int] = frozenset()
    protected: bool = False
    lacp: str | None = None
    bond_mode: str | None = None
    other_config: Mapping[str, str] = field(default_factory=dict)
    external_ids: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layout:
    """The Port and Interface rows of one bridge, by name, and in which Port row each interface lives."""

    ports: Mapping[str, PortRow]
    interfaces: Mapping[str, InterfaceRow]
    home: Mapping[str, PortRow]

    @classmethod
    def of(cls, ports: Sequence[PortRow], interfaces: Sequence[InterfaceRow]) -> Layout:
        """The layout of these Port rows; interfaces of other bridges are left out."""
        by_uuid = {row.uuid: row for row in interfaces}
        home = {by_uuid[uuid].name: port for port in ports for uuid in port.interfaces if uuid in by_uuid}
        here = {row.name: row for row in interfaces if row.name in home}
        return cls({port.name: port for port in ports}, here, home)

    def members(self, port: PortRow) -> set[str]:
        """The names of the interfaces in a Port row."""
        return {name for name, home in self.home.items() if home.uuid == port.uuid}


def parse_layout(bridge: Mapping[str, Any], ports: Sequence[Any], interfaces: Sequence[Any]) -> Layout:
    """The layout of one bridge from the rows of `select` operations on Bridge, Port and Interface."""
    ours = set(atoms(bridge["ports"]))
    port_rows = [row for row in map(_port_row, ports) if row.uuid in ours]
    interface_rows = [
        InterfaceRow(row["_uuid"][1], row["name"], pairs(row["other_config"]), pairs(row["external_ids"]))
        for row in interfaces
    ]
    return Layout.of(port_rows, interface_rows)


def foreign_lags(layout: Layout, names: Iterable[str], wanted: Collection[str], dialect: Dialect) -> frozenset[int]:
    """Numbers of LAG Ports that are there for anything but the wanted interfaces.

    `names` are those of all Ports of the database, because they are unique in it: a LAG of another bridge takes its
    name from ours.
    """
    ours = {name for name, port in layout.ports.items() if (members := layout.members(port)) and members <= set(wanted)}
    numbers = (dialect.lag_number(name) for name in set(names) - ours)
    return frozenset(number for number in numbers if number is not None)


def _port_row(row: Mapping[str, Any]) -> PortRow:
    return PortRow(
        uuid=row["_uuid"][1],
        name=row["name"],
        interfaces=frozenset(atoms(row["interfaces"])),
        vlan_mode=next(iter(atoms(row["vlan_mode"])), None),
        tag=next(iter(atoms(row["tag"])), None),
        trunks=frozenset(atoms(row["trunks"])),
        cvlans=frozenset(atoms(row["cvlans"])),
        protected=row["protected"],
        lacp=next(iter(atoms(row["lacp"])), None),
        bond_mode=next(iter(atoms(row["bond_mode"])), None),
        other_config=pairs(row["other_config"]),
        external_ids=pairs(row["external_ids"]),
    )


# --- from PortConfig to columns --------------------------------------------------------------------------------------


def check(port: str, config: PortConfig) -> None:
    """Refuse what Open vSwitch cannot do, or what contradicts itself.

    Raises:
        Permanent: with the port and the reason.
    """
    if problem := config.contradiction or (_lag_problem(config.lag) if config.lag else ""):
        raise Permanent(f"switch port {port}: {problem}")


def _lag_problem(lag: Lag) -> str:
    if not 1 <= lag.number <= 1000:
        return f"LAG number {lag.number} is outside 1 to 1000"
    if lag.min_links != 1:
        return f"Open vSwitch has no minimum of LAG members, so {lag.min_links} cannot be kept; ask for 1"
    return ""


def port_columns(config: PortConfig) -> dict[str, Any]:
    """The columns of the Port row that say what the port carries, in wire notation."""
    vlan_mode, tag, trunks, cvlans = "access", [config.untagged], frozenset[Vlan](), list[int]()
    isolated = not config.enabled or not config.vlans
    if isolated:
        vlan_mode, tag, cvlans = "dot1q-tunnel", [Vlan(RESERVED)], [RESERVED]
    elif config.mode is PortMode.TRUNK:
        # Empty `trunks` means all VLANs; the native VLAN stands among them so that they never are.
        vlan_mode, tag, trunks = "native-untagged", [config.untagged], config.vlans
        if config.untagged is None:
            vlan_mode, tag = "trunk", []
    return {
        "vlan_mode": vlan_mode,
        "tag": to_set(tag),
        "trunks": to_set(sorted(trunks)),
        "cvlans": to_set(cvlans),
        "protected": isolated,
        "lacp": to_set(_lacp(config.lag)),
        "bond_mode": to_set(_bond_mode(config.lag)),
    }


def primary(lag: Lag | None, members: Collection[str]) -> dict[str, str]:
    """With `fallback` the LAG's first port by number: firmware that boots over the LAG's first NIC has to be heard.

    Unless it is told, Open vSwitch takes any member, and drops what comes in by the others.
    """
    if lag is None or not lag.fallback or not members:
        return {}
    return {PRIMARY: min(members, key=lambda name: [(len(part), part) for part in re.findall(r"\d+|\D+", name)])}


def port_other_config(lag: Lag | None, dialect: Dialect) -> dict[str, str]:
    """Ironlane's keys of the Port's `other_config`."""
    if lag is None:
        return {}
    keys = {"lacp-time": lag.rate.value}
    if lag.fallback:
        keys["lacp-fallback-ab"] = "true"
    if lag.mode is LagMode.STATIC:
        # Without LACP, a bond would drop broadcasts that come in by any but its active member.
        keys["all-members-active"] = "true"
    elif dialect.mlag_system_id:
        keys["lacp-system-id"] = dialect.mlag_system_id
    return keys


def port_external_ids(config: PortConfig) -> dict[str, str]:
    """Ironlane's keys of the Port's `external_ids`: what an isolated port is meant to be."""
    if config.enabled and config.vlans:
        return {}
    record = {
        "enabled": config.enabled,
        "mode": config.mode.value,
        "tagged": sorted(config.tagged),
        "untagged": config.untagged,
    }
    return {ISOLATED: json.dumps(record, separators=(",", ":"))}


def interface_other_config(name: str, lag: Lag | None, dialect: Dialect) -> dict[str, str]:
    """Ironlane's keys of the Interface's `other_config`: its identity in LACP, if the switch is one of a pair.

    The port id must differ between all members of a LAG, on both switches: the pair's half and a checksum of the name.
    """
    if lag is None or lag.mode is not LagMode.LACP or not dialect.mlag_system_id:
        return {}
    port_id = dialect.mlag_member << 15 | 1 + zlib.crc32(name.encode()) % 0x7FFE
    return {"lacp-aggregation-key": str(lag.number), "lacp-port-id": str(port_id)}


def _lacp(lag: Lag | None) -> list[str]:
    return [] if lag is None else ["active" if lag.mode is LagMode.LACP else "off"]


def _bond_mode(lag: Lag | None) -> list[str]:
    # balance-tcp works only with LACP; balance-slb is the one that balances without.
    return [] if lag is None else ["balance-tcp" if lag.mode is LagMode.LACP else "balance-slb"]


# --- from rows to PortConfig -----------------------------------------------------------------------------------------


def read_config(layout: Layout, name: str, dialect: Dialect) -> PortConfig:
    """What an interface carries by its rows.

    A state that no desired `PortConfig` describes has VLAN 0 among its tagged VLANs, or a LAG with `min_links` 0.
    """
    port, interface = layout.home[name], layout.interfaces[name]
    config = _read_vlans(port)
    lag = _read_lag(layout, name, dialect)
    return PortConfig(
        mode=config.mode,
        untagged=config.untagged,
        tagged=config.tagged,
        lag=lag,
        enabled=config.enabled,
        description=interface.external_ids.get(DESCRIPTION, ""),
    )


def _read_vlans(port: PortRow) -> PortConfig:
    if recorded := _read_isolated(port):
        return recorded
    mode = port.vlan_mode or ("trunk" if port.tag is None else "access")
    usual = not port.protected
    tag = None if port.tag is None else Vlan(port.tag)
    trunks = frozenset(Vlan(vlan) for vlan in port.trunks)
    if usual and mode == "access" and _is_vlan(tag) and not trunks:
        return PortConfig(untagged=tag)
    if usual and mode == "trunk" and tag is None and trunks and all(map(_is_vlan, trunks)):
        return PortConfig(mode=PortMode.TRUNK, tagged=trunks)
    if usual and mode == "native-untagged" and _is_vlan(tag) and trunks and all(map(_is_vlan, trunks)):
        return PortConfig(mode=PortMode.TRUNK, untagged=tag, tagged=trunks - {tag})
    if mode in {"access", "dot1q-tunnel"}:
        return PortConfig(mode=PortMode.TRUNK, untagged=tag, tagged=frozenset({NOT_A_VLAN}))
    return PortConfig(mode=PortMode.TRUNK, untagged=tag, tagged=trunks | {NOT_A_VLAN} if trunks else ALL_VLANS)


def _read_isolated(port: PortRow) -> PortConfig | None:
    """What an isolated port is meant to be; None if it is not isolated, or not by Ironlane."""
    tunnel = port.vlan_mode == "dot1q-tunnel" and port.tag == RESERVED and port.cvlans == {RESERVED}
    if not tunnel or port.trunks or not port.protected:
        return None
    try:
        record = json.loads(port.external_ids[ISOLATED])
        config = PortConfig(
            mode=PortMode(record["mode"]),
            untagged=record["untagged"],
            tagged=frozenset(record["tagged"]),
            enabled=bool(record["enabled"]),
        )
        check(port.name, config)
    except (KeyError, TypeError, ValueError, Permanent):
        return None
    # A record of a port that carries VLANs was not written for an isolated one.
    return None if config.enabled and config.vlans else config


def _read_lag(layout: Layout, name: str, dialect: Dialect) -> Lag | None:
    port = layout.home[name]
    number = dialect.lag_number(port.name)
    if number is None and len(port.interfaces) == 1 and port.lacp in {None, "off"}:
        return None
    lag = Lag(
        number or 0,
        mode=LagMode.STATIC if port.lacp in {None, "off"} else LagMode.LACP,
        rate=LacpRate.FAST if port.other_config.get("lacp-time") == "fast" else LacpRate.SLOW,
        fallback=port.other_config.get("lacp-fallback-ab") == "true",
    )
    as_written = (
        [port.lacp] == _lacp(lag)
        and [port.bond_mode] == _bond_mode(lag)
        and _ours(port.other_config, PORT_OTHER_CONFIG) == port_other_config(lag, dialect)
        and _ours(layout.interfaces[name].other_config, INTERFACE_OTHER_CONFIG)
        == interface_other_config(name, lag, dialect)
    )
    return lag if as_written and number else Lag(lag.number, lag.mode, lag.rate, min_links=0, fallback=lag.fallback)


def _ours(column: Mapping[str, str], keys: Sequence[str]) -> dict[str, str]:
    return {key: value for key, value in column.items() if key in keys}


def _is_vlan(vlan: int | None) -> bool:
    return vlan is not None and VLAN_MIN <= vlan <= VLAN_MAX
