"""`/v1/nodes/{node}/vifs` and `/v1/nodes/{node}/traits`: small lists that belong to a node."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from ironlane.api.baremetal import checks
from ironlane.api.baremetal.call import Call, done, ok
from ironlane.model.attach import links_of
from ironlane.model.errors import Invalid, NotFound
from ironlane.store import baremetal_ports, cabling, nodes, vifs
from ironlane.store.database import Tx

_MOST_TRAITS = 50


async def listed(call: Call) -> Response:
    """The tenant ports that are attached to a node."""
    found = await call.store.read(lambda tx: vifs.listed(tx, nodes.get(tx, call.path("node")).id))
    return ok({"vifs": [{"id": vif} for vif in found]})


async def attach(call: Call) -> Response:
    """Attach a tenant port: `{id, port_uuid?, portgroup_uuid?}`."""
    body = await call.fields({"id": 28, "port_uuid": 67, "portgroup_uuid": 67}, required=("id",))
    given = {key: checks.identifier(value, key) for key, value in body.items() if value is not None}
    if "port_uuid" in given and "portgroup_uuid" in given:
        raise Invalid("portgroup_uuid: cannot be given together with port_uuid", field="portgroup_uuid")

    def write(tx: Tx) -> None:
        node = nodes.get(tx, call.path("node"))
        if node.network_interface == "noop":
            return
        place = {key: given.get(key) for key in ("port_uuid", "portgroup_uuid")}
        chosen = vifs.attach(tx, node, given["id"], **place)
        nics = links_of(chosen, baremetal_ports.of_node(tx, node.id))
        cabling.gate(tx, node, nics, call.settings.cabling)

    await call.store.write(write)
    return done()


async def detach(call: Call) -> Response:
    """Detach a tenant port."""

    def write(tx: Tx) -> None:
        node = nodes.get(tx, call.path("node"))
        if node.network_interface != "noop":
            vifs.detach(tx, node, call.path("vif"))

    await call.store.write(write)
    return done()


async def traits(call: Call) -> Response:
    """The traits of a node."""
    node = await call.store.read(lambda tx: nodes.get(tx, call.path("node")))
    return ok({"traits": list(node.traits)})


async def set_traits(call: Call) -> Response:
    """Replace all traits: `{traits: […]}`."""
    body = await call.fields({"traits": 37}, required=("traits",))
    if not isinstance(body["traits"], list):
        raise Invalid("traits: must be a list", field="traits")
    wanted = [checks.trait(value, f"traits[{index}]") for index, value in enumerate(body["traits"])]

    def write(tx: Tx) -> None:
        _store_traits(tx, nodes.get(tx, call.path("node")).id, wanted)

    await call.store.write(write)
    return done()


async def add_trait(call: Call) -> Response:
    """Add one trait."""
    if await call.body():
        raise Invalid("body: must be empty; the trait is named in the address", field="body")
    wanted = checks.trait(call.path("trait"), "trait")

    def write(tx: Tx) -> None:
        node = nodes.get(tx, call.path("node"))
        _store_traits(tx, node.id, [*node.traits, wanted])

    await call.store.write(write)
    return done()


async def remove_traits(call: Call) -> Response:
    """Remove all traits."""
    await call.store.write(lambda tx: _store_traits(tx, nodes.get(tx, call.path("node")).id, []))
    return done()


async def remove_trait(call: Call) -> Response:
    """Remove one trait."""

    def write(tx: Tx) -> None:
        node, unwanted = nodes.get(tx, call.path("node")), call.path("trait")
        if unwanted not in node.traits:
            raise NotFound("node trait", unwanted, code="NodeTraitNotFound")
        _store_traits(tx, node.id, [trait for trait in node.traits if trait != unwanted])

    await call.store.write(write)
    return done()


def _store_traits(tx: Tx, node_id: str, traits: Sequence[str]) -> None:
    wanted = sorted(set(traits))
    if len(wanted) > _MOST_TRAITS:
        raise Invalid(f"traits: a node has {_MOST_TRAITS} at the most", field="traits")
    nodes.update(tx, node_id, {"traits": wanted})
