"""A gNMI server (gNMI specification 0.10) for one virtual switch: Capabilities, Get and Set, no subscriptions."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import grpc
import grpc.aio
from lxml import etree

from ironlane.lab.frames import Lldp
from ironlane.lab.gnmi import tree
from ironlane.lab.netconf import datastore, lldp, openconfig
from ironlane.lab.netconf.configuration import Configuration, OnRunning
from ironlane.lab.netconf.datastore import RpcFault
from ironlane.lab.netconf.schema import MODULES, ROOT, WITH_STATE
from ironlane.protobuf import gnmi_ext_pb2 as ext
from ironlane.protobuf import gnmi_pb2 as pb

_VERSION = "0.10.0"
_MAX_MESSAGE = 64 * 1024 * 1024
_REMEMBERED = 64
_ROLLBACK = 600.0

_CODES: Mapping[str, grpc.StatusCode] = {
    "unknown-element": grpc.StatusCode.NOT_FOUND,
    "bad-element": grpc.StatusCode.INVALID_ARGUMENT,
    "invalid-value": grpc.StatusCode.INVALID_ARGUMENT,
    "missing-element": grpc.StatusCode.INVALID_ARGUMENT,
    "data-missing": grpc.StatusCode.FAILED_PRECONDITION,
    "operation-not-supported": grpc.StatusCode.UNIMPLEMENTED,
    "lock-denied": grpc.StatusCode.UNAVAILABLE,
    "in-use": grpc.StatusCode.UNAVAILABLE,
}
"""How a fault of the datastore is told (section 3.4.7)."""


class Refusal(Exception):
    """The status that a request is answered with."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass
class Faults:
    """What shall go wrong, by step: "capabilities", "get", "set"; and of a Set with the commit extension "commit",
    "confirm", "cancel". Change them at any time. A connection that breaks is told as gRPC tells it: UNAVAILABLE.
    """

    refuse: dict[str, grpc.StatusCode] = field(default_factory=dict)
    """Answered with the status."""
    hang: set[str] = field(default_factory=set)
    """Neither carried out nor answered."""
    drop_before: set[str] = field(default_factory=set)
    """The connection breaks before it is carried out."""
    drop_after: set[str] = field(default_factory=set)
    """The connection breaks when it has been carried out, before the answer."""


class Certificate(NamedTuple):
    """What the server shows over TLS, PEM."""

    key: bytes
    chain: bytes


