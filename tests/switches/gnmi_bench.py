"""A lab switch that speaks gNMI, what it forwards, and a driver for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import text_format

from ironlane.lab.forwarding import PortForwarding
from ironlane.lab.gnmi import GnmiServer
from ironlane.model.fabric import PortConfig, SwitchId
from ironlane.model.plan import Plan, diff
from ironlane.protobuf import gnmi_pb2 as pb
from ironlane.switches.base import Access
from ironlane.switches.gnmi import GnmiDriver

LEAF = SwitchId("leaf-1")
SECRET = "admin"
PORTS = [f"Ethernet{number}" for number in range(1, 6)]
SHUT = PortConfig(enabled=False)


def parsed(texts: tuple[str, ...]) -> list[pb.SetRequest]:
    return [text_format.Parse(text, pb.SetRequest()) for text in texts]


@dataclass
class Bench:
    """`server_options` are the lab server's, `options` the driver's."""

    options: Mapping[str, Any] = field(default_factory=lambda: {"tls": False})
    server_options: Mapping[str, Any] = field(default_factory=dict)
    forwarding: Mapping[str, PortForwarding] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.server = GnmiServer(PORTS, self.on_running, **self.server_options)

    def on_running(self, config: Mapping[str, PortForwarding]) -> None:
        self.forwarding = config

    def access(self, timeout: float = 10.0, secret: str = SECRET, **options: Any) -> Access:
        return Access(LEAF, "127.0.0.1", self.server.port, "admin", secret, {**self.options, **options}, timeout)

    async def start(self) -> Bench:
        await self.server.start()
        self.driver = GnmiDriver(self.access())
        return self

    async def stop(self) -> None:
        await self.driver.close()
        await self.server.stop()

    async def converge(self, desired: Mapping[str, PortConfig]) -> Plan:
        """Observe, diff, apply, and observe again; what is shown is what arrives."""
        plan = diff(LEAF, desired, await self.driver.observe(desired))
        self.server.received.clear()
        text = self.driver.render(plan)
        await self.driver.apply(plan)
        shown = [request.SerializeToString(deterministic=True) for request in parsed(text)]
        assert [request.SerializeToString(deterministic=True) for request in self.server.received] == shown
        assert await self.driver.observe(desired) == desired
        return plan
