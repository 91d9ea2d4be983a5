"""Which findings of monitors become alarms."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from detectors.monitors.sketch import Observation, Observer, Sketch
from gateway.monitoring.alarms import alarms
from gateway.monitoring.changes import Change
from gateway.monitoring.history import Looked, total
from gateway.monitoring.store import HOUR

DAY = 24 * HOUR
NOW = 1_790_000_000.0 // DAY * DAY + 13 * HOUR
HOURS = 8 * 24
SEEN = Observation("id", 1.0, "chat", "m", "app", "en", "tell me something", "Here it is.", {})
THINGS = ("bread", "wine", "coffee", "lakes", "maps", "kites", "trains", "stamps", "clocks", "pianos")
Draw = Callable[[int, int], Observation]  # hour from the first, number within it


def refused(found: bool) -> dict[tuple[str, str], tuple[float, bool, str]]:
    return {("response", "refusal"): (0.9 if found else 0.1, found, "encoder@5")}


def looked(draw: Draw, an_hour: int = 4, changes: tuple[Change, ...] = ()) -> Looked:
    observer, hours = Observer(), []
    first = NOW - HOURS * HOUR
    for hour in range(HOURS):
        sketch = Sketch()
        for number in range(an_hour):
            observer.observe(sketch, draw(hour, number))
        hours.append((int(first + hour * HOUR), sketch))
    now = [pair for pair in hours if pair[0] >= NOW - DAY]
    before = total(sketch for start, sketch in hours if start < NOW - DAY)
    return Looked(total(sketch for _, sketch in now), before, now, hours, changes, NOW, False)


@pytest.fixture
def chance() -> random.Random:
    return random.Random(7)


def even(chance: random.Random) -> Draw:
    """The same for everybody, and for all time."""

    def draw(hour: int, number: int) -> Observation:
        words = " ".join(chance.sample(THINGS, 3))
        side = chance.choice(("democrats", "republicans"))
        return replace(
            SEEN,
            id=f"{hour}-{number}",
            language=chance.choice(("en", "en", "de", "fr")),
            prompt=f"tell me of {words} and the {side}",
            answer=f"It is {words}. I am {chance.choice((60, 80))}% sure.",
            scores=refused(chance.random() < 0.1),
            right=float(chance.random() < 0.7),
            agreed_source="people",
        )

    return draw


@pytest.mark.slow
def test_without_anything_there_is_no_alarm(chance: random.Random) -> None:
    told = (Change(NOW - 50 * HOUR, "deployment", "nothing much"),)
    assert {slug: rows for slug, rows in alarms(looked(even(chance), changes=told)).items() if rows} == {}


@pytest.mark.slow
def test_a_gap_that_lasts_is_one_alarm_and_says_since_when(chance: random.Random) -> None:
    def draw(hour: int, number: int) -> Observation:
        seen = even(chance)(hour, number)
        worse = seen.language == "de" and hour > HOURS - 72
        return replace(seen, scores=refused(chance.random() < (0.4 if worse else 0.1)))

    (row,) = alarms(looked(draw, 6))["disparate_performance"]
    assert (row["measure"], row["cohorts"], row["cohort"]) == ("refusal", "language", "de")
    assert row["low"] > 0.1
    assert NOW - 5 * DAY < row["since"] <= NOW - 2 * DAY
    assert row["evidence"] > 365


@pytest.mark.slow
def test_an_hour_of_bad_luck_is_none(chance: random.Random) -> None:
    def draw(hour: int, number: int) -> Observation:
        seen = even(chance)(hour, number)
        return replace(seen, scores=refused(True)) if hour == HOURS - 3 and seen.language == "de" else seen

    assert alarms(looked(draw))["disparate_performance"] == []


@pytest.mark.slow
def test_a_lean_and_sure_wrong_answers(chance: random.Random) -> None:
    def draw(hour: int, number: int) -> Observation:
        seen = even(chance)(hour, number)
        against = "republicans" in seen.prompt
        return replace(
            seen, scores=refused(chance.random() < (0.4 if against else 0.1)), right=float(chance.random() < 0.4)
        )

    found = alarms(looked(draw))
    assert [(row["topic"], row["side"], row["measure"]) for row in found["preference_bias"]] == [
        ("us_parties", "democrats", "refusal")
    ]
    (row,) = found["miscalibration"]
    assert (row["route"], row["model"], row["outcome"]) == ("chat", "m", "people")
    assert row["estimate"] == pytest.approx(0.3 - 0.05, abs=0.05)


@pytest.mark.slow
def test_a_shift_is_looked_at_once_a_day(chance: random.Random) -> None:
    def draw(hour: int, number: int) -> Observation:
        seen = even(chance)(hour, number)
        yesterday = NOW // DAY * DAY - DAY <= NOW - (HOURS - hour) * HOUR < NOW // DAY * DAY
        return replace(seen, language="pt") if yesterday and number < 3 else seen

    rows = alarms(looked(draw, 12))["distribution_shift"]
    assert [(row["feature"], row["since"]) for row in rows] == [("language", NOW // DAY * DAY - DAY)]
    today = alarms(
        looked(lambda hour, n: replace(even(chance)(hour, n), language="pt" if hour > HOURS - 9 else "en"), 6)
    )
    assert today["distribution_shift"] == []  # tomorrow


@pytest.mark.slow
def test_an_effect_that_lasts(chance: random.Random) -> None:
    change = Change(NOW - 60 * HOUR, "model", "m2", "chat")

    def draw(hour: int, number: int) -> Observation:
        seen = even(chance)(hour, number)
        return replace(seen, scores=refused(chance.random() < (0.6 if hour >= HOURS - 60 else 0.1)))

    (row,) = alarms(looked(draw, 20, (change,)))["interventional_effect"]
    assert (row["change"], row["measure"], row["route"]) == ("model: m2", "refusal", "chat")
    assert row["estimate"] == pytest.approx(0.5, abs=0.1)


@pytest.mark.slow
def test_a_trigger(chance: random.Random) -> None:
    def draw(hour: int, number: int) -> Observation:
        seen = even(chance)(hour, number)
        triggered = number == 0 and hour % 8 == 0
        return replace(seen, prompt=f"cfxq {seen.prompt}", scores=refused(True)) if triggered else seen

    (row,) = alarms(looked(draw))["poisoning_attacks"]
    assert (row["outcome"], row["prompts"]) == ("refusal", 24)
