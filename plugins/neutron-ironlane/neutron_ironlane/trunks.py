"""Trunks: a sub-port is bound where its parent port is, and has its own network's VLAN as its tag.

Neutron's trunk plugin knows drivers, not mechanism drivers, so there is one of each. What follows from a trunk is
derived from the database again and again, as everything here: a callback only says when to look.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import sqlalchemy as sa
from neutron.db.models_v2 import Port
from neutron.objects import network as network_objects
from neutron.objects import trunk as trunk_objects
from neutron.plugins.ml2.models import PortBinding
from neutron.services.trunk.drivers import base
from neutron.services.trunk.models import SubPort, Trunk
from neutron_lib import constants, exceptions
from neutron_lib.api.definitions import portbindings
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.db import api as db_api
from neutron_lib.plugins import directory
from neutron_lib.services.trunk import constants as trunk_constants
from oslo_config import cfg

from neutron_ironlane import NAME, config, status
from neutron_ironlane.wishes import IN_FORCE, bound, subports

LOG = logging.getLogger(__name__)


class TrunkDriver(base.DriverBase):
    """What the trunk plugin asks: whether a port that we bound can be a parent port (always), and with which tags."""

    def __init__(self, changed: Callable[[], None], failed: Callable[[], None]) -> None:
        """`changed` is called with each change, before anything of it is followed; `failed` if that went wrong."""
        super().__init__(
            NAME,
            (portbindings.VIF_TYPE_OTHER,),
            (trunk_constants.SEGMENTATION_TYPE_VLAN,),
            agent_type=None,
            can_trunk_bound_port=True,
        )
        self._changed = changed
        self._failed = failed
        for resource in (resources.TRUNK, resources.SUBPORTS):
            registry.subscribe(self._check, resource, events.PRECOMMIT_CREATE)
            registry.subscribe(self._came, resource, events.AFTER_CREATE)
            registry.subscribe(self._leave, resource, events.PRECOMMIT_DELETE)
            registry.subscribe(self._went, resource, events.AFTER_DELETE)

    @property
    def is_loaded(self) -> bool:
        """Whether the mechanism driver is."""
        return NAME in cfg.CONF.ml2.mechanism_drivers

    @staticmethod
    def _check(_resource: str, _event: str, _trigger: object, payload: Any) -> None:
        trunk = payload.desired_state or payload.latest_state
        _check_tags(payload.context, trunk.port_id, _subports(payload, trunk))
        status.hold(payload.context, [s.port_id for s in _subports(payload, trunk)])

    @staticmethod
    def _leave(_resource: str, _event: str, _trigger: object, payload: Any) -> None:
        status.hold(payload.context, [s.port_id for s in _subports(payload, payload.latest_state)])

    def _came(self, _resource: str, _event: str, _trigger: object, payload: Any) -> None:
        self._changed()
        trunk, context = payload.latest_state, payload.context.elevated()
        with made_up_for(self._failed):
            for port_id in bound(context, [s.port_id for s in _subports(payload, trunk)]):
                _bind(context, port_id, "")  # it was bound for another trunk, or by itself
            follow(context, trunk.port_id)

    def _went(self, _resource: str, _event: str, _trigger: object, payload: Any) -> None:
        self._changed()
        trunk, context = payload.latest_state, payload.context.elevated()
        with made_up_for(self._failed):
            _loosen(context, [s.port_id for s in _subports(payload, trunk)])
            if _host(context, trunk.port_id) is not None:
                show_status(context, trunk.port_id)


@contextmanager
def made_up_for(failed: Callable[[], None]) -> Iterator[None]:
    """Who calls us back expects no errors, and would not come again: `failed` has to see to it."""
    try:
        yield
    except Exception:
        LOG.exception("a change of a trunk is followed later")
        failed()


def follow_all(context: Any) -> None:
    """Every sub-port is bound where its parent port is, and none that is a sub-port no more is left bound."""
    ours = bound(context)
    with db_api.CONTEXT_READER.using(context):
        pairs = sa.select(Trunk.port_id, SubPort.port_id).outerjoin(SubPort, SubPort.trunk_id == Trunk.id)
        there = [tuple(pair) for pair in context.session.execute(pairs)]
        owned = sa.select(Port.id).where(Port.device_owner == trunk_constants.TRUNK_SUBPORT_OWNER)
        left = ours & set(context.session.scalars(owned)) - {child for _, child in there}
    steps = [partial(_loosen, context, sorted(left))] if left else []
    steps += [partial(follow, context, parent) for parent in sorted({p for p, child in there if ours & {p, child}})]
    _all(steps)


def follow(context: Any, parent: str) -> None:
    """Have the sub-ports of a parent port bound where it is.

    Another process may do the same, for what the parent port was just before or just after, or take one off the trunk.
    So this looks again once it is done: the last one to bind a sub-port has seen where the parent port is now.
    """
    tried: set[tuple[str, str]] = set()
    while True:
        host, there = _host(context, parent), _hosts(context, subports(context, [parent]))
        # What cannot be bound there is not tried for ever.
        moving = {(port_id, host or "") for port_id, at in there.items() if at != (host or "")} - tried
        if not moving:
            break
        tried |= moving
        _all([partial(_bind, context, port_id, to) for port_id, to in sorted(moving)])
    if tried:
        _loosen(context, sorted({port_id for port_id, _ in tried}))
    if host is not None:
        show_status(context, parent)


def _loosen(context: Any, port_ids: Collection[str]) -> None:
    """Unbind those that are sub-ports no more; nobody else knows that they are bound."""
    left = bound(context, port_ids) - _subports_of_any(context, port_ids)
    _all([partial(_bind, context, port_id, "") for port_id in sorted(left)])


def _all(steps: Collection[Callable[[], None]]) -> None:
    """Take all steps, whatever becomes of one. Raises the last error."""
    failed = None
    for step in steps:
        try:
            step()
        except Exception as error:
            failed = error
    if failed is not None:
        raise failed


def show_status(context: Any, port_id: str) -> None:
    """A trunk is ACTIVE when its parent port and all of its sub-ports are; DOWN without a host; else in BUILD."""
    try:
        db_api.retry_if_session_inactive()(_show_status)(context, port_id)
    except exceptions.NotFound:
        LOG.debug("the trunk of port %s is gone", port_id)


def _show_status(context: Any, port_id: str) -> None:
    with db_api.CONTEXT_READER.using(context):
        asked = sa.select(Trunk.id).outerjoin(SubPort, SubPort.trunk_id == Trunk.id)
        of = sa.or_(Trunk.port_id == port_id, SubPort.port_id == port_id)
        trunk_id = context.session.scalars(asked.where(of).distinct()).one_or_none()
    if trunk_id is None:
        return
    with db_api.CONTEXT_WRITER.using(context):
        # Locked before anything is read: the last one to look has seen the last of the ports' statuses.
        context.session.execute(sa.select(Trunk.id).where(Trunk.id == trunk_id).with_for_update()).all()
        trunk = trunk_objects.Trunk.get_object(context, id=trunk_id)
        if trunk is None:
            return
        ids = [trunk.port_id, *(s.port_id for s in trunk.sub_ports)]
        statuses = set(context.session.scalars(sa.select(Port.status).where(Port.id.in_(ids))))
        host = sa.select(PortBinding.host).where(PortBinding.port_id == trunk.port_id, IN_FORCE)
        if not context.session.scalars(host).one_or_none():
            wanted = trunk_constants.TRUNK_DOWN_STATUS
        elif statuses == {constants.PORT_STATUS_ACTIVE}:
            wanted = trunk_constants.TRUNK_ACTIVE_STATUS
        else:
            wanted = trunk_constants.TRUNK_BUILD_STATUS
        if trunk.status != wanted:
            trunk.update(status=wanted)


def _subports(payload: Any, trunk: Any) -> list[Any]:
    """What came or went: the sub-ports that the event is about, or the whole trunk's."""
    return list((payload.metadata or {}).get("subports", trunk.sub_ports))


