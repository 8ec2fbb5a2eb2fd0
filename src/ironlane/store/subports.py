"""Sub-ports of trunks: they are where their trunk's parent port is, tagged with the VLAN of their own network.

`follow` is called in every transaction that changes the parent port, a sub-port, a network of theirs or the trunk. It
touches nothing that is as it should be, so the untagged VLAN stays while tagged ones come and go.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from ironlane.model.admission import admit
from ironlane.model.errors import Conflict
from ironlane.model.fabric import Attachment, AttachmentState, Side, Vlan
from ironlane.model.network import IpAllocation, NetworkPort, SubPort, TrunkDetails, VifType
from ironlane.store import addresses
from ironlane.store.attachments import around, of_network_ports
from ironlane.store.bindings import join, leave, orphans, set_status, status_of, unread
from ironlane.store.database import Tx
from ironlane.store.prepared import Prepared
from ironlane.store.subnets import of_network as subnets_of
from ironlane.store.tables import networks, ports, trunk_subports, trunks

DEVICE_OWNER = "trunk:subport"
"""`device_owner` of sub-ports, as Neutron sets it."""

LEAVING, HELD, WANTED = AttachmentState.LEAVING, AttachmentState.HELD, AttachmentState.WANTED
WITHHELD = AttachmentState.WITHHELD

_BINDING = ("host_id", "vnic_type", "profile")
"""What a client may not say of a sub-port, because it follows from the parent port."""

_CHUNK = 500

_PARENT = Prepared(
    sa.select(ports.c.id, ports.c.host_id, ports.c.vif_type).join_from(
        trunks, ports, (ports.c.id == trunks.c.port_id) & (trunks.c.id == sa.bindparam("trunk"))
    )
)
_MEMBERS = Prepared(
    sa.select(
        *(ports.c[name] for name in ("id", "network_id", "mac_address", "host_id", "vif_type", "ip_allocation")),
        ports.c.admin_state_up,
        networks.c.admin_state_up.label("network_up"),
        networks.c.segmentation_id,
        networks.c.side,
    )
    .join_from(trunk_subports, ports, ports.c.id == trunk_subports.c.port_id)
    .join(networks, networks.c.id == ports.c.network_id)
    .where(trunk_subports.c.trunk_id == sa.bindparam("trunk"))
    .order_by(trunk_subports.c.segmentation_id)
)
_OF_TRUNKS = Prepared(
    sa.select(trunk_subports, ports.c.mac_address)
    .join_from(trunk_subports, ports, ports.c.id == trunk_subports.c.port_id)
    .where(trunk_subports.c.trunk_id.in_(sa.bindparam("trunks", expanding=True)))
    .order_by(trunk_subports.c.segmentation_id)
)
_PARENTS = Prepared(
    sa.select(trunks.c.id, trunks.c.port_id).where(trunks.c.id.in_(sa.bindparam("trunks", expanding=True)))
)
_BIND = Prepared(
    sa.update(ports)
    .where(ports.c.id == sa.bindparam("port"))
    .values(
        host_id=sa.bindparam("host"),
        vif_type=sa.bindparam("vif"),
        ip_allocation=sa.bindparam("allocation"),
        revision_number=ports.c.revision_number + 1,
        updated_at=sa.bindparam("now"),
    )
)
_OWN = Prepared(
    sa.update(ports)
    .where(ports.c.id.in_(sa.bindparam("ids", expanding=True)))
    .values(
        trunk_id=sa.bindparam("trunk"),
        device_id=sa.bindparam("device"),
        device_owner=sa.bindparam("owner"),
        revision_number=ports.c.revision_number + 1,
        updated_at=sa.bindparam("now"),
    )
)


@dataclass(frozen=True, slots=True)
class Member:
    """A sub-port: the VLAN that it brings beside its parent port, or None when it, or its network, is down."""

    id: str
    network: str
    vlan: int | None
    side: str


@dataclass(frozen=True, slots=True)
class _Step:
    """How sub-ports follow: attachments of the parent port, and those of theirs that stay, are new, have to go."""

    beside: Sequence[Attachment]
    same: Sequence[Attachment]
    added: Sequence[Attachment]
    gone: Sequence[Attachment]


def follow(tx: Tx, trunk_id: str) -> None:
    """Make the attachments of a trunk's sub-ports what they should be: one beside each of its parent port's.

    A sub-port that is down, or whose network is, has none. All links and LAGs are the parent port's; `binding:host_id`
    and `binding:vif_type` are its, too.
    """
    rows = tx.execute(_MEMBERS, {"trunk": trunk_id}).all()
    if not rows:
        return
    parent = tx.execute(_PARENT, {"trunk": trunk_id}).one()
    _share_binding(tx, parent, rows)
    members = [Member(row.id, row.network_id, row.segmentation_id if _up(row) else None, row.side) for row in rows]
    place(tx, parent.id, parent.host_id, members)


def place(tx: Tx, parent: str, host: str, members: Sequence[Member]) -> None:
    """Make the attachments of `members` what they should be beside those of the network port `parent` on `host`."""
    ids = [parent, *(m.id for m in members)]
    near = around(tx, {host} - {""}, (), ids)
    if held := [(a.switch, a.port) for a in near if a.network_port == parent and a.state is HELD]:
        # What the parent port waits for may be another server's: without it, it would seem to wait for nothing.
        near = around(tx, {host} - {""}, held, ids)
    beside = [a for a in near if a.network_port == parent and a.state is not LEAVING]
    same: list[Attachment] = []
    added: list[Attachment] = []
    for member in members:
        wished = {} if beside == [] or member.vlan is None else {_key(a, member): a for a in beside}
        present = {_key(a): a for a in near if a.network_port == member.id and a.state is not LEAVING}
        same += [a for key, a in present.items() if key in wished]
        added += [_beside(tx, a, member) for key, a in wished.items() if key not in present]
    own_ids = {m.id for m in members}
    kept = {a.id for a in same}
    gone = [a for a in near if a.network_port in own_ids and a.state is not LEAVING and a.id not in kept]
    if added or gone:
        _record(tx, own_ids, near, _Step(beside, same, added, gone))


def own(tx: Tx, trunk_id: str, port_ids: Collection[str]) -> None:
    """Ports are a trunk's sub-ports from now on."""
    if port_ids:
        values = {"trunk": trunk_id, "device": trunk_id, "owner": DEVICE_OWNER, "now": tx.now}
        tx.execute(_OWN, {"ids": sorted(port_ids), **values})


