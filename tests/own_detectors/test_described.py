"""The settings of the operator's detectors: what is wrong with one is named and costs that one alone."""

from pathlib import Path

import pytest

from gateway.__main__ import main
from gateway.config.load import load
from gateway.config.settings import ConfigError
from gateway.enforcement.local_tables import read_local_tables
from gateway.enforcement.signals import load_policy
from gateway.own_detectors.described import own_detectors
from policies.source import PolicyError
from tests.support.judges.text_models import write_classifier
from tests.support.servers.judge_server import judge_server

POLICY = """
version: 1
mode: enforce
rules:
- id: no-code-names
  when: {subcategory: privacy_violation, detector: code-names, %s}
  then: redact
"""


def settings(folder: Path) -> Path:
    """Three detectors that work, in a configuration file."""
    model, tokenizer = write_classifier(folder, {"grenade": (12.0, 0.0)}, (-6.0, -6.0))
    (folder / "names.txt").write_text("Project Falcon\nBlue Heron\n")
    path = folder / "assay.yaml"
    path.write_text(
        f"""
state_dir: {folder}
detectors:
  mine:
    kind: classifier
    model: {model}
    tokenizer: {tokenizer}
    labels: {{violent: violence, other: null}}
    overlap_tokens: 4
    source: our lab
  code-names: {{kind: words, file: {folder}/names.txt, subcategory: privacy_violation}}
  guard: {{kind: guard, url: http://127.0.0.1:9/v1, model: llama-guard-3-8b}}
"""
    )
    return path


def test_what_is_known_without_loading(tmp_path: Path) -> None:
    own = own_detectors(load({}, {}, settings(tmp_path)))
    assert own.faults == {}
    mine, names, guard = own.infos()
    assert mine.kind == "own"
    assert mine.slugs == {"violence"}
    assert names.labels == {"code_names"}
    assert ("unsafe", "response") in guard.operating
    assert set(mine.operating.values()) == {()}


@pytest.mark.parametrize(
    ("was", "becomes", "fault"),
    [
        ("violent: violence", "violent: violance", "there is no sub-category 'violance'; did you mean `violence`?"),
        ("violent: violence", "violent: null", "mine: it judges no sub-category"),
        ("names.txt", "gone.txt", "code-names: file: there is no file"),
        ("model.onnx", "gone.onnx", "mine: model: there is no file"),
        ("tokenizer.json", "names.txt", "names.txt: is no tokenizer.json"),
        (", other: null", "", "has 2 outputs, `labels` names 1"),
        ("privacy_violation", "privacy", "code-names: there is no sub-category 'privacy'"),
        ("code-names:", "secrets:", "secrets: 'secrets' is the name of a shipped detector"),
        ("model: llama-guard-3-8b", "model: llama-guard, subcategories: [x]", "guard: there is no sub-category 'x'"),
    ],
)  # fmt: skip
def test_check_names_each_fault(
    tmp_path: Path, was: str, becomes: str, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = settings(tmp_path)
    path.write_text(path.read_text().replace(was, becomes))
    own = own_detectors(load({}, {}, path))
    assert len(own.infos()) == 3  # the others are there
    assert main(["check", "--config", str(path)]) == 2
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("detectors.")]
    assert fault in line


def test_check_warns_of_a_guard_that_does_not_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", str(settings(tmp_path))]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "detectors.guard" in line]
    assert line.startswith("note: detectors.guard: the guard does not answer now (")


def test_a_guard_is_measured_like_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, texts = settings(tmp_path), tmp_path / "harmless.jsonl"
    texts.write_text('{"text": "How do I bake bread?", "role": "prompt"}\n' * 600)
    command = ["calibrate", "--config", str(path), "--texts", str(texts), "--detector", "guard", "--adopt"]
    assert main(command) == 2
    assert "detectors.guard: " in capsys.readouterr().err
    with judge_server() as server:
        there = path.read_text().replace(
            "http://127.0.0.1:9/v1, model: llama-guard-3-8b", server.url + ", model: llama_guard"
        )
        path.write_text(there)
        assert main(command) == 0
        assert len(server.bodies) == 2  # one of them to see whether it answers
    local = read_local_tables(tmp_path / "operating.json")
    assert all(dict(table.rows)[0.01] == 0.5 for head, table in local.items() if head[2] == "prompt")


