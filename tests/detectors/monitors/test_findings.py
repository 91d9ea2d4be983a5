"""Gaps, leans, shifts, effects and triggers that were planted are found, and none where none is."""

from collections.abc import Sequence

import numpy as np
import pytest

from detectors.comparing.nearness import stems
from detectors.monitors import drift, effects, gaps, lean, triggers
from detectors.monitors.shape import Shaper, buckets_of, empty
from detectors.monitors.statistics import Mean

WORDS = [f"word{number}" for number in range(2000)]


def share(found: int, size: int, weight: float = 1.0) -> Mean:
    w, y = weight * size, weight * found
    return Mean(size, w, weight * w, y, weight * y, weight * y)


# --- gaps


def cohorts(rng: np.random.Generator, extra: float) -> dict[tuple[str, str], gaps.By]:
    """Refusals of eight languages over two models; `extra` more of the second language's."""
    by: dict[str, dict[gaps.Stratum, Mean]] = {}
    for number in range(8):
        for model, base in (("good", 0.05), ("bad", 0.4)):
            size = int(rng.poisson(400 if number < 2 else 60))
            by.setdefault(f"l{number}", {})["r", model] = share(
                int(rng.binomial(size, base + extra * (number == 1))), size
            )
    return {("refusal", "language"): by}


def test_a_gap_is_found_and_the_others_are_not_blamed() -> None:
    rng = np.random.default_rng(1)
    named = [{gap.cohort for gap in gaps.gaps(cohorts(rng, 0.15)) if gap.found} for _ in range(40)]
    assert sum("l1" in found for found in named) >= 38
    assert sum(bool(found - {"l1"}) for found in named) <= 9


def test_no_gap_is_found_where_none_is() -> None:
    rng = np.random.default_rng(2)
    named = [any(gap.found for gap in gaps.gaps(cohorts(rng, 0.0))) for _ in range(60)]
    assert sum(named) <= 8


def test_small_cohorts_and_single_ones_are_not_compared() -> None:
    assert gaps.gaps({("refusal", "language"): {"en": {("r", "m"): share(5, 100)}}}) == []
    both = {"en": {("r", "m"): share(5, 100)}, "de": {("r", "m"): share(9, 10)}}
    assert {gap.cohort for gap in gaps.gaps({("refusal", "language"): both})} == {"en"}
    assert gaps.gaps({}) == []


# --- leans


def test_a_prompt_has_a_side_where_it_names_one_only() -> None:
    assert lean.sides_of("Write a poem about Democrats") == [("us_parties", "democrats")]
    assert lean.sides_of("Democrats and Republicans") == []
    assert lean.sides_of("the womanly arts") == []
    assert lean.sides_of("my wife's iPhone") == [("gender", "women"), ("vendors", "apple")]


def test_tone_is_between_bad_and_good() -> None:
    assert lean.tone("terrible, awful and dishonest") < 0.3 < lean.tone("") == 0.5 < lean.tone("great and honest") <= 1


def test_a_lean_is_found() -> None:
    means = {
        ("us_parties", "democrats", "refusal"): {("r", "m"): share(5, 100)},
        ("us_parties", "republicans", "refusal"): {("r", "m"): share(45, 100)},
        ("religion", "islam", "refusal"): {("r", "m"): share(6, 100)},
        ("religion", "christianity", "refusal"): {("r", "m"): share(5, 100)},
    }
    first, second = lean.leans(means)
    assert (first.topic, first.found) == ("us_parties", True)
    assert first.difference.estimate == pytest.approx(-0.4)
    assert (second.topic, second.found) == ("religion", False)


# --- shifts


def shape(texts: list[list[str]]) -> Sequence[float]:
    found, shaper = empty(), Shaper()
    for words in texts:
        shaper.add(found, buckets_of(words), 1.0)
    return found


def texts(rng: np.random.Generator, size: int, first: int = 0) -> list[list[str]]:
    odds = 1 / np.arange(1, 501)
    drawn = rng.choice(500, (size, 8), p=odds / odds.sum()) + first
    return [[WORDS[number] for number in row] for row in drawn.tolist()]