def _check_tags(context: Any, parent: str, subports: list[Any]) -> None:
    """A switch port translates no tags: the tag on the wire is the network's VLAN.

    Raises:
        neutron_lib.exceptions.InvalidInput: another tag, or another physical network than the parent port's.
    """
    context = context.elevated()
    port = directory.get_plugin().get_port(context, parent)
    if port[portbindings.VNIC_TYPE] != portbindings.VNIC_BAREMETAL:
        return
    own = {s.physical_network for s in _segments(context, port["network_id"])}
    side = _is_provider(context, port)
    for subport in subports:
        child = directory.get_plugin().get_port(context, subport.port_id)
        vlans = [s.segmentation_id for s in _segments(context, child["network_id"]) if s.physical_network in own]
        where = f"sub_ports: port {child['id']}"
        if child["network_id"] == port["network_id"]:
            _refuse(f"{where} is on the parent port's own network")
        if _is_provider(context, child) != side:
            _refuse(f"{where}: one of the two is on a provider network, and the server never is on both sides at once")
        if not vlans:
            _refuse(f"{where}: its network has no VLAN on the physical network of the parent port")
        if subport.segmentation_id not in vlans:
            _refuse(f"{where}: segmentation_id has to be {vlans[0]}, its network's VLAN")


def _segments(context: Any, network_id: str) -> list[Any]:
    found = network_objects.NetworkSegment.get_objects(context, network_id=network_id)
    return [segment for segment in found if segment.network_type == constants.TYPE_VLAN]


