"""The trained detectors: window, featurise, batch, score, calibrate; a text's score is its worst window's."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from detectors.base import Judgement, Role, State, Text, Verdict
from detectors.features import LIMIT, Window, arrays, windows
from detectors.manifest import DetectorInfo, ModelError
from detectors.onnx import Model

BATCH_BYTES = 16_384  # of padded text in one model run: the gathered rows stay in the processor's cache
ROUND_BYTES = 4_000_000  # of text featurised at once, so that a huge batch does not become a huge array

Floats = npt.NDArray[np.float64]


class Encoder:
    """A Detector over one ONNX file. Speaks, for each role, of the heads that were measured for it."""

    def __init__(self, info: DetectorInfo) -> None:
        """Load the model behind `info`. Raises ModelError when it has no file or the file does not load."""
        if info.file is None:
            raise ModelError(f"{info.name}: models.toml names no model file for it; run `make train`")
        self.id = info.id
        self.slugs = info.slugs
        self._model = Model(info.file)
        self._heads = len(info.heads)
        self._readers = {role: _Reader(info, role) for role in ("prompt", "response")}

    def detect(self, texts: Sequence[Text]) -> list[Judgement]:
        """Judge a batch: same length, same order. Beyond `features.LIMIT` code points a text is truncated."""
        owners, worst = self._worst(texts)
        judgements = [Judgement(State.SKIPPED)] * len(texts)
        for role, reader in self._readers.items():
            mine = [position for position, owner in enumerate(owners) if texts[owner].role == role]
            scores = reader.calibrated(worst[mine]).tolist() if mine else []
            for position, row in zip(mine, scores, strict=True):
                text = texts[owners[position]]
                state = State.TRUNCATED if len(text.text) > LIMIT else State.SCANNED
                verdicts = tuple(Verdict(self.id, slug, score) for slug, score in zip(reader.slugs, row, strict=True))
                judgements[owners[position]] = Judgement(state, verdicts)
        return judgements

    def logits(self, texts: Sequence[Text]) -> Floats:
        """Uncalibrated head outputs, in the order of `DetectorInfo.heads`: [texts, heads], NaN for a blank text."""
        owners, worst = self._worst(texts)
        out = np.full((len(texts), self._heads), np.nan)
        out[owners] = worst
        return out

    def _worst(self, texts: Sequence[Text]) -> tuple[list[int], Floats]:
        """Positions of the texts that have anything to judge, and the largest logit of each head over their windows."""
        owners: list[int] = []
        rows: list[Floats] = []
        for positions, found in _rounds(texts):
            starts = np.flatnonzero(np.diff(positions, prepend=-1))
            rows.append(np.maximum.reduceat(self._score(found), starts, axis=0))
            owners += [positions[start] for start in starts]
        return owners, np.concatenate(rows) if rows else np.empty((0, self._heads))

    def _score(self, found: list[Window]) -> Floats:
        order = sorted(range(len(found)), key=lambda position: len(found[position].text))
        out = np.empty((len(found), self._heads))
        start = 0
        while start < len(order):
            stop = start + 1
            while stop < len(order) and (stop + 1 - start) * len(found[order[stop]].text) <= BATCH_BYTES:
                stop += 1
            chunk = order[start:stop]
            out[chunk] = self._model.run(arrays([found[position] for position in chunk]))
            start = stop
        return out


class _Reader:
    """Which outputs count for one role, and how their logits become probabilities (Platt 1999)."""

    def __init__(self, info: DetectorInfo, role: Role) -> None:
        self.slugs = tuple(slug for slug in info.heads if (slug, role) in info.calibration)
        self._columns = [info.heads.index(slug) for slug in self.slugs]
        pairs = np.array([info.calibration[slug, role] for slug in self.slugs]).reshape(-1, 2)
        self._slope, self._offset = pairs[:, 0], pairs[:, 1]

    def calibrated(self, logits: Floats) -> Floats:
        odds = np.clip(logits[:, self._columns] * self._slope + self._offset, -40, 36)
        scores: Floats = 1 / (1 + np.exp(-odds))
        return scores


def _rounds(texts: Sequence[Text]) -> Iterator[tuple[list[int], list[Window]]]:
    """The windows of the texts, whole texts together, at most about ROUND_BYTES at once."""
    positions: list[int] = []
    found: list[Window] = []
    size = 0
    for position, text in enumerate(texts):
        for window in windows(text):
            positions.append(position)
            found.append(window)
            size += len(window.text)
        if size > ROUND_BYTES:
            yield positions, found
            positions, found, size = [], [], 0
    if found:
        yield positions, found
