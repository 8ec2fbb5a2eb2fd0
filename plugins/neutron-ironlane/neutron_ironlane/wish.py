"""A wish: what Ironlane is to bind for one port, as the body of its `PUT /fabric/v1/bindings/{port}`."""

from __future__ import annotations

from typing import Any

_COMPARED = ("network_id", "vlan", "physical_network", "side", "host_id", "profile", "parent_id")


def same(binding: dict[str, Any], wish: dict[str, Any]) -> bool:
    """Whether what Ironlane has is what is wished for; their revisions may differ."""
    return all(binding.get(name) == wish.get(name) for name in _COMPARED)
