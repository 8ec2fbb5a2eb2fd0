"""Serves an API's requests straight from what its routes declare.

FastAPI stays what the routes are declared with, and what writes the OpenAPI document of them. To serve a request it
does much that is never used here (two stacks of clean-ups, a middleware for each of its abilities, a pattern for each
route until one matches), and a good part of the time of a small request goes there; ADR 20 has the figures.

A handler is a coroutine function that returns a `Response`. Its parameters are what FastAPI would take them for, as far
as they are used here: `Request`, variables of the path, a pydantic model (the JSON body), `Header()`, and `Depends()`
of another such function. Anything else is refused before the first request is served.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.params import Depends, Header
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ironlane.api.http import header

Problem = dict[str, Any]
"""What is wrong with a request, as pydantic tells it."""

_ErrorHandlers = Mapping[Any, Callable[[Request, Any], Any]]
"""Coroutine functions by the kind of exception that they answer."""
_MISSING: Any = object()


class DirectApi(FastAPI):
    """A FastAPI application whose requests are served by this module."""

    def build_middleware_stack(self) -> ASGIApp:
        """Our own middlewares, and the routes: `api/http.py` does what FastAPI's and Starlette's would."""
        stack: ASGIApp = _Dispatcher(self.routes, self.exception_handlers, self.router)
        for middleware in reversed(self.user_middleware):
            stack = middleware.cls(stack, *middleware.args, **middleware.kwargs)
        return stack


class _Dispatcher:
    """Finds the route of a request, calls its handler, and has errors answered."""

    def __init__(self, routes: Iterable[BaseRoute], handlers: _ErrorHandlers, other: ASGIApp) -> None:
        self._root = _Node()
        self._handlers = handlers
        self._other = other
        """Whatever is not HTTP."""
        for route in routes:
            if not isinstance(route, Route):
                raise TypeError(f"{route} cannot be served directly")
            self._root.add(route.path.split("/")[1:], _Endpoint(route), route.methods or ())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._other(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            answer = await self._answer(request)
        except Exception as error:
            handler = next((self._handlers[kind] for kind in type(error).__mro__ if kind in self._handlers), None)
            if handler is None:
                raise
            answer = await handler(request, error)
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
        values: list[str] = []
        node = self._root.find(path.split("/")[1:], 0, values)
        if node is None:
            raise HTTPException(404)
        endpoint = node.endpoints.get(request.method)
        if endpoint is None:
            raise HTTPException(405, headers={"Allow": ", ".join(sorted(node.endpoints))})
        return await endpoint.answer(request, values)


class _Node:
    """A place in the tree of paths: one step is what stands between two slashes. A constant goes before a variable."""

    def __init__(self) -> None:
        self.endpoints: dict[str, _Endpoint] = {}
        """By method."""
        self._constants: dict[str, _Node] = {}
        self._variable: _Node | None = None

    def add(self, steps: list[str], endpoint: _Endpoint, methods: Iterable[str]) -> None:
        if not steps:
            for method in methods:
                self.endpoints.setdefault(method, endpoint)
        elif _is_variable(steps[0]):
            self._variable = self._variable or _Node()
            self._variable.add(steps[1:], endpoint, methods)
        else:
            self._constants.setdefault(steps[0], _Node()).add(steps[1:], endpoint, methods)

    def find(self, steps: list[str], at: int, values: list[str]) -> _Node | None:
        """Where a path leads from its step `at` on; `values` gets what the variables on the way stand for."""
        if at == len(steps):
            return self if self.endpoints else None
        step = steps[at]
        constant = self._constants.get(step)
        if constant is not None:
            found = constant.find(steps, at + 1, values)
            if found is not None:
                return found
        if self._variable is None or not step:
            return None
        values.append(step)
        found = self._variable.find(steps, at + 1, values)
        if found is None:
            values.pop()
        return found


def _is_variable(step: str) -> bool:
    if step.startswith("{") and step.endswith("}") and ":" not in step:
        return True
    if "{" in step:
        raise TypeError(f"{step} is no step of a path that can be served directly")
    return False


class _Field(NamedTuple):
    """A parameter that is validated: where it stands in a request, its type, and its default."""

    name: str
    where: tuple[str, ...]
    """As pydantic's `loc`: ("path", "ident"), ("header", "if-match") or ("body",)."""
    adapter: TypeAdapter[Any] | None
    """None: it is taken as it comes."""
    default: Any = _MISSING


