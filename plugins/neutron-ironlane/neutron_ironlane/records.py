"""Neutron's side of the bargain: what its database says should be bound, and the status of its ports.

All that Ironlane is told is derived from the database, again and again.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from typing import Any

from neutron.db import models_v2, provisioning_blocks
from neutron.db.models.provisioning_block import ProvisioningBlock
from neutron.objects import network as network_objects
from neutron.objects import ports as port_objects
from neutron.plugins.ml2 import models as ml2_models
from neutron.plugins.ml2.common import exceptions as ml2_exceptions
from neutron_lib import constants, exceptions
from neutron_lib import context as neutron_context
from neutron_lib.callbacks import resources
from neutron_lib.db import api as db_api
from neutron_lib.plugins import directory
from oslo_config import cfg

from neutron_ironlane import NAME, config, trunks
from neutron_ironlane.wish import same

LOG = logging.getLogger(__name__)

_CHUNK = 200
_VERIFIED = "ironlane_verified"
"""The attribute of a context that says what was verified, for the transaction that makes the port ACTIVE."""


class Records:
    """What `sync.Neutron` asks for, of the Neutron that runs in this process."""

    def wishes(self, port_ids: Collection[str] | None = None) -> dict[str, dict[str, Any]]:
        """The wishes of these ports, or of all: `{port id: wish}`, a wish as Ironlane takes it."""
        return _wishes(neutron_context.get_admin_context(), port_ids)

    def suspended(self) -> list[str]:
        """Ports that we have bound and that are to be nowhere for now: they or their networks are down."""
        context = neutron_context.get_admin_context()
        bound = {level.port_id for level in port_objects.PortBindingLevel.get_objects(context, driver=NAME)}
        return sorted(bound - _wishes(context).keys())

    def revision(self, port_id: str) -> int | None:
        """The port's revision, None if the port is gone."""
        try:
            port = directory.get_plugin().get_port(neutron_context.get_admin_context(), port_id)
        except exceptions.PortNotFound:
            return None
        return int(port["revision_number"])

    def renew(self, port_id: str) -> None:
        """Give the port a new revision, so that its wish is newer than that it was taken back."""
        context = neutron_context.get_admin_context()
        with db_api.CONTEXT_WRITER.using(context):
            port = context.session.get(models_v2.Port, port_id)
            if port is not None:
                port.bump_revision()

    def refuse(self, port_id: str) -> None:
        """The port is in error, until a wish of it is accepted."""
        context = neutron_context.get_admin_context()
        directory.get_plugin().update_port_status(context, port_id, constants.PORT_STATUS_ERROR)
        trunks.show_status(context, port_id)

    def follow_trunks(self) -> None:
        """Have every sub-port bound where its parent port is."""
        trunks.follow_all(neutron_context.get_admin_context())

    def statuses(self, port_ids: Collection[str]) -> dict[str, str]:
        """The statuses of these ports."""
        context, plugin = neutron_context.get_admin_context(), directory.get_plugin()
        found, wanted = {}, sorted(port_ids)
        for start in range(0, len(wanted), _CHUNK):
            some = {"id": wanted[start : start + _CHUNK]}
            found.update({port["id"]: port["status"] for port in plugin.get_ports(context, some, ["id", "status"])})
        return found

    def settle(self, port_id: str, binding: dict[str, Any] | None, latest: bool) -> object | None:
        """Make the status of a port that we have bound what its binding says, if it is of what is wished for now.

        Without a binding it is DOWN. Returns None if the status is that already, else what it was derived from. Only
        the latest is acted upon.
        """
        context = neutron_context.get_admin_context()
        status = self.statuses([port_id]).get(port_id) if trunks.bound_by_us(context, port_id) else None
        if status is None:
            return None
        wish = _wishes(context, [port_id]).get(port_id)
        asked = binding is not None and wish is not None and same(binding, wish)
        wanted = constants.PORT_STATUS_DOWN
        if asked and binding is not None and binding["status"] == constants.PORT_STATUS_ACTIVE:
            wanted = constants.PORT_STATUS_ACTIVE
        refused = status == constants.PORT_STATUS_ERROR and wish is not None and not asked
        # Where somebody else's block keeps the port DOWN as well, ours has to be there when that is lifted.
        loose = status == wanted == constants.PORT_STATUS_DOWN and asked and not _blocked(context, port_id)
        if refused or (status == wanted and not loose):
            return None
        if latest and wanted == constants.PORT_STATUS_ACTIVE:
            _activate(context, port_id, binding)
        elif latest:
            LOG.info("port %s is not as it should be: %s", port_id, binding["reason"] if binding else "it is not bound")
            provisioning_blocks.add_provisioning_component(context, port_id, resources.PORT, NAME)
            directory.get_plugin().update_port_status(context, port_id, wanted)
        if latest:
            trunks.show_status(context, port_id)
        return latest, binding and binding["change"], wish


class Overtaken(Exception):
    """What was verified is not what is wished for by now."""


