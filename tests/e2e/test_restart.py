"""Restarts and upgrades under load: where another process listens nothing is lost, and else the refusal is clear."""

import contextlib
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2 as httpx
import pytest

from tests.support.gateway_process import DemoUpstream, GatewayProcess, free_port

PER_SECOND = 25
BODY = {"model": "demo-small", "messages": [{"role": "user", "content": "Say hello"}]}


@pytest.fixture(scope="module")
def models() -> Iterator[DemoUpstream]:
    with DemoUpstream() as running:
        yield running


def gateway(models: DemoUpstream, port: int, *, workers: int = 1, **more: str) -> GatewayProcess:
    settings = {"ASSAY_UPSTREAM_URL": models.url, "ASSAY_PORT": str(port), "ASSAY_DETECTORS": "false"}
    return GatewayProcess({**settings, "ASSAY_REUSE_PORT": "true", **more}, workers=workers, wait="live")


class Load:
    """`PER_SECOND` requests a second to a port, in turn on connections of their own and on ones that are kept alive,
    every fifth of them a stream; counts what came of each."""

    def __init__(self, port: int) -> None:
        self.outcomes: Counter[str] = Counter()
        self._url = f"http://127.0.0.1:{port}/v1/chat/completions"
        self._stop = threading.Event()
        self._kept = httpx.Client(timeout=20)
        self._threads: list[threading.Thread] = []
        self._starter = threading.Thread(target=self._start_all)

    def __enter__(self) -> Self:
        self._starter.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._starter.join()
        for thread in self._threads:
            thread.join()
        self._kept.close()

    @property
    def sent(self) -> int:
        return len(self._threads)

    def wait_for(self, more: int) -> None:
        """Until so many more requests were sent."""
        until = self.sent + more
        while self.sent < until:
            time.sleep(0.01)

    def _start_all(self) -> None:
        while not self._stop.wait(1 / PER_SECOND):
            thread = threading.Thread(target=self._ask, args=(len(self._threads),))
            thread.start()
            self._threads.append(thread)

    def _ask(self, number: int) -> None:
        self.outcomes[self._outcome(number)] += 1

    def _outcome(self, number: int) -> str:
        stream = number % 5 == 0
        headers = {"authorization": f"Bearer {GatewayProcess.key}"}
        try:
            if number % 2:
                answer = self._kept.post(self._url, json={**BODY, "stream": stream}, headers=headers)
            else:
                answer = httpx.post(self._url, json={**BODY, "stream": stream}, headers=headers, timeout=20)
        except httpx.HTTPError as error:
            return type(error).__name__
        if answer.status_code != 200:
            return str(answer.status_code)
        whole = answer.text.endswith("data: [DONE]\n\n") if stream else "choices" in json.loads(answer.text)
        return "whole" if whole else "broken off"


def listeners(port: int) -> int:
    """How many sockets of this machine listen on a port: state 0A in /proc/net/tcp."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows)


# What it cannot judge it refuses.
POLICY = """version: 1
mode: enforce
rules:
  - {id: unsafe, when: {subcategory: unsafe, on: prompt, score: 0.99}, then: block, on_error: block}
"""


@pytest.mark.parametrize(("workers", "guarded"), [(1, False), (2, False), (1, True)])
def test_three_restarts_under_load_lose_nothing_where_another_process_listens(
    models: DemoUpstream, tmp_path: Path, workers: int, guarded: bool
) -> None:
    port = free_port()
    more: dict[str, str] = {}
    if guarded:
        (tmp_path / "policy.yaml").write_text(POLICY)
        more = {"ASSAY_DETECTORS": "true", "ASSAY_POLICY": str(tmp_path / "policy.yaml")}
        more["ASSAY_GUARD_TIMEOUT_SECONDS"] = "20"
    with contextlib.ExitStack() as stack:
        serving = gateway(models, port, workers=workers, **more)
        stack.callback(lambda: serving.stop())
        with Load(port) as load:
            load.wait_for(25)
            for _ in range(3):
                following = gateway(models, port, workers=workers, **more)
                # Its own /readyz cannot be told from that of the one before it: they share the port.
                following.wait_until("both listen", lambda: listeners(port) == 2)
                load.wait_for(10)
                assert serving.stop() == 0
                serving = following
                load.wait_for(25)
        assert load.outcomes == {"whole": load.sent}
        assert load.sent >= 130


def test_where_no_other_process_listens_requests_are_whole_or_clearly_refused(models: DemoUpstream) -> None:
    port = free_port()
    serving = gateway(models, port)
    with Load(port) as load:
        for _ in range(3):
            load.wait_for(25)
            assert serving.stop() == 0
            serving = gateway(models, port)
        load.wait_for(25)
    serving.stop()
    assert set(load.outcomes) <= {"whole", "ConnectError"}  # nothing was reset, cut short or left hanging
    assert load.outcomes["whole"] >= 75


def test_a_process_that_ends_says_so_and_still_answers_those_who_come(models: DemoUpstream) -> None:
    """Until the load balancers have noticed; a stream that has begun goes on to its end."""
    with gateway(models, free_port(), ASSAY_SHUTDOWN_DELAY_SECONDS="3", workers=1) as serving:
        with (
            httpx.Client(base_url=serving.url, headers=serving.headers(), timeout=20) as client,
            client.stream("POST", "/v1/chat/completions", json={**BODY, "stream": True}) as stream,
        ):
            pieces = stream.iter_bytes()
            began = next(pieces)
            serving.signal(15)
            serving.wait_until(
                "it says that it ends", lambda: serving.http.get(serving.url + "/readyz").status_code == 503
            )
            body = serving.http.get(serving.url + "/readyz").json()
            assert (body["ready"], body["ending"]) == (False, True)
            answer = serving.http.post(serving.base_url + "/chat/completions", json=BODY, headers=serving.headers())
            assert (answer.status_code, answer.headers["connection"]) == (200, "close")
            assert (began + b"".join(pieces)).endswith(b"data: [DONE]\n\n")
        assert serving.wait() == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(serving.address, timeout=5).close()
