"""Traffic with a known rate of harm, judged and labelled many times over as the gateway would, for the estimates of
`gateway.trust`. Everything is drawn from a seeded generator; a thousand replays take some seconds."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.opinions.allocation import worth
from gateway.trust.drawing import BLIND
from gateway.trust.estimates import Evidence, rate
from gateway.trust.intervals import Interval
from gateway.trust.moments import BANDS, EDGES, NO, NOTHING, SAID, UNASKED, YES, Row

LOOKS = 10  # times that the allocation is learned anew within a replay
Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Traffic:
    """Kinds of exchanges: `share` of the traffic, whether they are `harm` and their `score`, the probability that phase
    one takes them, and that a judge says yes. `others` are (score, harm) of further columns that are labelled too:
    the same labels serve them all."""

    share: Floats
    harm: Floats
    score: Floats
    sampled: Floats
    judge_says_yes: Floats
    others: tuple[tuple[Floats, Floats], ...] = ()

    @property
    def rate(self) -> float:
        return float(self.share @ self.harm)

    def merged(self) -> "Traffic":
        """Kinds that nothing tells apart, neither the bands of their scores nor what they are, as one."""
        columns = [(self.score, self.harm), *self.others]
        told = [np.searchsorted(EDGES, score, side="right") for score, _ in columns] + [harm for _, harm in columns]
        _, first, kind = np.unique(
            np.column_stack([*told, self.sampled, self.judge_says_yes]), axis=0, return_index=True, return_inverse=True
        )
        share = np.zeros(len(first))
        np.add.at(share, kind.ravel(), self.share)
        harm, score, sampled, says = (
            values[first] for values in (self.harm, self.score, self.sampled, self.judge_says_yes)
        )
        others = tuple((each[first], shown[first]) for each, shown in self.others)
        return Traffic(share, harm, score, sampled, says, others)

    @property
    def band(self) -> npt.NDArray[np.intp]:
        return np.searchsorted(EDGES, self.score, side="right")


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
    return Traffic(share, harm, score, ones, np.where(harm > 0, 0.85, 0.04))


def _normal_quantile(probability: float) -> float:
    grid = np.linspace(-6, 6, 240_001)
    below = np.cumsum(np.exp(-(grid**2) / 2))
    return float(grid[np.searchsorted(below / below[-1], probability)])


def probabilities(seen: Floats, need: Floats, share: float, blind: float) -> Floats:
    """With which a judged exchange is drawn when the budget is this share of them, by replay and kind: where
    `drawing.DrawBudget` settles. `seen` has the kinds' shares of what is judged."""
    even = min(1.0, blind * share)
    wanted = (1 - blind) * share
    low, high = np.zeros((len(need), 1)), np.full((len(need), 1), 1e4)
    for _ in range(50 if wanted else 0):
        middle = (low + high) / 2
        enough = (np.minimum(1, middle * need) @ seen)[:, None] >= wanted
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return 1 - (1 - even) * (1 - np.minimum(1, low * need))


