"""Rules about what contradicts a source are tried out beside one."""

import io
from pathlib import Path
from unittest import mock

import pytest

from gateway.__main__ import main

pytestmark = pytest.mark.slow  # the models are loaded

POLICY = """
version: 1
mode: enforce
rules:
- {id: unsupported, when: {subcategory: hallucination, on: response, false_alarms: 0.1}, then: block}
"""
SOURCE = "The harbour bridge has eight lanes of road. It was opened in 1932 by the premier of the state."
INVENTED = "It was opened in 1987 by the queen of Denmark."
CASES = f"""
- {{name: made up, direction: response, channel: assistant, text: *, context: {SOURCE}, expect: {{action: block}}}}
- {{name: no source, direction: response, channel: assistant, text: *, expect: {{action: allow}}}}
""".replace("*", INVENTED)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    (tmp_path / "own.cases.yaml").write_text(CASES)
    path = tmp_path / "own.yaml"
    path.write_text(POLICY)
    return path


def explain(policy: Path, *more: str) -> None:
    with mock.patch("sys.stdin", io.TextIOWrapper(io.BytesIO(INVENTED.encode()))):
        assert main(["policy", "explain", str(policy), *more]) == 0


def test_cases_are_judged_beside_their_source(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "test", str(policy)]) == 0
    assert "2 passed, 0 failed, 0 skipped; 1 of 1 rules matched in a case" in capsys.readouterr().out


def test_a_reply_is_explained_beside_its_source(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (policy.parent / "source.txt").write_text(SOURCE)
    explain(policy, "--role", "response", "--context", str(policy.parent / "source.txt"))
    assert "decision: block by unsupported" in capsys.readouterr().out


def test_without_a_source_it_says_what_is_missing(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    explain(policy, "--role", "response")
    shown = capsys.readouterr().out
    assert "found nothing to judge: it compares a reply with its source, which --context FILE gives" in shown
    assert "decision: allow" in shown


def test_a_rule_for_replies_says_so_of_a_prompt(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    explain(policy)
    assert "rule unsupported (block, enforced): no match\n    it is not for a prompt\n" in capsys.readouterr().out


def test_a_source_that_is_not_there_is_named(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "explain", str(policy), "--context", str(policy.parent / "gone.txt")]) == 2
    assert "gone.txt: No such file or directory" in capsys.readouterr().err
