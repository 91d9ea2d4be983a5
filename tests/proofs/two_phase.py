"""Traffic with a known rate of harm, judged and labelled many times over as the gateway would, for the estimates of
`gateway.trust`. Everything is drawn from a seeded generator; a thousand replays take a second or two."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.trust.drawing import BLIND, doubt
from gateway.trust.estimates import Evidence, rate
from gateway.trust.intervals import Interval
from gateway.trust.moments import BANDS, EDGES, NO, NOTHING, SAID, UNASKED, YES, Row

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Traffic:
    """Kinds of exchanges: `share` of the traffic, whether they are `harm`, their `score` and the `need` that the design
    sees in all their scores, the probability that phase one takes them, and that a judge says yes."""

    share: Floats
    harm: Floats
    score: Floats
    need: Floats
    sampled: Floats
    judge_says_yes: Floats

    @property
    def rate(self) -> float:
        return float(self.share @ self.harm)


@dataclass(frozen=True)
class Result:
    """Of many replays: how often the interval held the truth, its mean width, and the estimates' error."""

    covered: float
    width: float
    error: float

    def fewer_labels(self, than: "Result") -> float:
        """How many times fewer labels give the same width, widths falling with the root of their number."""
        return (than.width / self.width) ** 2


def simulated(prevalence: float, auroc: float, *, shift: float = 0.0, kinds: int = 240) -> Traffic:
    """Scores of harm and of the rest are normal on the log-odds, so far apart that the AUROC is this; they are
    calibrated where a tenth is harm, and off by `shift` beside."""
    apart = np.sqrt(2) * _normal_quantile(auroc)
    at = np.linspace(-4.5, 4.5 + apart, kinds)
    benign, harmful = np.exp(-(at**2) / 2), np.exp(-((at - apart) ** 2) / 2)
    share = np.concatenate([benign / benign.sum() * (1 - prevalence), harmful / harmful.sum() * prevalence])
    score = 1 / (1 + np.exp(-(apart * at - apart**2 / 2 + np.log(1 / 9) + shift)))
    score = np.concatenate([score, score])
    harm = np.concatenate([np.zeros(kinds), np.ones(kinds)])
    ones = np.ones(2 * kinds)
    return Traffic(share, harm, score, np.array([doubt(s) for s in score]), ones, np.where(harm > 0, 0.85, 0.04))


def _normal_quantile(probability: float) -> float:
    grid = np.linspace(-6, 6, 240_001)
    below = np.cumsum(np.exp(-(grid**2) / 2))
    return float(grid[np.searchsorted(below / below[-1], probability)])


def probabilities(traffic: Traffic, judged: int, labels: int, blind: float = BLIND) -> Floats:
    """With which a judged exchange is drawn when the budget is `labels` of so many: where `drawing.Budget` settles."""
    seen = traffic.share * traffic.sampled
    seen = seen / seen.sum()
    even = min(1.0, blind * labels / judged)
    wanted, low, high = (1 - blind) * labels / judged, 0.0, 1e6
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if seen @ np.minimum(1, middle * traffic.need) < wanted else (low, middle)
    return 1 - (1 - even) * (1 - np.minimum(1, low * traffic.need))


def replays(
    traffic: Traffic,
    *,
    exchanges: int,
    labels: int,
    times: int,
    seed: int,
    blind: float = BLIND,
    judged_by_model: int = 0,
    detector: str = "detector@1",
) -> Iterator[Evidence]:
    """What the ledger would hold after each replay. `labels` are people's, `judged_by_model` the judge's, of which
    people see a part."""
    chance = np.random.default_rng(seed)
    judged = int(exchanges * (traffic.share @ traffic.sampled))
    counts = chance.binomial(chance.multinomial(exchanges, traffic.share, size=times), traffic.sampled)
    person = probabilities(traffic, judged, labels, blind)
    weight = 1 / traffic.sampled
    band = np.searchsorted(EDGES, traffic.score, side="right")
    first = _sums(counts, weight, np.zeros_like(weight), band)
    if not judged_by_model:
        rows = {UNASKED: _sums(chance.binomial(counts, person), weight / person, traffic.harm, band)}
        judge_rows: dict[int, Floats] = {}
    else:
        judge = np.maximum(probabilities(traffic, judged, judged_by_model, blind), person)
        yes = chance.binomial(counts, traffic.judge_says_yes)
        rows, judge_rows = {}, {}
        for said, answered in ((YES, yes), (NO, counts - yes)):
            asked = chance.binomial(answered, judge)
            judge_rows[said] = _sums(asked, weight / judge, np.full_like(weight, float(said == YES)), band)
            rows[said] = _sums(chance.binomial(asked, person / judge), weight / person, traffic.harm, band)
    for number in range(times):
        yield Evidence(
            {(detector, b): Row(*first[number, b]) for b in range(BANDS) if first[number, b, 0]},
            _by_said(judge_rows, number, detector),
            _by_said(rows, number, detector),
        )


def _sums(counts: npt.NDArray[np.int64], weight: Floats, y: Floats, band: npt.NDArray[np.intp]) -> Floats:
    """The six sums of each band: (times, BANDS, 6)."""
    terms = np.stack([np.ones_like(weight), weight, weight**2, weight * y, weight**2 * y, (weight * y) ** 2])
    within = np.zeros((len(weight), BANDS))
    within[np.arange(len(weight)), band] = 1
    return np.stack([counts @ (within * term[:, None]) for term in terms], axis=2)


def _by_said(rows: dict[int, Floats], number: int, detector: str) -> dict[tuple[str, int], list[Row]]:
    found = {}
    for band in range(BANDS):
        said = [Row(*rows[way][number, band]) if way in rows else NOTHING for way in range(SAID)]
        if any(row.n for row in said):
            found[detector, band] = said
    return found


def intervals(found: Iterator[Evidence]) -> list[Interval]:
    means = [rate(of, "person") for of in found]
    return [mean.interval() for mean in means if mean is not None]


def result(found: list[Interval], truth: float) -> Result:
    held = [interval.low <= truth <= interval.high for interval in found]
    widths = [interval.high - interval.low for interval in found]
    errors = [(interval.estimate - truth) ** 2 for interval in found]
    return Result(float(np.mean(held)), float(np.mean(widths)), float(np.sqrt(np.mean(errors))))


def labels_alone(traffic: Traffic, *, exchanges: int, labels: int, times: int, seed: int) -> Result:
    """The same number of labels drawn evenly, and no detector."""
    drawn = replays(traffic, exchanges=exchanges, labels=labels, times=times, seed=seed, blind=1.0)
    return result(intervals(replace(of, detector={}) for of in drawn), traffic.rate)


def with_detector(traffic: Traffic, **more: Any) -> Result:
    return result(intervals(replays(traffic, **more)), traffic.rate)
