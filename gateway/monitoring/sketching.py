"""The process that observes: `python -m gateway.monitoring.sketching FD NICE`.

`gateway.monitoring.observing` starts it. It reads judged samples from the socket, adds each to the sketch of its hour,
and sends the sketches when it is asked. It ends when the other side closes the socket, even by dying. It uses no
settings, no store and no event loop, so that it stays small.
"""

import itertools
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Iterable, Mapping

import msgspec

from detectors.monitors.repeats import repeats_question
from detectors.monitors.sketch import Means, Observation, Observer, Sketch, shingles
from detectors.monitors.triggers import hash_of
from gateway.judging.messages import FrameReader, frame
from gateway.judging.texts import texts_in
from gateway.monitoring.changes import Change, Kind, Noticed
from gateway.monitoring.logprobs import token_confidence
from gateway.monitoring.seen import ANSWER, PROMPT, RETRIEVED, SYSTEM, Ask, Seen, Told

HOUR = 3600
OTHER = "(other)"  # all names beyond the first MOST_NAMES: clients may name any model, and keys may be many
MOST_NAMES = 50
_MOST_TOLD = 100  # changes that wait to be sent
_MOST_HOURS = 48  # hours kept at once: a queue that stood still for days brings samples of many
_MOST_SHINGLES = 20_000  # runs of words remembered from earlier answers
_READ_CHARACTERS = 20_000
_RECEIVED = 1 << 18  # bytes read from the socket at once; the samples in them are observed together
_encode = msgspec.msgpack.Encoder().encode


class _Hour:
    """The sketch of an hour, its number, and when it was last sent."""

    __slots__ = ("number", "sketch", "told")

    def __init__(self, number: int) -> None:
        self.number = number
        self.sketch = Sketch()
        self.told = 0.0


class Sketching:
    """The sketches of one process. Reads no clock and writes nothing."""

    def __init__(self) -> None:
        self._hours: dict[int, _Hour] = {}
        self._numbers = itertools.count()
        self._changed: set[int] = set()
        self._told: deque[Change] = deque(maxlen=_MOST_TOLD)
        self._observer = Observer()
        self._noticed = Noticed(self._told.append)
        self._echoes: dict[int, None] = {}
        self._names: dict[str, set[str]] = {}
        self._failed = 0
        self._why = ""

    def observe(self, batch: Iterable[Seen]) -> None:
        """Add these to the sketches of their hours. One that cannot be read is left out and counted."""
        means: dict[int, Means] = {}
        for seen in batch:
            try:
                self._observe(seen, means)
            except Exception as error:  # noqa: BLE001 - only its type is kept: the message may quote a text
                self._failed += 1
                self._why = type(error).__name__
        for start, gathered in means.items():
            gathered.pour(self._hours[start].sketch)

    def tell(self, now: float) -> Told:
        """What has changed since the last call; `now` is Unix seconds. Then forget hours that are over and that got no
        sample for two hours."""
        changed = [(start, self._hours[start]) for start in sorted(self._changed)]
        told = Told(
            [(start, hour.number, _encode(hour.sketch)) for start, hour in changed],
            [*self._told],
            self._failed,
            self._why,
        )
        self._changed.clear()
        self._told.clear()
        self._failed, self._why = 0, ""
        for _, hour in changed:
            hour.told = now
        kept = sorted(self._hours.items(), key=lambda item: (max(item[0], item[1].told), item[0]))
        self._hours = {start: hour for start, hour in kept[-_MOST_HOURS:] if max(start, hour.told) >= now - 2 * HOUR}
        return told

    def _observe(self, seen: Seen, means: dict[int, Means]) -> None:
        """Add a sample to the sketch of its hour; its means are gathered in `means`, by hour."""
        said = _said(seen)
        observed = self._observation(seen, said[PROMPT], said[RETRIEVED], said[ANSWER])
        start = int(seen.at // HOUR) * HOUR
        hour = self._hours.get(start)
        if hour is None:
            hour = self._hours[start] = _Hour(next(self._numbers))
        self._changed.add(start)
        self._observer.observe(hour.sketch, observed, means.setdefault(start, Means()))
        self._noticed.notice(seen.at, seen.route, _facts(seen, observed.model, said[SYSTEM]))

    def _observation(self, seen: Seen, prompt: str, retrieved: str, answer: str) -> Observation:
        return Observation(
            seen.id,
            seen.weight,
            seen.route,
            self._one_of("model", seen.model),
            self._one_of("caller", seen.caller),
            self._one_of("language", seen.language),
            prompt,
            answer,
            {(way, o.slug): (o.score, o.flagged, o.detector) for way, o in seen.scores},
            seconds=seen.seconds,
            echo=self._echo(prompt, answer),
            orders=seen.orders,
            repeats=repeats_question(prompt, [retrieved] if retrieved else []),
            passages=retrieved,
            token_confidence=None if seen.stream else token_confidence(seen.answer, seen.encoding),
        )

    def _one_of(self, what: str, value: str) -> str:
        known = self._names.setdefault(what, set())
        if value not in known and len(known) >= MOST_NAMES:
            return OTHER
        known.add(value)
        return value

    def _echo(self, prompt: str, answer: str) -> bool | None:
        """Whether the prompt repeats a run of words of an earlier answer; None for a prompt too short to tell."""
        asked = shingles(prompt)
        found = any(value in self._echoes for value in asked) if asked else None
        self._echoes.update(dict.fromkeys(shingles(answer)))
        while len(self._echoes) > _MOST_SHINGLES:
            del self._echoes[next(iter(self._echoes))]
        return found


def _said(seen: Seen) -> dict[str, str]:
    """The system prompts, the user's new messages, the newly retrieved passages, and the answer: each joined to one
    text and cut at _READ_CHARACTERS."""
    found: dict[str, list[str]] = {SYSTEM: [], PROMPT: [], RETRIEVED: [], ANSWER: []}
    if seen.texts:
        texts = texts_in(seen.operation, seen.prompt, seen.answer, encoding=seen.encoding, stream=seen.stream)
        for part, direction, path in seen.texts:
            if text := texts.get((direction, tuple(path))):
                found[part].append(text)
    return {part: "\n\n".join(said)[:_READ_CHARACTERS] for part, said in found.items()}


def _facts(seen: Seen, model: str, system: str) -> Mapping[Kind, str]:
    """The facts whose changes are noticed. The system prompt is represented by a hash."""
    versions = {opinion.detector for _, opinion in seen.scores}
    return {
        "model": model,
        "policy": seen.policy,
        "detector": next((version for version in sorted(versions) if version.startswith("encoder@")), ""),
        "system_prompt": f"{hash_of(system):08x}" if system else "",
    }


def serve(line: socket.socket, sketching: Sketching) -> None:
    """Answer until the other side closes."""
    reader, decode = FrameReader(), msgspec.msgpack.Decoder(Seen | Ask).decode
    while data := line.recv(_RECEIVED):
        seen: list[Seen] = []
        for body in reader.feed(data):
            message = decode(body)
            if isinstance(message, Seen):
                seen.append(message)
                continue
            sketching.observe(seen)
            seen.clear()
            line.sendall(frame(sketching.tell(message.now)))
        sketching.observe(seen)


def main() -> None:
    """Run until the starting process closes the socket. Signals are ignored here: they are meant for that process."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.nice(int(sys.argv[2]))
    try:
        serve(socket.socket(fileno=int(sys.argv[1])), Sketching())
    except (BrokenPipeError, ConnectionResetError):
        return  # the process that started this one is gone


if __name__ == "__main__":
    main()
