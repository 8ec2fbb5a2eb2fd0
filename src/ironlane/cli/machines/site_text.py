"""The site file of the rack, and the settings of the service that goes with it."""

from __future__ import annotations

from pathlib import Path

import yaml

from ironlane.lab.machines.rack import (
    HERE,
    PASSWORD,
    PROVISIONING_VLAN,
    USER,
    MachineRack,
    ServerPlan,
)

FRONT_PORT = 9797
SECRETS = {"IRONLANE_SECRET_BMCS": PASSWORD}


def site_text(rack: MachineRack) -> str:
    """A complete site file for a running rack."""
    site = {
        "name": "machines",
        "physical_networks": [{"name": "physnet1", "tenant_vlans": ["200-299"]}],
        "networks": [
            {
                "name": "provisioning",
                "physical_network": "physnet1",
                "vlan": PROVISIONING_VLAN,
                "subnet": {"cidr": str(HERE.network), "pool": "10.101.0.100-10.101.0.200"},
            }
        ],
        "racks": [{"name": "rack-1"}],
        "switches": [
            {
                "name": switch.name,
                "rack": "rack-1",
                "kind": "openvswitch",
                "address": switch.address,
                "mac": switch.mac,
                "physical_network": "physnet1",
                "options": {"bridge": "br0"},
                "ports": list(switch.ports),
            }
            for switch in rack.switches.values()
            if switch.ports
        ],
        "nodes": [_node(rack, plan) for plan in rack.plans],
    }
    return yaml.safe_dump(site, sort_keys=False)


def _node(rack: MachineRack, plan: ServerPlan) -> dict[str, object]:
    node: dict[str, object] = {
        "name": plan.name,
        "rack": "rack-1",
        "driver": plan.driver,
        "bmc": {"username": USER, "password_secret": "bmcs", **_bmc(rack, plan)},
        "properties": {"capabilities": f"boot_mode:{plan.firmware}"},
        "resource_class": "baremetal",
        "nics": [
            {"name": f"eth{n}", "address": link.mac, "switch": link.switch, "port": link.port, "pxe": n == 0}
            for n, link in enumerate(plan.links)
        ],
    }
    if plan.driver == "redfish":
        node["driver_info"] = {"redfish_system_id": f"/redfish/v1/Systems/{plan.name}"}
    if len(plan.links) > 1:
        bond = {
            "name": "bond0",
            "mode": "802.3ad",
            "priority": 10,
            "properties": {"lacp_rate": "fast", "fallback": True},
        }
        node["portgroups"] = [{**bond, "nics": [f"eth{n}" for n in range(len(plan.links))]}]
    return node


def _bmc(rack: MachineRack, plan: ServerPlan) -> dict[str, object]:
    if plan.driver == "redfish":
        return {"address": rack.redfish.url}
    return {"address": "127.0.0.1", "port": rack.ipmi[plan.name].port}


def environment(rack: MachineRack, folder: Path, kernel: Path, ramdisk: Path) -> dict[str, str]:
    """What the service is told: where it answers DHCP, and what it boots servers with."""
    here = str(HERE.ip)
    return {
        **SECRETS,
        "IRONLANE_STATE_DIR": str(folder / "state"),
        "IRONLANE_CLEANING_NETWORK": "provisioning",
        "IRONLANE_DHCP_INTERFACES": ",".join(rack.legs),
        "IRONLANE_BOOT_HOST": here,
        "IRONLANE_AGENT_API_URL": f"http://{here}:{FRONT_PORT}/baremetal",
        "IRONLANE_DEPLOY_KERNEL": kernel.as_uri(),
        "IRONLANE_DEPLOY_RAMDISK": ramdisk.as_uri(),
        "IRONLANE_IMAGE_DIRS": f"{kernel.parent},{ramdisk.parent}",
        "IRONLANE_KERNEL_APPEND_PARAMS": console_arguments(rack),
    }


def console_arguments(rack: MachineRack) -> str:
    """Of all kernels in the rack: they speak on the serial console, and look for everybody (`init.sh`)."""
    return f"console=ttyS0 quiet lab.ping={','.join(map(str, rack.witnesses.values()))}"
