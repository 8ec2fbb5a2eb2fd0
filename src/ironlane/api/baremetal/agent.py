"""`/v1/lookup` and `/v1/heartbeat/{node}`: what the ramdisk on a node says. Neither needs a token of the identity
service: the ramdisk has none. It proves itself by the agent token that its first lookup of a boot was given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.responses import Response

from ironlane.api.baremetal import checks
from ironlane.api.baremetal.call import Call, Json, accepted, ok
from ironlane.model.errors import Invalid
from ironlane.model.node import Node
from ironlane.model.secrets import MASK, masked
from ironlane.store import nodes, ramdisks
from ironlane.store.database import Tx

STATUSES = ("start", "end", "error")

_HEARTBEAT = {
    "callback_url": 22,
    "agent_version": 36,
    "agent_token": 62,
    "agent_verify_ca": 68,
    "agent_status": 72,
    "agent_status_message": 72,
}


async def lookup(call: Call) -> Response:
    """The node that a ramdisk runs on: `?addresses=<MAC>,<MAC>` or `?node_uuid=`.

    `{"node": {uuid, properties, instance_info, driver_internal_info, provision_state, links}, "config":
    {heartbeat_timeout, agent_token, agent_token_required, …}}`; `agent_token` reads `******` once
    a heartbeat has proven it.
    """
    for key in call.query:
        if key not in {"addresses", "node_uuid"}:
            raise Invalid(f'Unknown argument: "{key[:64]}"', field=key[:64])
    addresses = mac_addresses(call.query.get("addresses", "").split(","))
    node_uuid = call.query.get("node_uuid") or None
    if not addresses and node_uuid is None:
        raise Invalid("addresses: name at least one MAC address, or node_uuid", field="addresses")
    ident = checks.identifier(node_uuid, "node_uuid") if node_uuid is not None else None

    def write(tx: Tx) -> tuple[Node, str | None]:
        return ramdisks.record_lookup(tx, addresses, ident)

    node, token = await call.store.write(write)
    return ok(looked_up(call, node, token))


async def heartbeat(call: Call) -> Response:
    """A ramdisk is alive: `{callback_url, agent_token, agent_version?, agent_verify_ca?, agent_status?,
    agent_status_message?}`; 401 without the token of its boot."""
    body = await call.fields(_HEARTBEAT, required=("callback_url",))
    optional = checks.optional
    client = call.request.client
    told: dict[str, Any] = {
        "callback_url": checks.text(2048)(body["callback_url"], "callback_url"),
        "source": client.host if client is not None else None,
        "certificate": optional(checks.text(65536))(body.get("agent_verify_ca") or None, "agent_verify_ca"),
        "version": optional(checks.text())(body.get("agent_version"), "agent_version"),
        "status": optional(checks.one_of(STATUSES))(body.get("agent_status") or None, "agent_status"),
        "message": optional(checks.text(65536))(body.get("agent_status_message"), "agent_status_message"),
    }
    if call.settings.agent_tls and told["callback_url"].startswith("http:"):
        raise Invalid(
            "callback_url: must be https; this service sends its orders to agents over TLS only (agent_require_tls)",
            field="callback_url",
        )
    token = optional(checks.text(1024))(body.get("agent_token"), "agent_token")

    def write(tx: Tx) -> None:
        ramdisks.record_heartbeat(tx, nodes.get(tx, call.path("node")).id, token, **told)

    await call.store.write(write)
    return accepted()


def looked_up(call: Call, node: Node, token: str | None) -> Json:
    """What a ramdisk is told of the node that it runs on. `token` None: it has one, which is not told again."""
    return {"node": _node(call, node), "config": _config(call, token)}


def mac_addresses(texts: Iterable[str]) -> list[str]:
    """The MAC addresses among some texts; others (InfiniBand GUIDs) are left out, as in Ironic."""
    found = []
    for part in texts:
        try:
            found.append(checks.mac(part.strip(), "addresses"))
        except Invalid:
            continue
    return found


def _node(call: Call, node: Node) -> Json:
    """What a ramdisk needs to know, and no more: anybody on the provisioning network may ask."""
    return {
        "uuid": node.id,
        "properties": dict(node.properties),
        "instance_info": masked(node.instance_info),
        "driver_internal_info": masked(node.driver_internal_info),
        "provision_state": node.provision_state.value,
        "links": call.links("nodes", node.id),
    }


def _config(call: Call, token: str | None) -> Json:
    config: Json = {
        "metrics": {
            "backend": "noop",
            "prepend_host": False,
            "prepend_uuid": False,
            "prepend_host_reverse": True,
            "global_prefix": None,
        },
        "metrics_statsd": {"statsd_host": None, "statsd_port": None},
        "heartbeat_timeout": call.settings.heartbeat_timeout,
        "agent_token": token if token is not None else MASK,
        "agent_token_required": True,
        "agent_md5_checksum_enable": False,
    }
    return config
