"""What the ramdisk on a node says of itself: which node it runs on, that it is alive, and where its agent listens.

Source: Ironic's `/v1/lookup` and `/v1/heartbeat`, as ironic-python-agent calls them.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from ironlane.model.errors import Conflict, Invalid, NotFound, Unauthorized
from ironlane.model.node import Node
from ironlane.model.states import ProvisionState
from ironlane.store import provisioning
from ironlane.store.database import Tx
from ironlane.store.nodes import by_id, find, update
from ironlane.store.tables import baremetal_ports, nodes

WAITING = frozenset(
    {
        ProvisionState.CLEANING,
        ProvisionState.CLEAN_WAIT,
        ProvisionState.DEPLOYING,
        ProvisionState.DEPLOY_WAIT,
        ProvisionState.INSPECTING,
        ProvisionState.INSPECT_WAIT,
        ProvisionState.RESCUING,
        ProvisionState.RESCUE_WAIT,
        ProvisionState.SERVICING,
        ProvisionState.SERVICE_WAIT,
    }
)
"""States in which a ramdisk may run on the node: only then are lookup and heartbeat answered."""

NEW_BOOT: Mapping[str, Any] = {
    "agent_token_hash": None,
    "agent_seen_at": None,
    "agent_report": None,
    "agent_message": None,
}
"""Columns of a node whose ramdisk has said nothing yet."""

AGENT_URL, AGENT_TOKEN, AGENT_CA = "agent_url", "agent_secret_token", "agent_verify_ca"
LAST_COMMAND = "agent_command"
"""Which command the agent was given last: `{id, index}`."""

AGENT_KEYS = (AGENT_URL, AGENT_TOKEN, AGENT_CA, LAST_COMMAND, "agent_version", "agent_last_heartbeat")
"""Keys of `driver_internal_info` that count for one boot only."""


def record_lookup(tx: Tx, addresses: Collection[str], node_uuid: str | None) -> tuple[Node, str | None]:
    """The node that a ramdisk runs on, by its UUID or one of its NICs' MACs, and its token.

    The token of a boot counts from the first heartbeat that proves it; from then on lookups are given None. Until then
    each lookup is given a new one, which ends the one before: its answer may have been lost with the service, and the
    ramdisk could never report.

    Raises:
        NotFound: no node, more than one, or one that waits for no ramdisk. Who asks is not told which.
    """
    who = node_uuid or ", ".join(addresses) or "without addresses"
    matched = _by_lookup(tx, addresses, node_uuid)
    if len(matched) != 1 or matched[0].provision_state not in WAITING:
        raise NotFound("node", who)
    node = matched[0]
    if node.agent_token_hash is not None and node.agent_seen_at is not None:
        return node, None
    token = secrets.token_urlsafe(32)
    info = {**node.driver_internal_info, AGENT_TOKEN: token}
    return update(tx, node.id, {"agent_token_hash": token_hash(token), "driver_internal_info": info}), token


def forget_ramdisk(tx: Tx, node_id: str) -> None:
    """Before a ramdisk is booted: what the one of an earlier boot said, and its token, count no more."""
    info = {k: v for k, v in by_id(tx, node_id).driver_internal_info.items() if k not in AGENT_KEYS}
    update(tx, node_id, {**NEW_BOOT, "driver_internal_info": info})


def record_heartbeat(
    tx: Tx,
    node_id: str,
    token: str | None,
    *,
    status: str | None = None,
    message: str | None = None,
    callback_url: str | None = None,
    version: str | None = None,
    certificate: str | None = None,
    source: str | None = None,
) -> Node:
    """What the ramdisk on a node says of itself; the lifecycle loop looks at the node at once.

    `status` is `start`, `end`, `error`, or None for a mere sign of life, which leaves the last report standing.
    `callback_url` is where its agent listens, `certificate` the CA of the agent's certificate (PEM), `source` the
    address that the heartbeat came from.

    Raises:
        Unauthorized: wrong token, or none was given to a ramdisk of this boot.
        Conflict: the node waits for no ramdisk.
        Invalid: the agent would listen at an address that is not this node's. In all cases nothing changes.
    """
    node = by_id(tx, node_id)
    if not _token_valid(node, token):
        raise Unauthorized("Invalid or missing agent token received.", code="InvalidParameterValue")
    if node.provision_state not in WAITING:
        raise Conflict(
            f"Node {node.label} is in state {node.provision_state.value!r} and waits for no ramdisk",
            code="InvalidState",
        )
    told: dict[str, Any] = {"agent_version": version, AGENT_CA: certificate}
    if node.has_agent:
        _check_callback(tx, node, callback_url or "", source)
        told[AGENT_URL] = callback_url
    changes: dict[str, Any] = {
        "agent_seen_at": tx.now,
        "due_at": tx.now,
        "driver_internal_info": {
            **node.driver_internal_info,
            **{key: value for key, value in told.items() if value is not None},
            "agent_last_heartbeat": tx.now.isoformat(),
        },
    }
    if status is not None:
        changes |= {"agent_report": status, "agent_message": message}
    return update(tx, node.id, changes)


def token_hash(token: str) -> str:
    """What is stored of an agent token to know it again: SHA-256 in hex."""
    return hashlib.sha256(token.encode()).hexdigest()


def _check_callback(tx: Tx, node: Node, url: str, source: str | None) -> None:
    """The conductor will send commands there: it has to be the server itself, and nothing else that we can reach.

    That is the address which its provision port was given. Where another DHCP server gave it one that we do not know,
    it is the address that the heartbeat came from.
    """
    recorded = node.driver_internal_info.get(AGENT_URL)
    if recorded is not None and url != recorded:
        raise _no_callback(f"{url[:200]!r} is another one than at first, {recorded}; a ramdisk does not move")
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and parts.path in ("", "/") and parts.port != 0
        sound = sound and not (parts.query or parts.fragment or parts.username or parts.password)
        host = ipaddress.ip_address(parts.hostname or "")  # its text is in canonical form, as the addresses in rows
    except ValueError:
        sound = False
    if not sound:
        raise _no_callback(f"{url[:200]!r} has to be http(s)://ADDRESS:PORT")
    given = provisioning.addresses(tx, node)
    allowed = given or ([source] if source else [])
    if str(host) not in allowed:
        whose = f"its provision port: {', '.join(given)}" if given else "the host that the heartbeat came from"
        raise _no_callback(f"{host} is not the address of {whose}")


def _no_callback(reason: str) -> Invalid:
    return Invalid(f"callback_url: {reason}", code="Invalid", field="callback_url")


def _token_valid(node: Node, token: str | None) -> bool:
    if node.agent_token_hash is None or token is None:
        return False
    return hmac.compare_digest(node.agent_token_hash, token_hash(token))


def _by_lookup(tx: Tx, addresses: Collection[str], node_uuid: str | None) -> Sequence[Node]:
    if node_uuid is not None:
        return find(tx, id=node_uuid.lower())
    owners = sa.select(baremetal_ports.c.node_id).where(baremetal_ports.c.address.in_(sorted(addresses)))
    return find(tx, nodes.c.id.in_(owners))
