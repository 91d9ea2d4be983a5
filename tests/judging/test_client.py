"""The gateway's side of the detector processes: replies find their requests, and what happens when a process dies."""

import asyncio
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from detectors import registry
from detectors.panel import Panel
from detectors.rules import fingerprint
from gateway.judging.client import JudgingClient, JudgingError
from gateway.judging.messages import FrameReader, judging_request
from gateway.judging.request_panel import RequestPanel
from gateway.telemetry import metrics
from tests.support.fakes import Counts, chat, completion
from tests.support.judges.shipped import linked_models, own
from tests.support.judges.words import Words
from tests.support.running.patience import PATIENCE_SECONDS, until

pytestmark = pytest.mark.real_time

# --- frames


@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(1, 30), min_size=1))
def test_frames_come_out_however_their_bytes_are_cut(bodies: list[bytes], cuts: list[int]) -> None:
    wire = b"".join(len(body).to_bytes(4, "big") + body for body in bodies)
    reader = FrameReader()
    found: list[bytes] = []
    at = turn = 0
    while at < len(wire):
        size = cuts[turn % len(cuts)]
        found += reader.feed(wire[at : at + size])
        at, turn = at + size, turn + 1
    assert found == bodies


def client(**more: Any) -> JudgingClient:
    return JudgingClient(hash_key=b"key", covered=metrics.covered, **more)


def fragile(**more: Any) -> JudgingClient:
    """One whose detector dies over "deadly" and hangs on "endless"."""
    return client(command=(sys.executable, "-m", "tests.support.judges.detector_program"), **more)


# A hang is told in real time, and a process that has to wait this long for a busy processor is taken for one.
HANG_SECONDS = 5.0

# --- the real process


@asynccontextmanager
async def running(judge: JudgingClient) -> AsyncIterator[JudgingClient]:
    task = asyncio.create_task(judge.run())  # noqa: TID251 - ended below
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await judge.ready()
        yield judge
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


