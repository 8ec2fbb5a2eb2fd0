"""The options of the group `[ironlane]`."""

from oslo_config import cfg

GROUP = "ironlane"

OPTIONS = [
    cfg.StrOpt("url", default="http://127.0.0.1:9797", help="Where Ironlane listens, without a path."),
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


def register(conf):
    """Make the options known."""
    conf.register_opts(OPTIONS, GROUP)


def list_opts():
    """For `oslo-config-generator`."""
    return [(GROUP, OPTIONS)]
