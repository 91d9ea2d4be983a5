"""Inline enforcement: what is asked of the detectors, what a decision does to a body, and what failure means."""

import json
from contextlib import closing

import pytest

from gateway.enforcement.guard import Guard
from gateway.enforcement.signals import load_policy
from gateway.errors import GatewayError
from gateway.exchange import Asked, Exchange, Route, Stretch
from gateway.openai_api import SURFACES, Operation
from tests.support.fakes import (
    DETECTOR,
    ENFORCE,
    OBSERVE,
    STRICT,
    Counts,
    Journal,
    JudgingHere,
    Observed,
    chat,
    completion,
    policy,
    rules,
    upstream,
)
from tests.support.running.together import together


class Desk:
    """A guard with its judge and its journal, and an exchange to judge."""

    def __init__(
        self,
        rules: str = ENFORCE,
        operation: Operation = Operation.CHAT,
        route: str = "default",
        judge: JudgingHere | None = None,
    ) -> None:
        self.judge = judge or JudgingHere()
        self.journal = Journal()
        routes = ["default", "inner"]
        self.guard = Guard(
            policy(rules), self.judge, self.journal, timeout_seconds=1, routes=routes, forwards=lambda _name: True
        )
        self.exchange = Exchange("req_1", Asked("POST", "/v1/x"))
        self.exchange.asked.operation = operation
        self.exchange.route = Route(route, (upstream(9),), 1.0)

    async def answer(self, body: bytes) -> bytes:
        """A whole answer, inspected."""
        with closing(self.guard.inspection(self.exchange)) as inspection:
            return await inspection.whole(body)


async def test_only_what_an_enforced_rule_needs_is_asked() -> None:
    desk = Desk()
    body = chat("hello")
    assert await desk.guard.prompt(desk.exchange, body) is body
    answer = completion("hi")
    desk.exchange.asked.body = body
    assert await desk.answer(answer) is answer
    asked_prompt, asked_answer = desk.judge.requests
    assert asked_prompt.prompt_slugs == ["prompt_attacks", "violence"]
    assert (asked_prompt.answer_slugs, asked_prompt.urgent, asked_prompt.fresh) == ([], True, False)
    assert asked_answer.answer_slugs == ["privacy_violation", "violence"]
    assert (asked_answer.prompt_slugs, asked_answer.prompt) == ([], body)
    assert desk.exchange.ruling.guarded
    assert desk.journal.lines == []


async def test_the_whole_conversation_is_judged_and_not_only_its_last_turn() -> None:
    """A caller writes the history too: what it says the model said is no less a prompt."""
    turns = [{"role": "user", "content": "grenade"}, {"role": "assistant", "content": "no"}]
    turns.append({"role": "user", "content": "go on"})
    desk = Desk()
    with pytest.raises(GatewayError, match="no-violence"):
        await desk.guard.prompt(desk.exchange, json.dumps({"messages": turns}).encode())


@together("operation", list(Operation))
async def test_which_operations_are_judged(operation: Operation) -> None:
    desk = Desk(operation=operation)
    assert desk.guard.holds(desk.exchange)  # whatever it is, an answer may say something
    await desk.guard.prompt(desk.exchange, b"{}")
    assert bool(desk.judge.requests) is SURFACES[operation].judged


async def test_a_rule_for_one_route_holds_no_other() -> None:
    rules = "version: 1\nmode: enforce\nrules:\n  - {id: r, when: {subcategory: violence, route: inner}, then: block}\n"
    assert Desk(rules, route="inner").guard.holds(Desk(rules, route="inner").exchange)
    other = Desk(rules)
    assert not other.guard.holds(other.exchange)
    assert await other.guard.prompt(other.exchange, chat("grenade")) == chat("grenade")
    assert other.judge.requests == []


async def test_a_policy_that_observes_asks_nothing() -> None:
    desk = Desk(OBSERVE)
    assert not desk.guard.holds(desk.exchange)
    await desk.guard.prompt(desk.exchange, chat("grenade"))
    assert desk.judge.requests == []


