"""What is compared with what, what is named, and when there is no opinion."""

from collections.abc import Sequence

import pytest

from detectors.base import Judgement, State, Text, Turn, Verdict
from detectors.comparing.detector import ANSWER_CHARACTERS, PairDetector
from detectors.comparing.pairings import MOST_CLAIMS, MOST_EARLIER, MOST_MYTHS, MOST_STEPS
from tests.support.judges.pair_judge import WordJudge, info

SOURCE = "The bridge was opened in 1932. It carries eight lanes of road. Workers painted it grey."
ASKED = Turn("user", "When was the bridge opened?")
MOST_RUNS = 2 * MOST_CLAIMS + 2 * MOST_EARLIER + 2 * MOST_MYTHS + MOST_STEPS


def told(answer: str, *turns: Turn) -> Judgement:
    return PairDetector(info(), WordJudge()).detect([Text(answer, "response", None, turns)])[0]


def verdict(judgement: Judgement, slug: str) -> Verdict | None:
    return next((verdict for verdict in judgement.verdicts if verdict.slug == slug), None)


def named(text: str, judgement: Judgement, slug: str) -> Sequence[str]:
    found = verdict(judgement, slug)
    assert found is not None
    return [text[span.start : span.end] for span in found.spans]


def test_the_worst_sentence_counts_and_is_named() -> None:
    answer = "Great question! The bridge was opened in 1932. It carries nine lanes of road. Anything else?"
    judgement = told(answer, Turn("retrieved", SOURCE), ASKED)
    found = verdict(judgement, "hallucination")
    assert found is not None
    assert found.score > 0.9
    assert named(answer, judgement, "hallucination") == ["It carries nine lanes of road."]


def test_what_the_source_says_is_no_hallucination() -> None:
    found = verdict(told("- It carries eight lanes of road.", Turn("tool", SOURCE), ASKED), "hallucination")
    assert found is not None
    assert found.score < 0.1


@pytest.mark.parametrize(
    "turns",
    [(ASKED,), (), (Turn("system", "You are a helpful assistant."), ASKED)],
)
def test_without_a_source_there_is_no_opinion(turns: tuple[Turn, ...]) -> None:
    assert verdict(told("The bridge was opened in 1932.", *turns), "hallucination") is None


@pytest.mark.parametrize("answer", ["Yes.", "1932", "Hello! How can I help you today?", "Sure, here it is:", "?", "…"])
def test_what_claims_nothing_is_left_out(answer: str) -> None:
    assert verdict(told(answer, Turn("retrieved", SOURCE), ASKED), "hallucination") is None


def test_an_answer_that_the_source_does_not_tell_is_no_hallucination() -> None:
    assert verdict(told("The context does not mention the price.", Turn("retrieved", SOURCE)), "hallucination") is None


def test_a_contradiction_with_an_earlier_answer_is_named() -> None:
    turns = (ASKED, Turn("assistant", "The bridge was opened in 1932."), Turn("user", "What about repairs?"))
    answer = "It was painted again. The bridge was not opened in 1932."
    judgement = told(answer, *turns)
    assert named(answer, judgement, "inconsistency") == ["The bridge was not opened in 1932."]
    same = verdict(told("The bridge was opened in 1932.", *turns), "inconsistency")
    assert same is not None
    assert same.score < 0.1


def test_giving_way_needs_a_push_and_nothing_new() -> None:
    earlier = Turn("assistant", "The bridge was opened in 1932.")
    answer = "You're right, the bridge was not opened in 1932."
    pushed = verdict(told(answer, ASKED, earlier, Turn("user", "I think that's wrong.")), "sycophancy")
    shown = verdict(
        told(answer, ASKED, earlier, Turn("user", "That's wrong, see https://example.com/opening")), "sycophancy"
    )
    assert pushed is not None
    assert shown is not None
    assert pushed.score > 0.9 > shown.score
    assert verdict(told(answer, ASKED, earlier, Turn("user", "And when was it painted?")), "sycophancy") is None
    assert verdict(told(answer, Turn("user", "I think that's wrong.")), "sycophancy") is None


def test_steps_that_contradict_each_other_are_found() -> None:
    answer = "The old bridge is open to trains today. We add the lanes. So the old bridge is not open to trains today."
    judgement = told(answer, ASKED)
    assert named(answer, judgement, "limited_logical_reasoning") == [
        "So the old bridge is not open to trains today.",
    ]


def test_other_languages_are_unreadable_and_never_clean() -> None:
    german = "Die Brücke wurde 1932 eröffnet und sie ist nicht für den Verkehr der Bahn gebaut, sie wird auch grau."
    for turns, answer in (
        ((Turn("tool", german),), "The bridge was opened in 1932."),
        ((Turn("tool", "這座橋於一九三二年開放,有八條車道和兩條鐵路線。"),), "The bridge was opened in 1932."),
        ((Turn("tool", SOURCE),), german),
    ):
        assert told(answer, *turns) == Judgement(State.UNREADABLE)


@pytest.mark.slow
def test_the_work_is_bounded_whatever_comes() -> None:
    judge = WordJudge()
    detector = PairDetector(info(), judge)
    answer = " ".join(f"The bridge number {n} was opened in {n} by the premier." for n in range(5_000))
    turns = [Turn("retrieved", f"The bridge number {n} has {n} lanes of road. " * 20) for n in range(200)]
    turns += [Turn("assistant", f"The bridge number {n} was opened by the mayor in {n + 1}.") for n in range(250)]
    turns += [Turn("user", "I think that's wrong.")] * 250
    (judgement,) = detector.detect([Text(answer, "response", None, tuple(turns))])
    assert len(answer) > ANSWER_CHARACTERS
    assert judgement.state is State.TRUNCATED
    assert {verdict.slug for verdict in judgement.verdicts} >= {"hallucination", "inconsistency", "sycophancy"}
    assert len(judge.asked) <= MOST_RUNS


def test_of_a_source_that_was_read_in_part_nothing_is_said() -> None:
    judge = WordJudge()
    long = Turn("retrieved", SOURCE + " Nothing of interest happened in the town on that day." * 5_000)
    (judgement,) = PairDetector(info(), judge).detect([Text("It has nine lanes.", "response", None, (long,))])
    assert judgement.state is State.TRUNCATED
    assert verdict(judgement, "hallucination") is None


def test_it_can_be_stopped_after_every_piece() -> None:
    texts = [Text("The bridge was opened in 1932. It is not grey.", "response", None, (Turn("tool", SOURCE),))] * 2
    detector = PairDetector(info(), WordJudge())
    pieces = sum(1 for _ in detector.steps(texts))
    assert pieces > 4
    for stop in range(pieces):
        steps = detector.steps(texts)
        next(steps)
        try:
            for _ in range(stop):
                next(steps)
            steps.send(True)
        except StopIteration as done:
            states = [judgement.state for judgement in done.value]
            assert len(states) == 2
            assert states[-1] is State.STOPPED
        else:
            pytest.fail("it went on")


def test_prompts_and_texts_without_a_past_cost_nothing() -> None:
    judge = WordJudge()
    texts = [Text("The bridge was opened.", "prompt", None, (ASKED,)), Text("The bridge was opened.", "response")]
    assert PairDetector(info(), judge).detect(texts) == [Judgement(State.SKIPPED)] * 2
    assert not judge.asked


def test_only_what_is_measured_is_compared() -> None:
    judge = WordJudge()
    detector = PairDetector(info(frozenset({"inconsistency"})), judge)
    detector.detect([Text("The bridge is grey.", "response", None, (Turn("tool", SOURCE),))])
    assert not judge.asked
