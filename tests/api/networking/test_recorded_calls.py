"""Everything that a real Ironic asked of a real Neutron, asked of us, in the same order.

`recorded/ironic_networking_calls.md` is the recording; placeholders such as `<VIF1>` stand for ids. The fabric of this
test obeys at once (`site.converge`), as Neutron's driver did within each call.
"""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ironlane.store.database import Store
from tests.api.asgi import Answer
from tests.api.networking import site
from tests.api.networking.conftest import Networking

RECORDING = Path(__file__).parent / "recorded" / "ironic_networking_calls.md"

_CALL = re.compile(r"^\d+\. `(?P<method>[A-Z]+) (?P<url>\S+)` -> (?P<status>\d+)")
_BODY = re.compile(r"^ +`(?P<body>\{.*\})`$")
_PLACEHOLDER = re.compile(r"<[A-Z_]+[0-9]*>")
_SAMPLE = re.compile(r"^### (?P<method>[A-Z]+) (?P<url>\S+) -> (?P<status>\d+)$")


class Call(NamedTuple):
    method: str
    url: str
    status: int
    body: str = ""


def phases() -> dict[str, list[Call]]:
    """The recorded calls of each phase, in order."""
    found: dict[str, list[Call]] = {}
    calls: list[Call] = []
    for line in RECORDING.read_text().splitlines():
        if line.startswith("## Sample responses"):
            break
        if line.startswith("## "):
            calls = found.setdefault(line[3:], [])
        elif match := _CALL.match(line):
            calls.append(Call(match["method"], match["url"], int(match["status"])))
        elif match := _BODY.match(line):
            calls[-1] = calls[-1]._replace(body=match["body"])
    return found


def samples() -> dict[tuple[str, str], Any]:
    """Recorded answers by method and shape of the URL."""
    found = {}
    text = RECORDING.read_text()
    for block in text[text.index("## Sample responses") :].split("\n### ")[1:]:
        head, _, rest = block.partition("\n")
        match = _SAMPLE.match(f"### {head}")
        assert match, head
        found[match["method"], shape(match["url"])] = json.loads(rest.split("```json\n")[1].split("\n```")[0])
    return found


def shape(url: str) -> str:
    """A URL without what differs from call to call."""
    url = re.sub(r"<RAMDISK_PORT\d+>|<VIF\d+>", "<PORT>", url)
    url = re.sub(r"<TENANT_NET\d+>", "<NET>", url)
    return re.sub(r"mac_address=[^&]+", "mac_address=", url)


def assert_like(actual: Any, sample: Any, path: str = "") -> None:
    """Every key of the sample is there, with a value of the same JSON type."""
    if isinstance(sample, dict):
        assert isinstance(actual, dict), path
        for key, value in sample.items():
            assert key in actual, f"{path}.{key}"
            # These two are the client's or ours to fill; their keys differ between drivers.
            if key not in {"binding:profile", "binding:vif_details"}:
                assert_like(actual[key], value, f"{path}.{key}")
    elif isinstance(sample, list):
        assert isinstance(actual, list), path
        for item, value in zip(actual, sample, strict=False):
            assert_like(item, value, path + "[]")
    elif sample is not None:
        assert type(actual) is type(sample), f"{path}: {actual!r} is not like {sample!r}"


