"""curl, as people type it."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.running.patience import PATIENCE_SECONDS
from tests.support.servers.gateway_process import DemoUpstream, GatewayProcess

CURL = shutil.which("curl")

pytestmark = pytest.mark.skipif(CURL is None, reason="needs a real curl (not installed)")

CHAT = '{"model": "demo-small", "messages": [{"role": "user", "content": "Say hello"}]%s}'
JSON = ("-H", "content-type: application/json")


def curl(gateway: GatewayProcess, path: str, *arguments: str) -> str:
    """The output of `curl -sS URL -H 'authorization: Bearer KEY' …`."""
    assert CURL is not None
    key = ("-H", f"authorization: Bearer {gateway.key}")
    command = [CURL, "-sS", "--max-time", f"{PATIENCE_SECONDS:g}", f"{gateway.base_url}{path}", *key, *arguments]
    ended = subprocess.run(command, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.decode()


def test_a_chat(gateway: GatewayProcess) -> None:
    answer = json.loads(curl(gateway, "/chat/completions", *JSON, "-d", CHAT % ""))
    assert answer["choices"][0]["message"]["content"]


def test_the_line_that_the_gateway_prints() -> None:
    """With the demo upstream and no key, as after `make run`."""
    with GatewayProcess({"ASSAY_DETECTORS": "false", "ASSAY_KEYS": ""}) as gateway:
        line = next(line for line in gateway.output.splitlines() if line.startswith("  try  "))
        ended = subprocess.run(
            ["bash", "-c", line.removeprefix("  try  ") + " -sS"],
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    assert json.loads(ended.stdout)["choices"][0]["message"]["content"]


def test_a_stream(gateway: GatewayProcess) -> None:
    events = curl(gateway, "/chat/completions", "-N", *JSON, "-d", CHAT % ', "stream": true').split("\n\n")
    assert events[0].startswith('data: {"id":"chatcmpl-')
    assert events[-2:] == ["data: [DONE]", ""]


def test_a_compressed_answer(gateway: GatewayProcess) -> None:
    body = CHAT.replace("demo-small", "demo-small?gzip=1") % ""
    answer = json.loads(curl(gateway, "/chat/completions", "--compressed", *JSON, "-d", body))
    assert answer["choices"]


def test_head(gateway: GatewayProcess) -> None:
    head = curl(gateway, "/models", "--head").splitlines()
    assert head[0].startswith("HTTP/1.1 ")
    assert any(line.startswith("x-request-id: req_") for line in head)


@pytest.mark.parametrize("framing", [(), ("-H", "transfer-encoding: chunked")], ids=["length", "chunked"])
def test_a_large_body_waits_for_100_continue(
    gateway: GatewayProcess, upstream: DemoUpstream, tmp_path: Path, framing: tuple[str, ...]
) -> None:
    """curl asks first when a body is above one megabyte; without a 100 it would wait here until its time is over."""
    file = tmp_path / "body.json"
    file.write_text(CHAT % f', "x": "{"y" * 3_000_000}"')
    said = ("-w", "%{http_code}", "-o", str(tmp_path / "answer"))
    expect = ("-H", "expect: 100-continue", "--expect100-timeout", f"{2 * PATIENCE_SECONDS:g}")
    assert curl(gateway, "/chat/completions", *JSON, *expect, *framing, "--data-binary", f"@{file}", *said) == "200"
    received: Any = upstream.received()["last"]
    assert received["body_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_form_upload_and_a_download(gateway: GatewayProcess, tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    file.write_bytes(b'{"a": 1}\n' * 100_000)
    uploaded = json.loads(curl(gateway, "/files", "-F", "purpose=fine-tune", "-F", f"file=@{file}"))
    assert (uploaded["filename"], uploaded["purpose"]) == ("data.jsonl", "fine-tune")
    target = tmp_path / "download"
    curl(gateway, "/files/file-2000000/content", "-o", str(target))
    assert target.stat().st_size == 2_000_000


def test_errors_have_a_status_and_a_body(gateway: GatewayProcess) -> None:
    out = curl(gateway, "/chat/completions", *JSON, "-d", "{broken", "-w", "\n%{http_code}")
    body, status = out.rsplit("\n", 1)
    assert status == "400"
    assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("header", ["api-key", "x-api-key"])
def test_the_key_in_other_headers(gateway: GatewayProcess, header: str) -> None:
    """As clients of other dialects send it. An empty value removes the header that curl would send."""
    listed = json.loads(curl(gateway, "/models", "-H", "authorization:", "-H", f"{header}: {gateway.key}"))
    assert listed["object"] == "list"