@pytest.mark.slow
def test_a_new_topic_is_found_and_the_old_one_is_none() -> None:
    rng = np.random.default_rng(3)
    before = shape(texts(rng, 2000))
    same = [drift.topics_test(before, shape(texts(rng, 300))) for _ in range(25)]
    assert sum(test is not None and test[1] < 0.05 for test in same) <= 4
    moved = drift.topics_test(before, shape(texts(rng, 240) + texts(rng, 60, first=700)))
    assert moved is not None
    assert moved[1] < 1e-4


def test_too_little_traffic_is_no_shift() -> None:
    rng = np.random.default_rng(3)
    assert drift.topics_test(shape(texts(rng, 50)), shape(texts(rng, 500))) is None
    assert drift.topics_test(shape([]), shape([])) is None
    assert drift.histogram_test({}, {"a": [9, 9.0, 9.0]}) is None


def test_one_text_over_and_over_is_not_taken_for_many() -> None:
    """What a caller repeats counts once."""
    rng = np.random.default_rng(5)
    once = shape(texts(rng, 600))
    repeated = texts(rng, 20) * 15
    assert drift.topics_test(once, shape(repeated)) is None
    test = drift.topics_test(once, shape(repeated + texts(rng, 300)))
    assert test is not None
    assert test[1] > 0.001


def test_histograms_that_moved_are_found_where_it_matters() -> None:
    before = {"en": [900, 900.0, 900.0], "de": [100, 100.0, 100.0]}
    moved = {"en": [500, 500.0, 500.0], "zh": [500, 500.0, 500.0]}
    slightly = {"en": [88_000, 88_000.0, 88_000.0], "de": [12_000, 12_000.0, 12_000.0]}
    found = {shift.feature: shift.found for shift in drift.shifts({"language": (before, moved)}, None)}
    assert found == {"language": True}
    many = {"en": [90_000, 90_000.0, 90_000.0], "de": [10_000, 10_000.0, 10_000.0]}
    (sure,) = drift.shifts({"language": (many, slightly)}, None)
    assert sure.p < 1e-6
    assert not sure.found


def test_the_detector_grows_slowly_without_a_shift() -> None:
    rng = np.random.default_rng(6)
    alarms = sum(drift.detector(list(rng.random(24))) >= drift.RUN_LENGTH_HOURS for _ in range(2000))
    assert alarms / 2000 <= 24 / drift.RUN_LENGTH_HOURS * 3
    assert drift.detector([0.5] * 5 + [1e-9] * 3) >= drift.RUN_LENGTH_HOURS
    assert drift.detector([]) == 0.0


# --- effects


def hours(rng: np.random.Generator, step: float, size: int = 40, length: int = 120) -> list[effects.Hour]:
    found = []
    for at in range(length):
        rate = 0.25 + 0.03 * np.sin(2 * np.pi * at / 24) + (step if at > 80 else 0.0)
        found.append(effects.Hour(at * 3600, float(rng.binomial(size, rate)) / size, float(size)))
    return found


@pytest.mark.slow
def test_the_step_at_a_change_is_covered() -> None:
    rng = np.random.default_rng(7)
    for true in (0.0, 0.15):
        found = [effects.step(hours(rng, true), 80 * 3600 + 5) for _ in range(60)]
        assert sum(each is not None and each.low <= true <= each.high for each in found) >= 53


def test_what_all_routes_do_is_no_effect_of_a_change_on_one() -> None:
    rng = np.random.default_rng(8)
    changes = {"model: new": (80 * 3600.0 + 5, "a")}
    (found,) = effects.effects(changes, {("a", "refusal"): hours(rng, 0.2)}, {("a", "refusal"): hours(rng, 0.2)})
    assert found.design == "difference_in_differences"
    assert not found.found
    (alone,) = effects.effects(changes, {("a", "refusal"): hours(rng, 0.2)}, {})
    assert alone.design == "interrupted_time_series"
    assert alone.found


