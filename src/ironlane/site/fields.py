"""Reading one mapping of the file key by key: each reader answers with a value, and notes what is wrong.

After a problem a reader answers with the default, so that one reading of the file tells everything that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import yaml

from ironlane.site.document import BrokenDocument, Problem, line_of, plain, scalar

Check = Callable[[str], str | None]
"""What is wrong with a text, or None."""


class Text(NamedTuple):
    """One text of a list, and where it stands."""

    value: str
    line: int
    path: str


class Fields:
    """A mapping of the file. `known` are the keys that it may have.

    Problems go to the list that all mappings of one file share. `path` is like `nodes[3].nics[0]`.
    """

    def __init__(self, node: yaml.Node | None, path: str, known: Collection[str], problems: list[Problem]) -> None:
        self.path = path
        self.line = 1 if node is None else line_of(node)
        self._problems = problems
        self._entries: dict[str, tuple[yaml.Node, int, str]] = {}
        if node is None or (isinstance(node, yaml.ScalarNode) and scalar(node) is None):
            return
        if not isinstance(node, yaml.MappingNode):
            self._note(self.line, path, "must be a mapping of keys to values")
            return
        for key, value in node.value:
            self._take(key, value, known)

    def _take(self, key: yaml.Node, value: yaml.Node, known: Collection[str]) -> None:
        name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
        path = f"{self.path}.{name}" if self.path else name
        if name not in known:
            self._note(line_of(key), path, f"is not known here; known are {', '.join(known)}")
        elif name in self._entries:
            self._note(line_of(key), path, f"is given twice, first on line {self._entries[name][1]}")
        else:
            self._entries[name] = (value, line_of(key), path)

    def inherit(self, template: Fields) -> None:
        """Take from a template whatever is not given here; mappings given in both are joined key by key."""
        for name, (node, line, path) in template._entries.items():
            own = self._entries.get(name)
            if own is None:
                self._entries[name] = (node, line, path)
            elif isinstance(node, yaml.MappingNode) and isinstance(own[0], yaml.MappingNode):
                given = {str(key.value) for key, _ in own[0].value if isinstance(key, yaml.ScalarNode)}
                below = [(key, value) for key, value in node.value if str(key.value) not in given]
                joined = yaml.MappingNode(own[0].tag, [*own[0].value, *below], own[0].start_mark, own[0].end_mark)
                self._entries[name] = (joined, own[1], own[2])

    def problem(self, key: str, message: str) -> None:
        """Something is wrong with a key: at its line, or at the mapping's when the key is not given."""
        _, line, path = self._entries.get(key, (None, self.line, f"{self.path}.{key}" if self.path else key))
        self._note(line, path, message)

    def problem_at(self, text: Text, message: str) -> None:
        """Something is wrong with one text of a list."""
        self._note(text.line, text.path, message)

    def _note(self, line: int, path: str, message: str) -> None:
        problem = Problem(line, path, message)
        if problem not in self._problems:  # a template's mistake shows once, not for everything that uses it
            self._problems.append(problem)

    def _node(self, key: str, *, required: bool = False) -> yaml.Node | None:
        """The node of a key; None, with a problem if it is required, when it is absent or null."""
        entry = self._entries.get(key)
        if entry is not None and not (isinstance(entry[0], yaml.ScalarNode) and scalar(entry[0]) is None):
            return entry[0]
        if required:
            self.problem(key, "is missing")
        return None

    def text(self, key: str, *, required: bool = False, check: Check | None = None) -> str:
        """A text, "" when there is none. Numbers count as the text that they are written as."""
        node = self._node(key, required=required)
        if node is None:
            return ""
        if not isinstance(node, yaml.ScalarNode):
            self.problem(key, "must be text")
            return ""
        value = str(node.value)
        wrong = _text_problem(value) or (check(value) if check else None)
        if wrong is not None:
            self.problem(key, wrong)
            return ""
        return value

    def number(self, key: str, low: int, high: int, *, required: bool = False) -> int | None:
        """A whole number from `low` to `high`, both included."""
        node = self._node(key, required=required)
        if node is None:
            return None
        value = scalar(node) if isinstance(node, yaml.ScalarNode) else None
        if isinstance(value, bool) or not isinstance(value, int):
            self.problem(key, "must be a whole number")
            return None
        if not low <= value <= high:
            self.problem(key, f"{value} is not from {low} to {high}")
            return None
        return value

    def flag(self, key: str, default: bool) -> bool:
        """True or false. What is neither counts as given: the opposite of the default."""
        node = self._node(key)
        if node is None:
            return default
        value = scalar(node) if isinstance(node, yaml.ScalarNode) else None
        if not isinstance(value, bool):
            self.problem(key, "must be true or false")
            return not default
        return value

    def free(self, key: str) -> dict[str, Any]:
        """A mapping whose keys are the operator's own."""
        node = self._node(key)
        if node is None:
            return {}
        if not isinstance(node, yaml.MappingNode):
            self.problem(key, "must be a mapping of keys to values")
            return {}
        try:
            result: dict[str, Any] = plain(node)
        except BrokenDocument as broken:
            self._note(broken.problem.line, self._entries[key][2], broken.problem.message)
            return {}
        return result

    def mapping(self, key: str, known: Collection[str]) -> Fields | None:
        """A mapping below this one; None when there is none."""
        node = self._node(key)
        return None if node is None else Fields(node, self._entries[key][2], known, self._problems)

    def texts(self, key: str, *, required: bool = False) -> list[Text]:
        """A list of texts; one text alone counts as a list of one."""
        node = self._node(key, required=required)
        if node is None:
            return []
        path = self._entries[key][2]
        if isinstance(node, yaml.ScalarNode):
            return [Text(str(node.value), self._entries[key][1], path)]
        found = []
        for index, item in enumerate(self._items(key, node)):
            place = Text("", line_of(item), f"{path}[{index}]")
            wrong = _text_problem(str(item.value)) if isinstance(item, yaml.ScalarNode) else "must be text"
            if wrong is None:
                found.append(place._replace(value=str(item.value)))
            else:
                self.problem_at(place, wrong)
        return found

    def each(self, key: str, known: Collection[str], *, required: bool = False) -> list[Fields]:
        """A list of mappings."""
        node = self._node(key, required=required)
        if node is None:
            return []
        path = self._entries[key][2]
        return [
            Fields(item, f"{path}[{index}]", known, self._problems) for index, item in enumerate(self._items(key, node))
        ]

    def named(self, key: str, known: Collection[str], names: Collection[str] | None = None) -> dict[str, Fields]:
        """A mapping of names to mappings; `names` are the names allowed, None for any."""
        node = self._node(key)
        if not isinstance(node, yaml.MappingNode):
            if node is not None:
                self.problem(key, "must be a mapping of names to mappings")
            return {}
        found = [str(k.value) for k, _ in node.value if isinstance(k, yaml.ScalarNode)]
        outer = Fields(node, self._entries[key][2], found if names is None else names, self._problems)
        return {name: Fields(value, path, known, self._problems) for name, (value, _, path) in outer._entries.items()}

    def _items(self, key: str, node: yaml.Node) -> list[yaml.Node]:
        if isinstance(node, yaml.SequenceNode):
            return list(node.value)
        self.problem(key, "must be a list")
        return []


def _text_problem(text: str) -> str | None:
    if not text.isprintable():
        return "has characters that cannot be printed"
    return "is longer than 255 characters" if len(text) > 255 else None
