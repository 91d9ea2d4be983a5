"""A changed policy file comes into force for everybody at one moment, or is refused and the last good one stays."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.enforcement import policy_file
from gateway.enforcement.local_tables import LocalTables
from gateway.enforcement.policy_file import AdoptionError, PolicyFile
from gateway.enforcement.signals import load_policy
from gateway.telemetry import metrics
from policies.compiled import Policy
from tests.support.fakes import ENFORCE, OBSERVE, STRICT, Counts
from tests.support.running.patience import until
from tests.support.running.virtual_time import VirtualTimeLoop

SETTLE_SECONDS = 0.3


def now() -> float:
    """Unix seconds, as files carry them, as far ahead of the real ones as the clock of the test's loop is."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    return time.time() + loop.skipped  # noqa: TID251 - see above


def watched(path: Path) -> PolicyFile:
    return PolicyFile(str(path), wall_clock=now, settle_seconds=SETTLE_SECONDS)


def saved(folder: Path, text: str = OBSERVE) -> Path:
    path = folder / "policy.yaml"
    path.write_text(text)
    return path


@asynccontextmanager
async def watching(*files: PolicyFile) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(file.run()) for file in files]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def test_what_is_saved_comes_into_force(tmp_path: Path) -> None:
    path = saved(tmp_path)
    file = watched(path)
    adopted: list[Policy] = []
    file.adopt = adopted.append
    counted = Counts("assay_policy_loads_total")
    async with watching(file):
        path.write_text(ENFORCE)
        await until(lambda: file.current.mode == "enforce")
    assert adopted == [file.current]
    assert file.current.revision == load_policy(str(path)).revision
    assert counted.added() == {("adopted",): 1}
    info = metrics.samples("assay_policy_info")
    assert info[("mode", "enforce"), ("revision", file.current.revision)] == 1
    assert info[("mode", "monitor"), ("revision", load_policy(str(saved(tmp_path))).revision)] == 0


async def test_every_process_changes_at_the_same_moment(tmp_path: Path) -> None:
    """Two that look at different times, and one of which is slow, still change together."""
    path = saved(tmp_path)
    first, second = watched(path), watched(path)
    moments: list[float] = []
    first.adopt = lambda policy: moments.append(now())
    second.adopt = lambda policy: moments.append(now())
    async with watching(first):
        await asyncio.sleep(0.1)
        async with watching(second):
            began = now()
            path.write_text(ENFORCE)
            # The loop's clock is ahead of that of files by what it skipped, or behind by what others had the processor.
            saved_at = min(began, path.stat().st_ctime)
            await until(lambda: len(moments) == 2)
    assert all(moment >= saved_at + SETTLE_SECONDS - 0.01 for moment in moments)
    assert second.current.revision == first.current.revision


async def test_an_invalid_file_keeps_the_last_good_one_and_says_so(tmp_path: Path) -> None:
    path = saved(tmp_path)
    file = watched(path)
    before = file.current
    counted = Counts("assay_policy_loads_total")
    async with watching(file):
        path.write_text(OBSERVE.replace("subcategory: violence", "subcategory: violins"))
        await until(lambda: bool(file.refusal))
        assert file.current is before
        assert "policy.yaml:5" in file.refusal
        assert "violins" in file.refusal
        path.write_text(ENFORCE)  # mended: no restart is needed for that either
        await until(lambda: file.current.mode == "enforce")
    assert file.refusal == ""
    assert counted.added() == {("refused",): 1, ("adopted",): 1}


async def test_a_file_that_is_replaced_or_gone_for_a_while(tmp_path: Path) -> None:
    path = saved(tmp_path)
    file = watched(path)
    async with watching(file):
        path.unlink()
        await asyncio.sleep(0.6)
        assert file.refusal == ""
        (tmp_path / "new.yaml").write_text(ENFORCE)
        (tmp_path / "new.yaml").replace(path)
        await until(lambda: file.current.mode == "enforce")


async def test_whoever_asks_for_a_policy_whose_file_is_gone_is_told(tmp_path: Path) -> None:
    path = saved(tmp_path)
    file = watched(path)
    before = file.current
    async with watching(file):
        path.unlink()
        file.look_again()
        await until(lambda: bool(file.refusal))
        assert file.current is before
        assert "there is no policy" in file.refusal
        path.write_text(ENFORCE)
        await until(lambda: file.current.mode == "enforce")
    assert file.refusal == ""


