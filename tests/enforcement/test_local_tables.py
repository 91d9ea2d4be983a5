"""The operator's own tables: policies use them, say so, and take up new ones while they run."""

import json
from pathlib import Path
from typing import Any

import pytest

from detectors import manifest
from gateway.enforcement.local_tables import FILE, read_local_tables
from gateway.enforcement.policy_file import PolicyFile, described
from policies.source import PolicyError

ENCODER = manifest.load(weights=False)["encoder"]
KEY = next((slug, role) for slug, role in ENCODER.operating if role == "prompt")
POLICY = f"""
version: 1
mode: enforce
rules:
  - {{id: one, when: {{subcategory: {KEY[0]}, on: prompt, detector: encoder, false_alarms: 0.01}}, then: block}}
"""


def write(folder: Path, *, detector: str = ENCODER.id, rows: Any = ((0.001, 0.9), (0.01, 0.77))) -> Path:
    table = {
        "detector": detector,
        "subcategory": KEY[0],
        "direction": KEY[1],
        "harmless": 612.3,
        "rows": rows,
        "local_rates": [0.01],
    }
    path = folder / FILE
    path.write_text(json.dumps({"version": 1, "tables": [table]}))
    return path


def policy_of(folder: Path) -> PolicyFile:
    policy = folder / "policy.yaml"
    policy.write_text(POLICY)
    return PolicyFile(str(policy), wall_clock=lambda: 0.0, local=folder / FILE)


def threshold(file: PolicyFile) -> dict[str, Any]:
    (rule,) = described(file)["rules"]
    (found,) = rule["thresholds"]
    assert isinstance(found, dict)
    return found


def test_without_a_file_the_cards_tables_count(tmp_path: Path) -> None:
    found = threshold(policy_of(tmp_path))
    assert found["basis"] == "card"
    assert found["score"] == manifest.threshold(ENCODER.operating[KEY], 0.01)


def test_false_alarms_mean_this_traffic_once_a_table_is_adopted(tmp_path: Path) -> None:
    write(tmp_path)
    found = threshold(policy_of(tmp_path))
    assert (found["basis"], found["score"], found["false_alarms"], found["rows"]) == ("local", 0.77, 0.01, 612)


def test_the_table_of_another_version_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path, detector="encoder@0")
    assert threshold(policy_of(tmp_path))["basis"] == "card"


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [[0.01, 0.2], [0.001, 0.9]],  # rates fall
        [[0.01, 0.9], [0.01, 0.77]],  # one stands twice
        [[0.001, 0.2], [0.01, 0.9]],  # a higher rate from a higher score
    ],
)
def test_a_table_that_is_none_is_left_alone(tmp_path: Path, rows: list[list[float]]) -> None:
    write(tmp_path, rows=rows)
    assert threshold(policy_of(tmp_path))["basis"] == "card"


def test_two_rates_may_have_one_threshold(tmp_path: Path) -> None:
    write(tmp_path, rows=[[0.001, 0.77], [0.01, 0.77]])
    assert threshold(policy_of(tmp_path))["basis"] == "local"


def test_a_score_is_of_this_traffic_where_its_rate_was_measured_here(tmp_path: Path) -> None:
    (table,) = read_local_tables(write(tmp_path)).values()
    assert [table.rate_of(score) for score in (0.77, 0.9, 0.5)] == [0.01, None, None]


@pytest.mark.parametrize("content", ["", "{", '{"version": 1}', '{"version": 1, "tables": [{}]}'])
def test_a_broken_file_is_named_with_the_remedy(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(PolicyError) as raised:
        read_local_tables(tmp_path / FILE)
    assert FILE in str(raised.value)
    assert "assay calibrate --adopt" in str(raised.value)


async def test_a_running_gateway_takes_up_new_tables(tmp_path: Path) -> None:
    file = policy_of(tmp_path)
    write(tmp_path)
    await file._take_up(file._look(), "the file changed")  # noqa: SLF001 - one turn of `run`, without its pauses
    assert threshold(file)["basis"] == "local"
    (tmp_path / FILE).write_text("{")
    await file._take_up(file._look(), "the file changed")  # noqa: SLF001
    assert threshold(file)["score"] == 0.77
    assert FILE in file.refusal
