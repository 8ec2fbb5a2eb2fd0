"""Whatever a client sends, the fault is never ours: no 500, and every error in Ironic's shape."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ironlane.api.baremetal.routes import ROUTES
from tests.api.baremetal.conftest import Baremetal, fault

WORDS = st.sampled_from(
    ["n1", "name", "driver", "fake-hardware", "uuid", "extra", "address", "52:54:00:00:00:01", "target", "active"]
) | st.sampled_from(
    ["-1", "properties", "priority", "5eba08c7-c901-4bee-9522-57d35501f1cc", "switch_id", "port_id", "******", "true"]
)
TEXT = WORDS | st.text(max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
NAMES = sorted({"target", "id", "boot_device", "traits", "callback_url", "addresses", "node_uuid", "driver", "address"})
OBJECTS = st.dictionaries(st.sampled_from(NAMES) | WORDS, JSON, max_size=5)
PATCHES = st.lists(
    st.fixed_dictionaries(
        {
            "op": st.sampled_from(["add", "remove", "replace", "test", "x"]),
            "path": st.sampled_from(["/extra", "/name", "/driver_info/a", "/properties/priority", "/mode", "/address"])
            | TEXT.map("/extra/{}".format)
            | TEXT,
        },
        optional={"value": JSON},
    ),
    max_size=3,
)


REQUESTS = st.fixed_dictionaries(
    {
        "route": st.sampled_from(ROUTES),
        "thing": st.sampled_from(["n1", "eth0", "bond0", "c1", "ipmi"]) | TEXT,
        "part": st.sampled_from(["CUSTOM_X", "5eba08c7-c901-4bee-9522-57d35501f1cc"]) | TEXT,
        "query": st.dictionaries(st.sampled_from(["limit", "marker", "fields", "sort_key", "detail"]) | TEXT, TEXT),
        "body": st.none() | JSON | OBJECTS | PATCHES,
        "version": st.sampled_from(["1.1", "1.31", "1.109", "latest", "1.110", "x"]),
    }
)


@given(sent=REQUESTS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_request_makes_us_fail(loop_api: tuple[asyncio.AbstractEventLoop, Baremetal], sent: dict[str, Any]) -> None:
    loop, api = loop_api
    path = sent["route"].path
    for name in ("node", "port", "portgroup", "hostname", "driver"):
        path = path.replace(f"{{{name}}}", quote(sent["thing"], safe=""))
    for name in ("vif", "trait"):
        path = path.replace(f"{{{name}}}", quote(sent["part"], safe=""))
    url = path + "?" + "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in sent["query"].items())
    headers = {"X-OpenStack-Ironic-API-Version": sent["version"]}
    asked = api.request(sent["route"].method, url, json_body=sent["body"], headers=headers)
    answer = loop.run_until_complete(asked)
    assert answer.status < 500, sent
    if answer.status >= 400:
        assert fault(answer)