class GnmiServer:
    """A virtual switch's gNMI server on 127.0.0.1. It may be stopped and started again; what runs is kept.

    `on_running(config)` gets the forwarding of all `ports` at the start and whenever the running configuration changes,
    also when an unconfirmed commit is undone. Without a `certificate` it speaks in plain text. `rpc_delay` and
    `commit_delay` (seconds) make it as slow as a real one. `commits` counts commits that changed what runs, `received`
    has the last requests to Set. What a target may lack: `confirmed_commit` (it then ignores the extension),
    `config_type` (it then answers only for all types at once), `models`, `encodings`. `target` is the only
    `prefix.target` that it answers to; None: to any. `absent` is told of a path under which there is nothing.
    `strict`: as SONiC, it refuses ports on VLANs that are not defined, and members of a LAG with VLANs of their own.
    `neighbours` tells what the ports hear by LLDP.
    """

    def __init__(
        self,
        ports: Sequence[str],
        on_running: OnRunning,
        *,
        port: int = 0,
        username: str = "admin",
        password: str = "admin",  # noqa: S107 - the lab's
        certificate: Certificate | None = None,
        rpc_delay: float = 0.0,
        commit_delay: float = 0.0,
        confirmed_commit: bool = True,
        config_type: bool = True,
        models: Sequence[str] = MODULES,
        encodings: Sequence[pb.Encoding] = (pb.JSON_IETF,),
        target: str | None = None,
        absent: grpc.StatusCode | None = None,
        strict: bool = True,
        neighbours: Callable[[], Mapping[str, Lldp]] = dict,
    ) -> None:
        self.port = port
        self.faults = Faults()
        self.rpc_delay = rpc_delay
        self.commit_delay = commit_delay
        self.confirmed_commit = confirmed_commit
        self.config_type = config_type
        self.models = tuple(models)
        self.encodings = tuple(encodings)
        self.target = target
        self.absent = absent
        self.strict = strict
        self.neighbours = neighbours
        self.configuration = Configuration(ports, on_running)
        self.received: deque[pb.SetRequest] = deque(maxlen=_REMEMBERED)
        self.requests = 0
        self._credentials = (username, password)
        self._certificate = certificate
        self._sessions = itertools.count(1)
        self._server: grpc.aio.Server | None = None

    @property
    def commits(self) -> int:
        return self.configuration.commits

    async def start(self) -> None:
        """Listen; `port` is then the port number, also for later starts."""
        self.configuration.start()
        server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", _MAX_MESSAGE),
                ("grpc.max_send_message_length", _MAX_MESSAGE),
            ]
        )
        server.add_generic_rpc_handlers((self._handlers(),))
        address = f"127.0.0.1:{self.port}"
        try:
            if self._certificate is None:
                self.port = server.add_insecure_port(address)
            else:
                credentials = grpc.ssl_server_credentials([self._certificate])
                self.port = server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise OSError(f"gNMI cannot listen at {address}: {error}") from error
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """As a switch that loses power: connections break, an unconfirmed commit is gone."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None
        self.configuration.stop()

    def _handlers(self) -> grpc.GenericRpcHandler:
        methods: dict[str, tuple[Any, Any, Any]] = {
            "Capabilities": (self._capabilities, pb.CapabilityRequest, pb.CapabilityResponse),
            "Get": (self._get, pb.GetRequest, pb.GetResponse),
            "Set": (self._set, pb.SetRequest, pb.SetResponse),
        }
        return grpc.method_handlers_generic_handler(
            "gnmi.gNMI",
            {
                name: grpc.unary_unary_rpc_method_handler(
                    self._guarded(handler),
                    request_deserializer=request.FromString,
                    response_serializer=response.SerializeToString,
                )
                for name, (handler, request, response) in methods.items()
            },
        )

    def _guarded(self, handler: Any) -> Any:
        """A handler behind the login, with the faults that are asked for."""

        async def handle(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            metadata = dict(context.invocation_metadata() or ())
            self.requests += 1
            step = _step(request)
            try:
                if (metadata.get("username"), metadata.get("password")) != self._credentials:
                    raise Refusal(grpc.StatusCode.UNAUTHENTICATED, "wrong username or password")
                await self._misbehave(step)
                answer = handler(request)
                if step in self.faults.drop_after:
                    raise Refusal(grpc.StatusCode.UNAVAILABLE, "Socket closed")
            except RpcFault as fault:
                code = _CODES.get(fault.tag, grpc.StatusCode.ABORTED)
                await context.abort(code, f"{fault.message} at {fault.path}" if fault.path else fault.message)
            except Refusal as refusal:
                await context.abort(refusal.code, refusal.message)
            return answer

        return handle

    async def _misbehave(self, step: str) -> None:
        if step in self.faults.hang:
            await asyncio.Event().wait()
        seconds = self.rpc_delay + (self.commit_delay if step in ("set", "commit") else 0.0)
        if seconds:
            await asyncio.sleep(seconds)
        if step in self.faults.drop_before:
            raise Refusal(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        if step in self.faults.refuse:
            raise Refusal(self.faults.refuse[step], f"{step} refused by the lab")

    # --- Capabilities and Get -----------------------------------------------------------------------------------------

    def _capabilities(self, request: pb.CapabilityRequest) -> pb.CapabilityResponse:
        del request  # it asks for nothing in particular
        answer = pb.CapabilityResponse(supported_encodings=self.encodings, gNMI_version=_VERSION)
        for uri in self.models:
            name, _, revision = uri.partition("module=")[2].partition("&revision=")
            answer.supported_models.add(name=name, organization="OpenConfig working group", version=revision)
        return answer

    def _get(self, request: pb.GetRequest) -> pb.GetResponse:
        self._check_target(request.prefix)
        if request.encoding not in self.encodings:
            raise Refusal(grpc.StatusCode.UNIMPLEMENTED, f"encoding {request.encoding} is not supported")
        if request.type != pb.GetRequest.ALL and (request.type != pb.GetRequest.CONFIG or not self.config_type):
            raise Refusal(grpc.StatusCode.UNIMPLEMENTED, "no selection by type of data")
        answer = pb.GetResponse()
        schema, data = ROOT, self.configuration.read("running")
        if request.type != pb.GetRequest.CONFIG:
            schema, data = WITH_STATE, self._with_state()
        for path in request.path:
            try:
                steps = tree.resolve(request.prefix, path, schema)
            except RpcFault as fault:
                raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, fault.message) from None
            found = tree.find(data, steps)
            if not found and self.absent is not None:
                raise Refusal(self.absent, f"nothing at {'/'.join(elem.name for elem in path.elem)}")
            notification = answer.notification.add(timestamp=time.time_ns())
            if request.prefix.target:
                notification.prefix.target = request.prefix.target
            for element in found:
                node = steps[-1].node if steps else schema
                value = json.dumps(tree.to_json(element, node), separators=(",", ":")).encode()
                update = notification.update.add(path=tree.path_of(element, steps))
                update.val.json_ietf_val = value
        return answer

    def _with_state(self) -> etree._Element:
        root = etree.Element("data")
        root.extend(datastore.select(self.configuration.read("running"), None))
        root.append(lldp.state(self.neighbours()))
        return root

    def _check_target(self, prefix: pb.Path) -> None:
        if self.target is not None and prefix.target != self.target:
            raise Refusal(grpc.StatusCode.UNIMPLEMENTED, f"no target {prefix.target!r}; there is {self.target}")

    # --- Set ----------------------------------------------------------------------------------------------------------

    def _set(self, request: pb.SetRequest) -> pb.SetResponse:
        self._check_target(request.prefix)
        self.received.append(request)
        commit = _commit_of(request) if self.confirmed_commit else None
        session = next(self._sessions)
        if commit is not None and not commit.id:
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, "a commit needs an id")
        if commit is not None and not commit.HasField("commit"):
            self._go_on(commit, request, session)
        else:
            self._change(request, session, commit)
        answer = pb.SetResponse(prefix=request.prefix, timestamp=time.time_ns())
        for path in request.delete:
            answer.response.add(path=path, op=pb.UpdateResult.DELETE)
        for operation, updates in (
            (pb.UpdateResult.REPLACE, request.replace),
            (pb.UpdateResult.UNION_REPLACE, request.union_replace),
            (pb.UpdateResult.UPDATE, request.update),
        ):
            for update in updates:
                answer.response.add(path=update.path, op=operation)
        return answer

    def _go_on(self, commit: ext.Commit, request: pb.SetRequest, session: int) -> None:
        """Confirm, cancel or prolong the commit that waits."""
        if self.configuration.waiting is None:
            raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, "no commit waits to be confirmed")
        if self.configuration.waiting != commit.id:
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, f"the commit that waits is not {commit.id!r}")
        if _has_operations(request):
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, "a commit cannot be amended")
        action = commit.WhichOneof("action")
        if action == "confirm":
            self.configuration.commit(session, commit.id)
        elif action == "cancel":
            self.configuration.cancel_commit(session, commit.id)
        elif action == "set_rollback_duration":
            seconds = commit.set_rollback_duration.rollback_duration.ToTimedelta().total_seconds()
            if seconds <= 0:
                raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, "a duration is more than 0 seconds")
            self.configuration.commit_confirmed(session, seconds, commit.id, commit.id)
        else:
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, "the commit extension has no action")

    def _change(self, request: pb.SetRequest, session: int, commit: ext.Commit | None) -> None:
        """All of the request or nothing: on the candidate, which comes into force at the end or is discarded."""
        if self.configuration.waiting is not None:
            raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, "a commit waits to be confirmed")
        if not _has_operations(request) and commit is None:
            return
        self.configuration.lock("candidate", session)
        try:
            self.configuration.edit_with(session, lambda candidate: self._edit(candidate, request))
            if commit is None:
                self.configuration.commit(session)
            else:
                asked = commit.commit.rollback_duration.ToTimedelta().total_seconds()
                self.configuration.commit_confirmed(session, asked or _ROLLBACK, commit.id)
        finally:
            self.configuration.end_session(session)

    def _edit(self, candidate: etree._Element, request: pb.SetRequest) -> None:
        """Deleted, replaced, updated, in this order (section 3.4)."""
        for path in request.delete:
            tree.delete(candidate, tree.resolve(request.prefix, path))
        if request.union_replace:
            tree.delete(candidate, ())
        for update in [*request.replace, *request.union_replace]:
            tree.replace(candidate, tree.resolve(request.prefix, update.path), update.val)
        updates = [(tree.resolve(request.prefix, update.path), update.val) for update in request.update]
        datastore.edit(candidate, tree.config(updates))
        if self.strict:
            openconfig.check_strictly(candidate)


def _has_operations(request: pb.SetRequest) -> bool:
    return bool(request.delete or request.replace or request.update or request.union_replace)


def _commit_of(request: pb.SetRequest) -> ext.Commit | None:
    return next((extension.commit for extension in request.extension if extension.HasField("commit")), None)


def _step(request: Any) -> str:
    """The name of a request in `Faults`."""
    if isinstance(request, pb.SetRequest):
        commit = _commit_of(request)
        return (commit.WhichOneof("action") if commit is not None else None) or "set"
    return "get" if isinstance(request, pb.GetRequest) else "capabilities"
