"""The password file of `http_basic`: a line a user, `name:hash`, as `htpasswd -nBC 10 name` prints it.

Ironic's format, so only bcrypt hashes (`$2y$`, `$2b$`). A line may go on with the user's project and roles:
`name:hash:project:role,role`, where no project means the whole system; without them the user is an admin, as every user
is in Ironic.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from ironlane.model.caller import ADMIN, Caller
from ironlane.model.errors import Temporary

log = structlog.get_logger(__name__)

_HASH = re.compile(r"\$2[yb]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
_ROLE = re.compile(r"[a-z][a-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class User:
    """A line of the file."""

    hash: bytes
    caller: Caller


class PasswordFile:
    """The users in a file, which is read anew whenever it changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._state: tuple[int, int, int] | None = None
        self._users: Mapping[str, User] = {}

    def users(self) -> tuple[Mapping[str, User], bool]:
        """The users by name, and whether the file was read anew.

        A line that is none is left out and told of in the log: who it stands for cannot log in, all others can.

        Raises:
            Temporary: the file cannot be read; nobody can log in then.
        """
        try:
            now = self.path.stat()
            state = (now.st_mtime_ns, now.st_size, now.st_ino)
            if state == self._state:
                return self._users, False
            text = self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            self._state, self._users = None, {}
            raise Temporary(f"the password file {self.path} cannot be read: {error}") from error
        self._state, self._users = state, _parse(text, self.path)
        return self._users, True


def _parse(text: str, path: Path) -> Mapping[str, User]:
    users: dict[str, User] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        problem = _read(line.strip(), users)
        if problem:
            log.error("line of the password file left out", file=str(path), line=number, problem=problem)
    return users


def _read(line: str, users: dict[str, User]) -> str:
    """Add the user of a line; or say what is wrong with it, without the line, which may be a password in the clear."""
    name, _, rest = line.partition(":")
    hashed, more, rest = rest.partition(":")
    project, _, roles = rest.partition(":")
    if not name or name in users:
        return "no name" if not name else f"user {name} is there already"
    if not _HASH.fullmatch(hashed):
        return f"user {name} has no bcrypt hash; make the line with htpasswd -nB {name}"
    named = frozenset(role.strip() for role in roles.split(",") if role.strip())
    if more and not (named and all(_ROLE.fullmatch(role) for role in named)):
        return f"user {name} has a project, but no roles such as member or reader"
    if more:
        project = project.strip()
        caller = Caller(user_id=name, user_name=name, project_id=project, roles=named, is_system=not project)
    else:
        caller = Caller(user_id=name, user_name=name, roles=ADMIN, is_system=True)
    users[name] = User(hashed.encode(), caller)
    return ""
