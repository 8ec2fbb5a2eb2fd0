"""The status of ports, and our block on it: what is written in which transaction.

A port that we have bound carries our block until it is verified, so nobody else makes it ACTIVE; one that we have not
bound never does. Transactions that take a port from where it was verified make it DOWN themselves, so that this does
not wait for Ironlane. Others that are under way then have read the port before: they take its row's lock before they
read, or notice its new revision when they write.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2, provisioning_blocks
from neutron.db.models.provisioning_block import ProvisioningBlock
from neutron.plugins.ml2.common import exceptions as ml2_exceptions
from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.callbacks import resources
from neutron_lib.db import api as db_api
from neutron_lib.db.standard_attr import StandardAttribute
from neutron_lib.plugins import directory

from neutron_ironlane import NAME
from neutron_ironlane.wish import same
from neutron_ironlane.wishes import bound, subports, wishes

LOG = logging.getLogger(__name__)

_SAID = "ironlane_said"
"""The attribute of a context that says of which wish a status is, for the transaction that writes it."""


class Overtaken(Exception):
    """A status is not of what is wished for by now."""


def confirm(context: Any, port: dict[str, Any], ours: bool) -> None:
    """Called in the transaction that writes a port's status; `ours` says whether it is bound by us.

    ML2 looks at a port and writes its status later. In between, somebody may unbind it or bind it elsewhere, and has
    made it DOWN: ACTIVE would be a lie then, and nobody would come back to it. From here on, the port's revision
    protects what is read.

    Raises:
        Overtaken: it is us who write it, and something else is wished for now; or somebody else writes ACTIVE, past
            our block or when a baremetal port is not bound any more.
    """
    active = port["status"] == constants.PORT_STATUS_ACTIVE
    said = getattr(context, _SAID, None)
    if said is None or said["id"] != port["id"]:
        fits = True
    elif port["status"] == constants.PORT_STATUS_DOWN:
        fits = ours
    elif active:
        fits = is_wished(context, port["id"], said)
    else:
        wish = wishes(context, [port["id"]]).get(port["id"])
        fits = wish is not None and same(said, wish)
    if active and not ours:  # ML2 has found it bound, but does not look again
        bare = port[portbindings.VNIC_TYPE] == portbindings.VNIC_BAREMETAL
        fits = fits and not (bare and port[portbindings.VIF_TYPE] == portbindings.VIF_TYPE_UNBOUND)
    if not fits or (active and ours and blocked(context, port["id"])):
        raise Overtaken(f"port {port['id']} was changed after it was found {port['status']}")
    if said is not None and ours and not active:
        _block(context, [port["id"]])


def is_wished(context: Any, port_id: str, said: dict[str, Any]) -> bool:
    """Whether this is what is wished for now; of a sub-port, that its parent port is where it is wished to be, too."""
    wish = wishes(context, [port_id]).get(port_id)
    if wish is None or not same(said, wish):
        return False
    parent = wish["parent_id"]
    return parent is None or (parent in wishes(context, [parent]) and not blocked(context, parent))


def hold(context: Any, port_ids: Collection[str], *, revised: bool = False) -> None:
    """Called in the transaction that takes ports elsewhere: those of ours are DOWN until they are verified anew.

    So are their sub-ports. All have a new revision then; these ports have one already if they are `revised`.
    """
    found = [*port_ids, *subports(context, port_ids, latest=True)]
    _lock(context, found)
    ours = bound(context, found, latest=True)
    if not ours:
        return
    _write(context, ours, constants.PORT_STATUS_DOWN)
    _block(context, ours)
    # By their numbers: MariaDB would go through, and lock, all there are for a subquery.
    old = _attributes(context, ours - set(port_ids) if revised else ours)
    newer = {"revision_number": StandardAttribute.revision_number + 1}
    _update(context, sa.update(StandardAttribute).where(StandardAttribute.id.in_(old)).values(newer))


def release(context: Any, port_id: str) -> None:
    """Called in the transaction that unbinds a port: it is DOWN, whatever another one has made of it meanwhile.

    ML2 writes DOWN only if the port was something else when this transaction began, and its own check of the port's
    revision passes over that. Our block goes: another driver may bind the port next, and would be kept waiting for us.
    """
    _write(context, [port_id], constants.PORT_STATUS_DOWN)
    mine = ProvisioningBlock.standard_attr_id == attribute_of(port_id), ProvisioningBlock.entity == NAME
    _update(context, sa.delete(ProvisioningBlock).where(*mine))
    beside = subports(context, [port_id], latest=True)
    if beside:
        hold(context, beside)


def block(context: Any, port_id: str) -> None:
    """Called in the transaction that binds a port: it is not ACTIVE before we say so.

    It was made DOWN when its binding began, but somebody else's block may have been lifted since.
    """
    _write(context, [port_id], constants.PORT_STATUS_DOWN)
    provisioning_blocks.add_provisioning_component(context, port_id, resources.PORT, NAME)


def blocked(context: Any, port_id: str) -> bool:
    """Whether our own block is on the port."""
    mine = ProvisioningBlock.standard_attr_id == attribute_of(port_id), ProvisioningBlock.entity == NAME
    with db_api.CONTEXT_READER.using(context):
        return context.session.execute(sa.select(ProvisioningBlock.entity).where(*mine)).first() is not None


def attribute_of(port_id: str) -> Any:
    """The id of a port's standard attributes, which its revision and its blocks go by, as a part of a query."""
    return sa.select(models_v2.Port.standard_attr_id).where(models_v2.Port.id == port_id).scalar_subquery()


