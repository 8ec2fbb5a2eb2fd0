"""Racks of real parts: Open vSwitch as switches, QEMU as servers, a ramdisk made on the spot; no root needed.

Everything is made of what Debian's packages have. As all of the lab, it knows no driver of the product.
"""
