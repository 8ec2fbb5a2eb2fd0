"""Run by Neutron's own Python, as one of its processes: what the driver does when somebody comes in between.

Prints what was seen as JSON, on a line of its own: `{moment: status of the port, or statuses}`. Ironlane is not there;
what it would say is made up here.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Callable
from typing import Any

import sqlalchemy.orm
import webob
from neutron.db import provisioning_blocks
from neutron.plugins.ml2 import models
from neutron.plugins.ml2.common import exceptions as ml2_exceptions
from neutron.wsgi.api import application
from neutron_ironlane import status as states
from neutron_ironlane.records import Records
from neutron_lib import context as neutron_context
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.db import api as db_api
from neutron_lib.plugins import directory

HOST = "5d9d4b0e-6c63-4d8f-9d6e-0f1c2a3b4c5d"
OTHER_HOST = "6e0e5c1f-7d74-4e90-8e7f-1f2d3b4c5d6e"
RECORDS = Records()


def main() -> None:
    """Each moment with a port of its own."""
    told = {
        "undisturbed": _undisturbed,
        "unbound before ML2 looks": lambda port: _active_while(port, unbind, before_look=True),
        "unbound after ML2 looked": lambda port: _active_while(port, unbind),
        "bound elsewhere after ML2 looked": lambda port: _active_while(port, lambda p: bind(p, "another port")),
        "unbound while ML2 writes": lambda port: _active_while(port, unbind, writing=True),
        "its network goes down while ML2 writes": lambda port: _active_while(port, network_down, writing=True),
        "verified while it is unbound": _verified_while(unbind),
        "verified while it is bound elsewhere": _verified_while(lambda port: bind(port, "another port")),
        "administratively down": _administratively_down,
        "its network is down": _network_down,
        "somebody else's block is lifted": _other_block,
        "somebody else's block is lifted while it is bound elsewhere": lambda port: _other_block_meanwhile(
            port, lambda p: bind(p, "another port")
        ),
        "somebody else's block is lifted while it is unbound": lambda port: _other_block_meanwhile(port, unbind),
        "our block": _our_block,
        "its links were malformed before we were here": lambda port: _written(port, '{"local_link_information": [{}]}'),
        "its profile cannot be read": lambda port: _written(port, '{"local_link'),
        "refused when it is unbound": _refused_late,
        "refused when it is bound elsewhere": _refused_too_late,
        "not as it should be when it is unbound": _drifted_late,
        "its network goes down while it is unbound": _network_down_meanwhile,
        "bound while it is deleted": _bound_while_deleted,
        "bound without links": _bound_without_links,
        "about to move to another host": _about_to_move,
        "sub-port of a parent port on other links": _parent_moved,
        "parent port is unbound, and the process ends": _parent_unbound,
        "parent port is unbound while a sub-port comes": _came_meanwhile,
        "parent port is bound elsewhere while its sub-port is made ACTIVE": _parent_moves_meanwhile,
        "taken off its trunk while it is bound": _taken_off_meanwhile,
        "made a sub-port though it is bound by itself": _made_subport,
        "its trunk is deleted, and the process ends": _trunk_deleted,
        "one of two sub-ports cannot be bound": _one_cannot,
        "trunk is looked at while a port comes back": _trunk_meanwhile,
        "trunk of somebody else's": _other_trunk,
    }
    seen = {moment: see(_port()) for moment, see in told.items()}
    sys.stdout.write("\n" + json.dumps(seen))


def admin() -> Any:
    return neutron_context.get_admin_context()


def api(method: str, path: str, **attributes: Any) -> str:
    """A request of a client's; returns the id of what it is about."""
    kind = path.split("/", maxsplit=1)[0][:-1]
    request = webob.Request.blank(f"/v2.0/{path}", method=method, json={kind: attributes})
    answer = request.get_response(application)
    assert answer.status_int < 300, answer.text
    return str(answer.json[kind]["id"])


