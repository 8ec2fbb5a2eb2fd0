"""What a node is to do: provision and power states, boot device, maintenance, console."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from ironlane.api.baremetal import checks
from ironlane.api.baremetal.call import Call, Json, accepted, done, ok
from ironlane.api.baremetal.microversions import require
from ironlane.api.baremetal.node_fields import NODE, interface
from ironlane.api.baremetal.validation import require_deployable, require_driver_info
from ironlane.model.errors import Conflict, Forbidden, Invalid
from ironlane.model.image import check_configdrive
from ironlane.model.node import Node
from ironlane.model.sha_crypt import sha512_crypt
from ironlane.model.states import VERBS, WORKING, ProvisionState, Verb
from ironlane.store import access, nodes
from ironlane.store.database import Tx

STATES = (
    "console_enabled",
    "last_error",
    "power_state",
    "provision_state",
    "provision_updated_at",
    "raid_config",
    "target_power_state",
    "target_provision_state",
    "target_raid_config",
    "boot_mode",
    "secure_boot",
)

VERB_SINCE: Mapping[str, int] = {
    "manage": 4,
    "provide": 4,
    "inspect": 6,
    "abort": 13,
    "clean": 15,
    "adopt": 17,
    "deploy": 73,
    "undeploy": 73,
    "rescue": 38,
    "unrescue": 38,
    "service": 87,
}
"""Targets that came after the first version."""

_SYNONYMS = {"deploy": Verb.ACTIVE, "undeploy": Verb.DELETED}

_PROVISION_BODY = {
    "target": 1,
    "configdrive": 1,
    "clean_steps": 15,
    "rescue_password": 38,
    "deploy_steps": 69,
    "disable_ramdisk": 70,
    "service_steps": 87,
    "runbook": 92,
}

_TAKES: Mapping[str, frozenset[str]] = {
    "configdrive": frozenset({Verb.ACTIVE, Verb.REBUILD}),
    "deploy_steps": frozenset({Verb.ACTIVE, Verb.REBUILD}),
    "clean_steps": frozenset({Verb.CLEAN}),
    "service_steps": frozenset({Verb.SERVICE}),
    "rescue_password": frozenset({Verb.RESCUE}),
}
"""Which targets go with the other keys of the body; keys that are not here are not supported at all."""

_ASKED = {
    "clean_steps": "user_clean_steps",
    "deploy_steps": "user_deploy_steps",
    "service_steps": "user_service_steps",
}
"""Keys of the body, and of `driver_internal_info`: there the agent's own list has the other name."""

_NEEDS: Mapping[str, str] = {
    Verb.CLEAN: "clean_steps",
    Verb.SERVICE: "service_steps",
    Verb.RESCUE: "rescue_password",
}
"""Targets that mean nothing without another key of the body."""

RESCUE_PASSWORD = "hashed_rescue_password"  # noqa: S105  # the key, not the password
"""Key in `driver_internal_info`, where the conductor finds what the ramdisk is to be given."""

BOOT_DEVICES = ("pxe", "disk")


async def show(call: Call) -> Response:
    """The states of a node."""
    node = await call.store.read(lambda tx: nodes.get(tx, call.path("node")))
    answer = NODE.render(call, node, STATES)
    answer.pop("links")
    return ok(answer)


async def provision(call: Call) -> Response:
    """Ask for a provision state: `{target, configdrive?, clean_steps?, deploy_steps?, service_steps?,
    rescue_password?}`."""
    body = await call.fields(_PROVISION_BODY, required=("target",))
    verb = _verb(call, body)

    def write(tx: Tx) -> None:
        node = nodes.get(tx, call.path("node"))
        access.require_node(tx, node, verb)
        _require_free(node, verb)
        if verb not in {Verb.MANAGE, Verb.DELETED, Verb.ABORT}:
            require_driver_info(tx, call, node)
        if verb == Verb.ABORT and node.provision_state is ProvisionState.INSPECT_WAIT:
            require(call.version, 41, "target abort in inspect wait")
        _require_supported(node, verb)
        if verb in {Verb.ACTIVE, Verb.REBUILD} and node.provision_state in VERBS[Verb(verb)]:
            require_deployable(call, node)
            if node.deploy_interface == "direct":
                check_configdrive(body.get("configdrive"))
        nodes.request_state(tx, node, verb, _instructions(node, body))

    await call.store.write(write)
    return Response(status_code=202, headers={"Location": f"{call.base}/v1/nodes/{call.path('node')}/states"})


