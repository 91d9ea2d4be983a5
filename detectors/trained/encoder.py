"""The trained detectors: a network's head outputs, calibrated, as verdicts. Alone, or two networks joined."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from detectors.base import PIECE_TEXTS, Judgement, Role, State, Steps, Text, Verdict, finish, in_pieces
from detectors.manifest import DetectorInfo, ModelError
from detectors.trained import languages
from detectors.trained.networks import Floats, NgramNetwork, PieceNetwork, Scored, StepwiseNetwork
from detectors.trained.onnx import Tokenizer
from detectors.trained.repeats import said_once
from detectors.trained.scripts import LATIN, MANY, Scripts
from detectors.trained.tokens import AnyTokenizer
from detectors.trained.unigram import UnigramTokenizer

ROLES: tuple[Role, ...] = ("prompt", "response")
UNSAFE, REFUSAL = "unsafe", "refusal"
UNIGRAM = ".tsv"  # what the vocabulary of a unigram model is called; others hold word pieces


def network(info: DetectorInfo) -> StepwiseNetwork:
    """The loaded network of `info`. Raises ModelError when it has no file or the file does not load."""
    if info.file is None:
        raise ModelError(f"{info.name}: models.toml names no model file for it; run `make train`")
    if info.vocabulary is None:
        return NgramNetwork(info.file, len(info.heads))
    return piece_network(info)


def piece_network(info: DetectorInfo, tokenizer: AnyTokenizer | None = None) -> PieceNetwork:
    """As `network`, for one that reads word pieces; `tokenizer` where its vocabulary is loaded already."""
    tokenizer = tokenizer or vocabulary(info)
    if info.file is None:
        raise ModelError(f"{info.name}: models.toml names no model file for it; run `make train`")
    means = {role: [info.means.get((slug, role), 0.0) for slug in info.heads] for role in ROLES}
    return PieceNetwork(info.file, tokenizer, len(info.heads), means)


def vocabulary(info: DetectorInfo) -> AnyTokenizer:
    """What cuts texts for the network of `info`. Raises ModelError."""
    if info.vocabulary is None:
        raise ModelError(f"{info.name}: models.toml names no vocabulary for it; run `make train`")
    return (UnigramTokenizer if info.vocabulary.suffix == UNIGRAM else Tokenizer)(info.vocabulary)


class _Trained:
    """A Detector over networks. Speaks, for each role, of the heads that were measured for it.

    Of a text that is not wholly in a language that it reads it judges what is left without the rest, if that is
    anything, and says that the text was unreadable.
    """

    group = languages.EN
    _scripts: Scripts = LATIN

    def __init__(self, info: DetectorInfo) -> None:
        self.id = info.id
        self.slugs = info.slugs
        self._voices = {role: _Voice(info, role) for role in ROLES}

    def detect(self, texts: Sequence[Text]) -> list[Judgement]:
        """Judge a batch: same length, same order."""
        return finish(self.steps(texts))

    def steps(self, texts: Sequence[Text]) -> Steps[list[Judgement]]:
        """The same in bounded pieces of work."""
        parts: list[str | None] = []
        shown: list[Text] = []
        for group in in_pieces(texts, lambda text: len(text.text)):
            if parts and (yield):
                return [Judgement(State.STOPPED)] * len(texts)
            parts += [self._part(text.text) for text in group]
            shown += [_shown(text, part) for text, part in zip(group, parts[len(shown) :], strict=True)]
        found = yield from self._score(shown)
        states = [state if part is None else State.UNREADABLE for state, part in zip(found.states, parts, strict=True)]
        judged = [Judgement(state) for state in states]
        words = np.array([len(text.text.split()) for text in shown])
        for role, voice in self._voices.items():
            mine = _read(shown, role, found.logits)
            if not mine:
                continue
            given = zip(mine, voice.verdicts(found.logits[mine], words[mine]), strict=True)
            for number, (position, verdicts) in enumerate(given, start=1):
                judged[position] = Judgement(states[position], verdicts)
                if number % PIECE_TEXTS == 0:
                    yield  # little is left, so it is done even when it should stop
        return judged

    def _part(self, text: str) -> str | None:
        """What is for these networks of a text, None for all of it."""
        part = languages.part_for(self.group, text)
        rest = self._scripts.readable_part(text if part is None else part)
        return part if rest is None else rest

    def _score(self, texts: Sequence[Text]) -> Steps[Scored]:
        """All outputs, side by side, NaN where something was not read."""
        raise NotImplementedError


def _shown(text: Text, part: str | None) -> Text:
    """What the networks are shown of a text: its readable part, and once what it repeats."""
    read = text.text if part is None else part
    once = said_once(read)
    return text if once is text.text else replace(text, text=once)


class Encoder(_Trained):
    """A Detector over one network."""

    def __init__(self, info: DetectorInfo) -> None:
        """Load the model behind `info`. Raises ModelError."""
        super().__init__(info)
        self._network = network(info)

    def _score(self, texts: Sequence[Text]) -> Steps[Scored]:
        return self._network.steps(texts)


class Cascade(_Trained):
    """A Detector over two networks that both read every text; of long replies in which nothing is, the second the ends.

    A text of which either can read nothing gets no verdict.
    """

    def __init__(self, info: DetectorInfo) -> None:
        """Load both models. Raises ModelError, also when `info` names no first stage."""
        if info.first is None:
            raise ModelError(f"{info.name}: models.toml names no first stage for it; run `make train`")
        super().__init__(info)
        self._first, self._second = network(info.first), piece_network(info)
        self._limits = _clear_limits(info)

    def _score(self, texts: Sequence[Text]) -> Steps[Scored]:
        """First the quick network on all of the texts; where that was stopped there is no time for the other."""
        first = yield from self._first.steps(texts)
        if State.STOPPED in first.states:
            none = np.full((len(texts), len(self._limits[1])), np.nan)
            return Scored(np.concatenate((first.logits, none), axis=1), [State.STOPPED] * len(texts))

        def is_clear(position: int, ends: Floats) -> bool:
            of_first, of_second = self._limits
            return bool(np.all(first.logits[position] < of_first) and np.all(ends < of_second))

        second = yield from self._second.steps(texts, is_clear)
        states = [_both(*pair) for pair in zip(first.states, second.states, strict=True)]
        return Scored(np.concatenate((first.logits, second.logits), axis=1), states)


class Multilingual(_Trained):
    """A Detector over one network that reads many languages.

    Its vocabulary, which takes longer, is loaded at once. The network is with the first text that is for it: that takes
    as long as five windows of text, and where no such text comes it saves the memory.
    """

    group = languages.MANY_LANGUAGES
    _scripts = MANY

    def __init__(self, info: DetectorInfo) -> None:
        """Load the vocabulary behind `info`. Raises ModelError."""
        super().__init__(info)
        self._info, self._tokenizer = info, vocabulary(info)

    @cached_property
    def _network(self) -> PieceNetwork:
        return piece_network(self._info, self._tokenizer)

    def _score(self, texts: Sequence[Text]) -> Steps[Scored]:
        return self._network.steps(texts)


def _both(first: State, second: State) -> State:
    return first if second is State.SCANNED else second


def _clear_limits(info: DetectorInfo) -> tuple[Floats, Floats]:
    """The logits of replies' heads below which there is nothing to find, by stage; infinite for heads not asked."""
    limits = np.array([info.clear.get((slug, "response"), (np.inf, np.inf)) for slug in info.heads])
    if not info.clear:
        limits[:] = -np.inf  # nothing was measured: read everything
    return limits[:, 0], limits[:, 1]


