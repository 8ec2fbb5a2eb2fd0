"""`GET /v1/nodes/{node}/validate`: whether a node has what its life needs, part by part."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa
from starlette.responses import Response

from ironlane.api.baremetal.call import Call, Json, ok
from ironlane.api.baremetal.node_fields import INTERFACES, interface
from ironlane.model import policy
from ironlane.model.attach import has_link, pxe_nic
from ironlane.model.errors import Invalid, Rejected
from ironlane.model.fabric import Side
from ironlane.model.image import check_image, check_ramdisk
from ironlane.model.node import Node
from ironlane.store import access, baremetal_ports, conductors, nodes, portgroups
from ironlane.store.database import Tx
from ironlane.store.tables import networks

_UNSUPPORTED = "not supported"


async def validate(call: Call) -> Response:
    """`{interface: {"result": true}}`; false comes with a `reason`, null is what the node does not use."""

    def read(tx: Tx) -> Json:
        node = nodes.get(tx, call.path("node"))
        # `boot` is told by the same facts as `network`: the ramdisk comes over a NIC whose switch port is known.
        parts: dict[str, Callable[[], None]] = {
            "power": lambda: require_driver_info(tx, call, node),
            "management": lambda: require_driver_info(tx, call, node),
            "network": lambda: _check_network(tx, call, node),
            "boot": lambda: None if interface(node, "boot") == "fake" else _check_boot(tx, node),
            "inspect": lambda: _check_boot(tx, node),
            "rescue": lambda: _check_boot(tx, node),
            "deploy": lambda: require_deployable(call, node),
            "storage": lambda: None,
        }
        unused = {kind for kind in INTERFACES if interface(node, kind) == f"no-{kind}"}
        return {kind: _judged(None if kind in unused else parts.get(kind)) for kind in sorted(INTERFACES)}

    return ok(await call.store.read(read))


def require_driver_info(tx: Tx, call: Call, node: Node) -> None:
    """Refuse a node whose `driver_info` lacks what its driver cannot work without.

    Raises:
        Invalid: the missing keys by name; or no live conductor has the driver.
    """
    found = conductors.drivers(tx, call.settings.conductor_timeout).get(node.driver)
    if found is None:
        raise Invalid(f"driver: no conductor that is alive has driver {node.driver!r}", code="NoValidHost")
    missing = [key for key in found[0].required if node.driver_info.get(key) in (None, "")]
    if missing:
        raise Invalid(
            f"driver_info.{missing[0]}: is missing on node {node.label}; driver {node.driver} needs"
            f" {', '.join(found[0].required)}",
            code="MissingParameterValue",
            field=f"driver_info.{missing[0]}",
        )


def _judged(check: Callable[[], None] | None) -> Json:
    if check is None:
        return {"result": None, "reason": _UNSUPPORTED}
    try:
        check()
    except Rejected as error:
        return {"result": False, "reason": error.message}
    return {"result": True}


def _check_boot(tx: Tx, node: Node) -> None:
    nics = baremetal_ports.of_node(tx, node.id)
    if pxe_nic(nics, portgroups.of_node(tx, node.id)) is None:
        raise Invalid(f"node {node.label} has no port with pxe_enabled and local_link_connection to boot over; add one")


def _check_network(tx: Tx, call: Call, node: Node) -> None:
    unlinked = [nic.address for nic in baremetal_ports.of_node(tx, node.id) if not has_link(nic)]
    if unlinked:
        raise Invalid(f"local_link_connection: is missing on port {', '.join(unlinked)}")
    shown = policy.allowed(tx.caller, "baremetal:node:get:driver_info", access.node_target(node))
    alive = [c for c in conductors.listed(tx) if c.alive(tx.now, call.settings.conductor_timeout)]
    for purpose in ("cleaning", "provisioning"):
        own = node.driver_info.get(f"{purpose}_network")
        named = {str(own)} if own else {getattr(c, f"{purpose}_network") for c in alive} - {""}
        if not named:
            raise Invalid(f"no {purpose}_network: neither the node's driver_info nor a conductor names one")
        for ident in sorted(named):
            named_so = sa.or_(networks.c.id == ident, networks.c.name == ident)
            told = f"{purpose}_network {ident!r}" if shown else f"{purpose}_network"  # its name may be in driver_info
            found = tx.all(sa.select(networks.c.side).where(named_so))
            if len(found) != 1:
                many = "does not exist" if not found else "is the name of more than one network"
                raise Invalid(f"{told} {many}")
            if found[0].side != Side.PROVIDER:
                raise Invalid(f"{told} is a tenant network; it has to be a provider VLAN")


def require_deployable(call: Call, node: Node) -> None:
    """Refuse a node whose `instance_info` lacks what its deploy interface cannot work without.

    Raises:
        Invalid: the missing or wrong key by name.
    """
    if node.deploy_interface == "direct":
        check_image(node, image_service=call.settings.image_service)
    elif node.deploy_interface == "ramdisk":
        check_ramdisk(node)
