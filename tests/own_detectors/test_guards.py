"""Guards that servers run: asked once, in a budget, in time; what goes wrong with one costs its own opinions alone."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from detectors.base import Role, Text
from detectors.own.specs import ServedGuard, info_of
from gateway.enforcement.signals import load_policy
from gateway.judging.budget import CallBudget
from gateway.judging.dialects import DIALECTS, Options
from gateway.judging.memory import JudgedTexts
from gateway.judging.messages import Finding, Findings, JudgingRequest, judging_request
from gateway.own_detectors.guards import GuardBounds, GuardModel, GuardResult
from gateway.own_detectors.judging import JudgingWithGuards
from gateway.upstream.posts import PostAnswer, PostError
from policies.compiled import Policy
from tests.support.fakes import Counts
from tests.support.judges.judge_models import chat_answer, llama_guard

GUARD = "guard@1"
VIOLENT = Text("Tell me of war. [violence]", "prompt")


class Server:
    """A scripted Llama Guard. It answers when `open` is set; `failure` is raised in place of an answer."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.under_way = self.most_under_way = 0
        self.failure: PostError | None = None
        self.nonsense = False

    async def post(self, path: str, body: bytes) -> PostAnswer:
        self.bodies.append(json.loads(body))
        self.under_way += 1
        self.most_under_way = max(self.under_way, self.most_under_way)
        await self.open.wait()
        self.under_way -= 1
        if self.failure is not None:
            raise self.failure
        answer = chat_answer("perhaps") if self.nonsense else llama_guard(self.bodies[-1])
        return PostAnswer(json.dumps(answer).encode(), 0.1)

    @property
    def asked(self) -> list[str]:
        """The texts that it was shown, without the probe at the start."""
        return [text for body in self.bodies if (text := body["messages"][-1]["content"]) != "Hello."]


@asynccontextmanager
async def running(
    server: Server, bounds: GuardBounds = GuardBounds(), calls_per_hour: float = 1e9
) -> AsyncIterator[GuardModel]:
    clock = asyncio.get_running_loop().time
    spoken = DIALECTS["llama_guard"]
    slugs: dict[Role, tuple[str, ...]] = {
        "prompt": tuple(sorted(spoken.prompt)),
        "response": tuple(sorted(spoken.response)),
    }
    spec = ServedGuard(
        name="guard", version="1", roles=("prompt", "response"), flag_score=0.5, slugs=slugs, settings=""
    )
    guard = GuardModel(
        spec,
        spoken,
        Options("llama-guard"),
        server,
        CallBudget(calls_per_hour, 1e12, clock=clock),
        bounds=bounds,
        memory=JudgedTexts(2**20, b"key"),
        clock=clock,
    )
    async with asyncio.TaskGroup() as group:
        task = group.create_task(guard.run())
        yield guard
        task.cancel()


def ask(
    guard: GuardModel, text: Text = VIOLENT, caller: str = "a", *, urgent: bool = True
) -> "asyncio.Future[GuardResult]":
    return guard.ask(caller, text, urgent=urgent, deadline=math.inf)


def found(heard: GuardResult) -> set[str]:
    assert heard.judgement is not None
    return {verdict.slug for verdict in heard.judgement.verdicts if verdict.score == 1}


async def test_its_categories_are_our_sub_categories() -> None:
    async with running(Server()) as guard:
        heard = await ask(guard)
        assert (heard.state, found(heard)) == ("scanned", {"violence", "unsafe"})
        assert found(await ask(guard, Text("It is spring.", "response", "Hello?"))) == set()
        assert (await ask(guard, Text(" \n", "prompt"))).state == "skipped"


async def test_the_same_text_is_asked_about_once_for_each_caller() -> None:
    server = Server()
    async with running(server) as guard:
        await asyncio.gather(*(ask(guard) for _ in range(10)))
        assert (await ask(guard)).remembered
        assert len(server.asked) == 1
        assert not (await ask(guard, caller="b")).remembered  # else the time would tell what others asked
        assert len(server.asked) == 2


async def test_calls_are_under_way_together_and_the_urgent_go_first() -> None:
    server = Server()
    async with running(server, GuardBounds(at_once=2)) as guard:
        await ask(guard)
        server.open.clear()
        texts = [Text(f"number {number}", "prompt") for number in range(6)]
        waiting = [ask(guard, text, urgent=False) for text in texts]
        await asyncio.sleep(1)
        waiting.append(ask(guard, Text("urgent", "prompt")))
        waiting.append(ask(guard, texts[5]))  # what waited in the background is urgent now
        server.open.set()
        await asyncio.gather(*waiting)
        assert server.asked[1:5] == ["number 0", "number 1", "urgent", "number 5"]
        assert len(server.asked) == 8
        assert server.most_under_way <= 3  # the probe of the start beside them


async def test_what_is_too_much_is_not_judged_and_is_told() -> None:
    server, calls = Server(), Counts("assay_detector_calls_total")
    async with running(server, GuardBounds(at_once=1, waiting_texts=2, max_characters=10)) as guard:
        assert (await ask(guard, Text("x" * 11, "prompt"))).state == "truncated"
        server.open.clear()
        first = ask(guard, Text("a", "prompt"))
        await asyncio.sleep(1)
        others = [ask(guard, Text(name, "prompt")) for name in "bcd"]
        assert (await others[-1]).state == "errored"
        server.open.set()
        await asyncio.gather(first, *others)
    assert calls.added()[GUARD, "overloaded"] == 1
    assert calls.added()[GUARD, "too_long"] == 1


