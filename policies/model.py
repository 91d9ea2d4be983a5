"""The documents people write, a policy and its cases, and the reading of them.      [pydantic only here]

What is checked here needs the file alone. What needs the detectors (names of sub-categories, measured
tables) is checked when the policy is compiled.
"""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from policies.source import Path, PolicyError, Problem, Tree, nearest, read

DEFAULT_FALSE_ALARMS = 0.01
CHANNELS = ("system", "user", "tool", "assistant", "arguments", "reasoning")
# What a model can write into a response; `tool` because a hosted tool's result is part of it.
RESPONSE_CHANNELS = frozenset({"tool", "assistant", "arguments", "reasoning"})

Direction = Literal["prompt", "response"]
Channel = Literal["system", "user", "tool", "assistant", "arguments", "reasoning"]
OnError = Literal["allow", "block"]
DIRECTIONS: tuple[Direction, ...] = ("prompt", "response")


class Action(StrEnum):
    """What becomes of a text, in ascending severity."""

    ALLOW = "allow"
    FLAG = "flag"
    REDACT = "redact"
    BLOCK = "block"

    @property
    def severity(self) -> int:
        """0 for allow to 3 for block."""
        return _SEVERITY[self]


_SEVERITY = {action: rank for rank, action in enumerate(Action)}


class Mode(StrEnum):
    """Whether rules act or only record what they would have done."""

    MONITOR = "monitor"
    ENFORCE = "enforce"


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


