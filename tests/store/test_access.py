"""What a project sees of the rows, on every kind of database."""

from __future__ import annotations

import pytest

from ironlane.model.caller import INTERNAL, Caller
from ironlane.model.errors import Forbidden, Invalid, NotFound
from ironlane.store import access, networks, nodes, physical_networks, ports, rbac, subnets
from ironlane.store.database import Store, Tx
from ironlane.store.listing import Listing
from ironlane.store.networks import NewNetwork
from ironlane.store.ports import NewPort
from ironlane.store.rbac import NewPolicy
from ironlane.store.subnets import NewSubnet

RED = Caller(project_id="red", roles=frozenset({"member"}))
NOBODY = Caller(roles=frozenset({"member"}))
WITHOUT_ROLE = Caller(project_id="red", roles=frozenset({"auditor"}))
AUDITOR = Caller(roles=frozenset({"reader"}), is_system=True)

OWNERS = {"own": "red", "foreign": "blue", "shared": "blue", "external": "blue", "let in": "blue", "nobody's": ""}


async def furnish(store: Store) -> dict[str, str]:
    """A network of each kind, with a subnet and a port of its owner's on it; their ids by name."""

    def make(tx: Tx) -> dict[str, str]:
        physical_networks.put(tx, "physnet1", [[200, 299]])
        ids: dict[str, str] = {}
        for number, (name, owner) in enumerate(OWNERS.items()):
            new = NewNetwork(owner, name, shared=name == "shared", router_external=name == "external")
            ids[name] = networks.create(tx, new).id
            cidr = f"10.0.{number}.0/24"
            ids[f"subnet of {name}"] = subnets.create(tx, NewSubnet(ids[name], cidr, 4, project_id=owner)).id
            ids[f"port on {name}"] = ports.create(tx, NewPort(ids[name], project_id=owner)).id
        ids["guest on own"] = ports.create(tx, NewPort(ids["own"], project_id="blue")).id
        ids["own on shared"] = ports.create(tx, NewPort(ids["shared"], project_id="red")).id
        rbac.create(tx, NewPolicy(ids["let in"], "red", "blue"))
        for name, columns in {"owned": {"owner": "red"}, "let": {"lessee": "red"}, "alien": {"owner": "blue"}}.items():
            ids[name] = nodes.create(tx, {"name": name, "driver": "fake-hardware", **columns}).id
        return ids

    return await store.write(make)


async def seen(store: Store, caller: Caller, ids: dict[str, str]) -> set[str]:
    """The names of all that a caller finds in lists."""
    names = {ident: name for name, ident in ids.items()}

    def look(tx: Tx) -> set[str]:
        found: set[str] = set()
        for noun in (networks, subnets, ports):
            found |= {names[thing.id] for thing in noun.page(tx, Listing())[0]}  # type: ignore[attr-defined]
        visible = access.visible(tx.caller, nodes.nodes)
        return found | {names[node.id] for node in nodes.find(tx, *visible)}

    return await store.on_behalf_of(caller).read(look)


async def test_what_is_seen(any_store: Store) -> None:
    ids = await furnish(any_store)
    here = ("own", "shared", "external", "let in")
    assert await seen(any_store, RED, ids) == {
        *here,
        *(f"subnet of {name}" for name in here),
        "port on own",
        "guest on own",
        "own on shared",
        "owned",
        "let",
    }
    for caller in (NOBODY, WITHOUT_ROLE):
        assert await seen(any_store, caller, ids) == set()
    for caller in (INTERNAL, AUDITOR):
        assert await seen(any_store, caller, ids) == set(ids)


async def test_one_by_one_the_same_is_seen_as_in_lists(any_store: Store) -> None:
    ids = await furnish(any_store)
    listed = await seen(any_store, RED, ids)
    red = any_store.on_behalf_of(RED, "baremetal:node:get")
    for name, ident in ids.items():
        noun = nodes if name in {"owned", "let", "alien"} else networks if name in OWNERS else ports
        noun = subnets if name.startswith("subnet") else noun
        try:
            await red.read(lambda tx, noun=noun, ident=ident: noun.get(tx, ident))  # type: ignore[misc]
        except NotFound:
            assert name not in listed, name
        else:
            assert name in listed, name


async def test_a_marker_that_is_not_seen_is_none(any_store: Store) -> None:
    ids = await furnish(any_store)
    red = any_store.on_behalf_of(RED)
    await red.read(lambda tx: networks.page(tx, Listing(marker=ids["shared"])))
    with pytest.raises(Invalid, match="is the id of nothing"):
        await red.read(lambda tx: networks.page(tx, Listing(marker=ids["foreign"])))


async def test_what_follows_from_a_change_is_done_though_its_caller_may_not(any_store: Store) -> None:
    ids = await furnish(any_store)
    red = any_store.on_behalf_of(RED)
    bound = {"host_id": "h"}
    with pytest.raises(Forbidden, match="update_port:binding:host_id"):
        await red.write(lambda tx: ports.update(tx, ids["port on own"], bound))

    def bind(tx: Tx) -> None:
        with tx.elevated():
            ports.update(tx, ids["port on own"], bound)
        assert tx.caller is RED

    await red.write(bind)
    assert (await any_store.read(lambda tx: ports.get(tx, ids["port on own"]))).host_id == "h"
    with pytest.raises(NotFound):
        await red.write(lambda tx: ports.update(tx, ids["port on foreign"], {"name": "mine"}))


async def test_a_store_for_an_admin_is_the_store_itself(store: Store) -> None:
    admin = Caller(project_id="ops", roles=frozenset({"admin"}))
    assert store.on_behalf_of(admin) is store
    narrowed = store.on_behalf_of(RED, "get_port")
    assert (narrowed.caller, narrowed.rule, store.caller) == (RED, "get_port", INTERNAL)
