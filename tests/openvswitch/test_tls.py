"""OVSDB over TCP and TLS on the loopback interface, against a real ovsdb-server; no root."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ironlane.lab.openvswitch import OpenVSwitch
from ironlane.model.errors import Permanent, Temporary
from ironlane.model.fabric import SwitchId
from ironlane.switches.base import Access
from ironlane.switches.openvswitch import OpenVSwitchDriver

from .bed import why_not


def self_signed(directory: Path) -> tuple[Path, Path]:
    """A key and its certificate for 127.0.0.1, good for an hour."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ovsdb test")])
    now = datetime.datetime.now(datetime.UTC)
    loopback = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(loopback, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    key_file, certificate_file = directory / "key.pem", directory / "certificate.pem"
    private = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    key_file.write_bytes(key.private_bytes(*private))
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return key_file, certificate_file


def free_port() -> int:
    with socket.socket() as probing:
        probing.bind(("127.0.0.1", 0))
        return int(probing.getsockname()[1])


class Served:
    """Where the server listens, and the certificate it shows."""

    def __init__(self, tcp: int, tls: int, certificate: Path) -> None:
        self.tcp = tcp
        self.tls = tls
        self.certificate = certificate


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    if reason := why_not(namespaces=False):
        pytest.skip(reason)
    directory = Path(tempfile.mkdtemp(prefix="ironlane-tls-"))
    key, certificate = self_signed(directory)
    made = Served(free_port(), free_port(), certificate)
    # The server asks for a client certificate too, and trusts the one it shows itself.
    files = (f"--private-key={key}", f"--certificate={certificate}", f"--ca-cert={certificate}")
    remotes = (f"--remote=ptcp:{made.tcp}:127.0.0.1", f"--remote=pssl:{made.tls}:127.0.0.1")
    running = OpenVSwitch(directory / "ovs", server_options=(*files, *remotes))
    try:
        asyncio.run(running.start())
        asyncio.run(running.vsctl("add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=dummy"))
        yield made
    finally:
        running.stop()
        shutil.rmtree(directory, ignore_errors=True)


async def ports_seen(port: int, **options: object) -> set[str]:
    access = Access(SwitchId("leaf-1"), "127.0.0.1", port, options={"bridge": "br0", **options}, timeout=3.0)
    driver = OpenVSwitchDriver(access)
    try:
        return set(await driver.observe(["br0"]))
    finally:
        await driver.close()


async def test_tcp(served: Served) -> None:
    assert await ports_seen(served.tcp) == {"br0"}


async def test_tls_with_a_trusted_certificate(served: Served) -> None:
    own = {"tls_certificate": str(served.certificate), "tls_key": str(served.certificate.with_name("key.pem"))}
    assert await ports_seen(served.tls, tls=True, tls_ca=str(served.certificate), **own) == {"br0"}
    assert await ports_seen(served.tls, tls=True, tls_verify=False, **own) == {"br0"}


async def test_tls_with_a_stranger_is_refused(served: Served) -> None:
    with pytest.raises(Permanent, match="not trusted"):
        await ports_seen(served.tls, tls=True)
    with pytest.raises(Permanent, match="not trusted"):
        await ports_seen(served.tls, tls=True, tls_ca=str(served.certificate), tls_server_name="another.example")


async def test_plain_tcp_to_a_tls_port_is_temporary(served: Served) -> None:
    with pytest.raises(Temporary):
        await ports_seen(served.tls)
