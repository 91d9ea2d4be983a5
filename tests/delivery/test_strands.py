"""The texts of a streamed answer: when each is due, and which ended."""

import pytest

from gateway.delivery.strands import Strands
from gateway.openai_api import EventText


def said(text: str, path: str = "a", *, choice: int = 0, whole: bool = False) -> EventText:
    at = ("choices", choice, path)
    return EventText("assistant", at, at, text, whole, choice)


def test_a_text_that_goes_on_after_its_end_has_not_ended() -> None:
    """Some servers send the end of a text in the middle of it."""
    strands = Strands(None)
    strand = strands.delta(said("One."))
    ended = [strand.closed]
    strands.close(("choices", 0))
    ended.append(strand.closed)
    assert strands.delta(said(" Two.")) is strand
    ended.append(strand.closed)
    strands.close(("choices", 1))
    ended.append(strand.closed)
    strands.close(())
    ended.append(strand.closed)
    assert ended == [False, True, False, False, True]


def test_without_a_window_a_text_is_due_when_it_ends() -> None:
    strands = Strands(None)
    strands.delta(said("long " * 100))
    assert not strands.is_due()
    strands.close(())
    assert len(strands.take_due()) == 1
    assert not strands.is_due()


@pytest.mark.parametrize(("characters", "is_due"), [(8, False), (9, True)])
def test_with_a_window_a_text_is_due_when_it_is_longer(characters: int, is_due: bool) -> None:
    strands = Strands(8)
    strands.delta(said("x" * characters))
    assert strands.is_due() is is_due


@pytest.mark.parametrize(("more", "is_due"), [(7, False), (8, True)])
def test_a_text_is_due_when_the_others_of_its_choice_went_on_without_it(more: int, is_due: bool) -> None:
    strands = Strands(8)
    first = strands.delta(said("One."))
    strands.delta(said("x" * more, "b"))
    assert strands.said_since(first) == more
    assert (first in strands.take_due()) is is_due


def test_other_choices_say_nothing_of_a_pause() -> None:
    strands = Strands(8)
    first = strands.delta(said("One."))
    strands.delta(said("x" * 20, choice=1))
    assert strands.said_since(first) == 0
    assert first not in strands.take_due()


def test_a_whole_text_repeats_what_came_in_deltas_or_begins_another() -> None:
    strands = Strands(None)
    grown = strands.delta(said("One."))
    assert strands.whole(said("One.", whole=True)) == (grown, 0)
    assert grown.closed
    other, at = strands.whole(said("Two.", whole=True))
    assert other is not grown
    assert strands.whole(said("Two.", whole=True)) == (other, at)
    assert strands.whole(said("Three.", whole=True)) == (other, len("Two."))
    assert other.waiting() == "Two.Three."
    assert strands.begun == 3


def test_what_repeats_all_so_far_adds_what_is_new() -> None:
    strands = Strands(None)
    told = [strands.whole(said(text, whole=True)) for text in ("One.", "One. Two.", "One. Two. Three.")]
    assert {start for _, start in told} == {0}
    assert told[0][0].waiting() == "One. Two. Three."


def test_the_parts_of_one_content_list_are_one_text() -> None:
    strands = Strands(None)

    def part(text: str, number: int, *, whole: bool = False) -> EventText:
        path = ("output", 0, "content", number, "text")
        return EventText("assistant", path, path, text, whole, 0)

    strand = strands.delta(part("a gre", 0))
    assert strands.delta(part("na", 1)) is strand
    assert strands.delta(part("de", 1)) is strand
    assert strand.waiting() == "a grenade"
    assert strands.whole(part("nade", 1, whole=True)) == (strand, len("a gre"))
    strands.close(("output", 0))
    assert strand.closed


def test_a_choice_that_is_dropped_is_due_no_more() -> None:
    strands = Strands(4)
    strands.delta(said("Long enough."))
    strands.delta(said("Long enough.", choice=1))
    strands.drop(0)
    assert [strand.choice for strand in strands.take_due()] == [1]


def test_what_was_ruled_on_is_not_due_when_it_ends() -> None:
    strands = Strands(None)
    strand = strands.delta(said("One."))
    strands.ruled_on(strand)
    strands.close(())
    assert not strands.is_due()


def block(text: str, number: int) -> EventText:
    path = ("content", number, "text")
    return EventText("assistant", path, path, text, False, 0)


def test_a_text_ends_with_its_message_and_not_with_a_block_of_it() -> None:
    strands = Strands(8)
    strand = strands.delta(block("key AKI", 0))
    strands.close(("content", 0))
    due = [strands.is_due()]
    assert strands.delta(block("A42", 2)) is strand
    due.append(strands.is_due())
    strands.close(("content", 2))
    closed = [strand.closed]
    strands.close(())
    assert due == [False, True]
    assert [*closed, strand.closed] == [False, True]


def test_a_part_that_came_whole_may_go_on_in_the_next_and_waits_for_as_much_of_others() -> None:
    strands = Strands(8)
    thoughts = ("content", 0, "thinking")
    strands.delta(EventText("reasoning", thoughts, thoughts, "x" * 20, False, 0))
    strands.take_due()
    strand, _ = strands.whole(block("key AKI", 1)._replace(whole=True))
    assert not strand.closed
    assert strands.said_since(strand) == 0
    assert strand not in strands.take_due()
    strands.delta(EventText("reasoning", thoughts, thoughts, "x" * 8, False, 0))
    assert strand in strands.take_due()
