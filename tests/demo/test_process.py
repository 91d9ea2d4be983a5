"""The demo upstream as a process: its address is taken from the first moment, and it ends with who started it."""

import http.client
from urllib.parse import urlsplit

import pytest

from gateway.demo import process
from tests.support.running.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.slow  # it starts a Python


@pytest.mark.parametrize("apart", [False, True])
def test_who_connects_before_it_runs_waits_and_is_answered(apart: bool) -> None:
    started, url = process.start(apart=apart)
    try:
        asked = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_SECONDS)
        asked.connect()  # at once: Python itself takes longer to start
        asked.request("GET", "/v1/models")
        assert asked.getresponse().status == 200
        asked.close()
        assert started.stdin is not None
        started.stdin.close()  # as when we end, however we end
        assert started.wait(PATIENCE_SECONDS) is not None
    finally:
        started.kill()
        started.wait()
