"""`ironlane cabling` and the gate at a VIF attach, against a service with a conductor; LLDP as ramdisks send it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from ironlane.cli.client import Client, Refused
from ironlane.model.lldp import Neighbour
from ironlane.store.database import Store
from tests.cli.conftest import Command
from tests.cli.test_foresight import lines
from tests.conductor.site import MACS, Site
from tests.conductor.test_cabling import NIC, inspected, show
from tests.conductor.test_inspection import lldp


@pytest.fixture
async def site(store: Store) -> AsyncIterator[Site]:
    made = Site(store)
    await made.furnish()
    async with made.conductor("conductor-1"):  # the one that the fixtures had join
        yield made


@pytest.fixture(autouse=True)
def service(monkeypatch: pytest.MonkeyPatch, url: str) -> Iterator[None]:
    monkeypatch.setenv("IRONLANE_URL", url)
    return


async def test_recorded_and_seen_are_shown_side_by_side(site: Site, ironlane: Command) -> None:
    assert lines(await ironlane("cabling")) == ["no NIC is on record"]
    one, _two = await site.node(1), await site.node(2)
    await site.ask(one, "manage")
    await site.until_state(one, "manageable")
    await inspected(site, one, (lldp("leaf-1", "p1"), [*lldp("leaf-2", "p4"), [2, "zz"]]))
    await show(site, "leaf-2", p2=[Neighbour("52:54:00:02:00:01", "52:54:00:02:00:02", system_name="node-2")])
    title, *rows = lines(await ironlane("cabling"))
    assert title.split("  ")[0] == "NODE"
    cells = sorted((*row.split()[:3], row.split()[-1]) for row in rows if row.startswith("node-"))
    assert cells == [
        ("node-1", NIC[0], "leaf-1/p1", "agrees"),
        ("node-1", NIC[1], "leaf-2/p1", "contradicts"),
        ("node-2", "52:54:00:02:00:01", "leaf-1/p2", "unseen"),
        ("node-2", "52:54:00:02:00:02", "leaf-2/p2", "agrees"),
    ]
    assert any("leaf-2/p4" in row and "contradicts" in row for row in rows)
    assert any("node-2/52:54:00:02:00:02" in row for row in rows), "whom the switch shows"
    assert rows[-2].startswith(f"NIC {NIC[1]} of node node-1 is recorded at switch leaf-2 ({MACS['leaf-2']}) port p1")
    assert rows[-1] == f"NIC {NIC[1]} heard LLDP that makes no sense: the value of TLV 2 is not hexadecimal"
    assert len(lines(await ironlane("cabling", "--node", "node-2"))) == 3
    wrong = lines(await ironlane("cabling", "--wrong"))
    assert [row.split()[0] for row in wrong[1:2]] == ["node-1"]
    assert lines(await ironlane("cabling", "--wrong", "--node", "node-2")) == ["no NIC is where it should not be"]
    unknown = await ironlane("cabling", "--node", "node-9")
    assert unknown.exit_code == 1
    assert "node-9" in unknown.output


async def test_a_vif_is_not_attached_where_lldp_contradicts(site: Site, url: str) -> None:
    node = await site.node(1)
    await site.ask(node, "manage")
    await site.until_state(node, "manageable")
    await inspected(site, node, (lldp("leaf-1", "p1"), lldp("leaf-1", "p2")))
    vif = await site.tenant_port("red")
    async with Client(url) as client:
        path = f"/baremetal/v1/nodes/{node.id}/vifs"
        with pytest.raises(Refused) as refused:
            await client.request("POST", path, {"id": vif})
        assert refused.value.status == 409
        assert f"recorded at switch leaf-2 ({MACS['leaf-2']}) port p1" in refused.value.message
        assert "it is cabled to switch leaf-1" in refused.value.message
        assert (await client.get(path))["vifs"] == []
        change = [{"op": "add", "path": "/driver_info/cabling_check", "value": "warn"}]
        await client.request("PATCH", f"/baremetal/v1/nodes/{node.id}", change)
        await client.request("POST", path, {"id": vif})
        told = (await client.get(f"/baremetal/v1/nodes/{node.id}"))["driver_internal_info"]
        assert "it is cabled to switch leaf-1" in told["cabling_warning"]
