"""Asking a judge model: its budget, its failures, and over a real connection every dialect."""

import gzip
import json
from collections.abc import Sequence

import pytest

from detectors.base import Role, Text
from gateway.exchange import Upstream
from gateway.judging.budget import CallBudget, TokenPrices
from gateway.judging.dialects import DIALECTS, Options
from gateway.opinions.judge import Judge, JudgeError, Post, Retries
from gateway.upstream.posts import PostAnswer, Poster, PostError
from gateway.upstream.transport import Limits
from tests.support.fakes import Counts
from tests.support.judges.judge_models import chat_answer, serve_judges
from tests.support.servers.scripted_server import JSON, Peer, Script, always, answer, hang, serve

EXCHANGE = [Text("How do I do it?", "prompt"), Text("Like so: [violence].", "response", "How do I do it?")]
WANTED: dict[Role, frozenset[str]] = {
    "prompt": frozenset({"violence", "unsafe"}),
    "response": frozenset({"violence", "unsafe", "refusal"}),
}
SAFE = json.dumps(chat_answer("safe")).encode()


class Clock:
    """Monotonic seconds that pass only in `sleep`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sleeps: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


class Scripted:
    """A judge that answers, or fails, as the list says; the last for ever."""

    def __init__(self, *turns: bytes | PostError) -> None:
        self.turns = list(turns)
        self.sent: list[tuple[str, bytes]] = []

    async def post(self, path: str, body: bytes) -> PostAnswer:
        self.sent.append((path, body))
        turn = self.turns.pop(0) if len(self.turns) > 1 else self.turns[0]
        if isinstance(turn, PostError):
            raise turn
        return PostAnswer(turn, 0.1)


def judge(
    post: Post,
    *,
    dialect: str = "llama_guard",
    calls: float = 1e6,
    tokens: float = 1e9,
    clock: Clock | None = None,
    prices: TokenPrices = TokenPrices(),
) -> Judge:
    clock = clock or Clock()
    questions = {slug: f"[{slug}]?" for slug in DIALECTS[dialect].response} if dialect == "questions" else {}
    return Judge(
        DIALECTS[dialect],
        Options(dialect, questions=questions),
        post,
        CallBudget(calls, tokens, clock=clock),
        prices=prices,
        retries=Retries(2, clock.sleep, lambda: 0.5),
    )


async def test_it_says_what_it_finds_on_each_side_and_what_that_cost() -> None:
    unsafe = json.dumps(chat_answer("unsafe\nS1")).encode()
    asked = judge(Scripted(SAFE, unsafe), prices=TokenPrices(2.0, 10.0))
    found = await asked.opinion(EXCHANGE, WANTED)
    assert {key: label.yes for key, label in found.items()} == {
        ("prompt", "violence"): False,
        ("prompt", "unsafe"): False,
        ("response", "violence"): True,
        ("response", "unsafe"): True,
    }
    assert (asked.spent.calls, asked.spent.input_tokens, asked.spent.output_tokens) == (2, 200, 20)
    assert asked.spent.cost == pytest.approx(200 * 2e-6 + 20 * 1e-5)


async def test_it_is_not_asked_what_it_cannot_say() -> None:
    post = Scripted(SAFE)
    assert await judge(post).opinion(EXCHANGE, {"prompt": frozenset({"misinformation"})}) == {}
    assert post.sent == []


async def test_nonsense_is_counted_and_no_label() -> None:
    failures = Counts("assay_opinion_failures_total")
    post = Scripted(json.dumps(chat_answer("As an AI I like both.")).encode())
    with pytest.raises(JudgeError) as raised:
        await judge(post).opinion(EXCHANGE, WANTED)
    assert (raised.value.reason, raised.value.again) == ("nonsense", False)
    assert failures.added() == {("nonsense",): 2}


async def test_half_an_answer_is_half_an_opinion() -> None:
    found = await judge(Scripted(b"nonsense", SAFE)).opinion(EXCHANGE, WANTED)
    assert {side for side, _ in found} == {"response"}


async def test_a_failure_that_may_pass_is_tried_again_with_drawn_pauses() -> None:
    clock = Clock()
    post = Scripted(PostError("reset", "gone"), PostError("status", "busy", wait_seconds=7.0), SAFE)
    assert await judge(post, clock=clock).opinion(EXCHANGE[:1], WANTED)
    assert clock.sleeps == [0.5, 7.0]


async def test_it_gives_up_and_says_whether_later_may_be_better() -> None:
    clock = Clock()
    down = Scripted(PostError("connect_failed", "down"))
    with pytest.raises(JudgeError) as raised:
        await judge(down, clock=clock).opinion(EXCHANGE, WANTED)
    assert (raised.value.reason, raised.value.again, len(down.sent)) == ("connect_failed", True, 3)
    refused = Scripted(PostError("status", "413", again=False))
    with pytest.raises(JudgeError) as raised:
        await judge(refused).opinion(EXCHANGE, WANTED)
    assert (raised.value.again, len(refused.sent)) == (False, 1)


@pytest.mark.parametrize(("calls", "tokens", "which"), [(3600, 1e9, "calls"), (1e9, 3600 * 110, "tokens")])
async def test_an_hours_budget_is_spent_evenly_and_its_end_is_counted(calls: float, tokens: float, which: str) -> None:
    clock = Clock()
    waits = Counts("assay_opinion_budget_exhausted_total")
    asked = judge(Scripted(SAFE), calls=calls, tokens=tokens, clock=clock)
    for _ in range(600):
        await asked.opinion(EXCHANGE[:1], WANTED)
    assert 600 - 62 <= clock.now <= 600  # one a second; the first minute's worth at once
    assert waits.added().keys() == {(which,)}


# --- over real connections


def poster(port: int, *, timeout_seconds: float = 30.0) -> Poster:
    return Poster(
        Upstream("judge", "http", "127.0.0.1", port, "/v1", "sk-judge"), Limits(), timeout_seconds=timeout_seconds
    )


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_every_dialect_over_a_real_connection(dialect: str) -> None:
    wanted: dict[Role, frozenset[str]] = {"prompt": DIALECTS[dialect].prompt, "response": DIALECTS[dialect].response}
    async with serve_judges() as server:
        post = poster(server.port)
        found = await judge(post, dialect=dialect).opinion([Text("[unsafe] [hate] [violence]", "prompt")], wanted)
        await post.close()
    assert {slug for (_, slug), label in found.items() if label.yes} & {"unsafe", "hate", "violence"}
    assert found.keys() == {("prompt", slug) for slug in DIALECTS[dialect].prompt}
    assert {request.get(b"authorization")[0] for request in server.requests} == {b"Bearer sk-judge"}
    assert {request.target.startswith(b"/v1/") for request in server.requests} == {True}


FAILING: Sequence[tuple[Script, str, bool]] = [
    (hang, "timeout", True),
    (always(answer(b"no", status=b"500 Oh no")), "status", True),
    (always(answer(b"no", status=b"401 Unauthorized")), "status", True),
    (always(answer(b"no", status=b"400 Bad")), "status", False),
    (always(answer(b"x" * (2**20 + 1), JSON)), "too_large", False),
    (always(answer(b"not brotli", b"content-encoding: br")), "bad_response", True),
]


@pytest.mark.parametrize(("script", "reason", "again"), FAILING, ids=[reason for _, reason, _ in FAILING])
async def test_each_failure_has_its_reason(script: Script, reason: str, again: bool) -> None:
    async with serve(script) as server:
        post = poster(server.port, timeout_seconds=0.2 if reason == "timeout" else 30.0)
        with pytest.raises(PostError) as raised:
            await post.post("/chat/completions", b"{}")
        await post.close()
    assert (raised.value.reason, raised.value.again) == (reason, again)


@pytest.mark.parametrize(("status", "again"), [(b"401 Unauthorized", True), (b"400 Bad", False)])
async def test_an_error_whose_body_never_ends_is_known_by_its_status(status: bytes, again: bool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 " + status + b"\r\nretry-after: 7\r\ncontent-length: 100\r\n\r\n{")
        await hang(peer)

    async with serve(script) as server:
        post = poster(server.port)
        with pytest.raises(PostError, match=f"status {status[:3].decode()}") as raised:
            await post.post("/chat/completions", b"{}")
        await post.close()
    assert (raised.value.reason, raised.value.again, raised.value.wait_seconds) == ("status", again, 7.0)


BLOCKED = b'{"error": {"message": "kept back", "code": "content_filter"}}'
CODES: Sequence[tuple[bytes, Sequence[bytes], str]] = [
    (BLOCKED, [JSON], "content_filter"),
    (gzip.compress(BLOCKED), [JSON, b"content-encoding: gzip"], "content_filter"),
    (b'{"error": {"code": 7}}', [JSON], ""),
    (b'{"error": "no"}', [JSON], ""),
    (b"[" * 100_000, [JSON], ""),
    (b"\xff", [], ""),
    (b"x" * (2**20 + 1), [], ""),
    (BLOCKED, [b"content-encoding: br"], ""),
]


@pytest.mark.parametrize(("body", "headers", "code"), CODES)
async def test_a_failure_has_the_code_that_the_server_sent(body: bytes, headers: Sequence[bytes], code: str) -> None:
    async with serve(always(answer(body, *headers, status=b"400 Bad Request"))) as server:
        post = poster(server.port)
        with pytest.raises(PostError) as raised:
            await post.post("/chat/completions", b"{}")
        await post.close()
    assert (raised.value.reason, raised.value.again, raised.value.code) == ("status", False, code)
