"""How often intervals hold the rate of callers in general, where callers differ and some make most of the traffic:

    python -m tests.proofs.rates.clustered [--times 300]

In each replay every caller gets a rate of its own, drawn anew; the truth is the mean of all rates that could have been
drawn, weighted by the callers' shares of the traffic.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gateway.trust.comparing.callers import among_callers
from gateway.trust.estimates import Evidence, rate, total
from gateway.trust.moments import BANDS, NOTHING, SAID
from gateway.trust.per_caller import CallerColumn
from tests.proofs.rates.two_phase import Floats, Traffic, replays, simulated

EXCHANGES = 20_000


@dataclass(frozen=True)
class Held:
    """Of many replays: how often each interval held the rate of callers in general, its mean width, the mean number of
    equally busy callers and the mean design effect."""

    as_before: float
    widened: float
    width_before: float
    width: float
    callers: float
    design_effect: float


def held(shares: Sequence[float], *, labels: int, times: int, spread: float = 4.0, mean: float = 0.15) -> Held:
    """Rates are drawn from Beta(mean·spread, (1 - mean)·spread): the smaller the spread, the more callers differ."""
    chance = np.random.default_rng(34)
    base = simulated(0.5, 0.9)
    found = []
    for number in range(times):
        rates = chance.beta(mean * spread, (1 - mean) * spread, size=len(shares))
        callers = [
            next(replays(_with_rate(base, float(each)), exchanges=max(1, int(EXCHANGES * share)),
                         labels=max(1, round(labels * share)), times=1, seed=1000 * number + place))
            for place, (share, each) in enumerate(zip(shares, rates, strict=True))
        ]  # fmt: skip
        whole = together(callers)
        known = rate(whole, "person")
        assert known is not None
        plain, wide = known.interval(), among_callers(whole, known, list(map(column_of, callers)), "person")
        assert wide is not None
        both = [each.low <= mean <= each.high for each in (plain, wide.interval)]
        widths = [each.high - each.low for each in (plain, wide.interval)]
        found.append([*both, *widths, wide.callers, wide.design_effect])
    return Held(*(float(value) for value in np.mean(found, axis=0)))


def _with_rate(base: Traffic, rate: float) -> Traffic:
    share = np.where(base.harm > 0, 2 * rate, 2 * (1 - rate)) * base.share
    return replace(base, share=share / share.sum())


def together(callers: Sequence[Evidence]) -> Evidence:
    """The sums of all callers, as the ledger keeps them."""
    whole = Evidence()
    for of in callers:
        for place, row in of.detector.items():
            whole.detector[place] = whole.detector.get(place, NOTHING) + row
        for place, rows in of.person.items():
            known = whole.person.setdefault(place, [NOTHING] * SAID)
            whole.person[place] = [a + b for a, b in zip(known, rows, strict=True)]
    return whole


def column_of(of: Evidence) -> CallerColumn:
    """What the ledger keeps of it for each caller."""
    found = CallerColumn({}, {"person": {}})
    for (detector, band), row in of.detector.items():
        found.judged.setdefault(detector, [0.0] * BANDS)[band] = row.w
    for (detector, band), rows in of.person.items():
        found.labels["person"].setdefault(detector, []).extend((band, total(rows).w, total(rows).wy))
    return found


def zipf(callers: int) -> Floats:
    """The second makes half as much as the first, the third a third."""
    shares = 1 / np.arange(1, callers + 1)
    return np.asarray(shares / shares.sum())


CASES = {
    "40 callers alike": np.full(40, 1 / 40),
    "12 callers alike": np.full(12, 1 / 12),
    "60 callers, the busiest 21 %": zipf(60),
    "20 callers, the busiest 50 %": np.concatenate([[0.5], np.full(19, 0.5 / 19)]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=300)
    times = parser.parse_args().times
    out = sys.stdout
    out.write("| callers | as many equally busy | the rate: holds | width | beyond: holds | width |\n")
    out.write("|---" * 6 + "|\n")
    for name, shares in CASES.items():
        found = held(list(shares), labels=500, times=times)
        out.write(f"| {name} | {found.callers:.1f} | {found.as_before:.3f} | {found.width_before:.3f} ")
        out.write(f"| {found.widened:.3f} | {found.width:.3f} |\n")
        out.flush()


if __name__ == "__main__":
    main()
