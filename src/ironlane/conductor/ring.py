"""Who should own which node: consistent hashing over the live conductors, as Ironic does it.

The ring decides who *should* act; the lease (`ironlane.store.leases`) decides who *may*.
"""

from __future__ import annotations

from collections.abc import Collection

from tooz.hashring import HashRing

from ironlane.store.leases import Member

PARTITIONS = 2**5
"""Points of each conductor on the ring (Ironic's `hash_partition_exponent` 5)."""


class Ring:
    """The conductors alive at one moment: one hash ring per conductor group and driver."""

    def __init__(self, members: Collection[Member]) -> None:
        groups: dict[tuple[str, str], list[str]] = {}
        for member in members:
            for driver in member.drivers:
                groups.setdefault((member.conductor_group, driver), []).append(member.hostname)
        self._rings = {key: HashRing(hosts, partitions=PARTITIONS) for key, hosts in groups.items()}

    def node_owner(self, node_id: str, conductor_group: str, driver: str) -> str | None:
        """The conductor for a node; None when none serves its group and driver. Key: the node's UUID in UTF-8."""
        ring = self._rings.get((conductor_group, driver))
        if ring is None:
            return None
        (owner,) = ring.get_nodes(node_id.encode(), replicas=1)
        return str(owner)
