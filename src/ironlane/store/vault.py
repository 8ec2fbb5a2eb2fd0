"""Secrets at rest: those in `driver_info` and its like are encrypted in the rows, and opened at the last moment.

Rows hold `{"$sealed": <Fernet token>}` in the place of a secret's value; everything above the store handles it as an
opaque `Sealed`, which shows nothing. Only the conductor opens it, right before a BMC or an agent is to be told.

Source: https://github.com/fernet/spec (AES-128-CBC, HMAC-SHA256).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from ironlane.model.errors import Permanent
from ironlane.model.secrets import Sealed, is_secret

_KEY = "$sealed"


class Vault:
    """Seals with the first of `keys`, opens with any: to change the key, put a new one before the old.

    Raises:
        Permanent: there is none, or one is no Fernet key (32 bytes, URL-safe base64).
    """

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            fernets = [Fernet(key) for key in keys]
        except ValueError:  # not from it: its traceback would show the key
            fernets = []
        if not fernets:
            raise Permanent(
                "the encryption keys are not usable: each has to be 32 random bytes in URL-safe base64; make one with"
                " `openssl rand -base64 32 | tr +/ -_`"
            )
        self._first = fernets[0]
        self._any = MultiFernet(fernets)

    @classmethod
    def for_this_process(cls) -> Vault:
        """With a key that nobody keeps: what it seals cannot be read again after a restart."""
        return cls([new_key()])

    def seal(self, value: Any) -> Sealed:
        return Sealed(self._first.encrypt(json.dumps(value).encode()).decode())

    def open(self, sealed: Sealed) -> Any:
        """The secret.

        Raises:
            Permanent: none of the keys is the one that it was sealed with.
        """
        try:
            return json.loads(self._any.decrypt(sealed.token))
        except InvalidToken:
            message = "a stored secret cannot be read: none of the encryption keys is the one that it was written with"
        raise Permanent(f"{message}; add that key to the list, or set the secret anew")

    def renewed_row(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Stored JSON with all secrets sealed with the first key; equal to it if they are already.

        Raises:
            Permanent: as `open`.
        """
        renewed = _each(from_row(values), lambda _key, v: self._renewed(v) if isinstance(v, Sealed) else v)
        return self.to_row(renewed)

    def _renewed(self, sealed: Sealed) -> Sealed:
        try:
            self._first.decrypt(sealed.token)
        except InvalidToken:
            return self.seal(self.open(sealed))
        return sealed

    def opened(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """A copy with all secrets readable, at any depth.

        Raises:
            Permanent: as `open`.
        """
        return _each(values, lambda _key, value: self.open(value) if isinstance(value, Sealed) else value)

    def to_row(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON that is stored: secrets sealed, those that are already as they are."""

        def stored(key: str, value: Any) -> Any:
            if isinstance(value, Sealed):
                return {_KEY: value.token}
            return {_KEY: self.seal(value).token} if is_secret(key) and value not in (None, "") else value

        return _each(values, stored)


def from_row(values: Mapping[str, Any]) -> dict[str, Any]:
    """Stored JSON, with `Sealed` in the place of secrets; those of a release that did not seal them as they were."""

    def loaded(key: str, value: Any) -> Any:
        sealed = is_secret(key) and isinstance(value, Mapping) and value.keys() == {_KEY}
        return Sealed(value[_KEY]) if sealed else value

    return _each(values, loaded)


def new_key() -> str:
    """A new encryption key."""
    return Fernet.generate_key().decode()


def _each(values: Mapping[str, Any], change: Callable[[str, Any], Any]) -> dict[str, Any]:
    """A copy in which `change` was asked about every key, at any depth; what it returns anew is not gone into."""
    return {key: _changed(key, value, change) for key, value in values.items()}


def _changed(key: str, value: Any, change: Callable[[str, Any], Any]) -> Any:
    after = change(key, value)
    if after is not value:
        return after
    if isinstance(value, Mapping):
        return _each(value, change)
    if isinstance(value, list | tuple):
        return [_each(item, change) if isinstance(item, Mapping) else item for item in value]
    return value
