"""The state table of a node's life: one handler a state, each idempotent. `work` says what a handler is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from ironlane.conductor.phases.clean import await_cleaned, clean
from ironlane.conductor.phases.delete import delete
from ironlane.conductor.phases.deploy import await_deployed, deploy
from ironlane.conductor.phases.inspect import await_inspected, inspect
from ironlane.conductor.phases.manage import adopt, tidy, tidy_boot, verify
from ironlane.conductor.phases.rescue import await_rescued, rescue, unrescue
from ironlane.conductor.phases.service import await_serviced, service
from ironlane.conductor.work import Result, Work
from ironlane.model.states import ProvisionState as S

HANDLERS: Mapping[S, Callable[[Work], Awaitable[Result]]] = {
    S.VERIFYING: verify,
    S.MANAGEABLE: tidy_boot,
    S.CLEANING: clean,
    S.CLEAN_WAIT: await_cleaned,
    S.CLEAN_FAILED: tidy,
    S.DEPLOYING: deploy,
    S.DEPLOY_WAIT: await_deployed,
    S.DEPLOY_FAILED: tidy,
    S.DELETING: delete,
    S.ERROR: tidy,
    S.ADOPTING: adopt,
    S.INSPECTING: inspect,
    S.INSPECT_WAIT: await_inspected,
    S.INSPECT_FAILED: tidy,
    S.RESCUING: rescue,
    S.RESCUE_WAIT: await_rescued,
    S.RESCUE_FAILED: tidy,
    S.UNRESCUING: unrescue,
    S.UNRESCUE_FAILED: tidy,
    S.SERVICING: service,
    S.SERVICE_WAIT: await_serviced,
    S.SERVICE_FAILED: tidy,
}
"""The state table. In states without a handler there is nothing to do."""
