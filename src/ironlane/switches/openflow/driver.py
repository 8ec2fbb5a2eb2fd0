"""The driver: reads the flow table, and brings it to what a plan asks for in one bundle."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from ironlane.model.errors import Invalid, Permanent, Temporary
from ironlane.model.fabric import PortConfig
from ironlane.model.link import normal_switch_id
from ironlane.model.plan import Plan
from ironlane.switches.base import Access, Capabilities
from ironlane.switches.openflow import notation, wire
from ironlane.switches.openflow.pipeline import Pipeline, check, pipeline
from ironlane.switches.openflow.reading import NOT_A_VLAN, NOT_IN_USE, Table, foreign, foreign_lags, reach, read_ports
from ironlane.switches.openflow.session import Session
from ironlane.switches.openflow.wire import FlowCommand, GroupCommand, Message, Multipart, Port, Type
from ironlane.switches.ovsdb import Endpoint, tls_context


class OpenFlowDriver:
    """`ironlane.switches.base.SwitchDriver` for one datapath."""

    capabilities = Capabilities(atomic_commit=True, lacp=False, min_links=frozenset(), descriptions=False)

    def __init__(self, access: Access) -> None:
        """Connects nowhere yet.

        Raises:
            Permanent: an option is not what it should be, or a TLS file cannot be used.
        """
        uplinks = access.options.get("uplinks", [])
        if not isinstance(uplinks, list | tuple) or not all(isinstance(name, str) for name in uplinks):
            raise Permanent(f"switch {access.switch}: option `uplinks` is a list of port names, not {uplinks!r}")
        self._access = access
        self._uplinks = tuple(dict.fromkeys(uplinks))
        self._settle = float(access.options.get("settle", 0.1))
        self._session = Session(_endpoint(access), datapath_id=_datapath_id(access), timeout=access.timeout)
        self._table: Table | None = None
        self._foreign: frozenset[int] = frozenset()
        self._prepared: tuple[Plan, Table, Steps] | None = None
        """What was rendered last, because most often it is applied next."""

    async def observe(self, ports: Collection[str]) -> Mapping[str, PortConfig]:
        """What the named ports carry by the flow table; ports that the switch does not have are left out.

        Raises:
            Temporary: no answer.
            Permanent: it is another switch, does not speak OpenFlow 1.4, or has not all of the uplinks.
        """
        configs = read_ports(await self._look_up(), self._uplinks)
        self._foreign = foreign_lags(configs, ports)
        return {name: configs[name] for name in ports if name in configs}

    def foreign_lags(self) -> Collection[int]:
        """See `switches.base.Considerate`. Others' groups are none of our LAGs: ids of ours begin with our own bits."""
        return self._foreign

    def render(self, plan: Plan) -> tuple[str, ...]:
        """What `apply` will send, a line for each message, if the driver has observed since its last `apply`.

        Without that, what the switch holds cannot be known: then it is taken to have no other ports than those of the
        plan, and to be as the plan's `before` configs say.

        Raises:
            Permanent: the plan cannot be made on this switch.
        """
        steps = self._steps(plan, self._table or assumed_table(plan, self._uplinks))
        return tuple(message.text for message in (*steps.bundle, *steps.after))

    def render_after(self, plan: Plan, earlier: Sequence[Plan]) -> tuple[str, ...]:
        """See `switches.base.Foresighted`."""
        table = self._table or assumed_table(earlier[0] if earlier else plan, self._uplinks)
        for done in earlier:
            goal = steps_of(done, table, self._uplinks).pipeline
            flows = {**{flow.key: flow for flow in foreign(table)}, **goal.flows}
            # Ports that somebody else took down are up by then.
            ports = [replace(port, config=0) for port in table.ports.values()]
            table = Table.of(ports, flows.values(), goal.groups.values())
        steps = steps_of(plan, table, self._uplinks)
        return tuple(message.text for message in (*steps.bundle, *steps.after))

    async def apply(self, plan: Plan) -> None:
        """Make all changes of the plan in one bundle, and wait until the switch has made them.

        Flows of ours that should not be there go, and ones that are missing come back, whatever the plan is about.

        Raises:
            Temporary: no answer (the bundle may be committed), or the switch's ports are not as they were observed.
            Permanent: the plan cannot be made on this switch, or is refused: nothing has changed. Or it was made, but
                flows of somebody else undo it.
        """
        if not plan:
            return
        table = self._table or await self._look_up()
        steps = self._steps(plan, table)
        self._table = self._prepared = None
        (ports,) = await self._session.read(Multipart.PORT_DESC)
        if {port.name: port.number for port in wire.parse_ports(ports)} != table.numbers:
            # A flow is for a number; the port that has it now may be another one.
            raise Temporary(f"switch {plan.switch}: its ports have been renumbered, added or removed since it was read")
        if steps.bundle:
            await self._session.commit(steps.bundle)
        if steps.after:
            await self._session.tell(steps.after)
        if any(change.before.enabled and change.before.vlans for change in plan.changes):
            await asyncio.sleep(self._settle)
        _refuse_intruders(plan, table, steps)

    async def close(self) -> None:
        """End the session; the driver may be used again."""
        self._table = self._prepared = None
        await self._session.close()

    def _steps(self, plan: Plan, table: Table) -> Steps:
        if self._prepared is None or self._prepared[0] is not plan or self._prepared[1] is not table:
            self._prepared = plan, table, steps_of(plan, table, self._uplinks)
        return self._prepared[2]

    async def _look_up(self) -> Table:
        self._table = self._prepared = None
        ports, flows, groups = await self._session.read(Multipart.PORT_DESC, Multipart.FLOW, Multipart.GROUP_DESC)
        table = Table.of(wire.parse_ports(ports), wire.parse_flows(flows), wire.parse_groups(groups))
        missing = sorted(set(self._uplinks) - table.ports.keys())
        if missing:
            raise Permanent(
                f"switch {self._access.switch} has no port {', '.join(missing)}: correct its option `uplinks`"
            )
        self._table = table
        return table


