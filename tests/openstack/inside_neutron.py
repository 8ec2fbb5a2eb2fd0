"""Run by Neutron's own Python, as one of its processes: what `records.py` does when somebody comes in between.

Prints what was seen as JSON, on a line of its own: `{moment: status of the port, or statuses}`. Ironlane is not there;
what it would say is made up here.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from typing import Any

import webob
from neutron.db import provisioning_blocks
from neutron.wsgi.api import application
from neutron_ironlane.records import Records
from neutron_lib import context as neutron_context
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.plugins import directory

HOST = "5d9d4b0e-6c63-4d8f-9d6e-0f1c2a3b4c5d"
RECORDS = Records()


def main() -> None:
    """Each moment with a port of its own."""
    network = api("POST", "networks", name="tenant")
    told = {
        "undisturbed": _undisturbed,
        "unbound before ML2 looks": lambda port: _active_while(port, unbind, before_look=True),
        "unbound after ML2 looked": lambda port: _active_while(port, unbind),
        "bound elsewhere after ML2 looked": lambda port: _active_while(port, lambda p: bind(p, "another port")),
        "verified while it is unbound": _verified_while(unbind),
        "verified while it is bound elsewhere": _verified_while(lambda port: bind(port, "another port")),
        "administratively down": _administratively_down,
        "somebody else's block is lifted": _other_block,
    }
    sys.stdout.write("\n" + json.dumps({moment: see(_port(network)) for moment, see in told.items()}))


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
    links = [{"switch_id": "02:00:00:00:00:01", "port_id": name, "switch_info": "leaf"}]
    profile = {"local_link_information": links}
    api("PUT", f"ports/{port}", **{"binding:host_id": HOST, "binding:profile": profile})


def unbind(port: str) -> None:
    api("PUT", f"ports/{port}", **{"binding:host_id": "", "binding:profile": {}})


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


def _active_while(port: str, intrude: Callable[[str], None], *, before_look: bool = False) -> str:
    """ACTIVE is told, and somebody does something just before it is written."""
    plugin = directory.get_plugin()
    written, done = plugin.update_port_status, []

    def look(context: Any, port_id: str, wanted: str, *more: Any, **named: Any) -> Any:
        intrude(port_id)
        return written(context, port_id, wanted, *more, **named)

    def looked(_resource: str, _event: str, _trigger: object, payload: Any) -> None:
        if payload.states[1].get("status") == "ACTIVE" and not done:
            done.append(True)
            intrude(port)

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


def _verified_while(change: Callable[[str], None]) -> Callable[[str], str]:
    """Another thread makes the port ACTIVE when the transaction of a change has begun, and has seen it DOWN."""

    def see(port: str) -> str:
        plugin = directory.get_plugin()
        process, seen = plugin._process_port_binding, []

        def later(*arguments: Any) -> Any:
            if not seen:
                seen.append("")  # once: it is called for the new binding as well
                thread = threading.Thread(target=RECORDS.settle, args=(port, said(port, "ACTIVE"), True))
                thread.start()
                thread.join()
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
    api("PUT", f"ports/{port}", admin_state_up=False)
    assert port in RECORDS.suspended()
    RECORDS.settle(port, None, latest=True)
    down = status(port)
    api("PUT", f"ports/{port}", admin_state_up=True)
    RECORDS.settle(port, said(port, "ACTIVE"), latest=True)
    return [down, status(port)]


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


def _port(network: str) -> str:
    port = api("POST", "ports", network_id=network, **{"binding:vnic_type": "baremetal"})
    bind(port, "Ethernet1")
    return port


if __name__ == "__main__":
    main()
