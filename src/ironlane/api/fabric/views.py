"""Rows as the fabric API shows them. Times are ISO 8601 in UTC; VLANs are numbers; absent values are null."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime
from typing import Any

from ironlane.model.fabric import Attachment, PortConfig
from ironlane.store.attachments import config_to_json
from ironlane.store.plans import PlanRecord
from ironlane.store.switches import OwnedPort, SwitchRecord


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
        "options": dict(record.options),
        "ports": sorted(ports),
        "state": record.state,
        "reason": record.reason,
        "generation": record.generation,
        "applied_generation": record.applied_generation,
        "converged": record.generation == record.applied_generation and record.state == "ok",
        "attempts": record.attempts,
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
        "changes": [
            {
                "port": change.port,
                "before": config_to_json(change.before),
                "after": config_to_json(change.after),
                "network_ports": list(change.network_ports),
            }
            for change in record.plan.changes
        ],
        "rendered": list(record.rendered),
        "created_at": _moment(record.created_at),
        "finished_at": _moment(record.finished_at),
    }


def _config(config: PortConfig | None) -> dict[str, Any] | None:
    return None if config is None else config_to_json(config)


def _moment(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()
