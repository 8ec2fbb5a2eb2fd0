"""What a change would lead to, found out by making it: to be used in a rehearsal (`Store.rehearse`) only.

A change is made with the very functions that a client's request or the lifecycle loop would use. Then each *generation*
of what follows is played out: the attachments on every switch concerned are noted, every switch is taken to have done
as it was asked, that read-back is settled as any other, and whatever is admitted or freed by it is the next generation.
So break before make shows as what it is: one generation leaves, the next one joins.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

from ironlane.model.errors import Conflict, Permanent
from ironlane.model.fabric import Attachment, AttachmentState, SwitchId
from ironlane.model.node import Node
from ironlane.model.plan import project
from ironlane.store import baremetal_ports, conductors, provisioning, settling, switches, vifs, withholding
from ironlane.store.attachments import of_host, of_switch
from ironlane.store.database import Tx
from ironlane.store.previews import Wishes
from ironlane.store.provisioning import Phase

_GENERATIONS = 8
"""More than any change needs; ends what would go round in circles."""


class Target(StrEnum):
    """Where a node's switch ports may be taken."""

    CLEANING = "cleaning"
    """The primary NIC alone on the cleaning network."""
    PROVISIONING = "provisioning"
    """The primary NIC alone on the provisioning network."""
    TENANT = "tenant"
    """All VIFs, with all links of their places."""
    IDLE = "idle"
    """On no network."""


def move(tx: Tx, node: Node, target: Target) -> None:
    """Write what the lifecycle loop writes when it takes a node there.

    Raises:
        Conflict: it would not come there; the message says why.
    """
    try:
        if target is Target.TENANT:
            provisioning.unplug(tx, node)
            vifs.plug(tx, node)
        elif target is Target.IDLE:
            vifs.unplug(tx, node)
            provisioning.unplug(tx, node)
        else:
            _join_provider(tx, node, Phase.CLEANING if target is Target.CLEANING else Phase.PROVISIONING)
    except Permanent as error:
        raise Conflict(error.message, code="NodeCannotMove", field="target") from error


def generations(tx: Tx, hosts: Collection[str] = ()) -> dict[SwitchId, Wishes]:
    """Play out what was changed in this transaction so far: the attachments on each switch, generation by generation.

    Concerned are the switches that were touched, and those where something of `hosts` is under way already.
    """
    concerned = _touched(tx) | {a.switch for host in hosts for a in of_host(tx, host) if _under_way(a)}
    found: dict[SwitchId, list[list[Attachment] | None]] = {}
    for number in range(_GENERATIONS):
        for switch in concerned:
            found.setdefault(switch, [None] * number)
        for switch, its in found.items():
            its.append(of_switch(tx, switch) if switch in concerned else None)
        for switch in sorted(concerned):
            _carry_out(tx, switch)
        concerned = _touched(tx)
        if not concerned:
            break
    return dict(found)


def pending(tx: Tx, names: Collection[str]) -> dict[SwitchId, Wishes]:
    """What each of these switches would be asked for at its next turn, and nothing after that."""
    for name in names:
        due_at = switches.get(tx, name).due_at
        switch, turn = SwitchId(name), max(tx.now, due_at or tx.now)
        withholding.retry(tx, switch, withholding.due(of_switch(tx, switch), switch, turn))
    return {SwitchId(name): [of_switch(tx, SwitchId(name))] for name in names}


def _join_provider(tx: Tx, node: Node, phase: Phase) -> None:
    vifs.unplug(tx, node)
    if phase is Phase.PROVISIONING:
        vifs.remap(tx, node)
    others = {other.value for other in Phase} - {phase.value}
    if any(nic.internal_info.get(key) for nic in baremetal_ports.of_node(tx, node.id) for key in others):
        provisioning.unplug(tx, node)
    provisioning.plug(tx, node, phase, _network(tx, node, phase), ())


def _network(tx: Tx, node: Node, phase: Phase) -> str:
    """Name or UUID of the network of a phase, as the lifecycle loop finds it: the node's own, else its conductor's."""
    key = "cleaning_network" if phase is Phase.CLEANING else "provisioning_network"
    own = node.driver_info.get(key)
    if own:
        return str(own)
    known = [c for c in conductors.listed(tx) if c.online and c.conductor_group == node.conductor_group]
    owner = next((c for c in known if c.hostname == node.conductor), known[0] if known else None)
    return str((getattr(owner, key) if owner else "") or phase.name.lower())


def _under_way(attachment: Attachment) -> bool:
    return not attachment.applied and attachment.state is not AttachmentState.HELD


def _touched(tx: Tx) -> set[SwitchId]:
    """The switches that became due since this was asked last."""
    found = {SwitchId(hint.id) for hint in tx.hints if hint.kind == "switch"}
    tx.hints.clear()
    return found


def _carry_out(tx: Tx, switch: SwitchId) -> None:
    """Take a switch to carry what it should, and record that as the fabric loop records a read-back."""
    present = of_switch(tx, switch)
    observed = project(present, switches.managed_ports(tx, switch))
    settling.settle(tx, switch, present, observed, observed)
