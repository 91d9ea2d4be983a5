"""A network or a detector in several processes: measuring keeps one core busy for most of an hour."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from types import TracebackType
from typing import Any

import numpy as np

from detectors.base import Judgement, Text
from detectors.trained.networks import Scored

CHUNK = 48  # texts that one process takes at once

_made: list[Any] = []  # what this process judges with


class Workers:
    """Judges in `count` processes what one would: same answers, same order. A context; ends its processes."""

    def __init__(self, make: Callable[[], object], count: int) -> None:
        """`make`, which must pickle, gives each process a Network or a Detector of its own."""
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(count, context, initializer=_make, initargs=(make,))

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=True)

    def score(self, texts: Sequence[Text]) -> Scored:
        """As `Network.score`; there must be a text."""
        parts = list(self._pool.map(_score, _chunks(texts)))
        return Scored(
            np.concatenate([part.logits for part in parts]), [state for part in parts for state in part.states]
        )

    def detect(self, texts: Sequence[Text]) -> list[Judgement]:
        """As `Detector.detect`."""
        return [judgement for part in self._pool.map(_detect, _chunks(texts)) for judgement in part]


def _make(make: Callable[[], object]) -> None:
    _made[:] = [make()]


def _score(texts: Sequence[Text]) -> Scored:
    found: Scored = _made[0].score(texts)
    return found


def _detect(texts: Sequence[Text]) -> list[Judgement]:
    judged: list[Judgement] = _made[0].detect(texts)
    return judged


def _chunks(texts: Sequence[Text]) -> Iterator[Sequence[Text]]:
    return (texts[start : start + CHUNK] for start in range(0, len(texts), CHUNK))