# --- a plan as messages: pure ----------------------------------------------------------------------------------------


class Steps(NamedTuple):
    """What a plan sends: one bundle, and after it what no bundle can hold. `pipeline` is what it leads to."""

    bundle: tuple[Message, ...]
    after: tuple[Message, ...]
    pipeline: Pipeline


def steps_of(plan: Plan, table: Table, uplinks: Sequence[str]) -> Steps:
    """What takes the table to where the plan wants it.

    Raises:
        Permanent: a port does not exist or is an uplink, a config cannot be made, or members of one LAG would differ.
    """
    after = {change.port: change.after for change in plan.changes}
    if missing := sorted(after.keys() - table.ports.keys()):
        raise Permanent(f"switch {plan.switch} has no port {', '.join(missing)}")
    if own := sorted(after.keys() & set(uplinks)):
        raise Permanent(f"switch {plan.switch}: {', '.join(own)} is an uplink, and no port for a server")
    for port, config in after.items():
        check(port, config)
    configs = {name: config for name, config in table.told.items() if name not in uplinks} | after
    _check_lags(after, configs)
    goal = pipeline(configs, table.numbers, uplinks)
    ports = [table.ports[name] for name, config in sorted(after.items()) if config.enabled]
    return Steps(tuple(_bundle(table, goal)), tuple(_port_up(port) for port in ports if port.config & NOT_IN_USE), goal)


