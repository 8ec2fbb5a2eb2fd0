"""The Redfish driver against services that do what BMCs in the field do, scripted answer by answer."""

from __future__ import annotations

import asyncio
import base64
import datetime
import ipaddress
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ironlane.model.errors import Invalid, Permanent, Temporary
from ironlane.power.base import BootDevice, PowerState
from ironlane.power.redfish import RedfishPower
from ironlane.power.waiting import Patience

from .machines import PASSWORD, assert_no_secret

SYSTEM = "/redfish/v1/Systems/1"
BASIC = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()


class Script:
    """A Redfish service of one system; tests change `system` and add what is special to `answers`."""

    def __init__(self) -> None:
        self.system: dict[str, Any] = {
            "PowerState": "Off",
            "Boot": {"BootSourceOverrideEnabled": "Disabled", "BootSourceOverrideTarget": "None"},
            "Actions": {"#ComputerSystem.Reset": {"target": f"{SYSTEM}/Actions/ComputerSystem.Reset"}},
        }
        self.answers: dict[tuple[str, str], Callable[[web.Request, Any], web.Response]] = {}
        self.asked: list[tuple[str, str, Any]] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        self.asked.append((request.method, request.path, body))
        answer = self.answers.get((request.method, request.path))
        if answer is not None:
            return answer(request, body)
        if request.method == "GET" and request.path == SYSTEM:
            return web.json_response(self.system)
        if request.method == "PATCH" and request.path == SYSTEM:
            self.system["Boot"] |= body["Boot"]
            return web.Response(status=204)
        if request.path.endswith("/Actions/ComputerSystem.Reset"):
            on = body["ResetType"] in ("On", "ForceOn")
            self.system["PowerState"] = "On" if on else "Off"
            return web.Response(status=204)
        return web.Response(status=404)

    def said(self, method: str) -> list[Any]:
        return [body for asked, _, body in self.asked if asked == method]


