"""The trained detectors: a network's head outputs, calibrated, as verdicts. Alone, or as a cascade of two."""

from collections.abc import Sequence

import numpy as np

from detectors.base import Judgement, Role, State, Steps, Text, Verdict, finish
from detectors.manifest import DetectorInfo, ModelError
from detectors.trained.networks import Floats, NgramNetwork, PieceNetwork, Scored, StepwiseNetwork

ROLES: tuple[Role, ...] = ("prompt", "response")


def network(info: DetectorInfo) -> StepwiseNetwork:
    """The loaded network of `info`. Raises ModelError when it has no file or the file does not load."""
    if info.file is None:
        raise ModelError(f"{info.name}: models.toml names no model file for it; run `make train`")
    if info.vocabulary is None:
        return NgramNetwork(info.file, len(info.heads))
    return PieceNetwork(info.file, info.vocabulary, len(info.heads))


class Encoder:
    """A Detector over one network. Speaks, for each role, of the heads that were measured for it."""

    def __init__(self, info: DetectorInfo) -> None:
        """Load the model behind `info`. Raises ModelError."""
        self.id = info.id
        self.slugs = info.slugs
        self._network = network(info)
        self._voices = {role: _Voice(info, role) for role in ROLES}

    def detect(self, texts: Sequence[Text]) -> list[Judgement]:
        """Judge a batch: same length, same order."""
        return finish(self.steps(texts))

    def steps(self, texts: Sequence[Text]) -> Steps[list[Judgement]]:
        """The same in bounded pieces of work."""
        found = yield from self._network.steps(texts)
        judged = [Judgement(state) for state in found.states]
        for role, voice in self._voices.items():
            for position in _readable(texts, role, found):
                odds = voice.lines.of(found.logits[position])
                judged[position] = Judgement(found.states[position], voice.verdicts(odds))
        return judged


class Cascade:
    """A Detector of two stages: the first reads every text, the second those of which the first is not sure.

    A text of which the second can read nothing keeps the first one's word, and is marked unreadable.
    """

    def __init__(self, info: DetectorInfo) -> None:
        """Load both models. Raises ModelError, also when `info` names no first stage."""
        if info.first is None:
            raise ModelError(f"{info.name}: models.toml names no first stage for it; run `make train`")
        self.id = info.id
        self.slugs = info.slugs
        self._first, self._second = network(info.first), network(info)
        self._voices = {role: _CascadeVoice(info, info.first, role) for role in ROLES}

    def detect(self, texts: Sequence[Text]) -> list[Judgement]:
        """Judge a batch: same length, same order."""
        return finish(self.steps(texts))

    def steps(self, texts: Sequence[Text]) -> Steps[list[Judgement]]:
        """The same in bounded pieces of work: first the first stage, which is quick, on all of the texts."""
        first = yield from self._first.steps(texts)
        judged = [Judgement(state) for state in first.states]
        unsure: list[int] = []
        for role, voice in self._voices.items():
            for position in _readable(texts, role, first):
                odds = voice.alone.of(first.logits[position])
                judged[position] = Judgement(first.states[position], voice.verdicts(odds))
                if not voice.is_sure(first.logits[position]):
                    unsure.append(position)
        unsure.sort()
        if State.STOPPED in first.states:  # there is no time for the second stage
            return _stopped(judged, unsure)
        second = yield from self._second.steps([texts[position] for position in unsure])
        for position, state, logits in zip(unsure, second.states, second.logits, strict=True):
            if np.isnan(logits[0]):
                unread = state if state is State.STOPPED else State.UNREADABLE
                judged[position] = Judgement(unread, judged[position].verdicts)
            else:
                voice = self._voices[texts[position].role]
                odds = voice.lines.of(np.concatenate((first.logits[position], logits)))
                judged[position] = Judgement(state, voice.verdicts(odds))
        return judged


def _stopped(judged: list[Judgement], positions: Sequence[int]) -> list[Judgement]:
    for position in positions:
        judged[position] = Judgement(State.STOPPED, judged[position].verdicts)
    return judged


def _readable(texts: Sequence[Text], role: Role, found: Scored) -> list[int]:
    read = ~np.isnan(found.logits[:, 0])
    return [position for position, text in enumerate(texts) if text.role == role and read[position]]


class _Lines:
    """Log-odds as linear functions of the logits (Platt 1999): one row a slug."""

    def __init__(self, width: int, rows: Sequence[tuple[Sequence[int], Sequence[float]]]) -> None:
        """`rows`: the columns that count among `width`, and their slopes with the offset behind them."""
        self._slopes = np.zeros((len(rows), width))
        for row, (columns, numbers) in enumerate(rows):
            self._slopes[row, list(columns)] = numbers[:-1]
        self._offsets = np.array([numbers[-1] for _, numbers in rows])

    def of(self, logits: Floats) -> Floats:
        odds: Floats = self._slopes @ logits + self._offsets
        return odds


class _Voice:
    """Which outputs count for one role, and how their logits become probabilities."""

    def __init__(self, info: DetectorInfo, role: Role) -> None:
        self._id = info.id
        self._slugs = tuple(slug for slug in info.heads if (slug, role) in info.calibration)
        width = len(info.heads) + (len(info.first.heads) if info.first else 0)
        rows = []
        for slug in self._slugs:
            own = width - len(info.heads) + info.heads.index(slug)
            columns = (info.first.heads.index(slug), own) if info.first else (own,)
            rows.append((columns, info.calibration[slug, role]))
        self.lines = _Lines(width, rows)

    def verdicts(self, odds: Floats) -> tuple[Verdict, ...]:
        scores = (1 / (1 + np.exp(-np.clip(odds, -40, 36)))).tolist()
        return tuple(Verdict(self._id, slug, score) for slug, score in zip(self._slugs, scores, strict=True))


class _CascadeVoice(_Voice):
    """Besides: what the first stage says alone, and when that is enough."""

    def __init__(self, info: DetectorInfo, first: DetectorInfo, role: Role) -> None:
        super().__init__(info, role)
        rows = [((first.heads.index(slug),), info.alone[slug, role]) for slug in self._slugs]
        self.alone = _Lines(len(first.heads), rows)
        gate = np.array(info.gates[role])
        self._slopes, self._offset = gate[:-1], gate[-1]

    def is_sure(self, logits: Floats) -> bool:
        return bool(self._slopes @ logits + self._offset < 0)
