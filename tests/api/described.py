"""Requests that an API's OpenAPI document allows, made up by Schemathesis: none may fail, every answer is as it says.

They are the same ones in every run, a few for each operation. `IRONLANE_API_EXAMPLES=500` makes up as many for each,
and other ones every time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

EXAMPLES = int(os.environ.get("IRONLANE_API_EXAMPLES", "0"))
_FEW = 8
_CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]

Known = Mapping[str, Sequence[str]]
"""Values that lead to something, by the `format` of a text, or by a path up to a variable: `/v2.0/ports/{ident}`."""


class Described:
    """One API: its application, and how to have it as it is at first.

    `prepare` is called before the requests of each operation, and tells what is there then, under the same keys always.
    `headers` go with every request; `query` are parameters that always have the same value where they are sent.
    """

    def __init__(
        self,
        app: FastAPI,
        prepare: Callable[[], Awaitable[Known]],
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> None:
        self._headers = dict(headers or {})
        self._prepare = prepare
        self._known: Known = asyncio.run(prepare())
        for name in self._known:
            if "{" not in name:
                schemathesis.openapi.format(name, self._one_of(name))
        self._schema = schemathesis.openapi.from_asgi("/openapi.json", app)
        self._schema.hook("map_query")(
            lambda _, values: values and {name: (query or {}).get(name, value) for name, value in values.items()}
        )
        self._schema.hook("flatmap_path_parameters")(
            lambda context, values: self._lead_somewhere(context.operation.path, values or {})
        )

    def faults(self) -> list[str]:
        """What is wrong, operation by operation."""
        found = []
        operations = [result.ok() for result in self._schema.get_all_operations()]
        assert operations
        for operation in operations:
            self._known = asyncio.run(self._prepare())
            try:
                self._try(operation)
            except FailureGroup as group:
                found += [f"{operation.label}: {failure}" for failure in group.exceptions]
        return found

    def _try(self, operation: Any) -> None:
        @settings(
            max_examples=EXAMPLES or _FEW,
            derandomize=not EXAMPLES,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy())
        def run(case: Any) -> None:
            case.call_and_validate(checks=_CHECKS, headers=self._headers)

        run()

    def _lead_somewhere(self, path: str, values: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
        """The variables of a path, mostly those that lead to something that is there."""
        chosen = {name: st.just(value) for name, value in values.items()}
        for name, value in values.items():
            known = f"{path.partition(f'{{{name}}}')[0]}{{{name}}}"
            if known in self._known:
                chosen[name] = st.one_of(self._one_of(known), self._one_of(known), st.just(value))
        return st.fixed_dictionaries(chosen)

    def _one_of(self, name: str) -> st.SearchStrategy[str]:
        return st.integers(0, 1000).map(lambda number: self._known[name][number % len(self._known[name])])
