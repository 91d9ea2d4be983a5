"""`assay demo` as a newcomer runs it: the page has figures within a minute, and Ctrl-C leaves nothing behind."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.running.patience import PATIENCE_SECONDS
from tests.support.servers.gateway_process import Process
from tests.support.servers.ports import held_port


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_shows_rates_and_ends_with_all_that_it_started(number: signal.Signals) -> None:
    with held_port() as port, Process(["demo", "--port", str(port), "--rate", "20"]) as demo:
        url = f"http://127.0.0.1:{port}"
        demo.wait_for(url + "/readyz")
        _wait_until(lambda: len(demo.http.get(url + "/trust/v1/rates?window=1h").json()["rates"]) > 10)
        page = demo.http.get(url + "/", headers={"accept": "text/html"})
        assert page.status_code == 200
        gateway = demo.children()
        assert gateway
        started = [*gateway, *(pid for parent in gateway for pid in _children(parent))]
        demo.signal(number)
        assert demo.wait() == 0
        _wait_until(lambda: not [pid for pid in started if Path(f"/proc/{pid}").exists()])


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)
