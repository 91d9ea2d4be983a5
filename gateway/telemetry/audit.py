"""The append-only record of decisions and verdicts: JSON lines with hashes and offsets, and texts only if the operator
asks for them."""

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from gateway.beat import beat
from gateway.telemetry import metrics

log = logging.getLogger("assay")

_BUFFER_BYTES = 8 * 2**20
_TAIL_BYTES = 512 * 1024


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _encode(record: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(record)
    except UnicodeEncodeError:  # half a surrogate pair in a client's text, which UTF-8 cannot hold
        return json.dumps(record, ensure_ascii=False).encode("utf-8", "replace")


_read = msgspec.json.Decoder(dict[str, Any]).decode


def _append(path: Path, lines: Sequence[bytes]) -> int:
    """Append lines; returns how many whole ones the file took. A part of a line that a full disk took is removed again.
    Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        written = os.write(fd, b"".join(lines))
        whole, size = 0, 0
        for line in lines:
            if size + len(line) > written:
                break
            whole, size = whole + 1, size + len(line)
        if size < written:
            _take_back(fd, written - size)
        return whole
    finally:
        os.close(fd)


def _take_back(fd: int, torn: int) -> None:
    """Cut off the incomplete line at the end. If other processes have written after it, only end it with a line break,
    so that it does not spoil the next line."""
    end = os.lseek(fd, 0, os.SEEK_CUR)  # the end of our own write, because the file is opened anew for each
    if os.fstat(fd).st_size == end:
        os.ftruncate(fd, end - torn)
    else:
        with contextlib.suppress(OSError):
            os.write(fd, b"\n")


class Audit:
    """Collects lines and appends them off the event loop, a few times a second.

    The file is opened for every flush, so an operator may rotate it at any time. Lines of several processes do not mix,
    because each flush is one write in append mode. Only the owner may read the file. When the disk is full or too slow,
    whole lines are dropped and counted (`assay_audit_lines_total{result="dropped"}`): traffic never waits for the disk.
    """

    def __init__(self, path: Path | None, *, clock: Callable[[], datetime] = _utc_now) -> None:
        self.path = path
        self._clock = clock
        self._lines: list[bytes] = []
        self._bytes = 0
        self._refusing = False
        self._written = metrics.AUDIT_LINES.labels("written")
        self._dropped = metrics.AUDIT_LINES.labels("dropped")

    def append(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Add a line `{"at": …, "kind": kind, …}`. Never blocks and never raises."""
        if self.path is None:
            return
        line = _encode({"at": self._clock().isoformat(timespec="milliseconds"), "kind": kind, **fields})
        if self._bytes + len(line) > _BUFFER_BYTES:
            self._dropped.inc()
            return
        self._lines.append(line + b"\n")
        self._bytes += len(line) + 1

    async def run(self) -> None:
        """Flush until cancelled, and once more at the end, after a flush that is under way."""
        flush: asyncio.Future[None] | None = None
        try:
            while True:
                await beat()
                if self._lines:
                    flush = asyncio.get_running_loop().run_in_executor(None, self._write, self._drain())
                    await asyncio.shield(flush)
        finally:
            if flush is not None:  # the process may end as soon as this returns, and its threads with it
                await asyncio.wait([flush])
            self._write(self._drain())

    def _drain(self) -> list[bytes]:
        lines, self._lines, self._bytes = self._lines, [], 0
        return lines

    def _write(self, lines: list[bytes]) -> None:
        if self.path is None or not lines:
            return
        try:
            written = _append(self.path, lines)
        except OSError as error:
            written, why = 0, error.strerror
        else:
            why = "the disk took only part of the lines"
        self._written.inc(written)
        self._dropped.inc(len(lines) - written)
        refusing = written < len(lines)
        if refusing and not self._refusing:  # the transition only, not every flush
            log.error(
                "audit lines are dropped: %s cannot be written: %s. Free space in its folder, or repair it; "
                "traffic goes on",
                self.path,
                why,
            )
        self._refusing = refusing

    def recent(self, most: int, kinds: frozenset[str]) -> list[dict[str, Any]]:
        """The latest lines of these kinds, newest first. Reads the end of the file: call it off the loop."""
        if self.path is None or not self.path.exists():
            return []
        with self.path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL_BYTES))
            lines = file.read().split(b"\n")
        if size > _TAIL_BYTES:
            del lines[0]  # the beginning of this line is most likely missing
        found: list[dict[str, Any]] = []
        for line in reversed(lines):
            if len(found) == most:
                break
            try:
                record = _read(line)
            except msgspec.DecodeError:  # an empty line, or the part of a line that a full disk left
                continue
            if record.get("kind") in kinds:
                found.append(record)
        return found
