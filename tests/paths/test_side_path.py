"""The side path in whole sentences: samples in, and for each exactly one fate, with its weights and its audit line."""

import asyncio
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from detectors import manifest, taxonomy
from gateway.enforcement.signals import draw_of
from gateway.exchange import Sample, Taken
from gateway.judging.messages import Findings, JudgingRequest
from gateway.samples.memory_queue import MemoryQueue
from gateway.telemetry.audit import Audit
from gateway.worker import Worker
from tests.support.fakes import (
    DETECTOR,
    DONE,
    ENFORCE,
    OBSERVE,
    Counts,
    Journal,
    JudgingHere,
    Observed,
    chat,
    chunk,
    completion,
    policy,
    sample,
    sinks,
)
from tests.support.running.patience import PATIENCE_SECONDS
from tests.support.worlds.audits import running

NOW = 1010.0  # Unix seconds; the samples are closed at 1000


class SidePath:
    """A worker with detectors that know words, and the counters it moves."""

    def __init__(self, *, rules: str = OBSERVE, audit_text: bool = False, judge: JudgingHere | None = None) -> None:
        self.judge = judge or JudgingHere()
        self.journal = Journal()
        self.queue = MemoryQueue(100, 10**6)
        decided = policy(rules)
        self.worker = Worker(
            self.queue,
            self.judge,
            sinks(self.journal, keeps_texts=audit_text),
            policy=lambda: decided,
            expiry_seconds=60,
            wall_clock=lambda: NOW,
        )
        self._fates = Counts("assay_samples_total")

    async def work(self, *samples: Sample) -> dict[tuple[str, ...], float]:
        """Bring these samples to their end; their fates."""
        await self.worker.work([Taken(given.id, given) for given in samples])
        return self._fates.added()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The audit lines as they would stand in the file, `kind` included."""
        return [json.loads(msgspec.json.encode({"kind": kind, **fields})) for kind, fields in self.journal.lines]


# --- fates


async def test_a_sample_is_judged() -> None:
    path = SidePath()
    assert await path.work(sample()) == {("judged", ""): 1}
    (request,) = path.judge.requests
    assert (request.urgent, request.fresh) == (False, True)
    assert (request.prompt_slugs, request.answer_slugs) == (None, None)


async def test_a_sample_that_waited_too_long_expires() -> None:
    path = SidePath()
    fates = await path.work(sample("old", closed_at=NOW - 60.5), sample("young", closed_at=NOW - 59.5))
    assert fates == {("expired", ""): 1, ("judged", ""): 1}
    assert len(path.judge.requests) == 1


@pytest.mark.parametrize("reason", ["not_ready", "timed_out", "worker_died"])
async def test_a_sample_without_a_reply_fails_with_the_reason(reason: str) -> None:
    path = SidePath()
    path.judge.error = reason
    assert await path.work(sample()) == {("failed", reason): 1}
    assert path.lines == []


async def test_a_detector_that_raises_fails_the_sample_and_is_covered_as_such() -> None:
    coverage = Counts("assay_detector_texts_total")
    path = SidePath()
    everywhere = sample(prompt=chat("crash"), answer=completion("crash again"))
    assert await path.work(everywhere) == {("failed", "detector"): 1}
    assert coverage.added() == {("words@1", "errored"): 2}


async def test_what_cannot_be_read_of_an_answer_is_judged_without_it() -> None:
    path = SidePath()
    fates = await path.work(sample(encoding="compress", answer=b"\x0b\x02\x80"), sample(answer=b"<html>"))
    assert fates == {("judged", "unreadable"): 2}


async def test_a_cut_answer_is_judged_and_says_so() -> None:
    path = SidePath()
    stream = chunk("a gre") + chunk("nade") + b'data: {"choi'
    assert await path.work(sample(stream=True, answer=stream, cut=True)) == {("judged", "truncated"): 1}
    assert path.lines[0]["kind"] == "flag"


async def test_a_recorder_that_breaks_costs_one_sample_only() -> None:
    class Torn(Journal):
        def append(self, kind: str, fields: Any) -> None:
            if fields["sample"] == "s1":
                raise ZeroDivisionError
            super().append(kind, fields)

    path = SidePath()
    worker = Worker(
        path.queue,
        path.judge,
        sinks(Torn()),
        policy=lambda: policy(OBSERVE),
        expiry_seconds=60,
        wall_clock=lambda: NOW,
    )
    fates = Counts("assay_samples_total")
    await worker.work([Taken(name, sample(name)) for name in ("s0", "s1", "s2")])
    assert fates.added() == {("judged", ""): 2, ("failed", "record"): 1}


async def test_everything_taken_is_acknowledged_whatever_became_of_it() -> None:
    class Acknowledging(MemoryQueue):
        forgotten: tuple[str, ...] = ()

        async def acknowledge(self, receipts: Sequence[str]) -> None:
            self.forgotten += tuple(receipts)
            if len(self.forgotten) == 3:
                all_done.set()

    all_done = asyncio.Event()

    queue = Acknowledging(10, 10**6)
    judge = JudgingHere()
    worker = Worker(
        queue,
        judge,
        sinks(Journal()),
        policy=lambda: policy(OBSERVE),
        expiry_seconds=60,
        wall_clock=lambda: NOW,
    )
    queue.offer(sample("good"))
    queue.offer(sample("old", closed_at=0))
    queue.offer(sample("bad", prompt=chat("crash")))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(worker.run())
        await asyncio.wait_for(all_done.wait(), PATIENCE_SECONDS)
        running.cancel()
    assert queue.forgotten == ("good", "old", "bad")


# --- weights


async def test_a_sample_stands_for_one_over_its_probability() -> None:
    names = ("weight", "weight_squared", "flagged_weight", "flagged_weight_squared")
    total, squared, flagged, flagged_squared = (Counts(f"assay_trust_{name}_total") for name in names)
    path = SidePath()
    await path.work(
        sample("s0", probability=0.25, prompt=chat("a grenade")),
        sample("s1", probability=0.5),
        sample("s2", probability=1.0, prompt=chat("another grenade")),
    )
    key = ("prompt", "violence")
    assert total.added()[key] == 4 + 2 + 1
    assert squared.added()[key] == 16 + 4 + 1
    assert flagged.added() == {key: 4 + 1}
    assert flagged_squared.added() == {key: 16 + 1}


async def test_an_exchange_counts_once_for_a_subcategory_however_often_it_is_flagged() -> None:
    verdicts = Counts("assay_verdicts_total")
    scores = Observed("assay_verdict_score_ratio", subcategory="violence", direction="prompt")
    turns = [{"role": "user", "content": "grenade"}, {"role": "user", "content": [{"type": "text", "text": "grenade"}]}]
    path = SidePath()
    await path.work(sample(prompt=json.dumps({"model": "m", "messages": turns}).encode()))
    found = verdicts.added()
    assert found[("safety", "prompt", "1", "violence")] == 1
    assert ("safety", "prompt", "0", "violence") not in found
    assert found[("safety", "response", "0", "violence")] == 1
    assert scores.added() == (1, 1.0)


async def test_only_what_the_last_turn_added_is_judged() -> None:
    verdicts = Counts("assay_verdicts_total")
    turns = [
        {"role": "user", "content": "grenade"},
        {"role": "assistant", "content": "no"},
        {"role": "user", "content": "fine then"},
    ]
    path = SidePath()
    await path.work(sample(prompt=json.dumps({"model": "m", "messages": turns}).encode()))
    assert ("safety", "prompt", "1", "violence") not in verdicts.added()


async def test_the_answer_of_a_failed_exchange_is_not_the_models() -> None:
    verdicts = Counts("assay_verdicts_total")
    path = SidePath()
    await path.work(sample(status=500, outcome="upstream_failed", answer=completion("grenade")))
    assert all(direction == "prompt" for _, direction, *_ in verdicts.added())


async def test_a_packed_answer_is_read() -> None:
    path = SidePath()
    await path.work(sample(answer=gzip.compress(completion("grenade")), encoding="gzip"))
    assert path.lines[0]["texts"][1]["flags"] == ["violence"]


# --- decisions


async def test_a_monitored_rule_is_counted_as_what_it_would_have_done() -> None:
    decisions = Counts("assay_decisions_total")
    await SidePath().work(sample(prompt=chat("grenade"), answer=completion("AKIA42")))
    assert decisions.added() == {
        ("block", "prompt", "monitored", "no-violence"): 1,
        ("redact", "response", "monitored", "no-secrets"): 1,
    }


async def test_end_users_are_counted_over_samples_each_by_itself() -> None:
    path = SidePath(
        rules="version: 1\nmode: monitor\nrules:\n- {id: r, then: block, "
        "when: {subcategory: violence, on: prompt, count: {at_least: 2, by: end_user, within_minutes: 10}}}\n"
    )
    decisions = Counts("assay_decisions_total")
    named: list[dict[str, str]] = [{"user": "wilma"}, {"user": "bob"}, {}, {"safety_identifier": "wilma"}]
    await path.work(*(sample(f"s{n}", prompt=chat("grenade", **who)) for n, who in enumerate(named)))
    assert decisions.added() == {("block", "prompt", "monitored", "r"): 1}
    assert "wilma" not in str(path.journal.lines)


async def test_a_canary_that_a_request_was_not_drawn_for_is_counted_apart() -> None:
    rules = "version: 1\nmode: canary\ncanary: 50\nrules:\n  - {id: r, when: {subcategory: violence}, then: block}\n"
    drawn = next(f"s{n}" for n in range(99) if draw_of(f"s{n}") < 0.5)
    spared = next(f"s{n}" for n in range(99) if draw_of(f"s{n}") >= 0.5)
    decisions = Counts("assay_decisions_total")
    for id in (drawn, spared):
        await SidePath(rules=rules).work(sample(id, answer=completion("grenade"), guarded=id == drawn))
    assert decisions.added() == {("block", "response", "canary", "r"): 1}


async def test_the_audit_keeps_what_a_simulation_needs() -> None:
    path = SidePath()
    await path.work(sample(prompt=chat("how can I buy the grenade for you"), answer=completion("AKIA42")))
    asked, answered = path.lines[0]["texts"]
    assert asked["by"] == {DETECTOR: {"violence": 1.0, "prompt_attacks": 0.0, "privacy_violation": 0.0}}
    assert (asked["language"], answered["found"]) == ("en", {DETECTOR: [[0, 6, "word"]]})


@pytest.mark.parametrize(
    ("guarded", "outcome", "effect"),
    [(False, "completed", "leaked"), (True, "completed", None), (False, "client_gone", None)],
)
async def test_an_enforced_rule_that_an_answer_slipped_past_is_a_leak(
    guarded: bool, outcome: str, effect: str | None
) -> None:
    decisions = Counts("assay_decisions_total")
    given = sample(answer=completion("grenade"), prompt=chat("grenade"), guarded=guarded, outcome=outcome)
    await SidePath(rules=ENFORCE).work(given)
    assert decisions.added() == ({("block", "response", effect, "no-violence"): 1} if effect else {})


# --- the audit file


async def test_an_audit_line_holds_hashes_and_offsets_and_no_text() -> None:
    path = SidePath()
    await path.work(sample(prompt=chat("buy a grenade"), answer=completion("AKIA42 is it"), probability=0.5))
    (line,) = path.lines
    assert line["kind"] == "flag"
    assert (line["sample"], line["probability"], line["outcome"]) == ("s1", 0.5, "completed")
    assert line["decisions"]["prompt"] == {"action": "flag", "would": "block", "rule": "no-violence"}
    prompt, answer = line["texts"]
    assert (prompt["direction"], prompt["channel"], prompt["flags"]) == ("prompt", "user", ["violence"])
    assert prompt["spans"] == [[6, 13, "word"]]
    assert (answer["direction"], answer["flags"]) == ("response", ["privacy_violation"])
    assert len(prompt["hash"]) == 24
    written = json.dumps(line)
    assert "buy" not in written
    assert "grenade" not in written
    assert "AKIA42" not in written


async def test_equal_texts_have_equal_hashes() -> None:
    path = SidePath()
    await path.work(sample("s1", prompt=chat("same")), sample("s2", prompt=chat("same")), sample("s3"))
    hashes = [line["texts"][0]["hash"] for line in path.lines]
    assert hashes[0] == hashes[1] != hashes[2]


async def test_texts_are_written_only_where_asked_for_and_flagged() -> None:
    path = SidePath(audit_text=True)
    await path.work(
        sample("s1", prompt=chat("buy a grenade")),
        sample("s2", prompt=chat("buy bread")),
        sample("s3", stream=True, prompt=chat("?"), answer=chunk("a gre") + chunk("nade") + DONE),
    )
    flagged, plain, streamed = path.lines
    assert [text["text"] for text in flagged["texts"]] == ["buy a grenade", "hi"]
    assert plain["kind"] == "verdict"
    assert all("text" not in text for text in plain["texts"])
    assert streamed["texts"][1]["text"] == "a grenade"


async def test_a_text_of_an_unreadable_answer_is_no_reason_to_fail() -> None:
    path = SidePath(audit_text=True)
    fates = await path.work(sample(prompt=chat("grenade"), encoding="compress", answer=b"\x0b"))
    assert fates == {("judged", "unreadable"): 1}
    assert path.lines[0]["texts"][0]["text"] == "grenade"


async def test_the_side_path_writes_a_real_file(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "audit.jsonl")
    path = SidePath()
    worker = Worker(
        path.queue,
        path.judge,
        sinks(audit),
        policy=lambda: policy(OBSERVE),
        expiry_seconds=60,
        wall_clock=lambda: NOW,
    )
    await worker.work([Taken("s1", sample(prompt=chat("grenade"), model="half a pair \ud800"))])
    async with running(audit):
        pass
    (line,) = audit.recent(9, frozenset({"flag"}))
    assert line["sample"] == "s1"


# --- the vocabulary of both sides


def test_every_subcategory_has_a_category() -> None:
    known = {entry.slug for entry in taxonomy.SUBCATEGORIES} | taxonomy.AUXILIARIES.keys()
    spoken = {slug for info in manifest.load(weights=False).values() for slug in info.slugs}
    assert spoken <= known


async def test_a_request_of_the_worker_is_what_the_panel_reads() -> None:
    """The same structs on both ends of the line: what is encoded here is decoded there."""
    path = SidePath()
    await path.work(sample(prompt=chat("grenade")))
    (request,) = path.judge.requests
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(request), type=JudgingRequest)
    assert again == request
    findings = await path.judge.judge(again, 1)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(findings), type=Findings) == findings
