"""`/v2.0/extensions`: what this API keeps beyond Neutron's core. A client that looks for more is told it is not there.

Names are Neutron's, because clients show and compare them; descriptions say what is kept here. Source: `neutron_lib`'s
API definitions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from starlette.responses import JSONResponse

from ironlane.model.errors import NotFound


class _Extension(NamedTuple):
    alias: str
    name: str
    description: str


_TAGGED = "network, subnet, port, trunk"
_EXTENSIONS = (
    _Extension("agent", "agent", "The conductors, which bring ports onto the switches."),
    _Extension("availability_zone", "Availability Zone", "The list of zones, which is empty: a fabric has none."),
    _Extension("binding", "Port Binding", "The binding:* attributes of ports, for bare-metal servers."),
    _Extension("empty-string-filtering", "Empty String Filtering Extension", "An empty filter means the empty value."),
    _Extension(
        "external-net", "Neutron external network", "router:external is kept for clients; there are no routers."
    ),
    _Extension("extra_dhcp_opt", "Neutron Extra DHCP options", "extra_dhcp_opts: what a server boots with."),
    _Extension("filter-validation", "Filter parameters validation", "A list with an unknown filter is refused."),
    _Extension("ip-substring-filtering", "IP address substring filtering", "fixed_ips=ip_address_substr= for ports."),
    _Extension("ip_allocation", "IP Allocation", "ip_allocation says when a port is given its addresses."),
    _Extension("l2_adjacency", "L2 Adjacency", "Every network is one segment."),
    _Extension("net-mtu", "Network MTU", "The MTU of a network is shown."),
    _Extension("net-mtu-writable", "Network MTU (writable)", "The MTU of a network can be set."),
    _Extension("network-ip-availability", "Network IP Availability", "How many addresses are left."),
    _Extension("network_availability_zone", "Network Availability Zone", "A network's zones and hints are empty."),
    _Extension("pagination", "Pagination support", "limit, marker and page_reverse in lists."),
    _Extension("port-mac-address-regenerate", "Neutron Port MAC address regenerate", "A null mac_address: a new one."),
    _Extension("port-security", "Port Security", "port_security_enabled is kept; switch ports are not filtered."),
    _Extension("project-id", "project_id field enabled", "project_id beside tenant_id."),
    _Extension("provider", "Provider Network", "The provider:* attributes of networks: vlan and flat."),
    _Extension("quota_details", "Quota details management support", "How much a project has of what it may have."),
    _Extension("quotas", "Quota management support", "How much of each kind a project may have."),
    _Extension("rbac-policies", "RBAC Policies", "Networks are shared with one project or with all."),
    _Extension("revision-if-match", "If-Match constraints based on revision_number", "If-Match: revision_number=N."),
    _Extension("sorting", "Sorting support", "sort_key and sort_dir in lists."),
    _Extension("standard-attr-description", "standard-attr-description", f"The description of {_TAGGED}."),
    _Extension("standard-attr-revisions", "Resource revision numbers", "revision_number counts an object's changes."),
    _Extension(
        "standard-attr-tag", f"Tag support for resources with standard attribute: {_TAGGED}", "Tags, and filters."
    ),
    _Extension("standard-attr-timestamp", "Resource timestamps", "created_at, updated_at, and changed_since in lists."),
    _Extension("tag-creation", "Tag creation extension", "Several tags are added by one POST."),
    _Extension("tag-ports-during-bulk-creation", "Tag Ports During Bulk Creation", "Ports are created with tags."),
    _Extension("trunk", "Trunk Extension", "Trunks: an untagged parent port and tagged sub-ports."),
    _Extension("trunk-details", "Trunk port details", "The trunk_details of a trunk's parent port."),
)
_BY_ALIAS = {extension.alias: extension for extension in _EXTENSIONS}
_UPDATED = "2026-11-26T00:00:00-00:00"


async def list_() -> JSONResponse:
    """All extensions."""
    return JSONResponse({"extensions": [_view(extension) for extension in _EXTENSIONS]})


async def show(alias: str) -> JSONResponse:
    """One extension.

    Raises:
        NotFound: this API does not keep it.
    """
    if alias not in _BY_ALIAS:
        raise NotFound("extension", alias[:255])
    return JSONResponse({"extension": _view(_BY_ALIAS[alias])})


def _view(extension: _Extension) -> dict[str, Any]:
    return {**extension._asdict(), "updated": _UPDATED, "links": []}
