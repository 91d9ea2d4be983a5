"""Reads a policy and its cases from YAML; says for each mistake where it is and what to write.      [pydantic]"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from policies.case_model import Case, Expect, GivenSignal, GivenSpan
from policies.model import CONDITION, SLUG, Condition, Count, Document, Rule, When
from policies.source import KeyPath, PolicyError, Problem, YamlFile, nearest, read

# Keys that people try who want patterns.
_PATTERNS = frozenset({"regex", "regexp", "pattern", "matches", "contains", "keyword", "keywords"})

# Plainer words for what pydantic says in terms of Python.
_PHRASES = {
    "model_type": "a mapping of keys is expected",
    "tuple_type": "a list is expected",
    "string_type": "a word is expected (put a number in quotes)",
    "too_short": "at least one is needed",
    "too_long": "there are too many",
    "string_too_long": "the text is too long",
    "string_too_short": "the text is empty",
    "int_type": "a whole number is expected",
    "int_from_float": "a whole number is expected",
    "int_parsing": "a whole number is expected",
    "float_parsing": "a number is expected",
    "float_type": "a number is expected",
}

Models = Mapping[tuple[str, ...], type[BaseModel]]
# Where a key may stand, in words; `when`, `count` and the like are called as they are written.
_PLACES: Mapping[tuple[str, ...], str] = {(): "at the top of the file", ("rules",): "in a rule, beside `when`"}
_POLICY: Models = {(): Document, ("rules",): Rule, ("rules", "when"): When, ("rules", "when", "count"): Count}
_CASES: Models = {
    (): Case,
    ("expect",): Expect,
    ("signals",): GivenSignal,
    ("signals", "spans"): GivenSpan,
}
_CASE_LIST = TypeAdapter(tuple[Case, ...])


def load_document(text: str, source: str) -> Document:
    """Read a policy from YAML; `source` names it in messages. Raises `PolicyError`, a line for each problem."""
    tree = read(text, source)
    try:
        document = Document.model_validate(tree.plain())
    except ValidationError as error:
        raise _explained(error, tree, _POLICY) from None
    document.stands_in(tree)
    return document


def load_cases(text: str, source: str) -> tuple[Case, ...]:
    """Read the list of cases beside a policy. Raises `PolicyError`."""
    tree = read(text, source)
    try:
        return _CASE_LIST.validate_python(tree.plain())
    except ValidationError as error:
        raise _explained(error, tree, _CASES) from None


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a policy, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Document.model_json_schema()}


def schema_text() -> str:
    """`schema` as `policy.schema.json` holds it."""
    return msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode() + "\n"


def _explained(error: ValidationError, tree: YamlFile, models: Models) -> PolicyError:
    details = error.errors(include_url=False)
    for detail in details:
        detail["loc"] = _in_file(detail["loc"])
    # A list whose items were all rejected is also reported as too short, which would mislead.
    above = {detail["loc"][:end] for detail in details for end in range(1, len(detail["loc"]))}
    told = [detail for detail in details if detail["type"] != "too_short" or detail["loc"] not in above]
    return PolicyError(_problem(detail, tree, models) for detail in told)


def _in_file(loc: KeyPath) -> KeyPath:
    return tuple(step for step in loc if step not in (SLUG, CONDITION))


def _model_at(models: Models, words: tuple[str, ...]) -> type[BaseModel] | None:
    """The model of the mapping at this path. Conditions may stand in conditions, to any depth."""
    outer = words
    while outer and outer[-1] in ("any", "all", "not"):
        outer = outer[:-1]
    found = models.get(outer)
    return Condition if found is When and outer != words else found


def _problem(detail: ErrorDetails, tree: YamlFile, models: Models) -> Problem:
    path, context = tuple(detail["loc"]), detail.get("ctx", {})
    where = tree.where((*path, *context.get("path", ())))
    words = tuple(step for step in path if isinstance(step, str))
    key, kind = words[-1] if words else "", detail["type"]
    model = _model_at(models, words[:-1])
    fields = {field.alias or name: field for name, field in model.model_fields.items()} if model else {}
    if kind == "policy":
        first = f" (first in {tree.where(context['first'])})" if context["first"] else ""
        return Problem(where, context["what"] + first, context["remedy"])
    if kind == "extra_forbidden":
        if key in _PATTERNS:
            what = f"the key {key!r} is unknown: policies have no patterns, which could take too long on a text"
            return Problem(where, what, "name what a detector finds, such as `subcategory: privacy_violation`")
        if places := _places_of(key, models):
            return Problem(where, f"the key {key!r} does not belong here", f"write it {' or '.join(places)}")
        return Problem(where, f"the key {key!r} is unknown", nearest(key, fields))
    field = fields.get(key)
    meaning = f"`{key}` is {field.description}" if field else "see policies/README.md"
    if kind == "missing":
        return Problem(where, f"the key {key!r} is missing", meaning)
    given = f"{key!r} cannot be {_short(detail['input'])}" if key else f"found {_short(detail['input'])}"
    if kind in ("literal_error", "enum"):
        options = re.findall(r"'([^']*)'", context["expected"])
        return Problem(where, given, nearest(str(detail["input"]), options) if options else meaning)
    reason = _PHRASES.get(kind, detail["msg"][:1].lower() + detail["msg"][1:])
    return Problem(where, f"{given}: {reason}", meaning)


def _places_of(key: str, models: Models) -> list[str]:
    """Where a key may stand that does not belong where it was found."""
    return [
        _PLACES.get(path) or f"in `{path[-1]}`"
        for path, model in models.items()
        if key in {field.alias or name for name, field in model.model_fields.items()}
    ]


def _short(value: object) -> str:
    if value is None:
        return "empty"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "a list"
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "…"
