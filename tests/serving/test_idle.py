"""An idle gateway sleeps: what wakes it takes time that a request could need."""

import re
import time
from pathlib import Path
from statistics import median

import pytest

from tests.support.servers.gateway_process import GatewayProcess

pytestmark = pytest.mark.server

WINDOWS = 9  # of a second; in some of them a thread writes to the ledger
MOST_A_SECOND = 3


def naps(pid: int) -> int:
    """How often the main thread has gone to sleep by itself: as often it was woken, on a busy machine too."""
    status = Path(f"/proc/{pid}/task/{pid}/status").read_text()
    found = re.search(r"^voluntary_ctxt_switches:\s*(\d+)", status, re.MULTILINE)
    assert found
    return int(found[1])


@pytest.mark.parametrize("detectors", ["false", "true"])
def test_an_idle_gateway_is_woken_at_most_three_times_a_second(detectors: str) -> None:
    with GatewayProcess({"ASSAY_DETECTORS": detectors, "ASSAY_SAMPLE_RATE": "0.01"}) as gateway:
        gateway.http.get(gateway.base_url + "/models", headers=gateway.headers()).raise_for_status()
        time.sleep(2)  # what it does after its start
        rates = []
        for _ in range(WINDOWS):
            before, began = naps(gateway.pid), time.monotonic()
            time.sleep(1)
            seconds = time.monotonic() - began
            rates.append((naps(gateway.pid) - before) / seconds)
        assert median(rates) <= MOST_A_SECOND, rates
