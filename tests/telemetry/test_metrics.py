"""The catalogue keeps Prometheus' conventions, the quick counters agree with the library's, and workers add up."""

import os
import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gateway.errors import REASONS, Source
from gateway.exchange import Outcome
from gateway.openai_api import CHANNELS
from gateway.openai_api.passages import REASONS as UNREAD_REASONS
from gateway.telemetry import metrics
from tests.support.running.patience import PATIENCE_SECONDS
from tests.support.running.together import together

CATALOGUE = metrics.catalogue()
UNITS = ("_seconds", "_bytes", "_ratio", "_info")
# Every label, and where its values come from: configuration, a list in the code, never a request.
LABELS = {
    "action": "policies.engine.Action",
    "basis": "trust.estimates.BASES",
    "budget": "calls, tokens, cost",
    "by": "probes.comparing.BYS, panel and signs",
    "category": "the taxonomy's categories, and auxiliary",
    "channel": "policies.model.CHANNELS",
    "currency": "the configured one",
    "detector": "the shipped detectors, as name@version",
    "direction": "prompt, response; input, output",
    "effect": "enforced, monitored, leaked",
    "fate": "judged, answered, undecided, dropped, expired, failed",
    "flagged": "0, 1",
    "llamaguard": "detectors.mappings.codes",
    "mlcommons": "detectors.mappings.codes",
    "nist": "detectors.mappings.codes",
    "openai": "detectors.mappings.codes",
    "owasp": "detectors.mappings.codes",
    "language": "ISO 639-1 codes, the first 8, unknown and other",
    "model": "of the pairs of route and model that were judged most, up to trust.gauges.GROUPS; of tokens, configured "
    "names and model_labels others that upstreams served; other",
    "mode": "plain, stream; monitor, enforce; score, block",
    "operation": "openai_api.Operation",
    "outcome": "exchange.Outcome",
    "probe": "the rows of probes.table",
    "process": "gateway, worker, detectors, monitors",
    "reason": "errors.REASONS and the lists in guard, worker, upstream.posts and probes.replay; nonsense",
    "result": "written, dropped; adopted, refused; clean, flagged, failed; answered, failed",
    "revision": "of the policy in force",
    "route": "configured names, and none",
    "rule": "the ids of the policy's rules",
    "source": "errors.Source",
    "side": "input, output",
    "state": "detectors.base.State; idle, busy",
    "status": "1xx to 5xx, and none",
    "subcategory": "the taxonomy's slugs",
    "task": "names that gateway.app, gateway.worker_app and gateway.parts give to background tasks",
    "upstream": "configured names",
    "version": "of this package",
}


@together("name", CATALOGUE)
def test_a_metric_is_named_as_prometheus_asks(name: str) -> None:
    metric = CATALOGUE[name]
    assert re.fullmatch(r"assay_[a-z][a-z0-9_]*[a-z0-9]", name)
    if isinstance(metric, Counter):
        assert name.endswith("_total")
    else:
        assert not name.endswith("_total")
    if isinstance(metric, Histogram):
        assert name.endswith(("_seconds", "_ratio"))
        assert list(metric._upper_bounds) == sorted(set(metric._upper_bounds))
    for unit in ("ms", "millis", "milliseconds", "minutes", "percent", "kilobytes", "mb"):
        assert unit not in name.split("_")
    for unit in UNITS:  # a unit stands at the end, before _total at most
        assert unit + "_" not in name.removesuffix("_total") + "$" or unit in ("_bytes", "_seconds")


@together("name", CATALOGUE)
def test_a_metric_answers_a_question(name: str) -> None:
    question = CATALOGUE[name]._documentation
    assert "?" in question or question.startswith("Sum of"), question
    assert question[0].isupper()
    assert question.isascii()


def test_labels_are_closed_sets() -> None:
    used = {label for metric in CATALOGUE.values() for label in metric._labelnames}
    assert used == LABELS.keys()


def test_every_metric_is_registered_once_and_exported() -> None:
    names = [family.name for family in metrics.REGISTRY.collect()]
    assert len(names) == len(set(names)) == len(CATALOGUE)
    assert {name.removesuffix("_total") for name in CATALOGUE} == set(names)


def test_the_page_can_be_read_by_prometheus_own_parser() -> None:
    metrics.tally(metrics.ERRORS, Source.CLIENT, "no_key").add()
    metrics.flush()
    page = metrics.render()[0].decode()
    families = {family.name for family in text_string_to_metric_families(page)}
    assert {name.removesuffix("_total") for name in CATALOGUE} == families
    assert "_created" not in page
    assert 'assay_errors_total{reason="no_key",source="client"}' in page


def test_a_label_cannot_break_a_line() -> None:
    metrics.tally(metrics.BYPASSES, "prompt", 'a"\n\\b').add()
    metrics.flush()
    reasons = {dict(key)["reason"] for key in metrics.samples("assay_guard_bypasses_total")}
    assert 'a"\n\\b' in reasons
    read_back = {
        sample.labels.get("reason")
        for family in text_string_to_metric_families(metrics.render()[0].decode())
        for sample in family.samples
    }
    assert 'a"\n\\b' in read_back


