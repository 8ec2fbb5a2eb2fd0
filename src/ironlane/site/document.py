"""YAML into nodes that know their lines, and scalars by the core schema of YAML 1.2.

PyYAML reads scalars by YAML 1.1, where `22:30` is a number and `on` is true. A MAC address is no number, so values are
taken from the text of each scalar here. Aliases are refused: they hide where a value comes from, and a few lines of
them can stand for gigabytes; the site file has templates instead.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import yaml

DEEPEST = 40
"""Levels of nesting; a site file needs about six, and the parser is recursive."""

_LOADER: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser where PyYAML was built with it: ten times as fast on a site of a thousand servers."""

_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Something wrong with a site file. Lines count from 1; `path` is like `nodes[3].nics[0].port`, "" for the file."""

    line: int
    path: str
    message: str

    def show(self, file: str) -> str:
        """`site.yaml:LINE: path: message`, as compilers and editors know it."""
        return f"{file}:{self.line}: {f'{self.path}: ' if self.path else ''}{self.message}"


class BrokenDocument(Exception):
    """The text is not YAML that can be read at all."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def line_of(node: yaml.Node) -> int:
    """The line that a node begins on, from 1."""
    return 1 if node.start_mark is None else node.start_mark.line + 1


def compose(text: str) -> yaml.Node | None:
    """The root node of a document; None when it is empty.

    Raises:
        BrokenDocument: not YAML, more than one document, aliases, or nested too deeply.
    """
    try:
        _refuse_aliases(text)
        root: yaml.Node | None = yaml.compose(text, Loader=_LOADER)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise BrokenDocument(Problem(line, "", f"not readable as text: {error.reason}")) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = " ".join(part for part in (error.context, error.problem) if part)
        raise BrokenDocument(Problem(mark.line + 1 if mark else 1, "", f"not YAML: {message}")) from error
    return root


def _refuse_aliases(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        line = 1 if event.start_mark is None else event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise BrokenDocument(Problem(line, "", f"aliases (*{event.anchor}) are not supported: use a template"))
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise BrokenDocument(Problem(line, "", f"nested deeper than {DEEPEST} levels"))
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def scalar(node: yaml.ScalarNode) -> str | int | float | bool | None:
    """A scalar by the core schema of YAML 1.2: quoted is text; plain is null, a boolean, a number, or else text."""
    text = str(node.value)
    if node.style:  # plain is None from PyYAML's own parser and "" from libyaml's
        return text
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    number = float(text) if _FLOAT.fullmatch(text) else math.inf
    return number if math.isfinite(number) else text  # JSON, which all of this becomes, knows no infinity


def plain(node: yaml.Node) -> Any:
    """A node as plain values, for keys whose shape is the operator's own (`properties`, `options`).

    Raises:
        BrokenDocument: a mapping with a key twice, or one that is no text.
    """
    if isinstance(node, yaml.ScalarNode):
        return scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return [plain(item) for item in node.value]
    result: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise BrokenDocument(Problem(line_of(key), "", "a key must be text"))
        if key.value in result:
            raise BrokenDocument(Problem(line_of(key), "", f"{key.value} is given twice"))
        result[str(key.value)] = plain(value)
    return result
