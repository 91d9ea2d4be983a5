"""What a rule is, and the Detector around it: a text in, spans with a confidence out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from detectors.base import Judgement, Role, Span, State, Text, Verdict
from detectors.manifest import DetectorInfo

LIMIT = 1_000_000  # code points searched; what lies beyond is not, and the judgement says so
BOTH: tuple[Role, ...] = ("prompt", "response")

# Spans, each with our documented estimate of how often such a finding is the real thing.
Found = Mapping[Span, float]


@dataclass(frozen=True, slots=True)
class Rule:
    """One way to find one sub-category.

    `find` takes any text of up to LIMIT code points and returns spans inside it that do not overlap; it never raises
    and takes time linear in the text. `levels` are all the confidences it can give, `labels` all that its spans can be
    called, `roles` the sides it judges. `spared` tells what looks like a finding and is a known specimen or a
    placeholder, each with the reason: for people who ask why it was left alone.
    """

    slug: str
    roles: tuple[Role, ...]
    levels: tuple[float, ...]
    labels: frozenset[str]
    find: Callable[[str], Found]
    spared: Callable[[str], Mapping[Span, str]] = lambda _text: {}


class RuleDetector:
    """A Detector over one rule; the score is the surest finding's confidence, 0 when there is none."""

    def __init__(self, info: DetectorInfo, rule: Rule) -> None:
        self.id = info.id
        self.slugs = frozenset({rule.slug})
        self._rule = rule

    def detect(self, texts: Sequence[Text]) -> list[Judgement]:
        """Judge a batch: same length, same order; spans count code points of the text as given.

        A text of a role that the rule does not judge is skipped.
        """
        return [self._judge(text) for text in texts]

    def _judge(self, text: Text) -> Judgement:
        if text.role not in self._rule.roles or not text.text or text.text.isspace():
            return Judgement(State.SKIPPED)
        found = self._rule.find(text.text[:LIMIT])
        spans = tuple(sorted(found, key=lambda span: span.start))
        verdict = Verdict(self.id, self._rule.slug, max(found.values(), default=0.0), spans)
        return Judgement(State.TRUNCATED if len(text.text) > LIMIT else State.SCANNED, (verdict,))
