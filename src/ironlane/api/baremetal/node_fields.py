"""The fields of a node, as a table. Sources: Baremetal API reference, Ironic's REST API version history."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ironlane.api.baremetal import checks
from ironlane.api.baremetal.fields import Field, Resource
from ironlane.model.node import Node, NodeId
from ironlane.model.secrets import masked
from ironlane.model.states import ProvisionState

INTERFACES: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "bios": (40, ("no-bios",)),
    "boot": (31, ("ipxe", "pxe", "fake")),
    "console": (31, ("no-console",)),
    "deploy": (31, ("direct", "ramdisk", "fake")),
    "firmware": (86, ("no-firmware",)),
    "inspect": (31, ("agent", "no-inspect")),
    "management": (31, ("ipmitool", "redfish", "fake")),
    "network": (20, ("neutron", "noop")),
    "power": (31, ("ipmitool", "redfish", "fake")),
    "raid": (31, ("no-raid",)),
    "rescue": (38, ("agent", "no-rescue")),
    "storage": (33, ("noop",)),
    "vendor": (31, ("no-vendor",)),
}
"""Ironic's hardware interfaces: since which version, and what Ironlane can honestly say. The first is the default."""

OUT_OF_BAND: Mapping[str, str] = {"ipmi": "ipmitool", "redfish": "redfish", "fake-hardware": "fake"}
"""The power and management interface that goes with each driver."""


def interface(node: Node, kind: str) -> str:
    """What a node uses as its interface of a kind."""
    chosen = node.interfaces.get(f"{kind}_interface")
    if chosen:
        return chosen
    return default_interface(node.driver, kind)


def default_interface(driver: str, kind: str) -> str:
    """What a driver uses when the client chooses nothing."""
    if kind in {"power", "management"}:
        return OUT_OF_BAND.get(driver, driver)
    if kind == "deploy":
        return Node(NodeId(""), driver=driver).deploy_interface
    if kind == "boot" and driver == "fake-hardware":
        return "fake"
    return INTERFACES[kind][1][0]


def enabled_interfaces(driver: str, kind: str) -> list[str]:
    """What a client may choose with a driver."""
    if kind in {"power", "management"}:
        return [default_interface(driver, kind)]
    names = INTERFACES[kind][1]
    if kind == "boot" and driver != "fake-hardware":
        return [name for name in names if name != "fake"]
    return list(names)


def _interface_field(kind: str) -> Field:
    since, names = INTERFACES[kind]
    return Field(
        f"{kind}_interface",
        since,
        read=lambda node: interface(node, kind),
        check=checks.one_of(names),
        column=f"interfaces.{kind}_interface",
    )


CLEANING = frozenset({ProvisionState.CLEANING, ProvisionState.CLEAN_WAIT})
DEPLOYING = frozenset({ProvisionState.DEPLOYING, ProvisionState.DEPLOY_WAIT})
SERVICING = frozenset({ProvisionState.SERVICING, ProvisionState.SERVICE_WAIT})


def _step(node: Node, kind: str, states: Collection[ProvisionState]) -> Any:
    """The step that the agent is at; empty when it is at none."""
    info = node.driver_internal_info
    steps, index = info.get(f"{kind}_steps") or [], info.get(f"{kind}_step_index") or 0
    return dict(steps[index]) if node.provision_state in states and index < len(steps) else {}


_OLD_STATES = ((2, "available", None), (39, "inspect wait", "inspecting"))
"""Provision states that older versions do not know."""


def _constant(name: str, since: int, value: Any) -> Field:
    """Something of Ironic's that Ironlane does not do: shown as Ironic shows it when it is not used."""
    return Field(name, since, read=lambda _node: value)


def _unused_fields() -> list[Field]:
    """What Ironic has and Ironlane does not do."""
    return [
        _constant("boot_mode", 75, None),
        _constant("console_enabled", 1, False),
        _constant("disable_power_off", 95, False),
        _constant("health", 109, None),
        _constant("network_data", 66, {}),
        _constant("raid_config", 12, {}),
        _constant("reservation", 1, None),
        _constant("secure_boot", 75, None),
        _constant("target_raid_config", 12, {}),
    ]


def _own_fields() -> list[Field]:
    text, optional = checks.text, checks.optional
    return [
        Field("uuid", read=lambda node: node.id, check=checks.identifier, column="id", only_new=True),
        Field("name", 5, check=optional(checks.name)),
        Field("instance_uuid", check=optional(checks.identifier)),
        Field("power_state"),
        Field("target_power_state"),
        Field("provision_state", read=lambda node: node.provision_state.value, older=_OLD_STATES),
        Field("target_provision_state", older=_OLD_STATES),
        Field("provision_updated_at"),
        Field("clean_step", 7, read=lambda node: _step(node, "clean", CLEANING)),
        Field("deploy_step", 44, read=lambda node: _step(node, "deploy", DEPLOYING)),
        Field("service_step", 87, read=lambda node: _step(node, "service", SERVICING)),
        Field("maintenance", check=checks.flag, absent=False),
        Field("maintenance_reason", check=optional(text(4096))),
        Field("fault", 42),
        Field("last_error", rule="baremetal:node:get:last_error"),
        Field("inspection_started_at", 6),
        Field("inspection_finished_at", 6),
        Field("driver", check=text(64, shortest=1), required=True),
        Field(
            "driver_info",
            read=lambda node: masked(node.driver_info),
            check=checks.json_object,
            absent={},
            secret=True,
            rule="baremetal:node:get:driver_info",
        ),
        Field(
            "driver_internal_info",
            3,
            read=lambda node: masked(node.driver_internal_info),
            rule="baremetal:node:get:driver_internal_info",
        ),
        Field("properties", check=checks.json_object, absent={}),
        Field("extra", check=checks.json_object, absent={}),
        Field(
            "instance_info",
            read=lambda node: masked(node.instance_info),
            check=checks.json_object,
            absent={},
            secret=True,
        ),
        Field("chassis_uuid", check=optional(checks.identifier)),
        Field("allocation_uuid", 52),
        Field("shard", 82, check=optional(text())),
        Field("parent_node", 83, check=optional(text())),
        Field("instance_name", 104, check=optional(text())),
        Field("resource_class", 21, check=optional(text(80))),
        Field("conductor_group", 46, check=checks.conductor_group, absent=""),
        Field("conductor", 49),
        Field("automated_clean", 47, check=checks.flag, absent=True),
        Field("protected", 48, check=checks.flag, absent=False),
        Field("protected_reason", 48, check=optional(text(4096))),
        Field("owner", 50, check=optional(text())),
        Field("lessee", 65, check=optional(text())),
        Field("description", 51, check=optional(text(4096))),
        Field("retired", 61, check=checks.flag, absent=False),
        Field("retired_reason", 61, check=optional(text(4096))),
        Field("traits", 37),
        *(_interface_field(kind) for kind in sorted(INTERFACES)),
        Field("created_at"),
        Field("updated_at"),
    ]


NODE = Resource(
    "node",
    "nodes",
    {field.name: field for field in (*_own_fields(), *_unused_fields())},
    short=("uuid", "name", "instance_uuid", "maintenance", "power_state", "provision_state"),
    sublinks={"ports": 1, "states": 14, "portgroups": 24, "volume": 32, "bios": 40, "history": 78},
)