def bind(port: str, name: str) -> None:
    api("PUT", f"ports/{port}", **{"binding:host_id": HOST, "binding:profile": _profile(name)})


def _profile(name: str) -> dict[str, Any]:
    return {"local_link_information": [{"switch_id": "02:00:00:00:00:01", "port_id": name, "switch_info": "leaf"}]}


def unbind(port: str) -> None:
    api("PUT", f"ports/{port}", **{"binding:host_id": "", "binding:profile": {}})


def down(port: str) -> None:
    api("PUT", f"ports/{port}", admin_state_up=False)


def network_down(port: str) -> None:
    api("PUT", f"networks/{directory.get_plugin().get_port(admin(), port)['network_id']}", admin_state_up=False)


def status(port: str) -> str:
    return str(directory.get_plugin().get_port(admin(), port)["status"])


def said(port: str, what: str) -> dict[str, Any]:
    """What Ironlane says of what is wished for now."""
    return RECORDS.wishes([port])[port] | {"id": port, "status": what, "reason": "", "change": 1}


def _undisturbed(port: str) -> list[str]:
    before = status(port)
    RECORDS.settle(port, said(port, "ACTIVE"), latest=True)
    active = status(port)
    RECORDS.settle(port, said(port, "DOWN"), latest=True)
    return [before, active, status(port)]


def _active_while(
    port: str, intrude: Callable[[str], None], *, before_look: bool = False, writing: bool = False
) -> str:
    """ACTIVE is told, and somebody does something just before it is written."""
    plugin = directory.get_plugin()
    written, shown, done = plugin.update_port_status, plugin._make_port_dict, []

    def look(context: Any, port_id: str, wanted: str, *more: Any, **named: Any) -> Any:
        intrude(port_id)
        return written(context, port_id, wanted, *more, **named)

    def looked(_resource: str, _event: str, _trigger: object, payload: Any) -> None:
        if payload.states[1].get("status") == "ACTIVE" and not done:
            done.append(True)
            if writing:
                plugin._make_port_dict = show
            else:
                intrude(port)

    def show(*arguments: Any, **named: Any) -> Any:
        """In ML2's transaction; what it reads from here on is of now, whatever happens meanwhile."""
        plugin._make_port_dict = shown
        told = shown(*arguments, **named)
        sqlalchemy.orm.object_session(arguments[0]).execute(sqlalchemy.text("SELECT id FROM ports")).all()
        _elsewhere(intrude, port)
        return told

    if before_look:
        plugin.update_port_status = look
    else:
        registry.subscribe(looked, resources.PORT, events.BEFORE_UPDATE)
    try:
        RECORDS.settle(port, said(port, "ACTIVE"), latest=True)
    finally:
        plugin.update_port_status = written
        registry.unsubscribe(looked, resources.PORT, events.BEFORE_UPDATE)
    assert before_look or done, "nobody came in between"
    return status(port)


def _elsewhere(what: Callable[..., Any], *arguments: Any) -> None:
    """In another thread, to its end: a process of its own could do the same."""
    thread = threading.Thread(target=what, args=arguments)
    thread.start()
    thread.join()


def _verified_while(change: Callable[[str], None]) -> Callable[[str], str]:
    """Another thread makes the port ACTIVE when the transaction of a change has begun, and has seen it DOWN."""

    def see(port: str) -> str:
        plugin = directory.get_plugin()
        process, seen = plugin._process_port_binding, []

        def later(*arguments: Any) -> Any:
            if not seen:
                seen.append("")  # once: it is called for the new binding as well
                _elsewhere(RECORDS.settle, port, said(port, "ACTIVE"), True)
                seen[0] = status(port)
            return process(*arguments)

        plugin._process_port_binding = later
        try:
            change(port)
        finally:
            plugin._process_port_binding = process
        assert seen == ["ACTIVE"], seen
        return status(port)

    return see


