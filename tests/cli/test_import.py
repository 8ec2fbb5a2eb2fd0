"""`ironlane import`: from one service into another, with one rack of switches that both see."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import Result

from ironlane.model.fabric import DriftPolicy, SwitchId, Vlan
from ironlane.model.states import ProvisionState
from ironlane.store import leases, nodes, physical_networks, ports, subnets, switches, trunks, vifs
from ironlane.store.attachments import of_network_port
from ironlane.store.database import Store, Tx, open_store
from ironlane.store.leases import Membership
from ironlane.store.networks import NewNetwork
from ironlane.store.networks import create as create_network
from ironlane.store.ports import NewPort
from ironlane.store.subnets import NewSubnet
from ironlane.store.switches import SwitchSpec
from ironlane.store.tables import metadata
from ironlane.store.tables import networks as network_rows
from ironlane.store.tables import switches as switch_rows
from ironlane.store.trunks import NewSubPort, NewTrunk
from tests.cli.conftest import DRIVERS, Command, served
from tests.conductor.site import MACS, PORTS, MemorySwitch, Site
from tests.conductor.test_fabric import settled, until_status

# openstacksdk warns of its own use of what it deprecates.
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")

PROVIDERS = ("--provider-network", "provisioning", "--provider-network", "cleaning")


@asynccontextmanager
async def opened(file: Path) -> AsyncIterator[Store]:
    store = open_store(f"sqlite:///{file}")
    await store.write(lambda tx: metadata.create_all(tx.connection))
    yield store
    await store.close()


@dataclass(frozen=True)
class Original:
    """A site at work, written down: making it takes seconds."""

    database: Path
    leaves: Mapping[str, MemorySwitch]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    """Active servers on tenants' networks, one of them with a trunk, and one that is manageable."""
    database = tmp_path_factory.mktemp("original") / "old.sqlite"

    async def make() -> Original:
        async with opened(database) as store:
            site = Site(store)
            await furnish(site)
            return Original(database, site.leaves)

    return asyncio.run(make())


@pytest.fixture
async def old(tmp_path: Path, original: Original) -> AsyncIterator[Site]:
    for file in original.database.parent.iterdir():
        shutil.copy(file, tmp_path)
    store = open_store(f"sqlite:///{tmp_path}/{original.database.name}")
    site = Site(store)
    site.leaves = {name: replace(leaf, carried=dict(leaf.carried)) for name, leaf in original.leaves.items()}
    yield site
    await store.close()


async def furnish(site: Site) -> None:
    store = site.store
    await site.furnish()
    async with site.conductor():
        other, node = await site.node(2), await site.node(1)
        port, others = await site.tenant_port("red"), await site.tenant_port("blue")
        await settled(site)
        await site.to_available(other)
        await site.attach(other, others)
        await site.to_active(other)  # its LAG id is the lower one, although its port is the later one
        await store.write(lambda tx: _addresses(tx, port))
        await site.to_available(node)
        await site.attach(node, port)
        await site.to_active(node)
        await store.write(lambda tx: _trunk(tx, port))
        await settled(site)
        await store.write(_manageable)
        await settled(site)


def _addresses(tx: Tx, port: str) -> None:
    network = ports.get(tx, port).network_id
    subnets.create(tx, NewSubnet(network, "192.0.2.0/24", 4, name="s", dns_nameservers=["192.0.2.53"]))
    ports.update(tx, port, {"fixed_ips": [{"ip_address": "192.0.2.77"}]})


def _trunk(tx: Tx, parent: str) -> None:
    tagged = create_network(tx, NewNetwork(name="tagged"))
    child = ports.create(tx, NewPort(tagged.id, name="child"))
    trunks.create(tx, NewTrunk(parent, name="t", sub_ports=[NewSubPort(child.id)]))


def _manageable(tx: Tx) -> None:
    info = {"redfish_address": "https://192.0.2.1", "redfish_username": "u", "redfish_password": "bmc-9f2kq"}
    values = {"name": "spare", "driver": "redfish", "driver_info": info, "automated_clean": True}
    nodes.create(tx, values | {"provision_state": ProvisionState.MANAGEABLE})


@pytest.fixture
async def new(tmp_path: Path, old: Site) -> AsyncIterator[Site]:
    """A service that knows the same switches, and nothing else; it only observes them."""
    async with opened(tmp_path / "new.sqlite") as store:
        site = Site(store)
        site.leaves = old.leaves
        site.audit = timedelta(milliseconds=100)
        await store.write(lambda tx: _enrol(tx, DriftPolicy.OBSERVE))
        async with site.conductor():
            await settled(site)
        await store.write(lambda tx: leases.join(tx, Membership("c1", DRIVERS)))
        yield site


def _enrol(tx: Tx, policy: DriftPolicy) -> None:
    physical_networks.put(tx, "physnet1", [(200, 299)], 1500, 0)
    for name, mac in MACS.items():
        spec = SwitchSpec(SwitchId(name), "memory", "", frozenset(PORTS), "physnet1", mac)
        switches.put(tx, replace(spec, policy=policy))


