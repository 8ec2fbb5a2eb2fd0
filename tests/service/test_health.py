"""`/healthz`: what everybody is told, and what only an administrator is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ironlane.service import Service
from ironlane.settings import Settings
from tests.api.asgi import Client
from tests.api.identity.passwords import basic, hashed

STRANGERS = [{"x-auth-token": ""}, basic("root", "wrong"), basic("alice", "for alice"), basic("auditor", "for auditor")]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "htpasswd").write_text(
        f"root:{hashed('for root')}\nalice:{hashed('for alice')}:red:member\nauditor:{hashed('for auditor')}::reader\n"
    )
    return Settings(
        database_url=f"sqlite:///{tmp_path}/x.sqlite",
        hostname="conductor-7",
        auth_strategy="http_basic",
        htpasswd_file=tmp_path / "htpasswd",
    )


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[Service]:
    made = Service(settings)
    yield made
    await made.stop()


async def test_only_an_administrator_learns_which_host_it_is(service: Service) -> None:
    await service.start()
    client = Client(service.app)
    with capture_logs() as logs:
        for headers in STRANGERS:
            answer = await client.get("/healthz", headers=headers)
            assert (answer.status, answer.json()) == (200, {"status": "ok"})
    assert [entry["event"] for entry in logs] == ["health was asked for with credentials that did not count"]
    answer = await client.get("/healthz", headers=basic("root", "for root"))
    assert (answer.status, answer.json()) == (
        200,
        {"status": "ok", "conductor": "conductor-7", "epoch": 1, "switches": {}},
    )


async def test_what_fails_is_named_to_everybody_and_explained_to_an_administrator(service: Service) -> None:
    client = Client(service.app)  # of a service that was not started: neither schema nor lease
    for headers in STRANGERS:
        answer = await client.get("/healthz", headers=headers)
        assert (answer.status, answer.json()) == (503, {"status": "failing", "failing": ["database", "conductor"]})
    answer = await client.get("/healthz", headers=basic("root", "for root"))
    assert answer.status == 503
    database, conductor = answer.json()["reasons"]
    assert database.startswith("database: ")
    assert conductor.startswith("conductor: conductor conductor-7 holds no lease")


async def test_without_its_password_file_it_still_tells_how_it_is(service: Service, settings: Settings) -> None:
    await service.start()
    assert settings.htpasswd_file is not None
    settings.htpasswd_file.unlink()
    answer = await Client(service.app).get("/healthz", headers=basic("root", "for root"))
    assert (answer.status, answer.json()) == (200, {"status": "ok"})
