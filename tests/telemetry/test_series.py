"""What a fresh gateway shows: every series that the configuration lets foresee, at zero."""

import re
import subprocess
import sys

import pytest

from gateway.telemetry import metrics, series
from tests.support.running.patience import PATIENCE_SECONDS

PROGRAM = """
from gateway.telemetry import metrics, series
series.begin_traffic(["fast", "slow"], ["up0"])
series.begin_guard()
series.begin_judging(["words@1"])
print(metrics.render()[0].decode())
"""
EXPECTED = """
assay_requests_total{operation="chat",outcome="blocked",route="fast",status="4xx"} 0.0
assay_requests_total{operation="messages",outcome="blocked",route="slow",status="2xx"} 0.0
assay_requests_total{operation="chat",outcome="rejected",route="none",status="4xx"} 0.0
assay_errors_total{reason="prompt_blocked",source="policy"} 0.0
assay_errors_total{reason="status",source="upstream"} 0.0
assay_samples_offered_total{route="slow"} 0.0
assay_samples_total{fate="judged",reason=""} 0.0
assay_samples_total{fate="dropped",reason="queue_full"} 0.0
assay_guard_bypasses_total{direction="prompt",reason="timed_out"} 0.0
assay_moderations_total{mode="block",result="flagged",side="output"} 0.0
assay_upstream_failures_total{reason="connect_failed",upstream="up0"} 0.0
assay_upstream_first_byte_seconds_count{upstream="up0"} 0.0
assay_guard_duration_seconds_count{direction="response"} 0.0
assay_request_duration_seconds_count{mode="stream",operation="chat"} 0.0
assay_detector_texts_total{detector="words@1",state="scanned"} 0.0
assay_detector_remembered_total{detector="words@1"} 0.0
"""


@pytest.mark.slow
def test_what_is_foreseen_begins_at_zero() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True
    )
    shown = set(done.stdout.splitlines())
    assert [line for line in EXPECTED.strip().splitlines() if line not in shown] == []
    counted = [line for line in shown if re.match(r"assay_\w+_total\{", line)]
    assert all(line.endswith(" 0.0") for line in counted)


@pytest.mark.slow
def test_very_many_routes_do_not_fill_the_page() -> None:
    before = len(metrics.samples("assay_requests_total"))
    series.begin_traffic([f"route-{number}" for number in range(10_000)], [])
    assert len(metrics.samples("assay_requests_total")) - before < 5_000
