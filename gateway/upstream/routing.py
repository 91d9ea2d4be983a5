"""Finds the route of a model: exact names first, then the longest prefix."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from gateway.errors import GatewayError
from gateway.exchange import Exchange, Route, Upstream
from gateway.openai_api import rewrite, with_system


class Routing:
    """Finds routes by dictionaries: one look-up for the name, and one for each length of prefix in use."""

    def __init__(self, routes: Iterable[tuple[Sequence[str], Route]], upstreams: Iterable[Upstream] = ()) -> None:
        self.routes: list[Route] = []
        self._exact: dict[str, Route] = {}
        self._prefixes: dict[str, Route] = {}
        for patterns, route in routes:
            self.routes.append(route)
            for pattern in patterns:
                table = self._prefixes if pattern.endswith("*") else self._exact
                table.setdefault(pattern.removesuffix("*"), route)
        self._lengths = sorted({len(prefix) for prefix in self._prefixes}, reverse=True)
        self._named = {route.name: route for route in self.routes}
        self._upstreams = {upstream.name: upstream for upstream in upstreams}
        self._upstreams |= {upstream.name: upstream for route in self.routes for upstream in route.upstreams}
        self._fallback = self._prefixes.get("", self.routes[0])

    def route(self, model: str) -> Route:
        """The route of a model. Raises GatewayError unknown_model."""
        route = self._exact.get(model)
        if route is not None:
            return route
        for length in self._lengths:
            if length <= len(model) and (found := self._prefixes.get(model[:length])):
                return found
        raise GatewayError(
            "unknown_model",
            f"no route serves the model {model[:100]!r}; add it to `routes` or ask GET /v1/models",
            param="model",
        )

    @property
    def targets(self) -> frozenset[str]:
        """The names that a request can be sent to instead of its own route."""
        return frozenset(self._named) | frozenset(self._upstreams)

    def detour(self, route: Route, to: str) -> Route:
        """The route of this name; else the same route with only the upstream of this name; else the route itself."""
        if to in self._named:
            return self._named[to]
        upstream = self._upstreams.get(to)
        return route if upstream is None else replace(route, upstreams=(upstream,))

    def divert(self, exchange: Exchange, body: bytes) -> bytes:
        """Apply the policy's detour, if there is one: sets the exchange's route and returns the body for it.

        There is only one detour, because the policy is not asked again. Raises GatewayError prompt_blocked.
        """
        detour = exchange.ruling.detour
        if detour is None:
            return body
        assert exchange.route is not None
        asked, before = exchange.asked, exchange.route
        exchange.route = self.detour(before, detour.to)
        try:
            if asked.model and before.model != exchange.route.model:
                body = rewrite(body, {("model",): exchange.route.model or asked.model})
            return with_system(asked.operation, body, detour.system) if detour.system else body
        except (ValueError, RecursionError) as error:
            sentence = f"the policy adds a system message to this request, which has no place for it: {error}"
            raise GatewayError("prompt_blocked", sentence) from None

    def without_model(self) -> Route:
        """The route of requests that name no model: that for `*`, else the first."""
        return self._fallback


def renamed(body: bytes, model: str) -> bytes:
    """The body with the name by which the route's upstreams know the model."""
    return rewrite(body, {("model",): model})
