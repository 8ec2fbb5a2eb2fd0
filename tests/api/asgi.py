"""Requests to an ASGI application in this process: no sockets, no threads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from starlette.types import ASGIApp, Message


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Sends requests to `app`, which may be mounted at `root_path`."""

    def __init__(self, app: ASGIApp, root_path: str = "") -> None:
        self.app = app
        self.root_path = root_path

    async def request(
        self,
        method: str,
        url: str,
        *,
        json_body: object = None,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        chunked: bool = False,
    ) -> Answer:
        sent = {
            "host": "ironlane.test",
            "x-auth-token": "notused",
            **{name.lower(): value for name, value in (headers or {}).items()},
        }
        if json_body is not None:
            body = json.dumps(json_body).encode()
        if body:
            sent.setdefault("content-type", "application/json")
            sent |= {"transfer-encoding": "chunked"} if chunked else {"content-length": str(len(body))}
        parts = urlsplit(url)
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": self.root_path + unquote(parts.path),
            "raw_path": (self.root_path + parts.path).encode(),
            "root_path": self.root_path,
            "query_string": parts.query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            "server": ("ironlane.test", 80),
            "client": ("127.0.0.1", 1),
        }
        chunks = [body[i : i + 65536] for i in range(0, len(body), 65536)] or [b""]
        answered: list[Message] = []

        async def receive() -> Message:
            if not chunks:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

        async def send(message: Message) -> None:
            answered.append(message)

        await self.app(scope, receive, send)
        head = answered[0]
        return Answer(
            head["status"],
            {name.decode(): value.decode() for name, value in head["headers"]},
            b"".join(message.get("body", b"") for message in answered[1:]),
        )

    async def get(self, url: str, **more: Any) -> Answer:
        return await self.request("GET", url, **more)

    async def post(self, url: str, body: object, **more: Any) -> Answer:
        return await self.request("POST", url, json_body=body, **more)

    async def put(self, url: str, body: object, **more: Any) -> Answer:
        return await self.request("PUT", url, json_body=body, **more)

    async def delete(self, url: str, **more: Any) -> Answer:
        return await self.request("DELETE", url, **more)
