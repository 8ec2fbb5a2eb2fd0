"""Booting a server over the network: DHCP, TFTP and HTTP, and what its DHCP answers and boot files must say.

Drives daemons and serves files; knows no rows, tenants or states. Imports only `ironlane.model`.
"""
