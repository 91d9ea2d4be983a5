"""The 40 hours before: 400 exchanges of usual length on one route, whose answers are longer since CHANGED_HOURS."""

from pathlib import Path

from detectors.opinions import Opinion
from gateway.judging.messages import Finding
from gateway.monitoring.opening import FILE
from gateway.monitoring.store import HOUR, SqliteSketches
from gateway.trust.judged import Judged, scores_of
from tests.support.fakes import chat, completion, sample
from tests.support.planted.cases import DEPLOYED
from tests.support.worlds.sketches import observed

CHANGED_HOURS, _HOURS, _AN_HOUR = 10, 40, 10
_THINGS = ("bread", "cheese", "coffee", "gardens", "bicycles", "pianos", "trains", "stamps", "lakes", "clocks")

_BEGINNINGS = {0: "tell", 1: "as quickly as you can and in a few plain words please tell me one thing about"}


async def before(folder: Path, now: float) -> None:
    """What the monitors of a gateway with this state folder would have seen."""
    store = SqliteSketches(folder / FILE)
    this_hour = now // HOUR * HOUR
    samples = [_judged(this_hour - ago * HOUR + n, ago, n) for ago in range(_HOURS, 1, -1) for n in range(_AN_HOUR)]
    await observed(store, *samples, now=now)
    await store.close()


def _judged(at: float, ago: int, n: int) -> Judged:
    asked = f"{_BEGINNINGS.get(n, 'please tell me one thing about')} {_THINGS[n]} in note {ago}"
    words = 4 + (n + ago) % 3 + (12 if ago < CHANGED_HOURS else 0)
    said = " ".join([f"said{ago}x{n}", *["word"] * words])
    opinions = [Opinion("history@1", "refusal", 0.01, False, [])]
    findings = [
        Finding("prompt", "user", ["messages", 0, "content"], 0, True, "d", [], "en"),
        Finding("response", "assistant", ["choices", 0, "message", "content"], 0, True, "d", opinions, "en"),
    ]
    return Judged(
        id=f"before-{ago}-{n}", at=at, probability=1.0, route=DEPLOYED, model="before", caller="app", operation="chat",
        outcome="completed", stream=False, guarded=False, language="en", unread="", findings=findings,
        scores=scores_of(findings), decisions={},
        sample=sample(prompt=chat(asked), answer=completion(said)),
    )  # fmt: skip
