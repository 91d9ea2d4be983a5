"""What tokens cost, by the price table of the settings."""

from collections.abc import Mapping

from gateway.config.prices import PriceConfig
from gateway.config.settings import Config
from gateway.exchange import Usage

_MILLION = 1_000_000


class Prices:
    """Prices by the name that the upstream knows the model by: exact names first, then the longest prefix."""

    def __init__(self, table: Mapping[str, PriceConfig]) -> None:
        self._exact = {name: price for name, price in table.items() if not name.endswith("*")}
        prefixes = {name[:-1]: price for name, price in table.items() if name.endswith("*")}
        self._prefixes = sorted(prefixes.items(), key=lambda entry: len(entry[0]), reverse=True)

    def cost(self, model: str, usage: Usage) -> float | None:
        """What this usage costs, in the currency of the settings; None if no price is known."""
        price = self._of(model)
        if price is None:
            return None
        of_cached = price.cached_input_per_million_tokens
        cached = price.input_per_million_tokens if of_cached is None else of_cached
        fresh_tokens = usage.input_tokens - usage.cached_tokens
        return (
            fresh_tokens * price.input_per_million_tokens
            + usage.cached_tokens * cached
            + usage.output_tokens * price.output_per_million_tokens
        ) / _MILLION

    def _of(self, model: str) -> PriceConfig | None:
        exact = self._exact.get(model)
        if exact is not None or not self._prefixes:
            return exact
        return next((price for prefix, price in self._prefixes if model.startswith(prefix)), None)


def prices_of(config: Config) -> Prices:
    """The price table of the settings."""
    return Prices(config.prices)
