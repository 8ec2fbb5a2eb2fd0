"""`/v1/conductors` and `/v1/drivers`: who owns nodes, and what hardware can be driven."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from starlette.responses import Response

from ironlane.api.baremetal.call import Call, Json, ok
from ironlane.api.baremetal.checks import query_flag
from ironlane.api.baremetal.microversions import require
from ironlane.api.baremetal.node_fields import INTERFACES, default_interface, enabled_interfaces
from ironlane.model.errors import Invalid, NotFound
from ironlane.store import conductors
from ironlane.store.conductors import Conductor, Driver

_FIELDS = ("hostname", "conductor_group", "alive", "drivers", "created_at", "updated_at")
_SHORT = ("hostname", "conductor_group", "alive")


async def index(call: Call) -> Response:
    """List conductors."""
    _only(call, {"detail": 49, "fields": 49, "limit": 49, "marker": 49, "sort_key": 49, "sort_dir": 49})
    found = await call.store.read(conductors.listed)
    names = _chosen(call) or (_FIELDS if query_flag(call.query, "detail") else _SHORT)
    return ok({"conductors": [_conductor(call, conductor, names) for conductor in found]})


async def show(call: Call) -> Response:
    """Show a conductor."""
    _only(call, {"fields": 49})
    conductor = await call.store.read(lambda tx: conductors.get(tx, call.path("hostname")))
    return ok(_conductor(call, conductor, _chosen(call) or _FIELDS))


async def drivers(call: Call) -> Response:
    """List the drivers that conductors which are alive have."""
    _only(call, {"type": 30, "detail": 30, "fields": 77})
    if call.query.get("type", "dynamic") not in {"dynamic", "classic"}:
        raise Invalid("type: must be dynamic or classic", field="type")
    found = await call.store.read(lambda tx: conductors.drivers(tx, call.settings.conductor_timeout))
    shown = found.values() if call.query.get("type") != "classic" else ()
    detail = query_flag(call.query, "detail")
    return ok({"drivers": [_driver(call, driver, hosts, detail=detail) for driver, hosts in shown]})


async def driver(call: Call) -> Response:
    """Show a driver."""
    _only(call, {"fields": 77})
    found, hosts = await find_driver(call)
    return ok(_driver(call, found, hosts, detail=True))


async def driver_properties(call: Call) -> Response:
    """The `driver_info` keys that a driver understands, with what each means."""
    found, _ = await find_driver(call)
    return ok(dict(found.properties))


async def find_driver(call: Call) -> tuple[Driver, list[str]]:
    """The driver that a path names, and the hosts that have it.

    Raises:
        NotFound: no conductor that is alive has it.
    """
    found = await call.store.read(lambda tx: conductors.drivers(tx, call.settings.conductor_timeout))
    try:
        return found[call.path("driver")]
    except KeyError:
        raise NotFound("driver", call.path("driver")) from None


def _conductor(call: Call, conductor: Conductor, names: Collection[str]) -> Json:
    known = {
        "hostname": conductor.hostname,
        "conductor_group": conductor.conductor_group,
        "alive": conductor.alive(call.store.now(), call.settings.conductor_timeout),
        "drivers": [driver.name for driver in conductor.drivers],
        "created_at": conductor.created_at.isoformat(timespec="seconds"),
        "updated_at": conductor.updated_at.isoformat(timespec="seconds") if conductor.updated_at else None,
    }
    answer: Json = {name: value for name, value in known.items() if name in names}
    return answer | {"links": call.links("conductors", conductor.hostname)}


def _driver(call: Call, driver: Driver, hosts: Sequence[str], *, detail: bool) -> Json:
    answer: Json = {"name": driver.name, "hosts": list(hosts), "links": call.links("drivers", driver.name)}
    if call.version >= 14:
        answer["properties"] = call.links("drivers", driver.name, "properties")
    if call.version >= 30:
        answer["type"] = "dynamic"
        for kind, (since, _) in INTERFACES.items():
            if detail and call.version >= since:
                answer[f"default_{kind}_interface"] = default_interface(driver.name, kind)
                answer[f"enabled_{kind}_interfaces"] = enabled_interfaces(driver.name, kind)
    if "fields" in call.query:
        chosen = {name.strip() for name in call.query["fields"].split(",")}
        unknown = sorted(chosen - answer.keys())
        if unknown and detail:
            raise Invalid(f'fields: Field(s) "{unknown[0][:64]}" are not valid', field="fields")
        answer = {name: value for name, value in answer.items() if name in chosen or name == "links"}
    return answer


def _chosen(call: Call) -> list[str] | None:
    if "fields" not in call.query:
        return None
    names = [name.strip() for name in call.query["fields"].split(",") if name.strip()]
    for name in names:
        if name not in (*_FIELDS, "links"):
            raise Invalid(f'fields: Field(s) "{name[:64]}" are not valid', field="fields")
    return names


def _only(call: Call, known: dict[str, int]) -> None:
    for key in call.query:
        if key not in known:
            raise Invalid(f'Unknown argument: "{key[:64]}"; known are {", ".join(known)}', field=key[:64])
        require(call.version, known[key], key)