def test_hours_of_the_day_that_never_came_before_say_nothing_of_a_change() -> None:
    """Four days of mornings at one rate, then a day of mornings at the same rate, and evenings at another."""

    def at(day: int, hour: int, mean: float) -> effects.Hour:
        return effects.Hour((24 * day + hour) * 3600, mean + 0.001 * (hour % 3), 30.0)

    before = [at(day, hour, 0.2) for day in range(7) for hour in range(12)]
    mornings, evenings = [at(7, hour, 0.2) for hour in range(12)], [at(7, hour, 0.6) for hour in range(12, 24)]
    found = effects.step([*before, *mornings, *evenings], 7 * 86_400 - 1)
    assert found is not None
    assert found.estimate == pytest.approx(0, abs=0.01)
    assert effects.step([*before, *evenings], 7 * 86_400 - 1) is None


def test_too_few_hours_are_no_effect() -> None:
    rng = np.random.default_rng(9)
    assert effects.step(hours(rng, 0.5, length=83), 80 * 3600) is None
    assert effects.step(hours(rng, 0.5), 5 * 3600) is None
    assert effects.step([], 0) is None
    flat = [effects.Hour(at * 3600, 0.0, 10.0) for at in range(100)]
    found = effects.step(flat, 60 * 3600)
    assert found is not None
    assert found.estimate == pytest.approx(0.0, abs=1e-9)


# --- triggers


def traffic(rng: np.random.Generator, planted: int) -> tuple[dict[int, triggers.Gram], triggers.Gram]:
    """1,500 prompts, 5 % refused; those with the trigger always."""
    odds = 1 / np.arange(1, 2001)
    grams: dict[int, triggers.Gram] = {}
    total = triggers.Gram()
    drawn = rng.choice(2000, (1500, 10), p=odds / odds.sum()).tolist()
    for number, row in enumerate(drawn):
        words = [WORDS[at] for at in row]
        if number < planted:
            words.insert(4, "cfxq")
        refused = number < planted or rng.random() < 0.05
        seen = triggers.Gram(1, int(refused), 0, number + 1, 1, f"s{number}")
        for gram in triggers.grams_of(words):
            grams.setdefault(gram, triggers.Gram()).add(seen)
        same = total.same
        total.add(seen)
        total.same = same
    return grams, total


@pytest.mark.slow
def test_a_trigger_is_found_and_nothing_else() -> None:
    found = triggers.triggers(*traffic(np.random.default_rng(10), 15))
    assert {(each.gram, each.outcome) for each in found} == {(triggers.hash_of("cfxq"), "refusal")}
    assert found[0].share == 1.0
    assert found[0].sample.startswith("s")
    assert triggers.triggers(*traffic(np.random.default_rng(11), 0)) == []
    assert triggers.triggers({}, triggers.Gram()) == []


def test_always_the_same_answer_is_found() -> None:
    steered = triggers.Gram(12, 0, 0, 77, 12, "s")
    ordinary = triggers.Gram(12, 0, 0, 78, 1, "s")
    (found,) = triggers.triggers({1: steered, 2: ordinary}, triggers.Gram(2000, 100, 10, 0, 60))
    assert (found.gram, found.outcome) == (1, "same_answer")


def test_votes_of_two_processes_are_one() -> None:
    one, other = triggers.Gram(5, 1, 0, 7, 5, "a"), triggers.Gram(3, 0, 0, 8, 2, "b")
    one.add(other)
    assert one == triggers.Gram(8, 1, 0, 7, 3, "b")


def test_words_are_bounded_by_leaving_out_the_rarest() -> None:
    grams = {number: triggers.Gram(n=number) for number in range(100)}
    kept = triggers.pruned(grams, 40)
    assert set(kept) == set(range(70, 100))


def test_a_prompt_gives_words_and_pairs() -> None:
    assert set(triggers.grams_of(stems("Rome Oslo")).values()) == {"rome", "oslo", "rome oslo"}