def dump(tx: Tx) -> dict[str, Any]:
    """All rows of all tables."""
    return {table.name: sorted(map(repr, tx.all(sa.select(table)))) for table in metadata.sorted_tables}


@pytest.fixture
async def run(old: Site, new: Site, ironlane: Command) -> AsyncIterator[Command]:
    """`ironlane import` from the old service into the new one."""
    async with served(old.store) as url, served(new.store) as target:

        async def run_(*arguments: str | Path, env: dict[str, str] | None = None) -> Result:
            source = ("--networking-url", f"{url}/networking", "--baremetal-url", f"{url}/baremetal")
            if "--from" in arguments:
                source = ()
            return await ironlane("import", "--url", target, *source, *PROVIDERS, *arguments, env=env)

        yield run_


def lines(result: Result) -> dict[str, list[str]]:
    """The lines of the output by their first word."""
    found: dict[str, list[str]] = {}
    for line in result.output.splitlines():
        found.setdefault(line.split()[0], []).append(line)
    return found


async def test_a_dry_run_changes_nothing(run: Command, old: Site, new: Site) -> None:
    before = [await site.store.read(dump) for site in (old, new)]
    result = await run()
    assert result.exit_code == 0, result.output
    assert [await site.store.read(dump) for site in (old, new)] == before
    told = lines(result)
    assert result.output.splitlines()[-1].startswith("would be: ")
    assert len(told["created"]) == 5 + 1 + 3 + 1 + 3 + 2 + 4  # networks … NICs
    assert told["without"] == [
        f"without    node {await _id(old, 'spare')} (spare): redfish_password of driver_info:"
        " in maintenance until somebody sets it"
    ]


async def _id(site: Site, node: str) -> str:
    return str((await site.store.read(lambda tx: nodes.get(tx, node))).id)


async def test_what_is_taken_over_is_as_it_was_and_no_switch_is_touched(run: Command, old: Site, new: Site) -> None:
    carried, commits = old.carried(), {name: leaf.commits for name, leaf in old.leaves.items()}
    result = await run("--apply", env={"IRONLANE_SECRET_BMC": "bmc-9f2kq"})
    assert result.exit_code == 0, result.output
    again = await run("--apply")
    assert (again.exit_code, again.output.splitlines()[1:]) == (0, ["19 unchanged"])
    async with new.conductor():
        await settled(new)
        for node in ("node-1", "node-2"):
            there, here = [await site.store.read(lambda tx, n=node: nodes.get(tx, n)) for site in (old, new)]
            assert (here.id, here.provision_state, here.power_state) == (there.id, "active", there.power_state)
            for vif in await old.store.read(lambda tx, n=there: vifs.listed(tx, n.id)):
                await until_status(new, vif, "ACTIVE")
                held, was = [await s.store.read(lambda tx, v=vif: ports.get(tx, v)) for s in (new, old)]
                assert (held.mac_address, held.fixed_ips, held.profile) == (was.mac_address, was.fixed_ips, was.profile)
                assert await new.store.read(lambda tx, n=there: vifs.listed(tx, n.id)) == [vif]
        numbers = [await site.store.read(_lag_numbers) for site in (new, old)]
        assert numbers[0] == numbers[1]
        assert sorted(numbers[0].values()) == [1, 2]
        child = await new.store.read(lambda tx: ports.find(tx, name="child")[0])
        await until_status(new, child.id, "ACTIVE")
    assert old.carried() == carried
    assert {name: leaf.commits for name, leaf in old.leaves.items()} == commits
    spare = await new.store.read(lambda tx: nodes.get(tx, "spare"))
    assert (spare.maintenance, spare.driver_info.keys()) == (True, {"redfish_address", "redfish_username"})


def _lag_numbers(tx: Tx) -> dict[str, int]:
    its = [vif for node in nodes.find(tx) for vif in vifs.listed(tx, node.id)]
    return {vif: a.lag.number for vif in its for a in of_network_port(tx, vif) if a.lag is not None}


async def test_once_it_is_told_to_it_takes_the_servers_on(run: Command, old: Site, new: Site) -> None:
    assert (await run("--apply")).exit_code == 0
    carried = old.carried()
    stranger = next(iter(old.leaves.values()))
    stranger.carried["p6"] = replace(stranger.carried["p6"], enabled=True, untagged=Vlan(666))
    async with new.conductor():
        await settled(new)
        await new.store.write(lambda tx: _enrol(tx, DriftPolicy.REPAIR))
        await new.until(lambda _tx: new.carried() == carried, "the one difference to be repaired")
        node = await new.store.read(lambda tx: nodes.get(tx, "node-1"))
        await new.ask(node, "deleted")
        await new.until_state(node, "clean wait", "booted")
        assert new.carried()["leaf-2"].keys() == {"p2"}, "the server has left its tenant's networks"


