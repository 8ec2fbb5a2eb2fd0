"""Flows and groups as text, in the notation of `ovs-ofctl bundle` (ovs-ofctl(8)), ports by their names.

What `render` shows can be put into a file and sent by hand: `ovs-ofctl -O OpenFlow14 --names bundle br0 FILE`.
"""

from __future__ import annotations

from collections.abc import Mapping

from ironlane.switches.openflow.wire import (
    PORT_ANY,
    PORT_CONTROLLER,
    PORT_LOCAL,
    VID_MASK,
    Action,
    Bucket,
    Flow,
    FlowCommand,
    Group,
    GroupCommand,
    Match,
    OtherAction,
    Output,
    PopVlan,
    PushVlan,
    SetVlan,
    ToGroup,
)

Names = Mapping[int, str]
"""Names of ports by their numbers; a port without a name stands by its number."""

_RESERVED = {PORT_CONTROLLER: "CONTROLLER", PORT_LOCAL: "LOCAL", PORT_ANY: "ANY"}


def flow_line(command: FlowCommand, flow: Flow, names: Names) -> str:
    """`flow add cookie=…,table=…,…,actions=…` or `flow delete_strict …`."""
    if command is FlowCommand.DELETE_STRICT:
        return f"flow delete_strict cookie={flow.cookie:#x}/-1,{where(flow, names)}"
    return f"flow add cookie={flow.cookie:#x},{where(flow, names)},actions={_what(flow, names)}"


def where(flow: Flow, names: Names) -> str:
    """Table, priority and match of a flow."""
    return ",".join((f"table={flow.table}", f"priority={flow.priority}", *_match(flow.match, names)))


def group_line(command: GroupCommand, group: Group, names: Names) -> str:
    """`group add group_id=…,type=select,bucket=…`, `group modify …` or `group delete …`."""
    if command is GroupCommand.DELETE:
        return f"group delete group_id={group.ident}"
    buckets = "".join(f",bucket={_bucket(bucket, names)}" for bucket in group.buckets)
    return f"group {command.name.lower()} group_id={group.ident},type=select{buckets}"


def _match(match: Match, names: Names) -> list[str]:
    words = []
    if match.in_port is not None:
        words.append(f"in_port={_port(match.in_port, names)}")
    if match.eth_dst is not None:
        words.append(f"dl_dst={_mac(match.eth_dst)}/{_mac(match.eth_dst_mask)}")
    if match.vlan_vid is not None:
        words.append(f"vlan_tci={match.vlan_vid:#06x}/{match.vlan_mask & VID_MASK:#06x}")
    if match.other:
        words.append(f"oxm:{match.other.hex()}")
    return words


def _what(flow: Flow, names: Names) -> str:
    words = [_action(action, names) for action in flow.actions]
    if flow.goto is not None:
        words.append(f"goto_table:{flow.goto}")
    if flow.instructions:
        words.append(f"instructions:{flow.instructions.hex()}")
    return ",".join(words) or "drop"


def _action(action: Action, names: Names) -> str:
    match action:
        case Output(port):
            return f"output:{_port(port, names)}"
        case ToGroup(group):
            return f"group:{group}"
        case PushVlan(ethertype):
            return f"push_vlan:{ethertype:#06x}"
        case PopVlan():
            return "pop_vlan"
        case SetVlan(vid):
            return f"set_field:{vid}->vlan_vid"
        case OtherAction(octets):
            return f"action:{octets.hex()}"


def _bucket(bucket: Bucket, names: Names) -> str:
    actions = ",".join(_action(action, names) for action in bucket.actions)
    return f"watch_port={_port(bucket.watch_port, names)},weight={bucket.weight},actions={actions}"


def _port(number: int, names: Names) -> str:
    # In quotes, because names such as `Ethernet1/2` hold characters that mean something in this notation.
    return f'"{names[number]}"' if number in names else _RESERVED.get(number, str(number))


def _mac(octets: bytes) -> str:
    return octets.hex(":")
