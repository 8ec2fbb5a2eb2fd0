"""What Kea reads: its configuration, and the rows of its hosts database. Pure.

Kea 2.2 takes a host and its options from a row at each request, but knows no conditions there. An option of which a
port has a conditional form is therefore a client class, of which the host is a member by its row: in the configuration,
which is set without a restart. Facts found by trying: of several classes with the same option the one listed first is
answered; what a host has itself goes before all classes; a class that asks for `KNOWN` is looked at after the host was
found.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ironlane.model.dhcp import (
    ARCHITECTURES,
    NEXT_SERVER,
    Answers,
    Condition,
    DhcpOption,
    Kind,
    Reservation,
    ServedSubnet,
    pack_routes,
)
from ironlane.model.errors import Permanent

_BOOT_SERVER, _BOOT_FILE = 66, 67
_HARDWARE, _CLIENT = 0, 3
"""Values of `dhcp_identifier_type`."""


@dataclass(frozen=True, slots=True)
class KeaSettings:
    """`database`: a PostgreSQL URL with Kea's schema (`kea-admin db-init pgsql`). `directory`: its own, private."""

    interfaces: tuple[str, ...]
    directory: Path
    database: str
    lease_seconds: int = 3600
    domain: str = ""
    command: tuple[str, ...] = ("kea-dhcp4",)
    timeout: float = 15.0


@dataclass(frozen=True, slots=True)
class HostRow:
    """One row of `hosts` with those of `dhcp4_options` that are its own, by number."""

    identifier: bytes
    identifier_type: int
    subnet_id: int
    address: int
    classes: str
    next_server: int | None
    server_name: str | None
    boot_file: str | None
    options: tuple[tuple[int, bytes], ...]

    @property
    def digest(self) -> str:
        """Kept beside the row (`user_context`), which so tells whether it is as it should be."""
        return hashlib.sha256(repr(asdict(self)).encode()).hexdigest()


def subnet_id(ident: str) -> int:
    """Kea numbers subnets; every conductor has to come to the same number."""
    return int.from_bytes(hashlib.sha256(ident.encode()).digest()[:4], "big") % 0x7FFF_FFFE + 1


def configuration(settings: KeaSettings, answers: Answers) -> dict[str, Any]:
    """The whole configuration, also for the command `config-set`."""
    own = [r for r in answers.reservations.values() if _conditional(r)]
    database = connection(settings.database)
    common = [_data(15, settings.domain.encode())] if settings.domain else []
    return {
        "Dhcp4": {
            "interfaces-config": {"interfaces": list(settings.interfaces), "dhcp-socket-type": "raw"},
            "control-socket": {"socket-type": "unix", "socket-name": str(settings.directory / "control")},
            "lease-database": database,
            "hosts-database": database,
            "authoritative": True,
            "valid-lifetime": settings.lease_seconds,
            "match-client-id": False,  # iPXE and the firmware before it are one server
            "host-reservation-identifiers": ["client-id", "hw-address"],
            "reservations-global": False,
            "reservations-in-subnet": True,
            "reservations-out-of-pool": True,
            "option-data": common,
            "client-classes": [
                # iPXE would wait for a ProxyDHCP server that there is not.
                {"name": "ipxe", "test": _TESTS["ipxe"], "option-data": [_data(175, b"\xb0\x01\x01\xff")]},
                *(entry for reservation in own for entry in _classes(reservation)),
                {"name": "DROP", "test": "member('UNKNOWN')"},
            ],
            "subnet4": [_subnet(s) for s in answers.subnets.values() if isinstance(s.cidr, IPv4Network)],
            "loggers": [
                {"name": "kea-dhcp4", "severity": "INFO", "output_options": [{"output": "stdout", "flush": True}]}
            ],
        }
    }


def host_rows(answers: Answers) -> dict[str, HostRow]:
    """What the hosts database should have of us, by port and subnet."""
    rows = {}
    for reservation in answers.reservations.values():
        for subnet, address in reservation.addresses:
            if isinstance(address, IPv4Address):
                rows[f"{reservation.port}/{subnet}"] = _row(reservation, subnet, address)
    return rows


def unserved(answers: Answers) -> list[str]:
    """What this engine cannot do of what it is asked for."""
    told = [f"subnet {s.id}: Kea is run for IPv4 only" for s in answers.subnets.values() if s.cidr.version == 6]
    for r in answers.reservations.values():
        told += [f"port {r.port}: Kea cannot keep option {o.number} back" for o in r.options if o.kind is Kind.NOTHING]
    return told


