"""Which exchanges become samples, and with what inclusion probability.

The choice is made when the exchange opens, so that exchanges that are not chosen cost nothing. It does not depend on
the content, so the probability is known exactly and a rate estimated from the samples can be weighted with it.

An exchange's id ends with random digits, drawn when its request arrives; they stand for a number in [0, 1). The
exchange is chosen when this number is below the probability in force. So the choice can be read from the id at any
time, a caller cannot foresee which of its requests will be chosen, and an exchange that is chosen with a small
probability is also chosen with any larger one (permanent random numbers: Ohlsson, 1995).
"""

import os
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import count

from gateway.exchange import MODEL_CHARACTERS, Exchange, Sample
from gateway.openai_api import SURFACES
from gateway.samples.pace import Pace

# The operations that carry text which the detectors can read.
JUDGED = frozenset(surface.operation for surface in SURFACES.values() if surface.judged)


_DIGITS = 8  # hexadecimal, at the end of an id
_NUMBERS = 16**_DIGITS
_DRAWN = 256  # numbers drawn at once: asking the system for each one would cost more than all the rest
_MOST_BOUNDS = 1_000  # remembered probabilities; the pace changes them once a second


def exchange_ids(process: str, random_bytes: Callable[[int], bytes] = os.urandom) -> Iterator[str]:
    """Endless ids. Each names the process, counts its exchanges, and ends with the exchange's random digits."""
    for first in count(0, _DRAWN):
        drawn = random_bytes(_DRAWN * _DIGITS // 2).hex("-", _DIGITS // 2)
        for n, number in enumerate(drawn.split("-"), first):
            yield f"req_{process}{n:08x}{number}"


def _bound(probability: float) -> str:
    """Digits that sort after those of every number below the probability; for 1, after those of all numbers."""
    below = round(probability * _NUMBERS)
    return f"{below:0{_DIGITS}x}" if below < _NUMBERS else "~"


class Sampler:
    """Chooses each exchange with the route's rate, or less where `pace` says so; none when not `enabled`."""

    def __init__(
        self,
        *,
        enabled: bool = True,
        pace: Pace | None = None,
        wall_clock: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._operations = JUDGED if enabled else frozenset()
        self._pace = pace
        self._bounds: dict[float, str] = {}
        self._wall_clock = wall_clock

    def choose(self, exchange: Exchange) -> None:
        """Sets `sampled` and `probability`; the route must be known."""
        assert exchange.route is not None
        transcript, rate = exchange.transcript, exchange.route.sample_rate
        if exchange.asked.operation not in self._operations:
            return
        probability = rate if self._pace is None else self._pace.probability(rate)
        # The digits are compared as text, because this runs for every request.
        transcript.sampled = exchange.id[-_DIGITS:] < (self._bounds.get(probability) or self._learn(probability))
        transcript.probability = probability

    def _learn(self, probability: float) -> str:
        if len(self._bounds) >= _MOST_BOUNDS:
            self._bounds.clear()
        bound = self._bounds[probability] = _bound(probability)
        return bound

    def insist(self, exchange: Exchange) -> None:
        """Choose this exchange for certain, because of what was found in it; its inclusion probability is 1."""
        if exchange.asked.operation in self._operations:
            exchange.transcript.sampled = True
            exchange.transcript.probability = 1.0

    def sample(self, exchange: Exchange) -> Sample:
        """The closed exchange as raw bytes for the queue."""
        assert exchange.route is not None
        assert exchange.principal is not None
        asked, transcript, timing = exchange.asked, exchange.transcript, exchange.timing
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
            upstream=exchange.upstream.name if exchange.upstream else "",
            seconds=max(0.0, timing.ended_at - timing.read_at),
        )
