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

    `others` are attachments of the same host, and of other hosts on the same switch port. Three rules:

    * nothing of the other side (provider against tenant) may be on any port of the server, wanted or leaving;
    * nothing may still be leaving from the same switch port, unless both are tags of one trunk (see `_apart`);
    * a tagged one (a trunk's sub-port) does not join before the trunk's parent port: a held one stands in its way.
    """
    found = []
    for other in others:
        if other.id == candidate.id:
            continue
        here = other.port == candidate.port and other.switch == candidate.switch
        if other.state is AttachmentState.HELD:
            if here and candidate.tagged and not other.tagged:
                found.append(other)
            continue
        opposed = other.host == candidate.host and other.side is not candidate.side
        leaving = here and other.state is AttachmentState.LEAVING and not _apart(candidate, other)
        if opposed or leaving:
            found.append(other)
    return found


def _apart(one: Attachment, other: Attachment) -> bool:
    """Two tags of one server on one switch port (and LAG) that have nothing to do with each other.

    That they belong to one trunk follows: a trunk's parent port waits for whatever leaves from its switch port, and its
    sub-ports wait for their parent port.
    """
    both = one.tagged and other.tagged
    return both and one.vlan != other.vlan and one.host == other.host and one.lag == other.lag


def admit(attachments: Collection[Attachment]) -> list[Attachment]:
    """Which `HELD` attachments may become `WANTED` now; all links of one network port together or none of them.

    `attachments` are all those of one host plus whatever else stands on the same switch ports. Provider wishes are
    looked at first, trunks' parent ports before their sub-ports, then the older ones, so that the outcome does not
    depend on the order of the rows.
    """
    present = {a.id: a for a in attachments}
    held: dict[str, list[Attachment]] = {}
    for attachment in sorted(
        (a for a in attachments if a.state is AttachmentState.HELD),
        key=lambda a: (
            a.side.value,
            a.tagged,
            a.created_at.timestamp() if a.created_at else 0.0,
            a.network_port,
            a.id,
        ),
    ):
        held.setdefault(attachment.network_port, []).append(attachment)
    admitted: list[Attachment] = []
    for links in held.values():
        if not any(blockers(link, present.values()) for link in links):
            admitted.extend(links)
            present.update((link.id, replace(link, state=AttachmentState.WANTED)) for link in links)
    return admitted


def held_reason(candidate: Attachment, others: Collection[Attachment]) -> str:
    """Why a held attachment waits, in a sentence for the operator."""
    waits = blockers(candidate, others)
    if not waits:
        return "waiting for admission"
    first = next((a for a in waits if a.state is not AttachmentState.HELD), waits[0])
    if first.state is AttachmentState.HELD:
        return f"waiting for the trunk's parent port {first.network_port} to join on {first.switch_port}"
    more = f", and {len(waits) - 1} more" if len(waits) > 1 else ""
    return (
        f"waiting until {first.switch_port} of host {first.host} has left VLAN {first.vlan}"
        f" ({first.side.value} network {first.network}){more}"
    )