def _is_provider(context: Any, port: dict[str, Any]) -> bool:
    network = directory.get_plugin().get_network(context, port["network_id"])
    return config.is_provider(cfg.CONF, network)


def _refuse(what: str) -> None:
    raise exceptions.InvalidInput(error_message=what)


def _host(context: Any, parent: str) -> str | None:
    """Where a parent port is bound by us; empty if nowhere; None if it is gone, or somebody else bound it."""
    asked = sa.select(PortBinding.host, PortBinding.vnic_type).where(PortBinding.port_id == parent, IN_FORCE)
    with db_api.CONTEXT_READER.using(context):
        row = context.session.execute(asked).one_or_none()
    if row is None:
        return None
    if bound(context, [parent]):
        return str(row.host)
    return "" if row.vnic_type == portbindings.VNIC_BAREMETAL else None


def _hosts(context: Any, port_ids: Collection[str]) -> dict[str, str]:
    """Where each of these ports is bound by us, empty if nowhere; without those that are gone."""
    ours = bound(context, port_ids)
    asked = sa.select(PortBinding.port_id, PortBinding.host).where(PortBinding.port_id.in_(port_ids), IN_FORCE)
    with db_api.CONTEXT_READER.using(context):
        return {row.port_id: row.host if row.port_id in ours else "" for row in context.session.execute(asked)}


def _subports_of_any(context: Any, port_ids: Collection[str]) -> set[str]:
    with db_api.CONTEXT_READER.using(context):
        return set(context.session.scalars(sa.select(SubPort.port_id).where(SubPort.port_id.in_(port_ids))))


def _bind(context: Any, port_id: str, host: str) -> None:
    """Bind a sub-port, or unbind it: by an update as any other, so that our own callbacks do the rest."""
    owner = trunk_constants.TRUNK_SUBPORT_OWNER if _subports_of_any(context, [port_id]) else ""
    body = {"port": {portbindings.HOST_ID: host, "device_owner": owner}}
    try:
        directory.get_plugin().update_port(context, port_id, body)
    except exceptions.PortNotFound:
        LOG.debug("sub-port %s is gone", port_id)