async def serve(script: Script, context: ssl.SSLContext | None = None) -> web.AppRunner:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", script.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    script.url = f"{'https' if context else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    return runner


@pytest.fixture
async def script():
    script = Script()
    runner = await serve(script)
    yield script
    await runner.cleanup()


@pytest.fixture
async def power():
    power = RedfishPower(timeout=2, patience=Patience(interval=0.01, limit=0.1))
    yield power
    await power.close()


@pytest.fixture
def info(script: Script) -> dict[str, Any]:
    return {
        "redfish_address": script.url,
        "redfish_system_id": SYSTEM,
        "redfish_username": "admin",
        "redfish_password": PASSWORD,
        "redfish_auth_type": "basic",
    }


@pytest.mark.parametrize(
    ("reported", "state"),
    [
        ("On", PowerState.ON),
        ("Off", PowerState.OFF),
        ("PoweringOn", PowerState.OFF),
        ("PoweringOff", PowerState.ON),
        ("Paused", PowerState.ON),
        (None, PowerState.ERROR),
        ("Melted", PowerState.ERROR),
    ],
)
async def test_power_states(power, info, script, reported, state):
    script.system["PowerState"] = reported
    assert await power.get_power(info) is state


async def test_a_resource_without_power_state_is_temporary(power, info, script):
    del script.system["PowerState"]
    with pytest.raises(Temporary, match="does not report a power state"):
        await power.get_power(info)


@pytest.mark.parametrize(
    ("allowed", "state", "sent"),
    [
        (["ForceOn", "ForceOff"], PowerState.ON, "ForceOn"),
        (["On", "ForceOn"], PowerState.ON, "On"),
        (["On", "GracefulShutdown"], PowerState.OFF, "GracefulShutdown"),
        (None, PowerState.OFF, "ForceOff"),
    ],
)
async def test_the_reset_type_is_one_that_the_bmc_offers(power, info, script, *, allowed, state, sent):
    script.system["PowerState"] = "On" if state is PowerState.OFF else "Off"
    if allowed is not None:
        script.system["Actions"]["#ComputerSystem.Reset"]["ResetType@Redfish.AllowableValues"] = allowed
    await power.set_power(info, state)
    assert script.said("POST") == [{"ResetType": sent}]


async def test_no_reset_type_that_helps_is_permanent(power, info, script):
    script.system["Actions"]["#ComputerSystem.Reset"]["ResetType@Redfish.AllowableValues"] = ["PushPowerButton"]
    with pytest.raises(Permanent, match="no ResetType that leads to 'power on': it has PushPowerButton"):
        await power.set_power(info, PowerState.ON)


async def test_reset_types_from_the_action_info(power, info, script):
    action = script.system["Actions"]["#ComputerSystem.Reset"]
    action["@Redfish.ActionInfo"] = f"{SYSTEM}/ResetActionInfo"
    parameters = [{"Name": "Other"}, {"Name": "ResetType", "AllowableValues": ["ForceOn"]}]
    script.answers["GET", f"{SYSTEM}/ResetActionInfo"] = lambda *_: web.json_response({"Parameters": parameters})
    await power.set_power(info, PowerState.ON)
    assert script.said("POST") == [{"ResetType": "ForceOn"}]


async def test_a_server_on_its_way_is_waited_for(power, info, script):
    script.system["PowerState"] = "PoweringOn"
    asyncio.get_running_loop().call_later(0.03, script.system.update, {"PowerState": "On"})
    await power.set_power(info, PowerState.ON)
    assert script.said("POST") == []


async def test_an_action_target_with_a_host_stays_at_our_address(power, info, script):
    script.system["Actions"]["#ComputerSystem.Reset"]["target"] = (
        f"https://elsewhere.invalid{SYSTEM}/Actions/ComputerSystem.Reset"
    )
    await power.set_power(info, PowerState.ON)
    assert script.system["PowerState"] == "On"


async def test_a_mode_that_the_bmc_wants_to_hear_is_said(power, info, script):
    script.system["Boot"]["BootSourceOverrideMode"] = "UEFI"

    def picky(request: web.Request, body: Any) -> web.Response:
        return web.Response(status=204 if "BootSourceOverrideMode" in body["Boot"] else 400)

    script.answers["PATCH", SYSTEM] = picky
    await power.set_boot_device(info, BootDevice.PXE)
    assert script.said("PATCH")[-1]["Boot"]["BootSourceOverrideMode"] == "UEFI"


async def test_a_refused_boot_device_is_permanent(power, info, script):
    script.answers["PATCH", SYSTEM] = lambda *_: web.json_response({"error": {"message": "read only"}}, status=400)
    with pytest.raises(Permanent, match="400 \\(read only\\)"):
        await power.set_boot_device(info, BootDevice.PXE)


async def test_a_boot_device_that_is_not_offered_is_permanent(power, info, script):
    script.system["Boot"]["BootSourceOverrideTarget@Redfish.AllowableValues"] = ["None", "Cd"]
    with pytest.raises(Permanent, match="cannot boot from Pxe: it offers None, Cd"):
        await power.set_boot_device(info, BootDevice.PXE)


async def test_no_override_is_no_boot_device(power, info, script):
    assert await power.get_boot_device(info) is None
    script.system["Boot"] = {"BootSourceOverrideEnabled": "Once", "BootSourceOverrideTarget": "Cd"}
    assert await power.get_boot_device(info) is None


async def test_the_etag_is_sent_and_its_change_forgiven(power, info, script):
    script.system["@odata.etag"] = 'W/"7"'
    seen = []

    def guarded(request: web.Request, body: Any) -> web.Response:
        seen.append(request.headers.get("If-Match"))
        return web.Response(status=412 if seen[-1] else 204)

    script.answers["PATCH", SYSTEM] = guarded
    await power.set_boot_device(info, BootDevice.DISK, persistent=True)
    assert seen == ['W/"7"', None]


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (400, Permanent, "400"),
        (401, Permanent, "credentials"),
        (403, Permanent, "credentials"),
        (404, Permanent, "redfish_system_id"),
        (405, Permanent, "405"),
        (408, Temporary, "busy"),
        (409, Temporary, "busy"),
        (429, Temporary, "busy"),
        (500, Temporary, "busy"),
        (501, Permanent, "501"),
        (503, Temporary, "busy"),
        (302, Permanent, "points elsewhere"),
    ],
)
async def test_statuses(power, info, script, *, status, kind, text):
    message = {"error": {"@Message.ExtendedInfo": [{"Message": f"no {PASSWORD} today"}, 7]}}
    script.answers["GET", SYSTEM] = lambda *_: web.json_response(
        message, status=status, headers={"Location": "https://elsewhere.invalid/"}
    )
    with pytest.raises(kind, match=text) as caught:
        await power.get_power(info)
    assert_no_secret(caught.value, PASSWORD, BASIC)
    assert "no ****** today" in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [b"<html>Please wait</html>", b"[]", b'"On"', b"{", b"[" * 100_000],
    ids=["html", "list", "string", "cut", "deep"],
)
async def test_an_answer_that_is_not_redfish_is_temporary(power, info, script, answer):
    script.answers["GET", SYSTEM] = lambda *_: web.Response(body=answer)
    with pytest.raises(Temporary, match="not a JSON object"):
        await power.get_power(info)


