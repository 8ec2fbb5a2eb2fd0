"""Fixtures of the tests that run the service in processes of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.service.process import Zygote


@pytest_asyncio.fixture
async def zygote() -> AsyncIterator[Zygote]:
    async with Zygote.running() as zygote:
        yield zygote