class Replay:
    def __init__(self, api: Networking, store: Store) -> None:
        self.api = api
        self.store = store
        self.ids: dict[str, str] = {}
        self.samples = samples()
        self.count = 0

    async def prepare(self) -> None:
        """What the operator and the user had made before the recording began."""
        provider = {"provider:network_type": "vlan", "provider:physical_network": "physnet1"}
        prov = await self.api.made("networks", name="prov", **provider, **{"provider:segmentation_id": 100})
        await self.api.made("subnets", network_id=prov["id"], cidr="10.10.0.0/24", ip_version=4)
        self.ids["<PROV_NET>"] = prov["id"]
        for number in (1, 2):
            net = await self.api.made("networks", name=f"tenant{number}")
            assert net["provider:segmentation_id"] == 199 + number
            await self.api.made("subnets", network_id=net["id"], cidr=f"10.20.{number}.0/24", ip_version=4)
            self.ids[f"<TENANT_NET{number}>"] = net["id"]
        for vif, net in {"<VIF1>": 1, "<VIF2>": 2, "<VIF3>": 1}.items():
            self.ids[vif] = (await self.api.made("ports", network_id=self.ids[f"<TENANT_NET{net}>"]))["id"]

    def filled(self, text: str) -> str:
        return _PLACEHOLDER.sub(lambda match: self.ids.setdefault(match[0], str(uuid.uuid4())), text)

    async def send(self, call: Call, following: list[Call]) -> Answer:
        versions = await self.api.get("/")
        assert_like(versions.json(), self.samples["GET", "/"])
        assert versions.json()["versions"][0]["id"] == "v2.0"
        body = json.loads(self.filled(call.body)) if call.body else None
        answer = await self.api.request(call.method, self.filled(call.url), json_body=body)
        self.count += 1
        assert answer.status == call.status, (call, answer.body)
        if (call.method, call.url) == ("POST", "/v2.0/ports"):
            later = next(name for c in following for name in _PLACEHOLDER.findall(c.url) if "RAMDISK" in name)
            self.ids[later] = answer.json()["port"]["id"]
        sample = self.samples.get((call.method, shape(call.url)))
        if sample is not None:
            assert_like(answer.json(), sample, f"{call.method} {call.url}")
        if call.method == "PUT":
            self.check_put(body["port"] if body else {}, answer.json()["port"])
        if call.method in {"PUT", "DELETE"}:
            await self.store.write(site.converge)
        return answer

    def check_put(self, sent: dict[str, Any], port: dict[str, Any]) -> None:
        for name, value in sent.items():
            if name == "mac_address" and value is None:
                assert port["mac_address"].startswith("fa:16:3e:")
            else:
                assert port[name] == value, name
        if "binding:host_id" in sent:
            assert port["binding:vif_type"] == ("other" if sent["binding:host_id"] else "unbound")
        if port["binding:vif_type"] == "other":
            assert port["binding:vif_details"]["bound_drivers"] == {"0": "ironlane"}
        assert len(port["fixed_ips"]) == 1

    async def status(self, name: str) -> str:
        return str((await self.api.shown("ports", self.ids[name]))["status"])


@pytest.fixture
async def replay(networking: Networking, store: Store) -> Replay:
    ready = Replay(networking, store)
    await ready.prepare()
    return ready


def test_the_recording_is_read_whole() -> None:
    assert {name: len(calls) for name, calls in phases().items()} == {
        "SOLO 3 node validate": 4,
        "SOLO 4 provide (automated cleaning)": 14,
        "SOLO 5 vif attach (node available)": 8,
        "SOLO 6 deploy (active)": 21,
        "SOLO 7 vif attach (node active, 2nd VIF)": 8,
        "SOLO 8 vif detach (node active, 2nd VIF)": 4,
        "SOLO 9 rebuild": 21,
        "SOLO 10 rescue": 23,
        "SOLO 11 unrescue": 6,
        "SOLO 13 undeploy + automated cleaning": 25,
        "PORTGROUP 3 node validate": 4,
        "PORTGROUP 4 provide (automated cleaning)": 14,
        "PORTGROUP 5 vif attach (node available)": 8,
        "PORTGROUP 6 deploy (active)": 24,
        "PORTGROUP 13 undeploy + automated cleaning": 25,
    }
    assert len(samples()) == 9


async def test_every_recorded_call(replay: Replay) -> None:
    """The VIF is ACTIVE after each deployment and DOWN after each undeployment, and nothing is left in the end."""
    after = {
        "SOLO 5 vif attach (node available)": {"<VIF1>": "DOWN"},
        "SOLO 6 deploy (active)": {"<VIF1>": "ACTIVE"},
        "SOLO 7 vif attach (node active, 2nd VIF)": {"<VIF1>": "ACTIVE", "<VIF2>": "ACTIVE"},
        "SOLO 8 vif detach (node active, 2nd VIF)": {"<VIF1>": "ACTIVE", "<VIF2>": "DOWN"},
        "SOLO 9 rebuild": {"<VIF1>": "ACTIVE"},
        "SOLO 10 rescue": {"<VIF1>": "ACTIVE"},
        "SOLO 11 unrescue": {"<VIF1>": "ACTIVE"},
        "SOLO 13 undeploy + automated cleaning": {"<VIF1>": "DOWN"},
        "PORTGROUP 6 deploy (active)": {"<VIF3>": "ACTIVE"},
        "PORTGROUP 13 undeploy + automated cleaning": {"<VIF3>": "DOWN"},
    }
    for phase, calls in phases().items():
        for number, call in enumerate(calls):
            await replay.send(call, calls[number:])
        for name, status in after.get(phase, {}).items():
            assert await replay.status(name) == status, (phase, name)
    assert replay.count == 209
    rows = await site.dump(replay.store)
    assert rows["attachments"] == []
    assert rows["lag_claims"] == []
