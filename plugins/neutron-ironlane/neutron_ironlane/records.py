"""Neutron's side of the bargain: what its database says should be bound, and the status of its ports.

All that Ironlane is told is derived from the database, again and again.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron_lib import constants
from neutron_lib import context as neutron_context
from neutron_lib.db import api as db_api
from neutron_lib.db.standard_attr import StandardAttribute

from neutron_ironlane import status, trunks
from neutron_ironlane.wishes import bound, subports, wishes

LOG = logging.getLogger(__name__)

_CHUNK = 200


class Records:
    """What `sync.Neutron` asks for, of the Neutron that runs in this process."""

    def wishes(self, port_ids: Collection[str] | None = None) -> dict[str, dict[str, Any]]:
        """The wishes of these ports, or of all: `{port id: wish}`, a wish as Ironlane takes it."""
        return wishes(neutron_context.get_admin_context(), port_ids)

    def bound(self) -> set[str]:
        """The ports that are bound by us, also those that are to be nowhere for now."""
        return bound(neutron_context.get_admin_context())

    def subports(self, port_id: str) -> list[str]:
        """The sub-ports of a parent port; they are ACTIVE only while it is as it should be."""
        return subports(neutron_context.get_admin_context(), [port_id])

    def revision(self, port_id: str) -> int | None:
        """The port's revision, None if the port is gone."""
        context = neutron_context.get_admin_context()
        asked = sa.select(StandardAttribute.revision_number).join(
            models_v2.Port, models_v2.Port.standard_attr_id == StandardAttribute.id
        )
        with db_api.CONTEXT_READER.using(context):
            found = context.session.scalars(asked.where(models_v2.Port.id == port_id)).one_or_none()
        return None if found is None else int(found)

    def renew(self, port_id: str, revision: int) -> None:
        """Give the port that revision, unless it has a later one: its wish is newer than that it was taken back."""
        db_api.retry_if_session_inactive()(_renew)(neutron_context.get_admin_context(), port_id, revision)

    def refuse(self, port_id: str, wish: dict[str, Any]) -> None:
        """The port is in error until a wish of it is accepted, if this is still its wish."""
        context = neutron_context.get_admin_context()
        status.write(context, port_id, constants.PORT_STATUS_ERROR, wish)
        trunks.show_status(context, port_id)

    def follow_trunks(self) -> None:
        """Have every sub-port bound where its parent port is."""
        trunks.follow_all(neutron_context.get_admin_context())

    def statuses(self, port_ids: Collection[str]) -> dict[str, str]:
        """The statuses of these ports."""
        context, found, wanted = neutron_context.get_admin_context(), {}, sorted(port_ids)
        for start in range(0, len(wanted), _CHUNK):
            some = models_v2.Port.id.in_(wanted[start : start + _CHUNK])
            with db_api.CONTEXT_READER.using(context):
                rows = context.session.execute(sa.select(models_v2.Port.id, models_v2.Port.status).where(some))
                found.update({row.id: row.status for row in rows})
        return found

    def settle(self, port_id: str, binding: dict[str, Any] | None, latest: bool) -> object | None:
        """Make the status of a port that we have bound what its binding says, if it is of what is wished for now.

        Without a binding it is DOWN. Returns None if the status is that already, else what it was derived from. Only
        the latest is acted upon.
        """
        context = neutron_context.get_admin_context()
        now = self.statuses([port_id]).get(port_id) if bound(context, [port_id]) else None
        if now is None:
            return None
        wish = wishes(context, [port_id]).get(port_id)
        asked = binding is not None and status.is_wished(context, port_id, binding)
        wanted = constants.PORT_STATUS_DOWN
        if asked and binding is not None and binding["status"] == constants.PORT_STATUS_ACTIVE:
            wanted = constants.PORT_STATUS_ACTIVE
        refused = now == constants.PORT_STATUS_ERROR and wish is not None and not asked
        # Where somebody else's block keeps the port DOWN as well, ours has to be there when that is lifted.
        loose = now == wanted == constants.PORT_STATUS_DOWN and asked and not status.blocked(context, port_id)
        if refused or (now == wanted and not loose):
            return None
        if latest and loose:
            status.put_up(context, port_id)
        elif latest:
            if wanted == constants.PORT_STATUS_DOWN:
                why = binding["reason"] if asked and binding else "something else is wished for, or not bound"
                LOG.info("port %s is not as it should be: %s", port_id, why)
            status.write(context, port_id, wanted, binding or {})
            trunks.show_status(context, port_id)
        return latest, binding and binding["change"], wish


def _renew(context: Any, port_id: str, revision: int) -> None:
    older = StandardAttribute.id == status.attribute_of(port_id), StandardAttribute.revision_number < revision
    renewed = sa.update(StandardAttribute).where(*older).values(revision_number=revision)
    with db_api.CONTEXT_WRITER.using(context):
        context.session.execute(renewed.execution_options(synchronize_session=False))
