"""What the monitor says of answers about one culture beside those about the others: rows, and alarms."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from detectors.monitors.sketch import Observation, Observer, Sketch
from gateway.monitoring.findings import Report
from gateway.monitoring.history import Looked, total
from gateway.monitoring.reports import reports
from gateway.monitoring.store import HOUR

DAY = 24 * HOUR
NOW = 1_790_000_000.0 // DAY * DAY + 13 * HOUR
SEEN = Observation("id", 1.0, "chat", "m", "app", "en", "", "Here it is.", {})
LANDS = ("Kenya", "Japan", "Norway", "Brazil", "Iran", "Greece")
Scores = dict[tuple[str, str], tuple[float, bool, str]]


def scored(refusal: bool = False, toxicity: float = 0.01, **more: float) -> Scores:
    slugs = {"refusal": float(refusal), "toxicity": toxicity, **more}
    return {("response", slug): (score, score > 0.5, "encoder@5") for slug, score in slugs.items()}


def reported(scores: Callable[[str], Scores], *, an_hour: int = 12, days: int = 3, lands: int = 6) -> dict[str, Report]:
    """After some days in which prompts are about lands in turn, each another prompt."""
    observer, hours = Observer(), []
    first = NOW - days * DAY
    for hour in range(days * 24):
        sketch = Sketch()
        for number in range(an_hour):
            land = LANDS[number % lands]
            prompt = f"How do families in {land} celebrate feast {hour}-{number}?"
            observer.observe(sketch, replace(SEEN, id=prompt, prompt=prompt, scores=scores(land)))
        hours.append((int(first + hour * HOUR), sketch))
    now = [pair for pair in hours if pair[0] >= NOW - DAY]
    before = total(sketch for start, sketch in hours if start < NOW - DAY)
    looked = Looked(total(sketch for _, sketch in now), before, now, hours, (), NOW, False)
    return {report.subcategory: report for report in reports(looked)}


def test_one_culture_that_is_refused_is_found_and_becomes_an_alarm() -> None:
    chance = random.Random(3)
    found = reported(lambda land: scored(refusal=chance.random() < (0.8 if land == "Kenya" else 0.1)))
    first, *others = found["cultural_insensitivity"].rows
    assert (first["measure"], first["cohorts"], first["cohort"], first["found"]) == (
        "refusal", "culture", "kenyan", True
    )  # fmt: skip
    assert first["low"] <= 0.7 <= first["high"]
    assert not any(row["found"] for row in others)
    assert [(row["measure"], row["cohort"]) for row in found["cultural_insensitivity"].alarms] == [
        ("refusal", "kenyan")
    ]
    assert not any(row["found"] for row in found["disparate_performance"].rows)
    assert found["disparate_performance"].alarms == []


def test_answers_about_one_culture_that_are_harsher_are_found() -> None:
    chance = random.Random(4)
    found = reported(lambda land: scored(toxicity=chance.random() * (0.6 if land == "Iran" else 0.1)))
    first = found["cultural_insensitivity"].rows[0]
    assert (first["measure"], first["cohort"], first["found"]) == ("toxicity", "iranian", True)


def test_where_all_cultures_are_answered_alike_nothing_is_found() -> None:
    chance = random.Random(5)
    found = reported(lambda _: scored(refusal=chance.random() < 0.2, toxicity=chance.random() / 9))
    assert found["cultural_insensitivity"].rows
    assert not any(row["found"] for row in found["cultural_insensitivity"].rows)
    assert found["cultural_insensitivity"].alarms == []


@pytest.mark.parametrize(("an_hour", "lands"), [(12, 1), (0, 1)])
def test_with_fewer_than_two_cultures_it_says_what_it_needs(an_hour: int, lands: int) -> None:
    report = reported(lambda _: scored(), an_hour=an_hour, lands=lands)["cultural_insensitivity"]
    assert (report.rows, report.found, report.headline) == ([], 0, None)
    assert "prompts that name one culture" in report.missing


def test_what_a_detector_of_it_says_is_compared_by_culture_too() -> None:
    found = reported(lambda land: scored(cultural_insensitivity=0.7 if land == "Greece" else 0.1))
    first = found["cultural_insensitivity"].rows[0]
    assert (first["measure"], first["cohort"]) == ("cultural_insensitivity", "greek")


def test_who_asks_is_compared_by_language_and_not_by_key() -> None:
    """A caller's prompts may be about other things than another's."""
    sketch, observer = Sketch(), Observer()
    for number in range(400):
        caller, language = ("one", "two")[number % 2], ("en", "de")[number // 2 % 2]
        seen = replace(SEEN, id=str(number), prompt=f"Number {number}?", caller=caller, language=language)
        is_odd = caller == "one" or (language == "de" and number % 3)
        observer.observe(sketch, replace(seen, scores=scored(cultural_insensitivity=0.9 if is_odd else 0.1)))
    looked = Looked(sketch, Sketch(), [(int(NOW), sketch)], [(int(NOW), sketch)], (), NOW, False)
    found = {report.subcategory: report for report in reports(looked)}
    assert {row["cohorts"] for row in found["cultural_insensitivity"].rows} == {"language"}
    assert not any(row["measure"] == "cultural_insensitivity" for row in found["disparate_performance"].rows)
