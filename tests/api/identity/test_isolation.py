"""Tenant isolation: project red tries every request there is with project blue's ids, and gets 404 and never data.

The requests are those that the applications really serve (their route tables), each with every variable of its path,
every id in its body and every filter of its list. A new route takes part by itself, or fails here until `requests` says
what its variables and its body are. Each time the same is asked with an id of nothing: whoever is not to know of a
thing must not learn even that it is there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from starlette.types import Message

from ironlane.api.baremetal.nodes import NODES
from ironlane.api.baremetal.portgroups import PORTGROUPS
from ironlane.api.baremetal.ports import PORTS
from ironlane.api.baremetal.routes import ROUTES as BAREMETAL_ROUTES
from ironlane.api.baremetal.rules import RULES as BAREMETAL_RULES
from ironlane.api.fabric.failures import PUBLIC as FABRIC_PUBLIC
from ironlane.api.networking import networks, ports, subnets, trunks
from ironlane.model import policy
from ironlane.model.caller import Caller
from tests.api.asgi import Answer
from tests.api.identity.passwords import basic
from tests.api.identity.requests import NOBODYS, PUBLIC, Case, cases
from tests.api.identity.world import BLUE, MARKS, RED, Ids, World, made_up

APIS = ("networking", "baremetal")


class Recorded(dict[str, str]):
    """Ids that remember which of them were asked for."""

    def __init__(self, ids: Ids) -> None:
        super().__init__(ids)
        self.asked: list[str] = []

    def __getitem__(self, name: str) -> str:
        self.asked.append(name)
        return super().__getitem__(name)


def all_cases(world: World, api: str) -> Iterator[Case]:
    for case in cases(api, world.app(api)):
        if (case.method, case.path) not in NOBODYS[api]:
            yield case


def ids_in_body(case: Case, ids: Ids) -> list[str]:
    recorded = Recorded(ids)
    case.body(recorded)
    return recorded.asked


def same(answer: Answer, other: Answer, *ids: Ids) -> bool:
    """Whether two answers say the same, but for what they were asked about."""

    def plain(text: str) -> str:
        for value in sorted({v for known in ids for v in known.values()}, key=len, reverse=True):
            text = text.replace(value, "<id>")
        return text

    return (answer.status, plain(answer.body.decode())) == (other.status, plain(other.body.decode()))


def leaks(answer: Answer, ids: Ids, asked: str) -> list[str]:
    """What an answer tells of a project besides what it was asked about."""
    text = answer.body.decode() + json.dumps(answer.headers)
    for value in sorted((value for value in ids.values() if value in asked), key=len, reverse=True):
        text = text.replace(value, "")
    return [value for value in (*ids.values(), MARKS[ids["project"]]) if value in text]


def forged(ids: Ids) -> Ids:
    return {name: made_up(name) for name in ids}


@pytest.mark.parametrize("api", APIS)
async def test_another_projects_ids_in_paths(world: World, api: str) -> None:
    """404 for what is not there for red; 403 only where nobody but an admin may ask, whatever the id."""
    blue, before = world.ids[BLUE], await world.rows()
    tried = 0
    for case in all_cases(world, api):
        if not case.names:
            continue
        url, body = case.url(blue), case.body(world.ids[RED])
        real = await world.ask("root", api, case.method, url, case.body(blue))
        assert real.status not in {401, 403, 405, 406}, f"not even an admin: {case}: {real.body!r}"
        if case.served:
            assert real.status < 300 or real.status == 409, f"not even an admin: {case}: {real.body!r}"
        for user in ("red", "red-reader"):
            answer = await world.ask(user, api, case.method, url, body)
            nothing = await world.ask(user, api, case.method, case.url(forged(blue)), body)
            assert answer.status in {403, 404}, f"{user}: {case}: {answer.status} {answer.body!r}"
            assert same(answer, nothing, blue, forged(blue)), f"{user}: {case}: {answer.body!r}; {nothing.body!r}"
            assert not leaks(answer, blue, url), f"{user}: {case}: {answer.body!r}"
            if answer.status == 403:
                assert not allowed_at_all(case, user), f"{user}: {case}: {answer.body!r}"
        tried += 1
    assert tried > 20
    assert await world.rows() == before


def allowed_at_all(case: Case, user: str) -> bool:
    """Whether somebody with this user's roles may make such a request of its own things."""
    roles = frozenset({"reader"} if user == "red-reader" else {"member"})
    rule = BAREMETAL_RULES.get((case.method, case.path), "") if case.api == "baremetal" else ""
    return policy.possible(Caller(project_id=RED, roles=roles), rule) if rule else case.api == "networking"


