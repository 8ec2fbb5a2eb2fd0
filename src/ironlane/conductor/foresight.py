"""What a switch is to carry, and what would be sent to it: for the fabric loop itself, and for those who only ask."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from ironlane.model.fabric import Attachment, DriftPolicy, Mlag, PortConfig
from ironlane.model.plan import Plan, diff, project
from ironlane.store.plans import changes_to_json
from ironlane.store.previews import Wishes
from ironlane.store.reconcile import Outcome, SwitchView
from ironlane.switches.base import Foresighted, SwitchDriver


def told(attachments: Iterable[Attachment], driver: SwitchDriver) -> list[Attachment]:
    """The attachments without what this kind of switch is not told: MLAG ids, where a pair goes by the LAG's number."""
    if driver.capabilities.mlag is not Mlag.NUMBER:
        return list(attachments)
    return [
        replace(a, lag=replace(a.lag, mlag=None)) if a.lag is not None and a.lag.mlag is not None else a
        for a in attachments
    ]


def aim(
    seen: SwitchView, driver: SwitchDriver, outcome: Outcome, attachments: Iterable[Attachment]
) -> tuple[dict[str, PortConfig], set[str]]:
    """What the ports of a switch are to carry for these attachments, and which ports are left as somebody made them.

    Neither those nor the ports that the switch does not have are in the first.
    """
    desired = {p: c for p, c in project(attachments, seen.ports).items() if p not in outcome.missing}
    if not driver.capabilities.descriptions:
        desired = {port: replace(config, description="") for port, config in desired.items()}
    if seen.policy is DriftPolicy.REPAIR:
        return desired, set()
    if seen.policy is DriftPolicy.OBSERVE:
        other = {p for p, c in desired.items() if (outcome.observed or {}).get(p) != c}
        return {p: c for p, c in desired.items() if p not in other}, other
    # What nobody asked to change since it was verified is left as somebody else made it.
    tolerated = {p for p in outcome.drifted if desired.get(p) == seen.verified.get(p)}
    return {p: c for p, c in desired.items() if p not in tolerated}, tolerated


def foresee(seen: SwitchView, driver: SwitchDriver, outcome: Outcome, wishes: Wishes) -> list[dict[str, Any] | None]:
    """What would be sent for each generation of a preview, once those before it are done. Sends nothing.

    Of a switch that is only observed it is told what would be sent if it were not.

    Answers `{changes, rendered, exact, tolerated, missing}`, or None where a generation does not concern the switch.
    `exact` is False where the text may come out otherwise, because it depends on what the switch makes of the
    generation before.

    Raises:
        Permanent: the switch cannot do it.
    """
    if seen.policy is DriftPolicy.OBSERVE:
        seen = replace(seen, policy=DriftPolicy.REPAIR)
    observed = dict(outcome.observed or {})
    earlier: list[Plan] = []
    found: list[dict[str, Any] | None] = []
    for wished in wishes:
        if wished is None:
            found.append(None)
            continue
        attachments = told(wished, driver)
        desired, tolerated = aim(seen, driver, outcome, attachments)
        plan = diff(seen.id, desired, observed, attachments)
        rendered, exact = _render(driver, plan, earlier)
        found.append(
            {
                "changes": changes_to_json(plan),
                "rendered": list(rendered),
                "exact": exact,
                "tolerated": sorted(tolerated),
                "missing": sorted(outcome.missing),
            }
        )
        if plan:
            earlier.append(plan)
        observed |= desired
    return found


def _render(driver: SwitchDriver, plan: Plan, earlier: Sequence[Plan]) -> tuple[Sequence[str], bool]:
    if not plan:
        return (), True
    if not earlier:
        return driver.render(plan), True
    if isinstance(driver, Foresighted):
        return driver.render_after(plan, earlier), True
    return driver.render(plan), False
