"""The trained networks, from texts to raw head outputs: cut into windows, run, the largest output of each head kept."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from detectors.base import State, Steps, Text, finish
from detectors.trained import features, tokens
from detectors.trained.onnx import Model, Tokenizer

Floats = npt.NDArray[np.float64]

BATCH_BYTES = 16_384  # of padded text in one run of the n-gram model: the gathered rows stay in the processor's cache
ROUND_BYTES = 24_000  # of text read in one step of the n-gram model: some 10 ms
ROUND_CHARACTERS = 24_000  # of text cut into word pieces in one step


@dataclass(frozen=True, slots=True)
class Scored:
    """What a network says: `logits` [texts, heads], NaN where it read nothing, and what became of each text."""

    logits: Floats
    states: list[State]


class Network(Protocol):
    """A loaded model with its way of reading text."""

    def score(self, texts: Sequence[Text]) -> Scored:
        """Raw head outputs, the largest over the windows of each text; any text is legal input."""
        ...


class StepwiseNetwork(Network, Protocol):
    """One that can be interrupted."""

    def steps(self, texts: Sequence[Text]) -> Steps[Scored]:
        """What `score` does, in bounded pieces. Stopped early: STOPPED where a text was not wholly read."""
        ...


class NgramNetwork:
    """Hashed n-grams (`features`) through a bag model, windows of like length together."""

    def __init__(self, path: Path, heads: int) -> None:
        """Load `path`, a model of `heads` outputs. Raises manifest.ModelError."""
        self._model = Model(path)
        self._heads = heads

    def steps(self, texts: Sequence[Text]) -> Steps[Scored]:
        out = np.full((len(texts), self._heads), np.nan)
        rounds = self._rounds(texts)
        read = len(texts)
        for positions, found in rounds:
            first = np.flatnonzero(np.diff(positions, prepend=-1))
            out[np.array(positions)[first]] = np.maximum.reduceat(self._run(found), first, axis=0)
            if (yield):
                read = positions[-1] + 1
                break
        blank = np.isnan(out[:, 0]).tolist()
        states = [_state(text, is_blank) for text, is_blank in zip(texts, blank, strict=True)]
        states[read:] = [State.STOPPED] * (len(texts) - read)
        return Scored(out, states)

    def score(self, texts: Sequence[Text]) -> Scored:
        return finish(self.steps(texts))

    def _run(self, found: list[features.Window]) -> Floats:
        order = sorted(range(len(found)), key=lambda position: len(found[position].text))
        out = np.empty((len(found), self._heads))
        start = 0
        while start < len(order):
            stop = start + 1
            while stop < len(order) and (stop + 1 - start) * len(found[order[stop]].text) <= BATCH_BYTES:
                stop += 1
            chunk = order[start:stop]
            out[chunk] = self._model.run(features.arrays([found[position] for position in chunk]))
            start = stop
        return out

    @staticmethod
    def _rounds(texts: Sequence[Text]) -> Iterator[tuple[list[int], list[features.Window]]]:
        """The windows of the texts, whole texts together, at most about ROUND_BYTES at once."""
        positions: list[int] = []
        found: list[features.Window] = []
        size = 0
        for position, text in enumerate(texts):
            for window in features.windows(text):
                positions.append(position)
                found.append(window)
                size += len(window.text)
            if size > ROUND_BYTES:
                yield positions, found
                positions, found, size = [], [], 0
        if found:
            yield positions, found


class PieceNetwork:
    """Word pieces (`tokens`) through a transformer, one window a run.

    On one thread a batch gains little, costs padding, and would tie a text's score to its neighbours': activations
    are quantised with one scale a run.
    """

    def __init__(self, path: Path, vocabulary: Path, heads: int) -> None:
        """Load the model at `path`, of `heads` outputs, and its vocabulary. Raises manifest.ModelError."""
        self._model = Model(path)
        self._tokenizer = Tokenizer(vocabulary)
        self._heads = heads

    def steps(self, texts: Sequence[Text]) -> Steps[Scored]:
        out = np.full((len(texts), self._heads), np.nan)
        states: list[State] = []
        for batch in _by_characters(texts):
            for found in tokens.pieces(self._tokenizer, batch):
                places = tokens.starts(found)
                read, stopped = 0, False
                if tokens.has_known(found):
                    read, stopped = yield from self._windows(found, places[: tokens.MAX_WINDOWS], out[len(states)])
                if stopped and read < min(len(places), tokens.MAX_WINDOWS):
                    states.append(State.STOPPED)
                else:
                    states.append(_state_of_pieces(texts[len(states)], found, len(places)))
                if stopped:
                    return Scored(out, states + [State.STOPPED] * (len(texts) - len(states)))
        return Scored(out, states)

    def score(self, texts: Sequence[Text]) -> Scored:
        return finish(self.steps(texts))

    def _windows(self, found: tokens.Pieces, places: Sequence[int], worst: Floats) -> Steps[tuple[int, bool]]:
        """Raise `worst` to the outputs of each window, one a step. How many were read, and whether it was stopped."""
        for number, start in enumerate(places, 1):
            window = tokens.window(found, start)
            np.fmax(worst, self._model.run({"tokens": window.tokens, "kinds": window.kinds})[0], out=worst)
            if (yield):
                return number, True
        return len(places), False


def _state_of_pieces(text: Text, found: tokens.Pieces, windows: int) -> State:
    if not tokens.is_readable(found):
        return State.UNREADABLE if features.normalise(text.text[: features.WINDOW]) else State.SKIPPED
    return _state(text, False) if windows <= tokens.MAX_WINDOWS else State.TRUNCATED


def _state(text: Text, is_blank: bool) -> State:
    if is_blank:
        return State.SKIPPED
    return State.TRUNCATED if len(text.text) > features.LIMIT else State.SCANNED


def _by_characters(texts: Sequence[Text]) -> Iterator[Sequence[Text]]:
    """Runs of texts, in order, of about ROUND_CHARACTERS."""
    start = size = 0
    for position, text in enumerate(texts, start=1):
        size += min(len(text.text), features.LIMIT)
        if size >= ROUND_CHARACTERS or position == len(texts):
            yield texts[start:position]
            start, size = position, 0