@pytest.mark.parametrize("api", APIS)
async def test_another_projects_ids_in_bodies(world: World, api: str) -> None:
    """Each id in each body in turn: as an id of nothing."""
    red, blue, before = world.ids[RED], world.ids[BLUE], await world.rows()
    tried = 0
    for case in all_cases(world, api):
        names = ids_in_body(case, red)
        if not names or "let_node" in case.names:
            continue
        url = case.url(red)
        own = await world.ask("root", api, case.method, url, case.body(red))
        assert own.status < 300, f"not even an admin: {case}: {own.body!r}"
        for name in names:
            theirs, nothing = {**red, name: blue[name]}, {**red, name: made_up(name)}
            answer = await world.ask("red", api, case.method, url, case.body(theirs))
            other = await world.ask("red", api, case.method, url, case.body(nothing))
            assert answer.status in {400, 403, 404}, f"{case} {name}: {answer.status} {answer.body!r}"
            assert same(answer, other, theirs, nothing), f"{case} {name}: {answer.body!r}; {other.body!r}"
            assert not leaks(answer, blue, blue[name]), f"{case} {name}: {answer.body!r}"
            if name in {"network", "free_port", "free_subport"} and api == "networking":
                assert answer.status == 404, f"{case} {name}: {answer.body!r}"
            tried += 1
    assert tried > 5
    assert await world.rows() == before


@pytest.mark.parametrize("api", APIS)
async def test_lists_have_nothing_of_another_project(world: World, api: str) -> None:
    blue = world.ids[BLUE]
    tried = 0
    for case in all_cases(world, api):
        if case.method != "GET" or case.names:
            continue
        everything = await world.ask("root", api, "GET", case.url(blue))
        if not case.served:
            continue
        assert everything.status == 200, f"{case}: {everything.body!r}"
        whole = MARKS[BLUE] in everything.body.decode() or any(v in everything.body.decode() for v in blue.values())
        for user in ("red", "red-reader", "red-nobody"):
            answer = await world.ask(user, api, "GET", case.url(blue))
            assert answer.status in {200, 403}, f"{user}: {case}: {answer.body!r}"
            assert not leaks(answer, blue, ""), f"{user}: {case}: {answer.body!r}"
        if whole:
            mine = await world.ask("blue-reader", api, "GET", case.url(blue))
            assert mine.status == 200, f"{case}: {mine.body!r}"
            assert leaks(mine, blue, ""), f"blue does not see its own: {case}"
            tried += 1
    assert tried > 3


async def test_filters_of_networking_lists(world: World) -> None:
    """Every attribute that can be filtered by, with the value that blue's thing has; and the page after it."""
    blue = world.ids[BLUE]
    for module in (networks, subnets, ports, trunks):
        thing_id = blue[module.NOUN]
        shown = await world.ask("root", "networking", "GET", f"/v2.0/{module.PLURAL}/{thing_id}")
        view = shown.json()[module.NOUN]
        queries = [f"{name}={quote(str(view[name]))}" for name in module.ATTRIBUTES if view.get(name) not in (None, "")]
        queries += [f"tags={blue['tag']}", f"tags-any={blue['tag']}", f"name={view['name']}&fields=id"]
        if module is ports:
            queries += [f"fixed_ips=subnet_id={blue['subnet']}", "fixed_ips=ip_address_substr=10.2.0"]
        for query in queries:
            url = f"/v2.0/{module.PLURAL}?{query}"
            found = await world.ask("root", "networking", "GET", url)
            assert thing_id in found.body.decode(), f"{url}: {found.body!r}"
            answer = await world.ask("red", "networking", "GET", url)
            assert answer.status in {200, 400}, f"{url}: {answer.body!r}"
            assert not leaks(answer, blue, ""), f"{url}: {answer.body!r}"
        for more in ("", "&page_reverse=true", "&sort_key=name&limit=1"):
            url = f"/v2.0/{module.PLURAL}?marker={{marker}}{more}"
            answer = await world.ask("red", "networking", "GET", url.format(marker=thing_id))
            nothing = await world.ask("red", "networking", "GET", url.format(marker=made_up("")))
            assert answer.status == 400, f"{url}: {answer.body!r}"
            assert same(answer, nothing, {"": thing_id}, {"": made_up("")}), f"{url}: {answer.body!r}"


