"""Trunks: a sub-port is bound where its parent port is, and has its own network's VLAN as its tag.

Neutron's trunk plugin knows drivers, not mechanism drivers, so there is one of each. What follows from a trunk is
derived from the database again and again, as everything here: a callback only says when to look.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Any

from neutron.objects import network as network_objects
from neutron.objects import ports as port_objects
from neutron.objects import trunk as trunk_objects
from neutron.services.trunk.drivers import base
from neutron_lib import constants, exceptions
from neutron_lib.api.definitions import portbindings
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.db import api as db_api
from neutron_lib.plugins import directory
from neutron_lib.services.trunk import constants as trunk_constants
from oslo_config import cfg

from neutron_ironlane import NAME, config

LOG = logging.getLogger(__name__)


class TrunkDriver(base.DriverBase):
    """What the trunk plugin asks: whether a port that we bound can be a parent port (always), and with which tags."""

    def __init__(self, changed: Callable[[], None]) -> None:
        """`changed` is called with each change, before anything of it is followed."""
        super().__init__(
            NAME,
            (portbindings.VIF_TYPE_OTHER,),
            (trunk_constants.SEGMENTATION_TYPE_VLAN,),
            agent_type=None,
            can_trunk_bound_port=True,
        )
        self._changed = changed
        for resource in (resources.TRUNK, resources.SUBPORTS):
            registry.subscribe(self._check, resource, events.PRECOMMIT_CREATE)
            registry.subscribe(self._came, resource, events.AFTER_CREATE)
            registry.subscribe(self._went, resource, events.AFTER_DELETE)

    @property
    def is_loaded(self) -> bool:
        """Whether the mechanism driver is."""
        return NAME in cfg.CONF.ml2.mechanism_drivers

    @staticmethod
    def _check(_resource: str, _event: str, _trigger: object, payload: Any) -> None:
        trunk = payload.desired_state or payload.latest_state
        _check_tags(payload.context, trunk.port_id, _subports(payload, trunk))

    def _came(self, _resource: str, _event: str, _trigger: object, payload: Any) -> None:
        self._changed()
        trunk, context = payload.latest_state, payload.context.elevated()
        for subport in _subports(payload, trunk):
            if bound_by_us(context, subport.port_id):  # left over from another trunk
                _bind(context, subport.port_id, "")
        follow(context, trunk.port_id)

    def _went(self, _resource: str, _event: str, _trigger: object, payload: Any) -> None:
        self._changed()
        trunk, context = payload.latest_state, payload.context.elevated()
        for subport in _subports(payload, trunk):
            if bound_by_us(context, subport.port_id):
                _bind(context, subport.port_id, "")
        show_status(context, trunk.port_id)


def parents(context: Any, port_ids: Collection[str]) -> dict[str, str]:
    """The parent port of each of these ports that is a sub-port."""
    subports = trunk_objects.SubPort.get_objects(context, port_id=list(port_ids))
    if not subports:
        return {}
    found = trunk_objects.Trunk.get_objects(context, id=sorted({s.trunk_id for s in subports}))
    by_trunk = {trunk.id: trunk.port_id for trunk in found}
    return {s.port_id: by_trunk[s.trunk_id] for s in subports if s.trunk_id in by_trunk}


def segment_of_parent(context: Any, port_id: str) -> Any | None:
    """The network segment that a sub-port's parent port is bound on, if it is by us on the sub-port's own host."""
    parent = parents(context, [port_id]).get(port_id)
    levels = [] if parent is None else port_objects.PortBindingLevel.get_objects(context, driver=NAME, port_id=parent)
    return network_objects.NetworkSegment.get_object(context, id=levels[0].segment_id) if levels else None


def bound_by_us(context: Any, port_id: str) -> bool:
    """Whether a port is bound, and by us."""
    return bool(port_objects.PortBindingLevel.objects_exist(context, driver=NAME, port_id=port_id))


def follow_all(context: Any) -> None:
    """Every sub-port is bound where its parent port is, and none that is a sub-port no more is left bound."""
    subports = trunk_objects.SubPort.get_objects(context)
    of = parents(context, [s.port_id for s in subports])
    ours = {level.port_id for level in port_objects.PortBindingLevel.get_objects(context, driver=NAME)}
    for parent in sorted({parent for child, parent in of.items() if child in ours or parent in ours}):
        follow(context, parent)
    plugin = directory.get_plugin()
    owned = {"device_owner": [trunk_constants.TRUNK_SUBPORT_OWNER]}
    for port in plugin.get_ports(context, filters=owned):
        if port["id"] in ours and port["id"] not in of:
            _bind(context, port["id"], "")


def follow(context: Any, parent: str) -> None:
    """Have the sub-ports of a parent port bound where it is.

    Another process may do the same, for what the parent port was just before or just after. So this looks again once
    it is done: the last one to bind a sub-port has seen where the parent port is now.
    """
    tried: set[tuple[str, str]] = set()
    while True:
        trunk = trunk_objects.Trunk.get_object(context, port_id=parent)
        host = _host(context, parent)
        if trunk is None or host is None:
            return
        apart = [s.port_id for s in trunk.sub_ports if _host_of_subport(context, s.port_id) not in (host, None)]
        moving = {(port_id, host) for port_id in apart} - tried  # what cannot be bound there is not tried for ever
        if not moving:
            break
        tried |= moving
        for port_id, _ in sorted(moving):
            _bind(context, port_id, host)
    show_status(context, parent)


def show_status(context: Any, port_id: str) -> None:
    """A trunk is ACTIVE when its parent port and all of its sub-ports are; DOWN without a host; else in BUILD."""
    try:
        db_api.retry_if_session_inactive()(_show_status)(context, port_id)
    except exceptions.NotFound:
        LOG.debug("the trunk of port %s is gone", port_id)


def _show_status(context: Any, port_id: str) -> None:
    with db_api.CONTEXT_WRITER.using(context):
        parent = parents(context, [port_id]).get(port_id, port_id)
        trunk = trunk_objects.Trunk.get_object(context, port_id=parent)
        if trunk is None:
            return
        plugin = directory.get_plugin()
        ids = [parent, *(s.port_id for s in trunk.sub_ports)]
        ports = {port["id"]: port for port in plugin.get_ports(context, filters={"id": ids})}
        if not ports.get(parent, {}).get(portbindings.HOST_ID):
            status = trunk_constants.TRUNK_DOWN_STATUS
        elif all(port["status"] == constants.PORT_STATUS_ACTIVE for port in ports.values()):
            status = trunk_constants.TRUNK_ACTIVE_STATUS
        else:
            status = trunk_constants.TRUNK_BUILD_STATUS
        if trunk.status != status:
            trunk.update(status=status)


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
    """Where a parent port is bound by us; empty if nowhere; None if somebody else bound it."""
    try:
        port = directory.get_plugin().get_port(context, parent)
    except exceptions.PortNotFound:
        return None
    if bound_by_us(context, parent):
        return str(port[portbindings.HOST_ID])
    return "" if port[portbindings.VNIC_TYPE] == portbindings.VNIC_BAREMETAL else None


def _host_of_subport(context: Any, port_id: str) -> str | None:
    """Where a sub-port is bound by us, empty if nowhere. None: it is gone."""
    try:
        port = directory.get_plugin().get_port(context, port_id)
    except exceptions.PortNotFound:
        return None
    return str(port[portbindings.HOST_ID]) if bound_by_us(context, port_id) else ""


def _bind(context: Any, port_id: str, host: str) -> None:
    """Bind a sub-port, or unbind it: by an update as any other, so that our own callbacks do the rest."""
    owner = trunk_constants.TRUNK_SUBPORT_OWNER if parents(context, [port_id]) else ""
    body = {"port": {portbindings.HOST_ID: host, "device_owner": owner}}
    try:
        directory.get_plugin().update_port(context, port_id, body)
    except exceptions.PortNotFound:
        LOG.debug("sub-port %s is gone", port_id)
