"""Rows as the fabric API shows them. Times are ISO 8601 in UTC; VLANs are numbers; absent values are null."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime
from typing import Any

from ironlane.model.fabric import Attachment, PortConfig
from ironlane.store.attachments import config_to_json
from ironlane.store.drifts import Drift
from ironlane.store.foreign_bindings import ForeignBinding
from ironlane.store.holdings import Holding
from ironlane.store.plans import PlanRecord, changes_to_json
from ironlane.store.restore import Action, Binding, Lost
from ironlane.store.switches import OwnedPort, SwitchRecord

MADE: dict[int | str, dict[str, Any]] = {201: {"model": dict[str, Any], "description": "It was not there before."}}
"""What a PUT answers besides 200."""


def switch_view(record: SwitchRecord, ports: Collection[str]) -> dict[str, Any]:
    """A switch: what the operator said, and how far the fabric loop has come with it."""
    return {
        "name": record.id,
        "kind": record.kind,
        "address": record.address,
        "port": record.port,
        "username": record.username,
        "secret": record.secret_ref,
        "mac": record.mac,
        "datapath_id": record.datapath_id,
        "physical_network": record.physical_network,
        "rack": record.rack or None,
        "mlag_peer": record.mlag_peer,
        "idle_vlan": record.idle_vlan,
        "policy": record.policy,
        "options": dict(record.options),
        "ports": sorted(ports),
        "state": record.state,
        "reason": record.reason,
        "generation": record.generation,
        "applied_generation": record.applied_generation,
        "converged": record.generation == record.applied_generation and record.state == "ok",
        "attempts": record.attempts,
        "audit_due": record.audit_due,
        "due_at": _moment(record.due_at),
        "observed_at": _moment(record.observed_at),
        "conductor": record.conductor,
        "created_at": _moment(record.created_at),
        "updated_at": _moment(record.updated_at),
    }


def port_view(port: OwnedPort, attachments: Collection[Attachment]) -> dict[str, Any]:
    """An owned switch port: what it was last seen to carry, and who is on it. Idle: nobody asks for it."""
    return {
        "name": port.name,
        "switch": port.switch,
        "idle": not attachments,
        "observed": _config(port.observed),
        "observed_at": _moment(port.observed_at),
        "attachments": [attachment_view(attachment) for attachment in attachments],
    }


def foreign_binding_view(binding: ForeignBinding) -> dict[str, Any]:
    """A network port of somebody else's Neutron: what it asks for, and what became of it."""
    wish = binding.wish
    return {
        "id": binding.id,
        "revision": binding.revision,
        "network_id": wish.network_id,
        "vlan": wish.vlan,
        "physical_network": wish.physical_network,
        "side": wish.side.value,
        "host_id": wish.host_id,
        "profile": dict(wish.profile),
        "parent_id": wish.parent_id,
        "status": binding.status,
        "reason": binding.reason,
        "change": binding.change,
        "updated_at": _moment(binding.updated_at),
    }


def attachment_view(attachment: Attachment) -> dict[str, Any]:
    """One network port's wish for one switch port."""
    return {
        "id": attachment.id,
        "switch": attachment.switch,
        "port": attachment.port,
        "network_port": attachment.network_port,
        "network": attachment.network,
        "host": attachment.host,
        "vlan": attachment.vlan,
        "tagged": attachment.tagged,
        "side": attachment.side.value,
        "state": attachment.state.value,
        "applied": attachment.applied,
        "lag": None if attachment.lag is None else asdict(attachment.lag),
        "request_id": attachment.request_id,
        "created_at": _moment(attachment.created_at),
    }


def plan_view(record: PlanRecord) -> dict[str, Any]:
    """A plan: each port before and after, the exact text sent, and what came of it."""
    return {
        "id": record.id,
        "switch": record.switch,
        "generation": record.generation,
        "outcome": record.outcome.value,
        "reason": record.reason,
        "changes": changes_to_json(record.plan),
        "rendered": list(record.rendered),
        "created_at": _moment(record.created_at),
        "finished_at": _moment(record.finished_at),
    }


def drift_view(drift: Drift) -> dict[str, Any]:
    """A change that somebody else made: what the port should carry, what it carried, and how it ended."""
    return {
        "id": drift.id,
        "switch": drift.switch,
        "port": drift.port,
        "expected": config_to_json(drift.expected),
        "found": config_to_json(drift.found),
        "found_at": _moment(drift.found_at),
        "resolved_at": _moment(drift.resolved_at),
        "resolution": drift.resolution or None,
    }


def holding_view(holding: Holding) -> dict[str, Any]:
    """A period in which a switch port carried a VLAN for somebody. `to_at` null: it still does."""
    return {
        "switch": holding.switch,
        "port": holding.port,
        "vlan": holding.vlan,
        "tagged": holding.tagged,
        "lag": None if holding.lag is None else asdict(holding.lag),
        "host": holding.host,
        "network": holding.network,
        "network_port": holding.network_port,
        "request_id": holding.request_id,
        "from_at": _moment(holding.from_at),
        "to_at": _moment(holding.to_at),
    }


def action_view(action: Action) -> dict[str, Any]:
    """One step of a restore: what is bound how now, and how it was then."""
    return {
        "action": action.kind.value,
        "network_port": action.network_port,
        "network": action.network,
        "before": _binding(action.before),
        "after": _binding(action.after),
        "conflict": action.conflict or None,
    }


def lost_view(lost: Lost) -> dict[str, Any]:
    """What was held then and cannot be brought back."""
    return {
        "network_port": lost.network_port,
        "network": lost.network,
        "binding": _binding(lost.binding),
        "reason": lost.reason,
    }


def _binding(binding: Binding | None) -> dict[str, Any] | None:
    if binding is None:
        return None
    return {
        "host": binding.host,
        "links": [{"switch": switch, "port": port} for switch, port in binding.places],
        "bundle": None if binding.bundle is None else binding.bundle.mode.value,
    }


def _config(config: PortConfig | None) -> dict[str, Any] | None:
    return None if config is None else config_to_json(config)


def _moment(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()
