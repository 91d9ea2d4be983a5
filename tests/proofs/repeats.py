"""What repeats of prompts do to the monitor of gaps and to the test of shifts, by simulation through the product's own
sketches: prompts differ in how likely they are refused, and each comes many times, over several processes and hours.

    python -m tests.proofs.repeats [--runs 200]
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from detectors.monitors import gaps, lean, sequences
from detectors.monitors.sketch import Observation, Observer, Sketch
from detectors.monitors.statistics import Difference
from gateway.monitoring.sums import cohorts, moved, sides

PROCESSES = 3
Sketches = Sequence[Sketch]  # by hour


class Traffic(NamedTuple):
    """So many prompts of the small cohort and of the large one, each of which comes so often; the small one's are
    refused more readily by `gap`. Of each prompt the answer is nearly always the same one."""

    own: int
    rest: int
    times: int
    gap: float = 0.0
    hours: int = 24


def observed(chance: np.random.Generator, traffic: Traffic) -> Sketches:
    """Every process sees a part of what comes in each hour."""
    prompts = [("de", n) for n in range(traffic.own)] + [("en", n) for n in range(traffic.rest)]
    rates = {
        prompt: float(np.clip(chance.random() < 0.2 + (traffic.gap if prompt[0] == "de" else 0.0), 0.03, 0.97))
        for prompt in prompts
    }
    asked = [prompt for prompt in prompts for _ in range(traffic.times)]
    observers = [Observer() for _ in range(PROCESSES)]
    parts = [[Sketch() for _ in range(PROCESSES)] for _ in range(traffic.hours)]
    for number, at in enumerate(chance.permutation(len(asked))):
        prompt = asked[at]
        process, hour = int(chance.integers(PROCESSES)), number * traffic.hours // len(asked)
        observers[process].observe(parts[hour][process], seen(number, prompt, bool(chance.random() < rates[prompt])))
    return [added(hour) for hour in parts]


def seen(number: int, prompt: tuple[str, int], refused: bool) -> Observation:
    language, which = prompt
    side = "democrats" if language == "de" else "republicans"
    scores = {("response", "refusal"): (float(refused), refused, "encoder@5")}
    said = "no" if refused else "yes " * 40
    return Observation(
        f"{number}", 1.0, "chat", f"m{number % 2}", "app", language, f"about {side} {language}{which}", said, scores
    )


def added(sketches: Sketches) -> Sketch:
    """As they come from a store."""
    total = Sketch()
    for sketch in sketches:
        total.add(msgspec.msgpack.decode(msgspec.msgpack.encode(sketch), type=Sketch))
    return total


def gap_found(hours: Sketches) -> bool:
    """At one look."""
    return any(row.found for row in gaps.gaps(cohorts(added(hours))))


def lean_found(hours: Sketches) -> bool:
    return any(row.found for row in lean.leans(sides(added(hours))))


def gap_alarm(hours: Sketches) -> bool:
    """At any of the looks, one an hour, of a day."""
    since = Sketch()
    for hour in hours:
        since.add(hour)
        found: dict[tuple[str, str, str], Difference] = gaps.differences(cohorts(since))
        evidence = [sequences.detector(key, {0.0: each}, 1) for key, each in found.items()]
        if sequences.chosen([each for each in evidence if each is not None]):
            return True
    return False


def shift_found(hours: Sketches) -> bool:
    """The second half of a day against the first, by histograms."""
    half = len(hours) // 2
    return any(row.found for row in moved(added(hours[:half]), added(hours[half:])) if row.feature != "topics")


CASES: Sequence[tuple[str, Traffic]] = (
    ("no gap, 10 prompts beside 100, 60 times each", Traffic(10, 100, 60)),
    ("no gap, 30 prompts beside 30, 60 times each", Traffic(30, 30, 60)),
    ("no gap, 100 prompts beside 300, once each", Traffic(100, 300, 1)),
    ("30 points, 60 prompts beside 300, once each", Traffic(60, 300, 1, 0.3)),
    ("30 points, 60 prompts beside 300, 10 times each", Traffic(60, 300, 10, 0.3)),
)
LOOKS: dict[str, Callable[[Sketches], bool]] = {
    "gap": gap_found, "gap, alarm": gap_alarm, "lean": lean_found, "shift": shift_found,
}  # fmt: skip


def lines(runs: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Of each case the shares of runs in which something is found."""
    for case, traffic in CASES:
        found = dict.fromkeys(LOOKS, 0)
        for run in range(runs):
            hours = observed(np.random.default_rng(run), traffic)
            for name, look in LOOKS.items():
                found[name] += look(hours)
        yield case, {name: count / runs for name, count in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100, help="of each case")
    asked = parser.parse_args()
    sys.stdout.write(f"| traffic | {' | '.join(LOOKS)} |\n|---|{'---|' * len(LOOKS)}\n")
    for case, shares in lines(asked.runs):
        sys.stdout.write(f"| {case} | {' | '.join(f'{share:.0%}' for share in shares.values())} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
