"""Ironlane's fabric API, as far as it is used here: `/fabric/v1/bindings`."""

import requests


class Unreachable(Exception):
    """No answer, or none that says anything: try again later."""


class Refused(Exception):
    """Ironlane says no. `code` is its name for the reason, `status` the HTTP status."""

    def __init__(self, status, code, message):
        super().__init__(message)
        self.status = status
        self.code = code


class Client:
    """Requests; each opens a connection of its own, so that any thread of any process may make one."""

    def __init__(self, url, timeout):
        self._url = f"{url.rstrip('/')}/fabric/v1/bindings"
        self._timeout = timeout

    def list(self):
        """All bindings, and from where to follow their changes: `{stream, change, bindings}`."""
        return self._request("GET", "")

    def events(self, stream, after, wait):
        """What changed after a position; waits for `wait` seconds if nothing did."""
        where = {"stream": stream, "after": after, "wait": wait}
        return self._request("GET", "/events", params=where, more=wait)

    def put(self, port_id, wish):
        """Hand a wish over; it is durable when this returns."""
        return self._request("PUT", f"/{port_id}", json=wish)

    def delete(self, port_id, revision):
        """Take a wish back, and refuse what is still on its way of it."""
        self._request("DELETE", f"/{port_id}", params={"revision": revision})

    def _request(self, method, path, more=0.0, **given):
        try:
            timeout = (self._timeout, self._timeout + more)
            answer = requests.request(method, self._url + path, timeout=timeout, **given)
            body = answer.json() if answer.content else None
        except (requests.RequestException, ValueError) as error:
            raise Unreachable(f"Ironlane does not answer at {self._url}: {error}") from error
        if answer.status_code >= 500:
            raise Unreachable(f"Ironlane answers {answer.status_code}: {answer.text[:500]}")
        if answer.status_code >= 400:
            told = (body or {}).get("error", {})
            raise Refused(answer.status_code, told.get("code", ""), told.get("message", answer.text[:500]))
        return body
