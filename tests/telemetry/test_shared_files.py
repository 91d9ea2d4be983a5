"""Metrics of several processes on a disk that is full: no process ends for them, and the log tells."""

import errno
import logging
import os
import sys
from pathlib import Path

import pytest

from gateway.telemetry import shared_files
from gateway.telemetry.shared_files import BYTES, SharedFiles
from tests.support.worlds.small_disk import disk, run_beside

# Many series, on a disk that is full from a moment on.
PROGRAM = """
import os, sys
from gateway.telemetry import metrics
print("problem:", metrics.problem)
folder = os.environ["PROMETHEUS_MULTIPROC_DIR"]
try:
    with open(folder + "/filling", "wb") as filling:
        while True:
            filling.write(bytes(4096))
            filling.flush()
except OSError as error:
    print("filled")
for number in range(int(sys.argv[1])):
    metrics.REQUESTS.labels(f"route-{number}", "chat", "completed", "2xx").inc()
metrics.keep_room()
print("requests:", sum(metrics.samples("assay_requests_total").values()))
"""


def counting(folder: Path, size: str, series: int) -> str:
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    done = run_beside([disk(folder, f"size={size}")], [sys.executable, "-c", PROGRAM, str(series)], env)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.slow
def test_a_process_goes_on_counting_when_the_disk_gets_full(tmp_path: Path) -> None:
    told = counting(tmp_path, "4m", 3000)
    assert "problem: \n" in told
    assert "requests: 3000.0" in told


@pytest.mark.slow
def test_a_process_that_finds_the_disk_full_counts_for_itself_and_says_so(tmp_path: Path) -> None:
    told = counting(tmp_path, "300k", 3000)
    assert f"problem: no room for metrics in {tmp_path} (No space left on device): /metrics of the other" in told
    assert "requests: 3000.0" in told


@pytest.mark.slow
def test_every_kind_of_file_that_the_library_makes_is_reserved(tmp_path: Path) -> None:
    program = """
import os
from pathlib import Path
from gateway.telemetry import metrics
from gateway.telemetry.metrics import REGISTRY
for file in sorted(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).iterdir()):
    print(file.name.rsplit("_", 1)[0], file.stat().st_size)
"""
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    done = run_beside([], [sys.executable, "-c", program], env)
    sizes = dict(line.split() for line in done.stdout.splitlines())
    assert sum(map(int, sizes.values())) == BYTES
    assert {"counter", "histogram", "gauge_livesum"} <= sizes.keys()


def test_what_was_not_whole_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_after_two(file: Path, size: int) -> None:
        file.touch()
        if len([*tmp_path.iterdir()]) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shared_files, "take_room", full_after_two)
    (tmp_path / "counter_99.db").write_bytes(b"of another process")
    with pytest.raises(OSError, match="No space"):
        SharedFiles(tmp_path, 7).reserve()
    assert [file.name for file in tmp_path.iterdir()] == ["counter_99.db"]


def test_a_disk_that_gets_full_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = SharedFiles(tmp_path, 7)
    files.reserve()
    files.look()
    assert caplog.messages == []
    (tmp_path / "counter_7.db").unlink()  # whatever the system refuses
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            files.look()
    assert len(caplog.messages) == 1
    assert f"no disk space is left for metrics in {tmp_path}" in caplog.messages[0]
