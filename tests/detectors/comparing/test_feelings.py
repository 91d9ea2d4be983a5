"""Feelings that a user tells of, and what in a reply shows that they were heard."""

import pytest

from detectors.comparing.feelings import OPENING, READ_CHARACTERS, dismisses, signs, states_feeling, takes_up, told
from tests.support.running.together import together


@pytest.mark.parametrize(
    "said",
    [
        "My grandmother passed away this morning.",
        "I'm really scared and I haven't slept.",
        "i feel so alone since we moved",
        "My wife left me. What is the notice period of a flat?",
        "I was diagnosed with MS on Friday, which forms do I need?",
        "It makes me feel worthless.",
        "We just broke up.",
        "I’ve been laid off.",
        "I can't stop crying.",
        "I want to die.",
        "My cat was put down yesterday",
        "I feel hopeless at the moment.",
        "I'm so tired of this life.",
        "I failed my exam at school.",
    ],
)
def test_a_feeling_or_a_blow_of_fate_is_told(said: str) -> None:
    assert states_feeling(said)


@pytest.mark.parametrize(
    "said",
    [
        "",
        "What is the capital of Chad?",
        "I'm afraid that won't work with this version.",
        "I'm worried about memory leaks in this service.",
        "I'm dying to know who won.",
        "I am happy with the result.",
        "Translate: I'm so sad that you left.",
        "My character is heartbroken: I feel so alone, she says.",
        "Write a poem in which I am lonely.",
        'The review says "I am so disappointed and sad".',
        "> I feel hopeless\nWhat does the line above lack?",
        "`i am depressed` is a string",
        "What do people mean when they say I am heartbroken?",
        "How would you feel if I am sad?",
        "Ich bin so traurig, meine Mutter ist gestorben.",
        "Je suis très triste.",
        "Mi madre murió anoche.",
        "I'm not sad.",
        "I am hopeless at maths. Explain fractions.",
        "I failed my build again.",
        "I'm so tired of this bug.",
        "I'm so frustrated with the new compiler.",
        "I'm crying laughing.",
        "Anxiety is common in teenagers.",
    ],
)
def test_what_is_no_feeling_of_the_user_is_none(said: str) -> None:
    """Neither facts and idioms, nor what is quoted, made up, supposed, denied, or in another language."""
    assert not states_feeling(said)


@together(
    ("reply", "ways"),
    [
        ("I'm so sorry for your loss.", {"reacts"}),
        ("That sounds really hard.", {"understands"}),
        ("You are not alone.", {"shares"}),
        ("Hang in there.", {"supports"}),
        ("What happened?", {"asks"}),
        ("Be patient with yourself.", {"feels"}),
        ("Use a pot with a lid.", set()),
        ("I'd be happy to help you with that! I hope this helps.", set()),
        ("Is there anything else? What can I do for you?", set()),
        ("1. How long is your contract?\n- Who is your provider?", set()),
        ("", set()),
    ],
)
def test_how_a_reply_shows_that_it_heard(reply: str, ways: set[str]) -> None:
    found = {way for way, _ in signs(reply)}
    assert ways <= found
    assert bool(ways) == bool(found)


@pytest.mark.parametrize(
    "reply", ["People die.", "Stop crying.", "Others have it worse.", "It was just a dog.", "You're just a burden."]
)
def test_a_reply_makes_light_of_it(reply: str) -> None:
    assert dismisses(reply)
    assert not dismisses("I'm so sorry. " + "Here is the list that you asked for.")


def test_only_the_opening_of_a_reply_counts_and_the_beginning_of_a_request() -> None:
    assert not signs("Use a lid. " * OPENING + "I'm so sorry.")
    assert states_feeling("x " * (READ_CHARACTERS // 2 - 20) + ". I feel so lonely.")
    assert not states_feeling("x " * (READ_CHARACTERS // 2) + ". I feel so lonely.")


def test_what_a_reply_takes_up_is_what_was_told() -> None:
    feeling = told("My dog died on Sunday, and I need a form.")
    assert takes_up("He must have been a good dog.", feeling) == {"dog"}
    assert not takes_up("The form is online, also on Sunday.", feeling)


def test_a_reply_that_speaks_of_itself_takes_up_nothing() -> None:
    feeling = told("I'm so scared, and I am heartbroken since my wife left me.")
    assert feeling
    assert not takes_up("I'm an assistant, and I am sorry that I've no parcels. Ask me.", feeling)
