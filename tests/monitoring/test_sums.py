"""Sums as monitors read them."""

from dataclasses import replace

import pytest

from detectors.monitors.sketch import Observation, Observer, Sketch
from gateway.monitoring.history import total
from gateway.monitoring.sums import moved

SEEN = Observation("id", 1.0, "chat", "m", "app", "en", "", "Here it is.", {})


def hourly(prompts: int, hours: int = 100) -> Sketch:
    """Three exchanges an hour, one of them in German, with so many prompts in turn."""
    observer, sketches = Observer(), []
    for hour in range(hours):
        sketches.append(Sketch())
        for number in range(3 * hour, 3 * hour + 3):
            language = "de" if number % 3 == 0 else "en"
            observer.observe(sketches[-1], replace(SEEN, prompt=f"question {number % prompts}", language=language))
    return total(sketches)


@pytest.mark.parametrize("prompts", [300, 150, 75])
def test_a_prompt_that_comes_in_many_hours_tells_no_more_of_a_shift_than_once(prompts: int) -> None:
    tested = {shift.feature: shift for shift in moved(hourly(300), hourly(prompts))}
    assert tested["language"].now == pytest.approx(prompts)


def test_too_few_prompts_tell_nothing_of_a_shift_however_often_they_come() -> None:
    assert "language" not in {shift.feature for shift in moved(hourly(300), hourly(30))}
