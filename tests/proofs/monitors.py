"""What the monitors find, how often they find what is not there, and how often their alarms are false: the tables of
docs/monitors.md, by simulation with the product's own statistics.

    python -m tests.proofs.monitors [--replays 200] [--alarms 400] [--only alarms]
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detectors.monitors import calibration, confidence, drift, effects, gaps, lean, sequences, triggers
from detectors.monitors.effects import Hour
from detectors.monitors.sequences import e_of_p
from detectors.monitors.shape import Shaper, empty
from detectors.monitors.sketch import POWERS
from detectors.monitors.statistics import Difference, Mean
from detectors.monitors.triggers import Gram

HOUR, DAYS = 3600, 8
Array = npt.NDArray[np.float64]
TOLERATED = 0.05  # of a calibration error


class Line(NamedTuple):
    """How often a case was found, and how often the interval held the truth, both over so many replays."""

    monitor: str
    case: str
    found: float
    holds: float | None
    replays: int


# --- one look


def calibrated(replays: int) -> Iterator[Line]:
    """Answers say what they are sure of in five steps; the share right is that less `error`. What was right is known of
    all, or by second opinions on some, of wrong answers more readily."""
    for is_drawn, error, sizes in (
        (False, 0.0, (100, 1000)), (False, 0.15, (100, 300, 1000)), (True, 0.0, (300,)), (True, 0.15, (100, 300, 1000)),
    ):  # fmt: skip
        for size in sizes:
            chance = np.random.default_rng(size)
            found = [_calibration(chance, size, error, is_drawn) for _ in range(replays)]
            hits = float(np.mean([low > TOLERATED for low, _ in found]))
            holds = float(np.mean([low <= error <= high for low, high in found]))
            what = "second opinions" if is_drawn else "answers"
            yield Line("miscalibration", f"error {error:g}, {size:,} {what}", hits, holds, replays)


def _bins(chance: np.random.Generator, size: int, error: float, *, is_drawn: bool = False) -> dict[int, list[float]]:
    """Of `size` answers, or of about as many opinions on three times as many."""
    answers = 3 * size if is_drawn else size
    said = chance.choice([0.55, 0.65, 0.75, 0.85, 0.95], answers)
    right = chance.random(answers) < said - error
    probability = np.where(chance.random(answers) < 0.4 + 0.2 * ~right, 0.5, 0.2) if is_drawn else np.ones(answers)
    drawn = chance.random(answers) < probability
    bins: dict[int, list[float]] = {}
    for stated, is_right, share in zip(said[drawn], right[drawn], probability[drawn], strict=True):
        at = bins.setdefault(confidence.bin_of(stated), [0.0] * 6)
        for place, value in enumerate(confidence.row_of(float(stated), float(is_right), 1 / float(share))):
            at[place] += value
    return bins


def _calibration(chance: np.random.Generator, size: int, error: float, is_drawn: bool) -> tuple[float, float]:
    found = calibration.figures(_bins(chance, size, error, is_drawn=is_drawn))
    assert found is not None
    return found.ece[1], found.ece[2]


def counted(found: int, size: int) -> Mean:
    """The mean of so many yes and no."""
    return Mean(size, size, size, found, found, found)


def cohorts(replays: int) -> Iterator[Line]:
    """Eight languages, three models with other rates of refusal each; one language is refused by ten points more."""
    for gap, size in ((0.0, 200), (0.1, 110), (0.1, 370)):
        chance = np.random.default_rng(size)
        found = [_gap(chance, gap, size) for _ in range(replays)]
        hits = float(np.mean([hit for hit, _ in found]))
        holds = float(np.mean([held for _, held in found]))
        case = f"ten points in one language, {size} answers of it" if gap else "no gap, 8 languages, 3 models (any)"
        yield Line("disparate_performance", case, hits, holds, replays)


def _gap(chance: np.random.Generator, gap: float, size: int) -> tuple[bool, bool]:
    by: dict[str, dict[tuple[str, str], Mean]] = {}
    for number in range(8):
        for model, rate in (("a", 0.05), ("b", 0.1), ("c", 0.2)):
            n = max(1, int(chance.poisson(size / 3 if number == 1 else 70)))
            worse = gap if number == 1 else 0.0
            by.setdefault(f"l{number}", {})["chat", model] = counted(int(chance.binomial(n, rate + worse)), n)
    rows = gaps.gaps({("refusal", "language"): by})
    first = next(row for row in rows if row.cohort == "l1")
    named = any(row.found for row in rows) if gap == 0 else first.found
    return named, first.difference.low <= gap <= first.difference.high


def latencies(replays: int) -> Iterator[Line]:
    """As `cohorts`, with times to an answer that spread over a factor of some ten; one language waits longer."""
    for times, size in ((1.0, 200), (1.25, 110), (1.5, 110), (1.5, 370)):
        chance = np.random.default_rng(size)
        found = [_slow(chance, times, size) for _ in range(replays)]
        hits, holds = (float(np.mean(part)) for part in zip(*found, strict=True))
        case = f"{times:g} times the wait in one language, {size} answers of it"
        yield Line(
            "disparate_performance",
            case if times > 1 else "latency: no gap, 8 languages, 3 models (any)",
            hits,
            holds,
            replays,
        )


def _slow(chance: np.random.Generator, times: float, size: int) -> tuple[bool, bool]:
    def drawn(n: int, model: int, worse: bool) -> Mean:
        seconds = chance.lognormal(math.log((0.5, 1.0, 4.0)[model] * (times if worse else 1.0)), 0.6, n)
        return summed(np.minimum(1.0, np.log2(1 + seconds / 0.01) / POWERS["latency"]))

    truth = math.log2(times) / POWERS["latency"]  # but for the 1 in the logarithm
    return _among_eight("latency", chance, drawn, size, truth)


def faults(replays: int) -> Iterator[Line]:
    """As `cohorts`, with what a judge says of a few answers, drawn more readily where a detector is in doubt."""
    for gap, size in ((0.0, 200), (0.1, 110), (0.2, 110), (0.1, 370)):
        chance = np.random.default_rng(size)
        found = [_faulty(chance, gap, size) for _ in range(replays)]
        hits, holds = (float(np.mean(part)) for part in zip(*found, strict=True))
        case = f"{100 * gap:g} points more faults in one language, {size} opinions on it"
        yield Line(
            "disparate_performance",
            case if gap else "faults by a judge: no gap, 8 languages, 3 models (any)",
            hits,
            holds,
            replays,
        )


def _faulty(chance: np.random.Generator, gap: float, size: int) -> tuple[bool, bool]:
    def drawn(n: int, model: int, worse: bool) -> Mean:
        return opinions(chance, n, (0.03, 0.05, 0.1)[model] + (gap if worse else 0.0))

    return _among_eight("fault_by_judge", chance, drawn, size, gap)


def opinions(chance: np.random.Generator, n: int, rate: float) -> Mean:
    """Of some n opinions. The detector finds seven in ten faults, and one in ten of the rest by mistake; what it finds
    is drawn four times as often."""
    answers = int(n / 0.25)
    bad = chance.random(answers) < rate
    probability = np.where(chance.random(answers) < np.where(bad, 0.7, 0.1), 0.8, 0.2)
    drawn = chance.random(answers) < probability
    return summed(bad[drawn].astype(float), 1 / probability[drawn])


def summed(values: Array, weights: Array | None = None) -> Mean:
    """The mean of values, all of weight 1 where no weights are given."""
    w = np.ones_like(values) if weights is None else weights
    parts = (w, w**2, w * values, w**2 * values, (w * values) ** 2)
    return Mean(len(values), *(float(part.sum()) for part in parts))


def _among_eight(
    measure: str, chance: np.random.Generator, drawn: Callable[[int, int, bool], Mean], size: int, truth: float
) -> tuple[bool, bool]:
    """Whether the worse language is found (any, where the truth is no gap), and its interval holds the truth."""
    by: dict[str, dict[tuple[str, str], Mean]] = {}
    for number in range(8):
        for model, name in enumerate("abc"):
            n = max(1, int(chance.poisson(size / 3 if number == 1 else 70)))
            by.setdefault(f"l{number}", {})["chat", name] = drawn(n, model, number == 1)
    rows = gaps.gaps({(measure, "language"): by})
    first = next((row for row in rows if row.cohort == "l1"), None)
    named = any(row.found for row in rows) if truth == 0 else first is not None and first.found
    return named, first is not None and first.difference.low <= truth <= first.difference.high


def steps(replays: int) -> Iterator[Line]:
    """Five days of 30 samples an hour at 20 %, with a rhythm of the day; a step after the fourth, alone or against
    another route."""
    for control in (False, True):
        for size in (0.0, 0.05, 0.1, 0.2):
            chance = np.random.default_rng(int(1000 * size))
            found = [_step(chance, size, control) for _ in range(replays)]
            hits = float(np.mean([each.p <= 0.05 for each in found]))
            holds = float(np.mean([each.low <= size <= each.high for each in found]))
            how = "against another route" if control else "alone"
            yield Line("interventional_effect", f"step of {100 * size:g} points, {how}", hits, holds, replays)


def volumes(replays: int) -> Iterator[Line]:
    """As `steps`, alone and without an effect, but the change brings more traffic or less, or at other hours."""
    for case, volume in VOLUMES.items():
        chance = np.random.default_rng(7)
        found = [_moved_volume(chance, volume) for _ in range(replays)]
        hits = float(np.mean([each.p <= 0.05 for each in found]))
        holds = float(np.mean([each.low <= 0 <= each.high for each in found]))
        yield Line("interventional_effect", f"no step, {case}", hits, holds, replays)


def _by_day(hours: Array) -> Array:
    """1 from eight to eighteen, else -1."""
    return np.where((hours % 24 >= 8) & (hours % 24 < 18), 1.0, -1.0)


# Samples an hour, by hour and whether the change has come.
VOLUMES: dict[str, Callable[[Array, Array], Array]] = {
    "five times the traffic after the change": lambda _, after: np.where(after > 0, 150.0, 30.0),
    "a fifth of the traffic after it": lambda _, after: np.where(after > 0, 30.0, 150.0),
    "busy by day, after it by night": lambda hours, after: 60 * (1 + 0.7 * _by_day(hours) * np.where(after > 0, -1, 1)),
}


def _moved_volume(chance: np.random.Generator, volume: Callable[[Array, Array], Array]) -> Difference:
    """Ten points more by day than by night, and two points that vary from hour to hour."""
    hours = np.arange(120.0)
    rate = np.clip(0.2 + 0.05 * _by_day(hours) + chance.normal(0, 0.02, len(hours)), 0, 1)
    sizes = chance.poisson(volume(hours, (hours >= 96).astype(float)))
    counts = chance.binomial(sizes, rate)
    means = [
        Hour(int(hour) * HOUR, float(k / max(1, n)), float(n)) for hour, k, n in zip(hours, counts, sizes, strict=True)
    ]
    found = effects.step(means, 96 * HOUR)
    assert found is not None
    return found


def _hours(chance: np.random.Generator, step: float, hours: int = 120, at: int = 96, each: int = 30) -> list[Hour]:
    rhythm = 0.03 * np.sin(np.arange(hours) * 2 * np.pi / 24)
    rate = 0.2 + rhythm + np.where(np.arange(hours) >= at, step, 0.0)
    return [Hour(hour * HOUR, float(chance.binomial(each, p)) / each, each) for hour, p in enumerate(rate)]


def _step(chance: np.random.Generator, size: float, control: bool) -> Difference:
    others = _hours(chance, 0.0) if control else []
    found = effects.step(effects.designed(_hours(chance, size), others, 96 * HOUR)[1], 96 * HOUR)
    assert found is not None
    return found


def words(replays: int) -> Iterator[Line]:
    """2,000 prompts of ten words, drawn as often as words are; 5 % refused, those with the trigger always."""
    for planted in (0, 6, 12):
        chance = np.random.default_rng(planted)
        found = [_named(chance, planted) for _ in range(max(10, replays // 5))]
        hits = float(np.mean([_PLANTED in names if planted else bool(names) for names, _ in found]))
        other = float(np.mean([bool(names - {_PLANTED}) for names, _ in found]))
        yield Line("poisoning_attacks", f"a trigger in {planted} of 2,000 prompts", hits, None, len(found))
        yield Line("poisoning_attacks", f"another word named beside it ({planted})", other, None, len(found))


_PLANTED = -1


def _named(chance: np.random.Generator, planted: int, prompts: int = 2000) -> tuple[set[int], set[int]]:
    """The words that are named, and those that raise an alarm."""
    share = 1 / np.arange(1, 20_001)
    drawn = chance.choice(len(share), (prompts, 10), p=share / share.sum())
    refused = chance.random(prompts) < 0.05
    refused[:planted] = True
    grams: dict[int, Gram] = {}
    total = Gram()
    for number in range(prompts):
        outcome = Gram(1, int(refused[number]), 0, number + 1, 1, str(number))
        for word in {*map(int, drawn[number]), *([_PLANTED] if number < planted else [])}:
            grams.setdefault(word, Gram()).add(outcome)
        total.add(outcome)
    total.same = 0
    named = triggers.triggers(grams, total)
    return {each.gram for each in named}, {each.gram for each in named if each.alarms}


def begun(replays: int) -> Iterator[Line]:
    """2,000 prompts that begin in one of 500 ways, as often as words are drawn; each way leads on to longer ones. 5 %
    are refused. One more way stands in 20 of them, and in so many more that are always refused."""
    for planted in (0, 12, 25, 50):
        chance = np.random.default_rng(100 + planted)
        found = [_begun(chance, planted) for _ in range(max(10, replays // 5))]
        hits = float(np.mean([_PLANTED in names for names in found]))
        other = float(np.mean([bool(names - {_PLANTED}) for names in found]))
        yield Line("poisoning_attacks", f"an opening in 20 prompts, and {planted} that it has refused",
                   hits, None, len(found))  # fmt: skip
        yield Line("poisoning_attacks", f"another opening named beside it ({planted})", other, None, len(found))


def _begun(chance: np.random.Generator, planted: int, prompts: int = 2000) -> set[int]:
    share = 1 / np.arange(1, 501)
    drawn = chance.choice(len(share), (prompts, 4), p=share / share.sum())
    refused = chance.random(prompts) < 0.05
    refused[:planted] = True
    grams: dict[int, Gram] = {}
    total = Gram()
    for number, ways in enumerate(drawn.tolist()):
        outcome = Gram(1, int(refused[number]), 0, number + 1, 1, str(number))
        began = [hash(tuple(ways[:length])) for length in range(1, 5)]
        for way in [*began, *([_PLANTED] if number < planted + 20 else [])]:
            grams.setdefault(way, Gram()).add(outcome)
        total.add(outcome)
    total.same = 0
    return {each.gram for each in triggers.triggers(grams, total)}


# --- alarms: eight days in which nothing changes, looked at all the time


def alarms(runs: int) -> Iterator[Line]:
    """Share of series (or days, or changes) with a false alarm, at whatever time somebody looks."""
    yield _false("a gap between cohorts, 8 days, a look every hour", runs, gap_alarm)
    yield _false("a gap in latency, 8 days, a look every hour", runs, latency_alarm)
    yield _false("a gap in faults by a judge, 8 days, a look every hour", runs, fault_alarm)
    yield _false("leans in nine topics (any), 8 days, six looks a day", max(20, runs // 4), lean_alarm)
    yield _false("a calibration error of 5 points, 8 days, 4 looks a day", max(20, runs // 8), _error_alarm)
    yield _false("a change without an effect, all looks", 5 * runs, effect_alarm)
    yield _false("a day of four languages and lengths like the week before", 10 * runs, shift_alarm)
    yield _false("topics of a day, 300 prompts like 2,000 before", max(20, runs // 2), topic_alarm)
    yield _false(
        "topics hour by hour, a day of 24 times 150 prompts like 3,000 before", max(20, runs // 8), hourly_topics
    )
    yield _false("2,000 prompts without a trigger (any word)", max(20, runs // 8), _word_alarm)


def _false(case: str, runs: int, one: Callable[[np.random.Generator], bool]) -> Line:
    chance = np.random.default_rng(18)
    return Line("alarms", case, float(np.mean([one(chance) for _ in range(runs)])), None, runs)


def _since_each_day(looks: Sequence[int], compare: Callable[[int, int], Difference | None]) -> bool:
    """Whether evidence since the beginnings of the days raises an alarm at any of these hours, as one series."""
    for end in looks:
        by_start = {float(start): found for start in range(0, end, 24) if (found := compare(start, end)) is not None}
        evidence = sequences.detector(("series",), by_start, len(range(0, end, 24)))
        if evidence and sequences.chosen([evidence]):
            return True
    return False


def gap_alarm(chance: np.random.Generator) -> bool:
    """Refusals at 5 %, some five answers an hour of the cohort and twenty of the others."""
    own, rest = chance.poisson(5, DAYS * 24), chance.poisson(20, DAYS * 24)
    sums = [np.concatenate([[0], np.cumsum(part)])
            for part in (own, chance.binomial(own, 0.05), rest, chance.binomial(rest, 0.05))]  # fmt: skip

    def compare(start: int, end: int) -> Difference | None:
        n, k, m, j = (int(part[end] - part[start]) for part in sums)
        by = {"de": {("chat", "m"): counted(k, n)}, "en": {("chat", "m"): counted(j, m)}}
        return gaps.differences({("refusal", "language"): by}).get(("refusal", "language", "de"))

    return _since_each_day(range(1, DAYS * 24 + 1), compare)


_Sums = npt.NDArray[np.float64]  # of each hour the six sums of a mean, added up


def added(chance: np.random.Generator, an_hour: float, drawn: Callable[[int], Mean]) -> _Sums:
    hours = [drawn(int(chance.poisson(an_hour))) for _ in range(DAYS * 24)]
    return np.concatenate([np.zeros((1, 6)), np.cumsum(np.array(hours), axis=0)])


def between(sums: _Sums, start: int, end: int) -> Mean:
    return Mean(*map(float, sums[end] - sums[start]))


def _measured_gap(measure: str, own: _Sums, rest: _Sums) -> bool:
    def compare(start: int, end: int) -> Difference | None:
        by = {"de": {("chat", "m"): between(own, start, end)}, "en": {("chat", "m"): between(rest, start, end)}}
        return gaps.differences({(measure, "language"): by}).get((measure, "language", "de"))

    return _since_each_day(range(1, DAYS * 24 + 1), compare)


def latency_alarm(chance: np.random.Generator) -> bool:
    """Some five answers an hour of the cohort, twenty of the others, all slower by day."""

    def drawn(n: int) -> Mean:
        return summed(np.minimum(1.0, np.log2(1 + chance.lognormal(0.0, 0.8, n) / 0.01) / POWERS["latency"]))

    return _measured_gap("latency", added(chance, 5, drawn), added(chance, 20, drawn))


def fault_alarm(chance: np.random.Generator) -> bool:
    """One opinion an hour on the cohort, four on the others; 5 % of the answers have a fault."""
    own, rest = (added(chance, each, lambda n: opinions(chance, n, 0.05)) for each in (1, 4))
    return _measured_gap("fault_by_judge", own, rest)


def lean_alarm(chance: np.random.Generator) -> bool:
    """Two prompts an hour of each side; refusals at 5 %, tone and length."""
    sums: dict[tuple[str, str, str], _Sums] = {}
    for topic, names in lean.TOPICS.items():
        for side in names:
            sums[topic, side, "refusal"] = added(chance, 2, lambda n: summed((chance.random(n) < 0.05).astype(float)))
            sums[topic, side, "tone"] = added(chance, 2, lambda n: summed(chance.choice([0.25, 0.5, 0.5, 0.75], n)))
            sums[topic, side, "answer_length"] = added(chance, 2, lambda n: summed(chance.beta(6, 6, n)))
    for end in range(4, DAYS * 24 + 1, 4):
        by_key: dict[tuple[str, str], dict[float, Difference]] = {}
        starts = range(0, end, 24)
        for start in starts:
            means = {key: {("chat", "m"): between(each, start, end)} for key, each in sums.items()}
            for key, found in lean.differences(means).items():
                by_key.setdefault(key, {})[float(start)] = found
        evidence = [sequences.detector(key, by_start, len(starts)) for key, by_start in by_key.items()]
        if sequences.chosen([each for each in evidence if each is not None]):
            return True
    return False


def _shape(chance: np.random.Generator, prompts: int) -> Sequence[float]:
    """Of prompts about twenty subjects, each with words of its own beside those that all share."""
    shape, shaper = empty(), Shaper()
    for subject in chance.choice(20, prompts, p=_SUBJECTS):
        own = 600 + 70 * subject + chance.integers(0, 70, 8)
        shared = (600 * chance.random(14) ** 3).astype(int)
        shaper.add(shape, frozenset(map(int, np.concatenate([own, shared]))), 1.0)
    return shape


_SUBJECTS = (1 / np.arange(1, 21)) / (1 / np.arange(1, 21)).sum()


def topic_alarm(chance: np.random.Generator) -> bool:
    tested = drift.topics_test(_shape(chance, 2000), _shape(chance, 300))
    return tested is not None and e_of_p(tested[1]) >= sequences.RUN_LENGTH_DAYS


def hourly_topics(chance: np.random.Generator) -> bool:
    """The reference is the same in all hours, so their tests are not independent."""
    reference = _shape(chance, 3000)
    tests = [drift.topics_test(reference, _shape(chance, 150)) for _ in range(24)]
    return drift.detector([test[1] for test in tests if test]) >= drift.RUN_LENGTH_HOURS


def _error_alarm(chance: np.random.Generator) -> bool:
    """Answers are right five points less often than they say: the most that is tolerated."""
    hours = [_bins(chance, 6, TOLERATED) for _ in range(DAYS * 4)]

    def compare(start: int, end: int) -> Difference | None:
        bins: dict[int, list[float]] = {}
        for hour in hours[start // 6 : end // 6]:
            for at, row in hour.items():
                bins[at] = [a + b for a, b in zip(bins.get(at, [0.0] * 6), row, strict=True)]
        found = calibration.figures(bins)
        if found is None:
            return None
        return Difference.normal(max(0.0, found.ece[0] - TOLERATED), max(found.deviation, 1e-6) ** 2)

    return _since_each_day(range(6, DAYS * 24 + 1, 6), compare)


def effect_alarm(chance: np.random.Generator) -> bool:
    hours = _hours(chance, 0.0, DAYS * 24, 40)
    return effects.evidence(hours, [], 40.0 * HOUR, DAYS * 24.0 * HOUR) >= 1 / sequences.FALSE_DISCOVERIES


def shift_alarm(chance: np.random.Generator) -> bool:
    for shares in ((0.7, 0.15, 0.1, 0.05), (0.1, 0.3, 0.3, 0.2, 0.1)):
        week, day = (chance.multinomial(size, shares) for size in (2000, 300))
        tables = [{str(at): [float(n), float(n), float(n)] for at, n in enumerate(side)} for side in (week, day)]
        tested = drift.histogram_test(*tables)
        if tested and tested[0] >= drift.NOTEWORTHY_PSI and e_of_p(tested[1]) >= sequences.RUN_LENGTH_DAYS:
            return True
    return False


def _word_alarm(chance: np.random.Generator) -> bool:
    return bool(_named(chance, 0)[1])


TABLES: dict[str, Callable[[argparse.Namespace], Iterator[Line]]] = {
    "miscalibration": lambda asked: calibrated(asked.replays),
    "disparate_performance": lambda asked: chain(*(table(asked.replays) for table in (cohorts, latencies, faults))),
    "interventional_effect": lambda asked: chain(steps(asked.replays), volumes(asked.replays)),
    "poisoning_attacks": lambda asked: chain(words(asked.replays), begun(asked.replays)),
    "alarms": lambda asked: alarms(asked.alarms),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replays", type=int, default=200, help="of each case")
    parser.add_argument("--alarms", type=int, default=400, help="series without a change; more where they are cheap")
    parser.add_argument("--only", choices=TABLES, help="one table")
    asked = parser.parse_args()
    sys.stdout.write("| monitor | case | found | interval holds the truth | replays |\n|---|---|---|---|---|\n")
    for name, table in TABLES.items():
        if asked.only not in (None, name):
            continue
        for line in table(asked):
            holds = "" if line.holds is None else f"{line.holds:.0%}"
            sys.stdout.write(f"| {line.monitor} | {line.case} | {line.found:.1%} | {holds} | {line.replays:,} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
