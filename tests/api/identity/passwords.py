"""Passwords, as the file and the header have them."""

from __future__ import annotations

import base64

import bcrypt

COST = 4
"""The least that bcrypt takes, so that tests are quick."""


def hashed(password: str, cost: int = COST) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


def basic(name: str, password: str) -> dict[str, str]:
    """The header of a log-in."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}
