"""`/v1/continue_inspection`: the inventory that a ramdisk sends; `/v1/nodes/{node}/inventory`: the latest one.

Sources: Ironic's API (inspection in the ramdisk, since 1.84; inventory, since 1.81) and ironic-python-agent, which
sends `{"inventory": {…}, "lldp_raw": {…}, "root_disk": {…}, "error": null, …}`: all but the inventory is `plugin_data`.
The ramdisk names no version, which is 1.1, or 1.84 and later; it has no token yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from ironlane.api.baremetal import checks
from ironlane.api.baremetal.agent import looked_up, mac_addresses
from ironlane.api.baremetal.call import Call, ok
from ironlane.model.errors import Invalid
from ironlane.store import inspection, nodes, ramdisks
from ironlane.store.database import Tx

_FIRST, _SINCE = 1, 84
_MOST_INTERFACES = 1000


async def continue_inspection(call: Call) -> Response:
    """A ramdisk tells what it found: `{inventory: {interfaces: [{mac_address, name?, lldp?}], bmc_address?, …}, …}`.

    202 with `{uuid}`; since 1.84 with the same as a lookup.
    """
    if _FIRST < call.version < _SINCE:
        raise HTTPException(404)
    given = call.query.get("node_uuid") or None
    node_uuid = checks.identifier(given, "node_uuid") if given is not None else None
    body = await call.body()
    if not isinstance(body, dict):
        raise Invalid("body: must be a JSON object", field="body")
    found = _inventory(body.get("inventory"))
    rest = {key: value for key, value in body.items() if key not in {"inventory", "logs"}}
    who = inspection.Sender(
        mac_addresses(interface["mac_address"] for interface in found["interfaces"]),
        [str(found[key]) for key in ("bmc_address", "bmc_v6address") if found.get(key)],
        node_uuid,
    )

    def write(tx: Tx) -> Any:
        node = inspection.record(tx, who, found, rest)
        if call.version < _SINCE:
            return {"uuid": node.id}
        return looked_up(call, *ramdisks.record_lookup(tx, (), node.id))

    return ok(await call.store.write(write), 202)


async def inventory(call: Call) -> Response:
    """What the latest inspection of a node found: `{inventory, plugin_data}`."""
    found = await call.store.read(lambda tx: inspection.latest(tx, nodes.get(tx, call.path("node"))))
    return ok({"inventory": found.inventory, "plugin_data": found.plugin_data})


def _inventory(value: Any) -> Mapping[str, Any]:
    """The least that an inventory has to be."""
    if not isinstance(value, dict):
        raise Invalid("inventory: must be an object", field="inventory")
    interfaces = value.get("interfaces")
    if not isinstance(interfaces, list) or not interfaces:
        raise Invalid("inventory.interfaces: must be a list of one interface or more", field="inventory.interfaces")
    if len(interfaces) > _MOST_INTERFACES:
        raise Invalid(f"inventory.interfaces: must be {_MOST_INTERFACES} at the most", field="inventory.interfaces")
    for index, interface in enumerate(interfaces):
        if not isinstance(interface, dict) or not isinstance(interface.get("mac_address"), str):
            field = f"inventory.interfaces[{index}].mac_address"
            raise Invalid(f"{field}: must be a string", field=field)
    return value
