"""Judged samples, and ledgers that hold them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from detectors.opinions import Opinion
from gateway.judging.messages import Finding
from gateway.trust.buckets import DAY as DAY
from gateway.trust.buckets import HOUR as HOUR
from gateway.trust.judged import Judged, scores_of
from gateway.trust.ledger import Ledger, LedgerStore

NOON = 1_790_000_000.0 // HOUR * HOUR + 1800  # Unix seconds: half past an hour
MIB = 2**20
Open = Callable[..., LedgerStore]


def opinion(slug: str, score: float, flagged: bool = False, detector: str = "words@1") -> Opinion:
    return Opinion(detector, slug, score, flagged, [(0, 7, "secret-place")])


def judged(
    id: str,
    *,
    at: float = NOON,
    probability: float = 1.0,
    flagged: bool = False,
    detector: str = "words@1",
    **more: str,
) -> Judged:
    said = [opinion("violence", 0.9 if flagged else 0.1, flagged, detector)]
    findings = [Finding("prompt", "user", ["messages", 0, "content"], 0, True, "digest", said, "en")]
    fields: dict[str, Any] = {
        "route": "default",
        "model": "m",
        "caller": "app",
        "operation": "chat",
        "outcome": "completed",
    } | more
    return Judged(
        id=id,
        at=at,
        probability=probability,
        stream=False,
        guarded=False,
        language="en",
        unread="",
        findings=findings,
        scores=scores_of(findings),
        decisions={},
        texts=lambda: {("prompt", ("messages", 0, "content")): "what somebody said"},
        **fields,
    )


@asynccontextmanager
async def ledger_on(store: LedgerStore, now: float = NOON) -> AsyncIterator[Ledger]:
    ledger = Ledger(store, clock=lambda: now)
    yield ledger
    await store.close()
