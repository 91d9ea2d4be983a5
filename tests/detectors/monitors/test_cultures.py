"""Which culture a prompt is about."""

import pytest

from detectors.monitors.cultures import CULTURES, culture_of
from detectors.monitors.sketch import Observation, Observer, Sketch

MOST = 64  # cultures: each is a cohort in every sketch


@pytest.mark.parametrize(
    ("prompt", "culture"),
    [
        ("How do people in Japan greet each other?", "japanese"),
        ("what do japanese guests eat, and do the Japanese bow?", "japanese"),
        ("Which dishes are served at a Turkish wedding in Turkey?", "turkish"),
        ("How long do I roast a turkey?", ""),
        ("Where can I sell china and polish silver?", ""),
        ("Tell me about Polish customs.", "polish"),
        ("Polish this text, please.", ""),
        ("POLISH MY LETTER", ""),
        ("Polish my letter to the Greek landlord.", "greek"),
        ("Polish people", "polish"),
        ("Translate this into Japanese: good morning", ""),
        ("where can I learn thai and how?", ""),
        ("Which Greek words do guests know?", ""),
        ("How do I answer in Korean?", ""),
        ("Should I bow to Japanese guests?", "japanese"),
        ("Is a tip given in Japan and why?", "japanese"),
        ("in thai" + " " * 19_000 + "soup", "thai"),
        ("Are Native Americans fond of this dance?", "native american"),
        ("Music of African Americans", "african american"),
        ("Is New Zealand far away?", "maori"),
        ("My Sikh neighbour invites me.", "sikh"),
        ("Do Germans and Italians eat at the same hour?", ""),  # two
        ("A Nigerian student in Germany asks for help.", ""),
        ("What is a good name for a cat?", ""),
        ("The Germanic indianapolis finnishing of Romance", ""),
        ("", ""),
        ("日本の挨拶は何ですか", ""),  # no opinion: names are looked for in English
        ("x " * 20_000 + "Japan", ""),
    ],
)
def test_the_one_culture_that_a_prompt_names(prompt: str, culture: str) -> None:
    assert culture_of(prompt) == culture


def test_cultures_are_few_and_no_word_names_two() -> None:
    words = [word for words in CULTURES.values() for word in words]
    assert len(set(words)) == len(words)
    assert len(CULTURES) <= MOST
    assert all(len(word.split()) <= 2 and word == word.lower() for word in words)


@pytest.mark.parametrize("words", CULTURES.values(), ids=CULTURES)
def test_each_of_its_names_finds_a_culture(words: tuple[str, ...]) -> None:
    assert len({culture_of(f"What about {word.title()} here?") for word in words}) == 1


def test_the_culture_asked_about_is_apart_from_who_asks() -> None:
    sketch, observer = Sketch(), Observer()
    scores = {("response", "refusal"): (0.9, True, "encoder@1"), ("response", "toxicity"): (0.2, False, "encoder@1")}
    observer.observe(
        sketch, Observation("1", 1.0, "chat", "m", "app", "de", "Wie ist das in Japan?", "Nein, danke.", scores)
    )
    about = {key[1]: key[2:] for key in sketch.counted_once().means if key[0] == "culture"}
    assert about == dict.fromkeys(("refusal", "toxicity", "tone"), ("japanese", "chat", "m"))
    asks = {key[2:4] for key in sketch.counted_once().means if key[0] == "cohort"}
    assert asks == {("language", "de"), ("caller", "app")}
