"""What became of wishes: a read-back of one switch recorded, and all that follows from it, in one transaction.

What left is deleted; who waited for it is admitted; network ports become ACTIVE, or say why they are not; VLANs of
deleted networks that nothing carries go back to the pool; nodes that wait are due.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping

import sqlalchemy as sa

from ironlane.model.admission import admit
from ironlane.model.fabric import Attachment, AttachmentState, HostId, PortConfig, SwitchId
from ironlane.store import foreign_changes, holdings, withholding
from ironlane.store.attachments import Place, around, config_to_json, of_network, of_network_ports, port_records
from ironlane.store.bindings import drop, set_status, status_of, touch
from ironlane.store.database import Tx
from ironlane.store.prepared import Prepared
from ironlane.store.tables import attachments, nodes, ports, segments, switch_ports, switches

_APPLIED = Prepared(
    sa.update(attachments)
    .where(
        attachments.c.id.in_(sa.bindparam("ids", expanding=True)),
        # It may have been told to leave since the loop looked; then this says nothing about it any more.
        attachments.c.state != AttachmentState.LEAVING.value,
    )
    .values(applied=sa.bindparam("carried"))
)
_ESTABLISH = Prepared(
    sa.update(attachments)
    .where(attachments.c.id.in_(sa.bindparam("ids", expanding=True)))
    .values(established=sa.true())
)
_ADMIT = Prepared(
    sa.update(attachments)
    .where(attachments.c.id.in_(sa.bindparam("ids", expanding=True)))
    .values(state=AttachmentState.WANTED.value)
)
_OBSERVED = Prepared(
    sa.update(switch_ports)
    .where(switch_ports.c.switch_id == sa.bindparam("its_switch"), switch_ports.c.name == sa.bindparam("its_name"))
    .values(observed=sa.bindparam("config"), verified=sa.bindparam("expected"), observed_at=sa.bindparam("now"))
)
_STATUSES = Prepared(
    sa.select(ports.c.id, ports.c.status, ports.c.status_reason).where(
        ports.c.id.in_(sa.bindparam("ids", expanding=True))
    )
)
_FAULTS = Prepared(
    sa.select(switches.c.id, switches.c.reason).where(
        switches.c.id.in_(sa.bindparam("ids", expanding=True)), switches.c.reason != ""
    )
)
_RELEASED = Prepared(
    sa.select(segments.c.network_id).where(
        segments.c.network_id.in_(sa.bindparam("networks", expanding=True)), segments.c.released
    )
)
_WAKE = Prepared(
    sa.update(nodes)
    .where(nodes.c.id.in_(sa.bindparam("ids", expanding=True)), nodes.c.due_at.is_not(None))
    .values(due_at=sa.bindparam("now"))
)
_NODES = Prepared(sa.select(nodes.c.id).where(nodes.c.id.in_(sa.bindparam("ids", expanding=True))))


def settle(
    tx: Tx,
    switch: SwitchId,
    judged: Collection[Attachment],
    observed: Mapping[str, PortConfig],
    verified: Mapping[str, PortConfig | None] | None = None,
) -> None:
    """Record what a read-back of one switch showed, for the attachments that the loop had in view.

    `verified` are ports that carry what they should (or None: it is not known what they should carry), for later
    audits to compare with.
    """
    gone = [a for a in judged if a.state is AttachmentState.LEAVING and not _lingers(observed, a)]
    admitted = [a for a in judged if a.state in {AttachmentState.WANTED, AttachmentState.WITHHELD}]
    turned = [a for a in admitted if carries(observed.get(a.port), a) is not a.applied]
    joined, lost = [a for a in turned if not a.applied], [a for a in turned if a.applied]
    for carried, which in ((True, joined), (False, lost)):
        if which:
            tx.execute(_APPLIED, {"ids": [a.id for a in which], "carried": carried})
    holdings.begin(tx, joined)
    holdings.end(tx, [a.id for a in [*gone, *lost]])
    if gone:
        let_go(tx, gone)
    withholding.follow(tx, switch, [a for a in joined if a.state is AttachmentState.WANTED])
    _store_observed(tx, switch, observed, verified or {})
    refresh_status(tx, {a.network_port for a in [*gone, *turned]})
    wake_nodes(tx, {a.host for a in [*gone, *turned]})


def let_go(tx: Tx, gone: Collection[Attachment]) -> None:
    """These are on no switch any more: off the record with them, and whoever waited for that may go on."""
    drop(tx, gone)
    _admit_around(tx, gone)
    release_segments(tx, {a.network for a in gone})


def carries(config: PortConfig | None, attachment: Attachment) -> bool:
    """Whether a switch port that was read back does what the attachment asks for."""
    if config is None or not config.enabled or config.inactive or config.lag != attachment.lag:
        return False
    return attachment.vlan in config.tagged if attachment.tagged else attachment.vlan == config.untagged


def refresh_status(tx: Tx, network_ports: Collection[str]) -> None:
    """Set `status` and its reason on network ports from their attachments; those that are whole are established."""
    rows = tx.execute(_STATUSES, {"ids": sorted(network_ports)}).all() if network_ports else []
    before = {row.id: (row.status, row.status_reason) for row in rows}
    if len(before) < len(set(network_ports)):
        before |= foreign_changes.statuses(tx, set(network_ports) - before.keys())
    if not before:
        return
    live: dict[str, list[Attachment]] = {port: [] for port in before}
    for attachment in of_network_ports(tx, network_ports):
        if attachment.state is not AttachmentState.LEAVING and attachment.network_port in live:
            live[attachment.network_port].append(attachment)
    whole = [own for own in live.values() if all(a.applied and a.state is AttachmentState.WANTED for a in own)]
    if new := [a.id for own in whole for a in own if not a.established]:
        tx.execute(_ESTABLISH, {"ids": new})
    waiting = [a for own in live.values() for a in own if not a.applied]
    held = [a for a in waiting if a.state is AttachmentState.HELD]
    near = around(tx, {a.host for a in held}, [(a.switch, a.port) for a in held]) if held else []
    faults = _faults(tx, {a.switch for a in waiting})
    after = {port: status_of(own, near, faults) for port, own in live.items()}
    set_status(tx, {port: status for port, status in after.items() if status != before[port]})


def release_segments(tx: Tx, network_ids: Collection[str]) -> None:
    """VLANs of deleted networks go back to the pool once no switch carries them any more (invariant I3)."""
    for network in tx.execute(_RELEASED, {"networks": sorted(network_ids)}).scalars():
        if not of_network(tx, network):
            tx.execute(sa.delete(segments).where(segments.c.network_id == network, segments.c.released))


def _lingers(observed: Mapping[str, PortConfig], leaving: Attachment) -> bool:
    """Whether a switch port still shows anything of an attachment that leaves."""
    config = observed.get(leaving.port)
    if config is None or not config.enabled:
        return False
    # A sub-port leaves a LAG that stays its trunk's parent port's.
    bundled = leaving.lag is not None and config.lag == leaving.lag and not leaving.tagged
    return leaving.vlan in config.vlans or bundled


def _admit_around(tx: Tx, gone: Collection[Attachment]) -> None:
    """Look again at what waits: of these servers, and of whoever else wishes for these switch ports."""
    beside = around(tx, {a.host for a in gone}, [(a.switch, a.port) for a in gone])
    held = [a for a in beside if a.state is AttachmentState.HELD]
    if not held:
        return
    hosts = {a.host for a in held}
    near = around(tx, hosts)
    near += around(tx, (), [(a.switch, a.port) for a in near if a.state is AttachmentState.HELD])
    by_host: dict[HostId, list[Attachment]] = defaultdict(list)
    by_place: dict[Place, list[Attachment]] = defaultdict(list)
    for a in {a.id: a for a in near}.values():
        by_host[a.host].append(a)
        by_place[a.switch, a.port].append(a)
    admitted: list[Attachment] = []
    for host in sorted(hosts):
        wished = {(a.switch, a.port) for a in by_host[host] if a.state is AttachmentState.HELD}
        others = [a for place in wished for a in by_place[place] if a.host != host]
        admitted += [a for a in admit([*by_host[host], *others]) if a.host == host]
    if admitted:
        tx.execute(_ADMIT, {"ids": [a.id for a in admitted]})
        touch(tx, {a.switch for a in admitted})
        refresh_status(tx, {a.network_port for a in admitted})


def _faults(tx: Tx, which: Collection[SwitchId]) -> dict[SwitchId, str]:
    if not which:
        return {}
    return {SwitchId(row.id): row.reason for row in tx.execute(_FAULTS, {"ids": sorted(which)})}


def wake_nodes(tx: Tx, hosts: Collection[str]) -> None:
    """Nodes that wait for their switch ports are due: by their rows, because another conductor may own them."""
    if hosts:
        tx.execute(_WAKE, {"ids": sorted(hosts), "now": tx.now})
        for node in tx.execute(_NODES, {"ids": sorted(hosts)}).scalars():  # a host need not be a node of ours
            tx.hint("node", node)


def _store_observed(
    tx: Tx, switch: SwitchId, observed: Mapping[str, PortConfig], verified: Mapping[str, PortConfig | None]
) -> None:
    news = []
    for port in port_records(tx, switch):
        if port.name not in observed:
            continue
        shown, expected = observed[port.name], verified.get(port.name, port.verified)
        if (shown, expected) != (port.observed, port.verified):
            news.append(
                {
                    "its_switch": switch,
                    "its_name": port.name,
                    "config": config_to_json(shown),
                    "expected": None if expected is None else config_to_json(expected),
                    "now": tx.now,
                }
            )
    if news:
        tx.execute(_OBSERVED, news)