def _administratively_down(port: str) -> list[str]:
    RECORDS.settle(port, said(port, "ACTIVE"), latest=True)
    down(port)
    seen = status(port)
    api("PUT", f"ports/{port}", admin_state_up=True)
    RECORDS.settle(port, said(port, "ACTIVE"), latest=True)
    return [seen, status(port)]


def _network_down(port: str) -> list[str]:
    verified = said(port, "ACTIVE")
    RECORDS.settle(port, verified, latest=True)
    network_down(port)
    seen = [status(port)]
    RECORDS.settle(port, verified, latest=True)
    seen.append(status(port))
    assert (port in RECORDS.bound(), RECORDS.wishes([port])) == (True, {})
    network = directory.get_plugin().get_port(admin(), port)["network_id"]
    api("PUT", f"networks/{network}", admin_state_up=True)
    RECORDS.settle(port, said(port, "ACTIVE"), latest=True)
    return [*seen, status(port)]


def _other_block(port: str) -> list[str]:
    """It is verified, and then not any more, while the DHCP agent is still busy."""
    provisioning_blocks.add_provisioning_component(admin(), port, resources.PORT, provisioning_blocks.DHCP_ENTITY)
    RECORDS.settle(port, said(port, "ACTIVE"), latest=True)
    verified = status(port)
    RECORDS.settle(port, said(port, "DOWN"), latest=True)
    provisioning_blocks.provisioning_complete(admin(), port, resources.PORT, provisioning_blocks.DHCP_ENTITY)
    drifted = status(port)
    RECORDS.settle(port, said(port, "ACTIVE"), latest=True)
    return [verified, drifted, status(port)]


def _other_block_meanwhile(port: str, intrude: Callable[[str], None]) -> str:
    entity = provisioning_blocks.DHCP_ENTITY
    provisioning_blocks.add_provisioning_component(admin(), port, resources.PORT, entity)
    RECORDS.settle(port, said(port, "ACTIVE"), latest=True)
    plugin = directory.get_plugin()
    written = plugin.update_port_status

    def late(*arguments: Any, **named: Any) -> Any:
        plugin.update_port_status = written
        _elsewhere(intrude, port)
        return written(*arguments, **named)

    plugin.update_port_status = late
    with contextlib.suppress(ml2_exceptions.MechanismDriverError):
        provisioning_blocks.provisioning_complete(admin(), port, resources.PORT, entity)
    return status(port)


def _written(port: str, profile: str) -> list[object]:
    """What ML2 has of it, whoever wrote that. It can be changed in other ways, and unbound."""
    context = admin()
    with db_api.CONTEXT_WRITER.using(context):
        context.session.query(models.PortBinding).filter_by(port_id=port).update({"profile": profile})
    wished = port in RECORDS.wishes()
    api("PUT", f"ports/{port}", name="another")
    api("PUT", f"ports/{port}", **{"binding:host_id": ""})
    return [wished, port in RECORDS.bound()]


def _our_block(port: str) -> list[bool]:
    """When the port is bound, verified, bound again and unbound: then another driver may bind it."""
    seen = [states.blocked(admin(), port)]
    RECORDS.settle(port, said(port, "ACTIVE"), latest=True)
    seen.append(states.blocked(admin(), port))
    for change in (lambda: bind(port, "another port"), lambda: unbind(port)):
        change()
        seen.append(states.blocked(admin(), port))
    return seen


def _refused_late(port: str) -> list[object]:
    wish = RECORDS.wishes([port])[port]
    unbind(port)
    RECORDS.refuse(port, wish)
    return [status(port), states.blocked(admin(), port)]


def _refused_too_late(port: str) -> list[object]:
    old = RECORDS.wishes([port])[port]
    bind(port, "another port")
    RECORDS.settle(port, said(port, "ACTIVE"), latest=True)
    RECORDS.refuse(port, old)
    return [status(port), states.blocked(admin(), port)]


