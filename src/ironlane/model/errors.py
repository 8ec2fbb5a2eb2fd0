"""What can go wrong, and who has to act.

::

    IronlaneError
    ├── Rejected            the caller's fault: a 4xx answer, and nothing was stored
    │   ├── Invalid         400  a field is malformed, unknown, out of range or contradicts another
    │   ├── Unauthorized    401  who asks has not proven who that is
    │   ├── Forbidden       403  not allowed, whoever asks
    │   ├── NotFound        404  no such thing
    │   └── Conflict        409  well-formed, but not in the present state
    ├── Temporary           try again later: a device, a database or a peer does not answer (503)
    │   └── Busy            too much is asked for at once (503); the message is fit for any client
    └── Permanent           trying again will not help: stop, and say why (500 if it reaches a client)

`code` is the name that the Networking or Baremetal API gives the error (its clients match on it). Every message says
what was wrong, with what, and what to do.
"""

from __future__ import annotations


class IronlaneError(Exception):
    """Base of all errors that Ironlane raises on purpose."""

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.__class__.__name__


class Rejected(IronlaneError):
    """The caller's fault; nothing was stored.

    `field` is the path of the offending field as the client wrote it, such as
    ``binding:profile.local_link_information[0].port_id``.
    """

    def __init__(self, message: str, *, code: str | None = None, field: str | None = None) -> None:
        super().__init__(f"{field}: {message}" if field and field not in message else message, code=code)
        self.field = field


class Invalid(Rejected):
    """A field is malformed, unknown, out of range or contradicts another."""


class Unauthorized(Rejected):
    """Who asks has not proven who that is: a token is missing or wrong."""


class Forbidden(Rejected):
    """Not allowed, whoever asks."""


class NotFound(Rejected):
    """No such thing. `noun` is the kind of thing ("network"), `ident` what the client called it."""

    def __init__(self, noun: str, ident: str, *, code: str | None = None, field: str | None = None) -> None:
        name = "".join(word.capitalize() for word in noun.split())
        super().__init__(
            f"{noun[:1].upper()}{noun[1:]} {ident} could not be found.",
            code=code or f"{name}NotFound",
            field=field,
        )
        self.noun = noun
        self.ident = ident


class Conflict(Rejected):
    """Well-formed, but not possible in the present state."""


class Temporary(IronlaneError):
    """A device, a database or a peer does not answer or is busy: try again with back-off."""


class Busy(Temporary):
    """More is asked for at once than is done at a time. The message tells nothing of the inside."""


class Permanent(IronlaneError):
    """Trying again will not help: a device refuses, or contradicts what it is asked for."""
