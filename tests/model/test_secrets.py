"""What sounds like a secret is masked; what a client sends back masked leaves the stored value."""

from __future__ import annotations

from ironlane.model.secrets import MASK, masked, unmasked


def test_secrets_are_masked_and_nothing_else() -> None:
    info = {
        "ipmi_address": "192.0.2.1",
        "ipmi_password": "a",
        "redfish_password": "b",
        "ipmi_hex_kg_key": "c",
        "irmc_snmp_community": "d",
        "nested": {"auth_token": "e", "port": 1, "list": [{"secret": "f"}, 2]},
        "ipmi_port": 623,
        "snmp_password": None,
    }
    assert masked(info) == {
        "ipmi_address": "192.0.2.1",
        "ipmi_password": "******",
        "redfish_password": "******",
        "ipmi_hex_kg_key": "******",
        "irmc_snmp_community": "******",
        "nested": {"auth_token": "******", "port": 1, "list": [{"secret": "******"}, 2]},
        "ipmi_port": 623,
        "snmp_password": None,
    }
    assert info["ipmi_password"] == "a"


def test_a_masked_value_sent_back_keeps_what_is_stored() -> None:
    stored = {"ipmi_password": "a", "nested": {"auth_token": "b"}}
    assert unmasked({"ipmi_password": MASK, "nested": {"auth_token": MASK}, "port": 1}, stored) == {
        "ipmi_password": "a",
        "nested": {"auth_token": "b"},
        "port": 1,
    }
    assert unmasked({"ipmi_password": "new"}, stored) == {"ipmi_password": "new"}
    assert unmasked({"description": MASK}, {"description": "x"}) == {"description": MASK}


def test_names_of_key_files_are_no_secrets() -> None:
    assert masked({"ssh_key_path": "/etc/x", "ssh_key": "y"}) == {"ssh_key_path": "/etc/x", "ssh_key": MASK}
