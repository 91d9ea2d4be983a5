"""The policy in force and its file: a saved change takes effect without a restart, or is rejected and reported."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from detectors.manifest import DetectorInfo, ModelError
from gateway.beat import beat
from gateway.enforcement.local_tables import LocalTables, read_local_tables
from gateway.enforcement.signals import load_policy, policy_path
from gateway.telemetry import metrics
from policies.compiled import Policy, Rule
from policies.detectable import Threshold
from policies.model import Action, Mode
from policies.source import PolicyError

log = logging.getLogger("assay")

# From a change of the file until it takes effect. All processes on this machine see the same change time, so they
# change at the same moment, whenever each of them looked and however long it compiled.
SETTLE_SECONDS = 2.0
_CLOCKS_DIFFER_SECONDS = 1.0  # by which the clocks of a file system and of this machine may differ


class _Stamp(NamedTuple):
    """Tells one state of a file from another; `changed_at` is in Unix seconds."""

    changed_at: float
    size: int
    inode: int


class AdoptionError(Exception):
    """A valid policy that cannot come into force here; the message says why and what to do."""


_Stamps = tuple[_Stamp | None, ...]


class PolicyFile:
    """`current` is the policy in force; `refusal` says why the newest state of the file is not in force, else empty.

    `adopt` is called with a policy before it takes effect and may raise AdoptionError; `on_change` is called afterwards
    with what has to be recorded. `wall_clock` is Unix seconds, as in a file's change time. `targets` are the routes and
    upstreams that a rule may reroute to, `routes` those that it may name; if empty, any. `own` are routes with another
    policy, by its name or path; its file is watched too. `detectors` are the operator's own. `local` is the file with
    the operator's own tables; when it changes, the policy is compiled again. Raises what `load_policy` raises.
    """

    def __init__(
        self,
        source: str,
        *,
        wall_clock: Callable[[], float],
        settle_seconds: float = SETTLE_SECONDS,
        targets: Iterable[str] = (),
        routes: Iterable[str] = (),
        own: Mapping[str, str] = MappingProxyType({}),
        local: Path | None = None,
        detectors: Sequence[DetectorInfo] = (),
    ) -> None:
        self.source = source
        self.own = own
        self.adopt: Callable[[Policy], None] = lambda _policy: None
        self.on_change: Callable[[Mapping[str, Any]], None] = lambda _change: None
        self.refusal = ""
        self._paths = [policy_path(each) for each in dict.fromkeys((source, *own.values()))]
        self._wall_clock = wall_clock
        self._settle_seconds = settle_seconds
        self._local_path = local
        self._compile = partial(
            load_policy, source, frozenset(targets), frozenset(routes), own=own, detectors=tuple(detectors)
        )
        self._stamps = self._look()
        self._asked = False
        for result in ("adopted", "refused"):
            metrics.POLICY_LOADS.labels(result)
        self.current, self.local = self._load()
        _publish(None, self.current)

    def _load(self) -> tuple[Policy, LocalTables]:
        local = read_local_tables(self._local_path)
        return self._compile(local=local), local

    def _look(self) -> _Stamps:
        """The state of the policies' files and of the local tables."""
        return *map(_stamp, self._paths), None if self._local_path is None else _stamp(self._local_path)

    def look_again(self) -> None:
        """Read the file at the next turn even if it looks unchanged (SIGHUP)."""
        self._asked = True

    async def run(self) -> None:
        """Watch the file until cancelled."""
        while True:
            await beat()
            stamps = self._look()
            if not self._asked and (None in stamps[:-1] or stamps == self._stamps):
                continue  # a file that is gone for a moment is being replaced; whoever asks is told that it is gone
            asked, self._asked = self._asked, False
            await self._take_up(stamps, "SIGHUP" if asked else "the file changed")

    async def _take_up(self, stamps: _Stamps, why: str) -> None:
        try:
            policy, local = await asyncio.to_thread(self._load)
            await asyncio.sleep(self._seconds_to_settle(stamps))
            if self._look() != stamps:
                return  # saved again meanwhile; the next look reads that
            self.adopt(policy)
        except (PolicyError, ModelError, OSError, AdoptionError) as error:
            if self._look() != stamps:
                return  # it was read while it was being written
            self._stamps = stamps
            self.refusal = str(error)
            metrics.POLICY_LOADS.labels("refused").inc()
            log.error("the policy %s stays at revision %s: %s", self.source, self.current.revision, error)
            return
        self._stamps = stamps
        self.refusal = ""
        metrics.POLICY_LOADS.labels("adopted").inc()
        if policy.revision != self.current.revision:
            log.warning("policy %s: revision %s, mode %s is in force", self.source, policy.revision, policy.mode)
        before, self.current, self.local = self.current, policy, local
        self.on_change({"why": why, "before": before.revision, **described(self)})
        _publish(before, policy)

    def _seconds_to_settle(self, stamps: _Stamps) -> float:
        """Time until all processes adopt this state of the file; bounded, in case a clock is wrong."""
        # Without any file there is nothing to wait for: it was back when it was read, and the next look finds it.
        changed_at = max((stamp.changed_at for stamp in stamps if stamp is not None), default=0.0)
        left = changed_at + self._settle_seconds - self._wall_clock()
        if left > self._settle_seconds + _CLOCKS_DIFFER_SECONDS:
            ahead = left - self._settle_seconds
            log.warning(
                "%s was changed %.0f s ahead of this machine's clock; it is adopted all the same",
                " or ".join(map(str, self._paths)),
                ahead,
            )
        return min(max(left, 0.0), self._settle_seconds)


