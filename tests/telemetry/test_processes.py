"""What a process takes of the machine, read from /proc: of this one, of those that are gone, and of odd names."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.telemetry import metrics
from gateway.telemetry.processes import Processes, children_seconds, open_files, taken

NEEDS_PROC = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system has no /proc")


@NEEDS_PROC
def test_this_process_holds_memory_and_descriptors() -> None:
    found = taken(os.getpid())
    assert found is not None
    assert found.cpu_seconds > 0
    assert found.resident_bytes > 2**20
    before = found.descriptors
    with Path("/dev/null").open():
        again = taken(os.getpid())
        assert again is not None
        assert again.descriptors == before + 1


@NEEDS_PROC
def test_open_files_are_counted_alike_where_the_system_does_not_tell_their_number(tmp_path: Path) -> None:
    folder = Path("/proc/self/fd")
    told = open_files(folder)
    with os.scandir(folder) as found:
        assert told == sum(1 for _ in found) - 1  # the look itself takes one
    for name in "abc":
        (tmp_path / name).touch()
    assert open_files(tmp_path) == 3


def test_a_name_may_hold_anything(tmp_path: Path) -> None:
    (tmp_path / "7" / "fd").mkdir(parents=True)
    (tmp_path / "7" / "fd" / "0").touch()
    after = "S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 100 1000000 300 18446744073709551615 1 1"
    (tmp_path / "7" / "stat").write_text(f"7 (a) b (c 9) {after}\n")
    assert taken(7, tmp_path) == (300 / os.sysconf("SC_CLK_TCK"), 300 * os.sysconf("SC_PAGE_SIZE"), 1)


def test_what_is_gone_takes_nothing(tmp_path: Path) -> None:
    assert taken(7, tmp_path) is None


@NEEDS_PROC
def test_the_gauges_tell_each_kind_of_process_apart() -> None:
    Processes(lambda: {"gateway": [os.getpid()], "detectors": []}).show()
    held = metrics.samples("assay_process_resident_memory_bytes")
    shown = {dict(key)["process"]: value for key, value in held.items()}
    assert shown["gateway"] > 2**20
    assert shown["detectors"] == 0
    assert metrics.samples("assay_process_max_fds")[()] > 0


@NEEDS_PROC
@pytest.mark.slow
def test_what_children_took_counts_while_they_run_and_when_they_have_ended() -> None:
    before = children_seconds([])
    busy = "import sys, time\nwhile time.process_time() < 0.2: pass\nprint('done', flush=True)\nsys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == b"done\n"
        running = children_seconds([child.pid]) - before
        child.stdin.close()
        child.wait()
        assert children_seconds([child.pid]) - before >= running - 1 / os.sysconf("SC_CLK_TCK")
    assert running >= 0.15  # the system counts in hundredths
