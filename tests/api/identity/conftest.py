"""Fixtures of the identity tests."""

from __future__ import annotations

import base64
from pathlib import Path

import bcrypt
import pytest

COST = 4
"""The least that bcrypt takes, so that tests are quick."""


def hashed(password: str, prefix: bytes = b"2b") -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(COST, prefix)).decode()


def basic(name: str, password: str) -> dict[str, str]:
    """The header of a log-in."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


@pytest.fixture
def htpasswd(tmp_path: Path) -> Path:
    """root is an admin, as in Ironic; alice a member and rita a reader of project red."""
    path = tmp_path / "htpasswd"
    # The second as htpasswd makes it: $2y$ is the same algorithm under another name.
    path.write_text(
        "# who may come in\n\n"
        f"root:{hashed('for root')}\n"
        f"alice:{hashed('for alice').replace('$2b$', '$2y$')}:red:member\n"
        f"rita:{hashed('for rita')}:red:reader\n"
    )
    return path