async def test_a_switch_that_would_be_written_to_is_in_the_way(run: Command, new: Site) -> None:
    await new.store.write(lambda tx: _enrol(tx, DriftPolicy.REPORT))
    before = await new.store.read(dump)
    result = await run("--apply")
    assert result.exit_code == 1
    assert await new.store.read(dump) == before
    in_the_way = [line for line in lines(result)["conflict"] if line.split()[1] == "port"]
    assert len(in_the_way) == 2
    assert all("switch leaf-1, leaf-2 would be written to" in line for line in in_the_way)
    assert "nothing was done while there are conflicts" in result.output
    assert (await run("--apply", "--despite-conflicts")).exit_code == 1
    here = await new.store.read(lambda tx: (len(nodes.find(tx)), [p.name for p in ports.find(tx)]))
    assert here == (3, ["child"])


async def test_a_switch_that_was_not_read_yet_is_in_the_way(run: Command, new: Site) -> None:
    await new.store.write(lambda tx: tx.execute(switch_rows.update().values(observed_at=None)))
    result = await run()
    assert result.exit_code == 1
    assert "switch leaf-1, leaf-2 was not read yet" in result.output


async def test_what_differs_and_what_is_taken_is_in_the_way(run: Command, old: Site, new: Site) -> None:
    by_name = sa.select(network_rows.c.id).where(network_rows.c.name == "red")
    red = await old.store.read(lambda tx: tx.execute(by_name).scalar_one())

    def taken(tx: Tx) -> None:
        create_network(tx, NewNetwork(name="mine", id=red))
        nodes.create(tx, {"name": "node-1", "driver": "fake-hardware", "automated_clean": True})

    await new.store.write(taken)
    result = await run()
    told = {line.split()[2]: line for line in lines(result)["conflict"]}
    assert "is here already, and differs: " in told[red]
    assert "name is 'mine', there 'red'" in told[red]
    assert "node with name node-1 already exists" in told[await _id(old, "node-1")].replace("Node", "node")
    assert result.exit_code == 1


async def test_secrets_and_what_was_read_may_come_from_files(
    run: Command, old: Site, new: Site, tmp_path: Path
) -> None:
    read, secrets = tmp_path / "read.json", tmp_path / "secrets"
    secrets.mkdir()
    (secrets / f"bmc-{await _id(old, 'spare')}").write_text("bmc-9f2kq\n")
    read.touch(mode=0o644)
    assert (await run("--save", read)).exit_code == 0
    assert (read.stat().st_mode & 0o777, "bmc-9f2kq" in read.read_text()) == (0o600, False)
    result = await run("--from", read, "--secrets-dir", secrets, "--apply")
    assert (result.exit_code, "without" in lines(result)) == (0, False), result.output
    spare = await new.store.read(lambda tx: nodes.get(tx, "spare"))
    assert not spare.maintenance
    assert new.store.vault.opened(spare.driver_info)["redfish_password"] == "bmc-9f2kq"
    read.write_text("[]")
    assert "is not what --save writes" in (await run("--from", read)).output


async def test_what_stays_where_it_is_is_told(run: Command, old: Site, new: Site, tmp_path: Path) -> None:
    """What Ironlane itself never shows, as a Neutron with other drivers and an Ironic with other hardware do."""
    read = tmp_path / "read.json"
    assert (await run("--save", read)).exit_code == 0
    found = json.loads(read.read_text())
    found["trunks"], networks = [], {n["name"]: n for n in found["networks"]}
    networks["tagged"]["provider:network_type"] = "vxlan"
    networks["cleaning"].update({f"provider:{key}": None for key in ("network_type", "segmentation_id")})
    red = next(port for port in found["ports"] if port["network_id"] == networks["red"]["id"])
    router = dict(red, id="11111111-1111-4111-8111-111111111111", device_owner="network:router_interface")
    found["ports"].append(
        router | {"binding:vnic_type": "normal", "binding:vif_type": "ovs", "binding:host_id": "net-1"}
    )
    machines = {node["name"]: node for node in found["nodes"]}
    machines["spare"] |= {"driver": "ilo", "deploy_interface": "ansible"}
    machines["node-2"]["provision_state"] = "cleaning"
    read.write_text(json.dumps(found))
    result = await run("--from", read, "--apply", "--despite-conflicts")
    told = lines(result)
    assert any("network" in line and "is of type vxlan" in line for line in told["left"])
    assert any("its provider attributes are not shown" in line for line in told["left"])
    assert any("is no server's: network:router_interface, ovs" in line for line in told["left"])
    assert any("deploy_interface ansible" in line for line in told["without"])
    assert any("(spare): no conductor has driver ilo" in line for line in told["conflict"])
    assert any("(node-2): " in line and "is cleaning; it can be taken over when" in line for line in told["conflict"])
    assert [n.name for n in await new.store.read(nodes.find)] == ["node-1"]


async def test_nobody_to_read_from_is_told(run: Command, ironlane: Command) -> None:
    nowhere = await ironlane("import", "--networking-url", "http://127.0.0.1:9")
    assert (nowhere.exit_code, "cannot be read" in nowhere.output) == (1, True)
    basic = await ironlane(
        "import", "--networking-url", "http://127.0.0.1:9", "--auth", "http_basic", env={"OS_PASSWORD": ""}
    )
    assert "needs OS_USERNAME and OS_PASSWORD" in basic.output
