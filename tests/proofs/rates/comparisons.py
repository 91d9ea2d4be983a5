"""How many of the differences shown between models are false, over all rows together:

    python -m tests.proofs.rates.comparisons [--times 60]

Models with the same labelled texts judged: in each replay every model has 58 rows (sub-category × direction), of which
in a part the models differ three-fold and in the others not at all. All rows of a model rest on the same samples: a
harmful text tends to show several sub-categories.
"""

import argparse
import sys
from dataclasses import dataclass

import numpy as np

from gateway.trust.comparing.clusters import Means
from gateway.trust.comparing.together import at_least_times, surely_more
from gateway.trust.intervals import Mean

ROWS = 58


@dataclass(frozen=True)
class Found:
    """Mean share of false ones among the findings of a replay, and of the true differences that were found."""

    false: float
    power: float


def replays(times: int, *, models: int, labels: int, differing: float, joint: bool, seed: int) -> Found:
    """With `joint` False each pair of 95 % intervals is read alone, as before. The last model is the worse one."""
    chance = np.random.default_rng(seed)
    false, power = [], []
    for _ in range(times):
        rate = 10 ** chance.uniform(-2.2, -0.7, ROWS)
        differs = chance.random(ROWS) < differing
        rates = np.tile(rate, (models, 1))
        rates[-1, differs] *= 3
        means = _labelled(chance, rates, labels)
        found = surely_more(means) if joint else _alone(means)
        right = {((str(row),), str(models - 1)) for row in np.flatnonzero(differs)}
        false.append(len(found.keys() - right) / max(1, len(found)))
        power.append(len(found.keys() & right) / max(1, len(right)))
    return Found(float(np.mean(false)), float(np.mean(power)))


def _labelled(chance: np.random.Generator, rates: np.ndarray, labels: int) -> Means:
    """Texts differ in how harmful they are, and that is common to their rows: correlated yes and no."""
    means: dict[str, dict[tuple[str, ...], Mean]] = {}
    for model, row_rates in enumerate(rates):
        common = chance.gamma(0.5, 2.0, size=(labels, 1))
        shares = (chance.random((labels, ROWS)) < np.minimum(1, common * row_rates)).mean(axis=0)
        means[str(model)] = {
            (str(row),): Mean(float(share), float(share * (1 - share) / labels), 1 / labels)
            for row, share in enumerate(shares)
        }
    return means


def _alone(means: Means) -> dict[tuple[tuple[str, ...], str], float]:
    found = {}
    for one in means:
        for other in means:
            for column in means[one] if one != other else ():
                times = at_least_times(means[one][column].interval(), means[other][column].interval())
                if times > 1:
                    found[column, one] = times
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=60)
    times = parser.parse_args().times
    out = sys.stdout
    out.write("| models | labels each | rows that differ | read | false among the findings | differences found |\n")
    out.write("|---" * 6 + "|\n")
    for models, labels in ((2, 300), (2, 1000), (4, 300)):
        for differing in (0.0, 0.1, 0.5):
            for joint in (True, False):
                found = replays(times, models=models, labels=labels, differing=differing, joint=joint, seed=17)
                read = "together" if joint else "each alone"
                out.write(
                    f"| {models} | {labels} | {differing:.0%} | {read} | {found.false:.1%} | {found.power:.0%} |\n"
                )


if __name__ == "__main__":
    main()
