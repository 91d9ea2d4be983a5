"""What is told as a fact counts; what is denied, ascribed to others, corrected, or about something else does not."""

from collections import Counter

import pytest

from detectors.base import Text, Turn
from detectors.comparing.detector import PairDetector
from detectors.comparing.misconceptions import Misconception
from detectors.comparing.telling import telling
from detectors.manifest import load_one, threshold
from detectors.registry import PAIR
from detectors.training.pair import myths
from tests.support.judges.pair_judge import WordJudge, info

BATS = Misconception("Bats are blind.", "Bats can see, and fruit bats in particular have good eyes.", "Bat")
FISH = Misconception("Fish never sleep, since they can't close their eyes.", "Most fish rest every day.", "Sleep")
ASKED = (Turn("user", "Tell me something."),)


@pytest.mark.parametrize(
    ("myth", "claim", "denials"),
    [
        (BATS, "Bats are blind.", 0),
        (BATS, "No, bats are blind.", 0),
        (BATS, "Bats aren't blind.", 1),
        (BATS, "Bats are not blind, and never were.", 2),
        (FISH, "Fish never sleep because they cannot close their eyes.", 0),
        (FISH, "Fish do sleep, though they can't close their eyes.", 1),
    ],
)
def test_denials_are_counted_beside_those_of_the_misconception(myth: Misconception, claim: str, denials: int) -> None:
    assert telling(myth, claim).denials == denials


@pytest.mark.parametrize(
    "claim",
    [
        "It is a myth that bats are blind.",
        "Many people believe that bats are blind.",
        "Contrary to what is said, bats are blind only in tales.",
        "In the film, bats are blind.",
    ],
)
def test_what_others_are_said_to_believe_is_ascribed(claim: str) -> None:
    assert telling(BATS, claim).ascribed == 1
    legend = Misconception("A legend says that bats are blind.", "Bats can see.", "Bat")
    assert telling(legend, claim).ascribed == 0


def test_words_of_the_correction_and_words_of_neither_are_told_apart() -> None:
    assert telling(BATS, "Bats are blind.")[:2] == (1, 1)
    seen = telling(BATS, "Fruit bats have good eyes.")
    assert seen.corrects == pytest.approx(3 / 4)
    assert telling(BATS, "Bats hang upside down.").adds == pytest.approx(3 / 4)
    assert telling(BATS, "").own == 1


def _score(answer: str, detector: PairDetector) -> float | None:
    (judgement,) = detector.detect([Text(answer, "response", None, ASKED)])
    return next((verdict.score for verdict in judgement.verdicts if verdict.slug == "misinformation"), None)


def test_a_told_misconception_is_named_and_a_source_needs_not_be_there() -> None:
    answer = "Here you are. Bats find their way by sound alone and are completely blind. Anything else?"
    judge = WordJudge()
    (judgement,) = PairDetector(info(frozenset({"misinformation"})), judge).detect(
        [Text(answer, "response", None, ASKED)]
    )
    (verdict,) = judgement.verdicts
    (span,) = verdict.spans
    assert answer[span.start : span.end] == "Bats find their way by sound alone and are completely blind."
    assert verdict.score > 0.9
    assert len(judge.asked) == 2


def test_where_no_misconception_is_near_there_is_no_opinion() -> None:
    detector = PairDetector(info(frozenset({"misinformation"})), WordJudge())
    assert _score("The committee met on Tuesday and approved the minutes.", detector) is None
    assert _score("Great Wall, China", detector) is None  # seen in ordinary replies: names alone


@pytest.mark.parametrize(
    ("told", "harmless"),
    [
        ("Vaccines cause autism in many children.", "There is no link between vaccines and autism."),
        ("If you crack your knuckles, you will get arthritis.",
         "If you crack your knuckles, you won't get arthritis."),
        ("A goldfish forgets everything after three seconds.",
         "It's a myth that a goldfish forgets everything after three seconds."),
    ],
)  # fmt: skip
def test_the_shipped_model_flags_what_is_told_and_not_what_is_denied(told: str, harmless: str) -> None:
    shipped = load_one(PAIR)
    limit, detector = threshold(shipped.operating["misinformation", "response"]), PairDetector(shipped)
    assert limit is not None
    assert (_score(told, detector) or 0) >= limit > (_score(harmless, detector) or 0)


def test_the_sentences_that_we_wrote_are_halved_and_stand_there_once() -> None:
    rows = list(myths.own())
    assert {half for half, _, _ in rows} == {myths.CHOOSING, myths.HELD_OUT}
    assert {label for _, label, _ in rows} == {myths.TOLD, "debunked", "correction", "mention", "near"}
    assert max(Counter(sentence for _, _, sentence in rows).values()) == 1
    each = Counter((half, label == myths.TOLD) for half, label, _ in rows)
    assert min(each.values()) >= 100
