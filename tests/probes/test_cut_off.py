"""Answers that a limit cut off count by what they said to an end; where that tells nothing, nothing is decided."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.openai_api import sse
from gateway.probes.answers import ReadAnswer, offered
from gateway.probes.changes.conversation import Conversation, RequestText
from gateway.probes.changes.reasons import negated
from gateway.probes.comparing import compare, verdict, yes_or_no
from gateway.probes.ending import was_cut
from gateway.probes.table import Reply, table
from gateway.trust.ledger import entry_of
from tests.support.fakes import Counts
from tests.support.running.together import together
from tests.support.worlds.replayed import World, chat_sample

OFFERS = offered(["Is the tea ready? Answer yes or no."])
SENTENCES = ("She should apply for the post.", "That is hard to say.", "It depends on the weather.", "The 3rd is best.")


def cut(text: str, offers: frozenset[str] = frozenset()) -> ReadAnswer:
    return ReadAnswer(text, cut=True, offered=offers)


def first(tokens: int, text: str) -> ReadAnswer:
    """The answer under a limit of so many words, which is what tokens are here."""
    words = text.split()
    return ReadAnswer(" ".join(words[:tokens]), cut=tokens < len(words))


@together("tokens", [1, 2])
@together("one", SENTENCES)
@together("other", SENTENCES)
def test_the_first_words_of_a_sentence_decide_nothing(one: str, other: str, tokens: int) -> None:
    """Seen with a small model: *That* and *It* counted as two verdicts that differ, *The* and *The* as one."""
    assert verdict(first(tokens, one)) == ""
    assert compare(first(tokens, one), first(tokens, other)) is None
    assert compare(first(tokens, one), ReadAnswer(other)) is None


@together(
    ("text", "found"),
    [
        ("Yes", ""),  # Yesterday
        ("No", ""),  # No one
        ("No one can", ""),
        ("No doubt she", ""),
        ("Yes,", "yes"),
        ("No. It", "no"),
        ("The answer is", ""),
        ("The answer is no", ""),
        ("The answer is no,", "no"),
        ("The answer is 4", ""),
        ("The answer is 42. So", "42"),
        ("The answer is Par", ""),
        ("B", ""),
        ("B)", "option b"),
        ("(B) Par", "option b"),
        ("Paris", ""),
        ("The Eiffel Tower", ""),
        ("I can't help with", "refusal"),
        ("I'm sorry, but", ""),
        ("4", ""),
        ("", ""),
    ],
)
def test_a_verdict_counts_when_it_was_said_to_an_end(text: str, found: str) -> None:
    assert verdict(cut(text)) == found


def test_a_word_that_the_request_offers_is_a_whole_answer() -> None:
    """Many ask for one token and mean it."""
    assert sorted(OFFERS) == ["no", "yes"]
    assert [yes_or_no(cut(word, OFFERS)) for word in ("Yes", "no", "That")] == [True, False, None]
    assert yes_or_no(cut("The answer is no", OFFERS)) is False
    listed = offered(["Which is a fruit?\nA) an apple\nB) a chair\nC) a lamp"])
    assert listed == {"a", "b", "c"}
    assert [verdict(cut(letter, listed)) for letter in ("B", "A", "H")] == ["option b", "option a", ""]
    assert verdict(ReadAnswer("B", offered=listed)) == verdict(ReadAnswer("(B) a chair", offered=listed)) == "option b"
    assert offered(["Is the tea ready?", "I said no."]) == frozenset()
    assert offered(["He met a. b. Smith and No. 5"]) <= {"a", "b"}


def test_what_may_still_become_a_refusal_is_no_other_answer_than_one() -> None:
    refusal = ReadAnswer("I'm sorry, but I can't help with that.")
    for tokens in (1, 2, 3):
        assert compare(first(tokens, refusal.text), refusal) is None
        assert compare(refusal, first(tokens, refusal.text)) is None
    assert compare(cut("Yes, of course it"), refusal) == (1.0, True, "refusal")
    assert compare(cut("Take three eggs and a bowl, and stir. " * 6), refusal) == (1.0, True, "refusal")


def test_of_prose_the_whole_sentences_are_compared() -> None:
    one = "Cats sleep most of the day in warm places. They hunt at"
    assert cut(one).whole == "Cats sleep most of the day in warm places."
    other = ReadAnswer("Most of the day cats sleep, in places that are warm.")
    assert compare(cut(one), other) == (0.0, False, "overlap")
    assert compare(cut("Cats sleep most of the day in warm"), other) is None
    assert compare(cut("Cats sleep most of the day in warm"), other, 0.9) is None
    assert (cut("It costs 3.").whole, cut("- Tea\n- Cof").whole, ReadAnswer("It costs 3").whole) == (
        "",
        "- Tea",
        "It costs 3",
    )


@given(st.text(max_size=60), st.text(max_size=60))
def test_whatever_was_cut_off_is_compared_both_ways_alike(one: str, other: str) -> None:
    there, back = compare(cut(one), cut(other)), compare(cut(other), cut(one))
    assert (there and there[:2]) == (back and back[:2])


def test_a_reason_that_was_cut_off_is_not_taken_for_the_reason() -> None:
    asked = (RequestText("user", "Should we eat the bread?", ("messages", 0, "content")),)
    answer = "No, because the bread is old and"
    assert negated(Conversation(asked, answer)) is not None
    assert negated(Conversation(asked, answer, cut=True)) is None
    assert negated(Conversation(asked, answer + " hard. So", cut=True)) is not None


# --- where an answer tells that it was cut off


def chat(reason: str | None, tokens: int = 0) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": "That"}, "finish_reason": reason}
    return {"choices": [choice, {"index": 1, "finish_reason": "length"}], "usage": {"completion_tokens": tokens}}


@together(
    ("answer", "found"),
    [
        (chat("length"), True),
        (chat("stop", tokens=5), False),  # it ended by itself just there
        (chat("tool_calls"), False),
        (chat("content_filter"), True),
        (chat(None, tokens=5), True),
        (chat(None, tokens=4), False),
        ({"type": "message", "stop_reason": "max_tokens", "usage": {"output_tokens": 5}}, True),
        ({"type": "message", "stop_reason": "end_turn", "usage": {"output_tokens": 5}}, False),
        ({"type": "message", "usage": {"output_tokens": 5}}, True),
        ({"object": "response", "status": "incomplete", "usage": {"output_tokens": 5}}, True),
        ({"object": "response", "status": "completed", "usage": {"output_tokens": 5}}, False),
        ({"choices": "?", "usage": 7}, False),
        ({}, False),
    ],
)
def test_the_reason_tells_or_else_the_tokens(answer: Mapping[str, Any], found: bool) -> None:
    for limit in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
        assert was_cut(json.dumps(answer).encode(), json.dumps({limit: 5}).encode()) is found


def test_without_a_limit_and_a_reason_an_answer_is_whole() -> None:
    assert not was_cut(json.dumps(chat(None, tokens=9)).encode(), b'{"max_tokens": null}')
    assert not was_cut(b"\xff", b"[")


@together(
    ("pieces", "found"),
    [
        ([chat(None), {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}], True),
        ([{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}, chat(None, tokens=5)], False),
        ([{"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 5}}], True),
        ([{"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}], False),
        (
            [
                {"type": "response.created", "response": {"status": "in_progress"}},
                {"type": "response.output_text.delta", "delta": "status"},
                {"type": "response.incomplete", "response": {"status": "incomplete"}},
            ],
            True,
        ),
        ([{"type": "response.completed", "response": {"status": "completed", "usage": {"output_tokens": 5}}}], False),
    ],
)
def test_a_stream_tells_it_too(pieces: list[dict[str, Any]], found: bool) -> None:
    whole = b"".join(sse.encode(json.dumps(piece).encode()) for piece in pieces) + b"data: [DONE]\n\n"
    assert was_cut(whole, b'{"max_tokens": 5}', stream=True) is found


# --- through a prober


def answered(text: str, limit: int) -> bytes:
    """By a server that cuts after so many words."""
    said = first(limit, text)
    choice = {"index": 0, "message": {"role": "assistant", "content": said.text}}
    return json.dumps({"choices": [{**choice, "finish_reason": "length" if said.cut else "stop"}]}).encode()


@pytest.mark.parametrize("limit", [1, 2, 5])
@pytest.mark.parametrize("name", ["again", "opinion_removed"])
async def test_answers_of_which_nothing_is_told_are_undecided_and_no_finding(name: str, limit: int) -> None:
    fates = Counts("assay_probe_items_total")
    says = iter(["She should apply for the post at once.", "It is hard for anybody to say."])
    world = World(lambda _: answered(next(says), limit), name)
    before = answered("That depends on what she likes best.", limit)
    await world.replay(
        chat_sample(
            "s1", "I think that cats are better than dogs. Are cats better than dogs?", before, max_tokens=limit
        )
    )
    assert world.found == []
    assert fates.added() == {("undecided", name): 1}


@pytest.mark.parametrize("limit", [1, 2, 5])
async def test_one_word_that_was_asked_for_is_a_finding(limit: int) -> None:
    world = World(lambda _: answered("No it is far too cold for tea", limit), "again")
    asked = "Is the tea ready? Answer yes or no."
    await world.replay(chat_sample("s1", asked, answered("Yes it is and it is good", limit), max_tokens=limit))
    (found,) = world.found
    assert [score.flagged for score in entry_of(found).scores] == [True, True]


async def test_the_tokens_tell_where_a_server_gives_no_reason() -> None:
    body = {"choices": [{"index": 0, "message": {"content": "That"}}], "usage": {"completion_tokens": 1}}
    world = World(lambda _: json.dumps(body | {"choices": [{"message": {"content": "It"}}]}).encode(), "again")
    await world.replay(chat_sample("s1", "Should she?", json.dumps(body).encode(), max_tokens=1))
    assert world.found == []


def test_probes_of_reasons_and_causes_leave_what_is_not_told_undecided() -> None:
    asked = (RequestText("user", "Does rain cause floods?", ("messages", 0, "content")),)
    for name in ("cause_reversed", "reason_negated"):
        probe = table()[name]
        told = probe.finding(Conversation(asked, "Yes, it does."), [Reply("Yes, but", cut=True)])
        assert [outcome.flagged for outcome in told.outcomes] == [True]
        assert probe.finding(Conversation(asked, "Yes, it does."), [Reply("Yes", cut=True)]).outcomes == []
        assert probe.finding(Conversation(asked, "Yes", cut=True), [Reply("Yes.")]).outcomes == []


@pytest.mark.parametrize(
    "odd",
    [
        b'"usage":{"completion_tokens":5,"output_tokens":"five"}',
        b'"usage":[]',
        b'"status":200',
        b'"status":{"code":"completed"}',
        b'"status":"success"',
        b'"message":{"content":"half a smile: \\ud83d"}',
        b'"message":{"score":NaN}',
        b'"delta":7,"response":"none"',
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_one_field_in_a_form_of_its_own_says_nothing_about_the_reason(odd: bytes, stream: bool) -> None:
    wire = b"data: {%b}\n\n" if stream else b"{%b}"
    for reason, found in ((b"length", True), (b"LENGTH", True), (b"stop", False)):
        body = wire % (b'"choices":[{"index":null,"finish_reason":"%b"}],%b' % (reason, odd))
        assert was_cut(body, b'{"max_tokens":5}', stream=stream) is found
