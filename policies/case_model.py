"""The cases beside a policy as people write them: examples, and what must be decided about each.      [pydantic]"""

from typing import Annotated

from pydantic import Field, model_validator

from policies.model import CHANNELS, Action, Channel, Direction, Share, Written, fault


class Expect(Written):
    """What must be decided about a case."""

    action: Action = Field(description="allow, flag, throttle, redact, reroute, replace or block: what is carried out")
    would: Action | None = Field(None, description="the same, if every rule were enforced")
    rule: str | None = Field(None, description="the id of the rule that decides")


class GivenSpan(Written):
    """Where something was found in the text of a case, in code points."""

    start: int = Field(ge=0, description="the first code point, from 0")
    end: int = Field(ge=1, description="one past the last code point")
    label: str = Field(description="the label of the finding, such as email")


class GivenSignal(Written):
    """A verdict that a case assumes."""

    subcategory: str = Field(description="the sub-category the verdict is about")
    score: Share = Field(description="the calibrated score, 0 to 1")
    detector: str | None = Field(
        None, description="a detector's name without its version; every one that can say it when left out"
    )
    spans: tuple[GivenSpan, ...] = Field((), description="a list of {start, end, label}")
    passage: int = Field(0, ge=0, description="the number of the text it is about, from 0")
    channel: Channel | None = Field(None, description="where that text stood; the case's channel when left out")


class Case(Written):
    """One example beside a policy: for this text, or these verdicts, that decision is expected."""

    name: str = Field(min_length=1, description="a few words that say what is shown")
    direction: Direction = Field(description="prompt or response")
    channel: Channel = Field(description="one of " + ", ".join(CHANNELS))
    route: str = Field("default", description="the name of a route")
    model: str = Field("", description="the name of a model")
    caller: str = Field("", description="the name of a caller's key")
    language: str = Field("", description="an ISO 639-1 code, for the given signals")
    earlier: dict[str, int] = Field({}, description="rule id to matches of the same caller or end user before this one")
    draw: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="a number, 0 <= n < 1: canaries with a larger share act"
    )
    text: str | None = Field(None, description="a text for the real detectors")
    context: str | None = Field(None, description="the prompt or the source that the text answers")
    signals: tuple[GivenSignal, ...] | None = Field(None, description="verdicts in place of a text")
    expect: Expect = Field(description="a mapping with `action` and, if you like, `rule` and `would`")

    @model_validator(mode="after")
    def _has_one_input(self) -> "Case":
        if (self.text is None) == (self.signals is None):
            raise fault("a case needs either `text` or `signals`", "give exactly one of them")
        if self.context is not None and self.text is None:
            raise fault("`context` is what a `text` is judged beside", "give a `text`, or leave it out")
        return self
