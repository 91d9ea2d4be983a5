"""`assay policy simulate` and `cost`, without the command line: recorded verdicts and labelled texts, decided again."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from detectors.base import Text
from gateway.exchange import Taken
from gateway.samples.memory_queue import MemoryQueue
from gateway.study.cost import cost, data_files, read_rows, table
from gateway.study.simulate import Simulation
from gateway.worker import Worker
from policies.engine import Signal
from tests.support.fakes import DETECTOR, ENFORCE, Journal, JudgingHere, Words, chat, completion, policy, sample, sinks

BLOCK = "version: 1\nmode: enforce\nrules:\n  - {id: stop, when: {subcategory: violence}, then: block}\n"


async def recorded(*texts: str, rules: str = BLOCK, probability: float = 1.0) -> list[bytes]:
    """Audit lines as the side path writes them, one sample a text."""
    journal = Journal()
    worker = Worker(
        MemoryQueue(10, 10**6),
        JudgingHere(),
        sinks(journal),
        policy=lambda: policy(rules),
        expiry_seconds=10**9,
        wall_clock=lambda: 0.0,
    )
    items = [
        Taken("", sample(f"s{n}", prompt=chat(text), answer=completion("fine"), probability=probability))
        for n, text in enumerate(texts)
    ]
    await worker.work(items)
    return [
        json.dumps({"at": f"2026-01-01T00:{n:02d}:00+00:00", "kind": kind, **fields}, default=str).encode()
        for n, (kind, fields) in enumerate(journal.lines)
    ]


def simulated(rules: str, lines: Sequence[bytes]) -> Simulation:
    simulation = Simulation(policy(rules))
    for line in lines:
        simulation.take(line)
    return simulation


async def test_the_policy_that_was_in_force_changes_nothing() -> None:
    lines = await recorded("grenade", "hello", "my AKIA42", rules=ENFORCE)
    simulation = simulated(ENFORCE, lines)
    assert (simulation.exchanges, dict(simulation.changes)) == (3, {})
    assert "no decision changes" in simulation.report()


async def test_what_a_stricter_policy_would_stop_and_a_milder_one_let_go() -> None:
    watched = await recorded("grenade", "hello", "grenade", rules=BLOCK.replace("enforce", "monitor"))
    row = simulated(BLOCK, watched).rows["stop"]
    assert (row.matched, row.decided, row.stopped, row.spared) == (2, 2, 2, 0)
    enforced = await recorded("grenade", "hello")
    mild = simulated(BLOCK.replace("block", "flag"), enforced)
    assert (mild.rows["stop"].stopped, mild.rows["stop"].spared) == (0, 1)
    assert dict(mild.changes) == {("prompt", "block", "flag"): 1}
    gone = simulated(BLOCK.replace("violence", "prompt_attacks").replace("stop", "other"), enforced)
    assert gone.rows["stop"].spared == 1
    assert "stop   (recorded only)" in gone.report()


async def test_shares_are_weighted_by_how_likely_a_sample_was() -> None:
    lines = [*await recorded("grenade", probability=0.1), *await recorded(*["hello"] * 10, probability=1.0)]
    report = simulated(BLOCK, lines).report()
    assert " 50.00 % " in report


async def test_counts_go_by_the_time_that_was_recorded() -> None:
    rules = BLOCK.replace("violence}", "violence, count: {at_least: 2, by: caller, within_minutes: 1.5}}")
    assert simulated(rules, await recorded("grenade", "grenade", "hello", "hello", "grenade")).rows["stop"].matched == 1


async def test_what_cannot_be_simulated_is_said() -> None:
    (line,) = await recorded("grenade")
    old = json.loads(line)
    for text in old["texts"]:
        del text["by"]
    strange = json.loads(line.replace(DETECTOR.encode(), b"words@0"))
    lines = [json.dumps(old).encode(), json.dumps(strange).encode(), b"{half", b'{"kind": "decision"}', b""]
    simulation = simulated(BLOCK, lines)
    assert simulation.rows["stop"].matched == 1
    report = simulation.report()
    for sentence in ("1 lines could not be read", "1 lines are decisions", "words@0 judged 2 texts", "2 texts were re"):
        assert sentence in report
    assert "Texts are not judged again" in report


# --- cost


def labelled(text: str, role: str = "prompt", **labels: int) -> str:
    return json.dumps({"text": text, "role": role, "labels": labels})


def judge(texts: Sequence[tuple[str, str, str]]) -> list[list[Signal]]:
    found = Words().detect([Text(text, "prompt") for text, _, _ in texts])
    return [
        [Signal(v.slug, v.score, v.detector, "prompt", channel) for v in judgement.verdicts]
        for judgement, (_, _, channel) in zip(found, texts, strict=True)
    ]


def test_false_alarms_and_catches_of_each_policy(tmp_path: Path) -> None:
    rows = [labelled(text, violence=harm) for text, harm in (("grenade", 1), ("bread", 0), ("grenade juice", 0))]
    rows += [labelled("bomb", unsafe=1), labelled("an opinion", grounded=1), labelled("a claim", "claim", unsafe=1)]
    (tmp_path / "small.jsonl").write_text("\n".join(rows) + "\n")
    (tmp_path / "zipped.jsonl.gz").write_bytes(gzip.compress(labelled("fine", unsafe=0).encode()))
    steps: list[int] = []
    policies = [policy(BLOCK), policy(BLOCK.replace("block", "flag"))]
    measured = [
        (path.name.partition(".")[0], cost(read_rows(path, 100), policies, judge, batch=3, step=steps.append))
        for path in data_files(tmp_path)
    ]
    assert table(["a", "b"], measured) == (
        "| set | texts | a | b |\n|---|---|---|---|\n"
        "| small (benign, acted on) | 2 | 50.0 % | 0.0 % |\n"
        "| zipped (benign, acted on) | 1 | 0.0 % | 0.0 % |\n"
        "| small (harmful, acted on) | 2 | 50.0 % | 0.0 % |\n\n"
        "Every rule counts as enforced, whatever its mode: `observe` would act on this much, but acts on nothing.\n"
    )
    assert sum(steps) == 5


def test_a_large_set_is_drawn_from_alike_every_time(tmp_path: Path) -> None:
    path = tmp_path / "large.jsonl"
    path.write_text("\n".join(labelled(f"text {n}", unsafe=n % 2) for n in range(100)))
    rows = read_rows(path, 7)
    assert rows == read_rows(path, 7)
    assert [row.harmful for row in rows] == [False] * 7 + [True] * 7


def test_sets_that_are_not_there_and_lines_that_are_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no xstest.jsonl or xstest.jsonl.gz in "):
        data_files(tmp_path, ["xstest"])
    path = tmp_path / "bad.jsonl"
    path.write_text(labelled("a", unsafe=0) + "\n{\n")
    with pytest.raises(ValueError, match=r"bad.jsonl:2: "):
        read_rows(path, 5)
