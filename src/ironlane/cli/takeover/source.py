"""Reading all of a Neutron and an Ironic through their APIs. Nothing is changed there.

Through openstacksdk, which knows every way to authenticate that a cloud may have, `clouds.yaml` and `OS_*`. It is an
optional extra, because nothing else needs it (ADR 22).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ironlane.model.errors import Permanent

_PAGE = 1000
_BAREMETAL_VERSION = "1.65"
"""Owner, lessee, retirement and protection of nodes; Ironic has it since 15.1 (Ussuri)."""

Things = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Found:
    """What is there, as the two APIs show it."""

    networks: Things = field(default_factory=list)
    subnets: Things = field(default_factory=list)
    ports: Things = field(default_factory=list)
    trunks: Things = field(default_factory=list)
    nodes: Things = field(default_factory=list)
    portgroups: Things = field(default_factory=list)
    nics: Things = field(default_factory=list)

    def save(self, file: Path) -> None:
        """Write it down, readable for this user only, also where there was a file that others could read."""
        file.unlink(missing_ok=True)
        file.touch(mode=0o600, exist_ok=False)
        file.write_text(json.dumps(asdict(self), indent=1, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, file: Path) -> Found:
        """What `save` wrote.

        Raises:
            Permanent: the file is none of those.
        """
        try:
            whole = json.loads(file.read_text(encoding="utf-8"))
            return cls(**{one.name: list(whole[one.name]) for one in fields(cls)})
        except (ValueError, KeyError, TypeError) as error:
            raise Permanent(f"{file} is not what --save writes: {error!r}") from error


@dataclass(frozen=True, slots=True)
class Where:
    """Which cloud: one that `clouds.yaml` or `OS_*` describes, or two addresses."""

    cloud: str | None = None
    networking_url: str | None = None
    baremetal_url: str | None = None
    username: str | None = None
    password: str | None = None
    cacert: str | None = None
    with_baremetal: bool = True


def read(where: Where) -> Found:
    """All that is to be taken over.

    Raises:
        Permanent: it cannot be read, with the reason.
    """
    try:
        from keystoneauth1.exceptions import ClientException
        from openstack.exceptions import SDKException
    except ImportError as error:
        raise Permanent("openstacksdk is not installed: pip install 'ironlane[import]'") from error
    try:
        connection = _connect(where)
        try:
            return _read(connection, where)
        finally:
            connection.close()
            connection.session.session.close()
    except (ClientException, SDKException) as error:
        raise Permanent(f"the cloud to import from cannot be read: {error}") from error


def _connect(where: Where) -> Any:
    import openstack

    verify: dict[str, Any] = {"cacert": where.cacert} if where.cacert else {}
    if where.networking_url is None and where.baremetal_url is None:
        return openstack.connect(cloud=where.cloud, **verify)
    credentials = {"username": where.username, "password": where.password} if where.username else {}
    return openstack.connect(
        load_yaml_config=False,
        load_envvars=False,
        auth_type="http_basic" if credentials else "none",
        auth={"endpoint": where.networking_url or where.baremetal_url, **credentials},
        network_endpoint_override=where.networking_url,
        baremetal_endpoint_override=where.baremetal_url,
        **verify,
    )


def _read(connection: Any, where: Where) -> Found:
    named = where.networking_url is not None or where.baremetal_url is not None
    networking = not named or where.networking_url is not None
    baremetal = where.with_baremetal and (not named or where.baremetal_url is not None)
    found: dict[str, Things] = {}
    if networking:
        for name in ("networks", "subnets", "ports", "trunks"):
            found[name] = list(_networking(connection.network, name))
    if baremetal:
        for name, path in (("nodes", "nodes"), ("portgroups", "portgroups"), ("nics", "ports")):
            found[name] = list(_baremetal(connection.baremetal, path))
    return Found(**found)


def _networking(adapter: Any, name: str) -> Iterator[dict[str, Any]]:
    from openstack.exceptions import raise_from_response

    query: dict[str, Any] = {"limit": _PAGE}
    while True:
        answer = adapter.get(f"/{name}", params=query)
        if name == "trunks" and answer.status_code == 404:
            return  # it has no trunks
        raise_from_response(answer)
        body = answer.json()
        yield from body[name]
        if not any(link["rel"] == "next" for link in body.get(f"{name}_links", ())) or not body[name]:
            return
        query["marker"] = body[name][-1]["id"]


def _baremetal(adapter: Any, name: str) -> Iterator[dict[str, Any]]:
    from openstack.exceptions import raise_from_response

    query: dict[str, Any] = {"limit": _PAGE}
    while True:
        answer = adapter.get(f"/{name}/detail", params=query, microversion=_BAREMETAL_VERSION)
        raise_from_response(answer)
        body = answer.json()
        yield from body[name]
        if not body.get("next") or not body[name]:
            return
        query["marker"] = body[name][-1]["uuid"]
