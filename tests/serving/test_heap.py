"""Run in a process of its own, whose heap nothing else has shaped."""

import ctypes
import subprocess
import sys

import pytest

_SCRIPT = """
import resource
from pathlib import Path
from gateway.serving import heap

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def body():
    return b"".join([b"x" * 65536] * 160)  # 10 MiB

heap.keep_freed()
before = resident()
body()
start = faults()
for _ in range(10):
    body()
again = faults() - start
kept = resident() - before
heap.give_back()
print(again, kept, resident() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_freed_memory_is_kept_for_the_next_body_and_given_back_on_demand() -> None:
    printed = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True).stdout
    again, kept, left = (int(figure) for figure in printed.split())
    assert again < 100, "ten more bodies took their pages from the kernel again"
    assert kept > 8 << 20
    assert left < 2 << 20
