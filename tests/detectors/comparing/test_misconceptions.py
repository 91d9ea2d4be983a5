"""The list of misconceptions: each row is readable, has a source, stands there once, and is found at little cost."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.resources import files

import pytest

from detectors.comparing.misconceptions import FILE, Misconception, known
from detectors.comparing.nearness import MOST_PASSAGES, Passages, overlap, stems
from detectors.comparing.pairings import NEAR_MYTH, Myths, StoppedError, against_myths
from detectors.comparing.sentences import is_claim
from tests.support.running.steps import steps

LONGEST = (200, 280, 90)  # characters of a claim, a correction and the title of an article
SHORTEST = (15, 15, 2)
MOST_SHARED = 0.8  # of the content words of both claims, from which two rows are of one belief
# Letters of any European language, figures, and plain punctuation: no curly quotes, no two blanks, no blank at an end.
PLAIN = re.compile(r"(?:(?:[0-9A-Za-zÀ-ɏḀ-ỿ.,;:!?'\"()/%&$+*=°–—…-]|(?<! ) (?! ))+)")
TITLE = re.compile(r"[^\s_#<>\[\]{}|](?:[^_#<>\[\]{}|\t]*[^\s_#<>\[\]{}|])?")


def lines() -> list[str]:
    """The rows as they stand in the file, without its remarks."""
    text = (files("detectors.comparing") / FILE).read_text("utf-8")
    return [line for line in text.split("\n") if line and not line.startswith("#")]


def alike(claims: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The pairs of claims that share nearly all their content words."""
    held = [frozenset(stems(claim)) for claim in claims]
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, own in enumerate(held):
        for earlier in {each for stem in own for each in places[stem]}:
            if len(own & held[earlier]) >= MOST_SHARED * len(own | held[earlier]):
                yield claims[earlier], claims[place]
        for stem in own:
            places[stem].append(place)


def row(claim: str) -> Misconception:
    return Misconception(claim, "The opposite is the case.", "Fact")


def test_every_row_has_a_claim_its_correction_and_an_article() -> None:
    wrong = [line for line in lines() if line.count("\t") != 2]
    assert wrong == []
    assert len(known()) == len(lines())


def test_no_field_is_empty_overlong_or_oddly_written() -> None:
    for misconception in known():
        for field, least, most in zip(misconception, SHORTEST, LONGEST, strict=True):
            assert least <= len(field) <= most, field
        for sentence in misconception[:2]:
            assert PLAIN.fullmatch(sentence), sentence
            assert sentence[0].isupper() or sentence[0].isdigit() or sentence[0] == '"', sentence
            assert sentence.rstrip("\"'").endswith((".", "!")), sentence
        assert TITLE.fullmatch(misconception.source), misconception.source


def test_every_claim_is_a_sentence_that_is_looked_at() -> None:
    assert [myth.claim for myth in known() if not is_claim(myth.claim)] == []


def test_no_belief_stands_there_twice() -> None:
    assert list(alike([myth.claim for myth in known()])) == []


def test_claims_of_nearly_the_same_words_are_told_from_others() -> None:
    twice = ["Bats are blind and fly by sound.", "All bats are blind and fly by sounds!"]
    other = ["Bats carry luck into the house.", "Moles are blind and dig by touch."]
    assert list(alike([*twice, *other])) == [(twice[0], twice[1])]


def test_no_correction_says_what_the_claim_says() -> None:
    same = [myth.claim for myth in known() if set(stems(myth.claim)) == set(stems(myth.correction))]
    assert same == []


def test_every_claim_said_word_for_word_finds_its_own_row() -> None:
    myths = Myths(known())
    assert [myth.claim for myth in known() if next(myths.near(myth.claim), None) != myth] == []


@pytest.mark.parametrize("told", ["It's well known that {}", "{} That is what the textbooks say."])
def test_a_claim_with_some_words_around_it_finds_its_row(told: str) -> None:
    myths = Myths([row("Bats are blind."), row("Bulls hate the colour red."), row("Goldfish forget in seconds.")])
    for claim in ("Bats are blind.", "Bulls hate the colour red."):
        assert [myth.claim for myth in myths.near(told.format(claim))] == [claim]


def test_the_nearest_is_that_of_a_look_at_every_row() -> None:
    rows = known()
    myths, passages = Myths(rows), Passages([myth.claim for myth in rows])
    assert len(rows) <= MOST_PASSAGES
    for said in [myth.correction for myth in rows[::7]]:
        nearest = [rows[place] for near, place in passages.ranked(said)[:3] if near]
        expected = [myth for myth in nearest if overlap(myth.claim, said).words >= NEAR_MYTH][:1]
        assert list(myths.near(said)) == expected, said


def test_the_cost_of_a_claim_does_not_grow_with_rows_about_something_else() -> None:
    few = [row(f"Bats of kind {number} are blind.") for number in range(5)]
    many = few + [row(f"Mountain{number} feeds river{number}.") for number in range(2_000)]
    asked = "Bats of kind 3 are blind."
    costs = []
    for rows in (few, many):
        myths = Myths(rows)
        assert list(myths.near(asked)) == [few[3]]
        costs.append(steps(partial(list, myths.near(asked))))
    assert costs[0] == costs[1]


def test_the_list_is_made_ready_once_and_when_it_is_first_asked() -> None:
    rows = [row(f"Mountain{number} river{number} lake{number}.") for number in range(2_000)]
    made: list[Myths] = []
    assert steps(lambda: made.append(Myths(rows))) < 10
    (myths,) = made
    first, second = (steps(lambda: list(myths.near("Mountain7 river7 lake7."))) for _ in range(2))
    assert first > len(rows)
    assert second < 200


def test_a_long_answer_is_compared_with_the_list_in_pieces() -> None:
    myths = Myths([row("Bats are blind.")])
    work = against_myths(myths, "Bats are blind. Moles are busy. " * 20)
    next(work)
    with pytest.raises(StoppedError):
        work.send(True)
    pieces = against_myths(myths, "Bats are blind. Moles are busy. " * 20)
    assert sum(1 for _ in pieces) == 40
