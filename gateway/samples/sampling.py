"""Which exchanges become samples, and with what inclusion probability.

The choice is made when the exchange opens, so that what is not chosen costs nothing; it does not look at the
content, so the probability is known exactly and a rate estimated from the samples can be weighted with it.
"""

import random
from collections.abc import Callable
from datetime import datetime

from gateway.exchange import MODEL_CHARACTERS, Exchange, Sample

# What carries text that the detectors can read.
JUDGED = frozenset({"chat", "completions", "responses", "embeddings"})


class Sampler:
    """Chooses each exchange by an independent coin with the route's rate; none when not `enabled`."""

    def __init__(
        self,
        *,
        enabled: bool = True,
        draw: Callable[[], float] = random.random,
        wall_clock: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._operations = JUDGED if enabled else frozenset()
        self._draw = draw
        self._wall_clock = wall_clock

    def choose(self, exchange: Exchange) -> None:
        """Sets `sampled` and `probability`; the route must be known."""
        assert exchange.route is not None
        rate = exchange.route.sample_rate
        exchange.sampled = exchange.operation in self._operations and (rate >= 1 or self._draw() < rate)
        exchange.probability = rate

    def insist(self, exchange: Exchange) -> None:
        """Choose this exchange whatever was drawn. Whoever is insisted on, is so for what it is and not by chance."""
        if exchange.operation in self._operations:
            exchange.sampled = True
            exchange.probability = 1.0

    def sample(self, exchange: Exchange) -> Sample:
        """The closed exchange as raw bytes for the queue."""
        assert exchange.route is not None
        assert exchange.principal is not None
        return Sample(
            id=exchange.id,
            closed_at=self._wall_clock().timestamp(),
            probability=exchange.probability,
            route=exchange.route.name,
            principal=exchange.principal.name,
            operation=exchange.operation,
            model=exchange.model[:MODEL_CHARACTERS],
            outcome=exchange.outcome or "",
            status=exchange.status,
            stream=exchange.stream,
            prompt=exchange.body,
            answer=b"".join(exchange.answer),
            encoding=exchange.encoding,
            cut=exchange.answer_cut,
            guarded=exchange.guarded,
        )