async def test_a_file_that_is_back_when_it_is_read_for_whoever_asked_comes_into_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGHUP while a file is being replaced: the look finds none, the reading a new one."""
    path = saved(tmp_path)
    file = watched(path)

    def put_back(_tables: Path | None) -> LocalTables:
        if not path.exists():
            path.write_text(ENFORCE)
        return {}

    monkeypatch.setattr(policy_file, "read_local_tables", put_back)
    async with watching(file):
        path.unlink()
        file.look_again()
        await until(lambda: file.current.mode == "enforce")
    assert file.refusal == ""


@pytest.mark.slow
async def test_a_file_that_is_saved_again_before_it_comes_into_force_is_taken_once(tmp_path: Path) -> None:
    path = saved(tmp_path)
    file = PolicyFile(str(path), wall_clock=now, settle_seconds=60)
    adopted: list[Policy] = []
    file.adopt = adopted.append
    async with watching(file):
        path.write_text(STRICT)
        await asyncio.sleep(30)
        path.write_text(ENFORCE)
        await until(lambda: file.current.mode == "enforce")
    assert [policy.revision for policy in adopted] == [load_policy(str(path)).revision]


class ReadEarly(PolicyFile):
    """The rest of the file comes when its beginning was read."""

    rest = ""

    def _load(self) -> tuple[Policy, LocalTables]:
        try:
            return super()._load()
        finally:
            if self.rest:
                Path(self.source).write_text(self.rest)
                self.rest = ""


async def test_a_file_that_is_read_while_it_is_written_is_not_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    file = ReadEarly(str(path), wall_clock=now, settle_seconds=SETTLE_SECONDS)
    file.rest = ENFORCE
    path.write_text(ENFORCE[: len(ENFORCE) // 3] + ": :")
    counted = Counts("assay_policy_loads_total")
    async with watching(file):
        await until(lambda: file.current.mode == "enforce")
    assert counted.added() == {("adopted",): 1}
    assert file.refusal == file.rest == ""


async def test_what_cannot_come_into_force_here_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    file = watched(path)

    def adopt(policy: Policy) -> None:
        raise AdoptionError("no detectors here")

    file.adopt = adopt
    async with watching(file):
        path.write_text(ENFORCE)
        await until(lambda: bool(file.refusal))
    assert (file.current.mode, file.refusal) == ("monitor", "no detectors here")


async def test_being_asked_reads_an_unchanged_file(tmp_path: Path) -> None:
    file = watched(saved(tmp_path))
    adopted: list[Policy] = []
    file.adopt = adopted.append
    async with watching(file):
        file.look_again()
        await until(lambda: bool(adopted))
        await asyncio.sleep(10)
    assert [policy.revision for policy in adopted] == [file.current.revision]  # once asked, once read


async def test_without_local_tables_a_change_comes_into_force_and_so_does_one_of_them(tmp_path: Path) -> None:
    path, local = saved(tmp_path), tmp_path / "operating.json"
    file = PolicyFile(str(path), wall_clock=now, settle_seconds=SETTLE_SECONDS, local=local)
    adopted: list[Policy] = []
    file.adopt = adopted.append
    async with watching(file):
        path.write_text(ENFORCE)
        await until(lambda: len(adopted) == 1)
        local.write_text("{}")
        await until(lambda: len(adopted) == 2 or bool(file.refusal))
        local.unlink()
        await until(lambda: len(adopted) >= 2 and not file.refusal)
    assert file.current.mode == "enforce"


async def test_a_change_is_put_on_record_with_the_thresholds_and_why_it_was_read(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(OBSERVE)
    file = watched(path)
    changes: list[Mapping[str, Any]] = []
    file.on_change = changes.append
    before = file.current.revision
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(file.run())
        path.write_text(ENFORCE)
        await until(lambda: len(changes) == 1)
        file.look_again()
        await until(lambda: len(changes) == 2)
        watching.cancel()
    assert (changes[0]["why"], changes[1]["why"]) == ("the file changed", "SIGHUP")
    assert (changes[0]["before"], changes[0]["revision"]) == (before, file.current.revision)
    assert [rule["id"] for rule in changes[0]["rules"]] == [rule.id for rule in file.current.rules]
    assert all({"table", "score"} <= each.keys() for rule in changes[0]["rules"] for each in rule["thresholds"])


async def test_a_policy_saved_under_a_clock_ahead_of_ours_comes_into_force_and_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(OBSERVE)
    file = PolicyFile(str(path), wall_clock=lambda: now() - 600, settle_seconds=SETTLE_SECONDS)
    before = file.current.revision
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(file.run())
        path.write_text(ENFORCE)
        await until(lambda: file.current.revision != before)
        watching.cancel()
    assert any("ahead of this machine's clock" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(("behind_seconds", "is_told"), [(1.0, False), (1.25, True)])
async def test_a_clock_may_be_a_second_behind_that_of_the_file_system(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, behind_seconds: float, is_told: bool
) -> None:
    path = saved(tmp_path)
    file = PolicyFile(str(path), wall_clock=lambda: path.stat().st_ctime - behind_seconds, settle_seconds=1.0)
    async with watching(file):
        path.write_text(ENFORCE)
        await until(lambda: file.current.mode == "enforce")
    assert any("ahead of this machine's clock" in record.getMessage() for record in caplog.records) == is_told


def test_what_can_become_of_a_rules_decisions_is_a_series_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "effects.yaml"
    when = "{subcategory: privacy_violation, detector: secrets, score: 0.5, on: %s}"
    path.write_text(
        f"""
version: 1
mode: enforce
rules:
- {{id: eff-in, when: {when % "prompt"}, then: block}}
- {{id: eff-out, when: {when % "response"}, then: block}}
- {{id: eff-trial, when: {when % "prompt"}, then: block, mode: canary, canary: 5}}
- {{id: eff-seen, when: {when % "prompt"}, then: block, mode: monitor}}
- {{id: eff-flag, when: {when % "prompt"}, then: flag}}
"""
    )
    PolicyFile(str(path), wall_clock=lambda: 0.0)
    shown: dict[str, set[str]] = {}
    for labels in map(dict, metrics.samples("assay_decisions_total")):
        if labels["rule"].startswith("eff-"):
            shown.setdefault(labels["rule"], set()).add(labels["effect"])
    assert shown == {
        "eff-in": {"enforced", "fail_closed"},
        "eff-out": {"enforced", "fail_closed", "leaked"},
        "eff-trial": {"canary", "enforced"},
        "eff-seen": {"monitored"},
        "eff-flag": {"monitored"},
    }