in_one_loop = pytest.mark.asyncio(loop_scope="module")
SECRET = "AKIAQ3EGRNV5PLWXT2UD"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def judge() -> AsyncIterator[JudgingClient]:
    """The shipped detectors, loaded once for the tests below."""
    async with running(client()) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def lame(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[JudgingClient]:
    """A client whose model file is damaged."""
    models = linked_models(tmp_path_factory.mktemp("models"))
    with own(models / "encoder.onnx").open("r+b") as file:
        file.seek(1000)
        file.write(b"damaged")
    async with running(client(models=models)) as started:
        yield started


@pytest.mark.slow
async def test_a_process_says_what_it_judges_beside_what_was_said_before() -> None:
    async with running(fragile()) as judge:
        assert set(judge.compared) == set(Words.slugs)
    assert list(judge.compared) == []


@pytest.mark.slow
@in_one_loop
async def test_the_shipped_detectors_answer(judge: JudgingClient) -> None:
    assert judge.is_ready
    assert judge.absent == {}
    assert {detector.partition("@")[0] for detector in judge.detectors} == set(registry.FACTORIES)
    reply = await judge.judge(
        judging_request("chat", answer=completion(f"use {SECRET} now"), answer_slugs=None), PATIENCE_SECONDS
    )
    (found,) = reply.findings
    secret = next(opinion for opinion in found.opinions if opinion.detector.startswith("secrets@") and opinion.flagged)
    assert secret.spans[0][:2] == (4, 4 + len(SECRET))
    assert reply.failed == {}


@pytest.mark.slow
@in_one_loop
async def test_replies_find_their_requests(judge: JudgingClient) -> None:
    texts = [f"text {number}" for number in range(40)]
    asked = [judging_request("chat", prompt=chat(text), prompt_slugs=None, urgent=len(text) % 2 == 0) for text in texts]
    replies = await asyncio.gather(*(judge.judge(each, PATIENCE_SECONDS) for each in asked))
    digests = [blake2b(text.encode(), key=b"key", digest_size=12).hexdigest() for text in texts]
    assert [reply.findings[0].digest for reply in replies] == digests


@pytest.mark.slow
@in_one_loop
async def test_a_request_that_takes_too_long_is_given_up_and_its_late_reply_harms_nobody(judge: JudgingClient) -> None:
    long = judging_request("chat", prompt=chat("word " * 20_000), prompt_slugs=None)
    with pytest.raises(JudgingError, match="timed_out"):
        await judge.judge(long, 0.0001)
    reply = await judge.judge(judging_request("chat", prompt=chat("after"), prompt_slugs=None), PATIENCE_SECONDS)
    assert reply.findings[0].digest == blake2b(b"after", key=b"key", digest_size=12).hexdigest()


@pytest.mark.slow
@in_one_loop
async def test_a_damaged_model_is_absent_and_the_others_answer(lame: JudgingClient) -> None:
    assert set(lame.absent) == {"encoder"}
    assert "encoder.onnx" in lame.absent["encoder"]
    reply = await lame.judge(judging_request("chat", prompt=chat(f"use {SECRET}"), prompt_slugs=None), PATIENCE_SECONDS)
    assert reply.failed == {"encoder": "absent"}
    assert any(opinion.flagged for opinion in reply.findings[0].opinions)


async def outcome(judge: JudgingClient, seconds: float) -> str:
    try:
        await judge.judge(judging_request("chat", prompt=chat("x"), prompt_slugs=None), seconds)
    except JudgingError as error:
        return error.reason
    return "judged"


async def test_a_client_that_was_not_started_says_so(tmp_path: Path) -> None:
    judge = client(models=tmp_path)
    assert not judge.is_ready
    assert judge.pids == []
    assert await outcome(judge, 1) == "not_ready"


@pytest.mark.slow
async def test_the_process_ends_with_its_client(tmp_path: Path) -> None:
    """Also one that has no detector at all: it says so, and stays for the reasons to be read."""
    async with running(client(models=tmp_path)) as judge:
        (pid,) = judge.pids
        assert set(judge.absent) == set(registry.FACTORIES)
        assert not judge.is_ready
    assert judge.pids == []
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.slow
async def test_the_process_leaves_nothing_in_the_home_directory(tmp_path: Path) -> None:
    """The library that runs the models would keep a device id and events for its maker there."""
    async with running(client(environ={**os.environ, "HOME": str(tmp_path)})) as judge:
        await judge.judge(judging_request("chat", prompt=chat("hello"), prompt_slugs=None), PATIENCE_SECONDS)
    assert [path.name for path in tmp_path.iterdir()] == []  # noqa: ASYNC240 - a local folder, and it is a test


@pytest.mark.slow
def test_what_a_text_hides_is_judged_and_placed(tmp_path: Path) -> None:
    """A card number between unseen characters, and a copied passage, through the real rules."""
    passage = (
        "At the end of the pier the old keeper counted the boats that had come home and wrote each name in his book."
    )
    fingerprint.build([passage], tmp_path / "works.fp")
    built = registry.build({"privacy_violation", "copyrighted_content"}, tmp_path / "works.fp")
    rules = [detector for detector in built if detector.id.startswith(("pii@", "fingerprint@"))]
    hidden = "\u200b".join("4539148803436467")
    text = f"Card {hidden}. {passage}"
    asked = judging_request("chat", answer=completion(text), prompt_slugs=(), answer_slugs=None)
    (findings,) = RequestPanel(Panel(rules), b"key").judge([asked])
    spans = {label: text[start:end] for opinion in findings.findings[0].opinions for start, end, label in opinion.spans}
    assert spans["credit_card"] == hidden
    assert any(label.startswith("verbatim_") for label in spans)


# --- processes that die and hang


async def up(judge: JudgingClient) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):  # a start takes its time on a busy machine
        await judge.ready()


def says(text: str, *, urgent: bool = True, caller: str = "a") -> Any:
    return judging_request("chat", caller=caller, prompt=chat(text), prompt_slugs=None, urgent=urgent)


async def outcomes(
    judge: JudgingClient, texts: Iterable[str], *, urgent: bool, seconds: float = PATIENCE_SECONDS
) -> list[str]:
    async def one(text: str) -> str:
        try:
            await judge.judge(says(text, urgent=urgent), seconds)
        except JudgingError as error:
            return error.reason
        return "judged"

    return await asyncio.gather(*map(one, texts))


@pytest.mark.slow
@pytest.mark.parametrize("urgent", [True, False])
@pytest.mark.parametrize("word", ["deadly", "endless"])
async def test_a_text_that_ends_a_process_fails_alone(word: str, urgent: bool) -> None:
    """Also those that were judged together with it, and those that waited behind, are judged: by the next process."""
    async with running(fragile(hang_seconds=HANG_SECONDS)) as judge:
        (first,) = judge.pids
        texts = [f"a {word} text" if number == 3 else f"text {number}" for number in range(12)]
        found = await outcomes(judge, texts, urgent=urgent)
        assert found == ["worker_died" if number == 3 else "judged" for number in range(12)]
        await up(judge)
        assert judge.pids != [first]


