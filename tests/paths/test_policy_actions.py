"""What a policy does beside blocking, on the whole request path: replace, reroute, throttle, canaries, budgets."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from gateway.enforcement.counts import Counts as CallerCounts
from gateway.enforcement.counts import Throttles
from gateway.enforcement.signals import draw_of
from gateway.enforcement.subjects import Subject, subject_named
from gateway.exchange import Principal, Route, Streams
from gateway.openai_api import Operation
from gateway.openai_api.sse import Decoder
from policies.engine import Throttle
from tests.support.fakes import DONE, Counts, JudgingHere, World, chat, chunk, completion, rules, upstream
from tests.support.running.together import together
from tests.support.servers.scripted_server import JSON, always, answer, answering, serve, streaming
from tests.support.wire.surfaces import Delta, Surface, text_and_end

SURFACES = {
    Operation.CHAT: Surface(Operation.CHAT, "/v1/chat/completions", ("assistant",)),
    Operation.COMPLETIONS: Surface(Operation.COMPLETIONS, "/v1/completions", ("assistant",)),
    Operation.RESPONSES: Surface(Operation.RESPONSES, "/v1/responses", ("assistant",)),
    Operation.MESSAGES: Surface(Operation.MESSAGES, "/v1/messages", ("assistant",)),
}
ENDS = ("stop", "completed", "end_turn")
KEY = "asked" * 4
KEYS = [(KEY, Principal("app")), (KEY + "2", Principal("other"))]
AUTH = [(b"authorization", b"Bearer " + KEY.encode())]
OTHER = [(b"authorization", b"Bearer " + KEY.encode() + b"2")]
HELLO = answer(completion("Good day."), JSON)
MESSAGE = "I cannot help with this; please ask a person."


REPLACE = rules(f"id: calm, when: {{subcategory: violence}}, then: replace, message: '{MESSAGE}'")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("operation", SURFACES)
async def test_a_message_stands_in_place_of_the_answer_to_a_prompt(operation: Operation, stream: bool) -> None:
    surface = SURFACES[operation]
    body = surface.request(stream=stream).replace(b'"hi"', b'"grenade"')
    async with serve(answering(HELLO)) as server, World(server.port, rules=REPLACE) as world:
        seen = await world.ask(surface.path, body)
        assert server.requests == []
    assert seen.status == 200
    text, end = text_and_end(operation, seen.body, stream=stream)
    assert text == MESSAGE
    assert end in ENDS
    assert seen.headers[b"x-assay-decision"] == b"replace"
    assert world.fate == ("completed", "")


@together("way", ["whole", "hold", "window"])
@together("operation", SURFACES)
async def test_a_message_stands_in_place_of_an_answer(operation: Operation, way: str) -> None:
    surface = SURFACES[operation]
    stream = way != "whole"
    deltas = [Delta("take a "), Delta("gren"), Delta("ade and")]
    script = streaming(*surface.stream(deltas)) if stream else answering(answer(surface.whole(deltas), JSON))
    streams: Streams = "window" if way == "window" else "hold"
    async with serve(script) as server, World(server.port, rules=REPLACE, streams=streams) as world:
        seen = await world.ask(surface.path, surface.request(stream=stream))
    assert b"grenade" not in seen.body
    text, end = text_and_end(operation, seen.body, stream=stream)
    assert text == MESSAGE
    assert end in ENDS
    assert world.last.ruling.decision == "replace"
    assert world.fate == ("completed", "")


async def test_what_is_replaced_in_the_middle_of_a_stream_ends_as_a_block() -> None:
    words = "Nothing to see here, really. " * 8
    script = streaming(chunk(words), chunk(words), chunk("a grenade"), DONE)
    async with serve(script) as server, World(server.port, rules=REPLACE, streams="window") as world:
        seen = await world.ask(body=chat("hi", stream=True))
    decoder = Decoder(max_event_bytes=10**6)
    events = [json.loads(event.data)["choices"][0] for event in decoder.feed(seen.body)[:-1]]
    text, end = "".join(event["delta"].get("content", "") for event in events), events[-1]["finish_reason"]
    assert text
    assert MESSAGE not in text
    assert "grenade" not in text
    assert end == "content_filter"


async def test_one_choice_is_replaced_and_the_other_served() -> None:
    choices = [
        {"index": n, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        for n, text in enumerate(("grenade", "fine"))
    ]
    body = json.dumps({"id": "c", "choices": choices}).encode()
    async with serve(answering(answer(body, JSON))) as server, World(server.port, rules=REPLACE) as world:
        seen = await world.ask(body=chat("hi", n=2))
    assert [choice["message"]["content"] for choice in json.loads(seen.body)["choices"]] == [MESSAGE, "fine"]


# --- elsewhere


def two_routes(normal: int, safe: int) -> list[tuple[tuple[str, ...], Route]]:
    return [
        (("m",), Route("normal", (upstream(normal, "up0"),), 1.0)),
        (("safe-model",), Route("safer", (upstream(safe, "up1"),), 1.0, model="aligned")),
    ]


async def test_a_request_goes_to_the_other_route_with_its_model_and_a_system_message() -> None:
    policy = rules("id: away, when: {subcategory: violence}, then: reroute, to: safer, system: Be careful.")
    async with serve(answering(HELLO)) as normal, serve(answering(HELLO)) as safe:
        async with World(rules=policy, routes=two_routes(normal.port, safe.port)) as world:
            seen = await world.ask(body=chat("grenade"))
        (request,) = safe.requests
        assert normal.requests == []
    assert seen.status == 200
    sent = json.loads(request.body)
    assert sent["model"] == "aligned"
    assert [message["content"] for message in sent["messages"]] == ["Be careful.", "grenade"]
    assert seen.headers[b"x-assay-decision"] == b"reroute"
    assert world.last.route is not None
    assert world.last.route.name == "safer"


async def test_a_request_may_go_to_an_upstream_and_stays_on_its_route() -> None:
    policy = rules("id: away, when: {subcategory: violence}, then: reroute, to: up1")
    async with serve(answering(HELLO)) as normal, serve(answering(HELLO)) as safe:
        async with World(rules=policy, routes=two_routes(normal.port, safe.port)) as world:
            await world.ask(body=chat("grenade"))
        assert [len(server.requests) for server in (normal, safe)] == [0, 1]
        assert json.loads(safe.requests[0].body)["model"] == "m"
    assert world.last.route is not None
    assert world.last.route.name == "normal"


async def test_reroutes_never_go_in_a_circle() -> None:
    """Each rule alone is fine, and so is a request that both concern: it is sent on once."""
    policy = rules(
        "id: a, when: {subcategory: violence}, then: reroute, to: safer",
        "id: b, when: {subcategory: violence}, then: reroute, to: normal",
    )
    async with serve(answering(HELLO)) as normal, serve(answering(HELLO)) as safe:
        async with World(rules=policy, routes=two_routes(normal.port, safe.port)) as world:
            assert (await world.ask(body=chat("grenade"))).status == 200
        assert [len(server.requests) for server in (normal, safe)] == [0, 1]


@pytest.mark.parametrize(
    ("path", "body", "found"),
    [
        ("/v1/responses", {"input": "grenade", "instructions": "Be brief."}, "Careful.\n\nBe brief."),
        ("/v1/responses", {"input": "grenade"}, "Careful."),
        ("/v1/completions", {"prompt": "grenade"}, "Careful.\n\ngrenade"),
        ("/v1/completions", {"prompt": ["grenade", "b"]}, ["Careful.\n\ngrenade", "Careful.\n\nb"]),
    ],
)
async def test_a_system_message_on_every_surface(path: str, body: Mapping[str, Any], found: Any) -> None:
    policy = rules("id: away, when: {subcategory: violence}, then: reroute, system: Careful.")
    async with serve(answering(HELLO)) as server, World(server.port, rules=policy) as world:
        await world.ask(path, json.dumps({"model": "m", **body}).encode())
        sent = json.loads(server.requests[0].body)
    assert sent["instructions" if "responses" in path else "prompt"] == found


# --- slowed down


async def test_a_throttled_caller_is_refused_and_others_are_not() -> None:
    policy = rules("id: slow, when: {subcategory: violence}, then: throttle, per_minute: 1, for_seconds: 600")
    async with serve(always(HELLO)) as server, World(server.port, rules=policy, keys=KEYS) as world:
        first = await world.ask(body=chat("grenade"), headers=AUTH)
        assert (first.status, first.headers[b"x-assay-decision"]) == (200, b"throttle")
        assert (await world.ask(body=chat("hi"), headers=AUTH)).status == 200
        refused = await world.ask(body=chat("hi"), headers=AUTH)
        assert refused.status == 429
        assert refused.error["code"] == "rate_limit_exceeded"
        assert "slow" in refused.error["message"]
        assert 1 <= int(refused.headers[b"retry-after"]) <= 60
        assert (world.last.outcome, world.last.reason) == ("blocked", "throttled")
        assert (await world.ask(body=chat("hi"), headers=OTHER)).status == 200


def test_a_limit_ends_and_the_stricter_of_two_holds() -> None:
    now = [100.0]
    throttles = Throttles(lambda: now[0])
    throttles.start(Subject("a"), Throttle("soft", 2, 30))
    assert [throttles.refusal(Subject("a")) for _ in range(3)] == [None, None, ("soft", 30)]
    throttles.start(Subject("a"), Throttle("hard", 0, 20))
    assert throttles.refusal(Subject("a")) == ("hard", 30)
    now[0] = 130.0
    assert throttles.refusal(Subject("a")) is None
    throttles.start(Subject("b"), Throttle("long", 1, 600))
    assert throttles.refusal(Subject("b")) is None
    now[0] = 140.0
    assert throttles.refusal(Subject("b")) == ("long", 50)
    now[0] = 190.5
    assert throttles.refusal(Subject("b")) is None


def test_counts_forget_what_is_too_old() -> None:
    now = [0.0]
    counts = CallerCounts(lambda: now[0])
    for now[0] in (0.0, 30.0, 50.0):
        counts.add(Subject("a"), ["r"])
    now[0] = 60.0
    assert counts.earlier(Subject("a"), {"r": 60, "other": 60}) == {"r": 2}
    assert counts.earlier(Subject("b"), {"r": 60}) == {}
    now[0] = 200.0
    assert counts.earlier(Subject("a"), {"r": 60}) == {}


SLOW_END_USER = rules(
    "id: slow, when: {subcategory: violence}, then: throttle, per_minute: 1, for_seconds: 600, by: end_user"
)
NAMED: dict[str, tuple[str, Callable[[str], dict[str, Any]]]] = {
    "safety_identifier": ("/v1/chat/completions", lambda who: {"safety_identifier": who, "user": "shared"}),
    "user": ("/v1/chat/completions", lambda who: {"user": who}),
    "responses": ("/v1/responses", lambda who: {"safety_identifier": who}),
    "messages": ("/v1/messages", lambda who: {"metadata": {"user_id": who}, "user": "shared", "max_tokens": 9}),
}


@pytest.mark.parametrize("naming", NAMED)
async def test_a_throttled_end_user_is_refused_and_others_of_its_caller_are_not(naming: str) -> None:
    path, named = NAMED[naming]
    surface = next(surface for surface in SURFACES.values() if surface.path == path)

    def body(text: str, who: str) -> bytes:
        request = json.loads(surface.request(stream=False).replace(b'"hi"', json.dumps(text).encode()))
        return json.dumps(request | named(who)).encode()

    async with serve(always(HELLO)) as server, World(server.port, rules=SLOW_END_USER, keys=KEYS) as world:
        assert (await world.ask(path, body("grenade", "wilma"), headers=AUTH)).status == 200
        assert (await world.ask(path, body("hi", "wilma"), headers=AUTH)).status == 200
        refused = await world.ask(path, body("hi", "wilma"), headers=AUTH)
        assert (refused.status, world.last.reason) == (429, "throttled")
        assert b"slows this end user down for a while" in refused.body
        assert b"wilma" not in refused.body
        assert (await world.ask(path, body("hi", "bob"), headers=AUTH)).status == 200
        assert (await world.ask(path, body("hi", "wilma"), headers=OTHER)).status == 200
        assert "wilma" not in str(world.journal.lines)


async def test_a_request_that_names_no_end_user_is_its_callers() -> None:
    async with serve(always(HELLO)) as server, World(server.port, rules=SLOW_END_USER, keys=KEYS) as world:
        given: list[dict[str, Any]] = [{}, {"user": ""}, {"user": 7}, {"safety_identifier": None}]
        statuses = [(await world.ask(body=chat("grenade", **named), headers=AUTH)).status for named in given]
        assert statuses == [200, 200, 429, 429]
        assert (await world.ask(body=chat("hi", user="wilma"), headers=AUTH)).status == 429
        assert (await world.ask(body=chat("hi"), headers=OTHER)).status == 200


async def test_end_users_are_counted_apart() -> None:
    policy = rules(
        "id: second, when: {subcategory: violence, count: {at_least: 2, by: end_user, within_minutes: 10}}, then: block"
    )
    named = [{"user": "wilma"}, {"user": "bob"}, {}, {"safety_identifier": "wilma"}, {}, {"user": "eve"}]
    async with serve(always(HELLO)) as server, World(server.port, rules=policy, keys=KEYS) as world:
        statuses = [(await world.ask(body=chat("grenade", **who), headers=AUTH)).status for who in named]
        assert statuses == [200, 200, 200, 400, 400, 200]
        assert (await world.ask(body=chat("grenade", user="wilma"), headers=OTHER)).status == 200


@pytest.mark.parametrize("most", [1, 5, 40])
def test_what_is_known_of_end_users_is_bounded_and_a_caller_that_invents_them_forgets_its_own(most: int) -> None:
    counts = CallerCounts(lambda: 0.0, most)
    counts.add(Subject("a"), ["r"], {"r"})
    counts.add(Subject("good", b"wilma"), ["r"], {"r"})
    for number in range(200):
        counts.add(Subject("bad", b"%d" % number), ["r"], {"r"})
    held = [bool(counts.earlier(Subject("bad", b"%d" % number), {"r": 60}, {"r"})) for number in range(200)]
    assert sum(held) == max(most - 1, 1)
    assert all(held[-sum(held) :])  # the latest
    assert counts.earlier(Subject("a"), {"r": 60}, {"r"}) == {"r": 1}
    assert counts.earlier(Subject("good", b"wilma"), {"r": 60}, {"r"}) == ({"r": 1} if most > 1 else {})


def test_the_moments_of_end_users_are_bounded_too() -> None:
    throttles = Throttles(lambda: 0.0, 10)
    for who in (b"wilma", b"bob"):
        throttles.start(Subject("a", who), Throttle("soft", 8, 30, "end_user"))
    assert [throttles.refusal(Subject("a", b"wilma")) for _ in range(9)] == [None] * 8 + [("soft", 30)]
    assert [throttles.refusal(Subject("a", b"bob")) for _ in range(3)] == [None] * 3
    assert throttles.refusal(Subject("a", b"wilma")) is None  # forgotten: eight and three are more than ten
    assert throttles.has_end_users


def test_an_end_user_is_kept_as_a_hash() -> None:
    named = subject_named("a", Operation.CHAT, chat("hi", user="ann@example.org"))
    assert named.caller == "a"
    assert len(named.end_user) == 16
    assert named == subject_named("a", Operation.CHAT, chat("hello", safety_identifier="ann@example.org", user="x"))
    assert named != subject_named("a", Operation.CHAT, chat("hi", user="ann@example.com"))
    assert subject_named("a", Operation.MESSAGES, b'{"metadata":{"user_id":"ann@example.org"}}') == named


@pytest.mark.parametrize(
    "body",
    [
        b"", b"no", b"[]", b"{}", b'{"user":7}', b'{"user":{"a":1}}', b'{"user":""}', b'{"metadata":{"user_id":"x"}}',
        b'{"user":"' + b"x" * 2**17 + b'"}',
    ],
    ids=lambda body: body[:24].decode(),
)  # fmt: skip
def test_a_body_may_name_nobody(body: bytes) -> None:
    assert subject_named("a", Operation.CHAT, body) == Subject("a")


def test_a_body_that_only_lenient_readers_take_names_its_end_user() -> None:
    named = subject_named("a", Operation.CHAT, b'{"user":"wilma"}')
    assert named.end_user
    assert subject_named("a", Operation.CHAT, b'{"user":"wilma","messages":[{"content":"\\ud800"}]}') == named
    assert subject_named("a", Operation.CHAT, b'{"user":"\\ud800"}').end_user


async def test_the_third_time_in_ten_minutes_is_blocked() -> None:
    policy = rules(
        "id: third, when: {subcategory: violence, count: {at_least: 3, by: caller, within_minutes: 10}}, then: block"
    )
    async with serve(always(HELLO)) as server, World(server.port, rules=policy, keys=KEYS) as world:
        ask = [await world.ask(body=chat(text), headers=AUTH) for text in ("grenade", "hi", "grenade", "grenade")]
        assert [seen.status for seen in ask] == [200, 200, 200, 400]
        assert (await world.ask(body=chat("grenade"), headers=OTHER)).status == 200


async def test_three_turns_of_one_conversation_are_counted() -> None:
    policy = rules("id: r, when: {subcategory: violence, count: {at_least: 2, by: conversation}}, then: block")
    turns = [{"role": "user", "content": text} for text in ("grenade", "and another grenade")]
    async with serve(always(HELLO)) as server, World(server.port, rules=policy) as world:
        assert (await world.ask(body=chat("grenade"))).status == 200
        assert (await world.ask(body=json.dumps({"model": "m", "messages": turns}).encode())).status == 400


# --- canaries


async def test_a_canary_acts_on_its_share_of_the_requests_and_the_others_pass() -> None:
    policy = rules("id: r, when: {subcategory: violence}, then: block, mode: canary, canary: 50")
    async with serve(always(HELLO)) as server, World(server.port, rules=policy) as world:
        seen = []
        for _ in range(24):
            answered = await world.ask(body=chat("grenade"))
            seen.append((answered.status, draw_of(world.last.id) < 0.5))
        assert {status for status, drawn in seen if drawn} == {400}
        assert {status for status, drawn in seen if not drawn} == {200}
        assert len(world.judge.requests) == sum(drawn for _, drawn in seen)


def test_the_draw_is_even_and_the_same_everywhere() -> None:
    draws = [draw_of(f"req_{n:x}") for n in range(4000)]
    assert draw_of("req_0") == draws[0]
    assert all(0 <= draw < 1 for draw in draws)
    assert 0.46 < sum(draw < 0.5 for draw in draws) / 4000 < 0.54


# --- it fails as it says


FAULTS = ("raises", "hangs", "model gone", "process gone")


def broken(fault: str) -> tuple[JudgingHere, str]:
    """A judge that fails in this way, and the text that shows it."""
    judge = JudgingHere({"words": "the file is not there"} if fault == "model gone" else None)
    judge.pause = asyncio.Event() if fault == "hangs" else None
    judge.error = "worker_died" if fault == "process gone" else ""
    return judge, "crash" if fault == "raises" else "hi"


REASON = {"raises": "detector", "hangs": "timed_out", "model gone": "detector", "process gone": "worker_died"}
ACTIONS = {
    "block": "then: block",
    "redact": "then: redact",
    "replace": f"then: replace, message: '{MESSAGE}'",
    "reroute": "then: reroute, to: up0",
    "throttle": "then: throttle, per_minute: 1",
}


@pytest.mark.parametrize("on_error", ["allow", "block"])
@together("fault", FAULTS)
@together("action", ACTIONS)
async def test_every_action_fails_as_its_rule_says(action: str, fault: str, on_error: str) -> None:
    policy = rules(
        f"id: r, when: {{subcategory: violence, on: prompt}}, {ACTIONS[action]}, on_error: {on_error}, budget_ms: 30"
    )
    judge, text = broken(fault)
    bypasses = Counts("assay_guard_bypasses_total")
    async with serve(answering(HELLO)) as server, World(server.port, rules=policy, judge=judge) as world:
        seen = await world.ask(body=chat(text))
    assert seen.status == (400 if on_error == "block" else 200)
    assert bypasses.added() == ({} if on_error == "block" else {("prompt", REASON[fault]): 1})
    assert world.last.timing.guard_seconds < 1  # the budget of the rule and not that of the gateway
    (line,) = [line for kind, line in world.journal.lines if kind == "decision"]
    assert line["failure"] == REASON[fault]


ANSWER_ACTIONS = {name: written for name, written in ACTIONS.items() if name != "reroute"}


@pytest.mark.parametrize("on_error", ["allow", "block"])
@together("fault", FAULTS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@together("action", ANSWER_ACTIONS)
async def test_so_does_every_action_on_an_answer(action: str, stream: bool, fault: str, on_error: str) -> None:
    policy = rules(
        f"id: r, when: {{subcategory: violence, on: response}}, {ACTIONS[action]}, on_error: {on_error}, budget_ms: 30"
    )
    judge, text = broken(fault)
    script = streaming(chunk(text), DONE) if stream else answering(answer(completion(text), JSON))
    bypasses = Counts("assay_guard_bypasses_total")
    async with serve(script) as server, World(server.port, rules=policy, judge=judge) as world:
        seen = await world.ask(body=chat("hi", stream=stream))
    blocked = on_error == "block"
    assert (text.encode() in seen.body) is not blocked
    assert ((b"content_filter" if stream else b"content_unjudged") in seen.body) is blocked
    assert bypasses.added() == ({} if blocked else {("response", REASON[fault]): 1})


async def test_what_a_search_over_files_found_is_retrieved_text() -> None:
    policy = rules("id: r, when: {subcategory: prompt_attacks, channel: retrieved}, then: block")
    item = {"type": "file_search_call", "id": "f", "queries": ["q"], "results": [{"text": "ignore this"}]}
    async with serve(always(HELLO)) as server, World(server.port, rules=policy) as world:
        body = {"model": "m", "input": [item, {"role": "user", "content": "go on"}]}
        assert (await world.ask("/v1/responses", json.dumps(body).encode())).status == 400
        assert (await world.ask("/v1/responses", json.dumps({"model": "m", "input": "ignore"}).encode())).status == 200


# --- everywhere the same


MATRIX = {  # action: (how its rule is written, what of the text the client gets when it acts)
    "flag": ("then: flag", "my key AKIA42 is here"),
    "throttle": ("then: throttle, per_minute: 5", "my key AKIA42 is here"),
    "redact": ("then: redact", "my key [REDACTED:word] is here"),
    "replace": (f"then: replace, message: '{MESSAGE}'", MESSAGE),
    "block": ("then: block", ""),
}


@together("mode", ["monitor", "canary, canary: 0.0001", "canary, canary: 100", "enforce"])
@together("action", MATRIX)
@together("way", ["whole", "hold", "window"])
@together("operation", SURFACES)
async def test_an_action_means_the_same_on_every_surface_streamed_or_not(
    operation: Operation, way: str, action: str, mode: str
) -> None:
    surface = SURFACES[operation]
    written, expected = MATRIX[action]
    policy = rules(f"id: r, when: {{subcategory: privacy_violation, on: response}}, {written}, mode: {mode}")
    deltas = [Delta("my key AKI"), Delta("A42 is"), Delta(" here")]
    stream = way != "whole"
    script = streaming(*surface.stream(deltas)) if stream else answering(answer(surface.whole(deltas), JSON))
    streams: Streams = "window" if way == "window" else "hold"
    acts = mode in ("enforce", "canary, canary: 100") and action != "flag"
    async with serve(script) as server, World(server.port, rules=policy, streams=streams) as world:
        seen = await world.ask(surface.path, surface.request(stream=stream))
    assert world.last.ruling.decision == (action if acts else "allow")  # flags are the side path's
    assert bool(world.judge.requests) is acts
    if acts and action == "block" and not stream:
        if operation is Operation.MESSAGES:
            assert text_and_end(operation, seen.body, stream=False) == ("", "refusal")
        else:
            assert (seen.status, seen.error["code"]) == (400, "content_filter")
        return
    text, _ = text_and_end(operation, seen.body, stream=stream)
    assert text == (expected if acts else "my key AKIA42 is here")
