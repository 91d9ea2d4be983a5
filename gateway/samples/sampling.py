"""Which exchanges become samples, and with what inclusion probability.

The choice is made when the exchange opens, so that what is not chosen costs nothing; it does not look at the
content, so the probability is known exactly and a rate estimated from the samples can be weighted with it.
"""

import random
from collections.abc import Callable
from datetime import datetime

from gateway.exchange import MODEL_CHARACTERS, Exchange, Sample
from gateway.openai_api import SURFACES

# What carries text that the detectors can read.
JUDGED = frozenset(surface.operation for surface in SURFACES.values() if surface.judged)


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
        transcript, rate = exchange.transcript, exchange.route.sample_rate
        transcript.sampled = exchange.asked.operation in self._operations and (rate >= 1 or self._draw() < rate)
        transcript.probability = rate

    def insist(self, exchange: Exchange) -> None:
        """Choose this exchange with certainty, because of what it is; its inclusion probability is 1."""
        if exchange.asked.operation in self._operations:
            exchange.transcript.sampled = True
            exchange.transcript.probability = 1.0

    def sample(self, exchange: Exchange) -> Sample:
        """The closed exchange as raw bytes for the queue."""
        assert exchange.route is not None
        assert exchange.principal is not None
        asked, transcript = exchange.asked, exchange.transcript
        return Sample(
            id=exchange.id,
            closed_at=self._wall_clock().timestamp(),
            probability=transcript.probability,
            route=exchange.route.name,
            principal=exchange.principal.name,
            operation=asked.operation,
            model=asked.model[:MODEL_CHARACTERS],
            outcome=exchange.outcome or "",
            status=exchange.status,
            stream=transcript.stream,
            prompt=asked.body,
            answer=b"".join(transcript.pieces),
            encoding=transcript.encoding,
            cut=transcript.cut,
            guarded=exchange.ruling.guarded,
        )
