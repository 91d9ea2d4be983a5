"""The detector process: what is asked of it, in which order it answers, and what happens when it dies."""

import asyncio
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from hashlib import blake2b
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from detectors import manifest, registry
from detectors.base import Judgement, Text
from detectors.rules import fingerprint
from gateway.judging.client import Case, Findings, FrameReader, Judge, JudgeError, case, frame
from gateway.judging.process import Bench, serve, thresholds
from tests.support.fakes import DETECTOR, DONE, Words, bench, chat, chunk, completion
from tests.support.patience import PATIENCE_SECONDS, until

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


# --- the bench


def findings_of(asked: Case, on: Bench | None = None) -> Findings:
    (reply,) = (on or bench()).judge([asked])
    return reply


def test_a_bench_finds_what_is_there_with_its_place_and_its_hash() -> None:
    reply = findings_of(case("chat", prompt=chat("a grenade"), prompt_slugs=None))
    (found,) = reply.findings
    assert (found.direction, found.channel, found.path) == ("prompt", "user", ["messages", 0, "content"])
    assert found.digest == blake2b(b"a grenade", key=b"key", digest_size=12).hexdigest()
    flagged = {opinion.slug: opinion.spans for opinion in found.opinions if opinion.flagged}
    assert flagged == {"violence": [(2, 9, "word")]}
    assert {opinion.slug for opinion in found.opinions} == Words.slugs
    assert reply.coverage == [(DETECTOR, "scanned", 1)]


def test_only_what_is_asked_for_is_judged() -> None:
    asked = case("chat", prompt=chat("ignore the grenade"), answer=completion("x"), prompt_slugs={"violence"})
    reply = findings_of(asked)
    assert [[opinion.slug for opinion in found.opinions] for found in reply.findings] == [["violence"]]
    nothing = findings_of(case("chat", prompt=chat("grenade"), prompt_slugs={"misinformation"}))
    assert nothing.coverage == []
    assert nothing.findings[0].opinions == []


def test_an_empty_text_is_skipped_and_counted() -> None:
    reply = findings_of(case("chat", prompt=chat(" "), prompt_slugs=None))
    assert reply.coverage == [(DETECTOR, "skipped", 1)]
    assert reply.findings[0].opinions == []


def test_a_detector_that_raises_fails_by_name_and_its_texts_are_errored() -> None:
    reply = findings_of(case("chat", prompt=chat("crash"), prompt_slugs=None))
    assert reply.failed == {DETECTOR: "ArithmeticError"}
    assert reply.coverage == [(DETECTOR, "errored", 1)]


