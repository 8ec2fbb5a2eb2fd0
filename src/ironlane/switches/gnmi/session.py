"""A gNMI client session (gNMI specification 0.10) on grpc.aio: one channel, three RPCs, a deadline for each.

The session knows the protocol and no data model. It keeps its channel until it is closed or fails; after a failure
(`is_open` False) the owner opens a new one.

What goes wrong is said in Ironlane's terms: `Temporary` for a switch that cannot be reached, is busy or answers too
late, `Permanent` for what it refuses and for a login or certificate that is not accepted. Passwords appear in neither.

Options of `Access.options` that concern the session:

======================  ===============================================================================================
`tls`                   default true; false sends everything in plain text, the password too, and is accepted for
                        addresses of this machine only (a lab switch, a tunnel's end)
`tls_ca`                PEM file of the certificates to trust: an authority's, or the switch's own if it signed itself;
                        default: the system's. There is no way to accept just any certificate
`tls_server_name`       the name in the switch's certificate where it is not the address
`tls_certificate`,      PEM files, a certificate of our own and its key, for switches that ask for one
`tls_key`
`max_message`           the longest answer accepted from the switch, in bytes (default 16 MiB)
======================  ===============================================================================================
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple, Self

import grpc
import grpc.aio

from ironlane.model.errors import Invalid, Permanent, Temporary
from ironlane.protobuf import gnmi_pb2 as pb
from ironlane.switches.base import Access

PORT = 9339
"""gNMI's port (IANA: gnmi-gnoi)."""

OPTIONS = frozenset({"tls", "tls_ca", "tls_server_name", "tls_certificate", "tls_key", "max_message"})

_MAX_MESSAGE = 16 * 1024 * 1024
_PASSES = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)
"""Statuses that may pass by themselves."""
_LOST = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED})
_DISTRUST = ("CERTIFICATE_VERIFY_FAILED", "is not in peer certificate", "Hostname Verification Check failed")


class Status(NamedTuple):
    """How an RPC ended that did not end well."""

    rpc: str
    code: grpc.StatusCode
    details: str


class Failed(Exception):
    """An RPC did not end well. Inside this package only: `Session.refusal` says it in Ironlane's terms."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.details)
        self.status = status


@dataclass(frozen=True, slots=True)
class Security:
    """The session's options, checked."""

    tls: bool = True
    tls_ca: str = ""
    tls_server_name: str = ""
    tls_certificate: str = ""
    tls_key: str = ""
    max_message: int = _MAX_MESSAGE

    @classmethod
    def from_access(cls, access: Access) -> Self:
        """Raises `Invalid` for an option of the wrong type, or plain text to another machine."""
        defaults = cls()
        options = {name: value for name, value in access.options.items() if name in OPTIONS}
        for name, value in options.items():
            expected = type(getattr(defaults, name))
            if type(value) is not expected:
                raise Invalid(f"{value!r} is not of type {expected.__name__}", field=f"options.{name}")
        security = cls(**options)
        if not security.tls and not _is_here(access.address):
            raise Invalid(f"plain text is for this machine only, not for {access.address}", field="options.tls")
        if bool(security.tls_certificate) != bool(security.tls_key):
            raise Invalid("tls_certificate and tls_key go together", field="options.tls_key")
        return security

    def credentials(self) -> grpc.ChannelCredentials:
        """Raises OSError when a file cannot be read."""
        authority = self.tls_ca or ssl.get_default_verify_paths().cafile
        return grpc.ssl_channel_credentials(
            root_certificates=Path(authority).read_bytes() if authority else None,
            private_key=Path(self.tls_key).read_bytes() if self.tls_key else None,
            certificate_chain=Path(self.tls_certificate).read_bytes() if self.tls_certificate else None,
        )


