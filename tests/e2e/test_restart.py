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
from typing import Any, Self

import httpx2 as httpx
import pytest

from tests.support.running.patience import PATIENCE_SECONDS
from tests.support.servers.gateway_process import DemoUpstream, GatewayProcess
from tests.support.servers.ports import held_port

PER_SECOND = 25
AT_ONCE = 25  # a machine that cannot carry more gets less: what is still to be answered must not pile up
BODY = {"model": "demo-small", "messages": [{"role": "user", "content": "Say hello"}]}


@pytest.fixture(scope="module")
def models() -> Iterator[DemoUpstream]:
    with DemoUpstream() as running:
        yield running


def gateway(models: DemoUpstream, port: int, *, workers: int = 1, **more: str) -> GatewayProcess:
    """One whose patience with a busy machine is as long as ours."""
    settings = {"ASSAY_UPSTREAM_URL": models.url, "ASSAY_PORT": str(port), "ASSAY_DETECTORS": "false"}
    settings["ASSAY_DRAIN_SECONDS"] = f"{PATIENCE_SECONDS:g}"
    return GatewayProcess({**settings, "ASSAY_REUSE_PORT": "true", **more}, workers=workers, wait="live")


class Load:
    """`PER_SECOND` requests a second to a port, `AT_ONCE` at most under way, in turn on connections of their own and on
    ones that are kept alive, every fifth of them a stream; counts what came of each.

    A server may close a connection that idles in the moment in which a client uses it again, and no server can prevent
    that (RFC 9112, 9.3.1): then the client asks again, as browsers do. `models` tells whether any request was sent on
    to the model server more than once.
    """

    def __init__(self, port: int, models: DemoUpstream) -> None:
        self.outcomes: Counter[str] = Counter()
        self.errors: list[str] = []
        self._url = f"http://127.0.0.1:{port}/v1/chat/completions"
        self._models = models
        self._before = self._begun()
        self._stop = threading.Event()
        self._places = threading.BoundedSemaphore(AT_ONCE)
        self._kept = httpx.Client(timeout=2 * PATIENCE_SECONDS)
        self._once = httpx.Client(timeout=2 * PATIENCE_SECONDS, limits=httpx.Limits(max_keepalive_connections=0))
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
        self._once.close()

    @property
    def sent(self) -> int:
        return len(self._threads)

    @property
    def begun(self) -> int:
        """How many requests the model server got."""
        return self._begun() - self._before

    def wait_for(self, more: int) -> None:
        """Until so many more requests were sent."""
        until = self.sent + more
        while self.sent < until:
            time.sleep(0.01)

    def _begun(self) -> int:
        begun: Any = self._models.received()["started"]
        return int(begun)

    def _start_all(self) -> None:
        while not self._stop.wait(1 / PER_SECOND):
            self._places.acquire()
            thread = threading.Thread(target=self._ask, args=(len(self._threads),))
            thread.start()
            self._threads.append(thread)

    def _ask(self, number: int) -> None:
        try:
            self.outcomes[self._outcome(number)] += 1
        finally:
            self._places.release()

    def _outcome(self, number: int) -> str:
        stream = number % 5 == 0
        for _ in range(100):
            steps: set[str] = set()
            try:
                answer = self._answer(stream, self._kept if number % 2 else self._once, steps)
            except httpx.HTTPError as error:
                if _closed_while_idle(error, steps):
                    continue
                self.errors.append(f"{error!r} after {sorted(steps)}")
                return type(error).__name__
            if answer.status_code != 200:
                self.errors.append(f"{answer.status_code} {answer.text}")
                return str(answer.status_code)
            whole = answer.text.endswith("data: [DONE]\n\n") if stream else "choices" in json.loads(answer.text)
            return "whole" if whole else "broken off"
        return "closed each time"

    def _answer(self, stream: bool, client: httpx.Client, steps: set[str]) -> httpx.Response:
        """`steps` gets what the client did on the way."""
        return client.post(
            self._url,
            json={**BODY, "stream": stream},
            headers={"authorization": f"Bearer {GatewayProcess.key}"},
            extensions={"trace": lambda step, _: steps.add(step)},
        )


