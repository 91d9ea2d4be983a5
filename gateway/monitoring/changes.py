"""Changes of the system whose effects are measured: noticed in the traffic, or posted by an operator."""

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import msgspec

Kind = Literal["model", "policy", "detector", "system_prompt", "deployment", "data", "reference", "other"]
TOLD: tuple[Kind, ...] = ("model", "policy", "system_prompt", "deployment", "data", "other")
MOST_WHAT = 200  # characters
MOST_FUTURE_SECONDS = 300.0
MOST_VALUES = 20  # of a kind and route: a fact with more values varies by request and is no change of the system


class Change(msgspec.Struct, array_like=True, frozen=True):
    """A change at Unix seconds `at`, on one route, or on all where `route` is empty. A `reference` is not a change but
    the window from `at` to `until` that shifts are measured against."""

    at: float
    kind: Kind
    what: str
    route: str = ""
    until: float = 0.0


class ChangeError(ValueError):
    """The message says what is wrong with a posted change."""


class _Told(msgspec.Struct, forbid_unknown_fields=True):
    kind: str
    what: str = ""
    at: float | None = None
    route: str = ""
    until: float | None = None


def told(body: bytes, now: float, routes: frozenset[str]) -> Change:
    """The change that a posted body describes. Raises ChangeError."""
    try:
        asked = msgspec.json.decode(body, type=_Told)
    except msgspec.DecodeError as error:
        raise ChangeError(f"the body does not describe a change: {error}") from None
    if asked.kind not in (*TOLD, "reference"):
        raise ChangeError(f"kind: {asked.kind[:40]!r} is unknown; choose one of {', '.join((*TOLD, 'reference'))}")
    if asked.route and asked.route not in routes:
        raise ChangeError(f"route: there is no route {asked.route[:60]!r}; leave it out for a change on all routes")
    at = now if asked.at is None else asked.at
    if not 0 < at <= now + MOST_FUTURE_SECONDS:
        raise ChangeError("at: give the time of the change in Unix seconds, not in the future")
    if asked.kind == "reference":
        return Change(at, "reference", asked.what[:MOST_WHAT], "", _end(at, asked.until, now))
    if not asked.what.strip():
        raise ChangeError("what: say in a few words what changed")
    return Change(at, asked.kind, asked.what[:MOST_WHAT], asked.route)


def _end(at: float, until: float | None, now: float) -> float:
    if until is None or not at < until <= now:
        raise ChangeError("until: a reference is a window of the past, from `at` to `until` in Unix seconds")
    return until


class Noticed:
    """Remembers what was seen on each route, and reports new values as changes. The first value of a kind on a route is
    not a change."""

    def __init__(self, tell: Callable[[Change], None]) -> None:
        self._tell = tell
        self._seen: dict[tuple[str, str], set[str]] = {}

    def notice(self, at: float, route: str, facts: Mapping[Kind, str]) -> None:
        """`facts` by kind: the model that served, the policy's revision, the detector, a hash of the system prompt."""
        for kind, what in facts.items():
            seen = self._seen.setdefault((kind, route), set())
            if not what or what in seen or len(seen) >= MOST_VALUES:
                continue
            if seen:
                self._tell(Change(at, kind, what[:MOST_WHAT], route))
            seen.add(what)


def distinct(changes: Iterable[Change], within_seconds: float = 7200.0) -> list[Change]:
    """The changes in the order of time. Where several processes noticed the same change, only the first is kept."""
    kept: dict[tuple[str, str, str], Change] = {}
    found: list[Change] = []
    for change in sorted(changes, key=lambda each: each.at):
        before = kept.get((change.kind, change.what, change.route))
        if before is None or change.at - before.at > within_seconds:
            found.append(change)
        kept[change.kind, change.what, change.route] = change
    return found
