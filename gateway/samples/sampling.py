"""Which exchanges become samples, and with what inclusion probability.

The choice is made when the exchange opens, so that what is not chosen costs nothing; it does not look at the
content, so the probability is known exactly and a rate estimated from the samples can be weighted with it.

Each exchange has a number from 0, below 1, that follows from its id alone. It is chosen when the number is below the
probability in force, so that every process decides alike on the same exchange, and what is chosen with a small
probability is also chosen with a larger one (permanent random numbers: Ohlsson, 1995).
"""

from collections.abc import Callable
from datetime import datetime
from hashlib import blake2b
from struct import Struct

from gateway.exchange import MODEL_CHARACTERS, Exchange, Sample
from gateway.openai_api import SURFACES
from gateway.samples.pace import Pace

# What carries text that the detectors can read.
JUDGED = frozenset(surface.operation for surface in SURFACES.values() if surface.judged)


_FRESH = blake2b(digest_size=6, person=b"sampling")
_AS_NUMBER = Struct(">Q").unpack


def number_of(exchange: str) -> float:
    """The number of an exchange by its id: the same in every process and for good, and independent of those by which
    canary rules act and second opinions are drawn."""
    digest = _FRESH.copy()  # made once: this runs for every request
    digest.update(exchange.encode("utf-8", "surrogatepass"))
    number: int = _AS_NUMBER(b"\0\0" + digest.digest())[0]
    return number / 2**48


class Sampler:
    """Chooses each exchange with the route's rate, or less where `pace` says so; none when not `enabled`."""

    def __init__(
        self,
        *,
        enabled: bool = True,
        pace: Pace | None = None,
        number: Callable[[str], float] = number_of,
        wall_clock: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._operations = JUDGED if enabled else frozenset()
        self._pace = pace
        self._number = number
        self._wall_clock = wall_clock

    def choose(self, exchange: Exchange) -> None:
        """Sets `sampled` and `probability`; the route must be known."""
        assert exchange.route is not None
        transcript, rate = exchange.transcript, exchange.route.sample_rate
        if exchange.asked.operation not in self._operations:
            return
        probability = rate if self._pace is None else self._pace.probability(rate)
        transcript.sampled = probability >= 1 or self._number(exchange.id) < probability
        transcript.probability = probability

    def insist(self, exchange: Exchange) -> None:
        """Choose this exchange with certainty, because of what it is; its inclusion probability is 1."""
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