T = TypeVar("T")
ListOf = Annotated[tuple[T, ...], Field(min_length=1)]
OneOrMany = Annotated[
    tuple[T, ...],
    Field(min_length=1),
    BeforeValidator(_listed, json_schema_input_type=T | Annotated[list[T], Field(min_length=1)]),
]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _Written(BaseModel):
    """Every key is known, nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _fault(what: str, remedy: str, *path: str | int, first: Path = ()) -> PydanticCustomError:
    context = {"what": what, "remedy": remedy, "path": path, "first": first}
    return PydanticCustomError("policy", "{what}; {remedy}", context)


_SUBJECTS = ("subcategory", "any", "category")


class When(_Written):
    """The condition of a rule: which texts it concerns and how sure a detector must be."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": [name]} for name in _SUBJECTS],
            "not": {"required": ["false_alarms", "score"]},
        }
    )

    subcategory: str | None = Field(None, description="one sub-category, such as violence")
    any: ListOf[str] | None = Field(None, description="a list of sub-categories, of which one suffices")
    category: str | None = Field(None, description="a whole category, such as safety")
    on: OneOrMany[Direction] = Field(DIRECTIONS, description="prompt, response or a list of both")
    channel: OneOrMany[Channel] | None = Field(None, description="a list out of " + ", ".join(CHANNELS))
    route: OneOrMany[str] | None = Field(None, description="a list of names of routes")
    detector: str | None = Field(None, description="the name of one detector, without its version")
    finding: OneOrMany[str] | None = Field(None, description="a list of labels of findings, such as email")
    false_alarms: Share | None = Field(
        None, description="the share of benign texts it may match, 0 to 1; 0.01 when nothing is said"
    )
    score: Share | None = Field(None, description="a calibrated score, 0 to 1, in place of false_alarms")

    @model_validator(mode="after")
    def _is_possible(self) -> "When":
        named = [name for name in _SUBJECTS if getattr(self, name) is not None]
        if not named:
            raise _fault("the rule does not say what it looks for", "add `subcategory`, `any` or `category`")
        if len(named) > 1:
            raise _fault(f"`{named[0]}` and `{named[1]}` exclude each other", "keep one of them", named[1])
        if self.false_alarms is not None and self.score is not None:
            raise _fault("`false_alarms` and `score` exclude each other", "keep one of them", "score")
        if "on" in self.model_fields_set and "response" in self.on and "response" not in self.directions:
            listed = ", ".join(sorted(RESPONSE_CHANNELS))
            raise _fault(
                f"a response has no channel {' or '.join(self.channel or ())}",
                f"use `on: prompt`, or a channel out of {listed}",
                "channel",
            )
        return self

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions in which the rule can match at all, given its channels."""
        possible = self.channel is None or not RESPONSE_CHANNELS.isdisjoint(self.channel)
        return tuple(d for d in DIRECTIONS if d in self.on and (d == "prompt" or possible))


class Rule(_Written):
    """One sentence of a policy: when this is found, then do that."""

    id: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$",
        description="the rule's name in metrics and replies: 1 to 64 of a-z, 0-9, - and _",
    )
    when: When = Field(description="a mapping that says what the rule looks for, such as {subcategory: violence}")
    then: Literal["flag", "redact", "block"] = Field(description="flag, redact or block")
    on_error: OnError = Field("allow", description="allow or block, when a detector it needs gives no answer")
    mode: Mode | None = Field(None, description="monitor or enforce, for this rule alone")

    @model_validator(mode="after")
    def _can_fail_as_written(self) -> "Rule":
        if self.then == "flag" and self.on_error == "block":
            raise _fault(
                "a rule that only flags changes no traffic, so it cannot block on an error",
                "remove `on_error` or write `then: block`",
                "on_error",
            )
        return self


class Document(_Written):
    """A policy as it was written. Read one with `load_document`."""

    model_config = ConfigDict(title="Assay policy")

    version: Literal[1] = Field(description="the version of the language, 1")
    mode: Mode = Field(description="monitor (record what would be done) or enforce (do it)")
    rules: tuple[Rule, ...] = Field(description="a list of rules; the severest that matches decides")
    _tree: Tree | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _ids_are_unique(self) -> "Document":
        seen: dict[str, int] = {}
        for index, rule in enumerate(self.rules):
            first = seen.setdefault(rule.id, index)
            if first != index:
                what, remedy = f"the rule id {rule.id!r} is used twice", "rename one of the two rules"
                raise _fault(what, remedy, "rules", index, "id", first=("rules", first, "id"))
        return self

    def where(self, *path: str | int) -> str:
        """`file:line` of the value at `path`, for messages; `policy` when it was not read from a text."""
        return self._tree.where(path) if self._tree else "policy"


class Expect(_Written):
    """What a case must come to."""

    action: Action = Field(description="allow, flag, redact or block: what is carried out")
    would: Action | None = Field(
        None, description="allow, flag, redact or block: the action if every rule were enforced"
    )
    rule: str | None = Field(None, description="the id of the rule that decides")


class GivenSpan(_Written):
    """Where something was found in the text of a case, in code points."""

    start: int = Field(ge=0, description="the first code point, from 0")
    end: int = Field(ge=1, description="one past the last code point")
    label: str = Field(description="the label of the finding, such as email")


class GivenSignal(_Written):
    """A verdict that a case takes for granted."""

    subcategory: str = Field(description="the sub-category the verdict is about")
    score: Share = Field(description="the calibrated score, 0 to 1")
    detector: str | None = Field(
        None, description="a detector's name without its version; every one that can say it when left out"
    )
    spans: tuple[GivenSpan, ...] = Field((), description="a list of {start, end, label}")


class Case(_Written):
    """One example beside a policy: this text, or these verdicts, must come to that decision."""

    name: str = Field(min_length=1, description="a few words that say what is shown")
    direction: Direction = Field(description="prompt or response")
    channel: Channel = Field(description="one of " + ", ".join(CHANNELS))
    route: str = Field("default", description="the name of a route")
    text: str | None = Field(None, description="a text for the real detectors")
    signals: tuple[GivenSignal, ...] | None = Field(None, description="verdicts in place of a text")
    expect: Expect = Field(description="a mapping with `action` and, if you like, `rule` and `would`")

    @model_validator(mode="after")
    def _has_one_input(self) -> "Case":
        if (self.text is None) == (self.signals is None):
            raise _fault("a case needs either `text` or `signals`", "give exactly one of them")
        return self


# Plainer words for what pydantic says in terms of Python.
_PHRASES = {
    "model_type": "a mapping of keys is expected",
    "tuple_type": "a list is expected",
    "string_type": "a word is expected (put a number in quotes)",
    "too_short": "at least one is needed",
    "float_parsing": "a number is expected",
    "float_type": "a number is expected",
}

Models = Mapping[tuple[str, ...], type[BaseModel]]
_POLICY: Models = {(): Document, ("rules",): Rule, ("rules", "when"): When}
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
    document._tree = tree
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


def _explained(error: ValidationError, tree: Tree, models: Models) -> PolicyError:
    details = error.errors(include_url=False)
    # A list of which every item was refused is also reported as too short, which would mislead.
    above = {detail["loc"][:-1] for detail in details}
    told = [detail for detail in details if detail["type"] != "too_short" or detail["loc"] not in above]
    return PolicyError(_problem(detail, tree, models) for detail in told)


def _problem(detail: ErrorDetails, tree: Tree, models: Models) -> Problem:
    path, context = tuple(detail["loc"]), detail.get("ctx", {})
    where = tree.where((*path, *context.get("path", ())))
    words = tuple(step for step in path if isinstance(step, str))
    key, kind = words[-1] if words else "", detail["type"]
    model = models.get(words[:-1])
    if kind == "policy":
        first = f" (first in {tree.where(context['first'])})" if context["first"] else ""
        return Problem(where, context["what"] + first, context["remedy"])
    if kind == "extra_forbidden":
        return Problem(where, f"the key {key!r} is unknown", nearest(key, model.model_fields if model else ()))
    field = model.model_fields.get(key) if model else None
    meaning = f"`{key}` is {field.description}" if field else "see policies/README.md"
    if kind == "missing":
        return Problem(where, f"the key {key!r} is missing", meaning)
    given = f"{key!r} cannot be {_short(detail['input'])}" if key else f"found {_short(detail['input'])}"
    if kind in ("literal_error", "enum"):
        options = re.findall(r"'([^']*)'", context["expected"])
        return Problem(where, given, nearest(str(detail["input"]), options) if options else meaning)
    reason = _PHRASES.get(kind, detail["msg"][:1].lower() + detail["msg"][1:])
    return Problem(where, f"{given}: {reason}", meaning)


def _short(value: object) -> str:
    if value is None:
        return "empty"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "a list"
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "…"
