"""Resources as tables of fields: what is shown, what may be set, how it is checked, and since which version.

The same table renders answers, reads `POST` bodies, applies JSON patches (RFC 6902) and describes the API in OpenAPI.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import jsonpatch
import jsonpointer

from ironlane.api.baremetal.call import Call, Json
from ironlane.api.baremetal.checks import Check
from ironlane.api.baremetal.microversions import require
from ironlane.model import policy
from ironlane.model.caller import Caller
from ironlane.model.errors import Invalid
from ironlane.model.secrets import mask_left, unmasked
from ironlane.store import access

_OPERATIONS = ("add", "remove", "replace")
"""As in Ironic; `copy` could make a small patch grow without bound, and could carry secrets elsewhere."""

_MOST_OPERATIONS = 1000


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a resource.

    `read` makes its value from the model object; None reads the attribute of the same name. `check` is for what
    clients send; None: they cannot set it. `column` is where it is kept (`interfaces.boot_interface` is a key within a
    JSON column). `absent` is its value when nobody sets it, or removes it; a `required` field cannot be removed.
    """

    name: str
    since: int = 1
    read: Callable[[Any], Any] | None = None
    check: Check | None = None
    column: str = ""
    absent: Any = None
    required: bool = False
    only_new: bool = False
    """Can be set when the resource is made, and not changed any more."""
    secret: bool = False
    """Holds values that are shown as `******`."""
    older: tuple[tuple[int, Any, Any], ...] = ()
    """`(since, value, instead)`: versions before `since` do not know `value`, and are shown `instead`."""
    rule: str = ""
    """The rule that has to allow a caller to see it, besides the one for the whole thing."""

    @property
    def kept_in(self) -> str:
        return self.column or self.name

    def value(self, thing: Any, version: int) -> Any:
        """What a version shows of a thing."""
        value = self.read(thing) if self.read is not None else getattr(thing, self.name)
        for since, new, instead in self.older:
            if version < since and value == new:
                return instead
        if isinstance(value, datetime):
            return value.isoformat(timespec="seconds")
        if isinstance(value, tuple):
            return list(value)
        return dict(value) if isinstance(value, Mapping) else value

    def shown(self, thing: Any, version: int, caller: Caller) -> Any:
        """Its value, or in its place what Ironic shows to those who are not to know it."""
        value = self.value(thing, version)
        if not self.rule or policy.allowed(caller, self.rule, access.node_target(thing)):
            return value
        if isinstance(value, dict):
            return {"content": f"** Redacted - requires {self.rule} permission. **"}
        return None if value is None else f"** Value Redacted - Requires {self.rule} permission. **"


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of thing: its fields, and the links that belong to it (name to since, path below the thing)."""

    name: str
    plural: str
    fields: Mapping[str, Field]
    short: Sequence[str]
    """Fields of an entry in a list that does not ask for details."""
    sublinks: Mapping[str, int]
    path: tuple[str, ...] = ()
    """Where the collection is, below `/v1`; empty: at its plural."""

    @property
    def place(self) -> tuple[str, ...]:
        """The parts of the collection's address."""
        return self.path or (self.plural,)

    def chosen(self, names: str, version: int) -> list[str]:
        """The names in a `fields` parameter.

        Raises:
            Invalid: one is unknown.
            NotAcceptable: one is newer than the version.
        """
        chosen = [name.strip() for name in names.split(",") if name.strip()]
        known = {**{f.name: f.since for f in self.fields.values()}, **self.sublinks, "links": 1}
        for name in chosen:
            if name not in known:
                raise Invalid(f'fields: Field(s) "{name[:64]}" are not valid', field="fields")
            require(version, known[name], name)
        return chosen

    def render(
        self, call: Call, thing: Any, names: Collection[str] | None = None, *, place: Sequence[str] = ()
    ) -> Json:
        """The thing in a version; `names` None shows all that the version has, with `links` always.

        `place` is where its collection is, for one that depends on another thing.
        """
        place = place or self.place
        answer: Json = {
            field.name: field.shown(thing, call.version, call.store.caller)
            for field in self.fields.values()
            if field.since <= call.version and (names is None or field.name in names)
        }
        for name, since in self.sublinks.items():
            if since <= call.version and (names is None or name in names):
                answer[name] = call.links(*place, thing.id, name)
        answer["links"] = call.links(*place, thing.id)
        return answer

    def new(self, call: Call, body: Any) -> dict[str, Any]:
        """Columns of a new thing from a `POST` body; what is absent is left to the table's defaults.

        Raises:
            Invalid: unknown, read-only, malformed or missing fields.
            NotAcceptable: a field is newer than the version.
        """
        if not isinstance(body, dict):
            raise Invalid(f"the body must be a JSON object that describes a {self.name}", field="body")
        columns: dict[str, Any] = {}
        for name, value in body.items():
            field = self._settable(call, name)
            if value is None and not field.required:
                continue
            checked = field.check(value, name) if field.check else value
            if field.secret:
                _require_no_mask(checked, name)
            _keep(columns, field, checked)
        for field in self.fields.values():
            if field.required and field.kept_in not in columns:
                raise Invalid(f"{field.name}: is missing", field=field.name)
        return columns

    def patched(self, call: Call, thing: Any, patch: Any) -> dict[str, Any]:
        """Columns that a JSON patch changes. It is applied to what the client may see, so with secrets masked.

        Raises:
            Invalid: malformed patch, a path that does not exist, or as `new`.
            NotAcceptable: a field is newer than the version.
        """
        operations = _operations(patch)
        for operation in operations:
            self._patchable(call, operation["path"])
        visible = [field for field in self.fields.values() if field.since <= call.version]
        before: Json = {field.name: field.value(thing, call.version) for field in visible}
        after = _apply(before, operations)
        columns: dict[str, Any] = {}
        for field in visible:
            if field.name in after and after[field.name] == before[field.name]:
                continue
            value = after.get(field.name)
            if field.name not in after or (value is None and not field.required):
                if field.required:
                    raise Invalid(f"/{field.name}: is mandatory and cannot be removed", field=f"/{field.name}")
                value = field.absent
            elif field.check is not None:
                value = field.check(value, field.name)
            if field.secret:
                value = unmasked(value or {}, getattr(thing, field.kept_in))
                _require_no_mask(value, field.name)
            _keep(columns, field, value, getattr(thing, field.kept_in.partition(".")[0], None))
        return columns

    def _settable(self, call: Call, name: str) -> Field:
        field = self.fields.get(name)
        if field is None or field.check is None:
            what = "unknown" if field is None and name not in self.sublinks else "read-only"
            raise Invalid(f"{name[:64]}: is {what} and cannot be set on a {self.name}", field=name[:64])
        require(call.version, field.since, name)
        return field

    def _patchable(self, call: Call, path: str) -> None:
        name = path.split("/")[1]
        field = self.fields.get(name)
        if field is None:
            raise Invalid(
                f"{path[:128]}: a {self.name} has no such attribute; adding new ones to its root is not allowed",
                field=path[:128],
            )
        require(call.version, field.since, path)
        if field.check is None or field.only_new:
            raise Invalid(f"{path[:128]}: is read-only and cannot be changed by a patch", field=path[:128])


