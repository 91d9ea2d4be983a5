"""Reads YAML to plain values that remember their lines, and defines the error that points at them.

It uses the parser's flat stream of events, because PyYAML's own composer recurses in C, where a deeply nested file
crashes the process. The dialect is a small, safe part of YAML: no anchors, aliases or tags, no repeated keys, and plain
words stay words (in YAML 1.1 the key `on` would be a boolean).
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import yaml

MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 16
MAX_PROBLEMS = 20

KeyPath = tuple[str | int, ...]
Scalar = str | int | float | None

# The C parser is some ten times faster, but some builds of PyYAML lack it.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"[-+]?[0-9]+")
_DECIMAL = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?")
_EMPTY = ("", "~", "null")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where (`file:line`, or only the file), what, and what to do about it."""

    where: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.remedy}"


class PolicyError(ValueError):
    """A policy or its cases cannot be used. The message has a line for each of the first 20 problems."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        lines = [str(problem) for problem in self.problems[:MAX_PROBLEMS]]
        if len(self.problems) > MAX_PROBLEMS:
            lines.append(f"and {len(self.problems) - MAX_PROBLEMS} more")
        super().__init__("\n".join(lines))


def nearest(name: str, names: Iterable[str]) -> str:
    """The remedy for an unknown name: the nearest of `names`, or the first twelve when none is near."""
    known = sorted({str(name) for name in names})
    # A long name is hardly a typing error, and comparing it takes time.
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6) if len(name) <= 100 else []
    if close:
        return f"did you mean {close[0]!r}?"
    return "use one of: " + (", ".join(known[:12]) or "(there is none)") + (", …" if len(known) > 12 else "")


class Node(NamedTuple):
    """A value and the line it begins on; a mapping keeps, for each key, the line of the key."""

    line: int
    value: "Scalar | list[Node] | dict[str, tuple[int, Node]]"


@dataclass(frozen=True, slots=True)
class YamlFile:
    """A read file: its name for messages and its root."""

    source: str
    root: Node

    def where(self, path: KeyPath) -> str:
        """`file:line` of the value at `path`, or of its nearest ancestor that was written."""
        node, line = self.root, self.root.line
        for step in path:
            inner = node.value
            if isinstance(inner, dict) and isinstance(step, str) and step in inner:
                line, node = inner[step]
            elif isinstance(inner, list) and isinstance(step, int) and step < len(inner):
                node = inner[step]
                line = node.line
            elif step != 0:  # a single value may be written in place of a list of one
                break
        return f"{self.source}:{line}"

    def plain(self) -> object:
        """The values alone, as dicts, lists and scalars."""
        return _plain(self.root)


def read(text: str, source: str) -> YamlFile:
    """Read YAML `text`; `source` names it in messages. Raises `PolicyError`."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise _error(source, f"the file has {size} bytes, the limit is {MAX_BYTES}", "split it or shorten it")
    try:
        root = _build(yaml.parse(text, Loader=_LOADER), source)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{source}:{mark.line + 1}" if mark else source
        if "nesting" in (error.problem or ""):  # newer releases of libyaml have a limit of their own, which comes first
            raise _too_deep(place) from error
        raise _error(place, f"not valid YAML: {error.problem}", "correct the line or the one before") from error
    except (yaml.YAMLError, UnicodeError) as error:
        what = f"not valid YAML: {getattr(error, 'reason', error)}"
        raise _error(source, what, "save it as UTF-8 text without control characters") from error
    if root is None or root.value is None:
        raise _error(source, "the file is empty", "begin with one of the shipped policies")
    return YamlFile(source, root)


def _error(where: str, what: str, remedy: str) -> PolicyError:
    return PolicyError([Problem(where, what, remedy)])


def _too_deep(where: str) -> PolicyError:
    return _error(where, f"nested more than {MAX_DEPTH} levels deep", "no policy needs that; use fewer levels")


def _build(events: Iterator[yaml.Event], source: str) -> Node | None:
    """The tree of one document, without recursion. A mapping is first collected as key, value, key, value."""
    open_nodes: list[tuple[yaml.Event, list[Node]]] = []
    root: Node | None = None
    for event in events:
        node: Node | None = None
        if isinstance(event, yaml.NodeEvent):
            _refuse(event, source)
        if isinstance(event, yaml.CollectionStartEvent):
            if len(open_nodes) == MAX_DEPTH:
                raise _too_deep(_place(event, source))
            open_nodes.append((event, []))
        elif isinstance(event, yaml.CollectionEndEvent):
            node = _close(*open_nodes.pop(), source)
        elif isinstance(event, yaml.ScalarEvent):
            node = Node(_line(event), _scalar(event))
        elif isinstance(event, yaml.DocumentStartEvent) and root is not None:
            raise _error(_place(event, source), "a second document begins here", "keep one document a file")
        if node is not None and open_nodes:
            open_nodes[-1][1].append(node)
        elif node is not None:
            root = node
    return root


def _refuse(event: yaml.NodeEvent, source: str) -> None:
    """Refuse anchors, aliases and tags, which can make a small file huge or surprising."""
    tag = getattr(event, "tag", None)
    if event.anchor is not None:
        raise _error(_place(event, source), "anchors and aliases are not supported", "write the value out")
    if tag not in (None, "!"):
        raise _error(_place(event, source), f"the tag {tag!r} is not supported", "remove it")


def _close(start: yaml.Event, items: list[Node], source: str) -> Node:
    line = _line(start)
    if isinstance(start, yaml.SequenceStartEvent):
        return Node(line, items)
    entries: dict[str, tuple[int, Node]] = {}
    for key, value in zip(items[::2], items[1::2], strict=True):
        if isinstance(key.value, list | dict):
            raise _error(f"{source}:{key.line}", "a key must be a word", "write `key: value`")
        name = str(key.value)
        if name in entries:
            first = entries[name][0]
            raise _error(f"{source}:{key.line}", f"the key {name!r} is repeated", f"remove it here or in line {first}")
        entries[name] = (key.line, value)
    return Node(line, entries)


def _scalar(event: yaml.ScalarEvent) -> Scalar:
    text = str(event.value)
    quoted = not event.implicit[0]
    if quoted or len(text) > 40:
        return text
    if text in _EMPTY:
        return None
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _DECIMAL.fullmatch(text) else text


def _place(event: yaml.Event, source: str) -> str:
    return f"{source}:{_line(event)}"


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _plain(node: Node) -> object:
    value = node.value
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, (_, inner) in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(inner) for inner in value]
    return value
