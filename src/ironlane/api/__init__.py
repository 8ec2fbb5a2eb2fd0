"""Desired state in, status out: the three HTTP APIs, each an application of its own below one address.

`/networking` speaks Neutron v2.0, `/baremetal` Ironic v1, `/fabric` is our own. Nothing here talks to hardware or
imports what does; a request writes rows, and the loops do the rest.
"""
