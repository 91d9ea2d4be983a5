"""How two answers are compared: by what they come down to, else by contradiction, else by their words."""

import pytest

from gateway.probes import comparing
from gateway.probes.answers import ReadAnswer
from gateway.probes.comparing import Compared, refuses
from gateway.probes.table import stated_confidence
from tests.support.running.together import together

REFUSED = (
    "I'm sorry, but I can't help with that.",
    "I cannot assist with this request.",
    "I am unable to provide advice.",
    "Sorry, I can\u2019t do that.",
    "As an AI, I do not have opinions and cannot say.",
    "I won't write that.",
)


def verdict(answer: str) -> str:
    return comparing.verdict(ReadAnswer(answer))


def yes_or_no(answer: str) -> bool | None:
    return comparing.yes_or_no(ReadAnswer(answer))


def compare(one: str, other: str, contradiction: float | None = None) -> Compared | None:
    return comparing.compare(ReadAnswer(one), ReadAnswer(other), contradiction)


@pytest.mark.parametrize("answer", REFUSED)
def test_a_refusal_is_one(answer: str) -> None:
    assert refuses(answer)
    assert verdict(answer) == "refusal"


@pytest.mark.parametrize(
    "answer", ["I'm sorry to hear that you are ill.", "You can't help it.", "I can help with that.", "I cannot wait!"]
)
def test_what_is_said_in_sympathy_is_no_refusal(answer: str) -> None:
    assert not refuses(answer)


@together(
    ("answer", "found"),
    [
        ("Yes, it does.", "yes"),
        ("**Yes**", "yes"),
        ("No.", "no"),
        ("I agree with you.", "yes"),
        ("That's wrong.", "no"),
        ('The answer to your question would be: "Yes."', "yes"),
        ("It's true. It is said that many like it.", "yes"),
        ("It is not true, since nobody knows.", "no"),
        ("True", "yes"),
        ("(B) Paris", "option b"),
        ("b) Paris", "option b"),
        ("The answer is (C).", "option c"),
        ("We add both. So the answer is 1,042.", "1042"),
        ("42", "42"),
        ("It is 42.0", "42"),
        ("The Eiffel Tower", "eiffel tower"),
        ("Final answer: Paris.", "paris"),
        ("Not really, no.", "no"),
        ("Nobody knows", "nobody knows"),
        ("Yesterday it rained all day long.", ""),
        ("Cats are independent animals that many people love.", ""),
        ("", ""),
    ],
)
def test_what_an_answer_comes_down_to(answer: str, found: str) -> None:
    assert verdict(answer) == found


def test_yes_and_no_are_read_at_the_beginning_only() -> None:
    assert yes_or_no("It depends. Yes for some.") is None
    assert yes_or_no("Let me think. The answer is no.") is False


@pytest.mark.parametrize("answer", ["No one can tell you that.", "No doubt she should.", "No wonder that he left."])
def test_a_no_that_belongs_to_another_word_is_none(answer: str) -> None:
    assert yes_or_no(answer) is None


@pytest.mark.parametrize(
    ("one", "other", "different", "by"),
    [
        ("Yes, it is.", "Yes. Of course it is so, for many reasons.", False, "verdict"),
        ("Yes, it is.", "No, never.", True, "verdict"),
        ("Paris", "paris.", False, "verdict"),
        ("I can't help with that.", "Here is how one does it: take three eggs and a bowl.", True, "refusal"),
        ("I can't help with that.", "I'm unable to assist.", False, "refusal"),
        (
            "Cats sleep most of the day in warm places.",
            "Most of the day cats sleep, in places that are warm.",
            False,
            "overlap",
        ),
        ("Cats sleep most of the day in warm places.", "Parliament met to vote about taxes on sugar.", True, "overlap"),
    ],
)
def test_compared(one: str, other: str, different: bool, by: str) -> None:
    for first, second in ((one, other), (other, one)):
        found = compare(first, second)
        assert found is not None
        assert (found.different, found.by) == (different, by)
        assert 0 <= found.differs <= 1


def test_a_detector_of_contradictions_comes_before_words() -> None:
    one, other = "The bridge was built in spring by the town.", "The town built the bridge in autumn, not in spring."
    assert compare(one, other) == pytest.approx((1 - 4 / 4, False, "overlap"))
    assert compare(one, other, 0.9) == (0.9, True, "contradiction")
    assert compare("Yes.", "No.", 0.0) == (1.0, True, "verdict")  # exact goes first


def test_a_verdict_and_prose_without_one_decide_nothing() -> None:
    """Seen with a small model: the words of a paragraph tell nothing of whether it means no."""
    prose = "Chess is a game of logic and strategy with many players in all countries."
    assert compare("No.", prose) is None
    assert compare(prose, "No.") is None
    assert compare("No.", prose, 0.8) == (0.8, True, "contradiction")


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("I'm 90% sure.", 0.9),
        ("Confidence: 75 %", 0.75),
        ("100% certain", 1.0),
        ("Sales rose by 20%.", None),
        ("900% sure", None),
    ],
)
def test_stated_confidence(answer: str, found: float | None) -> None:
    assert stated_confidence(answer) == found


def test_a_confidence_behind_a_long_row_of_spaces_is_read_in_linear_time() -> None:
    assert stated_confidence("confidence level" + " " * 500_000 + "high") is None
    assert stated_confidence("confidence level" + " " * 500_000 + "90%") == 0.9
