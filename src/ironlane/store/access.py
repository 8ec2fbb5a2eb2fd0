"""What a transaction's caller sees, as conditions on rows, and whether a rule of `ironlane.model.policy` lets it act.

The nouns' own `get` and `page` ask here, so that whoever uses them on a caller's behalf sees only what is the caller's.
Ironlane's own work (`INTERNAL`, an admin) is asked nothing. What a change leads to beyond what its caller may see, such
as the binding of a VIF, is done within `Tx.elevated`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

import sqlalchemy as sa

from ironlane.model import policy
from ironlane.model.caller import Caller
from ironlane.model.errors import NotFound
from ironlane.model.node import Node
from ironlane.model.policy import Target
from ironlane.store.database import Tx
from ironlane.store.tables import (
    networks,
    nodes,
    ports,
    rbac_policies,
    subnets,
)

Condition = sa.ColumnElement[bool]

ATTRIBUTES = {
    "router_external": "router:external",
    "network_type": "provider:network_type",
    "physical_network": "provider:physical_network",
    "segmentation_id": "provider:segmentation_id",
    "host_id": "binding:host_id",
    "profile": "binding:profile",
    "vnic_type": "binding:vnic_type",
}
"""Columns whose attributes have other names in the Networking API, and so in its rules."""


class _Owned(Protocol):
    @property
    def project_id(self) -> str: ...


# --- what is seen ----------------------------------------------------------------------------------------------


def networks_shared_with(project: str) -> Condition:
    """The networks that are for a project although they are another's. Whatever shares networks is said here."""
    let_in = sa.select(rbac_policies.c.object_id).where(rbac_policies.c.target_project == project)
    return sa.or_(
        networks.c.shared.is_(sa.true()),  # with everybody
        networks.c.router_external.is_(sa.true()),
        networks.c.id.in_(let_in.scalar_subquery()),
    )


def networks_of(project: str) -> Condition:
    """All networks that a project sees."""
    return sa.or_(networks.c.project_id == project, networks_shared_with(project))


def _on(condition: Condition) -> sa.ScalarSelect[Any]:
    return sa.select(networks.c.id).where(condition).scalar_subquery()


def _nodes_of(project: str) -> Condition:
    return sa.or_(nodes.c.owner == project, nodes.c.lessee == project)


def _its_node(project: str) -> sa.ScalarSelect[Any]:
    return sa.select(nodes.c.id).where(_nodes_of(project)).scalar_subquery()


def visible(caller: Caller, table: sa.FromClause) -> list[Condition]:
    """The condition on rows of a table that a caller sees them; none when it sees all."""
    if caller.sees_all:
        return []
    project = caller.project_id
    if not project or "reader" not in caller.roles:
        return [sa.false()]
    column = table.c
    if table is networks:
        return [networks_of(project)]
    if table is subnets:
        return [sa.or_(column.project_id == project, column.network_id.in_(_on(networks_of(project))))]
    if table is ports:
        return [sa.or_(column.project_id == project, column.network_id.in_(_on(networks.c.project_id == project)))]
    if table is nodes:
        return [_nodes_of(project)]
    if "node_id" in column:  # NICs, portgroups, volumes, …: with their node
        return [column.node_id.in_(_its_node(project))]
    owner = next((column[name] for name in ("project_id", "owner") if name in column), None)
    return [sa.false() if owner is None else owner == project]


def require_visible(tx: Tx, noun: str, table: sa.Table, ident: str, *, field: str | None = None) -> None:
    """Refuse what the caller does not see as if it were not there.

    Raises:
        NotFound: for the caller, there is no such thing.
    """
    if tx.caller.sees_all:
        return
    conditions = visible(tx.caller, table)
    if tx.one(sa.select(table.c.id).where(table.c.id == ident, *conditions)) is None:
        raise NotFound(noun, ident, field=field)


def physical_network(tx: Tx, name: str) -> str:
    """A physical network as a refusal may name it: which one a network is on is not for everybody."""
    hidden = policy.hidden(tx.caller, "get_network")
    return "its physical network" if "provider:physical_network" in hidden else f"physical network {name}"


def sees_trunk_of(tx: Tx, port: _Owned) -> bool:
    """Whether the caller sees the trunk that a port is in, which is its owner's. A network's owner sees the port."""
    return tx.caller.sees_all or port.project_id == tx.caller.project_id


# --- what is allowed -------------------------------------------------------------------------------------------


