"""The trained networks, from texts to raw head outputs: cut into windows, run, the windows' outputs put together."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import numpy as np
import numpy.typing as npt

from detectors.base import PIECE_CHARACTERS, Role, State, Steps, Text, finish
from detectors.trained import bounds, features, tokens
from detectors.trained.onnx import Model

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
        """Raw head outputs of each text; any text is legal input."""
        ...


class StepwiseNetwork(Network, Protocol):
    """One that can be interrupted."""

    def steps(self, texts: Sequence[Text]) -> Steps[Scored]:
        """What `score` does, in bounded pieces. Stopped early: STOPPED where a text was not wholly read."""
        ...


IsClear = Callable[[int, Floats], bool]  # of a text's place and its largest outputs so far: is there nothing to find?


class NgramNetwork:
    """Hashed n-grams (`features`) through a bag model, windows of like length together; the largest output counts."""

    def __init__(self, path: Path, heads: int) -> None:
        """Load `path`, a model of `heads` outputs. Raises manifest.ModelError."""
        self._model = Model(path)
        self._heads = heads

    def steps(self, texts: Sequence[Text]) -> Steps[Scored]:
        out = np.full((len(texts), self._heads), np.nan)
        rounds = self._rounds(texts)
        read = len(texts)
        for positions, found in rounds:
            runs = yield from self._run(found)
            if runs is None:
                read = positions[0]
                break
            first = np.flatnonzero(np.diff(positions, prepend=-1))
            out[np.array(positions)[first]] = np.maximum.reduceat(runs, first, axis=0)
            if (yield):
                read = positions[-1] + 1
                break
        blank = np.isnan(out[:, 0]).tolist()
        states = [_state(text, is_blank) for text, is_blank in zip(texts, blank, strict=True)]
        states[read:] = [State.STOPPED] * (len(texts) - read)
        return Scored(out, states)

    def score(self, texts: Sequence[Text]) -> Scored:
        return finish(self.steps(texts))

    def _run(self, found: list[features.Window]) -> Steps[Floats | None]:
        """The outputs of each window; None when stopped before the last run. The same windows share a run, whether it
        pauses between two or not: a score must not depend on it to the last bit."""
        order = sorted(range(len(found)), key=lambda position: len(found[position].text))
        out = np.empty((len(found), self._heads))
        start = 0
        while start < len(order):
            if start and (yield):
                return None
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

    def __init__(
        self,
        path: Path,
        tokenizer: tokens.AnyTokenizer,
        heads: int,
        means: Mapping[Role, Sequence[float]] = MappingProxyType({}),
    ) -> None:
        """Load the model at `path`, of `heads` outputs, which reads what `tokenizer` gives. Raises manifest.ModelError.

        `means`, by role, is for each head the share of the mean over a text's windows; the rest is the largest.
        """
        self._model = Model(path)
        self._tokenizer = tokenizer
        self._heads = heads
        self._means = {role: np.array(shares) for role, shares in means.items()}

    def steps(self, texts: Sequence[Text], is_clear: IsClear | None = None) -> Steps[Scored]:
        """As in StepwiseNetwork. The middle of a long reply is left out where `is_clear` says so of its two ends."""
        out = np.full((len(texts), self._heads), np.nan)
        states: list[State] = []
        for batch in _by_characters(texts):
            cut = yield from tokens.pieces_in_steps(self._tokenizer, batch)
            if cut is None or (sum(len(text.text) for text in batch) > PIECE_CHARACTERS and (yield)):
                return Scored(out, states + [State.STOPPED] * (len(texts) - len(states)))
            for found in cut:
                position = len(states)
                text = texts[position]
                places = tokens.starts(found)
                runs: list[Floats] = []
                stopped = False
                if tokens.has_known(found):
                    runs, stopped = yield from self._windows(found, places[: tokens.MAX_WINDOWS], position, is_clear)
                if runs:
                    share = self._means.get(text.role, 0.0)
                    out[position] = (1 - share) * np.max(runs, axis=0) + share * np.mean(runs, axis=0)
                if stopped and len(runs) < min(len(places), tokens.MAX_WINDOWS):
                    states.append(State.STOPPED)
                else:
                    states.append(_state_of_pieces(text, found, len(places)))
                if stopped:
                    return Scored(out, states + [State.STOPPED] * (len(texts) - len(states)))
        return Scored(out, states)

    def score(self, texts: Sequence[Text], is_clear: IsClear | None = None) -> Scored:
        return finish(self.steps(texts, is_clear))

    def _windows(
        self, found: tokens.Pieces, places: Sequence[int], position: int, is_clear: IsClear | None
    ) -> Steps[tuple[list[Floats], bool]]:
        """The outputs of each window, one a step, both ends first; and whether it was stopped."""
        ends = [places[0], places[-1]] if len(places) > 1 else [places[0]]
        runs: list[Floats] = []
        for start in (*ends, *places[1:-1]):
            if found.reply and is_clear and len(runs) == len(ends) and is_clear(position, np.max(runs, axis=0)):
                break
            window = tokens.window(found, start)
            runs.append(self._model.run({"tokens": window.tokens, "kinds": window.kinds})[0].astype(np.float64))
            if (yield):
                return runs, True
        return runs, False


def _state_of_pieces(text: Text, found: tokens.Pieces, windows: int) -> State:
    if not tokens.is_readable(found):
        return State.UNREADABLE
    if not tokens.has_known(found):
        return State.SKIPPED
    return _state(text, False) if windows <= tokens.MAX_WINDOWS else State.TRUNCATED


def _state(text: Text, is_blank: bool) -> State:
    if is_blank:
        return State.SKIPPED
    return State.TRUNCATED if len(text.text) > bounds.LIMIT else State.SCANNED


def _by_characters(texts: Sequence[Text]) -> Iterator[Sequence[Text]]:
    """Runs of texts, in order, of about ROUND_CHARACTERS."""
    start = size = 0
    for position, text in enumerate(texts, start=1):
        size += min(len(text.text), bounds.LIMIT)
        if size >= ROUND_CHARACTERS or position == len(texts):
            yield texts[start:position]
            start, size = position, 0
