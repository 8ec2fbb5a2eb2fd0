"""Open vSwitch, configured over OVSDB (RFC 7047): one bridge is one switch, an Interface's name is a port's name.

`Access.address` is the path of a unix socket (`/run/openvswitch/db.sock`, or with `unix:` before it) or a host, with
`Access.port` (default 6640). `Access.options`:

* `bridge`: the bridge's name; required.
* `lag_prefix`: what the names of LAG Ports start with, default `lag`. Port names are unique in a database, so two
  bridges of one database that both have LAGs need different prefixes.
* `mlag_system_id`, `mlag_member`: this bridge is one of a pair to which servers are bonded; a MAC address that both
  share, and 0 for one of them, 1 for the other. See `openvswitch_rows.Dialect`.
* `tls`, `tls_ca`, `tls_certificate`, `tls_key`, `tls_verify`: see `ovsdb.tls_context`. `tls_server_name`: the name in
  the server's certificate where it is not the address.
* `settle`: seconds that `apply` waits more when a plan takes something away from a port, default 0.1. ovs-vswitchd
  reports a configuration as applied when its threads have been told to revalidate the flows in the datapath, not when
  they have done so: measured on a machine with no CPU to spare, frames still went the old way up to 33 ms later. OVSDB
  has nothing to wait for here. Raise it where the datapath holds very many flows.

A plan is one transaction, or two: see `isolation`. Each begins with `wait` operations that hold it to the rows as they
were looked up: if somebody else has moved an interface in between, nothing is changed (`Temporary`), so a port never
gets a stranger's LAG. After each commit the driver waits until ovs-vswitchd has applied it (`cur_cfg` has reached the
raised `next_cfg`). Should the second one fail, the ports of the first are left isolated, which lets nobody through.

What Open vSwitch cannot do: take a port's carrier down (a shut port is isolated instead, see `openvswitch_rows`);
enforce a minimum of LAG members (`Permanent`); hold back a LAG with a single local member until LACP is negotiated (it
forwards from the start, as if `fallback` were on).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ironlane.model.errors import Permanent, Temporary
from ironlane.model.fabric import PortConfig
from ironlane.model.plan import Plan
from ironlane.switches.base import Access, Capabilities
from ironlane.switches.openvswitch_rows import (
    BRIDGE_COLUMNS,
    DESCRIPTION,
    INTERFACE_COLUMNS,
    INTERFACE_OTHER_CONFIG,
    ISOLATED,
    PORT_COLUMNS,
    PORT_OTHER_CONFIG,
    PRIMARY,
    Dialect,
    InterfaceRow,
    Layout,
    PortRow,
    check,
    foreign_lags,
    interface_other_config,
    parse_layout,
    port_columns,
    port_external_ids,
    port_other_config,
    primary,
    read_config,
)
from ironlane.switches.ovsdb import (
    Endpoint,
    Operation,
    Session,
    named,
    tls_context,
    to_map,
    to_set,
    transact_message,
    uuid_of,
)

DATABASE = "Open_vSwitch"
PLAN_ID = "plan"
"""The JSON-RPC id of every plan's transaction, so that its text does not depend on what was sent before."""

