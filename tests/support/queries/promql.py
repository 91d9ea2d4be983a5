"""What a PromQL expression names: enough of a reader to hold dashboards and rules against the catalogue.

It knows selectors, matchers and grouping clauses, not the grammar; whether an expression is valid is promtool's
and Prometheus's to say.
"""

import re
from dataclasses import dataclass

_STRING = re.compile(r'"([^"\\]|\\.)*"')
_RANGE = re.compile(r"\[[^\]]*\]")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*")')
_SELECTOR = re.compile(r"(?<![\w.:])([A-Za-z_:][\w:]*)(?!\w)\s*(\{[^}]*\})?(?!\s*\()")
_WORDS = {"and", "or", "unless", "bool", "offset", "group_left", "group_right", "inf", "nan"}


@dataclass(frozen=True, slots=True)
class Selector:
    """A metric name with its matchers: (label, operator, value)."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Named:
    """The selectors of an expression, and the labels of its grouping clauses."""

    selectors: tuple[Selector, ...]
    grouping: frozenset[str]


def names(expr: str) -> Named:
    """What `expr` names. Strings outside of matchers (label_replace's arguments) are not looked at."""
    grouping: set[str] = set()
    for labels in _GROUPING.findall(expr):
        grouping.update(label.strip() for label in labels.split(",") if label.strip())
    bare = _RANGE.sub("", _GROUPING.sub("", expr))
    selectors = []
    # Positions stay; what a string holds can be taken for neither a name nor a brace.
    blank = _STRING.sub(lambda found: '"' + " " * (len(found.group()) - 2) + '"', bare)
    for found in _SELECTOR.finditer(blank):
        if found.group(1).lower() in _WORDS or _in_braces(blank, found.start()):
            continue
        text = bare[found.start(2) : found.end(2)] if found.group(2) else ""
        matchers = tuple((label, how, value[1:-1]) for label, how, value in _MATCHER.findall(text))
        selectors.append(Selector(found.group(1), matchers))
    return Named(tuple(selectors), frozenset(grouping))


def _in_braces(text: str, position: int) -> bool:
    return text.count("{", 0, position) > text.count("}", 0, position)
