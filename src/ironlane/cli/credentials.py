"""What a command proves to the service who it is with, from its environment.

Nothing is sent until the service asks for it (401), and then only what it asks for: `IRONLANE_USERNAME` and
`IRONLANE_PASSWORD` for Basic; a token of Keystone that is `OS_TOKEN` or is got with the `OS_*` variables that the
`openstack` command knows, from `OS_AUTH_URL` and nowhere else.
"""

from __future__ import annotations

import base64
import ipaddress
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from ironlane.model.errors import IronlaneError

_CAFILES = ("IRONLANE_CAFILE", "OS_CACERT")


class NotLoggedIn(IronlaneError):
    """The service asks for credentials that the environment does not have, or that must not be sent there."""


async def answer_to(
    challenge: str, url: str, http: aiohttp.ClientSession, environ: Mapping[str, str]
) -> dict[str, str]:
    """The headers that answer a `WWW-Authenticate` of the service at `url`.

    Raises:
        NotLoggedIn: the environment has nothing for it, or Keystone does not take it.
    """
    scheme = challenge.partition(" ")[0].lower()
    if scheme == "basic":
        name, password = environ.get("IRONLANE_USERNAME", ""), environ.get("IRONLANE_PASSWORD")
        if not name or password is None:
            raise NotLoggedIn(f"{url} asks for a name and a password: set IRONLANE_USERNAME and IRONLANE_PASSWORD")
        _require_private(url)
        return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}
    if scheme == "keystone":
        _require_private(url)
        return {"X-Auth-Token": environ.get("OS_TOKEN") or await _token(url, http, environ)}
    raise NotLoggedIn(f"{url} asks for credentials in a way that is not known: {challenge[:80]!r}")


def tls(environ: Mapping[str, str]) -> ssl.SSLContext:
    """How certificates are verified: by the system's authorities, and those in `IRONLANE_CAFILE` and `OS_CACERT`.

    Raises:
        NotLoggedIn: there are none in such a file.
    """
    context = ssl.create_default_context()
    for variable in _CAFILES:
        if environ.get(variable):
            try:
                context.load_verify_locations(environ[variable])
            except (OSError, ssl.SSLError) as error:
                raise NotLoggedIn(f"{variable}: no certificates in {environ[variable]}: {error}") from error
    return context


async def _token(url: str, http: aiohttp.ClientSession, environ: Mapping[str, str]) -> str:
    at = environ.get("OS_AUTH_URL", "").rstrip("/")
    if not at:
        raise NotLoggedIn(f"{url} asks for a token of Keystone: set OS_TOKEN, or OS_AUTH_URL and what goes with it")
    _require_private(at)
    at = at if at.endswith("/v3") else f"{at}/v3"
    try:
        async with http.post(f"{at}/auth/tokens", json=_log_in(environ), allow_redirects=False) as answer:
            if answer.status == 201 and "X-Subject-Token" in answer.headers:
                return answer.headers["X-Subject-Token"]
            raise NotLoggedIn(f"Keystone at {at} does not accept what the OS_* variables say (status {answer.status})")
    except (aiohttp.ClientError, TimeoutError) as error:
        raise NotLoggedIn(f"Keystone at {at} cannot be reached: {error or type(error).__name__}") from error


def _log_in(environ: Mapping[str, str]) -> dict[str, Any]:
    """The body of a log-in. Source: Identity API v3 reference, "Password authentication …"."""
    if environ.get("OS_APPLICATION_CREDENTIAL_ID"):
        known = {
            "id": environ["OS_APPLICATION_CREDENTIAL_ID"],
            "secret": environ.get("OS_APPLICATION_CREDENTIAL_SECRET", ""),
        }
        return {"auth": {"identity": {"methods": ["application_credential"], "application_credential": known}}}
    user: dict[str, Any] = {"password": environ.get("OS_PASSWORD", "")}
    if environ.get("OS_USER_ID"):
        user["id"] = environ["OS_USER_ID"]
    elif environ.get("OS_USERNAME"):
        user |= {"name": environ["OS_USERNAME"], "domain": _domain(environ, "OS_USER_DOMAIN")}
    else:
        raise NotLoggedIn("OS_USERNAME and OS_PASSWORD, or OS_APPLICATION_CREDENTIAL_ID and …_SECRET, are not set")
    scope: dict[str, Any] = {}
    if environ.get("OS_SYSTEM_SCOPE"):
        scope = {"scope": {"system": {"all": True}}}
    elif environ.get("OS_PROJECT_ID"):
        scope = {"scope": {"project": {"id": environ["OS_PROJECT_ID"]}}}
    elif environ.get("OS_PROJECT_NAME"):
        project = {"name": environ["OS_PROJECT_NAME"], "domain": _domain(environ, "OS_PROJECT_DOMAIN")}
        scope = {"scope": {"project": project}}
    return {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, **scope}}


def _domain(environ: Mapping[str, str], prefix: str) -> dict[str, str]:
    ident = environ.get(f"{prefix}_ID")
    return {"id": ident} if ident else {"name": environ.get(f"{prefix}_NAME") or "Default"}


def _require_private(url: str) -> None:
    """Raises: NotLoggedIn, when what is sent there could be read on the way."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" or host == "localhost":
        return
    try:
        if ipaddress.ip_address(host).is_loopback:
            return
    except ValueError:
        pass
    raise NotLoggedIn(f"credentials are not sent to {url}: it is not https, so that they could be read on the way")
