"""The sink that turns judged samples into sketches, an hour each."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping

from detectors.monitors.sketch import Means, Observation, Observer, Sketch, shingles
from detectors.monitors.triggers import hash_of
from gateway.monitoring.changes import Change, Kind, Noticed
from gateway.monitoring.logprobs import token_confidence
from gateway.monitoring.store import HOUR, MonitorError, Store
from gateway.trust.judged import Judged

log = logging.getLogger("assay")

KEPT_DAYS = 15
OTHER = "(other)"  # stands for what is beyond the first: clients may name any model, and keys may be many
MOST_NAMES = 50
_BATCH = 16  # samples that are read together
_MOST_WAITING = 500  # samples, with their texts
_MOST_BYTES = 64 * 2**20  # of their bodies
WRITE_SECONDS = 15.0
_MOST_SHINGLES = 20_000  # of earlier answers that are remembered
_READ_CHARACTERS = 20_000


class Observing:
    """A sink. `clock` is Unix seconds, as in `Judged.at`. A sample that finds no room is left out: the newest stay."""

    def __init__(self, store: Store, *, clock: Callable[[], float], write_seconds: float = WRITE_SECONDS) -> None:
        self._store = store
        self._write_seconds = write_seconds
        self._clock = clock
        self._waiting: deque[Judged] = deque()
        self._bytes = 0
        self._sketches: dict[int, Sketch] = {}
        self._changed: set[int] = set()
        self._told: deque[Change] = deque(maxlen=100)
        self._observer = Observer()
        self._noticed = Noticed(self._told.append)
        self._echoes: dict[int, None] = {}
        self._names: dict[str, set[str]] = {}
        self._write_at = 0.0
        self.problem = ""

    @property
    def held_bytes(self) -> int:
        """Of the bodies of samples that wait."""
        return self._bytes

    def take(self, judged: Judged) -> None:
        """Never waits, never raises."""
        self._waiting.append(judged)
        self._bytes += _size(judged)
        while len(self._waiting) > _MOST_WAITING or self._bytes > _MOST_BYTES:
            self._bytes -= _size(self._waiting.popleft())

    async def run(self) -> None:
        """Until cancelled, and write once more then."""
        try:
            while True:
                await asyncio.sleep(0.2)
                await self.work()
                if self._clock() >= self._write_at:
                    self._write_at = self._clock() + self._write_seconds
                    await self.write()
        finally:
            await self.write()
            await self._store.close()

    async def work(self) -> None:
        """Observe what waits, one sample a turn of the loop: traffic goes first."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            self._bytes -= sum(map(_size, batch))
            read = await asyncio.to_thread(lambda: [*map(_read, batch)])  # noqa: B023 - a body may take long to read
            means: dict[int, Means] = {}
            try:
                for judged, (said, tokens) in zip(batch, read, strict=True):
                    self._observe(judged, said, tokens, means)
                    await asyncio.sleep(0)
            finally:
                self._pour(means)

    def observe(self, judged: Judged) -> None:
        """Add a sample to the sketch of its hour."""
        means: dict[int, Means] = {}
        self._observe(judged, *_read(judged), means)
        self._pour(means)

    def _observe(self, judged: Judged, said: Mapping[str, str], tokens: float | None, means: dict[int, Means]) -> None:
        """Its means go into those of its hour."""
        start = int(judged.at // HOUR) * HOUR
        seen = self._seen(judged, said["prompt"], said["response"], tokens)
        sketch = self._sketches.setdefault(start, Sketch())
        self._observer.observe(sketch, seen, means.setdefault(start, Means()))
        self._changed.add(start)
        self._noticed.notice(judged.at, judged.route, _facts(judged, seen.model, said["system"]))

    def _pour(self, means: Mapping[int, Means]) -> None:
        for start, gathered in means.items():
            gathered.pour(self._sketches[start])

    def _seen(self, judged: Judged, prompt: str, answer: str, tokens: float | None) -> Observation:
        return Observation(
            judged.id,
            1 / judged.probability,
            judged.route,
            self._one_of("model", judged.model),
            self._one_of("caller", judged.caller),
            self._one_of("language", judged.language),
            prompt,
            answer,
            {(way, o.slug): (o.score, o.flagged, o.detector) for way, o in judged.scores},
            seconds=_seconds(judged),
            echo=self._echo(prompt, answer),
            orders=_orders(judged),
            token_confidence=tokens,
        )

    def _one_of(self, what: str, value: str) -> str:
        known = self._names.setdefault(what, set())
        if value not in known and len(known) >= MOST_NAMES:
            return OTHER
        known.add(value)
        return value.encode("utf-8", "replace").decode()  # clients may name half a surrogate pair

    def _echo(self, prompt: str, answer: str) -> bool | None:
        """Does the prompt hold a run of words that an earlier answer held? None for a prompt too short to tell."""
        asked = shingles(prompt)
        found = any(value in self._echoes for value in asked) if asked else None
        self._echoes.update(dict.fromkeys(shingles(answer)))
        while len(self._echoes) > _MOST_SHINGLES:
            del self._echoes[next(iter(self._echoes))]
        return found

    async def write(self) -> None:
        """What changed since; while the store cannot be used it stays here."""
        try:
            for start in sorted(self._changed):
                await self._store.put(start, self._sketches[start])
                self._changed.discard(start)
            while self._told:
                await self._store.tell(self._told[0])
                self._told.popleft()
            await self._store.prune(self._clock() - KEPT_DAYS * 24 * HOUR)
        except MonitorError as error:
            if not self.problem:  # the transition only
                log.warning("the monitors' sketches cannot be written, and wait: %s", error)
            self.problem = str(error)
            return
        self.problem = ""
        over = self._clock() - 2 * HOUR
        self._sketches = {
            start: sketch for start, sketch in self._sketches.items() if start >= over or start in self._changed
        }


def _size(judged: Judged) -> int:
    return 0 if judged.sample is None else judged.sample.size()


def _seconds(judged: Judged) -> float | None:
    sample = judged.sample
    return None if sample is None or judged.outcome != "completed" else sample.seconds or None


def _read(judged: Judged) -> tuple[dict[str, str], float | None]:
    sample = judged.sample
    return _said(judged), None if sample is None or sample.stream else token_confidence(sample.answer, sample.encoding)


def _said(judged: Judged) -> dict[str, str]:
    """The system prompts, what is new of the prompt as the user wrote it, and the answer; each as one text, cut."""
    texts = judged.texts() if judged.findings else {}
    found: dict[str, list[str]] = {"system": [], "prompt": [], "response": []}
    for finding in judged.findings:
        part = "system" if finding.channel == "system" else finding.direction
        if part == "prompt" and not (finding.fresh and finding.channel == "user"):
            continue
        text = texts.get((finding.direction, tuple(finding.path)))
        if text:
            found[part].append(text)
    return {part: "\n\n".join(said)[:_READ_CHARACTERS] for part, said in found.items()}


def _facts(judged: Judged, model: str, system: str) -> Mapping[Kind, str]:
    """What may have changed. A system prompt is told by a hash."""
    decision = judged.decisions.get("prompt")
    versions = {opinion.detector for _, opinion in judged.scores}
    return {
        "model": model,
        "policy": decision.revision if decision else "",
        "detector": next((version for version in sorted(versions) if version.startswith("encoder@")), ""),
        "system_prompt": f"{hash_of(system):08x}" if system else "",
    }


def _orders(judged: Judged) -> bool | None:
    passages = [finding for finding in judged.findings if finding.channel == "retrieved"]
    if not passages:
        return None
    return any(opinion.flagged for each in passages for opinion in each.opinions if opinion.slug == "prompt_attacks")
