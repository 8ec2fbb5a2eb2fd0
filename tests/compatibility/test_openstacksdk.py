"""docs/compatibility.md tells the truth about openstacksdk's own tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compatibility.__main__ import SUITES
from tests.compatibility.document import written
from tests.compatibility.openstacksdk import Suite, outcomes
from tests.compatibility.outcomes import Outcome, Reason, Result, lines, table, unexplained, unneeded


@pytest.mark.clients
@pytest.mark.timeout(600)
@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
async def test_what_the_table_says_is_so(suite: Suite, tmp_path: Path) -> None:
    found = await outcomes(suite, tmp_path)
    assert unexplained(found, suite.reasons) == []
    assert unneeded(found, suite.reasons) == []
    assert table(found, suite.reasons) == written(f"openstacksdk {suite.name}"), "run make compat"


def test_what_fails_needs_a_reason_and_a_reason_something_that_fails() -> None:
    reasons = (Reason("v2.test_a.*", "there is no a"), Reason("v2.test_b.*", "there is no b"))
    found = [
        Outcome("v2.test_a.A.test_x", Result.FAILED, "404"),
        Outcome("v2.test_a.A.test_y", Result.PASSED),
        Outcome("v2.test_c.C.test_z", Result.FAILED, "500"),
        Outcome("v2.test_d.D.test_z", Result.LEFT_OUT, "no d"),
    ]
    assert unexplained(found, reasons) == [found[2]]
    assert unneeded(found, reasons) == [reasons[1]]
    assert [tuple(line) for line in lines(found, reasons)] == [
        ("v2.test_a.A", (1, 0, 1), "`test_x`: there is no a"),
        ("v2.test_c.C", (0, 0, 1), "“500”"),
        ("v2.test_d.D", (0, 1, 0), "“no d”"),
    ]
