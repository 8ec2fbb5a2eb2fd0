"""What nova-compute does with its driver, run by the Python of nova's environment: one order a line of standard input.

An order is a JSON list, the name of a method of `Compute` and its arguments. The answer is a line of JSON on standard
output: `{"result": …}`, or `{"error": the exception's name and text}`.
"""

from __future__ import annotations

import json
import os
import sys
import traceback

os.environ["OS_NOVA_DISABLE_EVENTLET_PATCHING"] = "1"

import nova.conf
from nova import config, context, objects, rpc
from nova.compute import power_state, provider_tree, vm_states
from nova.network import model, neutron
from nova.virt.ironic.driver import IronicDriver

HOST = "compute-one"


class Compute:
    """A compute service with one instance, in the order in which nova's manager calls."""

    def __init__(self):
        self.context = context.RequestContext("user", "red", is_admin=True)
        self.driver = IronicDriver(None)
        self.network = neutron.API()
        self.instance = None
        self.network_info = None

    def init_host(self):
        self.driver.init_host(HOST)

    def available_nodes(self):
        return self.driver.get_available_nodes()

    def inventory(self, node):
        """What placement would be told: resources and traits."""
        tree = provider_tree.ProviderTree()
        tree.new_root(node, node, generation=0)
        self.driver.get_available_nodes(refresh=True)
        self.driver.update_provider_tree(tree, node)
        found = tree.data(node)
        return {"inventory": found.inventory, "traits": sorted(found.traits)}

    def hypervisor(self, node):
        return self.driver.get_available_resource(node)

    def reserve(self, node, image, ports):
        """An instance of the network ports, up to where it is spawned."""
        flavor = objects.Flavor(
            id=1,
            name="metal",
            flavorid="metal",
            memory_mb=1024,
            vcpus=1,
            root_gb=10,
            ephemeral_gb=0,
            swap=0,
            rxtx_factor=1.0,
            vcpu_weight=0,
            disabled=False,
            is_public=True,
            extra_specs={"resources:CUSTOM_BAREMETAL": "1", "trait:CUSTOM_RED": "required"},
        )
        instance = objects.Instance(
            self.context,
            user_id="user",
            project_id="red",
            display_name="metal-one",
            host=HOST,
            node=node,
            compute_id=1,
            image_ref=image,
            vm_state=vm_states.BUILDING,
            system_metadata={},
            flavor=flavor,
            config_drive="",
        )
        instance.info_cache = objects.InstanceInfoCache(network_info=model.NetworkInfo())
        instance.create()
        self.driver.prepare_for_spawn(instance)
        requests = [objects.NetworkRequest(port_id=port) for port in ports]
        network_info = self.network.allocate_for_instance(
            self.context, instance, objects.NetworkRequestList(objects=requests), security_groups=None
        )
        self.driver.prepare_networks_before_block_device_mapping(instance, network_info)
        self.instance, self.network_info = instance, network_info
        return {
            "instance": instance.uuid,
            "vifs": [[vif["id"], vif["address"], [ip["address"] for ip in vif.fixed_ips()]] for vif in network_info],
        }

    def spawn(self):
        meta = objects.ImageMeta.from_dict({"id": self.instance.image_ref, "properties": {}})
        self.driver.spawn(self.context, self.instance, meta, [], None, {}, network_info=self.network_info)
        self.instance.vm_state = vm_states.ACTIVE
        self.instance.save()

    def give_up(self, node):
        """An instance that got as far as its node, and no further."""
        instance = objects.Instance(self.context, uuid="00000000-0000-4000-8000-00000000dead", node=node)
        self.driver._set_instance_id(self.driver._get_node(node), instance)
        self.driver.failed_spawn_cleanup(instance)

    def exists(self):
        return self.driver.instance_exists(self.instance)

    def power(self):
        info = self.driver.get_info(self.instance, use_cache=False)
        return power_state.STATE_MAP[info.state]

    def power_off(self, timeout=0):
        self.driver.power_off(self.instance, timeout=timeout)

    def power_on(self):
        self.driver.power_on(self.context, self.instance, self.network_info)

    def reboot(self, kind):
        self.driver.reboot(self.context, self.instance, self.network_info, kind)

    def rescue(self, password):
        meta = objects.ImageMeta.from_dict({"id": self.instance.image_ref, "properties": {}})
        self.driver.rescue(self.context, self.instance, self.network_info, meta, password, None, None)

    def unrescue(self):
        self.driver.unrescue(self.context, self.instance)

    def attach(self, port):
        requested = objects.NetworkRequestList(objects=[objects.NetworkRequest(port_id=port)])
        info = self.network.allocate_for_instance(self.context, self.instance, requested, security_groups=None)
        (vif,) = [one for one in info if one["id"] == port]
        self.driver.attach_interface(self.context, self.instance, None, vif)

    def detach(self, port):
        (vif,) = [one for one in self._info() if one["id"] == port]
        self.driver.detach_interface(self.context, self.instance, vif)
        self.network.deallocate_port_for_instance(self.context, self.instance, port)

    def destroy(self):
        self.driver.destroy(self.context, self.instance, self._info())
        self.network.deallocate_for_instance(self.context, self.instance)

    def _info(self):
        return self.network.get_instance_nw_info(self.context, self.instance)


def main():
    config.parse_args(["nova-compute", "--config-file", sys.argv[1]])
    objects.register_all()
    rpc.init(nova.conf.CONF)
    compute = Compute()
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            answer = {"result": getattr(compute, name)(*arguments)}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer, default=str), flush=True)


main()
