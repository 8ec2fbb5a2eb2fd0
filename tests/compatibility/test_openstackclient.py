"""docs/compatibility.md tells the truth about the `openstack` command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compatibility.__main__ import TRIALS
from tests.compatibility.document import written
from tests.compatibility.openstackclient import Command, Tried, table, wrong


@pytest.mark.clients
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", TRIALS)
async def test_what_the_table_says_is_so(name: str, tmp_path: Path) -> None:
    tried = await TRIALS[name](tmp_path)
    assert wrong(tried) == []
    assert table(tried) == written(name), "run make compat"


def test_what_is_wrong() -> None:
    fine = [Tried(Command("a"), ""), Tried(Command("b", "there is no b"), "404")]
    strange = [Tried(Command("c"), "500"), Tried(Command("d", "there is no d"), "")]
    assert wrong([*fine, *strange]) == strange
