"""Booting a server over the network: what its DHCP answers must say.

Pure so far; the daemons that give the answers come with the boot services. Imports only `ironlane.model`.
"""
