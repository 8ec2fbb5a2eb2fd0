"""`python -m tests.compatibility.openstacksdk_process PACKAGE FILE`: run a package of tests, write what became of them.

A process of its own, because the tests read their environment when they are imported.
"""

from __future__ import annotations

import importlib
import json
import sys
import unittest
from pathlib import Path


class Recording(unittest.TestResult):
    """Keeps one line a test. A test with more than one fault counts once, by its first."""

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self._prefix = prefix
        self.found: dict[str, tuple[str, str]] = {}

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        self._note(test, "passed")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
        self._note(test, "left out", reason)

    def addFailure(self, test: unittest.TestCase, err: object, details: object = None) -> None:  # noqa: N802
        self._fail(test, err, details)

    def addError(self, test: unittest.TestCase, err: object, details: object = None) -> None:  # noqa: N802
        self._fail(test, err, details)

    def addUnexpectedSuccess(self, test: unittest.TestCase, details: object = None) -> None:  # noqa: ARG002, N802
        self._note(test, "failed", "passed unexpectedly")

    def _fail(self, test: unittest.TestCase, err: object, details: object) -> None:
        text = str(err[1]) if isinstance(err, tuple) else str(err or details)
        print(f"--- {test.id()}\n{text}", flush=True)
        self._note(test, "failed", text.strip().splitlines()[-1] if text.strip() else "")

    def _note(self, test: unittest.TestCase, result: str, words: str = "") -> None:
        name = test.id().removeprefix(self._prefix)
        if self.found.get(name, ("passed", ""))[0] == "passed":
            self.found[name] = (result, words)


def main(package: str, answer: str) -> None:
    where = importlib.import_module(package).__path__[0]
    # Their names begin at the directory that has the package `openstack`.
    top = Path(where).parents[package.count(".")]
    suite = unittest.TestLoader().discover(where, top_level_dir=str(top))
    result = Recording(f"{package}.")
    suite.run(result)
    found = [(name, *what) for name, what in sorted(result.found.items())]
    Path(answer).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
