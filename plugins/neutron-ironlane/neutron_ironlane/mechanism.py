"""The mechanism driver: binds baremetal ports and their trunks' sub-ports, and hands what is bound to Ironlane."""

from __future__ import annotations

from typing import Any

from neutron import policy
from neutron.db import provisioning_blocks
from neutron_lib import context as neutron_context
from neutron_lib import exceptions
from neutron_lib.api.definitions import portbindings
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.plugins.ml2 import api
from oslo_config import cfg

from neutron_ironlane import NAME, config, profile, trunks
from neutron_ironlane.client import Client
from neutron_ironlane.records import Records, confirm, take_down
from neutron_ironlane.sync import Sync

_WISHED = (portbindings.HOST_ID, portbindings.VIF_TYPE, portbindings.PROFILE, "network_id", "admin_state_up")
"""Attributes of a port that Ironlane is told of, in one form or another."""


class IronlaneMechanismDriver(api.MechanismDriver):
    """Touches no device, and waits for none. A port is ACTIVE when Ironlane has read the switches back."""

    def initialize(self) -> None:
        """Called once, after all drivers are loaded."""
        config.register(cfg.CONF)
        own = config.own(cfg.CONF)
        self._sync = Sync(Client(config.session(cfg.CONF), own.url, own.timeout), Records())
        self._trunks = trunks.TrunkDriver(self._sync.start)
        registry.subscribe(self._begin, resources.PROCESS, events.AFTER_INIT)

    @property
    def connectivity(self) -> str:
        """Layer 2."""
        return str(portbindings.CONNECTIVITY_L2)

    def bind_port(self, context: Any) -> None:
        """Take a baremetal port with links, on a VLAN; what is done about it is done after the commit."""
        segment = self._segment(context)
        if segment is not None:
            plugin_context, port_id = context._plugin_context, context.current["id"]
            provisioning_blocks.add_provisioning_component(plugin_context, port_id, resources.PORT, NAME)
            context.set_binding(segment[api.ID], portbindings.VIF_TYPE_OTHER, {})

    def create_port_precommit(self, context: Any) -> None:
        """Refuse what is malformed while the client can still be told."""
        self._check(context)

    def update_port_precommit(self, context: Any) -> None:
        """Refuse what is malformed while the client can still be told; nothing unverified is ACTIVE after this."""
        self._check(context)
        if context.current["status"] != context.original["status"]:
            confirm(context._plugin_context, context.current)
        if _ours(context) and not context.binding_levels:
            take_down(context._plugin_context, context.current["id"])

    def update_port_postcommit(self, context: Any) -> None:
        """The port was bound, unbound or changed. May come again, and for what is on record already."""
        port, before = context.current, context.original
        coming = port[portbindings.VIF_TYPE] == portbindings.VIF_TYPE_UNBOUND and context.host
        if not _ours(context) or coming:  # it is about to be bound, and this is called again
            return
        only_status = port["status"] != before["status"] and all(port[name] == before[name] for name in _WISHED)
        if not only_status:
            self._sync.hand_over(port["id"], port["revision_number"])
            if port.get("trunk_details"):
                trunks.follow(context._plugin_context.elevated(), port["id"])

    def delete_port_postcommit(self, context: Any) -> None:
        """The port is gone."""
        if _ours(context):
            self._sync.hand_over(context.current["id"], context.current["revision_number"])

    def update_network_postcommit(self, context: Any) -> None:
        """A network that goes down takes its ports along; its name may say on which side it is."""
        now, before = context.current, context.original
        if now["admin_state_up"] != before["admin_state_up"] or _side(now) != _side(before):
            self._sync.compare()

    def _begin(self, _resource: str, _event: str, _trigger: object, payload: object = None) -> None:  # noqa: ARG002
        # Roles and policy are loaded when they are first asked for, which two threads must not do at once: the second
        # one finds them half loaded, and is refused what it may do. No request is served yet.
        neutron_context.get_admin_context()
        policy.init()
        self._sync.start()

    @staticmethod
    def _check(context: Any) -> None:
        port = context.current
        if port[portbindings.VNIC_TYPE] == portbindings.VNIC_BAREMETAL:
            try:
                profile.check(port.get(portbindings.PROFILE) or {})
            except profile.Malformed as error:
                raise exceptions.InvalidInput(error_message=str(error)) from error

    def _segment(self, context: Any) -> dict[str, Any] | None:
        """The segment that we bind the port on; None leaves it to the next driver."""
        port, segments = context.current, context.segments_to_bind
        beside = trunks.segment_of_parent(context._plugin_context.elevated(), port["id"])
        if beside is not None:
            here = [s for s in segments if s[api.PHYSICAL_NETWORK] == beside.physical_network]
            return _first(here, {"vlan"}, set())
        links = profile.links_of(port)
        if port[portbindings.VNIC_TYPE] != portbindings.VNIC_BAREMETAL or not links:
            return None
        unmanaged = all(link.get("network_type") == "unmanaged" for link in links)
        types = {"vlan", "flat"} if unmanaged else {"vlan"}
        return _first(segments, types, self._segments_of_addresses(context))

    @staticmethod
    def _segments_of_addresses(context: Any) -> set[str]:
        """The segments that the port's addresses are on, where its network has subnets of single segments."""
        plugin, found = context._plugin, set()
        for address in context.current.get("fixed_ips", []):
            segment = plugin.get_subnet(context._plugin_context, address["subnet_id"]).get("segment_id")
            if segment:
                found.add(segment)
        return found


def _first(segments: list[dict[str, Any]], types: set[str], wanted: set[str]) -> dict[str, Any] | None:
    fitting = (s for s in segments if s[api.NETWORK_TYPE] in types and (not wanted or s[api.ID] in wanted))
    return next(fitting, None)


def _side(network: dict[str, Any]) -> bool:
    return config.is_provider(cfg.CONF, network)


def _ours(context: Any) -> bool:
    levels = [*(context.binding_levels or []), *(context.original_binding_levels or [])]
    return any(level[api.BOUND_DRIVER] == NAME for level in levels)