class _Learning:
    """The sums of all columns by band in each replay, and the need that follows from them, as the gateway learns it."""

    def __init__(self, traffic: Traffic, times: int) -> None:
        columns = [(traffic.score, traffic.harm), *traffic.others]
        self._bands = [np.searchsorted(EDGES, score, side="right") for score, _ in columns]
        self._within = [np.eye(BANDS)[band] for band in self._bands]
        self._harm = [harm for _, harm in columns]
        self._judged = np.zeros((len(columns), times, BANDS))
        self._labels = np.zeros((len(columns), 5, times, BANDS))

    def add(self, judged: Floats, drawn: Counts, weight: Floats) -> None:
        w, ww = drawn * weight, drawn * weight**2
        for at, (within, harm) in enumerate(zip(self._within, self._harm, strict=True)):
            self._judged[at] += judged @ within
            for place, terms in enumerate((drawn, w, ww, w * harm, ww * harm)):
                self._labels[at, place] += terms @ within

    def need(self) -> Floats:
        times = range(self._judged.shape[1])
        worths = [np.array([self._worth(at, time) for time in times])[:, band] for at, band in enumerate(self._bands)]
        return np.asarray(np.sqrt(np.mean(worths, axis=0)))

    def _worth(self, at: int, time: int) -> tuple[float, ...]:
        judged = [Row(w, w, w, 0, 0, 0) for w in self._judged[at, time].tolist()]
        n, w, ww, wy, wwy = self._labels[at, :, time].tolist()
        return worth(judged, [Row(*row) for row in zip(n, w, ww, wy, wwy, wwy, strict=True)])


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
    taught: bool = False,
) -> Iterator[Evidence]:
    """What the ledger would hold after each replay. `labels` are people's, `judged_by_model` the judge's, of which
    people see a part. The draw is learned from the labels, LOOKS times in a replay; where it was `taught` it has
    learned from as many labels before, as a gateway has that has run for a while. Those count for nothing else."""
    chance, traffic = np.random.default_rng(seed), traffic.merged()
    seen = traffic.share * traffic.sampled
    judged, seen = exchanges * float(seen.sum()), seen / seen.sum()
    weight = 1 / traffic.sampled
    people, model = (_Learning(traffic, times) for _ in range(2))
    first, rows, judge_rows = np.zeros((times, BANDS, 6)), dict[int, Floats](), dict[int, Floats]()
    for look in range(-LOOKS if taught else 0, LOOKS):
        arrived = (look + 1) * exchanges // LOOKS - look * exchanges // LOOKS
        if look == 0:
            first[:], rows, judge_rows = 0.0, {}, {}
        counts = chance.binomial(chance.multinomial(arrived, traffic.share, size=times), traffic.sampled)
        first += _sums(counts, np.broadcast_to(weight, counts.shape), np.zeros_like(weight), traffic.band)
        person = probabilities(seen, people.need(), labels / judged, blind)
        if not judged_by_model:
            drawn = chance.binomial(counts, person)
            _add(rows, UNASKED, _sums(drawn, weight / person, traffic.harm, traffic.band))
        else:
            judge = probabilities(seen, model.need(), judged_by_model / judged, blind)
            drawn = _in_two_phases(chance, traffic, counts, person, np.maximum(judge, person), rows, judge_rows)
        people.add(counts * weight, drawn, weight / person)
    for number in range(times):
        counted = {(detector, b): Row(*first[number, b]) for b in range(BANDS) if first[number, b, 0]}
        yield Evidence(counted, _by_said(judge_rows, number, detector), _by_said(rows, number, detector))


def _in_two_phases(
    chance: np.random.Generator,
    traffic: Traffic,
    counts: npt.NDArray[np.int64],
    person: Floats,
    judge: Floats,
    rows: dict[int, Floats],
    judge_rows: dict[int, Floats],
) -> npt.NDArray[np.int64]:
    """Ask the judge model about a part of `counts`, and people about a part of that; returns what people were asked."""
    weight = 1 / traffic.sampled
    yes = chance.binomial(counts, traffic.judge_says_yes)
    drawn = np.zeros_like(counts)
    for said, answered in ((YES, yes), (NO, counts - yes)):
        asked = chance.binomial(answered, judge)
        says = np.full_like(weight, float(said == YES))
        _add(judge_rows, said, _sums(asked, weight / judge, says, traffic.band))
        by_people = chance.binomial(asked, person / judge)
        _add(rows, said, _sums(by_people, weight / person, traffic.harm, traffic.band))
        drawn += by_people
    return drawn


def _add(rows: dict[int, Floats], said: int, more: Floats) -> None:
    rows[said] = rows[said] + more if said in rows else more


def _sums(counts: Counts, weight: Floats, y: Floats, band: npt.NDArray[np.intp]) -> Floats:
    """The six sums of each band: (times, BANDS, 6)."""
    within = np.eye(BANDS)[band]
    w, ww = counts * weight, counts * weight**2
    return np.stack([terms @ within for terms in (counts, w, ww, w * y, ww * y, ww * y * y)], axis=2)


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
    drawn = replays(replace(traffic, others=()), exchanges=exchanges, labels=labels, times=times, seed=seed, blind=1.0)
    return result(intervals(replace(of, detector={}) for of in drawn), traffic.rate)


def with_detector(traffic: Traffic, **more: Any) -> Result:
    return result(intervals(replays(traffic, **more)), traffic.rate)
