"""What the moments have in common: requests of clients, and what Ironlane says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import sqlalchemy.orm
import webob
from neutron.wsgi.api import application
from neutron_ironlane.records import Records
from neutron_lib import context as neutron_context
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.plugins import directory

HOST = "5d9d4b0e-6c63-4d8f-9d6e-0f1c2a3b4c5d"
OTHER_HOST = "6e0e5c1f-7d74-4e90-8e7f-1f2d3b4c5d6e"
RECORDS = Records()


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
    api("PUT", f"ports/{port}", **{"binding:host_id": HOST, "binding:profile": profile(name)})


def profile(name: str) -> dict[str, Any]:
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


def new_network() -> str:
    return api("POST", "networks", name="tenant")


def new_port() -> str:
    port = api("POST", "ports", network_id=new_network(), **{"binding:vnic_type": "baremetal"})
    bind(port, "Ethernet1")
    return port


def new_trunk(parent: str, count: int) -> tuple[str, list[str]]:
    """A trunk and its sub-ports."""
    tagged = new_subports(count)
    return api("POST", "trunks", port_id=parent, sub_ports=tagged), [one["port_id"] for one in tagged]


def new_subports(count: int) -> list[dict[str, Any]]:
    """Ports that may become sub-ports, each on a network of its own."""
    plugin, found = directory.get_plugin(), []
    for _ in range(count):
        network = new_network()
        vlan = plugin.get_network(admin(), network)["provider:segmentation_id"]
        port = api("POST", "ports", network_id=network)
        found.append({"port_id": port, "segmentation_type": "vlan", "segmentation_id": vlan})
    return found


def trunk_status(trunk: str) -> str:
    return str(directory.get_plugin("trunk").get_trunk(admin(), trunk)["status"])


def listed(ports: list[str]) -> dict[str, list[dict[str, str]]]:
    return {"sub_ports": [{"port_id": port} for port in ports]}


def drivers_sync() -> Any:
    """Where the driver notes what is to be handed over once Ironlane is there."""
    return directory.get_plugin().mechanism_manager.mech_drivers["ironlane"].obj._sync


def in_another_thread(what: Callable[..., Any], *arguments: Any) -> None:
    """In another thread, to its end: a process of its own could do the same."""
    thread = threading.Thread(target=what, args=arguments)
    thread.start()
    thread.join()


def active_while(port: str, intrude: Callable[[str], None], *, before_look: bool = False, writing: bool = False) -> str:
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
        in_another_thread(intrude, port)
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
