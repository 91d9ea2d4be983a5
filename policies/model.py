"""A policy as people write it; its cases are in `case_model`. `reading` makes both from a text.      [pydantic]

Here is checked what needs only the file. What needs the detectors (names of sub-categories, measured tables) is checked
when the policy is compiled.
"""

from enum import StrEnum
from typing import Annotated, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    model_validator,
)
from pydantic_core import PydanticCustomError

from policies.source import KeyPath, YamlFile

DEFAULT_FALSE_ALARMS = 0.01
DEFAULT_THROTTLE_SECONDS = 60
CHANNELS = ("system", "user", "tool", "retrieved", "assistant", "arguments", "reasoning")
# The channels of a response; `tool` and `retrieved` because the result of a hosted tool is a part of it.
RESPONSE_CHANNELS = frozenset({"tool", "retrieved", "assistant", "arguments", "reasoning"})
MAX_CONDITIONS = 64  # in one list: nobody could read a rule with more

Direction = Literal["prompt", "response"]
Channel = Literal["system", "user", "tool", "retrieved", "assistant", "arguments", "reasoning"]
OnError = Literal["allow", "block"]
Whom = Literal["caller", "end_user"]  # whose requests are slowed down
DIRECTIONS: tuple[Direction, ...] = ("prompt", "response")


class Action(StrEnum):
    """What is done with a text, in ascending severity."""

    ALLOW = "allow"
    FLAG = "flag"
    THROTTLE = "throttle"
    REDACT = "redact"
    REROUTE = "reroute"
    REPLACE = "replace"
    BLOCK = "block"

    @property
    def severity(self) -> int:
        """0 for allow to 6 for block."""
        return _SEVERITY[self]

    @property
    def acts(self) -> bool:
        """Whether it changes traffic, and so needs a verdict first."""
        return _SEVERITY[self] > _SEVERITY[Action.FLAG]


_SEVERITY = {action: rank for rank, action in enumerate(Action)}


class Mode(StrEnum):
    """Whether rules act, act on a share of the requests, or only record what they would have done."""

    MONITOR = "monitor"
    CANARY = "canary"
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


