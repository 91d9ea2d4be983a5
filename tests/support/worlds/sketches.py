"""What monitors would have seen, added up here and not in a process of its own."""

import secrets

from gateway.monitoring.observing import seen_of
from gateway.monitoring.sketching import Sketching
from gateway.monitoring.store import SketchStore
from gateway.trust.judged import Judged


async def observed(store: SketchStore, *samples: Judged, now: float) -> None:
    """As by a gateway that judges these and ends. `now` is Unix seconds."""
    sketching = Sketching()
    sketching.observe(map(seen_of, samples))
    told = sketching.tell(now)
    writer = secrets.token_hex(8)
    assert not told.failed, told.why
    for start, number, sketch in told.sketches:
        await store.put(start, f"{writer}.{number}", sketch)
    for change in told.changes:
        await store.tell(change)
