"""By which time the ledger forgets: a clock that jumps ahead must not empty it.

The clock is believed as far as it goes with the time that has passed: while the process runs, that of a clock that
never jumps; over a restart, an hour. If it is further ahead, nothing is forgotten by it for a day: then it is taken for
right, since whoever starts a gateway after a long while is ahead as well. A clock that goes back is believed at once:
by an earlier time less is forgotten.
"""

import msgspec

SLACK = 3600.0  # seconds
HOLD = 24 * 3600.0


class Believed(msgspec.Struct, array_like=True, frozen=True):
    """Unix seconds: the time `at` which things are as old as they are taken to be, what the clock said when it was last
    `seen`, and since when, by that clock, it is ahead; 0 when it is not."""

    at: float
    seen: float
    ahead_since: float = 0.0


def believed(last: Believed, now: float, own: float | None, elapsed: float | None) -> Believed:
    """After another look at the clock. `last` is what any process believed last, `own` what this one did before so many
    seconds `elapsed`; both None at its first look."""
    at = last.at if own is None or elapsed is None else max(last.at, own + elapsed)
    if now <= at + SLACK:
        return Believed(now, now)
    passed = HOLD if elapsed is None else elapsed
    goes_on = last.ahead_since > 0 and last.ahead_since <= now and now - last.seen <= passed + SLACK
    since = last.ahead_since if goes_on else now
    return Believed(now, now) if now - since >= HOLD else Believed(at, now, since)