class Written(BaseModel):
    """What people write: unknown keys are refused, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def fault(what: str, remedy: str, *path: str | int, first: KeyPath = ()) -> PydanticCustomError:
    context = {"what": what, "remedy": remedy, "path": path, "first": first}
    return PydanticCustomError("policy", "{what}; {remedy}", context)


_SUBJECTS = ("subcategory", "any", "category")
# Keys that narrow down what is looked for, and keys about the request as a whole.
_NARROWING = ("on", "channel", "language", "detector", "finding", "false_alarms", "score", "agree")
_ASKING = ("route", "model", "caller")
# Steps that pydantic adds to the path of an error and that are not in the file.
SLUG, CONDITION = "<slug>", "<condition>"


# Inside the models `any` and `all` are keys of the language.
_any, _all = any, all


def _is_slug(value: object) -> str:
    return SLUG if isinstance(value, str) else CONDITION


class Condition(Written):
    """What must be found, and where. All that a condition says must hold.

    A condition inside another one inherits what the outer one says about detectors, findings and rates, unless it says
    something else itself. The outer one's direction, channels and languages narrow it down.
    """

    model_config = ConfigDict(json_schema_extra={"not": {"required": ["false_alarms", "score"]}})

    subcategory: str | None = Field(None, description="one sub-category, such as violence")
    any: "Conditions | None" = Field(
        None, description="a list of sub-categories, or of conditions, of which one suffices"
    )
    category: str | None = Field(None, description="a whole category, such as safety")
    all: "Conditions | None" = Field(None, description="a list of conditions that must all hold")
    not_: "OneCondition | None" = Field(None, alias="not", description="a condition that must not hold")
    on: OneOrMany[Direction] = Field(DIRECTIONS, description="prompt, response or a list of both")
    channel: OneOrMany[Channel] | None = Field(None, description="a list out of " + ", ".join(CHANNELS))
    language: OneOrMany[str] | None = Field(None, description="a list of ISO 639-1 codes, such as en")
    route: OneOrMany[str] | None = Field(None, description="a list of names of routes")
    model: OneOrMany[str] | None = Field(None, description="a list of names of models; a name may end in *")
    caller: OneOrMany[str] | None = Field(None, description="a list of names of callers' keys; a name may end in *")
    detector: str | None = Field(None, description="the name of one detector, without its version")
    finding: OneOrMany[str] | None = Field(None, description="a list of labels of findings, such as email")
    false_alarms: Share | None = Field(
        None, description="the share of benign texts it may match, 0 to 1; 0.01 when nothing is said"
    )
    score: Share | None = Field(None, description="a calibrated score, 0 to 1, in place of false_alarms")
    same_text: bool = Field(False, description="whether all that it looks for must be found in one and the same text")
    agree: Annotated[int, Field(ge=2, le=16)] | None = Field(
        None, description="the number of detectors that must find it in the same text, from 2"
    )

    @model_validator(mode="after")
    def _is_possible(self) -> "Condition":
        named = [name for name in _SUBJECTS if getattr(self, name) is not None]
        if len(named) > 1:
            raise fault(f"`{named[0]}` and `{named[1]}` exclude each other", "keep one of them", named[1])
        if self.false_alarms is not None and self.score is not None:
            raise fault("`false_alarms` and `score` exclude each other", "keep one of them", "score")
        if not named and self.all is None:
            self._says_something()
        if self.same_text and not (self.finds and (self.all or self.not_)):
            what = "there are no two things that could be in the same text"
            raise fault(what, "remove `same_text`, or write the conditions as a list in `all`", "same_text")
        for key in ("model", "caller"):
            for place, name in enumerate(getattr(self, key) or ()):
                if "*" in name[:-1]:
                    raise fault(f"{name!r} has a star inside", "a star may only stand at the end", key, place)
        if "on" in self.model_fields_set and "response" in self.on and "response" not in self.directions:
            listed = ", ".join(sorted(RESPONSE_CHANNELS))
            raise fault(
                f"a response has no channel {' or '.join(self.channel or ())}",
                f"use `on: prompt`, or a channel out of {listed}",
                "channel",
            )
        return self

    def _says_something(self) -> None:
        """Refuse a condition that looks for nothing, unless it names a caller or the like, or contains a `not`."""
        narrowing = [name for name in _NARROWING if name in self.model_fields_set]
        asks = self.not_ is not None or _any(getattr(self, name) is not None for name in _ASKING)
        if narrowing and self.not_ is None:
            what = "the rule does not say what it looks for"
            raise fault(what, f"add `subcategory`, `any` or `category` beside `{narrowing[0]}`")
        if not asks:
            raise fault("the rule does not say what it looks for", "add `subcategory`, `any` or `category`")

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions in which it can hold, given its channels."""
        possible = self.channel is None or not RESPONSE_CHANNELS.isdisjoint(self.channel)
        return tuple(d for d in DIRECTIONS if d in self.on and (d == "prompt" or possible))

    @property
    def slugs(self) -> tuple[str, ...]:
        """The sub-categories that `any` lists, if it lists nothing else."""
        listed = [entry for entry in self.any or () if isinstance(entry, str)]
        return tuple(listed) if len(listed) == len(self.any or ()) else ()

    @property
    def finds(self) -> bool:
        """Whether it holds only if something was found, and so never for an empty request."""
        if self.subcategory is not None or self.category is not None:
            return True
        if self.any is not None and _all(_finds(entry) for entry in self.any):
            return True
        return _any(_finds(entry) for entry in self.all or ())


def _finds(entry: "str | Condition") -> bool:
    return isinstance(entry, str) or entry.finds


OneCondition = Annotated[
    Annotated[str, Tag(SLUG)] | Annotated[Condition, Tag(CONDITION)],
    Discriminator(_is_slug),
]
Conditions = Annotated[tuple[OneCondition, ...], Field(min_length=1, max_length=MAX_CONDITIONS)]