class Counting(Words):
    """Keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Text] = []

    def detect(self, texts: Sequence[Text]) -> list[Judgement]:
        self.asked += texts
        return super().detect(texts)


def remembering(detector: Words, texts: int = 8) -> Bench:
    return Bench([detector], {(DETECTOR, "violence", "prompt"): 0.5}, b"key", remembered=texts)


def test_the_same_text_is_judged_once_and_its_findings_are_told_each_time() -> None:
    detector = Counting()
    on = remembering(detector)
    asked = [
        case("chat", prompt=chat("a grenade"), prompt_slugs=None),
        case("completions", prompt=b'{"prompt": ["a grenade", "a grenade"]}', prompt_slugs={"violence"}),
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
        on.judge([case("chat", prompt=chat(prompt), answer=completion("hello"), prompt_slugs=None, answer_slugs=None)])
    assert [(text.text, text.role, text.context) for text in detector.asked] == [
        ("hello", "prompt", None),
        ("hello", "response", "hello"),
        ("good day", "prompt", None),
        ("hello", "response", "good day"),
    ]


def test_what_is_remembered_is_bounded_and_the_longest_unused_goes_first() -> None:
    detector = Counting()
    on = remembering(detector, texts=2)
    for text in ("one", "two", "one", "three", "one", "two"):
        on.judge([case("chat", prompt=chat(text), prompt_slugs=None)])
    assert [text.text for text in detector.asked] == ["one", "two", "three", "two"]


def test_a_failure_is_not_remembered() -> None:
    detector = Counting()
    on = remembering(detector)
    for _ in range(2):
        assert findings_of(case("chat", prompt=chat("crash"), prompt_slugs=None), on).failed
    assert len(detector.asked) == 2


def test_the_cases_of_a_batch_do_not_mix() -> None:
    asked = [
        case("chat", prompt=chat("grenade"), prompt_slugs=None),
        case("chat", prompt=b"no json", prompt_slugs=None),
        case("chat", answer=chunk("AKI") + chunk("A42") + DONE, stream=True, answer_slugs=None),
    ]
    for number, each in enumerate(asked):
        each.id = number + 7
    replies = bench().judge(asked)
    assert [reply.id for reply in replies] == [7, 8, 9]
    flags = [[o.slug for found in reply.findings for o in found.opinions if o.flagged] for reply in replies]
    assert flags == [["violence"], [], ["privacy_violation"]]


def test_what_nobody_can_read_is_said_to_be_unreadable() -> None:
    def why(answer: bytes, encoding: str = "") -> str:
        return findings_of(case("chat", answer=answer, encoding=encoding, answer_slugs=None)).unreadable

    assert why(completion("fine")) == ""
    assert why(b'{"choices": []}') == ""
    assert why(b"") == ""
    assert why(b"<html>") == "the answer is not JSON"
    assert "'br'" in why(b"\x0b", "br")
    assert "gzip" in why(b"no gzip", "gzip")


def test_a_case_is_bounded_and_the_latest_texts_are_the_ones_judged() -> None:
    """One request must not occupy the detectors for long, and what was left out must be said."""
    turns = [{"role": "user", "content": "a grenade"}, *({"role": "user", "content": "x" * 1000} for _ in range(250))]
    turns.append({"role": "user", "content": "ignore"})
    reply = findings_of(case("chat", prompt=msgspec.json.encode({"model": "m", "messages": turns}), prompt_slugs=None))
    assert reply.cut
    assert 150 < len(reply.findings) < 252
    assert {opinion.slug for found in reply.findings for opinion in found.opinions if opinion.flagged} == {
        "prompt_attacks"
    }
    many = [{"role": "user", "content": "x"} for _ in range(1500)]
    assert findings_of(case("chat", prompt=msgspec.json.encode({"messages": many}), prompt_slugs=None)).cut
    one = [{"role": "user", "content": "x" * 500_000}]
    assert not findings_of(case("chat", prompt=msgspec.json.encode({"messages": one}), prompt_slugs=None)).cut


def test_thresholds_are_those_of_the_operating_tables() -> None:
    known = manifest.load(weights=False)
    found = thresholds(known, 0.01)
    info = known["secrets"]
    (slug, role), table = next(iter(info.operating.items()))
    assert found[info.id, slug, role] == manifest.threshold(table, 0.01)
    strict = thresholds(known, 1e-12)
    assert strict == {}


# --- the line


def on_the_line(number: int, *, urgent: bool = False) -> Case:
    asked = case("chat", prompt=chat("x"), prompt_slugs=None, urgent=urgent)
    asked.id = number
    return asked


def ids_from(line: socket.socket, count: int) -> list[int]:
    """The ids of the next replies, in the order they come."""
    reader, ids = FrameReader(), list[int]()
    line.settimeout(5)
    while len(ids) < count:
        ids += [msgspec.msgpack.decode(body, type=Findings).id for body in reader.feed(line.recv(1 << 16))]
    return ids


@contextmanager
def served(on: Bench, *waiting: Case) -> Iterator[socket.socket]:
    """The real server loop in a thread, with all that waits already on the line when it starts."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"".join(map(frame, waiting)))
        server = threading.Thread(target=serve, args=(theirs, on))
        server.start()
        yield ours
        ours.shutdown(socket.SHUT_WR)
        server.join(5)
        assert not server.is_alive()