def release(tx: Tx, port_ids: Collection[str]) -> None:
    """Ports are nobody's sub-ports any more: unbound, with nothing on any switch once it has left."""
    if not port_ids:
        return
    present = [a for a in of_network_ports(tx, port_ids) if a.state is not LEAVING]
    leave(tx, present)
    set_status(tx, {a.network_port: status_of([], [], {}) for a in present})
    tx.execute(_OWN, {"ids": sorted(port_ids), "trunk": None, "device": "", "owner": "", "now": tx.now})
    unbound = {"host_id": "", "vif_type": VifType.UNBOUND.value}
    tx.execute(sa.update(ports).where(ports.c.id.in_(sorted(port_ids))).values(**unbound))


def is_subport(tx: Tx, port: NetworkPort) -> bool:
    """Whether a port is a trunk's sub-port; most ports are in no trunk, and that costs nothing."""
    if port.trunk_id is None:
        return False
    return bool(tx.execute(_PARENT, {"trunk": port.trunk_id}).one().id != port.id)


def allowed_changes(tx: Tx, port: NetworkPort, changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """What of a change applies to a port: the binding of a sub-port follows from the parent port.

    Raises:
        Conflict: the change would bind a sub-port by itself.
    """
    named = [name for name in _BINDING if name in changes]
    if not named or not is_subport(tx, port):
        return changes
    for name in named:
        if changes[name] != getattr(port, name):
            raise Conflict(
                f"Port {port.id} is currently a subport for trunk {port.trunk_id}, and bound where the trunk's parent"
                " port is; bind that, or remove the port from the trunk",
                code="PortInUseAsSubPort",
                field=f"binding:{name}",
            )
    return {name: value for name, value in changes.items() if name not in _BINDING}


def refuse_deletion(tx: Tx, port: NetworkPort) -> None:
    """Raises: Conflict, when a port is in a trunk."""
    if port.trunk_id is None:
        return
    if is_subport(tx, port):
        message = f"Port {port.id} is currently a subport for trunk {port.trunk_id}; remove it from the trunk first"
        raise Conflict(message, code="PortInUseAsSubPort")
    message = f"Port {port.id} is currently a parent port for trunk {port.trunk_id}; delete the trunk first"
    raise Conflict(message, code="PortInUseAsTrunkParent")


def of_trunks(tx: Tx, trunk_ids: Sequence[str]) -> dict[str, tuple[SubPort, ...]]:
    """The sub-ports of each trunk, by their tag."""
    found: dict[str, list[SubPort]] = {trunk: [] for trunk in trunk_ids}
    for start in range(0, len(trunk_ids), _CHUNK):
        for row in tx.execute(_OF_TRUNKS, {"trunks": list(trunk_ids[start : start + _CHUNK])}):
            subport = SubPort(row.port_id, Vlan(row.segmentation_id), row.segmentation_type, row.mac_address)
            found[row.trunk_id].append(subport)
    return {trunk: tuple(subports) for trunk, subports in found.items()}


def details(tx: Tx, found: Sequence[NetworkPort]) -> dict[str, TrunkDetails]:
    """`trunk_details` of those ports that are a trunk's parent port."""
    trunk_ids = sorted({port.trunk_id for port in found if port.trunk_id is not None})
    if not trunk_ids:
        return {}
    parents: dict[str, str] = {}
    for start in range(0, len(trunk_ids), _CHUNK):
        rows = tx.execute(_PARENTS, {"trunks": trunk_ids[start : start + _CHUNK]})
        parents.update((row.port_id, row.id) for row in rows)
    wanted = {port.id: parents[port.id] for port in found if port.id in parents}
    subports = of_trunks(tx, sorted(wanted.values()))
    return {port: TrunkDetails(trunk, subports[trunk]) for port, trunk in wanted.items()}


def _up(member: sa.Row[Any]) -> bool:
    return bool(member.admin_state_up and member.network_up and member.segmentation_id is not None)


def _key(attachment: Attachment, member: Member | None = None) -> tuple[object, ...]:
    """What makes two attachments of one sub-port the same wish; with `member` that of its beside another attachment."""
    vlan, tagged = (attachment.vlan, attachment.tagged) if member is None else (member.vlan, True)
    return attachment.switch, attachment.port, attachment.host, vlan, attachment.lag, tagged


def _beside(tx: Tx, parent: Attachment, member: Member) -> Attachment:
    """A sub-port's attachment beside one of the parent port's."""
    assert member.vlan is not None  # noqa: S101 - one that is down has none
    return Attachment(
        id=str(uuid.uuid4()),
        switch=parent.switch,
        port=parent.port,
        network_port=member.id,
        network=member.network,
        host=parent.host,
        vlan=Vlan(member.vlan),
        side=Side(member.side),
        state=HELD,
        lag=parent.lag,
        tagged=True,
        request_id=tx.request_id,
        created_at=tx.now,
    )


def _record(tx: Tx, ids: Collection[str], near: Sequence[Attachment], step: _Step) -> None:
    left = {a.id for a in step.gone}
    stays = [a for a in near if a.id not in left]
    stays += [replace(a, state=LEAVING, applied=False) for a in step.gone if a.state is not HELD]
    admitted = {a.id for a in admit([*stays, *step.added])}
    freed = [*(a for a in step.same if a.id in admitted), *orphans(step.same, {a.switch for a in step.beside})]
    freed = [replace(a, state=WANTED) for a in freed]
    added = [_admitted(a, step.beside) if a.id in admitted else a for a in step.added]
    join(tx, added, freed)
    leave(tx, step.gone)
    live = [*unread(freed), *(a for a in step.same if a.id not in {f.id for f in freed}), *added]
    everything = [*stays, *added]
    set_status(tx, {p: status_of([a for a in live if a.network_port == p], everything, {}) for p in sorted(ids)})


def _admitted(attachment: Attachment, beside: Sequence[Attachment]) -> Attachment:
    """As long as a link of the parent port is withheld, so is this: all of its links join, or none."""
    parent = next((a for a in beside if a.state is WITHHELD), None)
    if parent is not None:
        return replace(attachment, state=WITHHELD, withheld_by=parent.withheld_by, reason=parent.reason)
    return replace(attachment, state=WANTED)


def _share_binding(tx: Tx, parent: sa.Row[Any], members: Sequence[sa.Row[Any]]) -> None:
    """The host of the parent port is the sub-ports'; addresses that waited for a host are given now."""
    changed = []
    for member in members:
        if (member.host_id, member.vif_type) == (parent.host_id, parent.vif_type):
            continue
        allocation = member.ip_allocation
        if allocation == IpAllocation.DEFERRED.value and parent.host_id:
            subnets = subnets_of(tx, member.network_id)
            if addresses.allocate_default(tx, subnets, member.id, member.mac_address):
                allocation = IpAllocation.IMMEDIATE.value
        binding = {"host": parent.host_id, "vif": parent.vif_type}
        changed.append({"port": member.id, **binding, "allocation": allocation, "now": tx.now})
    if changed:
        tx.execute(_BIND, changed)
