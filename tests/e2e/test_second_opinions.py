"""The product with a judge model: traffic goes in, second opinions come out; only the judge that was named is asked."""

import json
import os
import pty
import sys
from pathlib import Path
from typing import Any

import openai
import pytest

from detectors.base import Text
from gateway.judging.dialects import DIALECTS, Options
from tests.support.servers.gateway_process import GatewayProcess
from tests.support.servers.judge_server import judge_server

pytestmark = pytest.mark.real_time


def ask(gateway: GatewayProcess, text: str) -> None:
    client = openai.OpenAI(base_url=gateway.base_url, api_key=gateway.key)
    with client:
        client.chat.completions.create(model="demo-small", messages=[{"role": "user", "content": text}])


def test_traffic_gets_second_opinions_from_the_judge_that_was_named(tmp_path: Path) -> None:
    with judge_server() as judge:
        settings = {
            "ASSAY_STATE_DIR": str(tmp_path),
            "ASSAY_JUDGE": json.dumps({"url": judge.url, "model": "llama_guard", "price_per_million_input_tokens": 2}),
        }
        with GatewayProcess(settings) as gateway:
            ask(gateway, "Tell me a story. [violence]")
            ask(gateway, "How do I bake bread?")
            gateway.wait_until(
                "both have an opinion", lambda: gateway.metric("assay_opinion_items_total", fate="answered") >= 2
            )
            report = gateway.http.get(gateway.url + "/trust/v1/judge").json()["judge"]
            assert report["calls"] == 4
            assert report["cost"] == pytest.approx(4 * 100 * 2e-6)
            rows = {(row["subcategory"], row["direction"]): row for row in report["subcategories"]}
            assert rows["violence", "prompt"]["yes_share"] == 0.5
            assert gateway.metric("assay_opinion_tokens_total", side="output") == 40
            rates = gateway.http.get(gateway.url + "/trust/v1/rates?window=1h").json()["rates"]
            violence = next(row for row in rates if (row["subcategory"], row["direction"]) == ("violence", "prompt"))
            assert violence["labels"]["judge"] == 2
        assert {body["model"] for body in judge.bodies} == {"llama_guard"}


def test_without_a_judge_no_text_leaves(tmp_path: Path) -> None:
    with GatewayProcess({"ASSAY_STATE_DIR": str(tmp_path)}, wait="live") as gateway:
        assert gateway.http.get(gateway.url + "/trust/v1/judge").json()["judge"] is None
        assert "assay_opinion_calls_total{" not in gateway.metrics()


def test_the_scripted_endpoints_are_what_openais_library_sends_and_reads() -> None:
    """So that the dialects are held against the shape of the real endpoints and not only against our own idea of it."""
    with judge_server() as judge, openai.OpenAI(base_url=judge.url, api_key="sk") as client:
        moderated = client.moderations.create(model="moderations", input="[violence]").results[0]
        assert moderated.flagged
        assert moderated.categories.violence
        assert moderated.category_scores.violence == 0.8
        (request,) = DIALECTS["decisions"].requests(Text("[violence]", "prompt"), {"violence"}, Options("decisions"))
        ours = json.loads(request.body)
        decided = client.decisions.create(model="decisions", input=ours["input"], questions=ours["questions"])
        assert judge.bodies[-1] == ours
        (answer,) = decided.answers
        assert answer.type == "predicate"
        assert answer.probability == 0.9


REVIEWED = {"ASSAY_OPERATOR_KEY": "operator-key-1", "ASSAY_REVIEW_TEXT": "true", "ASSAY_REVIEWERS": "2"}
OPERATOR = {"authorization": "Bearer operator-key-1"}


def test_people_label_in_a_terminal_and_over_http(tmp_path: Path) -> None:
    with GatewayProcess({"ASSAY_STATE_DIR": str(tmp_path), **REVIEWED}, wait="live") as gateway:
        ask(gateway, "You stupid idiot, I will kill you. \x1b[31mred")
        queue = gateway.url + "/trust/v1/review?by=ann"

        def waiting() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = gateway.http.get(queue, headers=OPERATOR).json()["items"]
            return found

        gateway.wait_until("the sample waits", lambda: bool(waiting()))
        (item,) = waiting()
        assert "I will kill you" in item["texts"]["prompt"]
        label = {"sample": item["sample"], "by": "ann", "labels": [_no("unsafe"), _no("violence")]}
        labels = gateway.url + "/trust/v1/labels"
        assert gateway.http.post(labels, json=label).status_code == 401
        kept = gateway.http.post(labels, json=label, headers=OPERATOR)
        assert kept.json() == {"kept": 2, "sample": item["sample"], "by": "ann"}
        gone = gateway.http.post(labels, json={**label, "sample": "gone"}, headers=OPERATOR)
        assert gone.status_code == 400
        assert "has expired" in gone.json()["error"]["message"]
        assert gateway.http.post(labels, content=b"{", headers=OPERATOR).status_code == 400

        seen = _review_in_a_terminal(tmp_path, "--by", "bob", "--only", "violence,toxicity", keys=b"yyyy")
        assert "I will kill you" in seen
        assert "\x1b[31m" not in seen
        assert "Samples labelled: 1." in seen
        assert "ann and bob: 1 labels by both, 0% equal, Cohen's kappa" in seen
        assert gateway.http.get(queue, headers=OPERATOR).json()["waiting"] == 0


def _no(slug: str) -> dict[str, Any]:
    return {"subcategory": slug, "direction": "prompt", "value": False}


def _review_in_a_terminal(state: Path, *arguments: str, keys: bytes) -> str:
    """What a terminal shows while these keys are pressed, each as soon as a question stands there."""
    env = {**os.environ, "ASSAY_STATE_DIR": str(state)}
    child, terminal = pty.fork()
    if child == 0:
        os.execve(sys.executable, [sys.executable, "-m", "gateway", "review", *arguments], env)
    seen = b""
    pressed = 0
    while True:
        try:
            seen += os.read(terminal, 4096)
        except OSError:  # the other end is closed
            break
        if pressed < min(len(keys), seen.count(b"[y/n/s/i/q]")):
            os.write(terminal, keys[pressed : pressed + 1])
            pressed += 1
    os.close(terminal)
    os.waitpid(child, 0)
    return seen.decode("utf-8", "replace")
