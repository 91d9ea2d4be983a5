"""The command `assay serve` as an operator meets it: stopping, several workers, what it says when it cannot start."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2 as httpx
import openai
import pytest
from openai import OpenAI

from gateway.__main__ import main
from tests.support.running.patience import PATIENCE_SECONDS
from tests.support.servers.clients import openai_client
from tests.support.servers.gateway_process import DemoUpstream, GatewayProcess
from tests.support.servers.ports import closed_port

STREAM_SECONDS = 1.5
BODY = {"model": "demo-small", "messages": [{"role": "user", "content": "hello"}]}


def _start(upstream: DemoUpstream, workers: int = 1, **settings: str) -> GatewayProcess:
    env = {"ASSAY_DETECTORS": "false", "ASSAY_UPSTREAM_URL": upstream.url}
    return GatewayProcess(env | settings, workers=workers)


def _post(gateway: GatewayProcess, client: httpx.Client | None = None) -> int:
    return (
        (client or gateway.http)
        .post(f"{gateway.base_url}/chat/completions", json=BODY, headers=gateway.headers())
        .status_code
    )


# --- stopping


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stopping_gateway_lets_a_stream_end_and_takes_no_more(upstream: DemoUpstream, workers: int) -> None:
    with _start(upstream, workers) as gateway, OpenAI(base_url=gateway.base_url, api_key=gateway.key) as client:
        model = f"demo-small?deltas=15&gap_ms={1000 * STREAM_SECONDS / 15}"
        with client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "hello"}], stream=True
        ) as stream:
            chunks = [next(stream)]
            gateway.signal(signal.SIGTERM)
            _wait_until_refused(gateway)
            chunks += stream
        assert len(chunks) == 1 + 15 + 1
        assert chunks[-1].choices[0].finish_reason == "stop"
        assert gateway.wait() in (0, -signal.SIGTERM)
        assert "Traceback" not in gateway.output


def _wait_until_refused(gateway: GatewayProcess) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            socket.create_connection(gateway.address, timeout=PATIENCE_SECONDS).close()
        except ConnectionRefusedError:
            return
        assert time.monotonic() < deadline, "new connections are still taken"
        time.sleep(0.02)


def test_a_stream_that_outlives_the_stop_ends_with_an_error_event(upstream: DemoUpstream) -> None:
    with _start(upstream, ASSAY_DRAIN_SECONDS="1") as gateway:
        client = openai_client(gateway)
        model = "demo-small?deltas=1000&gap_ms=50"
        with client, pytest.raises(openai.APIError) as raised:
            stream = client.chat.completions.create(
                model=model, messages=[{"role": "user", "content": "hello"}], stream=True
            )
            with stream:
                next(stream)
                gateway.signal(signal.SIGTERM)
                for _ in stream:
                    pass
        assert raised.value.code == "shutting_down"
        assert gateway.wait() in (0, -signal.SIGTERM)
        assert "Traceback" not in gateway.output


def test_the_demo_upstream_ends_with_the_gateway() -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with GatewayProcess({"ASSAY_DETECTORS": "false"}) as gateway:
            children = gateway.children()
            assert _post(gateway) == 200
            gateway.signal(number)
            gateway.wait()
        assert children
        _wait_until_gone(children)


def _wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while running := [pid for pid in pids if _runs(pid)]:
        assert time.monotonic() < deadline, f"processes were left behind: {running}"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    """Zombies, which an orphan may stay for a while, do not count."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


# --- several workers


@pytest.fixture(scope="module")
def two_workers(upstream: DemoUpstream) -> Iterator[GatewayProcess]:
    with _start(upstream, workers=2) as gateway:
        yield gateway


def test_counters_of_all_workers_are_summed(two_workers: GatewayProcess) -> None:
    """Several connections at a time, opened anew, until both workers have had some."""
    before = _completed(two_workers)
    seen: set[str] = set()
    sent = 0

    def send(_: int) -> list[int]:
        with httpx.Client(timeout=PATIENCE_SECONDS) as client:
            statuses = [_post(two_workers, client) for _ in range(5)]
            ids = client.get(f"{two_workers.base_url}/models", headers=two_workers.headers()).headers["x-request-id"]
            seen.add(_process_of(ids))
            return statuses

    def both_have_had_some() -> bool:
        nonlocal sent
        with ThreadPoolExecutor(8) as pool:
            statuses = [status for some in pool.map(send, range(40)) for status in some]
        assert statuses == [200] * 200
        sent += 200
        return len(seen) == 2

    two_workers.wait_until("both workers have had requests", both_have_had_some)
    two_workers.wait_until("all are counted", lambda: _completed(two_workers) == before + sent)
    for _ in range(5):  # whichever worker is asked
        assert _completed(two_workers) == before + sent
    durations = two_workers.metric("assay_request_duration_seconds_count", operation="chat", mode="plain")
    assert durations == before + sent
    buckets = two_workers.metric("assay_request_duration_seconds_bucket", operation="chat", mode="plain", le="+Inf")
    assert buckets == before + sent