def _closed_while_idle(error: httpx.HTTPError, steps: set[str]) -> bool:
    """Whether the connection had carried a request before, and nothing came of this one."""
    began = {"connection.connect_tcp.started", "http11.receive_response_headers.complete"} & steps
    return isinstance(error, httpx.ReadError | httpx.WriteError | httpx.RemoteProtocolError) and not began


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
    more: dict[str, str] = {}
    if guarded:
        (tmp_path / "policy.yaml").write_text(POLICY)
        more = {"ASSAY_DETECTORS": "true", "ASSAY_POLICY": str(tmp_path / "policy.yaml")}
        more["ASSAY_GUARD_TIMEOUT_SECONDS"] = f"{PATIENCE_SECONDS:g}"
    with held_port(socket.SO_REUSEPORT) as port, contextlib.ExitStack() as stack:
        serving = gateway(models, port, workers=workers, **more)
        stack.callback(lambda: serving.stop())
        with Load(port, models) as load:
            load.wait_for(25)
            for _ in range(3):
                following = gateway(models, port, workers=workers, **more)
                # Its own /readyz cannot be told from that of the one before it: they share the port.
                following.wait_until("both listen", lambda: listeners(port) == 2)
                load.wait_for(10)
                assert serving.stop() == 0
                serving = following
                load.wait_for(25)
        assert load.outcomes == {"whole": load.sent}, load.errors
        assert load.begun == load.sent  # none was sent twice


def test_a_request_that_is_still_open_keeps_no_listener_open(models: DemoUpstream) -> None:
    """Its detectors run on as long as it does. If they held the listener, every second client would wait."""
    body = json.dumps(BODY).encode()
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(held_port(socket.SO_REUSEPORT))
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n"
        head += f"authorization: Bearer {GatewayProcess.key}\r\ncontent-type: application/json\r\n"
        head += f"content-length: {len(body)}\r\n\r\n"
        patient = {"ASSAY_DETECTORS": "true", "ASSAY_DRAIN_SECONDS": "600", "ASSAY_BODY_TIMEOUT_SECONDS": "600"}
        serving = stack.enter_context(gateway(models, port, workers=1, **patient))
        serving.wait_until("its detectors are up", lambda: serving.metric("assay_detectors_ready") == 1)
        client = stack.enter_context(socket.create_connection(serving.address, timeout=PATIENCE_SECONDS))
        client.sendall(head.encode() + body[:10])
        following = stack.enter_context(gateway(models, port))
        following.wait_until("both listen", lambda: listeners(port) == 2)
        serving.signal(15)
        serving.wait_until("only the new one listens", lambda: listeners(port) == 1)
        client.sendall(body[10:])
        assert client.recv(15) == b"HTTP/1.1 200 OK"
        assert serving.wait() == 0


def test_where_no_other_process_listens_requests_are_whole_or_clearly_refused(models: DemoUpstream) -> None:
    with held_port(socket.SO_REUSEPORT) as port:
        serving = gateway(models, port)
        with Load(port, models) as load:
            for _ in range(3):
                load.wait_for(25)
                assert serving.stop() == 0
                serving = gateway(models, port)
            load.wait_for(25)
        serving.stop()
    assert set(load.outcomes) <= {"whole", "ConnectError"}, load.errors  # none was reset, cut short or left hanging
    assert load.begun == load.outcomes["whole"] > 0


def test_a_process_that_ends_says_so_and_still_answers_those_who_come(models: DemoUpstream) -> None:
    """Until the load balancers have noticed; a stream that has begun goes on to its end."""
    # On a busy machine we may come too late for a short delay.
    assert any(_answers_while_it_ends(models, delay_seconds) for delay_seconds in (3, 30, 100))


def _answers_while_it_ends(models: DemoUpstream, delay_seconds: int) -> bool:
    """False where the delay was over before we had asked."""
    with (
        held_port(socket.SO_REUSEPORT) as port,
        gateway(models, port, ASSAY_SHUTDOWN_DELAY_SECONDS=str(delay_seconds)) as serving,
    ):
        stream = {**BODY, "stream": True}
        with serving.http.stream(
            "POST", serving.base_url + "/chat/completions", json=stream, headers=serving.headers()
        ) as answer:
            pieces = answer.iter_bytes()
            began = next(pieces)
            serving.signal(15)
            in_time = _says_that_it_ends(serving)
            assert (began + b"".join(pieces)).endswith(b"data: [DONE]\n\n")
        assert serving.wait() == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(serving.address, timeout=PATIENCE_SECONDS).close()
    return in_time


def _says_that_it_ends(serving: GatewayProcess) -> bool:
    try:
        while (told := serving.http.get(serving.url + "/readyz")).status_code == 200:
            time.sleep(0.01)
        body = told.json()
        answer = serving.http.post(serving.base_url + "/chat/completions", json=BODY, headers=serving.headers())
    except httpx.ConnectError:
        return False
    assert (body["ready"], body["ending"]) == (False, True)
    assert (answer.status_code, answer.headers["connection"]) == (200, "close")
    return True
