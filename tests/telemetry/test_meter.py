"""Tokens and cost by caller, route and model: in metrics with a bounded number of series, and in the audit file."""

import pytest

from gateway.access.prices import Prices
from gateway.config.prices import PriceConfig
from gateway.exchange import Asked, Exchange, Outcome, Principal, Route
from gateway.openai_api import Operation
from gateway.telemetry import metrics
from gateway.telemetry.meter import Meter, Models
from tests.support.fakes import Counts, Journal, upstream

PRICES = Prices(
    {
        "m": PriceConfig(
            input_per_million_tokens=2.0, output_per_million_tokens=10.0, cached_input_per_million_tokens=None
        )
    }
)
ANSWER = b'{"choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d}}'


def metering(journal: Journal, *known: str, most: int = 2) -> Meter:
    return Meter({"fast": known}, Models(known, most), cost=PRICES.cost, currency="EUR", append=journal.append)


def exchange(
    model: str = "m",
    answer: bytes = ANSWER % (100, 20),
    *,
    caller: str = "app",
    operation: Operation = Operation.CHAT,
    route: Route | None = None,
    outcome: Outcome = Outcome.COMPLETED,
) -> Exchange:
    made = Exchange("req_1", Asked("POST", "/v1/x", operation=operation, model=model))
    made.route = route or Route("fast", (upstream(9),), 1.0)
    made.upstream = made.route.upstreams[0]
    made.principal = Principal(caller)
    made.transcript.keep(answer, 0)
    made.status = 200
    made.close(outcome, "", 1.0)
    return made


def test_tokens_and_cost_are_counted_by_route_and_model() -> None:
    tokens, cost = Counts("assay_tokens_total"), Counts("assay_cost_total")
    meter = metering(Journal(), "m")
    for _ in range(3):
        meter.count(closed := exchange())
    assert closed.usage is not None
    assert (closed.usage.input_tokens, closed.usage.output_tokens) == (100, 20)
    meter.count(exchange("free"))
    assert tokens.added() == {
        ("input", "m", "fast"): 300,
        ("output", "m", "fast"): 60,
        ("input", "free", "fast"): 100,
        ("output", "free", "fast"): 20,
    }
    assert cost.added() == {("EUR", "m", "fast"): pytest.approx(3 * 400 / 1e6)}


def test_the_name_is_the_one_that_the_upstream_knows_the_model_by() -> None:
    tokens = Counts("assay_tokens_total")
    meter = metering(Journal(), most=9)
    meter.count(exchange("alias", route=Route("fast", (upstream(9),), 1.0, model="real")))
    assert {model for _, model, _ in tokens.added()} == {"real"}


def test_names_beyond_the_bound_are_other() -> None:
    tokens = Counts("assay_tokens_total")
    meter = metering(Journal(), "known", most=2)
    for model in ("a", "b", "c", "d", "a", "known", "", "x" * 999, "line\nend"):
        meter.count(exchange(model))
    assert {key[1]: count for key, count in tokens.added().items() if key[0] == "output"} == {
        "a": 40,
        "b": 20,
        "known": 20,
        "other": 100,
    }


def test_a_name_that_no_upstream_served_gets_no_series() -> None:
    meter = metering(Journal(), most=1)
    meter.count(exchange("made-up", b'{"error":{"message":"no such model"}}'))
    tokens = Counts("assay_tokens_total")
    meter.count(exchange("real"))
    assert {model for _, model, _ in tokens.added()} == {"real"}


def test_an_answer_that_tells_nothing_is_counted_as_such() -> None:
    untold = Counts("assay_answers_without_usage_total")
    meter = metering(Journal())
    meter.count(exchange(answer=b'{"choices":[]}'))
    meter.count(exchange(answer=b"{}", operation=Operation.MODELS))
    meter.count(exchange(answer=b"{}", outcome=Outcome.CLIENT_GONE))
    assert untold.added() == {("fast",): 1}


def test_what_is_fetched_again_costs_nothing_again() -> None:
    tokens = Counts("assay_tokens_total")
    metering(Journal()).count(exchange(operation=Operation.STORED_RESPONSES))
    assert tokens.added() == {}


def test_series_of_models_that_the_configuration_names_begin_at_zero() -> None:
    metering(Journal(), "m", "unpriced")
    shown = {tuple(dict(key).values()) for key in metrics.samples("assay_tokens_total")}
    assert {("input", "m", "fast"), ("output", "unpriced", "fast")} <= shown
    costs = {dict(key)["model"] for key in metrics.samples("assay_cost_total")}
    assert "m" in costs
    assert "unpriced" not in costs


def test_the_audit_file_gets_what_each_caller_used_since_the_last_line() -> None:
    journal = Journal()
    meter = metering(journal, "m")
    meter.count(exchange(caller="a"))
    meter.count(exchange(caller="a"))
    meter.count(exchange("n", caller="b"))
    meter.write()
    meter.write()
    meter.count(exchange(caller="b"))
    meter.write()
    lines = [line for kind, line in journal.lines if kind == "usage"]
    assert [(line["principal"], line["model"], line["requests"], line["cost"]) for line in lines] == [
        ("a", "m", 2, pytest.approx(0.0008)),
        ("b", "n", 1, None),
        ("b", "m", 1, pytest.approx(0.0004)),
    ]
    assert lines[0] == {
        "principal": "a",
        "route": "fast",
        "model": "m",
        "requests": 2,
        "input_tokens": 200,
        "cached_tokens": 0,
        "output_tokens": 40,
        "cost": pytest.approx(0.0008),
        "currency": "EUR",
    }
