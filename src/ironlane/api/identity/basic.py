"""`http_basic`: a name and a password with every request (RFC 7617), checked against a password file."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import bcrypt
import structlog
from starlette.types import Scope

from ironlane.api.identity.base import header
from ironlane.api.identity.htpasswd import PasswordFile, User
from ironlane.api.identity.recent import Found, Recent
from ironlane.model.caller import Caller
from ironlane.model.errors import Busy, Unauthorized

log = structlog.get_logger(__name__)

KEPT_FOR = 300.0
"""Seconds that a checked password is not checked again; a change of the file ends it at once."""

WAITING = 64
"""Passwords in hand at a time, checked or waiting for it: a few seconds' work. Whoever brings another is told to come
again, instead of having everybody wait behind it."""

_KEPT = 10_000
_PASSWORD_MAX = 72
"""Bytes of a password that bcrypt looks at; htpasswd ignores the rest as well."""

_BUSY = "Too many passwords are being checked; try again."
_REFUSED = "The request you have made requires authentication: the name or the password is missing or wrong."


class BasicAuthentication:
    """Checks take a tenth of a second of CPU time on purpose, so they run on threads of their own, each once.

    However many wrong passwords come: who was let in before, with the same password, is let in.

    What is kept between requests is no password and no hash of one that could be searched for: a keyed digest, with a
    key that is made with the process.
    """

    challenge = 'Basic realm="Ironlane"'

    def __init__(self, file: PasswordFile, *, threads: int = 2, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._key = secrets.token_bytes(32)
        self._clock = clock
        self._known: Recent[Caller | None] = Recent(_KEPT, clock)
        self._right: dict[str, bytes] = {}
        """Digests by name: what each user was let in with last, since the file was read."""
        self._threads = ThreadPoolExecutor(threads, "ironlane-bcrypt")
        self._waiting = 0
        """Passwords in hand."""
        self._told = False
        """The log has that there are too many, until none waits any more."""

    async def authenticate(self, scope: Scope) -> Caller:
        """Raises: Unauthorized; Temporary, when the password file cannot be read; Busy, when too many wait."""
        name, password = _credentials(header(scope, "authorization"))
        users, fresh = self._file.users()
        if fresh:
            self._known.forget()
            self._right.clear()
        key = hashlib.blake2b(name.encode() + b"\0" + password, key=self._key, digest_size=32).digest()
        caller = await self._known.get(
            key, lambda: self._check(users.get(name), password, users, first=self._right.get(name) != key)
        )
        if caller is None:
            raise Unauthorized(_REFUSED)
        self._right[name] = key
        return caller

    async def _check(
        self, user: User | None, password: bytes, users: Mapping[str, User], *, first: bool
    ) -> Found[Caller | None]:
        if first and self._waiting >= WAITING:
            if not self._told:
                self._told = True
                log.warning("more passwords than can be checked: some clients are told to come again", waiting=WAITING)
            raise Busy(_BUSY)
        # Whoever guesses names must not learn from the time an answer takes which of them there are.
        hashed = _nobodys(users) if user is None else user.hash
        self._waiting += 1
        try:
            right = await asyncio.get_running_loop().run_in_executor(self._threads, _matches, password, hashed)
        finally:
            self._waiting -= 1
            self._told = self._told and self._waiting > 0
        return Found(user.caller if user is not None and right else None, self._clock() + KEPT_FOR)

    async def close(self) -> None:
        await self._known.close()
        self._threads.shutdown(wait=False, cancel_futures=True)


def _nobodys(users: Mapping[str, User]) -> bytes:
    """A hash that no password has, and that takes as long to check as the first user's."""
    like = next(iter(users.values())).hash[:7] if users else b"$2b$10$"
    return like + b"." * 53


def _matches(password: bytes, hashed: bytes) -> bool:
    """Whether a password has this hash; compared in constant time by the library."""
    try:
        return bcrypt.checkpw(password[:_PASSWORD_MAX], hashed)
    except ValueError:  # NUL in the password
        return False


def _credentials(value: str) -> tuple[str, bytes]:
    """Name and password of an `Authorization` header.

    Raises:
        Unauthorized: there are none.
    """
    scheme, _, encoded = value.partition(" ")
    if scheme.lower() != "basic":
        raise Unauthorized(_REFUSED)
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        if not colon:
            raise Unauthorized(_REFUSED)
        return name.decode(), password
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise Unauthorized(_REFUSED) from None