def test_what_is_unread_begins_at_zero() -> None:
    metrics.begin_unread(CHANNELS, UNREAD_REASONS)
    shown = {(dict(key)["channel"], dict(key)["reason"]) for key in metrics.samples("assay_unread_total")}
    assert shown >= set(product(CHANNELS, UNREAD_REASONS))


def test_reasons_and_outcomes_are_short_words() -> None:
    for word in (*REASONS, *Outcome, *Source):
        assert re.fullmatch(r"[a-z_]{1,32}", word)


# --- the quick counters


def test_a_tally_counts_as_the_library_does() -> None:
    registry = CollectorRegistry()
    counter = Counter("x", "?", ["a"], registry=registry)
    tally = metrics.Tally(counter, ("1",))
    tally.add()
    tally.add(2.5)
    assert registry.get_sample_value("x_total", {"a": "1"}) == 0
    tally.flush()
    tally.flush()
    assert registry.get_sample_value("x_total", {"a": "1"}) == 3.5


@pytest.mark.parametrize("labels", [("1",), ()])
def test_a_spread_observes_as_the_library_does(labels: tuple[str, ...]) -> None:
    values = [-1.0, 0.0, 0.1, 0.1000001, 0.5, 1, 1.5, 2, 2.1, 1e9]
    pages = []
    for quick in (False, True):
        registry = CollectorRegistry()
        histogram = Histogram("x", "?", ["a"][: len(labels)], buckets=(0.1, 1, 2), registry=registry)
        spread = metrics.Spread(histogram, labels)
        for value in values:
            if quick:
                spread.observe(value)
            else:
                (histogram.labels(*labels) if labels else histogram).observe(value)
        spread.flush()
        spread.flush()
        pages.append([line for line in generate_latest(registry).decode().splitlines() if "_created" not in line])
    assert pages[0] == pages[1]


def test_there_is_one_tally_for_the_same_labels() -> None:
    assert metrics.tally(metrics.ERRORS, "client", "no_key") is metrics.tally(metrics.ERRORS, "client", "no_key")
    assert metrics.spread(metrics.ADDED) is metrics.spread(metrics.ADDED)


# --- several workers

WORKER = """
import sys
from gateway.telemetry import metrics
for _ in range(int(sys.argv[1])):
    metrics.tally(metrics.REQUESTS, "default", "chat", "completed", "2xx").add()
    metrics.spread(metrics.DURATION, "chat", "plain").observe(0.2)
metrics.IN_FLIGHT.set(int(sys.argv[1]))
metrics.POLICY_INFO.labels("abc", "monitor").set(1)
metrics.flush()
print("ready", flush=True)
sys.stdin.read()
if sys.argv[2] == "orderly":
    metrics.forget_this_process()
"""
READER = "from gateway.telemetry import metrics; print(metrics.render()[0].decode())"


def run_worker(folder: Path, count: int, end: str) -> "subprocess.Popen[str]":
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(count), end],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    return worker


def read(folder: Path) -> dict[str, float]:
    """What a further process exports: `name{labels}` → value."""
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    done = subprocess.run([sys.executable, "-c", READER], env=env, capture_output=True, text=True, check=True)
    lines = [line.rpartition(" ") for line in done.stdout.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


REQUESTS = 'assay_requests_total{operation="chat",outcome="completed",route="default",status="2xx"}'
DURATIONS = 'assay_request_duration_seconds_count{mode="plain",operation="chat"}'
POLICY = 'assay_policy_info{mode="monitor",revision="abc"}'


@pytest.mark.slow
def test_workers_add_up_and_what_is_live_ends_with_them(tmp_path: Path) -> None:
    orderly, crashing = run_worker(tmp_path, 3, "orderly"), run_worker(tmp_path, 4, "crash")
    with orderly, crashing:
        page = read(tmp_path)
        assert page[REQUESTS] == 7
        assert page[DURATIONS] == 7
        assert page["assay_requests_in_flight"] == 7
        assert page[POLICY] == 1
        orderly.communicate("", timeout=PATIENCE_SECONDS)
        assert read(tmp_path)["assay_requests_in_flight"] == 4
        crashing.kill()
        crashing.communicate(timeout=PATIENCE_SECONDS)
    page = read(tmp_path)
    assert page[REQUESTS] == 7  # what was counted stays counted
    assert page[DURATIONS] == 7
    assert page.get("assay_requests_in_flight", 0) == 0


# Gauges of which every process shows the same, so that they must not be added up.
SHARED = (
    "_info",
    "_rate_ratio",
    "assay_trust_",
    "assay_monitor_",
    "assay_subcategory_detectors",
    "assay_policy_false_alarm_ratio",
    "assay_sampling_share",
)


def test_gauges_say_how_they_add_up() -> None:
    for name, metric in CATALOGUE.items():
        if isinstance(metric, Gauge):
            shared = any(part in name for part in SHARED)
            of_each = name.startswith("assay_process_")
            assert metric._multiprocess_mode == ("mostrecent" if shared else "liveall" if of_each else "livesum")


def test_openmetrics_is_written_for_who_accepts_it() -> None:
    body, content_type = metrics.render("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
    body, content_type = metrics.render("text/plain;version=0.0.4")
    assert content_type == metrics.CONTENT_TYPE
    assert b"# EOF" not in body