def require_new(tx: Tx, noun: str, new: Any) -> None:
    """Whether the caller may create `new`, a `NewNetwork`, `NewSubnet`, `NewPort`, …: as it is, and for that project.

    Raises:
        NotFound: the network or port that it is to be on is not there for the caller.
        Forbidden: it may not.
    """
    if tx.caller.is_admin:
        return
    network_id, port_id = getattr(new, "network_id", None), getattr(new, "port_id", None)
    if (shared := getattr(new, "object_id", None)) is not None:
        require_own_network(tx, shared, field="object_id")
    target = Target(project=new.project_id)
    if network_id is not None:
        require_visible(tx, "network", networks, network_id, field="network_id")
        target = _on_network(tx, new.project_id, network_id)
    if port_id is not None:
        require_own_port(tx, port_id, field="port_id")
    for index, subport in enumerate(getattr(new, "sub_ports", ())):
        require_own_port(tx, subport.port_id, field=f"sub_ports[{index}].port_id")
    foreign = ["project_id"] if new.project_id != tx.caller.project_id else []
    policy.require(tx.caller, f"create_{noun}", target, [*_set_in(new), *foreign])


def require_change(
    tx: Tx, rule: str, row: Any, changes: Mapping[str, Any] | None = None, *, network_id: str | None = None
) -> None:
    """Whether the caller may do `rule` (`update_port`) to a row that it sees.

    Raises:
        Forbidden: it may not.
    """
    if tx.caller.is_admin:
        return
    project = row.project_id
    target = Target(project=project) if network_id is None else _on_network(tx, project, network_id)
    policy.require(tx.caller, rule, target, _named(changes or {}))


def require_project(tx: Tx, rule: str, project: str) -> None:
    """Whether the caller may do `rule` to a project's quota.

    Raises:
        NotFound: it is another project's.
        Forbidden: it may not.
    """
    target = Target(project=project)
    if not policy.allowed(tx.caller, "get_quota", target):
        raise NotFound("quota for project", project, code="TenantQuotaNotFound")
    policy.require(tx.caller, rule, target)


def require_own_network(tx: Tx, network_id: str, *, field: str | None = None) -> None:
    """Whether the caller may let others use a network.

    Raises:
        NotFound: for the caller there is no such network.
        Forbidden: it is not its own.
    """
    require_visible(tx, "network", networks, network_id, field=field)
    row = tx.one(sa.select(networks.c.project_id).where(networks.c.id == network_id))
    if row is not None:
        policy.require(tx.caller, "update_network", Target(project=row.project_id))


def require_own_port(tx: Tx, port_id: str, *, field: str | None = None) -> None:
    """Whether the caller may use a network port for a trunk or a server.

    Raises:
        NotFound: for the caller there is no such port.
        Forbidden: it is not its own.
    """
    if tx.caller.is_admin:
        return
    require_visible(tx, "port", ports, port_id, field=field)
    row = tx.one(sa.select(ports.c.project_id).where(ports.c.id == port_id))
    if row is None:
        raise NotFound("port", port_id, field=field)
    policy.require(tx.caller, "update_port", Target(project=row.project_id))


def require_node(tx: Tx, node: Node, *attributes: str, rule: str = "") -> None:
    """Whether the caller may do to a node what it is about to do: `rule`, or that of the transaction.

    `attributes` are the node's fields that it sets, or the verb that it uses.

    Raises:
        Forbidden: it may not.
    """
    policy.require(tx.caller, rule or tx.rule, node_target(node), attributes)


def node_target(node: Node) -> Target:
    """What the rules for a node are asked about."""
    return Target(owner=node.owner or "", lessee=node.lessee or "")


def _on_network(tx: Tx, project: str, network_id: str) -> Target:
    shared = networks_shared_with(tx.caller.project_id).label("shared")
    row = tx.one(sa.select(networks.c.project_id, shared).where(networks.c.id == network_id))
    if row is None:
        return Target(project=project)
    return Target(project=project, network_project=row.project_id, shared=bool(row.shared))


def _set_in(new: Any) -> list[str]:
    """The attributes of something new that are not what they would be anyway, by their names in rules."""
    given = {name: (getattr(new, name), field.default) for name, field in new.__dataclass_fields__.items()}
    set_ = {
        name: value
        for name, (value, default) in given.items()
        # An empty text where nothing at all is the default is something that was said.
        if value or name == "port_security_enabled" or (default is None and value is not None)
    }
    set_.pop("project_id", None)
    return _named(set_, new=True)


def _named(changes: Mapping[str, Any], *, new: bool = False) -> list[str]:
    names: list[str] = []
    for column, value in changes.items():
        if column == "device_owner":
            names += ["device_owner:network"] if str(value).startswith("network:") else []
        elif column == "target_project":
            names.append(f"target_tenant:{value}")
        elif column == "fixed_ips":
            names += ["fixed_ips"] if not new else _parts(value)
        elif column == "port_security_enabled" and new and value is None:
            continue
        else:
            names.append(ATTRIBUTES.get(column, column))
    return names


def _parts(wishes: Collection[Mapping[str, str | None]]) -> list[str]:
    """What is said of the addresses of a new port."""
    return [f"fixed_ips:{key}" for key in ("ip_address", "subnet_id") if any(wish.get(key) for wish in wishes)]
