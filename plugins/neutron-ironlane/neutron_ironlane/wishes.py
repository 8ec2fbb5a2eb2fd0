"""What Neutron's database says should be bound: all that Ironlane is told is derived from it, again and again."""

from neutron.objects import network as network_objects
from neutron.objects import ports as port_objects
from neutron_lib.db import api as db_api
from neutron_lib.plugins import directory
from oslo_config import cfg

from neutron_ironlane import NAME, config

_COMPARED = ("network_id", "vlan", "physical_network", "side", "host_id", "profile", "parent_id")
_CHUNK = 200


def current(context, port_ids=None):
    """The wishes of these ports, or of all: `{port id: wish}`, a wish as Ironlane takes it."""
    which = {} if port_ids is None else {"port_id": list(port_ids)}
    with db_api.CONTEXT_READER.using(context):
        levels = port_objects.PortBindingLevel.get_objects(context, driver=NAME, **which)
        found = {}
        for start in range(0, len(levels), _CHUNK):
            found.update(_wishes(context, levels[start : start + _CHUNK]))
    return found


def same(binding, wish):
    """Whether what Ironlane has is what is wished for."""
    return all(binding.get(name) == wish.get(name) for name in _COMPARED)


def _wishes(context, levels):
    plugin = directory.get_plugin()
    by_port = {level.port_id: level for level in levels}
    segment_ids = sorted({level.segment_id for level in levels})
    segments = {s.id: s for s in network_objects.NetworkSegment.get_objects(context, id=segment_ids)}
    ports = plugin.get_ports(context, filters={"id": list(by_port)})
    network_ids = sorted({port["network_id"] for port in ports})
    networks = {n["id"]: n for n in plugin.get_networks(context, filters={"id": network_ids})}
    for port in ports:
        level, network = by_port[port["id"]], networks[port["network_id"]]
        up = port["admin_state_up"] and network["admin_state_up"]
        if up and level.host == port["binding:host_id"]:
            yield port["id"], _wish(port, network, segments[level.segment_id])


def _wish(port, network, segment):
    named = getattr(cfg.CONF, config.GROUP).provider_networks
    return {
        "revision": port["revision_number"],
        "network_id": port["network_id"],
        "vlan": segment.segmentation_id,
        "physical_network": segment.physical_network or "",
        "side": "provider" if network["id"] in named or network["name"] in named else "tenant",
        "host_id": port["binding:host_id"],
        "profile": port["binding:profile"],
    }
