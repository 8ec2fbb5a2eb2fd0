"""A trunk, and what comes in between: each moment is given a port that is to be its parent port."""

from __future__ import annotations

import sys
import threading
from typing import Any

from neutron_lib.callbacks import events, registry, resources
from neutron_lib.plugins import directory

from tests.openstack.inside.cloud import (
    HOST,
    RECORDS,
    active_while,
    admin,
    api,
    bind,
    down,
    in_another_thread,
    listed,
    new_network,
    new_port,
    new_subports,
    new_trunk,
    said,
    status,
    trunk_status,
    unbind,
)


def _parent_moved(parent: str) -> list[list[str]]:
    _, (child,) = new_trunk(parent, 1)
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
    _, (child,) = new_trunk(parent, 1)
    for port in (parent, child):
        RECORDS.settle(port, said(port, "ACTIVE"), latest=True)
    return _once_unbound(parent, child)


def _came_meanwhile(parent: str) -> list[str]:
    """The transaction that unbinds the parent port has begun before there was a sub-port."""
    trunk, _ = new_trunk(parent, 0)
    RECORDS.settle(parent, said(parent, "ACTIVE"), latest=True)
    (tagged,) = new_subports(1)
    child = tagged["port_id"]
    plugin = directory.get_plugin()
    process = plugin._process_port_binding

    def come() -> None:
        directory.get_plugin("trunk").add_subports(admin(), trunk, {"sub_ports": [tagged]})
        RECORDS.settle(child, said(child, "ACTIVE"), latest=True)
        assert status(child) == "ACTIVE"

    def later(*arguments: Any) -> Any:
        plugin._process_port_binding = process
        in_another_thread(come)
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
    _, (child,) = new_trunk(parent, 1)
    RECORDS.settle(parent, said(parent, "ACTIVE"), latest=True)
    return active_while(child, lambda _: bind(parent, "another port"), writing=True)


def _taken_off_meanwhile(parent: str) -> list[bool]:
    """The sub-port is known to be one when its binding begins, and is not when it is written."""
    unbind(parent)
    trunk, (child,) = new_trunk(parent, 1)
    plugin = directory.get_plugin()
    commit, taken = plugin._commit_port_binding, []

    def later(context: Any, *arguments: Any, **named: Any) -> Any:
        if context.current["id"] == child and not taken:
            taken.append(True)
            in_another_thread(directory.get_plugin("trunk").remove_subports, admin(), trunk, listed([child]))
        return commit(context, *arguments, **named)

    plugin._commit_port_binding = later
    try:
        bind(parent, "Ethernet1")
    finally:
        plugin._commit_port_binding = commit
    return [bool(taken), child in RECORDS.bound()]


def _made_subport(port: str) -> list[object]:
    RECORDS.settle(port, said(port, "ACTIVE"), latest=True)
    parent = new_port()
    plugin = directory.get_plugin()
    vlan = plugin.get_network(admin(), plugin.get_port(admin(), port)["network_id"])["provider:segmentation_id"]
    tagged = {"port_id": port, "segmentation_type": "vlan", "segmentation_id": vlan}
    api("POST", "trunks", port_id=parent, sub_ports=[tagged])
    return [status(port), RECORDS.wishes([port])[port]["parent_id"] == parent]


def _trunk_deleted(parent: str) -> list[object]:
    trunk, (child,) = new_trunk(parent, 1)
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
    _, (one, two) = new_trunk(parent, 2)
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
    trunk, (child,) = new_trunk(parent, 1)
    for port in (parent, child):
        RECORDS.settle(port, said(port, "ACTIVE"), latest=True)
    assert trunk_status(trunk) == "ACTIVE"
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
    return trunk_status(trunk)


def _other_trunk(_port_of_ours: str) -> str:
    """The parent port is bound by somebody else, or will be."""
    parent = api("POST", "ports", network_id=new_network(), **{"binding:host_id": HOST})
    plugin = directory.get_plugin("trunk")
    there = next(driver for driver in plugin.registered_drivers if driver.name == "ironlane")
    there.interfaces, kept = (*there.interfaces, "binding_failed"), there.interfaces
    trunk, ports = new_trunk(parent, 2)
    there.interfaces = kept
    plugin.remove_subports(admin(), trunk, listed(ports[:1]))
    return trunk_status(trunk)


MOMENTS = {
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
