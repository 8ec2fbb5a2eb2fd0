"""A service as a client finds it: `ironlane serve` on a fresh database, and a clouds.yaml that leads to it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from ironlane.cli.client import Client
from tests.service.bench import until
from tests.service.process import START, free_port, serving

CLOUD = "ironlane"
TENANT_VLANS = (200, 999)

_ABSENT = ("compute", "identity", "image", "orchestration", "placement", "key_manager", "dns")
"""Services that a bare-metal network service has beside it at the most; clients are told not to look for them."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """`environment` is what a client's process needs to find the service, and nothing else of OpenStack's."""

    client: Client
    url: str
    environment: Mapping[str, str]


async def nothing(_client: Client) -> None:
    """It is as it should be."""


Preparation = Callable[[Client], Awaitable[None]]


@asynccontextmanager
async def cloud(
    folder: Path, prepare: Preparation, settings: Mapping[str, str], root: str = ""
) -> AsyncIterator[Cloud]:
    """A service that `prepare` has put into the state that a client's tests expect; `settings` are its environment.

    Without an identity service there is one place where clients look for versions: `root`, below the service's.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = ("--database", f"sqlite:///{folder}/ironlane.sqlite", "--port", str(port), "--log-level", "warning")
    log = folder / "serve.log"
    config = folder / "clouds.yaml"
    config.write_text(yaml.safe_dump(_clouds(url, root)))
    async with serving(*arguments, env=settings, log=log), Client(url) as client:

        async def healthy() -> bool:
            return bool(await client.get("/healthz"))

        await until(healthy, f"the service; its log: {log}", START)
        await prepare(client)
        yield Cloud(client, url, _environment(config))


def _clouds(url: str, root: str) -> object:
    here = {
        "auth_type": "none",
        "auth": {"endpoint": f"{url}{root}"},
        "network_endpoint_override": f"{url}/networking",
        "baremetal_endpoint_override": f"{url}/baremetal",
        **{f"has_{service}": False for service in _ABSENT},
    }
    return {"clouds": {CLOUD: here}}


def _environment(config: Path) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "OPENSTACKSDK_"))}
    return {**ours, "OS_CLIENT_CONFIG_FILE": str(config), "OS_CLOUD": CLOUD}