def _completed(gateway: GatewayProcess) -> float:
    return gateway.metric("assay_requests_total", operation="chat", outcome="completed", status="2xx")


def test_a_worker_that_dies_loses_neither_service_nor_counts(two_workers: GatewayProcess) -> None:
    workers = _workers(two_workers)
    assert len(workers) == 2
    before = _completed(two_workers)
    os.kill(workers[0], signal.SIGKILL)
    for _ in range(100):
        assert _post(two_workers) == 200
    two_workers.wait_until("all are counted", lambda: _completed(two_workers) == before + 100)
    two_workers.wait_until("there are two again", lambda: len(set(_workers(two_workers)) - {workers[0]}) == 2)


def test_a_worker_that_cannot_start_any_more_is_one_line_and_the_others_serve_on(
    upstream: DemoUpstream, tmp_path: Path
) -> None:
    file = tmp_path / "assay.yaml"
    file.write_text("sample_rate: 0\n")
    with _start(upstream, workers=2, ASSAY_CONFIG=str(file)) as gateway:
        gateway.wait_until("both serve", lambda: len({_answering(gateway) for _ in range(20)}) == 2)
        file.write_text("sample_rate: [")
        os.kill(_workers(gateway)[0], signal.SIGKILL)
        told = f"a worker process cannot start: {file}:1:15: is not YAML"
        gateway.wait_until("the log tells", lambda: told in gateway.output)
        assert [_post(gateway) for _ in range(5)] == [200] * 5
        file.write_text("sample_rate: 0\n")
        gateway.wait_until("there are two again", lambda: len(_workers(gateway)) == 2)
        assert "Traceback" not in gateway.output


def _process_of(id: str) -> str:
    """What the ids of one process begin with: its number, before a count and random digits of eight each."""
    return id[: -len("0000000000000000")]


def _answering(gateway: GatewayProcess) -> str:
    """Which worker answers this time: what its request ids begin with."""
    answer = gateway.http.get(f"{gateway.base_url}/models", headers=gateway.headers())
    return _process_of(answer.headers["x-request-id"])


def _workers(gateway: GatewayProcess) -> list[int]:
    """Of the children, those that serve; uvicorn starts one more that tracks resources."""
    return gateway.children("spawn_main")


def test_workers_and_their_files_go_when_the_gateway_stops(upstream: DemoUpstream, tmp_path: Path) -> None:
    with _start(upstream, workers=2, TMPDIR=str(tmp_path)) as gateway:
        assert _post(gateway) == 200
        children = gateway.children()
        assert list(tmp_path.glob("assay-run-*"))
        gateway.signal(signal.SIGTERM)
        assert gateway.wait() in (0, -signal.SIGTERM)
        assert "Traceback" not in gateway.output
    _wait_until_gone(children)
    assert not list(tmp_path.glob("assay-*"))


# --- what cannot start


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ASSAY_", "OPENAI_"))}
    command = [sys.executable, "-m", "gateway", *arguments]
    return subprocess.run(
        command, env=kept | env, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )


BROKEN = {
    "an unknown key": ("upstream_ulr: http://localhost/v1", ["upstream_ulr", "`upstream_url`"]),
    "an unknown key inside": ("upstreams: {one: {urll: http://localhost/v1}}", ["upstreams.one.urll", "`url`"]),
    "a value out of range": ("sample_rate: 2", ["sample_rate", "found 2"]),
    "a value of another type": ("port: http", ["port", "integer"]),
    "an unknown upstream": (
        "upstreams: {one: {url: http://localhost/v1}}\nroutes: {all: {models: ['*'], upstreams: [onne]}}",
        ["routes.all.upstreams", "'onne'", "`one`"],
    ),
    "not YAML": ("keys: [", ["assay.yaml:1", "not YAML"]),
    "an unset variable": ("upstream_key: ${NO_SUCH_VARIABLE_HERE}", ["upstream_key", "NO_SUCH_VARIABLE_HERE"]),
    "open to others": ("host: 0.0.0.0", ["0.0.0.0", "ASSAY_KEYS"]),
    "two faults at once": ("porrt: 1\nsample_rate: x", ["porrt", "`port`", "sample_rate"]),
    "no URL": ("upstream_url: localhost", ["upstream_url", "https://host[:port]/v1"]),
    "no such policy": ("policy: observ", ["policy", "'observe'"]),
}
CASES = [pytest.param(*case, id=name) for name, case in BROKEN.items()]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_a_broken_configuration_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, expected: list[str]
) -> None:
    file = tmp_path / "assay.yaml"
    file.write_text(text)
    assert main(["check", "--config", str(file)]) == 2
    said = capsys.readouterr().err.replace(str(tmp_path), "")
    assert [part for part in expected if part not in said] == [], said


def test_a_gateway_with_a_broken_configuration_does_not_start(tmp_path: Path) -> None:
    file = tmp_path / "assay.yaml"
    file.write_text("upstream_ulr: http://localhost/v1")
    ended = run("serve", "--config", str(file))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"assay: {file}: upstream_ulr: unknown key; did you mean `upstream_url`?\n"