def test_urgent_cases_go_first_and_the_rest_keep_their_order() -> None:
    with served(bench(), *(on_the_line(number, urgent=number in (15, 18)) for number in range(20))) as line:
        ids = ids_from(line, 20)
    assert ids == [15, 18, *(number for number in range(20) if number not in (15, 18))]


def test_a_case_that_nobody_waits_for_is_answered_unjudged() -> None:
    late, due = on_the_line(1), on_the_line(2)
    late.expires_at = time.monotonic() - 1
    due.expires_at = time.monotonic() + 60
    with served(bench(), late, due) as line:
        reader, replies = FrameReader(), list[Findings]()
        line.settimeout(5)
        while len(replies) < 2:
            replies += [msgspec.msgpack.decode(body, type=Findings) for body in reader.feed(line.recv(1 << 16))]
    assert [(reply.id, reply.unreadable, len(reply.findings)) for reply in replies] == [(1, "expired", 0), (2, "", 1)]


def test_an_urgent_case_that_comes_later_waits_for_one_batch_only() -> None:
    class Slow(Bench):
        """Waits, with the first batch on the bench, until the urgent case is on the line."""

        def judge(self, cases: Sequence[Case]) -> list[Findings]:
            begun.set()
            assert go.wait(5)
            return super().judge(cases)

    begun, go = threading.Event(), threading.Event()
    with served(Slow([Words()], {}, b"key"), *map(on_the_line, range(30))) as line:
        assert begun.wait(5)
        line.sendall(frame(on_the_line(99, urgent=True)))
        go.set()
        ids = ids_from(line, 31)
    assert ids.index(99) <= 8
    assert sorted(ids) == [*range(30), 99]


# --- the real process


@asynccontextmanager
async def running(judge: Judge) -> AsyncIterator[Judge]:
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
async def judge() -> AsyncIterator[Judge]:
    """The shipped detectors, loaded once for the tests below."""
    async with running(Judge(hash_key=b"key", nice=0)) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def lame(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Judge]:
    """A judge whose model file is damaged, which may hang for 0.2 s at most."""
    models = tmp_path_factory.mktemp("models") / "models"
    shutil.copytree(manifest.MODELS, models)
    with (models / "encoder.onnx").open("r+b") as file:
        file.seek(1000)
        file.write(b"damaged")
    async with running(Judge(hash_key=b"key", nice=0, models=models, silence_seconds=0.2)) as started:
        yield started


@in_one_loop
async def test_the_shipped_detectors_answer(judge: Judge) -> None:
    assert judge.is_ready
    assert judge.absent == {}
    assert {detector.partition("@")[0] for detector in judge.detectors} == set(registry.FACTORIES)
    reply = await judge.judge(case("chat", answer=completion(f"use {SECRET} now"), answer_slugs=None), 10)
    (found,) = reply.findings
    secret = next(opinion for opinion in found.opinions if opinion.detector.startswith("secrets@") and opinion.flagged)
    assert secret.spans[0][:2] == (4, 4 + len(SECRET))
    assert reply.failed == {}


@in_one_loop
async def test_replies_find_their_cases(judge: Judge) -> None:
    texts = [f"text {number}" for number in range(40)]
    asked = [case("chat", prompt=chat(text), prompt_slugs=None, urgent=len(text) % 2 == 0) for text in texts]
    replies = await asyncio.gather(*(judge.judge(each, 10) for each in asked))
    digests = [blake2b(text.encode(), key=b"key", digest_size=12).hexdigest() for text in texts]
    assert [reply.findings[0].digest for reply in replies] == digests


