"""What clients hear when the fault is ours: 503 and 500 in Neutron's shape, and nothing of the inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from ironlane.api.networking import app
from ironlane.model.errors import Forbidden, Permanent, Temporary
from ironlane.store.database import Backend, Store, Tx
from tests.api.networking.conftest import Networking


class Broken(Backend):
    """A database that answers every transaction with one error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def run(self, _transaction: Callable[[Tx], Any], **_options: Any) -> Any:  # type: ignore[override]
        raise self.error


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (Temporary("the database does not answer: SELECT secret"), 503, "ServiceUnavailable"),
        (Permanent("secret"), 500, "InternalServerError"),
        (RuntimeError("secret"), 500, "InternalServerError"),
    ],
)
async def test_our_fault(error: Exception, status: int, kind: str) -> None:
    api = Networking(app.create(Store(Broken(error))))
    with capture_logs() as lines:
        answer = await api.get("/v2.0/ports")
    assert (answer.status, answer.json()["NeutronError"]["type"]) == (status, kind)
    assert lines[0]["exc_info"]
    assert b"secret" not in answer.body
    assert ("retry-after" in answer.headers) is (status == 503)


async def test_forbidden() -> None:
    answer = await Networking(app.create(Store(Broken(Forbidden("no"))))).get("/v2.0/ports")
    assert (answer.status, answer.json()["NeutronError"]["type"]) == (403, "PolicyNotAuthorized")
