"""The mechanism driver: binds baremetal ports, and hands what is bound to Ironlane."""

from neutron.db import provisioning_blocks
from neutron_lib.api.definitions import portbindings
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.plugins.ml2 import api
from oslo_config import cfg

from neutron_ironlane import NAME, config, profile
from neutron_ironlane.client import Client
from neutron_ironlane.sync import Sync


class IronlaneMechanismDriver(api.MechanismDriver):
    """Touches no device, and waits for none. A port is ACTIVE when Ironlane has read the switches back."""

    def initialize(self):
        """Called once, after all drivers are loaded."""
        config.register(cfg.CONF)
        own = getattr(cfg.CONF, config.GROUP)
        self._sync = Sync(Client(own.url, own.timeout))
        registry.subscribe(self._begin, resources.PROCESS, events.AFTER_INIT)

    @property
    def connectivity(self):
        """Layer 2."""
        return portbindings.CONNECTIVITY_L2

    def bind_port(self, context):
        """Take a baremetal port with links, on a VLAN; what is done about it is done after the commit."""
        port = context.current
        links = profile.links_of(port)
        if port[portbindings.VNIC_TYPE] != portbindings.VNIC_BAREMETAL or not links:
            return
        unmanaged = all(link.get("network_type") == "unmanaged" for link in links)
        types = {"vlan", "flat"} if unmanaged else {"vlan"}
        wanted = self._segments_of_addresses(context)
        for segment in context.segments_to_bind:
            if segment[api.NETWORK_TYPE] in types and (not wanted or segment[api.ID] in wanted):
                provisioning_blocks.add_provisioning_component(
                    context._plugin_context, port["id"], resources.PORT, NAME
                )
                context.set_binding(segment[api.ID], portbindings.VIF_TYPE_OTHER, {})
                return

    def create_port_precommit(self, context):
        """Refuse what is malformed while the client can still be told."""
        self._check(context)

    def update_port_precommit(self, context):
        """Refuse what is malformed while the client can still be told."""
        self._check(context)

    def update_port_postcommit(self, context):
        """The port was bound, unbound or changed. May come again, and for what is on record already."""
        port = context.current
        coming = port[portbindings.VIF_TYPE] == portbindings.VIF_TYPE_UNBOUND and context.host
        if _ours(context) and not coming:  # otherwise it is about to be bound, and this is called again
            self._sync.hand_over(port["id"], port["revision_number"])

    def delete_port_postcommit(self, context):
        """The port is gone."""
        if _ours(context):
            self._sync.hand_over(context.current["id"], context.current["revision_number"])

    def update_network_postcommit(self, context):
        """A network that goes down takes its ports along."""
        if context.current["admin_state_up"] != context.original["admin_state_up"]:
            self._sync.compare()

    def _begin(self, _resource, _event, _trigger, payload=None):  # noqa: ARG002 - as callbacks are called
        self._sync.start()

    @staticmethod
    def _check(context):
        port = context.current
        if port[portbindings.VNIC_TYPE] == portbindings.VNIC_BAREMETAL:
            profile.check(port.get(portbindings.PROFILE) or {})

    @staticmethod
    def _segments_of_addresses(context):
        """The segments that the port's addresses are on, where its network has subnets of single segments."""
        plugin, found = context._plugin, set()
        for address in context.current.get("fixed_ips", []):
            segment = plugin.get_subnet(context._plugin_context, address["subnet_id"]).get("segment_id")
            if segment:
                found.add(segment)
        return found


def _ours(context):
    levels = [*(context.binding_levels or []), *(context.original_binding_levels or [])]
    return any(level[api.BOUND_DRIVER] == NAME for level in levels)
