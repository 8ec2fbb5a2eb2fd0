"""Break before make: which attachments of one server may be on the wire now (invariant I1).

A move is two generations, never one: everything of the old network leaves and is read back, then the new one joins.
The rule looks at all attachments of one `binding:host_id` on all switches, whoever drives the API.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ironlane.model.fabric import Attachment, AttachmentState


def blockers(candidate: Attachment, others: Collection[Attachment]) -> list[Attachment]:
    """The attachments that must be gone from their switches before `candidate` may join.

    `others` are attachments of the same host, and of other hosts on the same switch port. Two rules:

    * nothing of the other side (provider against tenant) may be on any port of the server, wanted or leaving;
    * nothing may still be leaving from the same switch port, unless it is the same network in the same way.
    """
    found = []
    for other in others:
        if other.id == candidate.id or other.state is AttachmentState.HELD:
            continue
        opposed = other.host == candidate.host and other.side is not candidate.side
        leaving = other.state is AttachmentState.LEAVING and other.switch_port == candidate.switch_port
        if opposed or leaving:
            found.append(other)
    return found


def admit(attachments: Collection[Attachment]) -> list[Attachment]:
    """Which `HELD` attachments may become `WANTED` now; all links of one network port together or none of them.

    `attachments` are all those of one host plus whatever else stands on the same switch ports. Provider wishes are
    looked at first, then the older ones, so that the outcome does not depend on the order of the rows.
    """
    on_wire = [a for a in attachments if a.state is not AttachmentState.HELD]
    held: dict[str, list[Attachment]] = {}
    for attachment in sorted(
        (a for a in attachments if a.state is AttachmentState.HELD),
        key=lambda a: (a.side.value, a.created_at.timestamp() if a.created_at else 0.0, a.network_port, a.id),
    ):
        held.setdefault(attachment.network_port, []).append(attachment)
    admitted: list[Attachment] = []
    for links in held.values():
        if not any(blockers(link, on_wire) for link in links):
            admitted.extend(links)
            on_wire.extend(replace(link, state=AttachmentState.WANTED) for link in links)
    return admitted


def held_reason(candidate: Attachment, others: Collection[Attachment]) -> str:
    """Why a held attachment waits, in a sentence for the operator."""
    waits = blockers(candidate, others)
    if not waits:
        return "waiting for admission"
    first = waits[0]
    more = f", and {len(waits) - 1} more" if len(waits) > 1 else ""
    return (
        f"waiting until {first.switch_port} of host {first.host} has left VLAN {first.vlan}"
        f" ({first.side.value} network {first.network}){more}"
    )