def connection(url: str) -> dict[str, Any]:
    """A PostgreSQL URL in Kea's words.

    Raises:
        Permanent: it is none.
    """
    parts = urlsplit(url)
    query = dict(pair.split("=", 1) for pair in parts.query.split("&") if "=" in pair)
    if parts.scheme not in {"postgresql", "postgres"} or len(parts.path) < 2:
        raise Permanent("the secret with Kea's database is no URL such as postgresql://user:password@host/kea")
    found = {
        "type": "postgresql",
        "name": unquote(parts.path[1:]),
        "host": unquote(query.get("host", parts.hostname or "localhost")),
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
    }
    return {**found, **({"port": parts.port} if parts.port else {})}


def _row(reservation: Reservation, subnet: str, address: IPv4Address) -> HostRow:
    by_class = _conditional(reservation)
    plain = {o.number: o for o in _v4(reservation) if o.number not in by_class}
    server, name, file = plain.get(NEXT_SERVER), plain.get(_BOOT_SERVER), plain.get(_BOOT_FILE)
    return HostRow(
        identifier=reservation.client_id or bytes.fromhex(reservation.mac.replace(":", "")),
        identifier_type=_CLIENT if reservation.client_id else _HARDWARE,
        subnet_id=subnet_id(subnet),
        address=int(address),
        classes=_name(reservation) if by_class else "",
        next_server=None if server is None else int(IPv4Address(server.parts[0])),
        server_name=None if name is None else _server_name(name),
        boot_file=None if file is None else _file(file),
        options=tuple((n, o.packed()) for n, o in sorted(plain.items()) if n != NEXT_SERVER),
    )


def _classes(reservation: Reservation) -> Iterator[dict[str, Any]]:
    """A class that the host is a member of, and one for each option with a conditional form; the most particular are
    first."""
    name, by_class = _name(reservation), _conditional(reservation)
    yield {"name": name}
    options = [o for o in _v4(reservation) if o.number in by_class]
    for index, option in enumerate(sorted(options, key=lambda o: -len(o.conditions))):
        test = " and ".join(["member('KNOWN')", f"member('{name}')", *map(_test, option.conditions)])
        said: dict[str, Any] = {"option-data": [_data(option.number, option.packed())]}
        if option.number == NEXT_SERVER:
            said = {"next-server": option.parts[0]}
        elif option.number == _BOOT_FILE and _file(option):
            said["boot-file-name"] = option.value
        elif option.number == _BOOT_SERVER and _server_name(option):
            said["server-hostname"] = option.value
        yield {"name": f"{name}-{index}", "test": test, **said}


def _file(option: DhcpOption) -> str | None:
    """For the field of BOOTP, which firmware reads that does not ask for the option; None if it is too long for it."""
    return option.value if len(option.packed()) < 128 else None


def _server_name(option: DhcpOption) -> str | None:
    return option.value if len(option.packed()) < 64 else None


def _conditional(reservation: Reservation) -> frozenset[int]:
    return frozenset(o.number for o in _v4(reservation) if o.conditions)


def _v4(reservation: Reservation) -> list[DhcpOption]:
    return [o for o in reservation.options if o.version == 4 and o.kind is not Kind.NOTHING]


def _name(reservation: Reservation) -> str:
    return f"p-{reservation.port}"


_TESTS: Mapping[str, str] = {
    "ipxe": "option[175].exists",
    "ipxe6": "substring(option[77].hex,0,4) == 'iPXE'",
    "efi-http": "substring(option[60].hex,0,10) == 'HTTPClient'",
    **{
        tag: "(" + " or ".join(f"option[93].hex == 0x{code:04x}" for code in codes) + ")"
        for tag, codes in ARCHITECTURES.items()
    },
}


def _test(condition: Condition) -> str:
    return f"not ({_TESTS[condition.tag]})" if condition.negated else _TESTS[condition.tag]


def _subnet(subnet: ServedSubnet) -> dict[str, Any]:
    said = [(26, subnet.mtu.to_bytes(2, "big"))]
    if subnet.gateway is not None:
        said.append((3, subnet.gateway.packed))
    if subnet.nameservers:
        said.append((6, b"".join(address.packed for address in subnet.nameservers)))
    if subnet.routes:
        routes = [(n, a) for n, a in subnet.routes if isinstance(n, IPv4Network) and isinstance(a, IPv4Address)]
        if isinstance(subnet.gateway, IPv4Address):
            routes.append((IPv4Network("0.0.0.0/0"), subnet.gateway))
        said += [(number, pack_routes(routes)) for number in (121, 249)]
    return {
        "id": subnet_id(subnet.id),
        "subnet": str(subnet.cidr),
        "option-data": [_data(number, value) for number, value in said],
    }


def _data(number: int, value: bytes) -> dict[str, Any]:
    """An option in raw octets: nothing of it is text that Kea would read."""
    return {"code": number, "space": "dhcp4", "csv-format": False, "data": value.hex().upper()}


def rendered(config: Mapping[str, Any]) -> str:
    return json.dumps(config, indent=1, sort_keys=True)
