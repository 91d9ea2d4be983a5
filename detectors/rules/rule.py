"""What a rule is, and the Detector around it: a text in, spans with a confidence out."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from detectors.base import Judgement, Role, Span, State, Steps, Text, Verdict, finish
from detectors.manifest import DetectorInfo

LIMIT = 1_000_000  # code points searched; what lies beyond is not, and the judgement says so
BOTH: tuple[Role, ...] = ("prompt", "response")

# Spans, each with our documented estimate of how often such a finding is the real thing.
Found = Mapping[Span, float]


class RuleFinding(NamedTuple):
    """The code points [start, end) of a text, their label, and how sure it is."""

    start: int
    end: int
    label: str
    confidence: float


# Findings in any order; None after each bounded piece of work, where the search may be interrupted.
Search = Iterator[RuleFinding | None]
_LONG = 4_096  # code points; the search of a shorter text is one piece of work


def united(found: Iterable[RuleFinding]) -> dict[Span, float]:
    """Overlapping findings as one span, so that redacting it leaves nothing of either.

    It has the label of the surest finding; of equals, that of the longest.
    """
    spans: list[tuple[int, int, tuple[float, int, str]]] = []
    for start, end, label, confidence in sorted(found, key=lambda entry: (entry[0], -entry[1])):
        name = (confidence, end - start, label)
        if spans and start < spans[-1][1]:
            first, last, known = spans[-1]
            spans[-1] = (first, max(last, end), max(known, name, key=lambda entry: entry[:2]))
        else:
            spans.append((start, end, name))
    return {Span(start, end, label): confidence for start, end, (confidence, _, label) in spans}


@dataclass(frozen=True, slots=True)
class Rule:
    """One way to find one sub-category.

    `search` takes any text of up to LIMIT code points; it never raises and takes time linear in the text. `levels` are
    all the confidences it can give, `labels` all that its spans can be called, `roles` the sides it judges. `spared`
    tells what looks like a finding and is a known specimen or a placeholder, each with the reason: for people who ask
    why it was left alone.
    """

    slug: str
    roles: tuple[Role, ...]
    levels: tuple[float, ...]
    labels: frozenset[str]
    search: Callable[[str], Search]
    spared: Callable[[str], Mapping[Span, str]] = lambda _text: {}

    def find(self, text: str) -> Found:
        """What is found in a text: spans inside it that do not overlap."""
        return united(found for found in self.search(text) if found is not None)


class RuleDetector:
    """A Detector with one rule. The score is the confidence of the surest finding, 0 if there is none."""

    def __init__(self, info: DetectorInfo, rule: Rule) -> None:
        self.id = info.id
        self.slugs = frozenset({rule.slug})
        self._rule = rule

    def detect(self, texts: Sequence[Text]) -> list[Judgement]:
        """Judge a batch: same length, same order; spans count code points of the text as given.

        A text of a role that the rule does not judge is skipped.
        """
        return [finish(self.judging(text)) for text in texts]

    def judging(self, text: Text) -> Steps[Judgement]:
        """The judgement of one text, in bounded pieces of work; stopped early, with what was found until then."""
        if text.role not in self._rule.roles or not text.text or text.text.isspace():
            return Judgement(State.SKIPPED)
        state = State.TRUNCATED if len(text.text) > LIMIT else State.SCANNED
        is_long = len(text.text) > _LONG
        findings: list[RuleFinding] = []
        for found in self._rule.search(text.text[:LIMIT]):
            if found is not None:
                findings.append(found)
            elif is_long and (yield):
                state = State.STOPPED
                break
        surest = max((found.confidence for found in findings), default=0.0)
        return Judgement(state, (Verdict(self.id, self._rule.slug, surest, tuple(united(findings))),))