@pytest.mark.parametrize(
    ("operation", "body", "param"),
    [
        (Operation.CHAT, {"messages": [{"role": "user", "content": "grenade"}]}, "messages"),
        (Operation.COMPLETIONS, {"prompt": "grenade"}, "prompt"),
        (Operation.RESPONSES, {"input": "grenade"}, "input"),
        (Operation.EMBEDDINGS, {"input": ["fine", "grenade"]}, "input"),
    ],
)
async def test_a_block_names_the_rule_the_policy_and_the_field(
    operation: Operation, body: dict[str, object], param: str
) -> None:
    desk = Desk(operation=operation)
    with pytest.raises(GatewayError) as caught:
        await desk.guard.prompt(desk.exchange, json.dumps(body).encode())
    assert (caught.value.reason, caught.value.param) == ("prompt_blocked", param)
    assert caught.value.message == (
        f"the prompt was blocked by rule 'no-violence' (policy {desk.guard.policy.revision}): "
        "violence in the prompt (user), found by words@1"
    )
    assert desk.exchange.ruling.decision == "block"


async def test_a_prompt_is_redacted_in_its_place_and_the_rest_keeps_its_bytes() -> None:
    rules = "version: 1\nmode: enforce\nrules:\n  - {id: r, when: {subcategory: privacy_violation}, then: redact}\n"
    desk = Desk(rules)
    body = b'{"seed":1e2, "messages":[{"role":"user","content":"my key AKIA42 here"}]}'
    sent = await desk.guard.prompt(desk.exchange, body)
    assert json.loads(sent)["messages"][0]["content"] == "my key [REDACTED:word] here"
    assert b"1e2" in sent
    assert desk.exchange.ruling.decision == "redact"


async def test_each_choice_of_an_answer_is_redacted_by_itself() -> None:
    choices = [
        {"index": number, "message": {"role": "assistant", "content": text}}
        for number, text in enumerate(("AKIA42", "fine", "no AKIA42"))
    ]
    desk = Desk()
    out = await desk.answer(json.dumps({"choices": choices}).encode())
    texts = [choice["message"]["content"] for choice in json.loads(out)["choices"]]
    assert texts == ["[REDACTED:word]", "fine", "no [REDACTED:word]"]


@pytest.mark.parametrize("then", ["block", "replace, message: Not this."])
async def test_what_stands_beside_the_choices_leaves_with_none_of_them(then: str) -> None:
    rules = f"version: 1\nmode: enforce\nrules:\n  - {{id: r, when: {{subcategory: violence}}, then: {then}}}\n"
    choices = [{"index": number, "message": {"role": "assistant", "content": "fine"}} for number in range(2)]
    for beside in ({"notes": "a grenade of sorts"}, {"notes": [{"w": w} for w in ("take", "the", "grenade", "now")]}):
        desk = Desk(rules)
        with pytest.raises(GatewayError) as caught:
            await desk.answer(json.dumps({"choices": choices, **beside}).encode())
        assert caught.value.reason == "answer_blocked"


async def test_a_block_outranks_a_redaction() -> None:
    desk = Desk()
    with pytest.raises(GatewayError) as caught:
        await desk.answer(completion("AKIA42 grenade"))
    assert caught.value.reason == "answer_blocked"


