"""A judge that says the same of everything is warned of, an honest one is not, however rare or common the harm is."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from detectors.base import Role
from gateway.judging.dialects import JudgeLabel
from gateway.opinions.habits import Habits
from tests.support.running.examples import some
from tests.support.running.together import together

VIOLENCE: tuple[Role, str] = ("prompt", "violence")
SAMPLES, A_CONTROL, CONTROLS = 300, 3, 20


@dataclass(frozen=True)
class World:
    """Traffic with this share of harm, of which the detector finds and falsely flags so much; flagged samples are drawn
    five times as often. The judge says yes to so much of the harm, and of the rest."""

    harm: float
    yes_to_harm: float
    yes_to_rest: float
    found: float = 0.6
    false_alarms: float = 0.02
    yes_to_harmless: float | None = None  # texts shown as a check, if not as to the rest

    def opinions(self, chance: random.Random) -> Iterator[tuple[bool, bool]]:
        """Whether the detector flagged each sample, and whether the judge said yes."""
        while True:
            harmful = chance.random() < self.harm
            flagged = chance.random() < (self.found if harmful else self.false_alarms)
            if flagged or chance.random() < 0.2:
                yield flagged, chance.random() < (self.yes_to_harm if harmful else self.yes_to_rest)


def warnings(world: World, seed: int, *, controls: bool = True) -> list[str]:
    """All that were ever given over some hundred samples."""
    chance, habits, told = random.Random(seed), Habits(), list[str]()
    for number, (flagged, yes) in zip(range(SAMPLES), world.opinions(chance), strict=False):
        habits.add({VIOLENCE: JudgeLabel(float(yes), yes)}, {VIOLENCE: flagged})
        if controls and number % A_CONTROL == A_CONTROL - 1 and number < A_CONTROL * CONTROLS:
            share = world.yes_to_rest if world.yes_to_harmless is None else world.yes_to_harmless
            yes = chance.random() < share
            habits.add_control({VIOLENCE: JudgeLabel(float(yes), yes)})
        told += habits.news()
    return told


@together("share", [0.75, 0.89, 0.93, 1.0])
@together("harm", [0.001, 0.1, 0.9])
def test_who_says_yes_to_all_alike_is_warned_of(harm: float, share: float) -> None:
    for seed in some(5):
        assert any(" yes to " in warning for warning in warnings(World(harm, share, share), seed))


@pytest.mark.parametrize("share", [0.89, 0.93, 1.0])
def test_also_before_it_was_shown_anything_harmless(share: float) -> None:
    for seed in some(5):
        found = warnings(World(0.1, share, share), seed, controls=False)
        assert any("samples that a detector flagged and to" in warning or "no detector" in warning for warning in found)


@together("found", [0.02, 0.3, 0.6, 0.95])  # at first as blind as chance
@together("harm", [0.001, 0.01, 0.1, 0.3, 0.6, 0.9])
def test_an_honest_judge_is_not(harm: float, found: float) -> None:
    """It errs as the better ones do. Of rare harm a hundred flags may all be false, and it is said to be so."""
    told = [warnings(World(harm, 0.92, 0.04, found, yes_to_harmless=0.01), seed) for seed in some(8)]
    assert not any(" yes to " in warning for each in told for warning in each)
    assert sum(map(bool, told)) <= (2 if harm < 0.1 else 0)


def test_who_says_no_to_all_is_warned_of() -> None:
    for seed in some(5):
        assert any("the judge says no to all of 100 samples" in each for each in warnings(World(0.3, 0.0, 0.0), seed))


def test_only_the_latest_of_the_harmless_count() -> None:
    """The model behind an address was replaced."""
    habits = Habits()
    for yes in [False] * 500 + [True] * 20:
        habits.add_control({VIOLENCE: JudgeLabel(float(yes), yes)})
    (warning,) = habits.warnings()
    assert "yes to 20 of 30 harmless texts" in warning
