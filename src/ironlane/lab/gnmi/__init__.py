"""The virtual rack's gNMI switch: `GnmiServer` answers Capabilities, Get and Set over gRPC.

The data model, the datastores and what they mean for a switch are those of `lab.netconf`: one kind of switch, two
protocols. `tree` finds its way in them by gNMI paths and writes them as JSON (RFC 7951), `server` is the protocol.
Written from the gNMI specification alone: nothing here is shared with the driver that it is there to test but the
messages of `ironlane.protobuf`.
"""

from __future__ import annotations

from ironlane.lab.gnmi.server import Faults, GnmiServer

__all__ = ["Faults", "GnmiServer"]
