"""What the page is told: what stands behind a row, what a threshold costs, what was counted."""

from dataclasses import replace

from detectors import manifest
from detectors.behind import needs
from gateway.pages.policy import cost
from gateway.pages.status import counted
from gateway.telemetry import metrics

INFO = manifest.load(weights=False)["secrets"]
TABLE = ((0.001, 0.9), (0.01, 0.5), (0.1, 0.2))
KNOWN = replace(INFO, operating={("toxicity", "prompt"): TABLE}, benign_rows={("toxicity", "prompt"): 700})


def costs(score: float, slug: str = "toxicity") -> dict[str, float | None]:
    threshold = {"subcategory": slug, "direction": "prompt", "table": "secrets", "score": score}
    return cost(threshold, {"secrets": KNOWN})


def test_a_threshold_costs_the_smallest_rate_whose_score_it_reaches() -> None:
    assert costs(0.5) == {"false_alarms": 0.01, "rows": 700}
    assert costs(0.6) == {"false_alarms": 0.01, "rows": 700}
    assert costs(0.95) == {"false_alarms": 0.001, "rows": 700}


def test_a_cost_that_no_table_tells_is_not_made_up() -> None:
    assert costs(0.1) == {"false_alarms": None, "rows": 700}
    assert costs(0.5, slug="violence") == {"false_alarms": None, "rows": 0}
    assert cost({"subcategory": "x", "direction": "prompt", "table": "gone@1", "score": 1}, {}) == {
        "false_alarms": None,
        "rows": 0,
    }


def test_a_row_needs_something_only_while_nothing_judges_it() -> None:
    nothing = {"kinds": ("pair", "probe"), "detectors": [], "monitor": ""}
    assert needs(nothing).startswith("a detector that compares two texts")
    assert needs({**nothing, "detectors": [{"id": "encoder@3"}]}) == ""
    assert needs({**nothing, "monitor": "finds much"}).startswith("many judged samples")


def test_what_is_never_asked_to_be_a_sample_is_no_part_of_the_share() -> None:
    def sampleable() -> float:
        return sum(float(row["count"]) for row in counted()["sampleable"])

    before = sampleable()
    for labels in (
        ("none", "chat", "rejected", "4xx"),  # 401, 404, 413
        ("a-route", "chat", "rejected", "4xx"),  # 403
        ("none", "chat", "blocked", "4xx"),  # throttled
        ("a-route", "models", "completed", "2xx"),
        ("a-route", "chat", "internal", "5xx"),
    ):
        metrics.REQUESTS.labels(*labels).inc(100)
    for outcome, status in (
        ("completed", "2xx"),
        ("blocked", "4xx"),
        ("client_gone", "none"),
        ("upstream_failed", "5xx"),
    ):
        metrics.REQUESTS.labels("a-route", "chat", outcome, status).inc()
    assert sampleable() == before + 4


def test_what_was_counted_is_summed_over_the_labels_that_are_not_shown() -> None:
    for status in ("2xx", "4xx"):
        metrics.REQUESTS.labels("a-route", "chat", "rejected", status).inc(3)
    before = {row["outcome"]: row["count"] for row in counted()["requests"]}
    metrics.REQUESTS.labels("another-route", "chat", "rejected", "4xx").inc(2)
    after = {row["outcome"]: row["count"] for row in counted()["requests"]}
    assert after["rejected"] == before["rejected"] + 2
    assert before["rejected"] >= 6
