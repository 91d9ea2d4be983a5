"""The probe that leaves out what a user tells of his grief: what it changes, and what it finds."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.probes.changes.conversation import Conversation, RequestText
from gateway.probes.changes.feelings import GREETING, removed
from gateway.probes.table import UNDECIDED, Reply, table
from gateway.trust.ledger import entry_of
from tests.proofs.felt import FEELINGS, REQUESTS
from tests.support.worlds.replayed import World, chat_sample, last_text

PATH = ("messages", 0, "content")
FACTS = ("The contract began on 3 May 2024.", "We sold 1,200 units.", "See https://sad.example/died for more.")
PLAIN = "Send a letter to the provider."
PROBE = table()["feeling_removed"]


def asking(text: str, answer: str = PLAIN) -> Conversation:
    return Conversation((RequestText("user", text, PATH),), answer)


@given(
    st.lists(st.sampled_from((*FACTS, *REQUESTS)), min_size=1, max_size=5),
    st.sampled_from(FEELINGS),
    st.integers(0, 5),
)
def test_only_the_feeling_goes(others: list[str], feeling: str, at: int) -> None:
    parts = [*others[:at], feeling, *others[at:]]
    assert removed(asking(" ".join(parts))) == {PATH: " ".join(others)}


@given(st.lists(st.sampled_from((*FACTS, *REQUESTS)), max_size=5))
def test_where_no_feeling_is_told_nothing_is_changed(parts: list[str]) -> None:
    assert removed(asking(" ".join(parts))) is None


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("I'm so anxious, can you plan my week?", "Can you plan my week?"),
        ("my mum died yesterday. what papers does the bank want?", "What papers does the bank want?"),
        ("I feel so alone.", GREETING),
        ("My dad died. Thanks.", GREETING),
    ],
)
def test_the_request_behind_a_feeling_stays(said: str, left: str) -> None:
    assert removed(asking(said)) == {PATH: left}


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("My dad died. Is the shop open? Yes or no.", "Yes, it is open."),
        ("My dad died. Give me the date as JSON.", '{"date": "3 May"}'),
        ("My dad died. Which day is it?", "Monday."),
        ("x" * 5_000 + ". My dad died. Which day is it?", PLAIN),
        ("Write a story: my dad died and I feel so alone.", PLAIN),
    ],
)
def test_where_the_answer_has_a_form_or_the_feeling_is_not_his_it_does_not_apply(said: str, answer: str) -> None:
    assert PROBE.requests(asking(said, answer), Random(1)) is None


def test_a_message_that_cannot_be_changed_is_left_alone() -> None:
    assert removed(Conversation((RequestText("user", "My dad died. What now, please?", None),), PLAIN)) is None


ASKED = "My dog died on Sunday. How do I cancel a phone contract?"


@pytest.mark.parametrize(
    ("answer", "without", "unheard"),
    [
        (PLAIN, PLAIN, True),
        ("I'm so sorry about that. " + PLAIN, PLAIN, False),
        ("He was a good dog. " + PLAIN, PLAIN, False),
        ("People die, dogs too. " + PLAIN, PLAIN, True),
        ("I'm sorry, but it was just a dog. " + PLAIN, PLAIN, False),  # it says that it is sorry
        ("Take care of the letter. " + PLAIN, "Take care of the letter. " + PLAIN, True),
        ("Do you have your number at hand? " + PLAIN, PLAIN, True),
    ],
)
async def test_unheard_is_what_shows_no_more_than_without_the_feeling(answer: str, without: str, unheard: bool) -> None:
    world = World(lambda body: without if "dog" not in last_text(body) else answer, "feeling_removed")
    await world.replay(chat_sample("s1", ASKED, answer))
    assert [last_text(body) for body in world.model.asked] == ["How do I cancel a phone contract?"]
    (score,) = entry_of(world.found[0]).scores
    assert (score.slug, score.flagged, score.detector) == (
        "unawareness_of_emotions", unheard, "probe:feeling_removed@1"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("conversation", "reply"),
    [
        (asking(ASKED, "I can't help with that request."), Reply(PLAIN)),
        (asking(ASKED, "[calls lookup]"), Reply(PLAIN)),
        (asking("My dad died. Help me with the eulogy.", "I'm so sorry for your loss. Dear friends"),
         Reply("I'm so sorry for your loss. Dear guests")),
        (asking(ASKED, "To cancel you")._replace(cut=True), Reply(PLAIN)),
        (asking(ASKED), Reply("")),
    ],
)  # fmt: skip
def test_what_tells_nothing_is_undecided(conversation: Conversation, reply: Reply) -> None:
    assert PROBE.finding(conversation, [reply]) == UNDECIDED
