"""Repeats of one text count as one."""

from dataclasses import replace

import pytest

from detectors.monitors.sketch import TEXTS_KEPT, Observation, Observer, Sketch
from detectors.monitors.statistics import Mean
from detectors.monitors.texts import Text, heaviest, text_of
from detectors.monitors.triggers import Gram, bit_of, hash_of, triggers

SEEN = Observation("1", 1.0, "r", "m", "app", "en", "how are you", "well", {}, seconds=1.0)
REFUSED = {("response", "refusal"): (0.9, True, "encoder@5")}


def observed(*seen: Observation, observer: Observer | None = None) -> Sketch:
    sketch, observer = Sketch(), observer or Observer()
    for each in seen:
        observer.observe(sketch, each)
    return sketch


def test_a_text_counts_once_over_hours_and_processes_and_models() -> None:
    one, other = Observer(), Observer()
    total = Sketch()
    for observer, model in ((one, "m"), (one, "m"), (other, "m"), (other, "n")):
        total.add(observed(*[replace(SEEN, model=model)] * 5, observer=observer))
    means = total.counted_once().means
    rows = {key[-1]: Mean(*row) for key, row in means.items() if key[:3] == ("cohort", "answer_length", "language")}
    assert {model: mean.effective for model, mean in rows.items()} == pytest.approx({"m": 0.75, "n": 0.25})
    assert {mean.value for mean in rows.values()} == {rows["m"].value}
    assert total.mean("all", "answer_length", "r").n == 20  # the effects of changes are measured on all of them


def test_what_a_text_adds_is_the_mean_of_its_exchanges() -> None:
    seen = [replace(SEEN, weight=2.0, scores=REFUSED if n < 3 else {("response", "refusal"): (0.1, False, "encoder@5")})
            for n in range(12)]  # fmt: skip
    mean = observed(*seen).counted_once().mean("cohort", "refusal", "caller", "app", "r", "m")
    assert (mean.n, mean.w, mean.ww, mean.value) == pytest.approx((1.0, 2.0, 4.0, 0.25))


def test_texts_that_come_once_count_as_they_always_did() -> None:
    seen = [replace(SEEN, prompt=f"question {n}", weight=1.0 + n % 3) for n in range(3 * TEXTS_KEPT)]
    sketch = observed(*seen)
    mean = sketch.counted_once().mean("cohort", "latency", "language", "en", "r", "m")
    assert (mean.n, mean.w, mean.ww) == pytest.approx((600, 1200, 2800))
    assert len(sketch.texts) <= 2 * TEXTS_KEPT


def test_an_exchange_without_a_text_is_one_of_its_own() -> None:
    sketch = observed(*[replace(SEEN, prompt="")] * 7)
    assert sketch.texts == {}
    assert sketch.mean("cohort", "latency", "language", "en", "r", "m").n == 7


def test_among_many_texts_those_that_come_often_are_remembered() -> None:
    """A health check, among ten thousand others, each hour for a day."""
    observer, total = Observer(), Sketch()
    for hour in range(24):
        others = [replace(SEEN, prompt=f"{hour} {n}", caller="other") for n in range(3 * TEXTS_KEPT)]
        total.add(observed(*others[:300], replace(SEEN, caller="cron"), *others[300:], observer=observer))
    assert total.counted_once().mean("cohort", "latency", "caller", "cron", "r", "m").n == pytest.approx(1, abs=1.01)


def test_all_processes_keep_the_same_of_equals() -> None:
    texts = {name: Text(times=1 + (name == 900)) for name in range(1000)}
    assert list(heaviest(texts, 3)) == [900, 0, 1]


def test_case_and_spaces_make_no_other_text_and_passages_do() -> None:
    assert text_of("How  are\nyou", "") == text_of("how are you", "")
    assert text_of("how are you", "one") != text_of("how are you", "two")
    assert text_of("", " ") == 0


def test_a_confidence_that_is_stated_again_and_again_is_one_answer() -> None:
    seen = replace(SEEN, answer="I am 90% sure.", right=0.0, agreed_source="people")
    (row,) = observed(*[seen] * 40).counted_once().calibration.values()
    assert row == pytest.approx([1, 1, 1, 0.9, 0, 0.81])


def test_a_text_falls_in_the_bins_of_its_hour_once() -> None:
    sketch = observed(*[SEEN] * 40, replace(SEEN, prompt="and you"))
    assert sketch.bins["language", "en"] == [2, 2, 2]


@pytest.mark.parametrize(("prompts", "processes", "is_named"), [(1, 12, False), (12, 1, True)])
def test_a_prompt_that_many_processes_saw_is_one_for_triggers(prompts: int, processes: int, is_named: bool) -> None:
    gram = Gram()
    for _ in range(processes):
        for number in range(prompts):
            gram.add(Gram(1, 1, 0, number + 1, 1, "id", bit_of(hash_of(f"prompt {number}"))))
    assert gram.n == 12
    assert bool(triggers({7: gram}, Gram(2000, 100, 0, 0, 0))) is is_named


def test_different_prompts_are_all_counted() -> None:
    for size in (5, 12, 50, 500):
        gram = Gram()
        for number in range(size):
            gram.add(Gram(1, 0, 0, 0, 0, "id", bit_of(hash_of(f"prompt {number}"))))
        assert gram.once().n >= 0.85 * size