class _Endpoint:
    """One route: its handler, and what the handler's parameters are taken from."""

    def __init__(self, route: Route) -> None:
        self._variables = [step[1:-1] for step in route.path.split("/") if _is_variable(step)]
        self._call = _Call(route.endpoint, self._variables)

    async def answer(self, request: Request, values: list[str]) -> Response:
        """Raises:
        RequestValidationError: a parameter is not as it is declared.
        HTTPException: the body cannot be read.
        """
        problems: list[Problem] = []
        body = await _json(request) if self._call.body is not None else _MISSING
        variables = dict(zip(self._variables, values, strict=True))
        arguments = await self._call.arguments(request, variables, body, problems)
        if problems:
            raise RequestValidationError(problems)
        answer: Response = await self._call.function(**arguments)
        return answer


class _Call:
    """A coroutine function, and where its arguments come from."""

    def __init__(self, function: Callable[..., Any], variables: Iterable[str] = ()) -> None:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"{function.__qualname__} is no coroutine function")
        self.function = function
        self.body: _Field | None = None
        self._requests: list[str] = []
        self._variables: list[_Field] = []
        self._headers: list[_Field] = []
        self._dependencies: dict[str, _Call] = {}
        hints = get_type_hints(function, include_extras=True)
        for parameter in inspect.signature(function).parameters.values():
            self._take(parameter.name, hints.get(parameter.name, Request), parameter.default, frozenset(variables))

    def _take(self, name: str, kind: Any, default: Any, variables: frozenset[str]) -> None:
        mark = next((m for m in _metadata(kind) if isinstance(m, Depends | Header)), None)
        if isinstance(mark, Depends) and mark.dependency is not None:
            self._dependencies[name] = _Call(mark.dependency)
        elif isinstance(mark, Header):
            wire = mark.alias or name.replace("_", "-")
            missing = _MISSING if default is inspect.Parameter.empty else default
            self._headers.append(_Field(name, ("header", wire.lower()), TypeAdapter(kind), missing))
        elif kind is Request:
            self._requests.append(name)
        elif name in variables:
            self._variables.append(_Field(name, ("path", name), None if kind is str else TypeAdapter(kind)))
        elif isinstance(kind, type) and issubclass(kind, BaseModel) and self.body is None:
            self.body = _Field(name, ("body",), TypeAdapter(kind))
        else:
            raise TypeError(f"{self.function.__qualname__}: {name} cannot be taken from a request directly")

    async def arguments(
        self, request: Request, variables: Mapping[str, str], body: Any, problems: list[Problem]
    ) -> dict[str, Any]:
        """The arguments for a request; what is wrong with it is added to `problems`."""
        found: dict[str, Any] = dict.fromkeys(self._requests, request)
        for field in self._variables:
            found[field.name] = _valid(field, variables[field.name], problems)
        for field in self._headers:
            text = header(request.scope, field.where[1].encode())
            if text is None and field.default is not _MISSING:
                found[field.name] = field.default
            else:
                found[field.name] = _valid(field, _MISSING if text is None else text.decode("latin-1"), problems)
        if self.body is not None:
            found[self.body.name] = _valid(self.body, body, problems)
        for name, dependency in self._dependencies.items():
            known = len(problems)
            arguments = await dependency.arguments(request, variables, _MISSING, problems)
            if len(problems) == known:
                found[name] = await dependency.function(**arguments)
        return found


def _metadata(kind: Any) -> tuple[Any, ...]:
    return get_args(kind)[1:] if get_origin(kind) is Annotated else ()


def _valid(field: _Field, value: Any, problems: list[Problem]) -> Any:
    if value is _MISSING:
        problems.append({"type": "missing", "loc": field.where, "msg": "Field required", "input": None})
        return None
    if field.adapter is None:
        return value
    try:
        return field.adapter.validate_python(value, from_attributes=True)
    except ValidationError as error:
        found = error.errors(include_url=False)
        problems.extend({**problem, "loc": (*field.where, *problem["loc"])} for problem in found)
        return None


async def _json(request: Request) -> Any:
    """A request's body: parsed when it says that it is JSON, and else as its bytes, which no model takes."""
    raw = await request.body()
    if not raw:
        return _MISSING
    kind = (header(request.scope, b"content-type") or b"").partition(b";")[0].strip().lower()
    if kind != b"application/json" and not (kind.startswith(b"application/") and kind.endswith(b"+json")):
        return raw
    try:
        return json.loads(raw)
    except json.JSONDecodeError as error:
        problem = {"type": "json_invalid", "loc": ("body", error.pos), "msg": "JSON decode error", "input": {}}
        raise RequestValidationError([{**problem, "ctx": {"error": error.msg}}]) from error
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "There was an error parsing the body") from error