def _read(texts: Sequence[Text], role: Role, logits: Floats) -> list[int]:
    blank = np.any(np.isnan(logits), axis=1).tolist()
    return [position for position, text in enumerate(texts) if text.role == role and not blank[position]]


class _Voice:
    """Which outputs count for one role, and how their logits become probabilities."""

    def __init__(self, info: DetectorInfo, role: Role) -> None:
        self._id = info.id
        self._slugs = tuple(slug for slug in info.heads if (slug, role) in info.calibration)
        self._slopes, self._offsets = _lines(info, self._slugs, role)
        self._composite = _Composite(info, self._slugs, role)
        self._lengths = np.array(info.lengths)
        none = (0.0,) * (len(info.lengths) + 1)
        shifts = [info.shifts.get((slug, role), none) for slug in self._slugs]
        self._shifts = np.array(shifts).reshape(len(self._slugs), len(none))
        free = (None,) * len(none)
        caps = [info.caps.get((slug, role), free) for slug in self._slugs]
        self._caps = np.array([[np.inf if cap is None else cap for cap in row] for row in caps]).reshape(
            self._shifts.shape
        )
        self._unsafe = self._slugs.index(UNSAFE) if UNSAFE in self._slugs and (self._caps < np.inf).any() else None
        self._yields = np.array([info.yields.get((slug, role), 0.0) for slug in self._slugs])
        self._refusal = self._slugs.index(REFUSAL) if REFUSAL in self._slugs and self._yields.any() else None

    def verdicts(self, logits: Floats, words: Floats) -> Iterator[tuple[Verdict, ...]]:
        """Verdicts of texts, one after the other, by their logits, [texts, outputs], and their lengths."""
        odds = self._composite.applied(logits @ self._slopes.T + self._offsets)
        bands = np.searchsorted(self._lengths, words)
        odds = odds - self._shifts[:, bands].T
        if self._unsafe is not None:
            odds = np.minimum(odds, odds[:, [self._unsafe]] + self._caps[:, bands].T)
        if self._refusal is not None:
            odds = odds - np.outer(np.maximum(odds[:, self._refusal], 0), self._yields)
        scores = 1 / (1 + np.exp(-np.clip(odds, -40, 36)))
        for row in scores.tolist():
            yield tuple(Verdict(self._id, slug, score) for slug, score in zip(self._slugs, row, strict=True))


