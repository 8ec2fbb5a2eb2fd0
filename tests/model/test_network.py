"""Nouns of the Networking API that know something of themselves."""

from __future__ import annotations

from ironlane.model.network import PhysicalNetwork


def test_tenant_vlans_are_inclusive() -> None:
    physical = PhysicalNetwork("physnet1", ((200, 299), (400, 400)))
    assert [vlan for vlan in (199, 200, 299, 300, 400, 401) if physical.is_tenant_vlan(vlan)] == [200, 299, 400]
