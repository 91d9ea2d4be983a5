"""Adds up the tokens that exchanges used and what they cost, by caller, route and model."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gateway.beat import beat
from gateway.exchange import MODEL_CHARACTERS, Exchange, Outcome, Usage
from gateway.telemetry import metrics
from gateway.telemetry.usage import METERED, read_usage

SECONDS = 60.0  # between two lines of an account in the audit file
OTHER = "other"

Cost = Callable[[str, Usage], float | None]
Append = Callable[[str, Mapping[str, Any]], None]


class Models:
    """Names of models as labels: the `known` ones, and the first `most` other names that were asked for; every other
    name becomes `other`."""

    def __init__(self, known: Iterable[str], most: int) -> None:
        self._labels = {name: name[:MODEL_CHARACTERS] for name in known}
        self._left = most

    def label(self, model: str) -> str:
        found = self._labels.get(model)
        if found is None and self._left and 0 < len(model) <= MODEL_CHARACTERS and model.isprintable():
            self._left -= 1
            found = self._labels[model] = model
        return found or OTHER


class _Account:
    """One caller's use of one model on one route, since the last line in the audit file."""

    __slots__ = ("_labels", "cached", "cost", "given_out", "given_outs", "priced", "requests", "taken_in", "taken_ins")

    def __init__(self, route: str, model: str, currency: str, *, priced: bool) -> None:
        self.taken_ins = metrics.tally(metrics.TOKENS, route, model, "input")
        self.given_outs = metrics.tally(metrics.TOKENS, route, model, "output")
        self.priced = priced
        self._labels = (route, model, currency)
        self.clear()

    def clear(self) -> None:
        self.requests = self.taken_in = self.cached = self.given_out = 0
        self.cost: float | None = None

    def costs(self, more: float | None) -> None:
        if more is not None:
            self.cost = (self.cost or 0.0) + more
            metrics.tally(metrics.COST, *self._labels).add(more)


class Meter:
    """`cost` gives what tokens of a model cost, None where no price is known; `append` writes a line to the audit file.

    `known` are the models that each route names; their series begin at zero.
    """

    def __init__(
        self, known: Mapping[str, Iterable[str]], models: Models, *, cost: Cost, currency: str, append: Append
    ) -> None:
        self._models = models
        self._cost = cost
        self._currency = currency
        self._append = append
        self._accounts: dict[tuple[str, str, str], _Account] = {}
        self._untold = {route: metrics.tally(metrics.UNTOLD_USAGE, route) for route in known}
        for route, served in known.items():
            for model in served:
                self._begin(route, model)

    def count(self, exchange: Exchange) -> None:
        """Set the exchange's `usage`, and add it up. Never raises and never blocks."""
        route, upstream = exchange.route, exchange.upstream
        if route is None or upstream is None or exchange.asked.operation._value_ not in METERED:
            return
        usage = exchange.usage = read_usage(exchange)
        if usage is None:
            if exchange.outcome is Outcome.COMPLETED and exchange.status < 300:
                self._untold[route.name].add()
            return
        served = upstream.model or route.model or exchange.asked.model
        caller = exchange.principal.name if exchange.principal else ""
        account = self._accounts.get((caller, route.name, served)) or self._account(caller, route.name, served)
        account.requests += 1
        account.taken_in += usage.input_tokens
        account.cached += usage.cached_tokens
        account.given_out += usage.output_tokens
        account.taken_ins.waiting += usage.input_tokens
        account.given_outs.waiting += usage.output_tokens
        if account.priced:
            account.costs(self._cost(served, usage))

    async def run(self) -> None:
        """Write a line for each account that was used, once a minute, until cancelled."""
        while True:
            await beat(SECONDS)
            self.write()

    def write(self) -> None:
        """Write a line for each account that was used since the last call."""
        for (caller, route, model), account in self._accounts.items():
            if account.requests:
                self._append(
                    "usage",
                    {
                        "principal": caller,
                        "route": route,
                        "model": model,
                        "requests": account.requests,
                        "input_tokens": account.taken_in,
                        "cached_tokens": account.cached,
                        "output_tokens": account.given_out,
                        "cost": account.cost,
                        "currency": self._currency,
                    },
                )
                account.clear()

    def _account(self, caller: str, route: str, model: str) -> _Account:
        """The account of a model that has a label of its own, else the shared account of all other models."""
        label = self._models.label(model)
        key = (caller, route, model if label != OTHER else OTHER)
        found = self._accounts.get(key)
        if found is None:
            priced = label == OTHER or self._cost(model, Usage()) is not None
            found = self._accounts[key] = _Account(route, label, self._currency, priced=priced)
        return found

    def _begin(self, route: str, model: str) -> None:
        label = self._models.label(model)
        for direction in ("input", "output"):
            metrics.TOKENS.labels(route, label, direction)
        if self._cost(model, Usage()) is not None:
            metrics.COST.labels(route, label, self._currency)