def _bundle(table: Table, goal: Pipeline) -> list[Message]:
    """Groups that flows will need come first, and those that none needs any more go last."""
    there, names = table.ours, table.names

    def of_group(command: GroupCommand, group: wire.Group) -> Message:
        text = notation.group_line(command, group, names)
        return Message(Type.GROUP_MOD, wire.group_mod(command, group), text)

    def of_flow(command: FlowCommand, flow: wire.Flow) -> Message:
        return Message(Type.FLOW_MOD, wire.flow_mod(command, flow), notation.flow_line(command, flow, names))

    messages = []
    for ident, group in sorted(goal.groups.items()):
        if there.groups.get(ident) != group:
            messages.append(of_group(GroupCommand.MODIFY if ident in there.groups else GroupCommand.ADD, group))
    gone = [flow for key, flow in there.flows.items() if key not in goal.flows]
    new = [flow for key, flow in goal.flows.items() if table.flows.get(key) != flow]
    messages += sorted((of_flow(FlowCommand.DELETE_STRICT, flow) for flow in gone), key=_text)
    messages += sorted((of_flow(FlowCommand.ADD, flow) for flow in new), key=_text)
    leaving = [group for ident, group in sorted(there.groups.items()) if ident not in goal.groups]
    return messages + [of_group(GroupCommand.DELETE, group) for group in leaving]


def _text(message: Message) -> str:
    return message.text


def _port_up(port: Port) -> Message:
    return Message(Type.PORT_MOD, wire.port_mod(port, 0, NOT_IN_USE), f'port mod "{port.name}" up,receive,forward')


def _check_lags(after: Mapping[str, PortConfig], configs: Mapping[str, PortConfig]) -> None:
    """All members of a LAG that the plan touches carry the same.

    Raises:
        Permanent: they would not.
    """
    touched = {config.lag.number for config in after.values() if config.lag}
    members: dict[int, dict[str, PortConfig]] = defaultdict(dict)
    for name, config in configs.items():
        if config.lag and config.lag.number in touched:
            members[config.lag.number][name] = config
    for number, bundled in members.items():
        if len(set(bundled.values())) > 1:
            raise Permanent(
                f"members of LAG {number} would carry different things: {', '.join(sorted(bundled))};"
                " a LAG is configured as a whole"
            )


def _refuse_intruders(plan: Plan, table: Table, steps: Steps) -> None:
    """Raises Permanent: flows of somebody else let frames of the plan's ports by, or send frames to them."""
    for flow in foreign(table):
        if flow.key in steps.pipeline.flows:
            continue  # ours has taken its place
        numbers, everybody = reach(flow)
        met = [change.port for change in plan.changes if everybody or table.numbers[change.port] in numbers]
        if met:
            raise Permanent(
                f"switch {plan.switch}: the flow {notation.where(flow, table.names)} with cookie {flow.cookie:#x} is"
                f" not Ironlane's, and bypasses the isolation of {', '.join(met[:5])}: remove it"
            )


def assumed_table(plan: Plan, uplinks: Sequence[str]) -> Table:
    """The table of a switch that is where the plan starts."""
    names = sorted({*uplinks, *(change.port for change in plan.changes)})
    ports = [Port(number, name) for number, name in enumerate(names, 1)]
    before = {c.port: c.before for c in plan.changes if c.port not in uplinks and NOT_A_VLAN not in c.before.tagged}
    made = pipeline(before, {port.name: port.number for port in ports}, uplinks)
    return Table.of(ports, made.flows.values() if before else (), made.groups.values())


# --- options ---------------------------------------------------------------------------------------------------------


def _endpoint(access: Access) -> Endpoint:
    address = access.address.removeprefix("unix:")
    if address != access.address or address.startswith("/"):
        return Endpoint(path=address)
    name = access.options.get("tls_server_name")
    return Endpoint(host=address, port=access.port or 6653, tls=tls_context(access.options), server_name=name)


def _datapath_id(access: Access) -> int | None:
    text = access.options.get("datapath_id")
    if text is None:
        return None
    try:
        return int(normal_switch_id(str(text), where="options.datapath_id").replace(":", ""), 16)
    except Invalid as error:
        raise Permanent(f"switch {access.switch}: {error.message}") from error
