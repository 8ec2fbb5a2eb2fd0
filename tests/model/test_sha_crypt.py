"""SHA-512 crypt, against the vectors of its specification and against another implementation of it."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from ironlane.model.sha_crypt import sha512_crypt

OPENSSL = shutil.which("openssl")


def test_the_specifications_vector() -> None:
    wanted = "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"
    assert sha512_crypt("Hello world!", "saltstring") == wanted


@pytest.mark.skipif(OPENSSL is None, reason="needs openssl")
@pytest.mark.parametrize("password", ["x", "geheim", "pa$$wörd" * 9, "a" * 64, "b" * 128])
@pytest.mark.parametrize("salt", ["a", "0123456789abcdef"])
def test_as_openssl_has_it(password: str, salt: str) -> None:
    command = [str(OPENSSL), "passwd", "-6", "-salt", salt, "-stdin"]
    told = subprocess.run(command, input=f"{password}\n".encode(), capture_output=True, check=True).stdout
    assert sha512_crypt(password, salt) == told.decode().strip()


def test_every_hash_has_a_salt_of_its_own() -> None:
    one, two = sha512_crypt("x"), sha512_crypt("x")
    assert one != two
    assert len(one.split("$")[2]) == 16
    assert sha512_crypt("x", one.split("$")[2]) == one