async def test_a_call_that_is_cut_off_is_made_anew() -> None:
    """Whatever ended the calls: a gateway starts them again."""
    server = Server()
    async with running(server) as guard:
        server.open.clear()
        cut_off = ask(guard)
        await asyncio.sleep(1)
    assert not cut_off.done()
    server.open.set()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(guard.run())
        async with asyncio.timeout(10):
            assert (await ask(guard)).state == "scanned"
        task.cancel()


async def test_nobody_waits_for_a_budget() -> None:
    async with running(Server(), calls_per_hour=60) as guard:
        heard = await ask(guard)
        assert (heard.state, heard.why) == ("errored", "the calls of this hour are spent")  # by the probe
        await asyncio.sleep(61)
        assert (await ask(guard)).state == "scanned"


@pytest.mark.parametrize(
    ("failure", "state", "result"),
    [
        (PostError("timeout", "no answer within 5 s"), "timed_out", "timed_out"),
        (PostError("status", "the server answered with status 500"), "errored", "failed"),
        (PostError("connect", "connection refused"), "errored", "failed"),
        (None, "errored", "nonsense"),
    ],
)
async def test_a_failure_is_told_and_the_next_text_is_asked_again(
    failure: PostError | None, state: str, result: str, caplog: pytest.LogCaptureFixture
) -> None:
    server, calls = Server(), Counts("assay_detector_calls_total")
    async with running(server) as guard:
        await ask(guard, Text("first", "prompt"))
        server.failure, server.nonsense = failure, failure is None
        assert (await ask(guard)).state == state
        assert (await ask(guard)).state == state
        server.failure, server.nonsense = None, False
        assert (await ask(guard)).state == "scanned"
    assert calls.added()[GUARD, result] == 2
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "the detector guard does not judge",
        "the detector guard judges again",
    ]
    assert "war" not in caplog.text


# --- beside the detector processes -----------------------------------------------------------------------------

POLICY = "version: 1\nmode: enforce\nrules:\n- id: r\n  when: {subcategory: violence%s, score: 0.5}\n  then: block\n"


class Processes:
    """Detector processes that find nothing."""

    detectors = ("words@1",)

    async def ready(self) -> None: ...

    def ask(self, request: JudgingRequest, timeout_seconds: float) -> Coroutine[Any, Any, Findings]:
        return self._found()

    async def _found(self) -> Findings:
        return Findings(1, [Finding("prompt", "user", ["messages", 0, "content"], 0, True, "", [])], [], {})


def policy(tmp_path: Any, listens: bool) -> Policy:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY % ("" if listens else ", detector: encoder"))
    spoken = ServedGuard(
        name="guard", version="1", roles=("prompt",), flag_score=0.5, slugs={"prompt": ("violence",)}, settings=""
    )
    return load_policy(str(path), detectors=[info_of(spoken)])


def request(text: str, *, urgent: bool = True) -> JudgingRequest:
    body = json.dumps({"messages": [{"role": "user", "content": text}]}).encode()
    return judging_request("chat", caller="a", prompt=body, prompt_slugs=None, urgent=urgent)


def together(guard: GuardModel, in_force: Policy, told: list[Sequence[Any]]) -> JudgingWithGuards:
    return JudgingWithGuards(
        Processes(),  # type: ignore[arg-type]  # as much of them as is needed
        [guard],
        covered=lambda coverage, remembered, unread: told.append([*coverage]),
        policy=lambda: in_force,
        thresholds={(GUARD, "violence", "prompt"): 0.5},
    )


async def test_what_it_says_is_put_to_the_findings(tmp_path: Any) -> None:
    told: list[Sequence[Any]] = []
    async with running(Server()) as guard:
        judging = together(guard, policy(tmp_path, listens=True), told)
        findings = await judging.judge(request(VIOLENT.text), 5)
        flagged = {each.slug for each in findings.findings[0].opinions if each.flagged}
        assert flagged == {"violence"}
        assert findings.failed == {}
        assert told == [[(GUARD, "scanned", 1)]]


async def test_who_does_not_answer_in_time_holds_nobody_up(tmp_path: Any) -> None:
    told: list[Sequence[Any]] = []
    server = Server()
    async with running(server) as guard:
        judging = together(guard, policy(tmp_path, listens=True), told)
        server.open.clear()
        began = asyncio.get_running_loop().time()
        findings = await judging.judge(request(VIOLENT.text), 2)
        assert asyncio.get_running_loop().time() - began < 2
        assert findings.failed == {GUARD: "timed_out"}
        assert findings.unjudged == [("prompt", "user", GUARD, "timed_out")]
        assert told == [[(GUARD, "timed_out", 1)]]
        server.open.set()


async def test_inline_it_is_asked_only_where_an_enforced_rule_listens_to_it(tmp_path: Any) -> None:
    server = Server()
    async with running(server) as guard:
        judging = together(guard, policy(tmp_path, listens=False), [])
        await judging.judge(request(VIOLENT.text), 5)
        assert server.asked == []
        await judging.judge(request(VIOLENT.text, urgent=False), 5)
        assert len(server.asked) == 1


async def test_a_reply_that_nobody_waits_for_is_closed_whole(tmp_path: Any) -> None:
    async with running(Server()) as guard:
        judging = together(guard, policy(tmp_path, listens=True), [])
        judging.ask(request(VIOLENT.text), 5).close()
