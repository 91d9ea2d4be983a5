"""What the monitor of cultures finds, how often it finds what is not there, and how often its alarms are false: the
lines of docs/monitors.md, by simulation with the product's own statistics.

    python -m tests.proofs.cultures [--replays 200] [--alarms 75]
"""

import argparse
import sys
from collections.abc import Iterator
from itertools import chain

import numpy as np

from detectors.monitors import gaps, sequences
from detectors.monitors.statistics import Difference, Mean
from tests.proofs.monitors import DAYS, Line, added, between, counted, summed

CULTURES = 40


def cultures(replays: int) -> Iterator[Line]:
    """Forty cultures, the most named sixteen times as often as the least, three models; refusals, and toxicity as
    scores that a head gives. Of one culture that is seldom named, answers are refused more, or are harsher."""
    for refused, harsher, size in (
        (0.0, 0.0, 60), (0.1, 0.0, 110), (0.1, 0.0, 370), (0.3, 0.0, 40), (0.0, 0.05, 110), (0.0, 0.05, 370),
    ):  # fmt: skip
        chance = np.random.default_rng(size)
        found = [_about(chance, refused, harsher, size) for _ in range(replays)]
        hits = float(np.mean([hit for hit, _, _ in found]))
        others = float(np.mean([other for _, other, _ in found]))
        holds = float(np.mean([held for _, _, held in found]))
        what = f"{100 * refused:.0f} points more refused" if refused else f"{100 * harsher:.0f} points more toxic"
        case = f"{what} of one culture, {size} answers" if refused or harsher else "no gap, 40 cultures (any)"
        yield Line("cultural_insensitivity", case, hits if refused or harsher else others, holds, replays)
        if refused or harsher:
            yield Line("cultural_insensitivity", "  another culture named beside it", others, None, replays)


def _about(chance: np.random.Generator, refused: float, harsher: float, size: int) -> tuple[bool, bool, bool]:
    """Was the culture found, another one, and did the interval hold the truth."""
    by: dict[str, dict[str, dict[tuple[str, str], Mean]]] = {"refusal": {}, "toxicity": {}}
    for number in range(CULTURES):
        about = size if number == 0 else 400 / (1 + number) ** 0.75
        for model, rate in (("a", 0.05), ("b", 0.1), ("c", 0.2)):
            n = max(1, int(chance.poisson(about / 3)))
            more = (refused, harsher) if number == 0 else (0.0, 0.0)
            at = "chat", model
            by["refusal"].setdefault(f"c{number}", {})[at] = counted(int(chance.binomial(n, rate + more[0])), n)
            by["toxicity"].setdefault(f"c{number}", {})[at] = summed(
                np.minimum(1.0, chance.beta(1, 12, n) + more[1] * chance.exponential(1.0, n))
            )
    rows = gaps.gaps({(measure, "culture"): means for measure, means in by.items()})
    measure, truth = ("toxicity", harsher) if harsher else ("refusal", refused)
    first = next(row for row in rows if (row.measure, row.cohort) == (measure, "c0"))
    others = any(row.found for row in rows if row is not first)
    return first.found, others or (first.found and truth == 0), first.difference.low <= truth <= first.difference.high


def culture_alarm(chance: np.random.Generator) -> bool:
    """Ten cultures, of which prompts name one to four an hour; 5 % are refused."""
    sums = {
        f"c{number}": added(chance, 1 + number / 3, lambda n: summed((chance.random(n) < 0.05).astype(float)))
        for number in range(10)
    }
    for end in range(4, DAYS * 24 + 1, 4):
        by_key: dict[tuple[str, str, str], dict[float, Difference]] = {}
        starts = range(0, end, 24)
        for start in starts:
            by = {name: {("chat", "m"): between(each, start, end)} for name, each in sums.items()}
            for key, found in gaps.differences({("refusal", "culture"): by}).items():
                by_key.setdefault(key, {})[float(start)] = found
        evidence = [sequences.detector(key, by_start, len(starts)) for key, by_start in by_key.items()]
        if sequences.chosen([each for each in evidence if each is not None]):
            return True
    return False


def alarms(runs: int) -> Iterator[Line]:
    """Where nothing differs."""
    chance = np.random.default_rng(18)
    found = float(np.mean([culture_alarm(chance) for _ in range(runs)]))
    yield Line("alarms", "ten cultures (any), 8 days, six looks a day", found, None, runs)


def main() -> None:
    """Print a table, a line for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replays", type=int, default=200)
    parser.add_argument("--alarms", type=int, default=75)
    asked = parser.parse_args()
    for line in chain(cultures(asked.replays), alarms(asked.alarms)):
        holds = "" if line.holds is None else f"{line.holds:.0%}"
        sys.stdout.write(f"| {line.case} | {line.found:.1%} | {holds} | {line.replays:,} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
