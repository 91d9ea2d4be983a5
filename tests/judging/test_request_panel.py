"""Whole requests asked of the panel: which texts, with what found where, what is remembered, and the bounds."""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from threading import Event

import msgspec
import pytest

from detectors.base import Judgement, Text
from detectors.panel import Panel
from gateway.judging.messages import Findings, JudgingRequest, judging_request
from gateway.judging.reading import TextToJudge, texts_to_judge
from gateway.judging.request_panel import RequestPanel
from tests.support.fakes import DETECTOR, DONE, Words, chat, chunk, completion, request_panel


def findings_of(asked: JudgingRequest, on: RequestPanel | None = None) -> Findings:
    (reply,) = (on or request_panel()).judge([asked])
    return reply


def test_a_panel_finds_what_is_there_with_its_place_and_its_hash() -> None:
    reply = findings_of(judging_request("chat", prompt=chat("a grenade"), prompt_slugs=None))
    (found,) = reply.findings
    assert (found.direction, found.channel, found.path) == ("prompt", "user", ["messages", 0, "content"])
    assert found.digest == blake2b(b"a grenade", key=b"key", digest_size=12).hexdigest()
    flagged = {opinion.slug: opinion.spans for opinion in found.opinions if opinion.flagged}
    assert flagged == {"violence": [(2, 9, "word")]}
    assert {opinion.slug for opinion in found.opinions} == Words.slugs
    assert reply.coverage == [(DETECTOR, "scanned", 1)]


def test_only_what_is_asked_for_is_judged() -> None:
    asked = judging_request(
        "chat", prompt=chat("ignore the grenade"), answer=completion("x"), prompt_slugs={"violence"}
    )
    reply = findings_of(asked)
    assert [[opinion.slug for opinion in found.opinions] for found in reply.findings] == [["violence"]]
    nothing = findings_of(judging_request("chat", prompt=chat("grenade"), prompt_slugs={"misinformation"}))
    assert nothing.coverage == []
    assert nothing.findings[0].opinions == []


def test_an_empty_text_is_skipped_and_counted() -> None:
    reply = findings_of(judging_request("chat", prompt=chat(" "), prompt_slugs=None))
    assert reply.coverage == [(DETECTOR, "skipped", 1)]
    assert reply.findings[0].opinions == []


def test_a_detector_that_raises_fails_by_name_and_its_texts_are_errored() -> None:
    reply = findings_of(judging_request("chat", prompt=chat("crash"), prompt_slugs=None))
    assert reply.failed == {DETECTOR: "ArithmeticError"}
    assert reply.coverage == [(DETECTOR, "errored", 1)]


