"""How often a difference between two models is shown where only their callers differ:

    python -m tests.proofs.rates.differences [--times 400]

Every caller has a rate of its own, drawn anew in each replay from a beta distribution with mean 10 % and standard
deviation 13 %. The models are alike, or the second triples each caller's rate. 500 labels of each model.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gateway.trust.comparing.clusters import Callers, stretch
from gateway.trust.estimates import Difference, difference
from gateway.trust.intervals import Mean
from gateway.trust.moments import Row

LABELS = 500
MEAN = 0.1
# How callers share the traffic of one model and of the other.
CASES: dict[str, tuple[list[int], list[int]]] = {
    "each has 20 of its own, one makes half of the first's": ([19, *[1] * 19, *[0] * 20], [0] * 20 + [1] * 20),
    "each has 10 of its own, equally busy": ([1] * 10 + [0] * 10, [0] * 10 + [1] * 10),
    "each has 40 of its own, equally busy": ([1] * 40 + [0] * 40, [0] * 40 + [1] * 40),
    "20 use both, one makes half of the first's": ([19, *[1] * 19], [1] * 20),
    "20 use both, one makes half of both": ([19, *[1] * 19], [19, *[1] * 19]),
    "20 use both, equally busy": ([1] * 20, [1] * 20),
    "one makes 90 % of the first's": ([171, *[1] * 19, *[0] * 20], [0] * 20 + [1] * 20),
}  # fmt: skip


class Shown(NamedTuple):
    """Shares of replays in which a difference is shown: by the traffic that passed, and by what stands out from how
    callers differ."""

    before: float
    now: float


def shown(one: Sequence[int], other: Sequence[int], *, factor: float, times: int, spread: float = 4.0) -> Shown:
    chance = np.random.default_rng(71)
    found = []
    for _ in range(times):
        rates = chance.beta(MEAN * spread, (1 - MEAN) * spread, size=len(one))
        (first, mean), (second, other_mean) = (
            _labelled(chance, np.array(shares) / sum(shares), np.minimum(1, rates * by))
            for shares, by in ((one, 1.0), (other, factor))
        )
        plain = difference(mean.interval(), other_mean.interval())
        wide = stretch(Callers.of(first), Callers.of(second), (mean, other_mean))
        found.append([_differs(plain), bool(wide.by) and _differs(wide.of(plain))])
    return Shown(*(float(share) for share in np.mean(found, axis=0)))


def _differs(found: Difference) -> bool:
    return found.low > 0 or found.high < 0


def _labelled(chance: np.random.Generator, shares: np.ndarray, rates: np.ndarray) -> tuple[dict[str, Row], Mean]:
    drawn = chance.multinomial(LABELS, shares)
    harm = chance.binomial(drawn, rates)
    rows = {
        str(at): Row(n, n, n, y, y, y) for at, (n, y) in enumerate(zip(drawn.tolist(), harm.tolist(), strict=True)) if n
    }
    share = float(harm.sum() / LABELS)
    return rows, Mean(share, share * (1 - share) / LABELS, 1 / LABELS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=400)
    times = parser.parse_args().times
    out = sys.stdout
    out.write("| callers | alike: shown before | now | three-fold: shown before | now |\n|---|---|---|---|---|\n")
    for name, shares in CASES.items():
        same, worse = (shown(*shares, factor=factor, times=times) for factor in (1.0, 3.0))
        out.write(f"| {name} | {same.before:.1%} | {same.now:.1%} | {worse.before:.0%} | {worse.now:.0%} |\n")


if __name__ == "__main__":
    main()
