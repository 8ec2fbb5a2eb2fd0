"""Who asks: the identity that a request was made with, and the roles that come with it.

The roles are OpenStack's: `reader` sees, `member` (who is a reader too) changes, `admin` (a member too) may do all, in
every project. `service` is what other services of the cloud log in with: nova-compute, an Ironic conductor, the ML2
mechanism driver. What each may do is one table: `ironlane.model.policy`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_IMPLIED = {"admin": ("member", "reader"), "member": ("reader",)}


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated user, in the project (or the whole system) that it chose to act for.

    `project_id` is empty for those that act for no project; such a caller owns nothing.
    """

    user_id: str = ""
    user_name: str = ""
    project_id: str = ""
    roles: frozenset[str] = field(default_factory=frozenset)
    is_system: bool = False
    # Asked several times by every request, so worked out once.
    is_admin: bool = field(init=False, compare=False)
    """May do everything, to everything."""
    sees_all: bool = field(init=False, compare=False)
    """Nothing is hidden from it, whoever's it is."""

    def __post_init__(self) -> None:
        roles = self.roles | {other for role in self.roles for other in _IMPLIED.get(role, ())}
        sees_all = bool({"admin", "service"} & roles) or (self.is_system and "reader" in roles)
        for name, value in (("roles", roles), ("is_admin", "admin" in roles), ("sees_all", sees_all)):
            object.__setattr__(self, name, value)


ADMIN = frozenset({"admin"})

INTERNAL = Caller(user_name="ironlane", roles=ADMIN, is_system=True)
"""Ironlane itself: the loops' own work, and requests whose handlers prove for themselves who is there (agents)."""
