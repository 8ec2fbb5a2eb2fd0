"""SHA-512 crypt: a password as crypt(3) writes it, `$6$salt$hash`, which a Linux ramdisk takes as it is.

Source: U. Drepper, "Unix crypt using SHA-256 and SHA-512", version 0.4. Python's own `crypt` is gone from 3.13 on.
"""

from __future__ import annotations

import hashlib
import secrets

_ROUNDS = 5000
"""The default of the format, which is left out of the text."""
_SALT_LENGTH = 16
_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SIZE = hashlib.sha512().digest_size


def sha512_crypt(password: str, salt: str | None = None) -> str:
    """The password, hashed. `salt` is 16 characters of `./0-9A-Za-z` at the most; None: a new one."""
    if salt is None:
        salt = "".join(secrets.choice(_ALPHABET) for _ in range(_SALT_LENGTH))
    salt = salt[:_SALT_LENGTH]
    return f"$6${salt}${_encoded(_digest(password.encode(), salt.encode()))}"


def _digest(password: bytes, salt: bytes) -> bytes:
    alternate = hashlib.sha512(password + salt + password).digest()
    first = hashlib.sha512(password + salt + _repeated(alternate, len(password)))
    length = len(password)
    while length:
        first.update(alternate if length & 1 else password)
        length >>= 1
    digest = first.digest()
    pass_block = _repeated(hashlib.sha512(password * len(password)).digest(), len(password))
    salt_block = _repeated(hashlib.sha512(salt * (16 + digest[0])).digest(), len(salt))
    for index in range(_ROUNDS):
        turn = hashlib.sha512(pass_block if index & 1 else digest)
        if index % 3:
            turn.update(salt_block)
        if index % 7:
            turn.update(pass_block)
        turn.update(digest if index & 1 else pass_block)
        digest = turn.digest()
    return digest


def _repeated(block: bytes, length: int) -> bytes:
    return (block * (length // len(block) + 1))[:length]


def _encoded(digest: bytes) -> str:
    """Three bytes to four characters, least significant bits first, in the format's own order of the bytes."""
    text, group = "", (0, 21, 42)
    for _ in range(_SIZE // 3):
        text += _characters([digest[index] for index in group], 4)
        a, b, c = group
        group = (b + 1, c + 1, a + 1)
    return text + _characters([0, 0, digest[_SIZE - 1]], 2)


def _characters(block: list[int], count: int) -> str:
    value = int.from_bytes(bytes(block), "big")
    return "".join(_ALPHABET[value >> (6 * index) & 63] for index in range(count))
