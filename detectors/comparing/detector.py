"""The pair detector: an answer beside its sources, the earlier answers, itself and the known misconceptions."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from detectors.base import Judgement, Role, Span, State, Steps, Text, Turn, Verdict, finish
from detectors.comparing import misconceptions, pairings, stances
from detectors.comparing.misconceptions import Misconception
from detectors.comparing.nearness import overlap
from detectors.comparing.pairings import Myths, Pairing, Sourced, StoppedError
from detectors.comparing.sentences import Sentence
from detectors.comparing.sources import Given, given
from detectors.comparing.telling import telling
from detectors.comparing.tongue import is_english
from detectors.manifest import DetectorInfo
from detectors.trained.pair import Logits, PairModel

ROLE: Role = "response"
ANSWER_CHARACTERS = 50_000  # of an answer that are read
NOTHING = 0.01  # the score of an answer that has something to compare with, but no pair about the same matter
HALLUCINATION, INCONSISTENCY, SYCOPHANCY = "hallucination", "inconsistency", "sycophancy"
MISINFORMATION, REASONING = "misinformation", "limited_logical_reasoning"
# What the spans of each sub-category are called.
LABELS: Mapping[str, str] = {
    HALLUCINATION: "unsupported",
    INCONSISTENCY: "contradicts_earlier",
    SYCOPHANCY: "gives_way",
    MISINFORMATION: "contradicts_known",
    REASONING: "contradicting_step",
}
SLUGS = frozenset(LABELS)
CHANNELS = frozenset({"system", "user", "assistant", "tool", "retrieved", "given"})

Evidence = tuple[float, ...]  # numbers that a line turns into log-odds


class Judge(Protocol):
    """Says how a claim relates to a premise."""

    def judge(self, premise: str, claim: str) -> Logits: ...


class Found(NamedTuple):
    """One comparison: the evidence for the sub-category, and the sentence of the answer that it is about."""

    evidence: Evidence
    sentence: Sentence


Comparison = Steps[list[Found] | None]  # None: there is nothing to compare with


@dataclass(frozen=True, slots=True)
class ComparedAnswer:
    """An answer and all that it is compared with."""

    answer: str
    turns: Sequence[Turn]
    given: Given


class PairDetector:
    """A Detector of replies. It judges a sub-category only where there is something to compare with.

    An answer or a source in another language than English is UNREADABLE. Sources are read up to
    `sources.MOST_CHARACTERS`, answers up to ANSWER_CHARACTERS: what is longer is TRUNCATED.
    """

    def __init__(self, info: DetectorInfo, judge: Judge | None = None) -> None:
        """With the model behind `info`, or `judge` in its place. Raises manifest.ModelError."""
        self.id = info.id
        self.slugs = info.slugs
        self.compares = CHANNELS
        self._info = info
        self._comparisons = Comparisons(judge or PairModel(info), info.slugs)

    def detect(self, texts: Sequence[Text]) -> list[Judgement]:
        """Judge a batch: same length, same order."""
        return finish(self.steps(texts))

    def steps(self, texts: Sequence[Text]) -> Steps[list[Judgement]]:
        """The same in bounded pieces of work: one pair a piece."""
        judged: list[Judgement] = []
        for text in texts:
            try:
                judged.append((yield from self._judge(text)))
            except StoppedError:
                return judged + [Judgement(State.STOPPED)] * (len(texts) - len(judged))
        return judged

    def _judge(self, text: Text) -> Steps[Judgement]:
        if text.role != ROLE or not text.turns or not text.text.strip():
            return Judgement(State.SKIPPED)
        about = ComparedAnswer(text.text[:ANSWER_CHARACTERS], text.turns, given(text.turns))
        if not is_english(about.answer) or not all(map(is_english, about.given.sources)):
            return Judgement(State.UNREADABLE)
        verdicts = []
        self._comparisons.begin()
        for slug, compare in self._comparisons.asked.items():
            found = yield from compare(about)
            if found is not None:
                verdicts.append(self._verdict(slug, found))
        cut = about.given.truncated or len(text.text) > ANSWER_CHARACTERS
        if not verdicts and not cut:
            return Judgement(State.SKIPPED)
        return Judgement(State.TRUNCATED if cut else State.SCANNED, tuple(verdicts))

    def _verdict(self, slug: str, found: Sequence[Found]) -> Verdict:
        """The verdict of the worst comparison, with its sentence as the span."""
        line = self._info.calibration[slug, ROLE]
        scored = [(score(line, each.evidence), each.sentence) for each in found]
        if not scored:
            return Verdict(self.id, slug, NOTHING)
        worst, sentence = max(scored, key=lambda pair: pair[0])
        return Verdict(self.id, slug, worst, (Span(sentence.start, sentence.end, LABELS[slug]),))


class Comparisons:
    """The comparisons of each sub-category in `slugs`. A calibration line turns their evidence into a score."""

    def __init__(self, judge: Judge, slugs: Collection[str] = SLUGS) -> None:
        self._judge = judge
        self._myths = Myths(misconceptions.known())
        self._judgements: dict[tuple[str, str], Logits] = {}  # of the answer at hand
        every: Mapping[str, Callable[[ComparedAnswer], Comparison]] = {
            HALLUCINATION: self.hallucination,
            INCONSISTENCY: self.inconsistency,
            SYCOPHANCY: self.sycophancy,
            MISINFORMATION: self.misinformation,
            REASONING: self.reasoning,
        }
        self.asked = {slug: compare for slug, compare in every.items() if slug in slugs}

    def begin(self) -> None:
        """Start with another answer."""
        self._judgements.clear()

    def hallucination(self, about: ComparedAnswer) -> Comparison:
        """Each claim against the source. There is no opinion without a source or a claim, nor if only a part of the
        source was read: the rest may support the claim."""
        if not about.given.sources or about.given.truncated:
            return None
        out = []
        for each in (yield from pairings.against_source(about.given, about.answer)):
            together = yield from self._ask(each.premise, each.claim.text)
            alone = yield from self._ask(each.nearest, each.claim.text)
            out.append(Found(of_source(each, together, alone), each.claim))
        return out or None

    def inconsistency(self, about: ComparedAnswer) -> Comparison:
        """Claims against what the assistant said earlier about the same matter."""
        if not any(turn.channel == "assistant" for turn in about.turns):
            return None
        found = yield from self._judged(pairings.against_earlier(about.turns, about.answer))
        return [Found(of_contradiction(*each), each[0].claim) for each in found]

    def sycophancy(self, about: ComparedAnswer) -> Comparison:
        """Where the user pushes back against an answer: does the next answer give way, without new evidence?"""
        users = [turn.text for turn in about.turns if turn.channel == "user"]
        earlier = [turn for turn in about.turns if turn.channel == "assistant"]
        if not users or not earlier or not stances.pushes_back(users[-1]):
            return None
        found = yield from self._judged(pairings.against_earlier(earlier[-1:], about.answer))
        turned = max((odds(logits).contradict for _, logits in found), default=LEAST)
        evidence = (turned, stances.yielding(about.answer), float(stances.brings_evidence(users[-1])))
        worst = max(found, key=lambda each: each[1].contradict)[0].claim if found else _whole(about.answer)
        return [Found(evidence, worst)]

    def misinformation(self, about: ComparedAnswer) -> Comparison:
        """Claims against known misconceptions. What contradicts its source counts as hallucination."""
        out = []
        for each in (yield from pairings.against_myths(self._myths, about.answer)):
            told = yield from self._ask(each.myth.claim, each.claim.text)
            back = yield from self._ask(each.claim.text, each.myth.claim)
            out.append(Found(of_myth(each.myth, each.claim.text, told, back), each.claim))
        return out or None

    def reasoning(self, about: ComparedAnswer) -> Comparison:
        """Claims of the answer against those before them."""
        pairs = pairings.among_steps(about.answer)
        if not pairs:
            return None
        found = yield from self._judged(pairs)
        return [Found(of_contradiction(*each), each[0].claim) for each in found]

    def _judged(self, pairs: Sequence[Pairing]) -> Steps[list[tuple[Pairing, Logits]]]:
        """The model's logits for each pair, one a step."""
        found = []
        for pairing in pairs:
            logits = yield from self._ask(pairing.premise, pairing.claim.text)
            found.append((pairing, logits))
        return found

    def _ask(self, premise: str, claim: str) -> Steps[Logits]:
        """The model's logits for a pair. It is asked about each pair once per answer."""
        key = (premise, claim)
        if key not in self._judgements:
            self._judgements[key] = self._judge.judge(premise, claim)
            yield from pairings.pause()
        return self._judgements[key]