def _network_down_meanwhile(port: str) -> list[object]:
    """The transaction has seen it bound."""
    lock = states._lock

    def late(*arguments: Any) -> None:
        states._lock = lock
        _elsewhere(unbind, port)
        lock(*arguments)

    states._lock = late
    network_down(port)
    assert states._lock is lock
    return [status(port), states.blocked(admin(), port)]


def _drifted_late(port: str) -> list[object]:
    """It is another driver's by then."""
    RECORDS.settle(port, said(port, "ACTIVE"), latest=True)
    plugin = directory.get_plugin()
    written = plugin.update_port_status

    def late(*arguments: Any, **named: Any) -> Any:
        plugin.update_port_status = written
        unbind(port)
        api("PUT", f"ports/{port}", **{"binding:vnic_type": "normal"})
        plugin.update_port_status(admin(), port, "ACTIVE")
        return written(*arguments, **named)

    plugin.update_port_status = late
    RECORDS.settle(port, said(port, "DOWN"), latest=True)
    return [status(port), states.blocked(admin(), port)]


def _bound_while_deleted(port: str) -> bool:
    """Whether it is handed over that the port is gone."""
    plugin, sync = directory.get_plugin(), _sync()
    unbind(port)
    begin = plugin._pre_delete_port

    def later(*arguments: Any, **named: Any) -> Any:
        _elsewhere(bind, port, "Ethernet1")
        sync._due.pop(port)
        return begin(*arguments, **named)

    plugin._pre_delete_port = later
    try:
        plugin.delete_port(admin(), port)
    finally:
        plugin._pre_delete_port = begin
    return port in sync._due


def _bound_without_links(parent: str) -> list[object]:
    """It leaves, whoever binds it now; and so do its sub-ports."""
    _, (child,) = _trunk(parent, 1)
    for port in (parent, child):
        RECORDS.settle(port, said(port, "ACTIVE"), latest=True)
    _sync()._due.clear()
    api("PUT", f"ports/{parent}", **{"binding:profile": {}})
    ours = RECORDS.bound()
    return [(status(port), port in _sync()._due, port in ours) for port in (parent, child)]


def _about_to_move(port: str) -> list[object]:
    """A second binding of the port is there, which is not in force."""
    RECORDS.settle(port, said(port, "ACTIVE"), latest=True)
    api("PUT", f"ports/{port}", device_owner="compute:nova")
    there = {"host": OTHER_HOST, "vnic_type": "baremetal", "profile": _profile("another port")}
    directory.get_plugin().create_port_binding(admin(), port, {"binding": there})
    return [status(port), states.blocked(admin(), port), RECORDS.wishes([port])[port]["host_id"]]


def _parent_moved(parent: str) -> list[list[str]]:
    _, (child,) = _trunk(parent, 1)
    old = said(child, "ACTIVE")
    seen = []
    for step in (
        lambda: RECORDS.settle(child, old, latest=True),  # before the parent port: waits for it
        lambda: RECORDS.settle(parent, said(parent, "ACTIVE"), latest=True),
        lambda: RECORDS.settle(child, old, latest=True),
        lambda: bind(parent, "another port"),
        lambda: RECORDS.settle(child, old, latest=True),  # Ironlane has not heard of it
        lambda: RECORDS.settle(parent, said(parent, "ACTIVE"), latest=True),
        lambda: RECORDS.settle(child, said(child, "ACTIVE"), latest=True),
        lambda: down(parent),
        lambda: unbind(parent),
        lambda: RECORDS.settle(child, old, latest=True),
    ):
        step()
        seen.append([status(parent), status(child)])
    assert RECORDS.subports(parent) == [child]
    return seen


def _parent_unbound(parent: str) -> list[str]:
    """Both are DOWN by the one transaction."""
    _, (child,) = _trunk(parent, 1)
    for port in (parent, child):
        RECORDS.settle(port, said(port, "ACTIVE"), latest=True)
    return _once_unbound(parent, child)


