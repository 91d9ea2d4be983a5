"""Policies tried out before they are in force listen to the operator's own detectors too."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from gateway.__main__ import main
from tests.support.servers.judge_server import JudgeServer, judge_server

POLICY = """
version: 1
mode: enforce
rules:
- {id: no-code-names, when: {subcategory: privacy_violation, detector: code-names, score: 1.0}, then: redact}
- {id: no-attacks, when: {subcategory: violence, detector: guard, score: 0.5}, then: block}
"""
CASES = """
- {name: a name, direction: prompt, channel: user, text: Who leads Project Falcon?, expect: {action: redact}}
- {name: an attack, direction: prompt, channel: user, text: "Do it. [violence]", expect: {action: block}}
- {name: neither, direction: prompt, channel: user, text: How do I bake bread?, expect: {action: allow}}
"""


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    with judge_server() as running:
        yield running


@pytest.fixture
def config(tmp_path: Path, server: JudgeServer) -> Path:
    (tmp_path / "names.txt").write_text("Project Falcon\n")
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "policy.cases.yaml").write_text(CASES)
    path = tmp_path / "assay.yaml"
    path.write_text(
        f"""
state_dir: {tmp_path}
detectors:
  code-names: {{kind: words, file: {tmp_path}/names.txt, subcategory: privacy_violation}}
  guard: {{kind: guard, url: {server.url}, model: llama_guard}}
"""
    )
    return path


def trial(action: str, config: Path, *more: str, text: str = "") -> int:
    with mock.patch("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode()))):
        return main(["policy", action, str(config.parent / "policy.yaml"), "--config", str(config), *more])


@pytest.mark.slow
def test_cases_are_judged_by_them(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert trial("test", config) == 0
    assert "3 passed, 0 failed, 0 skipped; 2 of 2 rules matched in a case" in capsys.readouterr().out


@pytest.mark.slow
def test_a_text_is_explained_by_them(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert trial("explain", config, text="Project Falcon [violence]") == 0
    shown = capsys.readouterr().out
    assert "decision: block by no-attacks" in shown
    assert "code_names: characters 0 to 14" in shown
    assert "matched: no-code-names (redact, enforced)" in shown


@pytest.mark.slow
def test_a_guard_that_no_rule_listens_to_is_not_asked(
    config: Path, server: JudgeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = config.parent / "policy.yaml"
    policy.write_text(POLICY.replace("violence, detector: guard", "violence, detector: encoder"))
    assert trial("explain", config, text="Project Falcon [violence]") == 0
    assert "decision: redact by no-code-names" in capsys.readouterr().out
    assert server.bodies == []


@pytest.mark.parametrize("action", ["test", "explain"])
@pytest.mark.parametrize(
    ("was", "becomes", "fault"),
    [
        ("llama_guard", "llama_guard, upstream: x", "detectors.guard"),
        ("", "http://127.0.0.1:9/v1", "detectors.guard: the guard does not answer now ("),  # in place of its URL
        ("names.txt", "gone.txt", "detectors.code-names: file: there is no file"),
    ],
)
def test_one_that_cannot_be_used_is_named(
    config: Path,
    server: JudgeServer,
    action: str,
    was: str,
    becomes: str,
    fault: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config.write_text(config.read_text().replace(was or server.url, becomes))
    assert trial(action, config) == 2
    assert fault in capsys.readouterr().err


@pytest.mark.slow
def test_tables_that_were_made_here_are_in_force(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy, texts = config.parent / "policy.yaml", config.parent / "harmless.txt"
    policy.write_text(POLICY.replace("code-names, score: 1.0", "code-names, false_alarms: 0.01"))
    assert trial("test", config) == 2
    assert "were never measured" in capsys.readouterr().err
    texts.write_text("How do I bake bread?\n" * 600)
    adopt = ["calibrate", "--config", str(config), "--texts", str(texts), "--detector", "code-names", "--adopt"]
    assert main(adopt) == 0
    assert trial("test", config) == 0


@pytest.mark.slow
def test_recorded_traffic_is_decided_and_costs_are_measured_with_them(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy, rows = str(config.parent / "policy.yaml"), config.parent / "own.jsonl"
    rows.write_text(json.dumps({"text": "Who leads Project Falcon?", "labels": {"privacy_violation": 1}}) + "\n")
    given = ["--policy", policy, "--config", str(config)]
    assert main(["policy", "cost", "--data", str(config.parent), "own", *given]) == 0
    (config.parent / "audit.jsonl").write_text("")
    assert main(["policy", "simulate", "--traffic", str(config.parent / "audit.jsonl"), *given]) == 1  # it is empty
    harmless = config.parent / "harmless.jsonl"
    harmless.write_text('{"text": "Who leads Project Falcon?", "role": "prompt"}\n')
    assert main(["policy", "false-alarms", str(harmless), *given]) == 0
    assert "no-code-names" in capsys.readouterr().out
