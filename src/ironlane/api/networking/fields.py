"""Types of the attributes in request bodies, and what all request bodies have in common.

Lenient where Neutron is (a boolean may be `"true"`, a number `"100"`), strict where a mistake would be kept: an unknown
attribute, a null or a number in place of a text is refused.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

Item = TypeVar("Item")

_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)

PROFILE_LIMIT = 4095
"""Characters of a `binding:profile` as JSON at the most, as in Neutron."""

TAGS_MAX = 50
"""Tags of one thing at the most, as in Neutron."""


def canonical_uuid(text: str) -> str | None:
    """A UUID in lower case with hyphens; None when it is none."""
    if not _UUID.fullmatch(text):
        return None
    digits = text.replace("-", "").lower()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _uuid(text: str) -> str:
    found = canonical_uuid(text)
    if found is None:
        told = text[:80].encode(errors="backslashreplace").decode()  # a lone surrogate is in no answer
        raise PydanticCustomError("uuid", "'{text}' is not a valid UUID", {"text": told})
    return found


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("nul", "must not contain NUL characters")
    return text


def _no_flag(value: object) -> object:
    if isinstance(value, bool | float):
        raise PydanticCustomError("integer", "'{value}' is not an integer", {"value": value})
    return value


def _profile(profile: dict[str, Any] | None) -> dict[str, Any]:
    try:
        size = len(json.dumps(profile or {}, ensure_ascii=False, allow_nan=False).encode())
    except (ValueError, RecursionError):
        raise PydanticCustomError("profile", "is not plain JSON") from None
    if size > PROFILE_LIMIT:
        raise PydanticCustomError("profile", "is larger than {limit} characters", {"limit": PROFILE_LIMIT})
    return profile or {}


def _format(name: str) -> Any:
    """What a text is, in the OpenAPI document; validated elsewhere."""
    return Field(json_schema_extra={"format": name})


def either(one: str, several: str) -> ConfigDict:
    """Of a body that has one of two attributes, for the OpenAPI document; validated elsewhere."""
    return ConfigDict(json_schema_extra={"oneOf": [{"required": [one]}, {"required": [several]}]})


Text = Annotated[str, StringConstraints(max_length=255), AfterValidator(_no_nul)]
NullableText = Annotated[Text, BeforeValidator(lambda value: "" if value is None else value)]
_Address = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_no_nul)]
Address = Annotated[_Address, _format("ip-address")]
Cidr = Annotated[_Address, _format("cidr")]
Mac = Annotated[Text, _format("mac-address")]
Uuid = Annotated[str, AfterValidator(_uuid), _format("uuid")]
Integer = Annotated[int, BeforeValidator(_no_flag), Field(ge=-(2**31), lt=2**31)]
Flag = bool
Tag = Annotated[str, StringConstraints(min_length=1, max_length=60, pattern=r"^[^,/\x00]+$")]
Tags = Annotated[list[Tag], Field(max_length=TAGS_MAX), AfterValidator(lambda tags: sorted(set(tags)))]
Profile = Annotated[dict[str, Any] | None, AfterValidator(_profile)]


class Body(BaseModel):
    """A JSON object in a request; an attribute that is not declared is refused by name."""

    model_config = ConfigDict(extra="forbid")

    read_only: ClassVar[frozenset[str]] = frozenset()
    """Attributes that exist but cannot be changed, for a better message than "unknown"."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_read_only(cls, data: object) -> object:
        if isinstance(data, dict):
            fixed = sorted(name for name in data if name in cls.read_only)
            if fixed:
                raise PydanticCustomError("read_only", "Cannot update read-only attribute {name}", {"name": fixed[0]})
        return data

    def given(self) -> dict[str, Any]:
        """The attributes that the client named, by column name."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class OneOrSeveral(Body, Generic[Item]):
    """A body with one thing, or with several that are all created or none. Its two fields are those, in that order."""

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        one, several = type(self).model_fields
        if (getattr(self, one) is None) is (getattr(self, several) is None):
            raise PydanticCustomError("shape", "needs either '{one}' or '{several}'", {"one": one, "several": several})
        return self

    @property
    def bulk(self) -> bool:
        """Whether it is the shape for several, however many there are."""
        _, several = type(self).model_fields
        return getattr(self, several) is not None

    def items(self) -> list[Item]:
        """The things, in their order."""
        one, several = type(self).model_fields
        found: list[Item] = getattr(self, several) if self.bulk else [getattr(self, one)]
        return found


class Owned(Body):
    """What a client may say of whose a thing is; `project_id` and `tenant_id` are the same."""

    project_id: Text | None = None
    tenant_id: Text | None = None

    @model_validator(mode="after")
    def _same_project(self) -> Owned:
        if self.project_id is not None and self.tenant_id not in {None, self.project_id}:
            raise PydanticCustomError("project", "project_id and tenant_id must be the same")
        return self

    def owned(self, project: str) -> dict[str, Any]:
        """The attributes that the client named, with the project: of the body, else `project`."""
        named = self.project_id if self.project_id is not None else self.tenant_id
        attributes = {name: value for name, value in self.given().items() if name not in {"project_id", "tenant_id"}}
        return {**attributes, "project_id": project if named is None else named}