@pytest.mark.slow
async def test_a_process_that_stands_still_is_replaced_and_nothing_is_lost() -> None:
    async with running(fragile(hang_seconds=HANG_SECONDS)) as judge:
        (first,) = judge.pids
        os.kill(first, signal.SIGSTOP)
        assert await outcomes(judge, ["hello"], urgent=True) == ["judged"]
        assert judge.pids != [first]


@pytest.mark.slow
async def test_one_of_several_processes_is_enough() -> None:
    async with running(fragile(hang_seconds=60, processes=2)) as judge:
        await until(lambda: len(judge.pids) == 2, "two processes")
        endless = says("an endless text")
        endless.alone = True
        stuck = asyncio.create_task(judge.judge(endless, 60))  # noqa: TID251 - ended below
        await asyncio.sleep(0)
        assert await outcomes(judge, [f"text {number}" for number in range(5)], urgent=True) == ["judged"] * 5
        stuck.cancel()


@pytest.mark.slow
async def test_after_a_while_without_a_process_nobody_waits_for_one() -> None:
    now = 100.0
    judge = fragile(clock=lambda: now)
    async with running(judge):
        assert await outcomes(judge, ["deadly"], urgent=True) == ["worker_died"]
        waiting = asyncio.create_task(outcomes(judge, ["hello"], urgent=True))  # noqa: TID251 - awaited below
        await asyncio.sleep(0.01)
        now += 10.0
        if not judge.is_ready:
            assert await outcomes(judge, ["hello"], urgent=True) == ["not_ready"]
        assert await waiting == ["judged"]


@pytest.mark.slow
async def test_what_waits_is_bounded_and_one_caller_leaves_room_for_others() -> None:
    """A process that takes nothing off the line: what is sent to it stays in this one."""
    async with running(fragile(most_bytes=1_000_000, hang_seconds=60)) as judge:
        (pid,) = judge.pids
        os.kill(pid, signal.SIGSTOP)
        sent = {"a": 0, "b": 0}
        waiting = []
        for caller in ("a", "b"):
            for _ in range(200):
                try:
                    waiting.append(judge.ask(says("x" * 10_000, caller=caller), 0.05))
                    sent[caller] += 1
                except JudgingError as error:
                    assert error.reason == "overloaded"
                    break
        assert 40 <= sent["a"] <= 50  # half of it
        assert 20 <= sent["b"] <= 26  # half of the rest
        given_up = await asyncio.gather(*waiting, return_exceptions=True)
        assert {str(error) for error in given_up} == {"timed_out"}
        in_the_way = judge.bytes_held  # given up, but on the line; what was not sent is gone
        assert 0 < in_the_way < 500_000
        with pytest.raises(JudgingError, match="overloaded"):
            await judge.judge(says("x" * (1_000_000 - in_the_way)), 1)
        os.kill(pid, signal.SIGCONT)
        await until(lambda: judge.bytes_held == 0, "what waited to be answered")
        assert await outcomes(judge, ["x" * 300_000], urgent=True) == ["judged"]


@pytest.mark.slow
async def test_a_start_that_fails_is_tried_again() -> None:
    """No file handle is left when the process must be replaced: once there are some again, so is the guard."""
    async with running(fragile()) as judge:
        (pid,) = judge.pids
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")), hard))  # noqa: PTH208
        try:
            os.kill(pid, signal.SIGKILL)
            await until(lambda: not judge.is_ready, "the end of the process")
            await asyncio.sleep(0.3)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        await up(judge)
        assert await outcomes(judge, ["hello"], urgent=True) == ["judged"]


@pytest.mark.slow
async def test_coverage_is_counted_once_for_each_reply() -> None:
    counts = Counts("assay_detector_texts_total")
    async with running(fragile()) as judge:
        await outcomes(judge, ["hello", " "], urgent=True)
        assert counts.added() == {("words@1", "scanned"): 1, ("words@1", "skipped"): 1}
        os.kill(judge.pids[0], signal.SIGSTOP)
        assert await outcomes(judge, ["late"], urgent=True, seconds=0.01) == ["timed_out"]
        assert counts.added()["words@1", "timed_out"] == 1
