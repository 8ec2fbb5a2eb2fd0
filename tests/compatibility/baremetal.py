"""openstacksdk's tests of the Baremetal API: what they need, and why some of them cannot pass."""

from __future__ import annotations

from ironlane.cli.client import Client
from tests.compatibility.openstacksdk import Suite
from tests.compatibility.outcomes import Reason

REASONS = (
    Reason(
        "v1.test_conductor.TestBareMetalConductor.test_list_get_conductor",
        "a new node has no `conductor` yet: it is told when one acts on the node, not worked out from the hash ring",
    ),
    Reason("v1.test_deploy_templates.*", "there are no deploy templates: `/v1/deploy_templates` is 404"),
    Reason("v1.test_inspection_rules.*", "there are no inspection rules: `/v1/inspection_rules` is 404"),
    Reason("v1.test_runbooks.*", "there are no runbooks: `/v1/runbooks` is 404"),
    Reason(
        "v1.test_node.TestBareMetalVirtualMedia.test_node_vmedia_attach_detach",
        "no driver attaches virtual media: 400, as Ironic answers for hardware without it",
    ),
)


async def prepare(_client: Client) -> None:
    pass


SUITE = Suite("baremetal", prepare, REASONS, settings={"IRONLANE_AUTOMATED_CLEAN": "false"}, root="/baremetal")
