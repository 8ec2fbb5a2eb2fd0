"""The life of a server: its states, what may be asked for in each, and what becomes of a failure.

The strings are the Baremetal API's, letter by letter; clients compare them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from ironlane.model.errors import Invalid


class ProvisionState(StrEnum):
    """`provision_state` of a node."""

    ENROLL = "enroll"
    """Known, and nothing else: its credentials were never tried."""
    VERIFYING = "verifying"
    """Its BMC is being asked who it is."""
    MANAGEABLE = "manageable"
    """Its BMC answers; not offered to anybody."""
    CLEANING = "cleaning"
    """Being moved to or from the cleaning network."""
    CLEAN_WAIT = "clean wait"
    """On the cleaning network, booted or booting; waiting for its report."""
    CLEAN_FAILED = "clean failed"
    """Cleaning went wrong; `last_error` says how."""
    AVAILABLE = "available"
    """Clean, off, on no network; may be deployed."""
    DEPLOYING = "deploying"
    """Being moved to the provisioning network, or from there to its tenant's."""
    DEPLOY_WAIT = "wait call-back"
    """On the provisioning network, booted or booting; waiting for its report."""
    DEPLOY_FAILED = "deploy failed"
    """Deployment went wrong; `last_error` says how."""
    ACTIVE = "active"
    """On its tenant's networks, read back from the switches, and booted."""
    DELETING = "deleting"
    """Leaving its tenant's networks."""
    ERROR = "error"
    """Leaving its tenant's networks went wrong; `last_error` says how."""
    ADOPTING = "adopting"
    """An already deployed server is being taken over without a reboot."""
    ADOPT_FAILED = "adopt failed"
    """Taking over went wrong; `last_error` says how."""
    INSPECTING = "inspecting"
    """Being moved to or from the inspection network."""
    INSPECT_WAIT = "inspect wait"
    """On the inspection network, booted or booting; waiting for its inventory."""
    INSPECT_FAILED = "inspect failed"
    """Inspection went wrong; `last_error` says how."""
    RESCUING = "rescuing"
    """Being moved to the rescuing network, or from there to its tenant's with the rescue ramdisk running."""
    RESCUE_WAIT = "rescue wait"
    """On the rescuing network, booted or booting; waiting for the ramdisk to take the password."""
    RESCUE = "rescue"
    """On its tenant's networks, running a ramdisk that its tenant can log in to."""
    RESCUE_FAILED = "rescue failed"
    """Rescuing went wrong; `last_error` says how."""
    UNRESCUING = "unrescuing"
    """Leaving the ramdisk: off, off all networks, and back to its tenant's and its disk."""
    UNRESCUE_FAILED = "unrescue failed"
    """Leaving the ramdisk went wrong; `last_error` says how."""
    SERVICING = "servicing"
    """A deployed server being moved to the servicing network, or from there back to its tenant's."""
    SERVICE_WAIT = "service wait"
    """On the servicing network, booted or booting; its agent takes service steps."""
    SERVICE_FAILED = "service failed"
    """Servicing went wrong; `last_error` says how."""


class Verb(StrEnum):
    """What a client asks for: `target` of `PUT /v1/nodes/{id}/states/provision`."""

    MANAGE = "manage"
    PROVIDE = "provide"
    CLEAN = "clean"
    ACTIVE = "active"
    REBUILD = "rebuild"
    DELETED = "deleted"
    ABORT = "abort"
    ADOPT = "adopt"
    INSPECT = "inspect"
    RESCUE = "rescue"
    UNRESCUE = "unrescue"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Step:
    """Where a verb takes a node at once, and where the lifecycle loop is to bring it in the end."""

    state: ProvisionState
    target: ProvisionState | None


S = ProvisionState

