"""Switches that are gone for good: forgotten with all that is still attached to them, at an operator's word.

Nobody will read back that their ports are clean. So it is the operator who vouches that no frame passes through them
any more: what stands on record of them counts as gone from that moment. Servers move on, VLANs and LAG ids go back to
the pool, and network ports ask only for the links that they have elsewhere. On record stay the periods in history,
which end then, and a plan that says what was given up unseen, by whom and why.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import NamedTuple

from ironlane.model.fabric import AttachmentState, PortConfig, SwitchId
from ironlane.model.plan import Change, Plan
from ironlane.store import holdings, plans, settling, switches
from ironlane.store.attachments import of_network_ports, of_switch
from ironlane.store.bindings import join, orphans
from ironlane.store.database import Tx


class Forgotten(NamedTuple):
    """What was given up: the network ports that had links on the switch, and the plan that says so."""

    network_ports: tuple[str, ...]
    plan: str


def forget(tx: Tx, name: str, reason: str) -> Forgotten:
    """Forget a switch whoever is attached to it.

    Raises:
        NotFound: there is no such switch.
    """
    switch, record = SwitchId(name), switches.get(tx, name)
    attached = of_switch(tx, switch)
    network_ports = tuple(sorted({a.network_port for a in attached}))
    plan = _put_on_record(tx, switch, record.generation, reason)
    holdings.end(tx, [a.id for a in attached])
    left = [a for a in of_network_ports(tx, network_ports) if a.switch != switch]
    join(tx, [], [replace(a, state=AttachmentState.WANTED) for a in orphans(left, {a.switch for a in left})])
    if attached:
        settling.let_go(tx, attached)
    settling.refresh_status(tx, network_ports)
    settling.wake_nodes(tx, {a.host for a in attached})
    switches.remove(tx, name)
    return Forgotten(network_ports, plan)


def _put_on_record(tx: Tx, switch: SwitchId, generation: int, reason: str) -> str:
    """A plan that was never sent: all ports idle. What they carried when they were last seen is its `before`."""
    on: dict[str, set[str]] = defaultdict(set)
    for attachment in of_switch(tx, switch):
        on[attachment.port].add(attachment.network_port)
    changes = [
        Change(port.name, port.observed or PortConfig(), PortConfig(enabled=False), tuple(sorted(on[port.name])))
        for port in switches.ports_of(tx, switch)
    ]
    plan = plans.save(tx, switch, generation, Plan(switch, tuple(changes)), ())
    who = tx.caller.user_name or tx.caller.user_id
    by = f" by {who}" if who else ""
    words = f"forgotten by force{by} (request {tx.request_id}), nothing of it was read back: {reason}"
    plans.finish(tx, plan, plans.Outcome.FAILED, words)
    return plan
