"""A virtual switch's data plane: 802.1Q forwarding, LAGs, MLAG pairs, LLDP."""

from __future__ import annotations

from ironlane.lab.forwarding import LagMembership, PortForwarding

__all__ = ["LagMembership", "PortForwarding"]
