"""The virtual rack's NETCONF switch: `NetconfServer` speaks RFC 6241 over SSH and holds an OpenConfig subset.

`schema` is the data model, `datastore` edits and filters trees of it, `openconfig` knows what they mean for a switch,
`configuration` keeps the datastores with their locks and commits, `server` is the protocol. Written from the RFCs and
the YANG modules alone: nothing here is shared with the driver that it is there to test.
"""

from __future__ import annotations

from ironlane.lab.netconf.server import Faults, NetconfServer

__all__ = ["Faults", "NetconfServer"]
