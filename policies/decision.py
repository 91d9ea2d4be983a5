"""What goes into a decision, what comes out of it, and how spans are cut out of a text."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Literal, NamedTuple

from policies.compiled import Reroute, Throttle
from policies.expressions import Leaf
from policies.model import Action, Mode

Cut = tuple[int, int, str]
ALL_DETECTORS = "*"


@dataclass(frozen=True, slots=True)
class Signal:
    """One detector's score for one slug on one text.

    `detector` is `name@version`, `score` calibrated 0 to 1, `passage` the index of the text within the exchange,
    `spans` half-open ranges of its code points with the label of what was found. A score that is not a number
    matches no rule, nor does a detector that the policy was not compiled with.
    """

    slug: str
    score: float
    detector: str
    direction: Literal["prompt", "response"]
    channel: str
    passage: int = 0
    spans: tuple[Cut, ...] = ()
    language: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """What a decision depends on beside the signals. Names that are not given match no rule that asks for one.

    `draw` is a number of the request, 0 <= draw < 1: a canary rule acts if its share is larger. `earlier` has for each
    rule how often its condition held before for this caller or end user, within the time that the rule looks back.
    `silent` says which detectors gave no answer: about a rule that denies what they could have found, `on_failure`
    decides.
    """

    model: str = ""
    caller: str = ""
    draw: float = 0.0
    earlier: Mapping[str, int] = field(default_factory=dict)
    silent: "frozenset[Silent]" = frozenset()


class Silent(NamedTuple):
    """A detector, by name or id, or ALL_DETECTORS, that gave no answer about the texts of a channel, or of any.

    `instead` are detectors that read the texts in its place, because of their language: a condition that listens to one
    of them too was answered.
    """

    detector: str
    channel: str = ""
    instead: frozenset[str] = frozenset()

    def keeps_from(self, leaf: Leaf) -> bool:
        """Whether this condition may have missed something because of the silence."""
        heard_elsewhere = self.channel and leaf.channels and self.channel not in leaf.channels
        answered = any(is_from(each.detector, one) for each in leaf.thresholds for one in self.instead)
        return not (heard_elsewhere or answered) and (
            self.detector == ALL_DETECTORS or any(is_from(each.detector, self.detector) for each in leaf.thresholds)
        )


ANY = Context()


class Redaction(NamedTuple):
    """Code points `start` to `end` of text `passage` have to be replaced by the label."""

    passage: int
    start: int
    end: int
    label: str


_passage_of = attrgetter("passage")


@dataclass(frozen=True, slots=True)
class Match:
    """A rule that matched: what it asks for, whether that is enforced here, and the slugs that made it match.

    `mode` distinguishes a rule that only monitors from a canary that was not drawn for this request.
    """

    rule: str
    action: Action
    enforced: bool
    slugs: tuple[str, ...]
    mode: Mode = Mode.ENFORCE

    @property
    def carried(self) -> Action:
        """What is carried out: a rule that only monitors is recorded and changes no traffic."""
        if self.enforced or self.action.severity <= Action.FLAG.severity:
            return self.action
        return Action.FLAG


@dataclass(frozen=True, slots=True)
class Evidence:
    """The strongest reason why a rule matched: this score reached this threshold, which stands in this `place`."""

    slug: str
    detector: str
    direction: str
    channel: str
    score: float
    threshold: float
    place: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done with a text, and why.

    `action` is carried out; `would` is the action if every rule were enforced; `rule` decided: the first in the file
    among the severest. `reason` has nothing of the user's text. `redactions` are sorted and disjoint; under a block
    they are what the redact rules would have cut, under a reroute they are cut. `matched` is sorted with the deciding
    rule first. `replacement` is the text that replaces the answer, `reroute` the place where the request goes, each if
    that is the action. `throttles` are the strictest of the enforced rules, one for the caller and one for the end
    user, whatever rule decided. `counted` are the rules that count this request, even if they did not match yet.
    """

    action: Action
    would: Action
    rule: str | None
    reason: str
    revision: str
    redactions: tuple[Redaction, ...] = ()
    matched: tuple[Match, ...] = ()
    evidence: Evidence | None = None
    replacement: str = ""
    reroute: Reroute | None = None
    throttles: tuple[Throttle, ...] = ()
    counted: tuple[str, ...] = ()

    def cuts(self, passage: int) -> tuple[Cut, ...]:
        """The redactions of one text, as `redact` takes them."""
        first = bisect_left(self.redactions, passage, key=_passage_of)
        last = bisect_left(self.redactions, passage + 1, first, key=_passage_of)
        return tuple((r.start, r.end, r.label) for r in self.redactions[first:last])


def redact(text: str, spans: Sequence[Cut]) -> str:
    """`text` with each (start, end, label) replaced by `[REDACTED:label]`; overlapping spans are replaced once."""
    pieces: list[str] = []
    last = 0
    for _, start, end, label in unite((0, span) for span in spans):
        if start < len(text):
            pieces += [text[last:start], f"[REDACTED:{label}]"]
            last = end
    return "".join([*pieces, text[last:]])


def is_from(detector: str, name: str) -> bool:
    return detector == name or detector.partition("@")[0] == name


def is_span(span: Cut) -> bool:
    return span[1] > max(span[0], 0)


def unite(cuts: Iterable[tuple[int, Cut]]) -> tuple[Redaction, ...]:
    """The cuts sorted and disjoint. Overlapping spans become one with the label of the first, of equal ones the
    longest."""
    ordered = sorted((passage, max(s[0], 0), -s[1], s[2]) for passage, s in cuts if is_span(s))
    united: list[Redaction] = []
    for passage, start, negative_end, label in ordered:
        last = united[-1] if united else None
        if last is None or last.passage != passage or start >= last.end:
            united.append(Redaction(passage, start, -negative_end, label))
        elif -negative_end > last.end:
            united[-1] = last._replace(end=-negative_end)
    return tuple(united)
