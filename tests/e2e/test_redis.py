"""`assay serve` and `assay worker` with a real Redis between them, as separate processes."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.support.running.patience import PATIENCE_SECONDS
from tests.support.servers.gateway_process import DemoUpstream, GatewayProcess, Process
from tests.support.servers.redis_server import RedisServer, needs_redis

pytestmark = [pytest.mark.server, needs_redis]
EXCHANGES = 50


class WorkerProcess(Process):
    """`assay worker` on a free metrics port, with its detectors loaded."""

    def __init__(self, env: dict[str, str]) -> None:
        super().__init__(["worker", "--metrics-port", "0"], env)
        with self.ended_on_error():
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not (found := re.search(r"metrics (http://\S+)/metrics", self.output)):
                assert time.monotonic() < deadline, self.output
                assert self._process.poll() is None, self.output
                time.sleep(0.02)
            self.url = found[1]
            self.wait_for(self.url + "/readyz")

    def fates(self) -> Counter[str]:
        found = re.findall(
            r'assay_samples_total{fate="(\w+)",reason="(\w*)"} (\S+)', self.http.get(self.url + "/metrics").text
        )
        fates: Counter[str] = Counter()
        for fate, reason, samples in found:
            fates[fate if fate == "judged" else f"{fate} {reason}"] += int(float(samples))
        return +fates

    def judged_of(self, samples: float) -> int:
        """How many of so many were judged, once each has its one fate. On a busy machine detectors may be late."""
        self.wait_until(f"{samples} have a fate", lambda: sum(self.fates().values()) >= samples)
        fates = self.fates()
        assert sum(fates.values()) == samples
        assert fates.keys() <= {"judged", "failed timed_out"}
        return fates["judged"]


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def env(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    audit = tmp_path_factory.mktemp("audit") / "audit.jsonl"
    settings = {"ASSAY_REDIS_URL": redis.url, "ASSAY_AUDIT_PATH": str(audit), "ASSAY_AUDIT_HASH_KEY": "k" * 32}
    return {**settings, "ASSAY_SAMPLE_EXPIRY_SECONDS": "3600"}


@pytest.fixture(scope="module")
def gateway(env: dict[str, str], upstream: DemoUpstream) -> Iterator[GatewayProcess]:
    settings = {**env, "ASSAY_UPSTREAM_URL": upstream.url, "ASSAY_QUEUE_ITEMS": "40"}
    with GatewayProcess(settings, wait="live") as running:
        yield running


def _ask(gateway: GatewayProcess, exchanges: int) -> list[int]:
    body = {"model": "demo-small", "messages": [{"role": "user", "content": "hello"}]}

    def post(_: int) -> int:
        reply = httpx.post(
            f"{gateway.base_url}/chat/completions", json=body, headers=gateway.headers(), timeout=PATIENCE_SECONDS
        )
        return reply.status_code

    with ThreadPoolExecutor(10) as pool:
        return list(pool.map(post, range(exchanges)))


def test_gateway_and_worker_give_every_exchange_one_fate(gateway: GatewayProcess, env: dict[str, str]) -> None:
    assert gateway.children() == []  # no detectors here
    assert gateway.http.get(gateway.url + "/readyz").json() == {
        "ready": True,
        "detectors": "off",
        "loaded": [],
        "redis": "up",
    }
    # Nobody takes yet: 40 find room, 10 do not.
    assert _ask(gateway, EXCHANGES) == [200] * EXCHANGES
    gateway.wait_until("ten are dropped", lambda: gateway.metric("assay_samples_total", fate="dropped") == 10)
    assert gateway.metric("assay_samples_offered_total") == EXCHANGES
    assert gateway.http.get(gateway.url + "/trust/v1/status").json()["workers_judge"] is True
    with WorkerProcess(env) as worker:
        judged = worker.judged_of(40)
        assert worker.http.get(worker.url + "/healthz").json() == {"ok": True}
        gateway.wait_until(  # judged first, acknowledged with the rest of their batch
            "none waits", lambda: "assay_sample_queue_items 0.0" in worker.http.get(worker.url + "/metrics").text
        )
        of_worker = worker.http.get(worker.url + "/trust/v1/rates").json()
        assert {row["effective_samples"] for row in of_worker["rates"]} == {judged}
        gateway.wait_until(
            "the gateway shows the same", lambda: gateway.http.get(gateway.url + "/trust/v1/rates").json() == of_worker
        )
        assert worker.stop() in (0, -signal.SIGTERM)
        assert "Traceback" not in worker.output
    lines = [json.loads(line) for line in Path(env["ASSAY_AUDIT_PATH"]).read_text().splitlines()]
    samples = [line["sample"] for line in lines if line["kind"] != "usage"]  # which is told once a minute
    assert len(set(samples)) == len(samples) == judged


def test_without_redis_every_request_is_answered(
    gateway: GatewayProcess, env: dict[str, str], redis: RedisServer
) -> None:
    dropped = gateway.metric("assay_samples_total", fate="dropped")
    redis.kill()
    assert _ask(gateway, 20) == [200] * 20
    gateway.wait_until(
        "readiness says so", lambda: gateway.http.get(gateway.url + "/readyz").json().get("redis") == "down"
    )
    assert gateway.http.get(gateway.url + "/readyz").status_code == 200
    assert _ask(gateway, EXCHANGES) == [200] * EXCHANGES
    redis.start()
    with WorkerProcess(env) as worker:

        def lost() -> float:
            return gateway.metric("assay_samples_total", fate="dropped", reason="redis_down")

        gateway.wait_until(
            "those that were not lost have a fate", lambda: sum(worker.fates().values()) == 20 + EXCHANGES - lost()
        )
        assert worker.judged_of(20 + EXCHANGES - lost()) > 0
        assert gateway.metric("assay_samples_total", fate="dropped") - dropped == lost() > 0

    # A line for each change, not for each request; on a busy machine Redis may seem gone once more.
    def lines(what: str) -> int:
        return gateway.output.count(f"Redis takes {what}")

    gateway.wait_until("it is back", lambda: lines("no samples") == lines("samples again"))
    assert 1 <= lines("samples again") < EXCHANGES


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "redis_url: a worker takes its samples from Redis; set ASSAY_REDIS_URL or --redis-url"),
        ({"ASSAY_REDIS_URL": "redis://h", "ASSAY_DETECTORS": "false"}, "nothing to judge with"),
        ({"ASSAY_REDIS_URL": "localhost:6379"}, "write it as redis://[:password@]host[:port]/0"),
    ],
)
def test_a_worker_that_cannot_begin_says_why(settings: dict[str, str], said: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ASSAY_")}
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "worker", "--metrics-port", "0"],
        env=kept | settings,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
