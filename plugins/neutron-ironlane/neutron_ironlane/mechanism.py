"""The mechanism driver: binds baremetal ports and their trunks' sub-ports, and hands what is bound to Ironlane."""

from __future__ import annotations

from typing import Any

from neutron import policy
from neutron_lib import constants, exceptions
from neutron_lib import context as neutron_context
from neutron_lib.api.definitions import portbindings
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.plugins.ml2 import api
from oslo_config import cfg

from neutron_ironlane import NAME, config, profile, status, trunks
from neutron_ironlane.client import Client
from neutron_ironlane.records import Records
from neutron_ironlane.sync import Sync
from neutron_ironlane.wishes import bound, bound_on, physical_network_of_parent

_WISHED = (portbindings.HOST_ID, portbindings.VIF_TYPE, portbindings.PROFILE, "network_id", "admin_state_up")
"""Attributes of a port that Ironlane is told of, in one form or another."""

_FOUND = "ironlane_found"
"""The attribute of a deleted port's context that says that it is bound by us, though ML2 does not know."""


class IronlaneMechanismDriver(api.MechanismDriver):
    """Touches no device, and waits for none. A port is ACTIVE when Ironlane has read the switches back."""

    def initialize(self) -> None:
        """Called once, after all drivers are loaded."""
        config.register(cfg.CONF)
        own = config.own(cfg.CONF)
        self._sync = Sync(Client(config.session(cfg.CONF), own.url, own.timeout), Records())
        self._trunks = trunks.TrunkDriver(self._sync.start, self._sync.compare)
        registry.subscribe(self._begin, resources.PROCESS, events.AFTER_INIT)

    @property
    def connectivity(self) -> str:
        """Layer 2."""
        return str(portbindings.CONNECTIVITY_L2)

    def bind_port(self, context: Any) -> None:
        """Take a baremetal port with links, on a VLAN; what is done about it is done after the commit."""
        segment = self._segment(context)
        if segment is not None:
            context.set_binding(segment[api.ID], portbindings.VIF_TYPE_OTHER, {})

    def create_port_precommit(self, context: Any) -> None:
        """Refuse what is malformed while the client can still be told."""
        self._check(context)

    def update_port_precommit(self, context: Any) -> None:
        """Refuse what is malformed while the client can still be told; nothing unverified is ACTIVE after this."""
        port, before = context.current, context.original
        if any(port[name] != before[name] for name in (portbindings.PROFILE, portbindings.VNIC_TYPE)):
            self._check(context)  # and what was there before we were stands in nobody's way
        now, then = _by_us(context._binding_levels), _by_us(context._original_binding_levels)
        if port["status"] != before["status"]:
            status.confirm(context._plugin_context, port, now)
        if now and not then:
            status.block(context._plugin_context, port["id"])
        elif then and not now:
            status.release(context._plugin_context, port["id"])
        elif now and before["admin_state_up"] and not port["admin_state_up"]:
            status.hold(context._plugin_context, [port["id"]], revised=True)
            port["status"] = constants.PORT_STATUS_DOWN

    def update_port_postcommit(self, context: Any) -> None:
        """The port was bound, unbound or changed. May come again, and for what is on record already."""
        port, before = context.current, context.original
        changed = port["status"] != before["status"]
        if not _ours(context) or (changed and all(port[name] == before[name] for name in _WISHED)):
            return
        if port[portbindings.VIF_TYPE] == portbindings.VIF_TYPE_UNBOUND and context.host:
            # It is about to be bound anew, and this is called again, unless that fails or another driver binds it.
            self._sync.look_again(port["id"], port["revision_number"])
        else:
            self._sync.hand_over(port["id"], port["revision_number"])
        with trunks.made_up_for(self._sync.compare):
            if port.get("trunk_details"):
                trunks.follow(context._plugin_context.elevated(), port["id"])
            elif changed:
                trunks.show_status(context._plugin_context.elevated(), port["id"])

    def delete_port_precommit(self, context: Any) -> None:
        """ML2 looked at the port before this transaction; it may have been bound since."""
        port = context.current
        if port[portbindings.VNIC_TYPE] == portbindings.VNIC_BAREMETAL and not _ours(context):
            setattr(context, _FOUND, bool(bound(context._plugin_context, [port["id"]])))

    def delete_port_postcommit(self, context: Any) -> None:
        """The port is gone."""
        if _ours(context) or getattr(context, _FOUND, False):
            self._sync.hand_over(context.current["id"], context.current["revision_number"])

    def update_network_precommit(self, context: Any) -> None:
        """What was verified on a network is not any more, once it is down or on the other side."""
        if _moves(context):
            ours = bound_on(context._plugin_context, context.current["id"])
            status.hold(context._plugin_context, ours)

    def update_network_postcommit(self, context: Any) -> None:
        """A network that goes down takes its ports along; its name may say on which side it is."""
        if _moves(context):
            self._sync.compare()
            with trunks.made_up_for(self._sync.compare):
                for port_id in sorted(bound_on(context._plugin_context, context.current["id"])):
                    trunks.show_status(context._plugin_context.elevated(), port_id)

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
        beside = physical_network_of_parent(context._plugin_context, port["id"])
        if beside is not None:
            here = [s for s in segments if s[api.PHYSICAL_NETWORK] == beside]
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


def _moves(context: Any) -> bool:
    """Whether the ports of a network are wished elsewhere: by its state, or its name, which may tell the side."""
    now, before = context.current, context.original
    return bool(now["admin_state_up"] != before["admin_state_up"] or _side(now) != _side(before))


def _ours(context: Any) -> bool:
    return _by_us(context._binding_levels) or _by_us(context._original_binding_levels)


def _by_us(levels: Any) -> bool:
    # The context's own `binding_levels` ask the database for their network, with each status of any driver's port.
    return any(level.driver == NAME for level in levels or [])
