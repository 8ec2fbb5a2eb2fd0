"""Request bodies and query strings of the fabric API. Unknown keys are refused, and nothing is coerced."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, field_validator

from ironlane.api.plain_json import require_plain
from ironlane.model.errors import Invalid
from ironlane.model.fabric import VLAN_MAX, VLAN_MIN, AttachmentState, DriftPolicy, Side, SwitchId, Vlan
from ironlane.model.inventory import (
    NAME,
    SwitchKind,
    VlanRange,
    file_option_problem,
    is_port_name,
    is_secret_name,
    ranges_problem,
)
from ironlane.model.link import normal_mac, normal_switch_id
from ironlane.store.foreign_bindings import ForeignWish
from ironlane.store.foresight import Target
from ironlane.store.switches import SwitchSpec

_NAME_RULE = "must be 1 to 64 of A-Z a-z 0-9 _ . - and begin with a letter or digit"

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_MAX_PORTS = 4096
"""More ports than any switch has; a larger list is a mistake."""


def _name(text: str) -> str:
    if NAME.fullmatch(text) is None:
        raise ValueError(_NAME_RULE)
    return text


def require_uuid(text: str) -> str:
    """A UUID in its usual notation, in small letters.

    Raises:
        ValueError: it is none.
    """
    if _UUID.fullmatch(text) is None:
        raise ValueError("must be a UUID in small letters, like 6f1f9c4a-0f0e-4f57-9c1c-6c6f3c9d2f10")
    return text


def _port_name(text: str) -> str:
    if not is_port_name(text):
        raise ValueError("must be 1 to 64 printable characters without spaces at its ends")
    return text


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("has characters that cannot be printed")
    return text


def _secret(text: str) -> str:
    if text and not is_secret_name(text):
        raise ValueError("must be the name of a secret (A-Z a-z 0-9 _ . -), never the secret itself")
    return text


def _mac(text: str) -> str:
    return _or_value_error(lambda: normal_mac(text, where=""))


def _datapath_id(text: str) -> str:
    found = _or_value_error(lambda: normal_switch_id(text, where=""))
    if ":" in found:
        raise ValueError("must be 16 hex digits")
    return found


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    require_plain(value)
    return value


def _or_value_error(parse: Any) -> str:
    try:
        return str(parse())
    except Invalid as error:
        raise ValueError(error.message) from error


def _moment(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError("must be a time with its offset from UTC, such as 2026-11-22T15:00:00Z")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is out of range") from error


Name = Annotated[str, AfterValidator(_name)]
Uuid = Annotated[str, AfterValidator(require_uuid)]
PortName = Annotated[str, AfterValidator(_port_name)]
Text = Annotated[str, Field(max_length=255), AfterValidator(_printable)]
JsonObject = Annotated[dict[str, Any], AfterValidator(_plain)]
Moment = Annotated[datetime, BeforeValidator(_moment)]
"""A moment in ISO 8601 with its offset, such as `2026-11-22T15:00:00Z`."""
Limit = Annotated[int, Field(ge=1, le=10000)]
VlanId = Annotated[StrictInt, Field(ge=VLAN_MIN, le=VLAN_MAX)]


class Body(BaseModel):
    """Strict: a key we do not know or a number in quotes is a mistake worth telling."""

    model_config = ConfigDict(extra="forbid", strict=True)


class SwitchBody(Body):
    """What a switch is. Its name is in the URL."""

    kind: Annotated[SwitchKind, Field(strict=False)]
    address: Annotated[Text, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    username: Text = ""
    secret: Annotated[str, AfterValidator(_secret)] = ""
    mac: Annotated[str, AfterValidator(_mac)] | None = None
    datapath_id: Annotated[str, AfterValidator(_datapath_id)] | None = None
    physical_network: Name
    rack: Name | None = None
    mlag_peer: Name | None = None
    idle_vlan: VlanId | None = None
    policy: Annotated[DriftPolicy, Field(strict=False)] = DriftPolicy.REPAIR
    options: JsonObject = Field(default_factory=dict)
    ports: Annotated[list[PortName], Field(max_length=_MAX_PORTS)]

    @field_validator("ports")
    @classmethod
    def _no_twins(cls, ports: list[str]) -> list[str]:
        seen: set[str] = set()
        for name in ports:
            if name in seen:
                raise ValueError(f"names {name} twice")
            seen.add(name)
        return ports

    def spec(self, name: str) -> SwitchSpec:
        """The same for the store.

        Raises:
            Invalid: no way for a link to name the switch; an option that is to name a file and does not.
        """
        problem = file_option_problem(self.options)
        if problem is not None:
            raise Invalid(problem[1], field=f"options.{problem[0]}")
        if self.mac is None and self.datapath_id is None:
            raise Invalid("or datapath_id must be given: links name the switch by one of them", field="mac")
        return SwitchSpec(
            id=SwitchId(name),
            kind=self.kind.value,
            address=self.address,
            ports=frozenset(self.ports),
            physical_network=self.physical_network,
            mac=self.mac,
            datapath_id=self.datapath_id,
            port=self.port,
            username=self.username,
            secret_ref=self.secret,
            options=self.options,
            rack=self.rack or "",
            mlag_peer=self.mlag_peer,
            idle_vlan=None if self.idle_vlan is None else Vlan(self.idle_vlan),
            policy=self.policy,
        )


class PhysicalNetworkBody(Body):
    """The VLANs that tenants are given on a physical network: `[[first, last], …]`, both included."""

    tenant_vlans: list[Annotated[list[StrictInt], Field(min_length=2, max_length=2)]]
    mtu: Annotated[int, Field(ge=68, le=65535)] = 1500
    position: Annotated[int, Field(ge=0, le=65535)] = 0

    @field_validator("tenant_vlans")
    @classmethod
    def _no_overlap(cls, ranges: list[list[int]]) -> list[list[int]]:
        problem = ranges_problem([VlanRange(first, last) for first, last in ranges])
        if problem is not None:
            raise ValueError(problem)
        return ranges


class AttachmentQuery(BaseModel):
    """Filters of the attachments; all that are given must match."""

    model_config = ConfigDict(extra="forbid")

    switch: Text | None = None
    host: Text | None = None
    network: Text | None = None
    network_port: Text | None = None
    state: AttachmentState | None = None


class ForgetBody(Body):
    """Why a switch is forgotten although somebody is attached to it; `force` has to be true."""

    force: Literal[True]
    reason: Annotated[Text, Field(min_length=1)]


class PlanQuery(BaseModel):
    """Which plans: of one switch or of all, the newest `limit`."""

    model_config = ConfigDict(extra="forbid")

    switch: Text | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class DriftQuery(BaseModel):
    """Which drifts: of one switch or of all; with `open` those that are still there."""

    model_config = ConfigDict(extra="forbid")

    switch: Text | None = None
    open: bool = False
    limit: Limit = 1000


class HistoryQuery(BaseModel):
    """Which periods: all filters given must match; with `at` those that include that moment."""

    model_config = ConfigDict(extra="forbid")

    switch: Text | None = None
    port: Text | None = None
    host: Text | None = None
    vlan: Annotated[int, Field(ge=VLAN_MIN, le=VLAN_MAX)] | None = None
    network: Text | None = None
    network_port: Text | None = None
    at: Moment | None = None
    limit: Limit = 1000


class BindingBody(Body):
    """How a network port is bound: as `binding:host_id`, `binding:profile` and `binding:vnic_type` of Neutron."""

    host_id: Text
    profile: JsonObject = Field(default_factory=dict)
    vnic_type: Text = "baremetal"


class ForeignBindingBody(Body):
    """What a network port in somebody else's Neutron asks for; `profile` is its `binding:profile`.

    `revision` is its `revision_number`. A trunk's sub-port has the trunk's parent port as `parent_id`, and neither host
    nor profile.
    """

    revision: Annotated[StrictInt, Field(ge=0, le=2**63 - 1)]
    network_id: Uuid
    vlan: VlanId | None = None
    physical_network: Name | Literal[""] = ""
    side: Annotated[Side, Field(strict=False)] = Side.TENANT
    host_id: Text = ""
    profile: JsonObject = Field(default_factory=dict)
    parent_id: Uuid | None = None

    def wish(self) -> ForeignWish:
        """The same for the store.

        Raises:
            Invalid: neither a sub-port nor on a host.
        """
        if self.parent_id is None and not self.host_id:
            raise Invalid("is missing: the server that the network port is bound to", field="host_id")
        if self.parent_id is not None and (self.host_id or self.profile):
            raise Invalid("cannot be given: a sub-port is where its parent port is", field="host_id")
        return ForeignWish(**{name: getattr(self, name) for name in type(self).model_fields if name != "revision"})


class WithdrawQuery(BaseModel):
    """The `revision_number` that the network port had when it was unbound or deleted."""

    model_config = ConfigDict(extra="forbid")

    revision: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = None


class EventsQuery(BaseModel):
    """Which changes: those after number `after` of `stream`; and for how many seconds to wait for the first."""

    model_config = ConfigDict(extra="forbid")

    after: Annotated[int, Field(ge=0)] = 0
    stream: Text = ""
    wait: Annotated[float, Field(ge=0, le=60)] = 0


class PlanBody(Body):
    """What is asked about: nothing (all switches), a switch, a node's move, or the binding of a network port."""

    switch: Name | None = None
    node: Annotated[Text, Field(min_length=1)] | None = None
    target: Annotated[Target, Field(strict=False)] | None = None
    network_port: Annotated[Text, Field(min_length=1)] | None = None
    binding: BindingBody | None = None

    def check(self) -> None:
        """Whether exactly one thing is asked.

        Raises:
            Invalid: more than one, or half of one.
        """
        subjects = [name for name in ("switch", "node", "network_port") if getattr(self, name) is not None]
        if len(subjects) > 1:
            raise Invalid(f"cannot be asked about together with {subjects[0]}", field=subjects[1])
        for one, other in (("node", "target"), ("network_port", "binding")):
            for given, missing in ((one, other), (other, one)):
                if getattr(self, given) is not None and getattr(self, missing) is None:
                    raise Invalid(f"is missing: {given} was given", field=missing)


class RestoreBody(Body):
    """The moment to go back to. Without `dry_run: false` nothing is changed.

    `token` is that of a dry run: then nothing is done unless it is still the same that would be done.
    """

    at: Moment
    dry_run: bool = True
    token: Text | None = None


def require_name(text: str) -> str:
    """A name from a URL.

    Raises:
        Invalid: not a name that we could store.
    """
    if NAME.fullmatch(text) is None:
        raise Invalid(f"{text!r} {_NAME_RULE}", field="name")
    return text


def field_path(location: tuple[int | str, ...]) -> str:
    """`("body", "ports", 3)` as the client would write it: `ports[3]`."""
    path = ""
    for part in location[1:]:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part}" if path else part
    return path


def first_problem(errors: list[Mapping[str, Any]]) -> tuple[str, str | None]:
    """Message and field of the first of pydantic's errors."""
    error = errors[0]
    kind = error["type"]
    if kind == "json_invalid":
        return "the body is not JSON", None
    message = str(error["msg"]).removeprefix("Value error, ")
    if kind == "extra_forbidden":
        message = "is not known here"
    elif kind == "missing":
        message = "is missing"
    return message, field_path(tuple(error["loc"])) or None
