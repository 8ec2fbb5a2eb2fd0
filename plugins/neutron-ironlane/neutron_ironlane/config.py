"""The options of the group `[ironlane]`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keystoneauth1 import loading
from keystoneauth1.session import Session
from oslo_config import cfg

GROUP = "ironlane"

OPTIONS = [
    cfg.StrOpt("url", default="http://127.0.0.1:9797", help="Where Ironlane listens, without a path."),
    cfg.StrOpt(
        "cafile",
        help="PEM file of the certificate authorities that Ironlane's certificate is verified with; the system's "
        "without it. Only for an https url.",
    ),
    cfg.FloatOpt(
        "timeout",
        default=3.0,
        min=0.1,
        help="For how many seconds a request of Neutron's API may wait for Ironlane. What is not handed over by then "
        "is handed over in the background.",
    ),
    cfg.ListOpt(
        "provider_networks",
        default=[],
        help="Names or UUIDs of the networks for cleaning, provisioning, inspection and rescue. A server is never on "
        "one of these and on a tenant's network at the same time.",
    ),
]


def register(conf: Any) -> None:
    """Make the options known: ours, and keystoneauth's of credentials (`auth_type` and what goes with it)."""
    loading.register_auth_conf_options(conf, GROUP)
    conf.register_opts(OPTIONS, GROUP)


def own(conf: Any) -> Any:
    """The group's values."""
    return getattr(conf, GROUP)


def is_provider(conf: Any, network: Mapping[str, Any]) -> bool:
    """Whether servers are cleaned, provisioned, inspected or rescued on this network."""
    named = own(conf).provider_networks
    return network["id"] in named or network["name"] in named


def session(conf: Any) -> Session:
    """How Ironlane is talked to. Without `auth_type` no credentials are sent."""
    credentials = loading.load_auth_from_conf_options(conf, GROUP)
    return Session(auth=credentials, verify=own(conf).cafile or True)


def list_opts() -> list[tuple[str, list[Any]]]:
    """For `oslo-config-generator`."""
    credentials = [*loading.get_auth_common_conf_options(), *loading.get_auth_plugin_conf_options("http_basic")]
    return [(GROUP, [*OPTIONS, *credentials])]