_CONFIGURATION = {"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["cur_cfg", "next_cfg"]}


class OpenVSwitchDriver:
    """A `SwitchDriver` for one bridge."""

    capabilities = Capabilities(atomic_commit=True, min_links=frozenset())

    def __init__(self, access: Access) -> None:
        """Connects nowhere yet.

        Raises:
            Permanent: an option is missing or contradicts another, or a TLS file cannot be used.
        """
        bridge = access.options.get("bridge")
        if not bridge:
            raise Permanent(f"switch {access.switch}: option `bridge` is missing: name the Open vSwitch bridge")
        member = access.options.get("mlag_member", 0)
        if member not in {0, 1}:
            raise Permanent(f"switch {access.switch}: option `mlag_member` is 0 or 1, not {member!r}")
        self._access = access
        self._bridge = str(bridge)
        self._dialect = Dialect(
            lag_prefix=str(access.options.get("lag_prefix", "lag")),
            mlag_system_id=access.options.get("mlag_system_id"),
            mlag_member=member,
        )
        self._session = Session(_endpoint(access), database=DATABASE, timeout=access.timeout)
        self._settle = float(access.options.get("settle", 0.1))
        self._layout: Layout | None = None
        self._names: frozenset[str] = frozenset()
        """Names of all Ports of the database, as last looked up."""
        self._foreign: frozenset[int] = frozenset()

    async def observe(self, ports: Collection[str]) -> Mapping[str, PortConfig]:
        """What the named ports carry now; ports that are not on the bridge are left out.

        Answers from what ovs-vswitchd has applied: while it lags behind the database, this waits for it. Two things
        cannot be seen here: that it died since it last caught up (the next `apply` shows it), and whether a change made
        with `ovs-vsctl --no-wait`, which does not raise `next_cfg`, is applied already.

        Raises:
            Temporary: no answer, or ovs-vswitchd does not apply what the database says.
            Permanent: the bridge does not exist.
        """
        layout = await self._look_up()
        self._foreign = foreign_lags(layout, self._names, ports, self._dialect)
        return {name: read_config(layout, name, self._dialect) for name in ports if name in layout.interfaces}

    def foreign_lags(self) -> Collection[int]:
        """See `switches.base.Considerate`."""
        return self._foreign

    def render(self, plan: Plan) -> tuple[str, ...]:
        """The messages that `apply` will send, byte for byte, if the driver has observed since its last `apply`.

        The UUIDs in it come from that observation. Without one they cannot be known: then the rows are taken to be as
        the plan's `before` configs say, and `<Port …>` or `<Interface …>` stands in place of each UUID.

        Raises:
            Permanent: the plan cannot be made on this switch.
        """
        layout = self._layout or assumed_layout(plan, self._dialect)
        messages = transactions(plan, layout, self._bridge, self._dialect)
        return tuple(transact_message(DATABASE, operations, PLAN_ID) for operations in messages)

    async def apply(self, plan: Plan) -> None:
        """Make all changes of the plan and wait until ovs-vswitchd has applied them.

        Raises:
            Temporary: no answer, the rows have changed since they were observed, or ovs-vswitchd is late or dead (the
                transaction may then be committed already).
            Permanent: the plan cannot be made on this switch, or the database refuses it. Nothing has changed, but that
                ports may be isolated.
        """
        if not plan:
            return
        layout = self._layout or await self._look_up()
        messages = transactions(plan, layout, self._bridge, self._dialect)
        self._layout = None
        for operations in messages:
            results = await self._session.transact(operations, request_id=PLAN_ID)
            await self._applied(results[-1]["rows"][0])
            if any(_forwards(change.before) for change in plan.changes):
                await asyncio.sleep(self._settle)

    async def close(self) -> None:
        """End the session; the driver may be used again."""
        self._layout = None
        await self._session.close()

    async def _look_up(self) -> Layout:
        """The bridge's rows as ovs-vswitchd has applied them; remembered for `render`."""
        self._layout = None
        operations = [
            _CONFIGURATION,
            _select("Bridge", BRIDGE_COLUMNS, where=[["name", "==", self._bridge]]),
            _select("Port", PORT_COLUMNS),
            _select("Interface", INTERFACE_COLUMNS),
        ]
        configuration, bridges, ports, interfaces = await self._rows(operations)
        if configuration and await self._applied(configuration[0]):
            configuration, bridges, ports, interfaces = await self._rows(operations)
        if not bridges:
            raise Permanent(f"{self._session.endpoint} has no bridge {self._bridge}: correct the switch's options")
        self._names = frozenset(row["name"] for row in ports)
        self._layout = parse_layout(bridges[0], ports, interfaces)
        return self._layout

    async def _rows(self, operations: list[Operation]) -> list[list[Any]]:
        return [result["rows"] for result in await self._session.transact(operations)]

    async def _applied(self, configuration: Mapping[str, int]) -> bool:
        """Wait until `cur_cfg` has reached the `next_cfg` of this row; whether there was anything to wait for."""
        goal, current = configuration["next_cfg"], configuration["cur_cfg"]
        if current >= goal:
            return False
        # The server itself waits for the column to change (RFC 7047, section 5.2.6), so nothing is polled.
        while current < goal:
            wait = {
                **{"op": "wait", "timeout": int(self._access.timeout * 1000), "table": "Open_vSwitch", "where": []},
                **{"columns": ["cur_cfg"], "until": "!=", "rows": [{"cur_cfg": current}]},
            }
            try:
                results = await self._session.transact([wait, _CONFIGURATION], timeout=self._access.timeout + 1)
            except Temporary as error:
                raise Temporary(
                    f"switch {self._access.switch}: ovs-vswitchd has not applied configuration {goal}"
                    f" (it is at {current}); is it running? {error.message}"
                ) from error
            current = results[1]["rows"][0]["cur_cfg"]
        return True


# --- a plan as a transaction: pure -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Target:
    """A Port row as it should be: its name, its members by name, and what it should carry (None: as it does)."""

    name: str
    members: frozenset[str]
    config: PortConfig | None


def transactions(plan: Plan, layout: Layout, bridge: str, dialect: Dialect) -> list[list[Operation]]:
    """The plan's transaction, and before it, if need be, the one that isolates ports.

    Raises:
        Permanent: as `transaction`.
    """
    whole = transaction(plan, layout, bridge, dialect)
    first = isolation(plan, layout, dialect)
    return [transaction(first, layout, bridge, dialect), whole] if first else [whole]


def isolation(plan: Plan, layout: Layout, dialect: Dialect) -> Plan:
    """What must stop forwarding, and settle, before `plan` is made; for most plans nothing.

    ovs-vswitchd takes an interface that changes its Port row off the datapath and adds it anew, under the lowest port
    number that is free. When several do so in one commit they may swap their numbers, while flows still send to the old
    ones: measured, frames of one tenant reached the server of another. No flow sends to ports that are isolated.

    LAGs of which some members stay as they are are let be: isolating them would cut off a server that is to stay.
    """
    moving = {
        c.port for c in plan.changes if _destination(c.port, c.after, layout, dialect) != layout.home[c.port].name
    }
    changes = []
    for change in plan.changes if len(moving) > 1 else ():
        home, before = layout.home[change.port], change.before
        if change.port in moving and _forwards(before) and layout.members(home) <= moving:
            lag = replace(before.lag, min_links=1) if before.lag else None
            isolated = PortConfig(lag=lag, enabled=False, description=before.description)
            if _destination(change.port, isolated, layout, dialect) == home.name:
                changes.append(replace(change, after=isolated))
    return Plan(plan.switch, tuple(changes))


def _forwards(config: PortConfig) -> bool:
    return config.enabled and bool(config.vlans)


def transaction(plan: Plan, layout: Layout, bridge: str, dialect: Dialect) -> list[Operation]:
    """The operations that take the rows of `layout` to where the plan wants them, in a settled order.

    Raises:
        Permanent: a port does not exist, a config cannot be expressed, or members of one LAG would differ.
    """
    after = {change.port: change.after for change in plan.changes}
    missing = sorted(after.keys() - layout.interfaces.keys())
    if missing:
        raise Permanent(f"switch {plan.switch}: bridge {bridge} has no port {', '.join(missing)}")
    for port, config in after.items():
        check(port, config)
    targets = _targets(after, layout, dialect)
    touched = {layout.home[port].name for port in after} | (targets.keys() & layout.ports.keys())
    operations = _guards(bridge, [layout.ports[name] for name in sorted(touched)])
    inserted: list[list[str]] = []
    removed: list[list[str]] = []
    for name in sorted(targets):
        target = targets[name]
        if name not in layout.ports:
            inserted.append(named(f"port{len(inserted)}"))
            operations.append(_insert_port(target, layout, inserted[-1][1], dialect))
        elif target.members:
            operations += _update_port(target, layout, dialect)
        else:
            removed.append(uuid_of(layout.ports[name].uuid))
    if inserted or removed:
        mutations: list[list[object]] = [["ports", "delete", to_set(removed)], ["ports", "insert", to_set(inserted)]]
        operations.append(_mutate("Bridge", bridge, mutations))
    for port in sorted(after):
        operations.append(_update_interface(port, after[port], dialect))
    increment = {"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 1]]}
    return [*operations, increment, _CONFIGURATION]


def _targets(after: Mapping[str, PortConfig], layout: Layout, dialect: Dialect) -> dict[str, _Target]:
    """Every Port row that the changed interfaces are in or shall be in, by name. No members: it shall go."""
    destination = {port: _destination(port, config, layout, dialect) for port, config in after.items()}
    arriving: dict[str, set[str]] = defaultdict(set)
    for port, name in destination.items():
        arriving[name].add(port)
    targets = {}
    for name in {layout.home[port].name for port in after} | arriving.keys():
        present = layout.members(layout.ports[name]) if name in layout.ports else set[str]()
        staying = {port for port in present if destination.get(port, name) == name}
        wanted = {port: after[port] for port in arriving[name]}
        # Members that the plan does not change must not be changed on the way.
        kept = {port: read_config(layout, port, dialect) for port in staying - after.keys()}
        config = _common_config(name, wanted, kept)
        targets[name] = _Target(name, frozenset(staying | arriving[name]), config)
    return targets


def _destination(port: str, config: PortConfig, layout: Layout, dialect: Dialect) -> str:
    """The name of the Port row in which an interface shall live."""
    home = layout.home[port]
    if config.lag:
        return dialect.lag_name(config.lag.number)
    alone = len(home.interfaces) == 1 and dialect.lag_number(home.name) is None
    return home.name if alone else port


def _common_config(name: str, wanted: Mapping[str, PortConfig], kept: Mapping[str, PortConfig]) -> PortConfig | None:
    """What all members of a Port row shall carry; None if the plan says nothing about it.

    Raises:
        Permanent: they would not carry the same.
    """
    if not wanted:
        return None
    configs = {replace(config, description="") for config in (*wanted.values(), *kept.values())}
    if len(configs) > 1:
        raise Permanent(
            f"members of {name} would carry different things: {', '.join(sorted({*wanted, *kept}))};"
            " a LAG is configured as a whole"
        )
    return configs.pop()


def _guards(bridge: str, ports: list[PortRow]) -> list[Operation]:
    """Conditions that hold the transaction to the rows as they were looked up (a `wait` that does not wait)."""
    ours: list[object] = ["ports", "includes", to_set(uuid_of(port.uuid) for port in ports)]
    guards = [_wait("Bridge", [["name", "==", bridge], ours], {"name": bridge})]
    for port in ports:
        members = to_set(uuid_of(uuid) for uuid in sorted(port.interfaces))
        guards.append(_wait("Port", [["name", "==", port.name]], {"interfaces": members}))
    return guards


def _insert_port(target: _Target, layout: Layout, uuid_name: str, dialect: Dialect) -> Operation:
    if target.config is None:
        raise Permanent(f"Port {target.name} would be made without knowing what it carries")
    row = {
        "name": target.name,
        "interfaces": _interface_set(target.members, layout),
        **port_columns(target.config),
        "other_config": to_map(_other_config(target, target.config, dialect)),
        "external_ids": to_map(port_external_ids(target.config)),
    }
    return {"op": "insert", "table": "Port", "row": row, "uuid-name": uuid_name}


def _update_port(target: _Target, layout: Layout, dialect: Dialect) -> list[Operation]:
    row: dict[str, object] = {}
    if target.members != layout.members(layout.ports[target.name]):
        row["interfaces"] = _interface_set(target.members, layout)
    if target.config is not None:
        row |= port_columns(target.config)
    operations: list[Operation] = []
    if row:
        operations.append({"op": "update", "table": "Port", "where": [["name", "==", target.name]], "row": row})
    if target.config is not None:
        mutations = [
            *_set_keys("other_config", (*PORT_OTHER_CONFIG, PRIMARY), _other_config(target, target.config, dialect)),
            *_set_keys("external_ids", (ISOLATED,), port_external_ids(target.config)),
        ]
        operations.append(_mutate("Port", target.name, mutations))
    return operations


def _other_config(target: _Target, config: PortConfig, dialect: Dialect) -> dict[str, str]:
    return port_other_config(config.lag, dialect) | primary(config.lag, target.members)


def _update_interface(port: str, config: PortConfig, dialect: Dialect) -> Operation:
    description = {DESCRIPTION: config.description} if config.description else {}
    mutations = [
        *_set_keys("other_config", INTERFACE_OTHER_CONFIG, interface_other_config(port, config.lag, dialect)),
        *_set_keys("external_ids", (DESCRIPTION,), description),
    ]
    return _mutate("Interface", port, mutations)


def _set_keys(column: str, keys: Iterable[str], values: Mapping[str, str]) -> list[list[object]]:
    """Mutations that leave exactly `values` under these keys of a map column, and other keys alone.

    `insert` does not replace the value of a key that is there (RFC 7047, section 5.1), hence the `delete` before it.
    """
    mutations: list[list[object]] = [[column, "delete", to_set(sorted(keys))]]
    if values:
        mutations.append([column, "insert", to_map(values)])
    return mutations


def _interface_set(names: Iterable[str], layout: Layout) -> list[object]:
    return to_set(uuid_of(uuid) for uuid in sorted(layout.interfaces[name].uuid for name in names))


def _mutate(table: str, name: str, mutations: list[list[object]]) -> Operation:
    return {"op": "mutate", "table": table, "where": [["name", "==", name]], "mutations": mutations}


def _wait(table: str, where: list[list[object]], row: dict[str, object]) -> Operation:
    condition = {"op": "wait", "timeout": 0, "table": table, "where": where}
    return {**condition, "columns": list(row), "until": "==", "rows": [row]}


def _select(table: str, columns: Iterable[str], where: Iterable[object] = ()) -> Operation:
    return {"op": "select", "table": table, "where": list(where), "columns": list(columns)}


def assumed_layout(plan: Plan, dialect: Dialect) -> Layout:
    """The rows as they are if the switch is where the plan starts, with placeholders for UUIDs."""
    homes: dict[str, set[str]] = defaultdict(set)
    for change in plan.changes:
        lag = change.before.lag
        homes[dialect.lag_name(lag.number) if lag else change.port].add(f"<Interface {change.port}>")
    ports = [PortRow(f"<Port {name}>", name, frozenset(members)) for name, members in homes.items()]
    return Layout.of(ports, [InterfaceRow(f"<Interface {change.port}>", change.port) for change in plan.changes])


def _endpoint(access: Access) -> Endpoint:
    address = access.address.removeprefix("unix:")
    if address != access.address or address.startswith("/"):
        return Endpoint(path=address)
    name = access.options.get("tls_server_name")
    return Endpoint(host=address, port=access.port or 6640, tls=tls_context(access.options), server_name=name)