class GnmiSession:
    """One gNMI session, opened with `open`. `capabilities` is what the switch said that it can do."""

    def __init__(self, access: Access, channel: grpc.aio.Channel) -> None:
        self.capabilities = pb.CapabilityResponse()
        self._who = f"switch {access.switch}"
        self._timeout = access.timeout
        self._channel = channel
        self._metadata = _metadata(access)
        self._usable = True

    @classmethod
    async def open(cls, access: Access) -> GnmiSession:
        """Connect and ask for capabilities.

        Raises:
            Temporary: the switch cannot be reached, or does not answer in time.
            Permanent: certificate or login are not accepted, or what answers does not speak gNMI.
        """
        metadata_problem = next(
            (n for n, text in _metadata(access) if not text.isascii() or not text.isprintable()), ""
        )
        if metadata_problem:
            raise Permanent(f"switch {access.switch}: its {metadata_problem} is not plain ASCII, as gRPC needs it")
        session = cls(access, _channel(access, Security.from_access(access)))
        try:
            session.capabilities = await session._call("Capabilities", pb.CapabilityRequest(), pb.CapabilityResponse)
        except Failed as failed:
            await session.close()
            raise session.refusal(failed.status) from None
        except BaseException:
            await session.close()
            raise
        return session

    @property
    def is_open(self) -> bool:
        """No failure so far."""
        return self._usable

    def supports(self, model: str) -> bool:
        """The switch has the YANG module."""
        return any(data.name.rpartition(":")[2] == model for data in self.capabilities.supported_models)

    async def get(self, request: pb.GetRequest) -> pb.GetResponse:
        """Raises `Failed`."""
        answer: pb.GetResponse = await self._call("Get", request, pb.GetResponse)
        return answer

    async def set(self, request: pb.SetRequest) -> pb.SetResponse:
        """Raises `Failed`. When the connection is lost meanwhile, the request may have been carried out."""
        answer: pb.SetResponse = await self._call("Set", request, pb.SetResponse)
        return answer

    def refusal(self, status: Status) -> Temporary | Permanent:
        """The exception for an RPC that failed, with the switch's words.

        A Set that ends in ABORTED was refused: that is what a target answers when one of the operations cannot be
        carried out (gNMI specification section 3.4.7).
        """
        words = " ".join(status.details.split()) or "no reason given"
        text = f"{self._who}: {status.rpc}: {words} ({status.code.name})"
        if status.code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return Temporary(f"{self._who}: {status.rpc}: no answer within {self._timeout:g} s")
        if status.code is grpc.StatusCode.UNAUTHENTICATED:
            return Permanent(f"{text}; correct the username or the secret")
        if status.code is grpc.StatusCode.UNAVAILABLE and any(sign in words for sign in _DISTRUST):
            return Permanent(f"{text}; see options tls_ca and tls_server_name")
        if status.code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in words:
            return Permanent(f"{text}; see option max_message")
        refused = status.code is grpc.StatusCode.ABORTED and status.rpc == "Set"
        return Temporary(text) if status.code in _PASSES and not refused else Permanent(text)

    async def close(self) -> None:
        """End the session at once: what is under way is cancelled."""
        self._usable = False
        await self._channel.close(None)

    async def _call(self, rpc: str, request: Any, answer: Any) -> Any:
        method = self._channel.unary_unary(
            f"/gnmi.gNMI/{rpc}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        try:
            return await method(request, timeout=self._timeout, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() in _LOST:
                self._usable = False
            raise Failed(Status(rpc, error.code(), error.details() or "")) from None
        except asyncio.CancelledError:
            raise
        except grpc.aio.UsageError as error:  # the channel was closed under our hands
            self._usable = False
            raise Failed(Status(rpc, grpc.StatusCode.UNAVAILABLE, str(error))) from None


def _channel(access: Access, security: Security) -> grpc.aio.Channel:
    options: list[tuple[str, Any]] = [
        ("grpc.enable_http_proxy", 0),
        ("grpc.enable_retries", 0),  # the fabric loop retries
        ("grpc.use_local_subchannel_pool", 1),  # a new channel is a new connection, without the old one's back-off
        ("grpc.max_receive_message_length", security.max_message),
        ("grpc.max_send_message_length", -1),
    ]
    target = _target(access)
    if not security.tls:
        return grpc.aio.insecure_channel(target, options=options)
    if security.tls_server_name:
        options.append(("grpc.ssl_target_name_override", security.tls_server_name))
    try:
        credentials = security.credentials()
    except OSError as error:
        raise Permanent(f"switch {access.switch}: TLS files cannot be used: {error}") from error
    return grpc.aio.secure_channel(target, credentials, options=options)


def _target(access: Access) -> str:
    if access.address.startswith("/"):
        return f"unix:{access.address}"
    host = f"[{access.address}]" if ":" in access.address else access.address
    return f"{host}:{access.port or PORT}"


def _is_here(address: str) -> bool:
    try:
        return address == "localhost" or address.startswith("/") or ip_address(address).is_loopback
    except ValueError:
        return False


def _metadata(access: Access) -> tuple[tuple[str, str], ...]:
    """The login, which gNMI has with every request (section 3.1). Without a username there is none: certificates."""
    return (("username", access.username), ("password", access.secret)) if access.username else ()


def session_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The driver's other options, without the session's."""
    return {name: value for name, value in options.items() if name not in OPTIONS}