def described(file: PolicyFile) -> dict[str, Any]:
    """The policy in force with its rules, each with its thresholds and the detector whose table they come from.

    `routes` are those that have a policy of their own, with its source. The `routes` of a rule are the only ones to
    which it applies.
    """
    policy = file.current
    return {
        "source": file.source,
        "routes": dict(file.own),
        "revision": policy.revision,
        "mode": policy.mode,
        "rules": [
            {
                "id": rule.id,
                "action": rule.action,
                "mode": rule.mode,
                "share": rule.share,
                "enforced": rule.enforced,
                "on_error": rule.on_error,
                "routes": sorted(rule.routes),
                "listens_to": sorted({threshold.slug for threshold in rule.thresholds}),
                "thresholds": [_shown(each, file.local) for each in rule.thresholds],
            }
            for rule in policy.rules
        ],
    }


def _shown(threshold: Threshold, local: LocalTables) -> dict[str, Any]:
    """`basis` says which table the threshold came from: the detector's `card`, or the operator's own (`local`). The
    latter comes with its rate and the number of harmless exchanges behind it."""
    shown = {
        "subcategory": threshold.slug,
        "direction": threshold.direction,
        "table": threshold.detector,
        "score": threshold.score,
    }
    own = local.get((threshold.detector, threshold.slug, threshold.direction))
    rate = own.rate_of(threshold.score) if own else None
    if own is None or rate is None:
        return {**shown, "basis": "card"}
    return {**shown, "basis": "local", "false_alarms": rate, "rows": round(own.harmless)}


def _stamp(path: Path) -> _Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return _Stamp(found.st_ctime, found.st_size, found.st_ino)


def _effects(rule: Rule, direction: str) -> tuple[str, ...]:
    """What can become of a decision of this rule."""
    if rule.action is Action.FLAG or not rule.enforced:
        return ("monitored",)
    leaks = ("leaked",) if direction == "response" else ()
    return ("canary", "enforced", *leaks) if rule.mode is Mode.CANARY else ("enforced", "fail_closed", *leaks)


def _publish(before: Policy | None, policy: Policy) -> None:
    for rule in policy.rules:
        for direction in {direction for _, direction in rule.judges_on}:
            for effect in _effects(rule, direction):
                metrics.DECISIONS.labels(direction, rule.action, rule.id, effect)
    if before is not None:
        metrics.POLICY_INFO.labels(before.revision, before.mode).set(0)
    metrics.POLICY_INFO.labels(policy.revision, policy.mode).set(1)
