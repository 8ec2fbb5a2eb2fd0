"""How much of each kind one project may have."""

from __future__ import annotations

from collections.abc import Mapping

UNLIMITED = -1

Limits = Mapping[str, int]
"""Kind of thing (as in `DEFAULT_LIMITS`) to how many there may be; -1 is as many as one likes."""

DEFAULT_LIMITS: Limits = {"network": 100, "subnet": 100, "port": 500, "trunk": UNLIMITED, "rbac_policy": 10}
"""What a project may have unless somebody says otherwise: as in Neutron."""
