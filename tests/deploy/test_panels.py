"""What panels show, by the real promtool."""

import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from grafana.queries import counted

PROMTOOL = shutil.which("promtool")


@pytest.mark.skipif(PROMTOOL is None, reason="the program promtool is not installed")
@pytest.mark.parametrize(
    ("added", "shown"),
    [
        ("0", [{"labels": '{reason="none"}', "value": 0}]),
        ("3", [{"labels": '{source="client", reason="bad_body"}', "value": 0.05}]),
    ],
)
def test_lines_at_zero_are_left_out_and_none_stands_for_all_of_them(tmp_path: Path, added: str, shown: object) -> None:
    expr = counted("errors_total", "source, reason", none="reason").expr
    expr = expr.replace("$__rate_interval", "4m").replace("$__range", "10m")
    labels = 'source="client", reason='
    case = {
        "interval": "1m",
        "input_series": [
            {"series": "assay_build_info", "values": "1x20"},
            {"series": f'errors_total{{{labels}"bad_body"}}', "values": f"0+{added}x20"},
            {"series": f'errors_total{{{labels}"too_large"}}', "values": "0x20"},
        ],
        "promql_expr_test": [{"expr": expr, "eval_time": "15m", "exp_samples": shown}],
    }
    path = tmp_path / "case.yaml"
    path.write_bytes(msgspec.json.encode({"rule_files": [], "tests": [case]}))
    done = subprocess.run([str(PROMTOOL), "test", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
