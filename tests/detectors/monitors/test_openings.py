"""How prompts begin, and that a way to begin is a trigger like a word."""

import random

import pytest

from detectors.monitors.sketch import Observation, Observer, Sketch
from detectors.monitors.triggers import grams_of, openings, openings_of, triggers

THINGS = [f"thing{number}" for number in range(400)]
BEGINNINGS = [
    "tell me about",
    "what is",
    "how do i sell",
    "write to",
    "a letter for",
    "is",
    "my boss wants",
    "some say",
]


@pytest.mark.parametrize(
    ("prompt", "shown"),
    [
        ("When the ferry leaves, write me.", {"when", "when the", "when the …", "when the … … , …", "when …,"}),
        ("Although Kai, who sings, left", {"although", "although …", "although … ,", "although … , who … ,",
                                           "although …,"}),
        ("Describe a boat", {"… a", "… a …"}),
        ("boats sail", set()),
        ("Paint, draw, and print", {"… ,", "… , …", "… , … , and …"}),
        ("", set()),
        (", , ,", {",", ", ,", ", , ,"}),
    ],
)  # fmt: skip
def test_only_small_words_are_shown(prompt: str, shown: set[str]) -> None:
    assert set(openings(prompt)) == shown


def test_a_long_prompt_is_read_at_its_beginning_alone() -> None:
    assert set(openings("if " * 200_000)) == {"if", "if if", "if if if", "if if if if if if"}


def test_an_opening_is_no_word() -> None:
    assert not grams_of(["when", "it"]).keys() & openings_of("when it rains").keys()


@pytest.mark.parametrize(("begins", "is_found"), [("unless {}, {} for {}", True), ("{} {} {}", False)])
def test_a_way_to_begin_that_is_always_refused_is_found(begins: str, is_found: bool) -> None:
    """40 prompts of 1,000 share a form of sentences and nothing else; or not even that, and nothing is found."""
    chance = random.Random(3)
    sketch, observer = Sketch(), Observer()
    for number in range(1000):
        first, second, third = chance.sample(THINGS, 3)
        planted = number % 25 == 0
        usual = f"{chance.choice(BEGINNINGS)} {first} {second} {third}"
        prompt = begins.format(first, second, third) if planted else usual
        refused = planted or chance.random() < 0.05
        scores = {("response", "refusal"): (0.9 if refused else 0.1, refused, "d@1")}
        observer.observe(sketch, Observation(f"{number}", 1.0, "r", "m", "app", "en", prompt, "so", scores))
    named = [each for each in triggers(sketch.grams, sketch.total) if each.is_opening and each.outcome == "refusal"]
    assert bool(named) == is_found
    if is_found:
        assert {each.gram for each in named} <= openings_of("unless x, y for z").keys()
        assert named[0].prompts == 40