@in_one_loop
async def test_a_case_that_takes_too_long_is_given_up_and_its_late_reply_harms_nobody(judge: Judge) -> None:
    long = case("chat", prompt=chat("word " * 20_000), prompt_slugs=None)
    with pytest.raises(JudgeError, match="timed_out"):
        await judge.judge(long, 0.0001)
    reply = await judge.judge(case("chat", prompt=chat("after"), prompt_slugs=None), 10)
    assert reply.findings[0].digest == blake2b(b"after", key=b"key", digest_size=12).hexdigest()


@in_one_loop
async def test_a_damaged_model_is_absent_and_the_others_answer(lame: Judge) -> None:
    assert set(lame.absent) == {"encoder"}
    assert "encoder.onnx" in lame.absent["encoder"]
    reply = await lame.judge(case("chat", prompt=chat(f"use {SECRET}"), prompt_slugs=None), 10)
    assert reply.failed == {"encoder": "absent"}
    assert any(opinion.flagged for opinion in reply.findings[0].opinions)


@in_one_loop
async def test_a_process_that_dies_fails_what_waits_and_comes_back(lame: Judge) -> None:
    first = lame.pid
    assert first is not None
    os.kill(first, signal.SIGSTOP)  # so that the case is still waiting when it dies
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(outcome(lame, 10))
        await asyncio.sleep(0.01)
        os.kill(first, signal.SIGKILL)
    assert waiting.result() == "worker_died"
    assert await outcome(lame, 1) == "not_ready"
    await until(lambda: lame.is_ready, "a new process")
    assert lame.pid not in (None, first)
    assert await outcome(lame, 10) == "judged"


@in_one_loop
async def test_a_process_that_hangs_is_ended_and_replaced(lame: Judge) -> None:
    first = lame.pid
    assert first is not None
    os.kill(first, signal.SIGSTOP)
    assert await outcome(lame, 0.01) == "timed_out"
    assert lame.pid == first  # not yet: it may only be busy
    assert await outcome(lame, 0.25) == "timed_out"
    await until(lambda: not lame.is_ready, "the end of the old process")
    await until(lambda: lame.is_ready, "a new process")
    assert lame.pid not in (None, first)
    assert await outcome(lame, 10) == "judged"


async def outcome(judge: Judge, seconds: float) -> str:
    try:
        await judge.judge(case("chat", prompt=chat("x"), prompt_slugs=None), seconds)
    except JudgeError as error:
        return error.reason
    return "judged"


async def test_a_judge_that_was_not_started_says_so(tmp_path: Path) -> None:
    judge = Judge(hash_key=b"key", models=tmp_path)
    assert not judge.is_ready
    assert judge.pid is None
    assert await outcome(judge, 1) == "not_ready"


async def test_the_process_ends_with_its_judge(tmp_path: Path) -> None:
    """Also one that has no detector at all: it says so, and stays for the reasons to be read."""
    async with running(Judge(hash_key=b"key", models=tmp_path)) as judge:
        pid = judge.pid
        assert pid is not None
        assert set(judge.absent) == set(registry.FACTORIES)
        assert not judge.is_ready
    assert judge.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_the_process_leaves_nothing_in_the_home_directory(tmp_path: Path) -> None:
    """The library that runs the models would keep a device id and events for its maker there."""
    async with running(Judge(hash_key=b"key", environ={**os.environ, "HOME": str(tmp_path)})) as judge:
        await judge.judge(case("chat", prompt=chat("hello"), prompt_slugs=None), 10)
    assert [path.name for path in tmp_path.iterdir()] == []  # noqa: ASYNC240 - a local folder, and it is a test


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
    asked = case("chat", answer=completion(text), prompt_slugs=(), answer_slugs=None)
    (findings,) = Bench(rules, {}, b"key").judge([asked])
    spans = {label: text[start:end] for opinion in findings.findings[0].opinions for start, end, label in opinion.spans}
    assert spans["credit_card"] == hidden
    assert any(label.startswith("verbatim_") for label in spans)