async def power(call: Call) -> Response:
    """Ask for a power state: `{target, timeout?}`."""
    body = await call.fields({"target": 1, "timeout": 27}, required=("target",))
    target, timeout = body["target"], body.get("timeout")
    if not isinstance(target, str) or target not in nodes.POWER_TARGETS:
        raise Invalid(f"target: must be one of {', '.join(nodes.POWER_TARGETS)}", field="target")
    if target.startswith("soft "):
        require(call.version, 27, f"target {target}")
    if timeout is not None and (not isinstance(timeout, int) or isinstance(timeout, bool) or timeout <= 0):
        raise Invalid("timeout: must be a positive number of seconds", field="timeout")

    def write(tx: Tx) -> None:
        node = nodes.get(tx, call.path("node"))
        if node.provision_state in {ProvisionState.CLEANING, ProvisionState.CLEAN_WAIT}:
            raise Invalid(
                f'The requested action "{target}" can not be performed on node "{node.label}" while it is in state'
                f' "{node.provision_state.value}".',
                code="InvalidStateRequested",
                field="target",
            )
        _require_idle(node)
        require_driver_info(tx, call, node)
        nodes.request_power(tx, node, target, timeout)

    await call.store.write(write)
    return accepted()


async def boot_device(call: Call) -> Response:
    """The boot device that was asked for last."""
    node = await call.store.read(lambda tx: nodes.get(tx, call.path("node")))
    return ok({"boot_device": node.boot_device, "persistent": node.boot_device_persistent})


async def set_boot_device(call: Call) -> Response:
    """Ask for a boot device: `{boot_device, persistent?}`."""
    body = await call.fields({"boot_device": 1, "persistent": 1}, required=("boot_device",))
    device = checks.one_of(BOOT_DEVICES)(body["boot_device"], "boot_device")
    persistent = checks.flag(body.get("persistent", False), "persistent")

    def write(tx: Tx) -> None:
        node = nodes.get(tx, call.path("node"))
        _require_idle(node)
        nodes.request_boot_device(tx, node, device, persistent=persistent)

    await call.store.write(write)
    return done()


async def supported_boot_devices(call: Call) -> Response:
    """The boot devices that a node can be told to use."""
    await call.store.read(lambda tx: nodes.get(tx, call.path("node")))
    return ok({"supported_boot_devices": list(BOOT_DEVICES)})


async def set_maintenance(call: Call) -> Response:
    """Take a node out of service: `{reason?}`."""
    body = await call.fields({"reason": 1})
    reason = checks.optional(checks.text(4096))(body.get("reason"), "reason")

    def write(tx: Tx) -> None:
        node = nodes.get(tx, call.path("node"))
        nodes.update(tx, node.id, {"maintenance": True, "maintenance_reason": reason})

    await call.store.write(write)
    return accepted()


async def clear_maintenance(call: Call) -> Response:
    """Take a node back into service; the lifecycle loop goes on with it at once."""

    def write(tx: Tx) -> None:
        node = nodes.get(tx, call.path("node"))
        changes = {"maintenance": False, "maintenance_reason": None, "fault": None, "due_at": tx.now}
        nodes.update(tx, node.id, changes)

    await call.store.write(write)
    return accepted()


async def console(call: Call) -> Response:
    """The console of a node: there is none."""
    await call.store.read(lambda tx: nodes.get(tx, call.path("node")))
    return ok({"console_enabled": False, "console_info": None})


def _verb(call: Call, body: Json) -> str:
    """The target that is asked for, with what goes with it checked."""
    target = checks.text()(body["target"], "target")
    require(call.version, VERB_SINCE.get(target, 1), f"target {target[:64]}")
    verb = str(_SYNONYMS.get(target, target))
    for key, value in body.items():
        if key == "target" or value is None or value is False:
            continue
        targets = _TAKES.get(key)
        if targets is None:
            raise Invalid(f"{key}: is not supported by this service", field=key)
        if verb not in targets:
            raise Invalid(f"{key}: goes with target {' or '.join(sorted(targets))} only", field=key)
    if body.get("configdrive") is not None:
        _check_configdrive(call, verb, body["configdrive"])
    for key in _ASKED:
        if body.get(key) is not None:
            checks.steps(body[key], key)
    if body.get("rescue_password") is not None:
        checks.text(255, shortest=1)(body["rescue_password"], "rescue_password")
    needed = _NEEDS.get(verb)
    if needed is not None and not body.get(needed):
        raise Invalid(f'{needed}: is required when setting target provision state to "{verb}"', field=needed)
    return verb


