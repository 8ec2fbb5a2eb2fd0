"""Kea's configuration and rows, to the letter; what they bring about is in `test_dhcp`."""

from __future__ import annotations

from pathlib import Path

import pytest

from ironlane.boot.kea_config import KeaSettings, configuration, connection, host_rows, rendered, subnet_id, unserved
from ironlane.model.dhcp import Answers, Reservation
from ironlane.model.errors import Permanent
from tests.boot.test_dnsmasq_files import GOLDEN, RESERVATION, SUBNETS

ANSWERS = Answers(SUBNETS, {"port": RESERVATION})


def test_configuration() -> None:
    settings = KeaSettings(
        ("eth1",), Path("/run/ironlane/kea"), "postgresql://kea:s%2Fecret@db.example.org:5433/kea", domain="example.org"
    )
    assert rendered(configuration(settings, ANSWERS)) + "\n" == (GOLDEN / "kea-dhcp4.json").read_text()


def test_rows_have_what_has_no_conditions() -> None:
    (row,) = host_rows(ANSWERS).values()
    assert (row.identifier_type, row.identifier) == (3, b"\xff\x00\x01")
    assert row.classes == "p-8a5e0c3e"
    assert row.next_server == 0xC0000202
    assert row.boot_file is None, "67 has conditional forms only"
    assert [number for number, _ in row.options] == [66, 121, 150, 224]
    plain = Reservation("x", "02:00:00:00:00:05", RESERVATION.addresses[:1])
    (other,) = host_rows(Answers(SUBNETS, {"x": plain})).values()
    assert (other.identifier_type, other.identifier, other.classes) == (0, b"\2\0\0\0\0\5", "")
    assert other.digest != row.digest


def test_subnets_have_the_same_number_everywhere() -> None:
    assert subnet_id("four") == subnet_id("four") != subnet_id("bare")
    assert all(0 < subnet_id(str(n)) < 2**31 for n in range(1000))


def test_what_it_cannot_do_is_told() -> None:
    told = unserved(ANSWERS)
    assert "port 8a5e0c3e: Kea cannot keep option 3 back" in told
    assert any("IPv4 only" in reason for reason in told)


@pytest.mark.parametrize("url", ["mysql://x/y", "postgresql://host", "nonsense"])
def test_what_is_no_database(url: str) -> None:
    with pytest.raises(Permanent):
        connection(url)