def confirm(context: Any, port: dict[str, Any]) -> None:
    """Called in the transaction that writes a port's status.

    ML2 looks at a port and writes its status later. In between, somebody may unbind it or bind it elsewhere, and has
    made it DOWN: ACTIVE would be a lie then, and nobody would come back to it. From here on, the port's revision
    protects what is read.

    Raises:
        Overtaken: it is us who say ACTIVE, and something else is wished for now.
    """
    binding = getattr(context, _VERIFIED, None)
    if binding is None or port["status"] != constants.PORT_STATUS_ACTIVE or port["id"] != binding["id"]:
        return
    wish = _wishes(context, [port["id"]]).get(port["id"])
    if wish is None or not same(binding, wish) or _blocked(context, port["id"]):
        raise Overtaken(f"port {port['id']} was changed after it was verified")


def take_down(context: Any, port_id: str) -> None:
    """Called in the transaction that unbinds a port: it is DOWN, whatever another transaction has made of it meanwhile.

    ML2 writes DOWN only if the port was something else when this transaction began, and its own check of the port's
    revision passes over that.
    """
    ports = context.session.query(models_v2.Port).filter_by(id=port_id)
    ports.update({"status": constants.PORT_STATUS_DOWN}, synchronize_session=False)


def _activate(context: Any, port_id: str, binding: Any) -> None:
    """Lift our block, and have the port ACTIVE if there is no other one, unless something else is wished for by now."""
    lifted = db_api.retry_if_session_inactive()(_lift_block)(context, port_id, binding)
    if not lifted or provisioning_blocks.is_object_blocked(context, port_id, resources.PORT):
        return
    setattr(context, _VERIFIED, binding)
    try:
        directory.get_plugin().update_port_status(context, port_id, constants.PORT_STATUS_ACTIVE)
    except ml2_exceptions.MechanismDriverError:
        LOG.info("port %s is not ACTIVE yet: something else is wished for by now", port_id)


def _lift_block(context: Any, port_id: str, binding: dict[str, Any]) -> bool:
    """The lock keeps the port bound as it is until the block is gone: it may not be one that was put up meanwhile."""
    with db_api.CONTEXT_WRITER.using(context):
        bindings = context.session.query(ml2_models.PortBinding)
        bindings.filter_by(port_id=port_id).with_for_update().all()
        wish = _wishes(context, [port_id]).get(port_id)
        if wish is None or not same(binding, wish):
            return False
        provisioning_blocks.remove_provisioning_component(context, port_id, resources.PORT, NAME)
        return True


def _blocked(context: Any, port_id: str) -> bool:
    """Whether our own block is on the port."""
    with db_api.CONTEXT_READER.using(context):
        blocks = context.session.query(ProvisioningBlock).filter_by(entity=NAME)
        of = blocks.join(models_v2.Port, models_v2.Port.standard_attr_id == ProvisioningBlock.standard_attr_id)
        return of.filter(models_v2.Port.id == port_id).first() is not None


def _wishes(context: Any, port_ids: Collection[str] | None = None) -> dict[str, dict[str, Any]]:
    which = {} if port_ids is None else {"port_id": list(port_ids)}
    with db_api.CONTEXT_READER.using(context):
        levels = port_objects.PortBindingLevel.get_objects(context, driver=NAME, **which)
        found: dict[str, dict[str, Any]] = {}
        for start in range(0, len(levels), _CHUNK):
            found.update(_some_wishes(context, levels[start : start + _CHUNK]))
    return found


def _some_wishes(context: Any, levels: list[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    plugin = directory.get_plugin()
    by_port = {level.port_id: level for level in levels}
    segment_ids = sorted({level.segment_id for level in levels})
    segments = {s.id: s for s in network_objects.NetworkSegment.get_objects(context, id=segment_ids)}
    ports = plugin.get_ports(context, filters={"id": list(by_port)})
    network_ids = sorted({port["network_id"] for port in ports})
    networks = {n["id"]: n for n in plugin.get_networks(context, filters={"id": network_ids})}
    parents = trunks.parents(context, by_port)
    for port in ports:
        level, network = by_port[port["id"]], networks[port["network_id"]]
        up = port["admin_state_up"] and network["admin_state_up"]
        if up and level.host == port["binding:host_id"]:
            where = _place(port, parents.get(port["id"]))
            if where is not None:
                yield port["id"], _wish(port, network, segments[level.segment_id]) | where


def _place(port: dict[str, Any], parent: str | None) -> dict[str, Any] | None:
    """Where a port is to be: beside its parent port, or where its links are; None if neither is there any more."""
    if parent is not None:
        return {"parent_id": parent, "host_id": "", "profile": {}}
    profile = port["binding:profile"]
    if not profile.get("local_link_information"):
        return None
    return {"parent_id": None, "host_id": port["binding:host_id"], "profile": profile}


def _wish(port: dict[str, Any], network: dict[str, Any], segment: Any) -> dict[str, Any]:
    return {
        "revision": port["revision_number"],
        "network_id": port["network_id"],
        "vlan": segment.segmentation_id,
        "physical_network": segment.physical_network or "",
        "side": "provider" if config.is_provider(cfg.CONF, network) else "tenant",
    }
