"""Model names to routes: exact, then the longest prefix, at a cost that does not grow with the number of routes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.exchange import Route, Upstream
from gateway.upstream.routing import Routing
from tests.support.running.steps import steps

UPSTREAM = Upstream("a", "http", "127.0.0.1", 80, "/v1")


def route(name: str) -> Route:
    return Route(name, (UPSTREAM,), 1.0)


def routing(**patterns: str) -> Routing:
    """Route name → its patterns, separated by spaces."""
    return Routing([(models.split(), route(name)) for name, models in patterns.items()])


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-4o", "exact"),
        ("gpt-4o-mini", "longer"),
        ("gpt-4o-", "longer"),
        ("gpt-5", "shorter"),
        ("gpt-", "shorter"),
        ("claude", "other"),
        ("cla", "other"),
        ("", "other"),
        ("GPT-4o", "other"),
        ("ünïcode-model", "other"),
        ("*", "other"),
    ],
)
def test_exact_then_the_longest_prefix(model: str, expected: str) -> None:
    table = routing(other="*", shorter="gpt-*", exact="gpt-4o", longer="x-* gpt-4o-*")
    assert table.route(model).name == expected


def test_unknown_models_are_refused_with_their_name() -> None:
    table = routing(a="gpt-*", b="claude")
    for model in ("claude-3", "gpt", "llama", ""):
        with pytest.raises(GatewayError, match="no route serves the model") as caught:
            table.route(model)
        assert (caught.value.reason, caught.value.param) == ("unknown_model", "model")
    with pytest.raises(GatewayError) as caught:
        table.route("x" * 10_000)
    assert len(caught.value.message) < 300


def test_requests_without_a_model_go_to_the_star_or_to_the_first() -> None:
    assert routing(a="gpt-*", b="claude").without_model().name == "a"
    assert routing(a="gpt-*", b="claude *").without_model().name == "b"


def test_the_first_route_that_names_a_model_has_it() -> None:
    table = routing(a="m p*", b="m p*")
    assert table.route("m").name == table.route("p1").name == "a"
    assert [each.name for each in table.routes] == ["a", "b"]


names = st.text("ab*é", max_size=4).map(lambda text: text.replace("*", ""))


@given(exact=st.lists(names, max_size=8), prefixes=st.lists(names, max_size=8), model=names)
def test_like_a_search_through_all_patterns(exact: list[str], prefixes: list[str], model: str) -> None:
    patterns = [*exact, *[prefix + "*" for prefix in prefixes]]
    if not patterns:
        return
    table = Routing([([pattern], route(f"{number}")) for number, pattern in enumerate(patterns)])
    if model in exact:
        assert table.route(model).name == str(exact.index(model))
        return
    fitting = [prefix for prefix in prefixes if model.startswith(prefix)]
    if fitting:
        assert table.route(model).name == str(len(exact) + prefixes.index(max(fitting, key=len)))
        return
    with pytest.raises(GatewayError):
        table.route(model)


@pytest.mark.parametrize("model", ["model-0", "model-7-latest", "other"])
def test_the_cost_does_not_grow_with_the_routes(model: str) -> None:
    costs = set()
    for number in (1, 10, 10_000):
        # Numbers of one width, so that there are always the same two lengths of prefixes.
        table = Routing(
            [
                (["model-0", "*"], route("first")),
                *[([f"model-{i:06}", f"prefix-{i:06}-*"], route(str(i))) for i in range(number)],
            ]
        )
        costs.add(steps(lambda table=table: table.route(model)))  # type: ignore[misc]
    assert len(costs) == 1
    assert max(costs) < 12
