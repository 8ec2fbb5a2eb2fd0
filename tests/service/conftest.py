"""Fixtures of the tests that run the service in processes of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.service.process import Zygote


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    with Zygote.running() as zygote:
        yield zygote
