"""Lines that turn evidence into a probability."""

from collections.abc import Sequence

import numpy as np

from detectors.training import measure
from detectors.training.measure import Labels, Scores

LEAST_SPREAD = 1e-6


def scores(line: Sequence[float], evidence: Scores) -> Scores:
    """The probabilities of rows of evidence by a line, its offset last."""
    odds = evidence @ np.array(line[:-1]) + line[-1]
    found: Scores = 1 / (1 + np.exp(-np.clip(odds, -36, 36)))
    return found


def signed(
    evidence: Scores, labels: Labels, weights: Scores, speaks: Sequence[int], ridge: float = 0.0, shrink: float = 0.0
) -> tuple[float, ...]:
    """A line in which each number speaks as it means to (`speaks`: 1 for the label, -1 against it). What speaks against
    its own meaning, because others say nearly the same, is left out: on other sources it would mislead. `shrink` pulls
    the slopes to zero, as if all numbers had one spread."""
    spreads = evidence.std(axis=0)
    unit = np.where(spreads > LEAST_SPREAD, spreads, 1.0) if shrink else np.ones(len(speaks))
    evidence = evidence / unit
    kept = list(range(len(speaks)))
    while True:
        *slopes, offset = measure.platt(evidence[:, kept], labels, ridge=ridge, weights=weights, shrink=shrink)
        spread = evidence[:, kept].std(axis=0)
        against = [-slope * speaks[place] * wide for slope, place, wide in zip(slopes, kept, spread, strict=True)]
        if max(against, default=0) <= 0:
            break
        del kept[int(np.argmax(against))]
    line = np.zeros(len(speaks))
    line[kept] = slopes / unit[kept]
    return (*line.tolist(), offset)