def _came_meanwhile(parent: str) -> list[str]:
    """The transaction that unbinds the parent port has begun before there was a sub-port."""
    trunk, _ = _trunk(parent, 0)
    RECORDS.settle(parent, said(parent, "ACTIVE"), latest=True)
    (tagged,) = _tagged(1)
    child = tagged["port_id"]
    plugin = directory.get_plugin()
    process = plugin._process_port_binding

    def come() -> None:
        directory.get_plugin("trunk").add_subports(admin(), trunk, {"sub_ports": [tagged]})
        RECORDS.settle(child, said(child, "ACTIVE"), latest=True)
        assert status(child) == "ACTIVE"

    def later(*arguments: Any) -> Any:
        plugin._process_port_binding = process
        _elsewhere(come)
        return process(*arguments)

    plugin._process_port_binding = later
    return _once_unbound(parent, child)


def _once_unbound(parent: str, child: str) -> list[str]:
    """The statuses right after the commit: the process may end there."""
    seen = []

    def committed(_resource: str, _event: str, _trigger: object, payload: Any) -> None:
        if payload.resource_id == parent and not seen:
            seen.extend([status(parent), status(child)])

    registry.subscribe(committed, resources.PORT, events.AFTER_UPDATE)
    unbind(parent)
    registry.unsubscribe(committed, resources.PORT, events.AFTER_UPDATE)
    return seen


def _parent_moves_meanwhile(parent: str) -> str:
    _, (child,) = _trunk(parent, 1)
    RECORDS.settle(parent, said(parent, "ACTIVE"), latest=True)
    return _active_while(child, lambda _: bind(parent, "another port"), writing=True)


def _taken_off_meanwhile(parent: str) -> list[bool]:
    """The sub-port is known to be one when its binding begins, and is not when it is written."""
    unbind(parent)
    trunk, (child,) = _trunk(parent, 1)
    plugin = directory.get_plugin()
    commit, taken = plugin._commit_port_binding, []

    def later(context: Any, *arguments: Any, **named: Any) -> Any:
        if context.current["id"] == child and not taken:
            taken.append(True)
            _elsewhere(directory.get_plugin("trunk").remove_subports, admin(), trunk, _listed([child]))
        return commit(context, *arguments, **named)

    plugin._commit_port_binding = later
    try:
        bind(parent, "Ethernet1")
    finally:
        plugin._commit_port_binding = commit
    return [bool(taken), child in RECORDS.bound()]


def _made_subport(port: str) -> list[object]:
    RECORDS.settle(port, said(port, "ACTIVE"), latest=True)
    parent = _port()
    plugin = directory.get_plugin()
    vlan = plugin.get_network(admin(), plugin.get_port(admin(), port)["network_id"])["provider:segmentation_id"]
    tagged = {"port_id": port, "segmentation_type": "vlan", "segmentation_id": vlan}
    api("POST", "trunks", port_id=parent, sub_ports=[tagged])
    return [status(port), RECORDS.wishes([port])[port]["parent_id"] == parent]


def _trunk_deleted(parent: str) -> list[object]:
    trunk, (child,) = _trunk(parent, 1)
    for port in (parent, child):
        RECORDS.settle(port, said(port, "ACTIVE"), latest=True)
    seen = [status(child)]
    old = said(child, "ACTIVE")
    plugin = directory.get_plugin("trunk")
    driver = next(driver for driver in plugin.registered_drivers if driver.name == "ironlane")
    registry.unsubscribe(driver._went, resources.TRUNK, events.AFTER_DELETE)
    plugin.delete_trunk(admin(), trunk)
    registry.subscribe(driver._went, resources.TRUNK, events.AFTER_DELETE)
    seen.append(status(child))
    RECORDS.settle(child, old, latest=True)
    seen.append(status(child))
    RECORDS.follow_trunks()
    return [*seen, child in RECORDS.bound()]


