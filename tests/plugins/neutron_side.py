"""What the ML2 driver's `Sync` needs of a Neutron, in memory: ports with a wish, a revision and a status.

It behaves as Neutron's database does under `records.py`: a status is changed only where the latest binding says so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from neutron_ironlane.wish import same


@dataclass
class Port:
    wish: dict[str, Any] | None
    revision: int = 1
    status: str = "DOWN"


@dataclass
class FakeNeutron:
    ports: dict[str, Port] = field(default_factory=dict)
    changed: list[tuple[str, str]] = field(default_factory=list)
    """Each change of a status, in order."""
    fails_for: str = ""
    """The port whose status cannot be changed."""
    before_settling: Callable[[], None] = lambda: None
    """Called between the question what is wished for and the change of a status, as another request might come."""
    after_reading: Callable[[], None] = lambda: None
    """Called once wishes were read, as another request might come."""
    _lock: Any = field(default_factory=threading.RLock)

    def bind(self, port_id: str, wish: dict[str, Any] | None) -> int:
        """A request of Neutron's API: another wish, another revision, DOWN."""
        with self._lock:
            port = self.ports.setdefault(port_id, Port(None, 0))
            port.wish, port.revision, port.status = wish, port.revision + 1, "DOWN"
            return port.revision

    def wishes(self, port_ids: Collection[str] | None = None) -> dict[str, dict[str, Any]]:
        with self._lock:
            found = {
                ident: port.wish | {"revision": port.revision}
                for ident, port in self.ports.items()
                if port.wish is not None and (port_ids is None or ident in port_ids)
            }
        self.after_reading()
        return found

    def statuses(self, port_ids: Collection[str]) -> dict[str, str]:
        return {ident: self.ports[ident].status for ident in port_ids if ident in self.ports}

    def revision(self, port_id: str) -> int | None:
        return self.ports[port_id].revision if port_id in self.ports else None

    def renew(self, port_id: str, revision: int) -> None:
        self.ports[port_id].revision = max(self.ports[port_id].revision, revision)

    def refuse(self, port_id: str, wish: dict[str, Any]) -> None:
        now = self.wishes([port_id]).get(port_id)
        if now is not None and same(now, wish):
            self._change(port_id, "ERROR")

    def follow_trunks(self) -> None:
        """There are none."""

    def subports(self, port_id: str) -> list[str]:  # noqa: ARG002
        return []

    def bound(self) -> set[str]:
        return set(self.ports)

    def settle(self, port_id: str, binding: dict[str, Any] | None, latest: bool) -> object | None:
        if port_id == self.fails_for:
            raise RuntimeError(f"port {port_id} is what somebody stumbles over")
        wish = self.wishes([port_id]).get(port_id)
        self.before_settling()
        with self._lock:
            asked = binding is not None and wish is not None and same(binding, wish)
            wanted = "ACTIVE" if asked and binding is not None and binding["status"] == "ACTIVE" else "DOWN"
            if port_id not in self.ports or self.ports[port_id].status == wanted:
                return None
            if self.ports[port_id].status == "ERROR" and wish is not None and not asked:
                return None
            if latest and wish == self.wishes([port_id]).get(port_id):
                self._change(port_id, wanted)
            return latest, binding and binding["change"], wish

    def _change(self, port_id: str, status: str) -> None:
        self.ports[port_id].status = status
        self.changed.append((port_id, status))