def test_a_configuration_that_is_not_there_is_named(tmp_path: Path) -> None:
    ended = run("serve", "--config", str(tmp_path / "none.yaml"))
    assert ended.returncode == 2
    assert "none.yaml" in ended.stderr


def test_a_misspelt_variable_is_pointed_at() -> None:
    ended = run("check", ASSAY_SAMPEL_RATE="1")
    assert "ASSAY_SAMPEL_RATE" in ended.stdout
    assert "`ASSAY_SAMPLE_RATE`" in ended.stdout


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("serve", "--port", str(port), ASSAY_DETECTORS="false")
    assert ended.returncode == 2
    assert f"127.0.0.1:{port}" in ended.stderr
    assert "--port" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_upstream_that_is_not_up_yet_is_no_reason_not_to_start() -> None:
    env = {"ASSAY_DETECTORS": "false"}
    with closed_port() as port, GatewayProcess({**env, "ASSAY_UPSTREAM_URL": f"http://127.0.0.1:{port}/v1"}) as gateway:
        assert _post(gateway) == 502
        assert gateway.http.get(gateway.url + "/healthz").status_code == 200


@pytest.mark.parametrize("keys", ["", "sk-of-an-app"])
def test_the_operators_pages_ask_for_the_operators_key(keys: str) -> None:
    env = {"ASSAY_DETECTORS": "false", "ASSAY_OPERATOR_KEY": "op-0123456789", "ASSAY_KEYS": keys}
    with GatewayProcess(env) as gateway:
        right, app = {"authorization": "Bearer op-0123456789"}, {"authorization": "Bearer sk-of-an-app"}
        for path in ("/metrics", "/trust", "/trust/v1/rates", "/trust/v1/flags", "/trust/v1/policy"):
            answers = [gateway.http.get(gateway.url + path, headers=headers) for headers in ({}, app, right)]
            assert [answer.status_code for answer in answers] == [401, 401, 200], path
            assert "op-0123456789" not in answers[0].text
        for path in ("/healthz", "/readyz"):
            assert gateway.http.get(gateway.url + path).status_code == 200
        assert _post(gateway) == (401 if keys else 200), "the operator's key is not for traffic, nor needed for it"


# --- the policy's file


MONITORING = """
version: 1
mode: monitor
rules:
  - {id: no-secrets-in, when: {subcategory: privacy_violation, detector: secrets, on: prompt}, then: block}
"""


def _answered(gateway: GatewayProcess, request: dict[str, Any]) -> tuple[int, str]:
    """Status and policy, on a connection of its own, so that any of the workers may get it."""
    with httpx.Client(timeout=PATIENCE_SECONDS) as client:
        reply = client.post(f"{gateway.base_url}/chat/completions", json=request, headers=gateway.headers())
    return reply.status_code, reply.headers["x-assay-policy"]


@pytest.mark.parametrize("workers", [1, 2])
def test_promotion_is_one_word_in_a_file(upstream: DemoUpstream, tmp_path: Path, workers: int) -> None:
    """Every process enforces it from the same moment on, no request fails, and an invalid file changes nothing."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(MONITORING)
    secret = {"model": "demo-small", "messages": [{"role": "user", "content": "AKIA" + "Q3EGRZ7PLM2VX4TB"}]}
    settings = {"ASSAY_UPSTREAM_URL": upstream.url, "ASSAY_POLICY": str(policy), "ASSAY_GUARD_TIMEOUT_SECONDS": "60"}
    with GatewayProcess(settings, workers=workers) as gateway:

        def ask() -> tuple[int, str]:
            return _answered(gateway, secret)

        status, first = ask()
        assert status == 200
        policy.write_text(MONITORING.replace("monitor", "enforce"))
        seen = [(status, first), ask()]

        def enforced() -> bool:
            seen.append(ask())
            return seen[-1][0] == 400

        gateway.wait_until("it is enforced", enforced)
        seen += [ask() for _ in range(20)]
        second = seen[-1][1]
        assert second != first
        assert set(seen) == {(200, first), (400, second)}
        assert seen == sorted(seen), "an old revision answered after the new one had"
        gateway.wait_until("it is shown", lambda: gateway.metric("assay_policy_info", revision=second) == 1)

        policy.write_text("version: 1\nmode: enforced\nrules: []\n")
        gateway.wait_until(
            "it is refused", lambda: gateway.metric("assay_policy_loads_total", result="refused") >= workers
        )
        assert ask() == (400, second)
        assert "policy.yaml:2" in gateway.http.get(f"{gateway.url}/trust/v1/policy").json()["refused"]

        policy.write_text(MONITORING)
        os.kill(gateway.pid, signal.SIGHUP)  # nobody has to wait for the next look, and nothing is restarted
        gateway.wait_until("it monitors again", lambda: ask() == (200, first))
        os.kill(gateway.pid, 0)  # it runs