def _one_cannot(parent: str) -> list[bool]:
    """Some other plugin has something against the first of them."""
    unbind(parent)
    _, (one, two) = _trunk(parent, 2)
    first = min(one, two)

    def refuse(_resource: str, _event: str, _trigger: object, payload: Any) -> None:
        if payload.resource_id == first:
            raise RuntimeError("not this one")

    registry.subscribe(refuse, resources.PORT, events.BEFORE_UPDATE)
    bind(parent, "Ethernet1")
    registry.unsubscribe(refuse, resources.PORT, events.BEFORE_UPDATE)
    seen = [port in RECORDS.bound() for port in sorted([one, two])]
    RECORDS.follow_trunks()
    return [*seen, first in RECORDS.bound()]


def _trunk_meanwhile(parent: str) -> str:
    """One process finds a port DOWN, and is slow to write that of its trunk; another makes it ACTIVE meanwhile."""
    trunk, (child,) = _trunk(parent, 1)
    for port in (parent, child):
        RECORDS.settle(port, said(port, "ACTIVE"), latest=True)
    assert _trunk_status(trunk) == "ACTIVE"
    model = sys.modules["neutron.objects.trunk"].Trunk
    update, back = model.update, threading.Thread(target=RECORDS.settle, args=(child, said(child, "ACTIVE"), True))

    def slow(*arguments: Any, **named: Any) -> Any:
        model.update = update
        back.start()
        back.join(1.0)  # it may have to wait for us
        return update(*arguments, **named)

    model.update = slow
    try:
        RECORDS.settle(child, said(child, "DOWN"), latest=True)
    finally:
        model.update = update
    back.join()
    return _trunk_status(trunk)


def _other_trunk(_port_of_ours: str) -> str:
    """The parent port is bound by somebody else, or will be."""
    parent = api("POST", "ports", network_id=_network(), **{"binding:host_id": HOST})
    plugin = directory.get_plugin("trunk")
    there = next(driver for driver in plugin.registered_drivers if driver.name == "ironlane")
    there.interfaces, kept = (*there.interfaces, "binding_failed"), there.interfaces
    trunk, ports = _trunk(parent, 2)
    there.interfaces = kept
    plugin.remove_subports(admin(), trunk, _listed(ports[:1]))
    return _trunk_status(trunk)


def _trunk(parent: str, count: int) -> tuple[str, list[str]]:
    """A trunk and its sub-ports."""
    tagged = _tagged(count)
    return api("POST", "trunks", port_id=parent, sub_ports=tagged), [one["port_id"] for one in tagged]


def _tagged(count: int) -> list[dict[str, Any]]:
    """Ports that may become sub-ports, each on a network of its own."""
    plugin, found = directory.get_plugin(), []
    for _ in range(count):
        network = _network()
        vlan = plugin.get_network(admin(), network)["provider:segmentation_id"]
        port = api("POST", "ports", network_id=network)
        found.append({"port_id": port, "segmentation_type": "vlan", "segmentation_id": vlan})
    return found


def _trunk_status(trunk: str) -> str:
    return str(directory.get_plugin("trunk").get_trunk(admin(), trunk)["status"])


def _listed(ports: list[str]) -> dict[str, list[dict[str, str]]]:
    return {"sub_ports": [{"port_id": port} for port in ports]}


def _sync() -> Any:
    """Where the driver notes what is to be handed over once Ironlane is there."""
    return directory.get_plugin().mechanism_manager.mech_drivers["ironlane"].obj._sync


def _network() -> str:
    return api("POST", "networks", name="tenant")


def _port() -> str:
    port = api("POST", "ports", network_id=_network(), **{"binding:vnic_type": "baremetal"})
    bind(port, "Ethernet1")
    return port


if __name__ == "__main__":
    main()