class Count(Written):
    """How often the condition must hold before the rule matches, this time included."""

    at_least: int = Field(ge=2, le=10_000, description="a number from 2")
    by: Literal["caller", "end_user", "conversation"] = Field(
        description="caller (requests of the same key), end_user (of the same person behind that key, as the request "
        "names it) or conversation (texts of one request, which holds its history)"
    )
    within_minutes: float | None = Field(
        None, gt=0, le=1440, allow_inf_nan=False, description="the minutes that are looked back, up to 1440"
    )

    @model_validator(mode="after")
    def _has_its_time(self) -> "Count":
        if self.by != "conversation" and self.within_minutes is None:
            who = "a caller" if self.by == "caller" else "an end user"
            raise fault(f"{who} is counted over some time", "add `within_minutes`, such as `within_minutes: 10`")
        if self.by == "conversation" and self.within_minutes is not None:
            raise fault(
                "the texts of a conversation carry no time",
                "remove `within_minutes`, or count `by: caller` or `by: end_user`",
                "within_minutes",
            )
        return self


class When(Condition):
    """The condition of a rule: which texts it concerns and how sure a detector must be."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [{"required": [name]} for name in (*_SUBJECTS, "all")],
            "not": {"required": ["false_alarms", "score"]},
        }
    )

    count: Count | None = Field(
        None, description="a mapping that says how often, such as {at_least: 3, within_minutes: 10, by: caller}"
    )

    @model_validator(mode="after")
    def _finds_something(self) -> "When":
        if self.subcategory is None and self.category is None and self.any is None and self.all is None:
            raise fault("the rule does not say what it looks for", "add `subcategory`, `any` or `category`")
        if not self.finds:
            raise fault(
                "the condition could hold where nothing is found",
                "add what must be found; `not` and names of routes, models and callers only narrow that down",
            )
        return self


Percent = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]
# Keys that only one action uses, and keys of which an action needs at least one.
_BELONGS = {
    "message": "replace",
    "to": "reroute",
    "system": "reroute",
    "per_minute": "throttle",
    "for_seconds": "throttle",
    "by": "throttle",
}
_NEEDED = {"replace": ("message",), "reroute": ("to", "system"), "throttle": ("per_minute",)}


def _check_canary(mode: Mode | None, percent: float | None, *, needed: bool) -> None:
    if percent is not None and mode is not Mode.CANARY:
        raise fault("`canary` is read in `mode: canary` only", "write `mode: canary` or remove it", "canary")
    if needed and mode is Mode.CANARY and percent is None:
        raise fault("the canary has no size", "add `canary: 10` for ten percent of the requests", "mode")


class Rule(Written):
    """One sentence of a policy: when this is found, then do that."""

    id: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$",
        description="the rule's name in metrics and replies: 1 to 64 of a-z, 0-9, - and _",
    )
    when: When = Field(description="a mapping that says what the rule looks for, such as {subcategory: violence}")
    then: Literal["flag", "redact", "replace", "block", "reroute", "throttle"] = Field(
        description="flag, redact, replace, block, reroute or throttle"
    )
    message: Annotated[str, Field(min_length=1, max_length=4000)] | None = Field(
        None, description="the text that stands in place of the answer, for `then: replace`"
    )
    to: str | None = Field(None, description="the name of a route or an upstream, for `then: reroute`")
    system: Annotated[str, Field(min_length=1, max_length=8000)] | None = Field(
        None, description="a system message that is added to the request, for `then: reroute`"
    )
    per_minute: Annotated[int, Field(ge=0, le=1_000_000)] | None = Field(
        None, description="the requests that may be sent in a minute, for `then: throttle`"
    )
    for_seconds: Annotated[int, Field(ge=1, le=86_400)] | None = Field(
        None, description="the seconds for which the throttle lasts, 1 to 86400; 60 when nothing is said"
    )
    by: Whom | None = Field(
        None,
        description="who is throttled: caller (the key; so when nothing is said) or end_user (the person behind it, as "
        "the request names it)",
    )
    on_error: OnError = Field("allow", description="allow or block, when a detector it needs gives no answer")
    budget_ms: Annotated[int, Field(ge=1, le=60_000)] | None = Field(
        None, description="the milliseconds that a request waits at most for the sake of this rule"
    )
    mode: Mode | None = Field(None, description="monitor, canary or enforce, for this rule alone")
    canary: Percent | None = Field(None, description="the percentage of requests on which it acts, above 0 to 100")

    @model_validator(mode="after")
    def _fits_its_action(self) -> "Rule":
        for key, action in _BELONGS.items():
            if getattr(self, key) is not None and self.then != action:
                what = f"`then: {self.then}` does not use `{key}`"
                raise fault(what, f"remove it or write `then: {action}`", key)
        for action, keys in _NEEDED.items():
            if self.then == action and _all(getattr(self, key) is None for key in keys):
                listed = " or ".join(f"`{key}`" for key in keys)
                raise fault(f"`then: {action}` does not say how", f"add {listed}", "then")
        if self.then == "reroute" and "prompt" not in self.when.directions:
            raise fault("an answer cannot be sent elsewhere", "write `on: prompt`", "when", "on")
        if self.then == "reroute" and "on" in self.when.model_fields_set and "response" in self.when.on:
            raise fault("an answer cannot be sent elsewhere", "write `on: prompt`", "when", "on")
        return self

    @model_validator(mode="after")
    def _can_fail_as_written(self) -> "Rule":
        if self.then == "flag" and self.on_error == "block":
            raise fault(
                "a rule that only flags changes no traffic, so it cannot block on an error",
                "remove `on_error` or write `then: block`",
                "on_error",
            )
        if self.then == "flag" and self.budget_ms is not None:
            what = "a rule that only flags holds no request, so it needs no budget"
            raise fault(what, "remove `budget_ms` or write another `then`", "budget_ms")
        _check_canary(self.mode, self.canary, needed=False)
        return self


class Document(Written):
    """A policy as it was written. Read one with `load_document`."""

    model_config = ConfigDict(title="Assay policy")

    version: Literal[1] = Field(description="the version of the language, 1")
    mode: Mode = Field(description="monitor (record what would be done), canary (do it sometimes) or enforce (do it)")
    canary: Percent | None = Field(None, description="the percentage of requests on which rules act, above 0 to 100")
    rules: tuple[Rule, ...] = Field(description="a list of rules; the severest that matches decides")
    _file: YamlFile | None = PrivateAttr(None)

    def stands_in(self, file: YamlFile) -> None:
        """Remember the file for `where`; called once, when the document was read."""
        self._file = file

    @model_validator(mode="after")
    def _ids_are_unique(self) -> "Document":
        seen: dict[str, int] = {}
        for index, rule in enumerate(self.rules):
            first = seen.setdefault(rule.id, index)
            if first != index:
                what, remedy = f"the rule id {rule.id!r} is used twice", "rename one of the two rules"
                raise fault(what, remedy, "rules", index, "id", first=("rules", first, "id"))
        return self

    @model_validator(mode="after")
    def _canaries_have_a_size(self) -> "Document":
        _check_canary(self.mode, self.canary, needed=True)
        for index, rule in enumerate(self.rules):
            if rule.mode is Mode.CANARY and rule.canary is None and self.canary is None:
                what, remedy = "the canary has no size", "add `canary: 10` for ten percent of the requests"
                raise fault(what, remedy, "rules", index, "mode")
        return self

    def share(self, rule: Rule) -> float:
        """The share of requests on which the rule acts: 0 in monitor mode, 1 when it is enforced."""
        mode = rule.mode or self.mode
        if mode is Mode.CANARY:
            return (rule.canary or self.canary or 0.0) / 100
        return 1.0 if mode is Mode.ENFORCE else 0.0

    def where(self, *path: str | int) -> str:
        """`file:line` of the value at `path`, for messages; `policy` if it was not read from a text."""
        return self._file.where(path) if self._file else "policy"