VERBS: Mapping[Verb, Mapping[ProvisionState, Step]] = {
    Verb.MANAGE: {
        S.ENROLL: Step(S.VERIFYING, S.MANAGEABLE),
        S.AVAILABLE: Step(S.MANAGEABLE, None),
        S.CLEAN_FAILED: Step(S.MANAGEABLE, None),
        S.ADOPT_FAILED: Step(S.MANAGEABLE, None),
        S.INSPECT_FAILED: Step(S.MANAGEABLE, None),
    },
    Verb.PROVIDE: {S.MANAGEABLE: Step(S.CLEANING, S.AVAILABLE)},
    Verb.CLEAN: {S.MANAGEABLE: Step(S.CLEANING, S.MANAGEABLE)},
    Verb.ACTIVE: {S.AVAILABLE: Step(S.DEPLOYING, S.ACTIVE), S.DEPLOY_FAILED: Step(S.DEPLOYING, S.ACTIVE)},
    Verb.REBUILD: {
        S.ACTIVE: Step(S.DEPLOYING, S.ACTIVE),
        S.DEPLOY_FAILED: Step(S.DEPLOYING, S.ACTIVE),
        S.ERROR: Step(S.DEPLOYING, S.ACTIVE),
    },
    Verb.DELETED: {
        S.ACTIVE: Step(S.DELETING, S.AVAILABLE),
        S.DEPLOY_WAIT: Step(S.DELETING, S.AVAILABLE),
        S.DEPLOY_FAILED: Step(S.DELETING, S.AVAILABLE),
        S.ERROR: Step(S.DELETING, S.AVAILABLE),
        S.RESCUE: Step(S.DELETING, S.AVAILABLE),
        S.RESCUE_WAIT: Step(S.DELETING, S.AVAILABLE),
        S.RESCUE_FAILED: Step(S.DELETING, S.AVAILABLE),
        S.UNRESCUE_FAILED: Step(S.DELETING, S.AVAILABLE),
        S.SERVICE_FAILED: Step(S.DELETING, S.AVAILABLE),
    },
    Verb.ABORT: {
        S.CLEAN_WAIT: Step(S.CLEAN_FAILED, None),
        S.DEPLOY_WAIT: Step(S.DEPLOY_FAILED, None),
        S.INSPECT_WAIT: Step(S.INSPECT_FAILED, None),
        S.RESCUE_WAIT: Step(S.RESCUE_FAILED, None),
        S.SERVICE_WAIT: Step(S.SERVICE_FAILED, None),
        # Back to its tenant's networks without another service step; that has to be read back before it is active.
        S.SERVICE_FAILED: Step(S.SERVICING, S.ACTIVE),
    },
    Verb.ADOPT: {S.MANAGEABLE: Step(S.ADOPTING, S.ACTIVE), S.ADOPT_FAILED: Step(S.ADOPTING, S.ACTIVE)},
    Verb.INSPECT: {
        S.MANAGEABLE: Step(S.INSPECTING, S.MANAGEABLE),
        S.INSPECT_FAILED: Step(S.INSPECTING, S.MANAGEABLE),
    },
    Verb.RESCUE: {
        S.ACTIVE: Step(S.RESCUING, S.RESCUE),
        S.RESCUE: Step(S.RESCUING, S.RESCUE),
        S.RESCUE_FAILED: Step(S.RESCUING, S.RESCUE),
        S.UNRESCUE_FAILED: Step(S.RESCUING, S.RESCUE),
        S.SERVICE_FAILED: Step(S.RESCUING, S.RESCUE),
    },
    Verb.UNRESCUE: {
        S.RESCUE: Step(S.UNRESCUING, S.ACTIVE),
        S.RESCUE_FAILED: Step(S.UNRESCUING, S.ACTIVE),
        S.UNRESCUE_FAILED: Step(S.UNRESCUING, S.ACTIVE),
    },
    Verb.SERVICE: {
        S.ACTIVE: Step(S.SERVICING, S.ACTIVE),
        S.SERVICE_FAILED: Step(S.SERVICING, S.ACTIVE),
    },
}
"""What each verb does in each state; in all other states it is refused."""

FAILURE: Mapping[ProvisionState, ProvisionState] = {
    S.VERIFYING: S.ENROLL,
    S.CLEANING: S.CLEAN_FAILED,
    S.CLEAN_WAIT: S.CLEAN_FAILED,
    S.DEPLOYING: S.DEPLOY_FAILED,
    S.DEPLOY_WAIT: S.DEPLOY_FAILED,
    S.DELETING: S.ERROR,
    S.ADOPTING: S.ADOPT_FAILED,
    S.INSPECTING: S.INSPECT_FAILED,
    S.INSPECT_WAIT: S.INSPECT_FAILED,
    S.RESCUING: S.RESCUE_FAILED,
    S.RESCUE_WAIT: S.RESCUE_FAILED,
    S.UNRESCUING: S.UNRESCUE_FAILED,
    S.SERVICING: S.SERVICE_FAILED,
    S.SERVICE_WAIT: S.SERVICE_FAILED,
}
"""Where a node goes when the work of a state fails for good. Its keys are the states in which the loop works."""

WORKING = frozenset(FAILURE)
"""States in which the lifecycle loop has something to do."""

DELETABLE = frozenset({S.ENROLL, S.MANAGEABLE, S.AVAILABLE, S.CLEAN_FAILED, S.ADOPT_FAILED, S.INSPECT_FAILED, S.ERROR})
"""States in which a node's record may be deleted (others only in maintenance)."""


def step_for(verb: str, state: ProvisionState, *, node: str) -> Step:
    """What a client's verb does to a node in a state.

    Raises:
        Invalid: unknown verb, or not possible in this state (the Baremetal API answers 400 for both).
    """
    try:
        known = Verb(verb)
    except ValueError:
        names = ", ".join(Verb)
        raise Invalid(f"{verb!r} is no provision target; use one of {names}", field="target") from None
    step = VERBS[known].get(state)
    if step is None:
        allowed = ", ".join(f"{s.value!r}" for s in VERBS[known])
        raise Invalid(
            f'The requested action "{verb}" can not be performed on node "{node}" while it is in state "{state}";'
            f" it is possible in {allowed}.",
            code="InvalidStateRequested",
            field="target",
        )
    return step