def _require_supported(node: Node, verb: str) -> None:
    """Refuse what the node's interfaces do not have.

    Raises:
        Invalid: `UnsupportedDriverExtension`.
    """
    kinds: Mapping[str, str] = {Verb.INSPECT: "inspect", Verb.RESCUE: "rescue", Verb.UNRESCUE: "rescue"}
    kind = kinds.get(verb)
    if kind is not None and interface(node, kind) == f"no-{kind}":
        raise Invalid(
            f"Node {node.label} has {kind}_interface no-{kind}; set it to agent for the target {verb}",
            code="UnsupportedDriverExtension",
        )


def _check_configdrive(call: Call, verb: str, value: Any) -> None:
    if verb == Verb.REBUILD:
        require(call.version, 35, "configdrive")
    if isinstance(value, dict):
        require(call.version, 56, "configdrive")
        unknown = sorted(value.keys() - {"meta_data", "network_data", "user_data", "vendor_data"})
        if unknown:
            raise Invalid(f"configdrive.{unknown[0][:64]}: unknown", field=f"configdrive.{unknown[0][:64]}")
    elif not isinstance(value, str):
        raise Invalid(
            "configdrive: must be a string (a URL, or gzipped and in base64) or an object", field="configdrive"
        )


def _instructions(node: Node, body: Json) -> dict[str, Any]:
    """Columns in which the lifecycle loop finds what came with the target."""
    changes: dict[str, Any] = {}
    if body.get("configdrive") is not None:
        changes["instance_info"] = {**node.instance_info, "configdrive": body["configdrive"]}
    forgotten = {*_ASKED.values(), RESCUE_PASSWORD}
    kept = {key: value for key, value in node.driver_internal_info.items() if key not in forgotten}
    given = {kept_as: body[key] for key, kept_as in _ASKED.items() if body.get(key)}
    if body.get("rescue_password"):
        given[RESCUE_PASSWORD] = sha512_crypt(body["rescue_password"])
    changes["driver_internal_info"] = {**kept, **given}
    return changes


_NOT_IN_MAINTENANCE = frozenset(
    {
        Verb.ACTIVE,
        Verb.REBUILD,
        Verb.PROVIDE,
        Verb.CLEAN,
        Verb.INSPECT,
        Verb.RESCUE,
        Verb.UNRESCUE,
        Verb.SERVICE,
    }
)


def _require_free(node: Node, verb: str) -> None:
    """Refuse what maintenance, protection or retirement stand in the way of.

    Raises:
        Invalid: `NodeInMaintenance`.
        Forbidden: `NodeProtected`.
        Conflict: `NodeIsRetired`.
    """
    if node.maintenance and verb in _NOT_IN_MAINTENANCE:
        raise Invalid(
            f"The {verb} operation can't be performed on node {node.label} because it's in maintenance mode.",
            code="NodeInMaintenance",
        )
    if node.protected and verb in {Verb.REBUILD, Verb.DELETED}:
        raise Forbidden(
            f"Node {node.label} is protected and cannot be undeployed, rebuilt or deleted.", code="NodeProtected"
        )
    if node.retired and verb == Verb.PROVIDE:
        raise Conflict(f"Node {node.label} is retired; take that off before it becomes available", code="NodeIsRetired")


def _require_idle(node: Node) -> None:
    """Refuse while the lifecycle loop is at work on the node.

    Raises:
        Conflict: `NodeLocked`.
    """
    if node.provision_state in WORKING and not node.maintenance:
        by = f" by host {node.conductor}" if node.conductor else ""
        raise Conflict(
            f"Node {node.label} is locked{by}, please retry after the current operation is completed: it is"
            f" {node.provision_state.value}",
            code="NodeLocked",
        )
