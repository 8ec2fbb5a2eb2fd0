"""Ironlane's fabric API, as far as it is used here: `/fabric/v1/bindings`."""

from __future__ import annotations

from typing import Any

from keystoneauth1.exceptions import ClientException
from keystoneauth1.session import Session

_CREDENTIALS = frozenset({401, 403})


class Unreachable(Exception):
    """No answer, or none that says anything about what was asked: try again later."""


class Refused(Exception):
    """Ironlane says no. `code` is its name for the reason, `status` the HTTP status."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    @property
    def may_change(self) -> bool:
        """Whether the same may be accepted soon, without anybody's doing: what is in the way leaves, a fault passes."""
        return self.status == 409 or self.status >= 500


class Client:
    """Requests; each opens a connection of its own, so that any thread of any process may make one.

    The session says how to authenticate and whom to trust. Redirects are not followed: credentials go nowhere else.
    """

    def __init__(self, session: Session, url: str, timeout: float) -> None:
        self._session = session
        self._url = f"{url.rstrip('/')}/fabric/v1/bindings"
        self._timeout = timeout

    def list(self) -> dict[str, Any]:
        """All bindings, and from where to follow their changes: `{stream, change, bindings}`."""
        return self._answer("GET", "")

    def events(self, stream: str, after: int, wait: float) -> dict[str, Any]:
        """What changed after a position; waits for `wait` seconds if nothing did."""
        where = {"stream": stream, "after": after, "wait": wait}
        return self._answer("GET", "/events", params=where, more=wait)

    def get(self, port_id: str) -> dict[str, Any] | None:
        """One binding; None if there is none."""
        try:
            return self._answer("GET", f"/{port_id}")
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def put(self, port_id: str, wish: dict[str, Any]) -> dict[str, Any]:
        """Hand a wish over; it is durable when this returns."""
        return self._answer("PUT", f"/{port_id}", json=wish)

    def delete(self, port_id: str, revision: int) -> None:
        """Take a wish back, and refuse what is still on its way of it."""
        self._request("DELETE", f"/{port_id}", params={"revision": revision})

    def _answer(self, method: str, path: str, more: float = 0.0, **given: Any) -> dict[str, Any]:
        body = self._request(method, path, more, **given)
        if not isinstance(body, dict):
            raise Unreachable(f"{method} {self._url}{path} is answered without a JSON object: is Ironlane there?")
        return body

    def _request(self, method: str, path: str, more: float = 0.0, **given: Any) -> object:
        """The body of the answer: what its JSON says, None if there is none.

        Raises:
            Refused: Ironlane says no.
            Unreachable: nobody says anything, or not Ironlane, or it does not know us.
        """
        try:
            answer = self._session.request(
                self._url + path,
                method,
                headers={"Accept": "application/json", "Connection": "close"},
                user_agent="neutron-ironlane",
                timeout=(self._timeout, self._timeout + more),
                redirect=False,
                raise_exc=False,
                log=False,
                **given,
            )
            body = answer.json() if answer.content else None
        except (ClientException, ValueError) as error:
            raise Unreachable(f"Ironlane does not answer at {self._url}: {error}") from error
        status = answer.status_code
        if status in _CREDENTIALS:
            raise Unreachable(f"Ironlane refuses our credentials at {self._url}: {status} {answer.text[:500]}")
        told = body.get("error") if isinstance(body, dict) else None
        if 400 <= status <= 500 and isinstance(told, dict):
            raise Refused(status, str(told.get("code", "")), str(told.get("message", "")))
        if not 200 <= status < 300:
            raise Unreachable(f"{method} {self._url}{path} is answered {status}: {answer.text[:500]}")
        return body
