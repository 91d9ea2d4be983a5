"""Figures from scores: ranking metrics, calibration, operating tables, and the public benchmarks."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from detectors.base import Detector, Judgement, OperatingTable, Text

Scores = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]
RATES = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
RECALL = "recall at 1 % false alarms"
POINTS = 60  # of a drawn curve
SUPPORT = 2  # false alarms that a rate must stand for among the benign rows, or it is not tabled


def auroc(scores: Scores, labels: Labels) -> float:
    """Area under the ROC curve, ties counting half; NaN with one class only."""
    positives, negatives = np.sort(scores[labels]), np.sort(scores[~labels])
    if not len(positives) or not len(negatives):
        return math.nan
    below = np.searchsorted(negatives, positives, "left") + np.searchsorted(negatives, positives, "right")
    return float(below.sum() / 2 / len(positives) / len(negatives))


def average_precision(scores: Scores, labels: Labels) -> float:
    """Area under the precision-recall steps, ties taken together."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(labels[order])
    last = np.append(np.diff(scores[order]) != 0, True)
    precision = (hits / np.arange(1, len(hits) + 1))[last]
    recall_steps = np.diff(hits[last], prepend=0) / max(hits[-1], 1)
    return float((precision * recall_steps).sum())


def f1(flagged: Labels, labels: Labels) -> float:
    """F1 of the positive class."""
    return float(2 * (flagged & labels).sum() / max(flagged.sum() + labels.sum(), 1))


def calibration_error(scores: Scores, labels: Labels) -> float:
    """Expected calibration error over ten bins (Naeini et al. 2015), both classes weighing the same."""
    return sum(abs(said - true) * weight for said, true, weight in _bins(scores, labels))


def _bins(scores: Scores, labels: Labels) -> list[tuple[float, float, float]]:
    """(mean score, share of positives, weight) in ten bins of equal weight, both classes weighing the same."""
    weights = np.where(labels, 0.5 / max(labels.sum(), 1), 0.5 / max((~labels).sum(), 1))
    order = np.argsort(scores, kind="stable")
    below = np.cumsum(weights[order])
    edges = [
        scores[order][min(int(np.searchsorted(below, share)), len(scores) - 1)] for share in np.arange(0.1, 1, 0.1)
    ]
    place = np.searchsorted(np.array(edges), scores)  # equal scores share a bin
    out = []
    for number in np.unique(place):
        part = place == number
        weight = float(weights[part].sum())
        said, true = float(scores[part] @ weights[part]), float(weights[part & labels].sum())
        out.append((said / weight, true / weight, weight))
    return out


def platt(
    logits: Scores, labels: Labels, ridge: float = 1e-9, weights: Scores | None = None, shrink: float = 0.0
) -> tuple[float, ...]:
    """Slopes and, last, the offset of log-odds on one logit [rows] or several [rows, columns]; rows may have weights.

    `ridge` steadies the steps; `shrink` pulls the slopes to zero, half of it for each one's square.

    Newton's method with halved steps on smoothed targets: Lin, Lin and Weng 2007, "A note on Platt's probabilistic
    outputs for support vector machines", algorithm 1.
    """
    positives, negatives = int(labels.sum()), int((~labels).sum())
    target = np.where(labels, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    counts = np.ones(len(labels)) if weights is None else weights
    design = np.column_stack((logits, np.ones(len(labels))))
    line = np.zeros(design.shape[1])
    line[-1] = math.log((positives + 1) / (negatives + 1)) if weights is None else 0.0
    pull = np.append(np.full(len(line) - 1, shrink), 0.0)

    def cost(of: Scores) -> float:
        return _cross_entropy(design @ of, target, counts) + float((pull * of**2).sum()) / 2

    loss = cost(line)
    for _ in range(100):
        chance = 1 / (1 + np.exp(-np.clip(design @ line, -500, 500)))
        curvature = (design * (counts * chance * (1 - chance))[:, None]).T @ design + np.diag(pull + ridge)
        step = np.linalg.solve(curvature, design.T @ (counts * (chance - target)) + pull * line)
        while (tried := cost(line - step)) > loss and np.abs(step).max() > 1e-10:
            step /= 2
        if loss - tried < 1e-10 * len(target):
            break
        line, loss = line - step, tried
    return tuple(line.tolist())


def _cross_entropy(odds: Scores, target: Scores, counts: Scores) -> float:
    return float((counts * (np.logaddexp(0, odds) - target * odds)).sum())


def operating_table(benign: Scores, levels: Iterable[float] = ()) -> OperatingTable:
    """For each rate that the benign rows support, the score from which at most that share of them is flagged.

    `levels` are the scores a rule can give: the threshold is then one of them, and a rate none of them meets is left
    out. Otherwise it is the next number above the highest benign score that must not be flagged.
    """
    falling = np.sort(benign)[::-1]
    out = []
    for rate in RATES:
        allowed = math.floor(rate * len(falling) + 1e-9)
        if allowed < SUPPORT:
            continue
        limit = float(falling[allowed])
        above = sorted(level for level in levels if level > limit) if levels else [math.nextafter(limit, 2.0)]
        if above:
            out.append((rate, above[0]))
    return tuple(out)


def scores_of(detector: Detector, texts: Sequence[Text], slug: str) -> Scores:
    """One score a text; a skipped text, or a slug that the detector does not speak of for its role, scores 0."""
    return scores_in(detector.detect(texts), slug)


def scores_in(judged: Sequence[Judgement], slug: str) -> Scores:
    """The scores for a slug, 0 where there is none."""
    return np.array([next((v.score for v in j.verdicts if v.slug == slug), 0.0) for j in judged])


Curve = list[tuple[float, float]]


def roc(scores: Scores, labels: Labels) -> Curve:
    """(share of the negatives flagged, share of the positives flagged) at up to POINTS thresholds."""
    limits = np.unique(np.quantile(scores, 1 - np.geomspace(1 / len(scores), 1, POINTS)))[::-1]
    return [(float((scores[~labels] >= at).mean()), float((scores[labels] >= at).mean())) for at in limits]


def reliability(scores: Scores, labels: Labels) -> Curve:
    """(mean score, share of positives) in ten bins of equal weight, both classes weighing the same."""
    return [(said, true) for said, true, _ in _bins(scores, labels)]
