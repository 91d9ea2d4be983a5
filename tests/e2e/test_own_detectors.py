"""Detectors of the operator's in a running gateway: enforced, counted, and none takes the others down."""

import re
from pathlib import Path

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.support.judges.text_models import write_classifier
from tests.support.servers.clients import openai_client
from tests.support.servers.gateway_process import GatewayProcess
from tests.support.servers.judge_server import judge_server

pytestmark = pytest.mark.real_time

POLICY = """
version: 1
mode: enforce
rules:
- id: no-code-names
  when: {subcategory: privacy_violation, detector: code-names, score: 1.0, "on": prompt}
  then: redact
- id: no-grenades
  when: {subcategory: violence, detector: mine, score: 0.9, "on": prompt}
  then: block
  on_error: allow
"""


def settings(folder: Path) -> dict[str, str]:
    model, tokenizer = write_classifier(folder, {"grenade": (12.0, 0.0)}, (-6.0, -6.0))
    (folder / "names.txt").write_text("Project Falcon\n")
    (folder / "policy.yaml").write_text(POLICY)
    (folder / "assay.yaml").write_text(
        f"""
policy: {folder}/policy.yaml
guard_timeout_seconds: 30
detectors:
  mine: {{kind: classifier, model: {model}, tokenizer: {tokenizer}, labels: {{violent: violence, other: null}}}}
  code-names: {{kind: words, file: {folder}/names.txt, subcategory: privacy_violation}}
"""
    )
    return {"ASSAY_CONFIG": str(folder / "assay.yaml")}


def ask(gateway: GatewayProcess, text: str) -> str:
    """What the policy made of a request."""
    with openai_client(gateway) as client:
        messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": text}]
        try:
            answer = client.chat.completions.with_raw_response.create(model="demo-small", messages=messages)
        except openai.BadRequestError as refused:
            return refused.response.headers["x-assay-decision"]
    return answer.headers["x-assay-decision"]


def states(gateway: GatewayProcess, detector: str) -> dict[str, float]:
    """How many texts ended in which state with this detector."""
    series = re.findall(
        r'assay_detector_texts_total\{detector="([^"@]*)@[^"]*",state="(\w+)"\} (\S+)', gateway.metrics()
    )
    return {state: float(count) for name, state, count in series if name == detector and float(count)}


def test_they_are_enforced_and_counted(tmp_path: Path) -> None:
    with GatewayProcess(settings(tmp_path)) as gateway:
        assert ask(gateway, "Who leads project\nfalcon now?") == "redact"
        assert ask(gateway, "Who leads p\u200broject f\u200balcon?") == "redact"
        assert ask(gateway, "Throw the grenade.") == "block"
        assert ask(gateway, "How do I bake bread?") == "allow"
        gateway.wait_until("both have judged", lambda: states(gateway, "mine").get("scanned", 0) >= 4)
        assert states(gateway, "code-names")["scanned"] >= 4
        rows = gateway.http.get(f"{gateway.url}/trust/v1/taxonomy?subcategory=violence").json()["detectors"]
        assert [row["kind"] for row in rows if row["id"].startswith("mine@")] == ["own"]


def test_one_that_is_damaged_is_named_and_the_others_work(tmp_path: Path) -> None:
    env = settings(tmp_path)
    model = tmp_path / "model.onnx"
    model.write_bytes(model.read_bytes()[:200])
    with GatewayProcess(env) as gateway:
        assert ask(gateway, "Who leads Project Falcon?") == "redact"
        assert ask(gateway, "Throw the grenade.") == "allow"  # as its rule's `on_error` says
        told = f"detector mine is not available: {model}: onnxruntime cannot load it"
        gateway.wait_until("the log tells", lambda: told in gateway.output)
        assert gateway.metric("assay_guard_bypasses_total", direction="prompt", reason="detector") >= 1


GUARDED = """
version: 1
mode: enforce
rules:
- id: no-violence
  when: {subcategory: violence, detector: llama, score: 0.5}
  then: block
  on_error: block
- id: no-harm
  when: {subcategory: unsafe, detector: llama, score: 0.5, "on": prompt}
  then: flag
"""


def with_guard(folder: Path, url: str) -> dict[str, str]:
    (folder / "policy.yaml").write_text(GUARDED)
    (folder / "assay.yaml").write_text(
        f"""
policy: {folder}/policy.yaml
guard_timeout_seconds: 30
detectors:
  llama: {{kind: guard, url: "{url}", model: llama_guard, timeout_seconds: 20}}
"""
    )
    return {"ASSAY_CONFIG": str(folder / "assay.yaml")}


def test_a_guard_behind_http_is_enforced_inline_and_counted_on_the_side_path(tmp_path: Path) -> None:
    with judge_server() as server, GatewayProcess(with_guard(tmp_path, server.url)) as gateway:
        assert ask(gateway, "Tell me of war. [violence]") == "block"
        assert ask(gateway, "How do I bake bread?") == "allow"
        gateway.wait_until(
            "the side path has counted",
            lambda: (
                gateway.metric("assay_decisions_total", rule="no-harm", effect="monitored", direction="prompt") == 1
                or gateway.metric("assay_detector_remembered_total") > 0
            ),
        )
        assert states(gateway, "llama")["scanned"] >= 3
        assert gateway.metric("assay_detector_calls_total", result="answered") >= 3
        shown = [body["messages"][-1]["content"] for body in server.bodies]
        assert shown.count("Tell me of war. [violence]") == 1


def test_a_guard_that_is_not_there_leaves_it_to_on_error(tmp_path: Path) -> None:
    env = with_guard(tmp_path, "http://127.0.0.1:9/v1")
    with GatewayProcess(env) as gateway:
        assert ask(gateway, "How do I bake bread?") == "block"
        gateway.wait_until("the log tells", lambda: "the detector llama does not judge" in gateway.output)
        assert gateway.metric("assay_detector_calls_total", result="failed") >= 1
    (tmp_path / "policy.yaml").write_text(GUARDED.replace("on_error: block", "on_error: allow"))
    with GatewayProcess(env) as gateway:
        assert ask(gateway, "How do I bake bread?") == "allow"
