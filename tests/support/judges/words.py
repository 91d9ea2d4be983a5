"""A detector that knows three words: quick to load, so that processes can start with it."""

from collections.abc import Sequence

from detectors.base import Judgement, Span, State, Text, Verdict

# What the detector below looks for: a word for each sub-category. The score of a text with the word is 1, else 0.
WORDS = {"grenade": "violence", "ignore": "prompt_attacks", "AKIA42": "privacy_violation"}
DETECTOR = "words@1"


class Words:
    """A detector that knows three words. It cannot read "illegible"; a text with "crash" in it makes it raise."""

    id = DETECTOR
    slugs = frozenset(WORDS.values())

    def detect(self, texts: Sequence[Text]) -> list[Judgement]:
        if any("crash" in text.text for text in texts):
            raise ArithmeticError("a text that this detector cannot stand")
        return [self._judgement(text.text) for text in texts]

    def _judgement(self, text: str) -> Judgement:
        if not text.strip():
            return Judgement(State.SKIPPED)
        state = State.UNREADABLE if "illegible" in text else State.SCANNED
        return Judgement(state, tuple(self._verdict(text, word) for word in WORDS))

    def _verdict(self, text: str, word: str) -> Verdict:
        at = text.find(word)
        spans = () if at < 0 else (Span(at, at + len(word), "word"),)
        return Verdict(DETECTOR, WORDS[word], float(at >= 0), spans)


LIMITS = {(DETECTOR, slug, role): 0.5 for slug in Words.slugs for role in ("prompt", "response")}