async def test_filters_of_baremetal_lists(world: World) -> None:
    blue = world.ids[BLUE]
    values = {
        "node": blue["node"],
        "node_uuid": blue["node"],
        "portgroup": blue["portgroup"],
        "owner": BLUE,
        "lessee": BLUE,
        "project": BLUE,
        "address": "52:54:00:00:02:01",
        "driver": "fake-hardware",
        "provision_state": "enroll",
        "description_contains": MARKS[BLUE],
    }
    things = ((NODES, "node"), (PORTS, "nic"), (PORTGROUPS, "portgroup"))
    for collection, name in things:
        plural = collection.resource.plural
        for key in collection.filters:
            if key not in values:
                continue
            url = f"/v1/{plural}?{key}={{value}}&detail=true"
            answer = await world.ask("red", "baremetal", "GET", url.format(value=quote(values[key])))
            assert not leaks(answer, blue, values[key]), f"{url}: {answer.body!r}"
            if key in {"node", "node_uuid", "portgroup"}:
                nothing = await world.ask("red", "baremetal", "GET", url.format(value=made_up(key)))
                assert answer.status == 404, f"{url}: {answer.body!r}"
                assert same(answer, nothing, {"": values[key]}, {"": made_up(key)})
        for more in ("", "&sort_key=address" if name != "node" else "&sort_key=name"):
            url = f"/v1/{plural}?marker={{marker}}{more}"
            answer = await world.ask("red", "baremetal", "GET", url.format(marker=blue[name]))
            nothing = await world.ask("red", "baremetal", "GET", url.format(marker=made_up("")))
            assert answer.status == 404, f"{url}: {answer.body!r}"
            assert same(answer, nothing, {"": blue[name]}, {"": made_up("")}), f"{url}: {answer.body!r}"


async def test_the_fabric_api_is_not_for_projects(world: World) -> None:
    """403 for everything, whatever is named, and before anything is looked at."""
    before = await world.rows()
    tried = 0
    for path, methods in world.app("fabric").openapi()["paths"].items():
        for method in (name.upper() for name in methods):
            if (method, path.rstrip("/") or "/") in FABRIC_PUBLIC:
                continue
            for name in ("sw1", "physnet1", world.ids[BLUE]["port"], "nothing"):
                url = path.replace("{name}", name).replace("{ident}", name)
                body = {} if method in {"PUT", "POST"} else None
                for user in ("red", "red-reader", "red-nobody"):
                    answer = await world.ask(user, "fabric", method, url, body)
                    assert answer.status == 403, f"{user}: {method} {url}: {answer.body!r}"
                    assert answer.json()["error"]["code"] == "PolicyNotAuthorized"
                known = await world.ask("root", "fabric", method, url, body)
                assert known.status not in {401, 403, 405}, f"{method} {url}: {known.body!r}"
            tried += 1
    assert tried > 15
    assert await world.rows() == before


async def test_what_a_project_sends_to_the_fabric_api_is_not_even_read(world: World) -> None:
    """A body there may be 64 MiB large."""

    async def receive() -> Message:
        raise AssertionError("the body was read")

    answered: list[Message] = []

    async def send(message: Message) -> None:
        answered.append(message)

    for path in ("/v1/takeover", "/v1/bindings/x", "/v1/bindings", "/v1/nothing"):
        headers = {**basic("red", "red"), "content-type": "application/json", "content-length": "99"}
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": raw}
        await world.app("fabric")(scope, receive, send)
        assert answered[-2]["status"] == 403, path


def test_every_request_to_the_baremetal_api_has_a_rule_or_is_public() -> None:
    served = {(route.method, route.path) for route in BAREMETAL_ROUTES}
    assert served - PUBLIC["baremetal"] == set(BAREMETAL_RULES)
    assert set(BAREMETAL_RULES.values()) <= set(policy.RULES)