def patched_fields(patch: Any) -> list[str]:
    """The fields that a JSON patch touches, as far as it is one."""
    operations = patch if isinstance(patch, list) else []
    paths = [str(operation.get("path")) for operation in operations if isinstance(operation, dict)]
    return sorted({path.split("/")[1] for path in paths if path.startswith("/")})


def _require_no_mask(value: Mapping[str, Any], name: str) -> None:
    where = mask_left(value, name)
    if where is not None:
        raise Invalid(
            f"{where}: reads ******, which is how a secret is shown, and nothing is stored there that it could stand"
            " for; send the secret itself",
            field=where,
        )


def _keep(columns: dict[str, Any], field: Field, value: Any, whole: Mapping[str, Any] | None = None) -> None:
    column, _, key = field.kept_in.partition(".")
    if not key:
        columns[column] = value
        return
    inner = dict(columns.get(column, whole or {}))
    if value is None:
        inner.pop(key, None)
    else:
        inner[key] = value
    columns[column] = inner


def _operations(patch: Any) -> list[dict[str, Any]]:
    if not isinstance(patch, list) or not 1 <= len(patch) <= _MOST_OPERATIONS:
        raise Invalid("the body must be a list of JSON patch operations (RFC 6902)", field="body")
    for index, operation in enumerate(patch):
        where = f"body[{index}]"
        if not isinstance(operation, dict):
            raise Invalid(f"{where}: must be an object with op and path", field=where)
        if operation.get("op") not in _OPERATIONS:
            raise Invalid(f"{where}.op: must be one of {', '.join(_OPERATIONS)}", field=f"{where}.op")
        path = operation.get("path")
        if not (isinstance(path, str) and path.startswith("/") and len(path) > 1):
            raise Invalid(f"{where}.path: must be a path like /name", field=f"{where}.path")
        if operation["op"] != "remove" and "value" not in operation:
            raise Invalid(f"{where}.value: is missing", field=f"{where}.value")
    return patch


def _apply(before: Json, operations: Sequence[Json]) -> Json:
    """One operation at a time, so that the error can say which one it was."""
    document: Any = before
    for operation in operations:
        try:
            document = jsonpatch.apply_patch(document, [operation])
        except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError, ValueError) as error:
            path = operation["path"][:128]
            raise Invalid(
                f"{path}: couldn't apply patch operation {operation['op']}: {str(error)[:200]}",
                code="PatchError",
                field=path,
            ) from None
    return dict(document)