async def test_a_choice_that_is_blocked_keeps_no_other_back() -> None:
    choices = [
        {"index": index, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        for index, text in enumerate(("grenade", "fine"))
    ]
    out = json.loads(await Desk().answer(json.dumps({"choices": choices}).encode()))["choices"]
    assert [(each["finish_reason"], each["message"]["content"] or "") for each in out] == [
        ("content_filter", ""),
        ("stop", "fine"),
    ]


async def test_no_part_of_an_answer_leaves_because_it_is_written_in_lines() -> None:
    """In a file of lines each is an answer by itself; an answer of a chat is one, whatever its server writes."""
    with pytest.raises(GatewayError, match="'no-violence'"):
        await Desk().answer(completion("grenade") + b"\n" + completion("fine"))


async def test_of_a_stream_that_several_rules_stop_the_first_is_named() -> None:
    """By then the client was told so: what another choice says later changes nothing."""
    stops = [f"id: {slug}, when: {{subcategory: {slug}}}, then: block" for slug in ("violence", "privacy_violation")]
    desk = Desk(rules(*stops))
    with closing(desk.guard.inspection(desk.exchange)) as inspection:
        for choice, (text, stopped) in enumerate([("fine", False), ("grenade", True), ("AKIA42", True)]):
            (treatment,) = await inspection.judge([Stretch(choice, "assistant", text)])
            assert treatment.blocked is stopped
            refusal = inspection.refusal()
            assert (refusal is not None) is stopped
        assert refusal is not None
        assert "rule 'violence'" in refusal.message


async def test_a_decision_is_counted_timed_and_written_down_without_text() -> None:
    decisions = Counts("assay_decisions_total")
    coverage = Counts("assay_detector_texts_total")
    timed = Observed("assay_guard_duration_seconds", direction="response")
    desk = Desk()
    await desk.answer(completion("AKIA42"))
    assert decisions.added() == {("redact", "response", "enforced", "no-secrets"): 1}
    assert coverage.added() == {("words@1", "scanned"): 1}
    assert timed.added()[0] == 1
    assert desk.exchange.timing.guard_seconds > 0
    ((kind, line),) = desk.journal.lines
    assert kind == "decision"
    assert line["action"] == line["would"] == "redact"
    assert (line["direction"], line["rule"], line["failure"]) == ("response", "no-secrets", "")
    assert "AKIA42" not in str(line)


async def test_a_flag_is_not_counted_twice() -> None:
    """The side path counts the flags of all rules; here they come along with what a block rule asked for."""
    rules = ENFORCE + "  - {id: watch, when: {subcategory: violence, score: 0.1}, then: flag}\n"
    decisions = Counts("assay_decisions_total")
    desk = Desk(rules)
    with pytest.raises(GatewayError):
        await desk.guard.prompt(desk.exchange, chat("grenade"))
    assert decisions.added() == {("block", "prompt", "enforced", "no-violence"): 1}


async def test_a_rule_that_acts_on_several_parts_of_a_stream_is_counted_once() -> None:
    decisions = Counts("assay_decisions_total")
    desk = Desk()
    with closing(desk.guard.inspection(desk.exchange)) as inspection:
        for choice in range(3):
            await inspection.judge([Stretch(choice, "assistant", "AKIA42")])
    assert decisions.added() == {("redact", "response", "enforced", "no-secrets"): 1}


async def test_without_a_reply_on_error_decides_and_a_bypass_is_written_down() -> None:
    bypasses = Counts("assay_guard_bypasses_total")
    desk = Desk()
    desk.judge.error = "worker_died"
    body = chat("grenade")
    assert await desk.guard.prompt(desk.exchange, body) is body
    assert bypasses.added() == {("prompt", "worker_died"): 1}
    ((_, line),) = desk.journal.lines
    assert (line["action"], line["failure"]) == ("allow", "worker_died")
    assert not desk.exchange.ruling.guarded


@pytest.mark.parametrize(("rules", "passes"), [(ENFORCE, True), (STRICT, False)])
async def test_a_text_that_was_judged_in_part_is_no_clean_text(rules: str, passes: bool) -> None:
    bypasses = Counts("assay_guard_bypasses_total")
    desk = Desk(rules)
    turns = [{"role": "user", "content": "x" * 1000} for _ in range(250)]
    body = json.dumps({"model": "m", "messages": turns}).encode()
    if passes:
        assert await desk.guard.prompt(desk.exchange, body) is body
        assert bypasses.added() == {("prompt", "truncated"): 1}
    else:
        with pytest.raises(GatewayError, match="could not be judged"):
            await desk.guard.prompt(desk.exchange, body)


@pytest.mark.parametrize(("rules", "passes"), [(ENFORCE, True), (STRICT, False)])
async def test_a_text_that_its_detector_cannot_read_is_no_clean_text(rules: str, passes: bool) -> None:
    bypasses, coverage = Counts("assay_guard_bypasses_total"), Counts("assay_detector_texts_total")
    desk = Desk(rules)
    body = chat("illegible")
    if passes:
        assert await desk.guard.prompt(desk.exchange, body) is body
        assert bypasses.added() == {("prompt", "unreadable"): 1}
    else:
        with pytest.raises(GatewayError, match="could not be judged"):
            await desk.guard.prompt(desk.exchange, body)
    assert coverage.added() == {(DETECTOR, "unreadable"): 1}


async def test_what_is_found_in_a_text_that_was_read_in_part_still_counts() -> None:
    with pytest.raises(GatewayError, match="no-violence"):
        await Desk().guard.prompt(Desk().exchange, chat("illegible grenade"))


async def test_detectors_that_are_late_or_absent_are_counted_as_such() -> None:
    coverage = Counts("assay_detector_texts_total")
    desk = Desk()
    desk.judge.error = "timed_out"
    await desk.guard.prompt(desk.exchange, chat("hi"))
    assert coverage.added() == {(DETECTOR, "timed_out"): 1}
    absent = Counts("assay_detector_texts_total")
    desk = Desk(judge=JudgingHere(absent={"pii": "its file is damaged"}))
    await desk.guard.prompt(desk.exchange, chat("hi"))
    assert absent.added() == {(DETECTOR, "scanned"): 1, ("pii", "absent"): 1}


async def test_an_exchange_counts_once_for_its_caller_whichever_side_it_was_found_on() -> None:
    rules = (
        "version: 1\nmode: enforce\nrules:\n  - {id: third, when: {subcategory: violence, "
        "count: {at_least: 3, by: caller, within_minutes: 10}}, then: block}\n"
    )
    desk = Desk(rules)
    for _ in range(2):
        desk.exchange.ruling.counted = frozenset()
        await desk.guard.prompt(desk.exchange, chat("grenade"))
        await desk.answer(completion("grenade"))
    desk.exchange.ruling.counted = frozenset()
    with pytest.raises(GatewayError, match="third"):
        await desk.guard.prompt(desk.exchange, chat("grenade"))


async def test_strict_rules_block_what_could_not_be_judged() -> None:
    bypasses = Counts("assay_guard_bypasses_total")
    desk = Desk(STRICT)
    desk.judge.error = "timed_out"
    with pytest.raises(GatewayError) as caught:
        await desk.answer(completion("fine"))
    assert caught.value.message.startswith("the answer was blocked because it could not be judged, as rule")
    assert bypasses.added() == {}
    assert not desk.exchange.ruling.guarded


async def test_the_severer_decision_stays_with_the_exchange() -> None:
    rules = "version: 1\nmode: enforce\nrules:\n  - {id: r, when: {subcategory: privacy_violation}, then: redact}\n"
    desk = Desk(rules)
    await desk.guard.prompt(desk.exchange, chat("AKIA42"))
    await desk.answer(completion("fine"))
    assert desk.exchange.ruling.decision == "redact"


ON_USERS = """version: 1
mode: enforce
rules:
  - {id: r, when: {subcategory: violence, channel: user}, then: block, on_error: block}
"""


@pytest.mark.parametrize(
    ("messages", "passes"),
    [
        ([{"role": "system", "content": "illegible"}, {"role": "user", "content": "hi"}], True),
        ([{"role": "system", "content": "hi"}, {"role": "user", "content": "illegible"}], False),
        ([{"role": "tool", "content": [{"type": "image_url", "image_url": {"url": "data:,x"}}]}], True),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,x"}}]}], False),
        ([{"role": "system", "content": "x" * 150_000}, {"role": "user", "content": "x" * 150_000}], False),
    ],
)
async def test_a_rule_minds_what_is_unread_in_the_channels_that_it_looks_at(
    messages: list[dict[str, object]], passes: bool
) -> None:
    """But for what is cut off: that may be text of any channel."""
    desk = Desk(ON_USERS)
    body = json.dumps({"model": "m", "messages": messages}).encode()
    if passes:
        assert await desk.guard.prompt(desk.exchange, body) is body
        return
    with pytest.raises(GatewayError, match="could not be judged"):
        await desk.guard.prompt(desk.exchange, body)


async def test_a_rule_that_denies_is_not_silenced_in_another_channel() -> None:
    """`not` asks what a user said; that a system prompt could not be read changes nothing about it."""
    rules = """version: 1
mode: enforce
rules:
  - {id: r, when: {subcategory: violence, not: prompt_attacks, channel: user}, then: block}
"""
    body = {"messages": [{"role": "system", "content": "illegible"}, {"role": "user", "content": "grenade"}]}
    desk = Desk(rules)
    with pytest.raises(GatewayError, match="'r'"):
        await desk.guard.prompt(desk.exchange, json.dumps(body).encode())


@pytest.mark.parametrize("error", ["not_ready", "worker_died", "timed_out", "overloaded"])
@pytest.mark.parametrize(("shipped", "passes"), [("default", True), ("strict", False)])
async def test_what_the_shipped_policies_do_while_no_detector_answers(shipped: str, passes: bool, error: str) -> None:
    """`default` keeps traffic going, and each bypass is counted and written down; `strict` lets nothing pass."""
    bypasses, journal = Counts("assay_guard_bypasses_total"), Journal()
    judge = JudgingHere()
    judge.error = error
    guard = Guard(
        load_policy(shipped), judge, journal, timeout_seconds=1, routes=["default"], forwards=lambda _name: True
    )
    exchange = Desk().exchange
    if passes:
        assert await guard.prompt(exchange, chat("hi")) == chat("hi")
        assert bypasses.added() == {("prompt", error): 1}
    else:
        with pytest.raises(GatewayError, match=error):
            await guard.prompt(exchange, chat("hi"))
        assert bypasses.added() == {}
    ((_, line),) = journal.lines
    assert line["failure"] == error
