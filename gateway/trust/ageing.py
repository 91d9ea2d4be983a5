"""The time by which the ledger forgets: a wall clock that jumps ahead must not empty it.

The wall clock is believed while it agrees, to an hour, with the time that has really passed: what a monotonic clock
measured while the process ran, and nothing across a restart. If it is further ahead, nothing is forgotten for a day.
After that day it is believed, because a gateway that starts again after a long stop is ahead too. A clock that goes
back is believed at once: an earlier time makes the ledger forget less.
"""

import msgspec

SLACK = 3600.0  # seconds
HOLD = 24 * 3600.0


class Believed(msgspec.Struct, array_like=True, frozen=True):
    """In Unix seconds: `at` is the time from which ages are counted, `seen` what the wall clock said at the last look,
    and `ahead_since` the time by that clock since which it has been ahead; 0 when it is not."""

    at: float
    seen: float
    ahead_since: float = 0.0


def believed(last: Believed, now: float, own: float | None, elapsed: float | None) -> Believed:
    """What to believe after another look at the wall clock, which says `now`.

    `last` is what any process believed last. `own` is the time that this process believed at its previous look, and
    `elapsed` the seconds since then by a monotonic clock; both are None at its first look.
    """
    at = last.at if own is None or elapsed is None else max(last.at, own + elapsed)
    if now <= at + SLACK:
        return Believed(now, now)
    passed = HOLD if elapsed is None else elapsed
    goes_on = last.ahead_since > 0 and last.ahead_since <= now and now - last.seen <= passed + SLACK
    since = last.ahead_since if goes_on else now
    return Believed(now, now) if now - since >= HOLD else Believed(at, now, since)
