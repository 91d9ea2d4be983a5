"""What tokens cost: the most exact name of the table counts, and what was read before has a price of its own."""

import pytest

from gateway.access.prices import Prices
from gateway.config.prices import PriceConfig
from gateway.exchange import Usage


def price(taken_in: float, given_out: float = 0.0, cached: float | None = None) -> PriceConfig:
    return PriceConfig(
        input_per_million_tokens=taken_in,
        output_per_million_tokens=given_out,
        cached_input_per_million_tokens=cached,
    )


TABLE = Prices({"m": price(2, 10), "m-*": price(1), "m-small*": price(0.5, 1, 0.1), "*": price(9)})


@pytest.mark.parametrize(
    ("model", "usage", "cost"),
    [
        ("m", Usage(1_000_000, 0), 2.0),
        ("m", Usage(500_000, 100_000), 2.0),
        ("m-large", Usage(1_000_000, 7), 1.0),
        ("m-small-2", Usage(1_000_000, 1_000_000, 250_000), 0.375 + 0.025 + 1.0),
        ("m", Usage(1_000_000, 0, 400_000), 2.0),  # without a price of its own, as the rest
        ("another", Usage(1_000_000, 0), 9.0),
        ("m", Usage(), 0.0),
    ],
)
def test_the_most_exact_name_counts(model: str, usage: Usage, cost: float) -> None:
    assert TABLE.cost(model, usage) == pytest.approx(cost)


def test_a_model_without_a_price_has_no_cost_rather_than_none_at_all() -> None:
    assert Prices({"m": price(1)}).cost("m-2", Usage(5, 5)) is None
    assert Prices({}).cost("m", Usage(5, 5)) is None