def test_tables_are_adopted_before_a_gateway_has_run(tmp_path: Path) -> None:
    path, texts, state = settings(tmp_path), tmp_path / "harmless.txt", tmp_path / "var" / "assay"
    path.write_text(path.read_text().replace(f"state_dir: {tmp_path}", f"state_dir: {state}"))
    texts.write_text("How do I bake bread?\n" * 600)
    command = ["calibrate", "--config", str(path), "--texts", str(texts), "--detector", "code-names", "--adopt"]
    assert main(command) == 0
    assert read_local_tables(state / "operating.json")


def test_what_no_setting_can_be_is_refused(tmp_path: Path) -> None:
    path = settings(tmp_path)
    path.write_text(path.read_text().replace("kind: words, file", "kind: words, fil"))
    with pytest.raises(ConfigError) as refused:
        load({}, {}, path)
    assert f"{path}: detectors.code-names.fil: unknown key; did you mean `file`?" in refused.value.problems


@pytest.mark.slow
def test_there_is_no_table_until_one_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, policy = settings(tmp_path), tmp_path / "policy.yaml"
    texts = tmp_path / "harmless.txt"
    texts.write_text("How do I bake bread?\n" * 595 + "Who leads Project Falcon?\n" * 5)
    infos = own_detectors(load({}, {}, path)).infos()
    policy.write_text(POLICY % "false_alarms: 0.01")
    with pytest.raises(PolicyError, match=r"code-names@\w+ for privacy_violation in a prompt were never measured"):
        load_policy(str(policy), detectors=infos)
    assert main(["detectors", "--config", str(path)]) == 0
    card = capsys.readouterr().out
    assert "| `violence` | prompt | no table yet: flagged from a score of 0.5 | 0 |" in card
    assert "Source: our lab." in card

    command = ["calibrate", "--config", str(path), "--texts", str(texts)]
    assert main([*command, "--detector", "code-names", "--detector", "mine", "--adopt"]) == 0
    local = read_local_tables(tmp_path / "operating.json")
    rows = next(table.rows for head, table in local.items() if head[1:] == ("privacy_violation", "prompt"))
    assert dict(rows)[0.01] == 1.0  # 5 of 600 is below 1 %
    (rule,) = load_policy(str(policy), local=local, detectors=infos).rules
    assert {threshold.score for threshold in rule.thresholds} == {1.0}
    capsys.readouterr()
    assert main(["detectors", "--config", str(path)]) == 0
    assert "0.01: 1.0000" in capsys.readouterr().out

    texts.write_text('{"text": "Blue Heron again", "role": "prompt"}\n' * 60)
    assert main([*command, "--detector", "code-names", "--adopt"]) == 0  # the other's table stays
    local = read_local_tables(tmp_path / "operating.json")
    assert {head[1] for head in local} == {"violence", "privacy_violation"}
    rows = next(table.rows for head, table in local.items() if head[1:] == ("privacy_violation", "prompt"))
    assert [rate for rate, _ in rows] == [0.1]
    assert rows[0][1] > 1  # all of what counts as harmless names one: nothing keeps to 10 %


@pytest.mark.parametrize(
    ("content", "names", "what"),
    [
        ("", ["mine"], "there is no text in it"),
        ('{"text": 3}\n', ["mine"], "harmless.txt:1: "),
        ("x\n", ["other"], "--detector: `detectors` has no 'other'"),
    ],
)
def test_what_cannot_be_measured_is_told(
    tmp_path: Path, content: str, names: list[str], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, texts = settings(tmp_path), tmp_path / "harmless.txt"
    texts.write_text(content)
    asked = [part for name in names for part in ("--detector", name)]
    assert main(["calibrate", "--config", str(path), "--texts", str(texts), *asked]) == 2
    assert what in capsys.readouterr().err