async def test_an_answer_without_end_is_temporary(power, info, script):
    script.answers["GET", SYSTEM] = lambda *_: web.Response(body=b" " * (5 * 1024 * 1024))
    with pytest.raises(Temporary, match="more than 4194304 bytes"):
        await power.get_power(info)


async def test_no_http_at_all_is_temporary_and_shows_no_header(power, info):
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(Temporary, match="cannot be talked to") as caught:
        await power.get_power(info | {"redfish_address": f"http://127.0.0.1:{port}"})
    assert_no_secret(caught.value, PASSWORD, BASIC)
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    ("status", "code", "kind", "text"),
    [
        (400, "Base.1.8.SessionLimitExceeded", Temporary, "no room for another session"),
        (503, "Base.1.8.SessionLimitExceeded", Temporary, "no room for another session"),
        (400, "Base.1.8.GeneralError", Permanent, "credentials"),
        (405, "", Permanent, "405"),
    ],
)
async def test_a_session_that_is_refused(power, info, script, *, status, code, kind, text):
    script.answers["POST", "/redfish/v1/SessionService/Sessions"] = lambda *_: web.json_response(
        {"error": {"code": code}}, status=status
    )
    with pytest.raises(kind, match=text) as caught:
        await power.get_power(info | {"redfish_auth_type": "session"})
    assert_no_secret(caught.value)


# --- TLS


@pytest.fixture
async def secure(tmp_path: Path):
    """A script behind TLS, and the file of the CA (its own certificate)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bmc")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "bmc.pem"
    file.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    script = Script()
    runner = await serve(script, context)
    yield script, str(file)
    await runner.cleanup()


async def test_tls_is_verified_unless_told_otherwise(power, info, secure):
    script, authority = secure
    info = info | {"redfish_address": script.url}
    with pytest.raises(Permanent, match=r"certificate that is not trusted.*redfish_verify_ca") as caught:
        await power.get_power(info)
    assert_no_secret(caught.value, PASSWORD, BASIC)
    assert script.asked == [], "nothing was sent"
    for verify in (authority, False, "False"):
        assert await power.get_power(info | {"redfish_verify_ca": verify}) is PowerState.OFF
    with pytest.raises(Permanent, match="cannot be read on the conductor's host"):
        await power.get_power(info | {"redfish_verify_ca": "/nonexistent/ca.pem"})


# --- driver_info


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("redfish_address", "http://192.0.2.1"),
        ("redfish_address", "http://bmc.example"),
        ("redfish_address", "ftp://192.0.2.1"),
        ("redfish_address", f"https://admin:{PASSWORD}@192.0.2.1"),
        ("redfish_address", "https://192.0.2.1/redfish"),
        ("redfish_address", "https://192.0.2.1:99999"),
        ("redfish_address", "https://a b"),
        ("redfish_address", "https://[::1"),
        ("redfish_address", 7),
        ("redfish_system_id", "1"),
        ("redfish_system_id", "//elsewhere.invalid/redfish"),
        ("redfish_system_id", "/redfish/v1/Systems/1?x"),
        ("redfish_verify_ca", "perhaps"),
        ("redfish_verify_ca", 7),
        ("redfish_auth_type", "digest"),
        ("redfish_username", ["admin"]),
        ("redfish_password", "a\r\nX: y"),
    ],
)
def test_driver_info_that_cannot_work_is_named(info, key, value):
    with pytest.raises(Invalid) as caught:
        RedfishPower().validate(info | {key: value})
    assert caught.value.field == f"driver_info.{key}"
    assert_no_secret(caught.value)


@pytest.mark.parametrize(
    "more",
    [
        {"redfish_address": "192.0.2.1"},
        {"redfish_address": "bmc.example:8443/"},
        {"redfish_address": "https://[2001:db8::1]:8443"},
        {"redfish_address": "http://[::1]:8000"},
        {"redfish_address": "http://localhost:8000"},
        {"redfish_verify_ca": "/etc/ssl/ca.pem"},
        {"redfish_verify_ca": "no"},
        {"redfish_auth_type": "Session", "redfish_system_id": None},
    ],
)
def test_driver_info_that_can_work(info, more):
    RedfishPower().validate(info | more)


def test_plain_http_can_be_allowed_for_a_trusted_network(info):
    RedfishPower(allow_plain_http=True).validate(info | {"redfish_address": "http://192.0.2.1"})
