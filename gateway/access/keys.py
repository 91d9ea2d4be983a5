"""The callers' keys: found by digest, changed while the gateway serves."""

import asyncio
import logging
from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from gateway.beat import beat
from gateway.config.settings import Config, ConfigError
from gateway.exchange import Principal
from gateway.telemetry import metrics

log = logging.getLogger("assay")


@dataclass(frozen=True, slots=True)
class Grant:
    """What a key lets its holder do. `digest` is the SHA-256 of the key; `expires_at` Unix seconds, None for never."""

    digest: bytes
    principal: Principal
    expires_at: float | None = None


class KeyRing:
    """Grants by the digest of their key: constant time in their number, and no key in memory to dump."""

    def __init__(self, grants: Iterable[Grant], wall_clock: Callable[[], float]) -> None:
        self._wall_clock = wall_clock
        self.replace(grants)

    def replace(self, grants: Iterable[Grant]) -> None:
        """From the next request on only these grants hold; requests under way are not affected."""
        self._grants = {grant.digest: grant for grant in grants}
        self.is_empty = not self._grants  # then nobody needs a key

    def find(self, key: bytes, notes: MutableMapping[Any, Any] | None = None) -> Grant | None:
        """The grant of a key; None if the key is unknown or revoked. A grant is left in `notes`, for `recall`."""
        grant = self._grants.get(sha256(key).digest())
        if grant is not None and notes is not None:
            notes[self] = self._grants, grant
        return grant

    def recall(self, notes: MutableMapping[Any, Any]) -> Grant | None:
        """The grant that `find` left in these notes; None if there is none, or if the keys have changed since."""
        seen = notes.get(self)
        return seen[1] if seen is not None and seen[0] is self._grants else None

    def is_over(self, grant: Grant) -> bool:
        """Whether the grant has expired."""
        return grant.expires_at is not None and self._wall_clock() >= grant.expires_at


def callers_of(config: Config) -> list[Grant]:
    """What the settings grant to callers."""
    return [
        Grant(
            key.digest,
            Principal(key.name, None if key.routes is None else frozenset(key.routes)),
            None if key.expires_at is None else key.expires_at.timestamp(),
        )
        for key in config.keys
    ]


def operators_of(config: Config) -> list[Grant]:
    """What the settings grant to operators."""
    key = config.operator_key
    return [] if key is None else [Grant(sha256(key.get_secret_value().encode()).digest(), Principal("operator"))]


class KeyFiles:
    """Adopts the keys in some files when one of these changes, or when `look_again` is called (SIGHUP).

    `read` gives the settings anew, or raises ConfigError; then the keys stay as they are, and the log says why. The
    last key cannot be removed in this way: without any, the gateway would let everybody in.
    """

    def __init__(
        self, files: Iterable[Path], read: Callable[[], Config], *, callers: KeyRing, operators: KeyRing
    ) -> None:
        self._files = tuple(files)
        self._read = read
        self._callers = callers
        self._operators = operators
        self._stamps = self._look()
        self._asked = False
        for result in ("adopted", "refused"):
            metrics.KEY_LOADS.labels(result)

    def look_again(self) -> None:
        """Read the files at the next turn even if they look unchanged."""
        self._asked = True

    async def run(self) -> None:
        """Watch the files until cancelled."""
        while True:
            await beat()
            stamps = self._look()
            if not self._asked and (stamps == self._stamps or None in stamps):
                continue  # a file that is gone for a moment is being replaced; whoever asks is told that it is gone
            self._asked = False
            self._stamps = stamps
            await self._take_up()

    async def _take_up(self) -> None:
        try:
            config = await asyncio.to_thread(self._read)
            callers, operators = callers_of(config), operators_of(config)
            if (callers == [] and not self._callers.is_empty) or (operators == [] and not self._operators.is_empty):
                raise ConfigError(["the last key was taken away, which would let everybody in; restart to do so"])
        except ConfigError as error:
            if self._look() != self._stamps:
                return  # it was read while it was being written; the next look reads it again
            metrics.KEY_LOADS.labels("refused").inc()
            log.error("the keys stay as they are: %s", "; ".join(error.problems))
            return
        self._callers.replace(callers)
        self._operators.replace(operators)
        metrics.KEY_LOADS.labels("adopted").inc()
        log.warning("%d keys of callers are in force", len(callers))

    def _look(self) -> tuple[tuple[float, int, int] | None, ...]:
        return tuple(_stamp(file) for file in self._files)


def _stamp(file: Path) -> tuple[float, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ctime, found.st_size, found.st_ino
