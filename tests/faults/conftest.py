"""Fixtures of the fault test."""

from __future__ import annotations

from tests.service.conftest import zygote

__all__ = ["zygote"]