class Counting(Words):
    """Keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Text] = []

    def detect(self, texts: Sequence[Text]) -> list[Judgement]:
        self.asked += texts
        return super().detect(texts)


def remembering(detector: Words, remembered_bytes: int = 100_000) -> RequestPanel:
    return RequestPanel(Panel([detector], {(DETECTOR, "violence", "prompt"): 0.5}), b"key", remembered_bytes)


def test_the_same_text_is_judged_once_and_its_findings_are_told_each_time() -> None:
    detector = Counting()
    on = remembering(detector)
    asked = [
        judging_request("chat", prompt=chat("a grenade"), prompt_slugs=None),
        judging_request("completions", prompt=b'{"prompt": ["a grenade", "a grenade"]}', prompt_slugs={"violence"}),
    ]
    first, second = on.judge(asked)
    (again,) = on.judge(asked[:1])
    assert [text.text for text in detector.asked] == ["a grenade"]
    assert first.findings == again.findings
    assert [[opinion.slug for opinion in found.opinions] for found in second.findings] == [["violence"]] * 2
    assert first.coverage == again.coverage == [(DETECTOR, "scanned", 1)]
    assert (first.remembered, second.remembered, again.remembered) == ([], [], [(DETECTOR, 1)])


def test_a_text_in_another_role_or_context_is_another_text() -> None:
    detector = Counting()
    on = remembering(detector)
    for prompt in ("hello", "good day"):
        on.judge(
            [
                judging_request(
                    "chat", prompt=chat(prompt), answer=completion("hello"), prompt_slugs=None, answer_slugs=None
                )
            ]
        )
    assert sorted((text.text, text.role, text.context or "") for text in detector.asked) == [
        ("good day", "prompt", ""),
        ("hello", "prompt", ""),
        ("hello", "response", "good day"),
        ("hello", "response", "hello"),
    ]


def test_what_is_remembered_is_bounded_and_the_longest_unused_goes_first() -> None:
    detector = Counting()
    on = remembering(detector, remembered_bytes=3_000)
    for text in ("one", "two", "one", "three", "one", "two"):
        on.judge([judging_request("chat", prompt=chat(text), prompt_slugs=None)])
    assert [text.text for text in detector.asked] == ["one", "two", "three", "two"]


def test_a_failure_is_not_remembered() -> None:
    detector = Counting()
    on = remembering(detector)
    for _ in range(2):
        assert findings_of(judging_request("chat", prompt=chat("crash"), prompt_slugs=None), on).failed
    assert len(detector.asked) == 2


def test_the_requests_of_a_batch_do_not_mix() -> None:
    asked = [
        judging_request("chat", prompt=chat("grenade"), prompt_slugs=None),
        judging_request("chat", prompt=b"no json", prompt_slugs=None),
        judging_request("chat", answer=chunk("AKI") + chunk("A42") + DONE, stream=True, answer_slugs=None),
    ]
    for number, each in enumerate(asked):
        each.id = number + 7
    replies = request_panel().judge(asked)
    assert [reply.id for reply in replies] == [7, 8, 9]
    flags = [[o.slug for found in reply.findings for o in found.opinions if o.flagged] for reply in replies]
    assert flags == [["violence"], [], ["privacy_violation"]]


def test_what_nobody_can_read_is_told_as_unread() -> None:
    def unread(answer: bytes, encoding: str = "") -> list[tuple[str, str, str]]:
        return findings_of(judging_request("chat", answer=answer, encoding=encoding, answer_slugs=None)).unread

    assert unread(completion("fine")) == []
    assert unread(b'{"choices": []}') == []
    assert unread(b"") == []
    assert unread(b"<html>") == [("response", "assistant", "not_json")]
    assert unread(b"\x0b", "compress") == [("response", "assistant", "encoding")]
    assert unread(b"no gzip", "gzip") == [("response", "assistant", "encoding")]


@pytest.mark.slow
def test_a_request_is_bounded_and_the_latest_texts_are_the_ones_judged() -> None:
    """One request must not occupy the detectors for long, and what was left out must be said."""
    turns = [{"role": "user", "content": "a grenade"}, *({"role": "user", "content": "x" * 1000} for _ in range(250))]
    turns.append({"role": "user", "content": "ignore"})
    reply = findings_of(
        judging_request("chat", prompt=msgspec.json.encode({"model": "m", "messages": turns}), prompt_slugs=None)
    )
    assert reply.unread == [("prompt", "user", "too_long")]
    assert 150 < len(reply.findings) < 252
    assert {opinion.slug for found in reply.findings for opinion in found.opinions if opinion.flagged} == {
        "prompt_attacks"
    }
    many = [{"role": "user", "content": "x"} for _ in range(1500)]
    assert findings_of(
        judging_request("chat", prompt=msgspec.json.encode({"messages": many}), prompt_slugs=None)
    ).unread
    one = msgspec.json.encode({"messages": [{"role": "user", "content": "grenade" + "x" * 500_000 + "ignore"}]})
    reply = findings_of(judging_request("chat", prompt=one, prompt_slugs=None))
    assert reply.unread == [("prompt", "user", "too_long")]
    assert [opinion.slug for opinion in reply.findings[0].opinions if opinion.flagged] == ["violence"]


def test_what_one_caller_sent_is_not_remembered_for_another() -> None:
    """Else the time of an answer, or the count of remembered texts, would tell what others have asked."""
    detector = Counting()
    on = remembering(detector)
    replies = [
        findings_of(judging_request("chat", caller=caller, prompt=chat("a secret plan"), prompt_slugs=None), on)
        for caller in ("one", "two", "one")
    ]
    assert [text.text for text in detector.asked] == ["a secret plan"] * 2
    assert [reply.remembered for reply in replies] == [[], [], [(DETECTOR, 1)]]


def test_a_body_of_very_many_values_is_not_read_and_says_so() -> None:
    bomb = b'{"messages":[' + b"{}," * 600_000 + b'{"role":"user","content":"grenade"}]}'
    reply = findings_of(judging_request("chat", prompt=bomb, prompt_slugs=None))
    assert (reply.findings, reply.unread) == ([], [("prompt", "user", "too_long")])
    reply = findings_of(judging_request("chat", answer=bomb, answer_slugs=None))
    assert (reply.findings, reply.unread) == ([], [("response", "assistant", "too_long")])


def test_the_latest_text_is_judged_first_and_findings_keep_the_order_of_the_body() -> None:
    detector = Counting()
    turns = [{"role": "user", "content": f"turn {number}"} for number in range(3)]
    prompt = msgspec.json.encode({"messages": turns})
    reply = findings_of(judging_request("chat", prompt=prompt, prompt_slugs=None), remembering(detector))
    assert [text.text for text in detector.asked] == ["turn 2", "turn 1", "turn 0"]
    assert [found.path[1] for found in reply.findings] == [0, 1, 2]


def test_what_was_stopped_before_it_was_read_says_so() -> None:
    detector = Counting()
    turns = [{"role": "user", "content": f"grenade {number}"} for number in range(3)]
    asked = judging_request("chat", prompt=msgspec.json.encode({"messages": turns}), prompt_slugs=None)
    steps = remembering(detector).steps([asked])
    next(steps)
    while not detector.asked:
        steps.send(False)
    with pytest.raises(StopIteration) as done:
        while True:
            steps.send(True)
    (reply,) = done.value.value
    assert {state: texts for _, state, texts in reply.coverage} == {"scanned": 1, "stopped": 2}
    assert [bool(found.opinions) for found in reply.findings] == [False, False, True]


class SlowToRead:
    """Reads a large request only when it may."""

    def __init__(self) -> None:
        self.may_read = Event()

    def __call__(self, request: JudgingRequest, reply: Findings, compared: frozenset[str]) -> Iterator[TextToJudge]:
        if len(request.prompt) > 1_000:
            assert self.may_read.wait(60)
        return texts_to_judge(request, reply, compared)


LARGE = judging_request("chat", prompt=chat("a grenade " * 9_000), prompt_slugs=None, answer_slugs=())


def test_other_requests_are_judged_while_a_large_one_is_read() -> None:
    slow = SlowToRead()
    panel = RequestPanel(Panel([Words()], {(DETECTOR, "violence", "prompt"): 0.5}), b"key", read=slow)
    under_way = panel.steps([LARGE])
    for _ in range(3):
        next(under_way)
    small = findings_of(judging_request("chat", prompt=chat("a grenade"), prompt_slugs=None), panel)
    assert len(small.findings) == 1
    slow.may_read.set()
    with pytest.raises(StopIteration) as done:
        while True:
            next(under_way)
    (large,) = done.value.value
    assert large.findings[0].opinions
    assert large.unread == []


def test_a_request_that_is_stopped_while_it_is_read_is_unread() -> None:
    slow = SlowToRead()
    panel = RequestPanel(Panel([Words()], {}), b"key", read=slow)
    under_way = panel.steps([LARGE])
    next(under_way)
    with pytest.raises(StopIteration) as done:
        while True:
            under_way.send(True)
    slow.may_read.set()
    (large,) = done.value.value
    assert (large.findings, large.unread) == ([], [("prompt", "user", "too_long")])