LEAST = -6.0  # log-odds where nothing was compared


class Odds(NamedTuple):
    """Log-odds of each relation against the two others."""

    entail: float
    contradict: float


def odds(logits: Logits) -> Odds:
    rest = _log_sum(logits.neutral, logits.contradict), _log_sum(logits.neutral, logits.entail)
    return Odds(logits.entail - rest[0], logits.contradict - rest[1])


def of_source(sourced: Sourced, together: Logits, alone: Logits) -> Evidence:
    """The evidence whether a source supports a claim: the model's logits for the nearest passages `together` and for
    the nearest `alone`, how many of the claim's words, pairs of words and names the source contains, and the details
    that differ."""
    words, pairs, _, names = sourced.whole
    return (together.grounded, *odds(together), alone.grounded, *odds(alone), words, pairs, names, *sourced.details)


def of_contradiction(pairing: Pairing, logits: Logits) -> Evidence:
    """The evidence whether two claims contradict each other."""
    back = overlap(pairing.premise, pairing.claim.text)
    return (odds(logits).contradict, pairing.near.words, back.words)


def of_myth(myth: Misconception, claim: str, told: Logits, back: Logits) -> Evidence:
    """The evidence whether a claim states a misconception as a fact: the model's logits for the claim given the
    misconception (`told`) and the other way round (`back`), and the words of both and of the correction."""
    there, here = odds(told), odds(back)
    return (there.entail, here.entail, there.contradict, here.contradict, *telling(myth, claim))


def score(line: Sequence[float], evidence: Evidence) -> float:
    """The probability that a line, its offset last, gives to the evidence."""
    *slopes, offset = line
    total = offset + sum(slope * value for slope, value in zip(slopes, evidence, strict=True))
    return 1 / (1 + math.exp(-max(-36.0, min(36.0, total))))


def _log_sum(one: float, other: float) -> float:
    high = max(one, other)
    return high + math.log(math.exp(one - high) + math.exp(other - high))


def _whole(answer: str) -> Sentence:
    return Sentence(answer, 0, len(answer))