def put_up(context: Any, port_id: str) -> None:
    """Have our block on a port that is DOWN already, if it is bound by us."""
    db_api.retry_if_session_inactive()(_put_up)(context, port_id)


def write(context: Any, port_id: str, status: str, said: dict[str, Any]) -> None:
    """Have ML2 write a status, which tells everybody about it, unless something else is wished for by now.

    `said` is the binding or wish that it is of. ACTIVE lifts our block, and is written if there is no other one; any
    other status puts it up.
    """
    if status == constants.PORT_STATUS_ACTIVE:
        lifted = db_api.retry_if_session_inactive()(_lift)(context, port_id, said)
        if not lifted or provisioning_blocks.is_object_blocked(context, port_id, resources.PORT):
            return
    setattr(context, _SAID, said | {"id": port_id})
    try:
        directory.get_plugin().update_port_status(context, port_id, status)
    except ml2_exceptions.MechanismDriverError:
        LOG.info("port %s is not made %s: something else is wished for by now", port_id, status)


def _lift(context: Any, port_id: str, said: dict[str, Any]) -> bool:
    """The lock keeps the port as it is until the block is gone: it may not be one that was put up meanwhile."""
    with db_api.CONTEXT_WRITER.using(context):
        _lock(context, [port_id])
        if not is_wished(context, port_id, said):
            return False
        provisioning_blocks.remove_provisioning_component(context, port_id, resources.PORT, NAME)
        return True


def _put_up(context: Any, port_id: str) -> None:
    with db_api.CONTEXT_WRITER.using(context):
        _lock(context, [port_id])
        _block(context, bound(context, [port_id]))


def _lock(context: Any, port_ids: Collection[str]) -> None:
    """Whoever changes what is wished for writes the port's row as well, or holds it.

    What a transaction reads first after this is the latest; where it has read before, only what it locks is.
    """
    rows = sa.select(models_v2.Port.id).where(models_v2.Port.id.in_(port_ids)).order_by(models_v2.Port.id)
    context.session.execute(rows.with_for_update()).all()


def _block(context: Any, port_ids: Collection[str]) -> None:
    """Put our block up where there is none. It is locked, so that this is seen as of now."""
    wanted = _attributes(context, port_ids)
    mine = ProvisioningBlock.standard_attr_id.in_(wanted), ProvisioningBlock.entity == NAME
    there = set(context.session.scalars(sa.select(ProvisioningBlock.standard_attr_id).where(*mine).with_for_update()))
    missing = [one for one in wanted if one not in there]
    context.session.add_all(ProvisioningBlock(standard_attr_id=one, entity=NAME) for one in missing)
    context.session.flush()


def _attributes(context: Any, port_ids: Collection[str]) -> list[int]:
    asked = sa.select(models_v2.Port.standard_attr_id).where(models_v2.Port.id.in_(port_ids))
    return sorted(context.session.scalars(asked))


def _write(context: Any, port_ids: Collection[str], status: str) -> None:
    _update(context, sa.update(models_v2.Port).where(models_v2.Port.id.in_(port_ids)).values(status=status))


def _update(context: Any, statement: Any) -> None:
    context.session.execute(statement.execution_options(synchronize_session=False))
