"""What Neutron's database wishes for, in few queries: they are asked for with each change, in transactions too."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models.segment import NetworkSegment
from neutron.plugins.ml2.models import PortBinding, PortBindingLevel
from neutron.services.trunk.models import SubPort, Trunk
from neutron_lib import constants
from neutron_lib.db import api as db_api
from neutron_lib.db.standard_attr import StandardAttribute
from oslo_config import cfg
from oslo_serialization import jsonutils

from neutron_ironlane import NAME, config

IN_FORCE = PortBinding.status == constants.ACTIVE
"""Of a port's bindings, those to hosts that it may move to are not."""


def wishes(context: Any, port_ids: Collection[str] | None = None) -> dict[str, dict[str, Any]]:
    """The wishes of these ports, or of all: `{port id: wish}`, a wish as Ironlane takes it."""
    asked = sa.select(
        models_v2.Port.id,
        models_v2.Port.network_id,
        StandardAttribute.revision_number,
        models_v2.Network.name,
        NetworkSegment.segmentation_id,
        NetworkSegment.physical_network,
        PortBinding.host,
        PortBinding.profile,
        Trunk.port_id.label("parent"),
    )
    joined = (
        _bound(asked, port_ids)
        .join(models_v2.Port, models_v2.Port.id == PortBinding.port_id)
        .join(StandardAttribute, StandardAttribute.id == models_v2.Port.standard_attr_id)
        .join(models_v2.Network, models_v2.Network.id == models_v2.Port.network_id)
        .join(NetworkSegment, NetworkSegment.id == PortBindingLevel.segment_id)
        .outerjoin(SubPort, SubPort.port_id == models_v2.Port.id)
        .outerjoin(Trunk, Trunk.id == SubPort.trunk_id)
    )
    up = models_v2.Port.admin_state_up.is_(True), models_v2.Network.admin_state_up.is_(True)
    with db_api.CONTEXT_READER.using(context):
        rows = context.session.execute(joined.where(*up)).all()
    placed = ((row, _place(row)) for row in rows)
    return {row.id: _wish(row) | place for row, place in placed if place is not None}


def bound(context: Any, port_ids: Collection[str] | None = None, *, latest: bool = False) -> set[str]:
    """Which of these ports, or of all, are bound by us; the latest, in a transaction that writes, is as of now."""
    asked = _bound(sa.select(PortBinding.port_id), port_ids)
    with db_api.CONTEXT_READER.using(context):
        return set(context.session.scalars(asked.with_for_update(read=True) if latest else asked))


def bound_on(context: Any, network_id: str) -> set[str]:
    """The ports of a network that are bound by us."""
    here = models_v2.Port.id == PortBinding.port_id
    asked = _bound(sa.select(PortBinding.port_id), None).join(models_v2.Port, here)
    with db_api.CONTEXT_READER.using(context):
        return set(context.session.scalars(asked.where(models_v2.Port.network_id == network_id)))


def subports(context: Any, parent_ids: Collection[str], *, latest: bool = False) -> list[str]:
    """The sub-ports of these parent ports; the latest are as of now, and none comes before the transaction ends."""
    asked = sa.select(SubPort.port_id).join(Trunk, Trunk.id == SubPort.trunk_id)
    with db_api.CONTEXT_READER.using(context):
        asked = asked.where(Trunk.port_id.in_(parent_ids))
        return list(context.session.scalars(asked.with_for_update(read=True) if latest else asked))


def physical_network_of_parent(context: Any, port_id: str) -> str | None:
    """Where a sub-port can be: on the physical network of its parent port, if that is bound by us."""
    asked = (
        _bound(sa.select(NetworkSegment.physical_network), None)
        .join(NetworkSegment, NetworkSegment.id == PortBindingLevel.segment_id)
        .join(Trunk, Trunk.port_id == PortBinding.port_id)
        .join(SubPort, SubPort.trunk_id == Trunk.id)
    )
    with db_api.CONTEXT_READER.using(context):
        found = context.session.scalars(asked.where(SubPort.port_id == port_id)).one_or_none()
    return None if found is None else str(found)


def _bound(asked: Any, port_ids: Collection[str] | None) -> Any:
    """Bindings by us; those to hosts that a port is not on, but may move to, are none."""
    here = (PortBindingLevel.port_id == PortBinding.port_id) & (PortBindingLevel.host == PortBinding.host)
    found = asked.select_from(PortBinding).join(PortBindingLevel, here)
    found = found.where(PortBindingLevel.driver == NAME, IN_FORCE)
    return found if port_ids is None else found.where(PortBinding.port_id.in_(port_ids))


def _place(row: Any) -> dict[str, Any] | None:
    """Where a port is to be: beside its parent port, or where its links are; None if neither is there any more."""
    if row.parent is not None:
        return {"parent_id": row.parent, "host_id": "", "profile": {}}
    profile = _profile(row.profile)
    if not profile.get("local_link_information"):
        return None
    return {"parent_id": None, "host_id": row.host, "profile": profile}


def _profile(text: str) -> dict[str, Any]:
    """One that cannot be read is empty, as it is to Neutron."""
    try:
        return dict(jsonutils.loads(text or "{}"))
    except (TypeError, ValueError):
        return {}


def _wish(row: Any) -> dict[str, Any]:
    network = {"id": row.network_id, "name": row.name}
    return {
        "revision": row.revision_number,
        "network_id": row.network_id,
        "vlan": row.segmentation_id,
        "physical_network": row.physical_network or "",
        "side": "provider" if config.is_provider(cfg.CONF, network) else "tenant",
    }