def _lines(info: DetectorInfo, slugs: Sequence[str], role: Role) -> tuple[Floats, Floats]:
    """Log-odds as linear functions of the logits (Platt 1999): slopes [slugs, outputs] and offsets [slugs]."""
    before = len(info.first.heads) if info.first else 0
    slopes, offsets = np.zeros((len(slugs), before + len(info.heads))), np.zeros(len(slugs))
    for row, slug in enumerate(slugs):
        own = before + info.heads.index(slug)
        columns = [info.first.heads.index(slug), own] if info.first else [own]
        *slopes[row, columns], offsets[row] = info.calibration[slug, role]
    return slopes, offsets


class _Composite:
    """What is unsafe by one of the other heads is unsafe: where a role has such lines."""

    def __init__(self, info: DetectorInfo, slugs: Sequence[str], role: Role) -> None:
        lines = {slugs.index(slug): info.composite[slug, role] for slug in slugs if (slug, role) in info.composite}
        self._target = slugs.index(UNSAFE) if UNSAFE in slugs else None
        self._own = lines.pop(self._target, (1.0, 0.0)) if self._target is not None else (1.0, 0.0)
        self._others = list(lines)
        self._slopes, self._offsets = np.array(list(lines.values())).reshape(len(lines), 2).T

    def applied(self, odds: Floats) -> Floats:
        """The odds [texts, slugs], those of `unsafe` put together anew."""
        if self._others and self._target is not None:
            highest = (odds[:, self._others] * self._slopes + self._offsets).max(axis=1)
            odds[:, self._target] = self._own[0] * odds[:, self._target] + self._own[1] + highest
        return odds
