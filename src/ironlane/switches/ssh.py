"""Logging in to a switch over SSH, with its host key checked: what NETCONF and CLI sessions have in common.

Options of `Access.options`:

======================  ===============================================================================================
`host_key`              the switch's public key in OpenSSH form (``ssh-ed25519 AAAA…``) or its fingerprint
                        (``SHA256:…``), or a list of them; nothing else is accepted
`known_hosts`           path of an OpenSSH known_hosts file to check against; without both, ~/.ssh/known_hosts
`insecure_host_key`     true: accept any host key. For labs only: whoever answers gets the password
`private_key`           path of a private key to log in with; `Access.secret` is then its passphrase
======================  ===============================================================================================
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping
from typing import Any

import asyncssh

from ironlane.model.errors import Invalid, Permanent, Temporary
from ironlane.switches.base import Access

OPTIONS = frozenset({"host_key", "known_hosts", "insecure_host_key", "private_key"})

# Client preference decides in SSH (RFC 4253 section 7.1): the quick ones first, older ones for older switches.
_ALGORITHMS: Mapping[str, Any] = {
    "kex_algs": [
        "curve25519-sha256",
        "curve25519-sha256@libssh.org",
        "ecdh-sha2-nistp256",
        "diffie-hellman-group14-sha256",
        "diffie-hellman-group16-sha512",
    ],
    "encryption_algs": ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes256-ctr"],
    "mac_algs": ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512"],
    "compression_algs": ["none"],
}


class _HostKeyClient(asyncssh.SSHClient):
    """Accepts exactly the host keys that the site file names."""

    def __init__(self, accepted: frozenset[str]) -> None:
        self._accepted = accepted

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        del host, addr, port
        shown = key.export_public_key().decode().split()
        return key.get_fingerprint() in self._accepted or " ".join(shown[:2]) in self._accepted


def _accepted_keys(option: object) -> frozenset[str]:
    entries = [option] if isinstance(option, str) else option
    if not isinstance(entries, list | tuple) or not all(isinstance(entry, str) for entry in entries):
        raise Invalid("an OpenSSH public key or SHA256 fingerprint, or a list of them", field="options.host_key")
    return frozenset(entry if entry.startswith("SHA256:") else " ".join(entry.split()[:2]) for entry in entries)


def _arguments(access: Access) -> dict[str, Any]:
    options = access.options
    arguments: dict[str, Any] = {
        "username": access.username,
        "config": None,  # nothing of the operator's ~/.ssh/config
        "agent_path": None,
        "client_keys": None,
        **_ALGORITHMS,
    }
    if options.get("private_key"):
        arguments["client_keys"] = [str(options["private_key"])]
        arguments["passphrase"] = access.secret or None
    else:
        arguments["password"] = access.secret
    if options.get("insecure_host_key") is True:
        arguments["known_hosts"] = None
    elif options.get("host_key"):
        accepted = _accepted_keys(options["host_key"])
        arguments["known_hosts"] = ([], [], [])
        arguments["client_factory"] = lambda: _HostKeyClient(accepted)
    elif options.get("known_hosts"):
        arguments["known_hosts"] = str(options["known_hosts"])
    return arguments


async def connect(access: Access, default_port: int) -> asyncssh.SSHClientConnection:
    """Log in over SSH, on `Access.port` or the protocol's own; the caller bounds the time.

    Raises:
        Temporary: nobody answers, or the conversation breaks off.
        Permanent: the host key or the login is not accepted, or no algorithm is common.
    """
    who = f"switch {access.switch}"
    try:
        connection = await asyncssh.connect(access.address, access.port or default_port, **_arguments(access))
    except asyncssh.HostKeyNotVerifiable as error:
        raise Permanent(
            f"{who}: its SSH host key is not the one we know ({error.reason}); compare it at the console, then set"
            " `host_key` or `known_hosts`"
        ) from error
    except asyncssh.PermissionDenied as error:
        raise Permanent(
            f"{who}: login of user {access.username!r} refused; check the site file's credential"
        ) from error
    except asyncssh.KeyExchangeFailed as error:
        raise Permanent(f"{who}: no common SSH algorithm ({error.reason}); update the switch") from error
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise Permanent(f"{who}: private key cannot be used: {error}") from error
    except (asyncssh.Error, OSError) as error:
        raise Temporary(f"{who}: no SSH connection to {access.address}: {error}") from error
    with contextlib.suppress(OSError):  # it is gone already, and the next question will tell
        _keep_alive(connection.get_extra_info("socket"))
    return connection


def _keep_alive(connection: socket.socket | None) -> None:
    """Have the kernel notice a peer that is gone, and keep firewalls' memory of the connection fresh.

    Asking through SSH would cost thousands of idle sessions more than all that they are there for; a peer that is
    there and does not answer is noticed by the next question's time limit anyway.
    """
    if connection is None:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):  # not all systems have all of them
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
