"""A hardware manager for ironic-python-agent: a machine with one NIC and one disk, which is a loop device.

It is loaded by the agent, in the agent's own environment; what it does not say, the agent's own generic one does.
"""

# The signatures are the agent's.
# ruff: noqa: ARG002

from __future__ import annotations

import os

from ironic_python_agent import disk_utils, hardware

DISK = "/dev/vda"
MEBIBYTE = 1 << 20


class OneDisk(hardware.HardwareManager):
    HARDWARE_MANAGER_NAME = "OneDisk"
    HARDWARE_MANAGER_VERSION = "1"

    def evaluate_hardware_support(self) -> int:
        return hardware.HardwareSupport.SERVICE_PROVIDER

    def list_network_interfaces(self) -> list[hardware.NetworkInterface]:
        mac = os.environ["MACHINE_MAC"]
        return [hardware.NetworkInterface("eth0", mac, ipv4_address="127.0.0.1", has_carrier=True)]

    def get_cpus(self) -> hardware.CPU:
        return hardware.CPU("virtual", 1000, 1, "x86_64")

    def get_memory(self) -> hardware.Memory:
        return hardware.Memory(256 * MEBIBYTE, 256)

    def get_bmc_address(self) -> None:
        return None

    def get_bmc_v6address(self) -> None:
        return None

    def get_bmc_mac(self) -> None:
        raise hardware.errors.IncompatibleHardwareMethodError

    def get_system_vendor_info(self) -> hardware.SystemVendorInfo:
        return hardware.SystemVendorInfo("one disk", "1", "tests", hardware.SystemFirmware("", "", ""))

    def get_boot_info(self) -> hardware.BootInfo:
        return hardware.BootInfo("bios")

    def list_block_devices(self, include_partitions: bool = False) -> list[hardware.BlockDevice]:
        return [hardware.BlockDevice(DISK, "loop", disk_utils.get_dev_byte_size(DISK), rotational=False)]

    def get_os_install_device(self, permit_refresh: bool = False) -> str:
        return DISK

    def get_clean_steps(self, node: object, ports: object) -> list[dict[str, object]]:
        step = {"interface": "deploy", "reboot_requested": False, "abortable": True}
        return [
            {"step": "erase_devices_metadata", "priority": 99, **step},
            {"step": "erase_devices", "priority": 10, **step},
        ]

    def erase_devices_metadata(self, node: dict[str, object], ports: object) -> None:
        disk_utils.destroy_disk_metadata(DISK, node["uuid"])

    def erase_devices(self, node: object, ports: object) -> None:
        with open(DISK, "r+b") as disk:
            size = disk.seek(0, os.SEEK_END)
            disk.seek(0)
            for _ in range(size // MEBIBYTE):
                disk.write(bytes(MEBIBYTE))
