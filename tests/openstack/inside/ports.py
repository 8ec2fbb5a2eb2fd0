"""A port, and what comes in between."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from neutron.db import provisioning_blocks
from neutron.plugins.ml2 import models
from neutron.plugins.ml2.common import exceptions as ml2_exceptions
from neutron_ironlane import status as states
from neutron_lib.callbacks import resources
from neutron_lib.db import api as db_api
from neutron_lib.plugins import directory

from tests.openstack.inside.cloud import (
    OTHER_HOST,
    RECORDS,
    active_while,
    admin,
    api,
    bind,
    down,
    drivers_sync,
    in_another_thread,
    network_down,
    new_trunk,
    profile,
    said,
    status,
    unbind,
)


def _undisturbed(port: str) -> list[str]:
    before = status(port)
    RECORDS.settle(port, said(port, "ACTIVE"), latest=True)
    active = status(port)
    RECORDS.settle(port, said(port, "DOWN"), latest=True)
    return [before, active, status(port)]


def _verified_while(change: Callable[[str], None]) -> Callable[[str], str]:
    """Another thread makes the port ACTIVE when the transaction of a change has begun, and has seen it DOWN."""

    def see(port: str) -> str:
        plugin = directory.get_plugin()
        process, seen = plugin._process_port_binding, []

        def later(*arguments: Any) -> Any:
            if not seen:
                seen.append("")  # once: it is called for the new binding as well
                in_another_thread(RECORDS.settle, port, said(port, "ACTIVE"), True)
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
        in_another_thread(intrude, port)
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
        in_another_thread(unbind, port)
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
    plugin, sync = directory.get_plugin(), drivers_sync()
    unbind(port)
    begin = plugin._pre_delete_port

    def later(*arguments: Any, **named: Any) -> Any:
        in_another_thread(bind, port, "Ethernet1")
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
    _, (child,) = new_trunk(parent, 1)
    for port in (parent, child):
        RECORDS.settle(port, said(port, "ACTIVE"), latest=True)
    drivers_sync()._due.clear()
    api("PUT", f"ports/{parent}", **{"binding:profile": {}})
    ours = RECORDS.bound()
    return [(status(port), port in drivers_sync()._due, port in ours) for port in (parent, child)]


def _about_to_move(port: str) -> list[object]:
    """A second binding of the port is there, which is not in force."""
    RECORDS.settle(port, said(port, "ACTIVE"), latest=True)
    api("PUT", f"ports/{port}", device_owner="compute:nova")
    there = {"host": OTHER_HOST, "vnic_type": "baremetal", "profile": profile("another port")}
    directory.get_plugin().create_port_binding(admin(), port, {"binding": there})
    return [status(port), states.blocked(admin(), port), RECORDS.wishes([port])[port]["host_id"]]


MOMENTS = {
    "undisturbed": _undisturbed,
    "unbound before ML2 looks": lambda port: active_while(port, unbind, before_look=True),
    "unbound after ML2 looked": lambda port: active_while(port, unbind),
    "bound elsewhere after ML2 looked": lambda port: active_while(port, lambda p: bind(p, "another port")),
    "unbound while ML2 writes": lambda port: active_while(port, unbind, writing=True),
    "its network goes down while ML2 writes": lambda port: active_while(port, network_down, writing=True),
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
}
