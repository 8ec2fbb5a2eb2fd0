"""docs/compatibility.md tells the truth about the `openstack` command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compatibility.document import written
from tests.compatibility.openstackclient import Command, Tried, table, try_all, wrong


@pytest.mark.clients
@pytest.mark.timeout(600)
async def test_what_the_table_says_is_so(tmp_path: Path) -> None:
    tried = await try_all(tmp_path)
    assert wrong(tried) == []
    assert table(tried) == written("openstackclient network"), "run make compat"


def test_what_is_wrong() -> None:
    fine = [Tried(Command("a"), ""), Tried(Command("b", "there is no b"), "404")]
    strange = [Tried(Command("c"), "500"), Tried(Command("d", "there is no d"), "")]
    assert wrong([*fine, *strange]) == strange
