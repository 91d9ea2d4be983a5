"""The detector process: `python -m gateway.judging.process FD NICE MODELS [FINGERPRINTS]`.

`gateway.judging.client` starts it. It reads cases from the socket, urgent ones first, and answers each with its
findings. What a text hides is brought to light once, for all detectors. A text that was judged lately is not judged
again. A detector that raises costs only its own opinions. It ends when the gateway closes the line.
"""

import os
import signal
import socket
import sys
from collections import Counter, OrderedDict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from time import monotonic
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from detectors import manifest, registry
from detectors.base import Detector, Judgement, State, Text, Verdict
from detectors.hiding import unhide
from detectors.manifest import DEFAULT_FALSE_ALARMS
from gateway.judging.client import EXPIRED, Case, Finding, Findings, FrameReader, Hello, Opinion, frame
from gateway.judging.language import language_of
from gateway.openai_api import Operation, Passage, read_request, read_response, read_stream
from gateway.openai_api.encodings import EncodingError, decode

_ANSWER_BYTES = 32 * 2**20
_CONTEXT_CHARACTERS = 2000
_CASE_CHARACTERS = 200_000
_CASE_PASSAGES = 1_000
_REMEMBERED = 2_048  # texts whose judgements are kept: a few megabytes
_MOST_SPANS = 64  # of a judgement that is kept
_BATCH = 8  # background cases judged in one go: an urgent case waits at most for these


Key = tuple[str, bytes, bytes]  # role, and hashes of a text and its context


class _Memory:
    """What the detectors said of the texts they judged last, by detector: bounded, the longest unused goes first.

    A text is known by a hash only, as is the context that it was judged in.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[Key, dict[str, Judgement]] = OrderedDict()

    def of(self, key: Key) -> dict[str, Judgement]:
        """By detector id; what is added to it is remembered."""
        known = self._known.setdefault(key, {})
        self._known.move_to_end(key)
        return known

    def trim(self) -> None:
        while len(self._known) > self._most:
            self._known.popitem(last=False)


class _Place(NamedTuple):
    """A text to judge: of which case, with what asked of it, and what is known of it already."""

    number: int
    finding: Finding
    slugs: frozenset[str] | None
    text: Text
    known: dict[str, Judgement]


class Bench:
    """The detectors and their default thresholds; those that could not be loaded fail every case, and say so.

    `remembered` is how many texts' judgements are kept for when the same text comes again.
    """

    def __init__(
        self,
        detectors: Sequence[Detector],
        thresholds: Mapping[tuple[str, str, str], float],
        key: bytes,
        absent: Mapping[str, str] = MappingProxyType({}),
        remembered: int = _REMEMBERED,
    ) -> None:
        self.detectors = detectors
        self._absent = absent
        self._thresholds = thresholds
        self._key = key
        self._memory = _Memory(remembered)

    def judge(self, cases: Sequence[Case]) -> list[Findings]:
        """Findings for each case, in order; the texts of all cases go through each detector in one batch."""
        replies: list[Findings] = []
        places: list[_Place] = []
        for number, case in enumerate(cases):
            reply = Findings(case.id, [], [], dict.fromkeys(self._absent, "absent"))
            replies.append(reply)
            for passage, context, slugs in _wanted(case, reply):
                digest = self._digest(passage.text)
                finding = _finding(passage, digest)
                reply.findings.append(finding)
                text = Text(passage.text, passage.direction, context)
                known = self._memory.of((text.role, digest, self._digest(context) if context else b""))
                places.append(_Place(number, finding, slugs, text, known))
            if reply.findings:
                reply.coverage += [(name, "absent", len(reply.findings)) for name in self._absent]
        revealed: dict[str, unhide.Revealed] = {}
        for detector in self.detectors:
            self._run(detector, places, revealed, replies)
        self._memory.trim()
        return replies

    def _run(
        self,
        detector: Detector,
        places: Sequence[_Place],
        revealed: dict[str, unhide.Revealed],
        replies: Sequence[Findings],
    ) -> None:
        """Judge what is not known yet, each text once, and put every opinion in its place."""
        chosen = [place for place in places if place.slugs is None or not place.slugs.isdisjoint(detector.slugs)]
        new = list({id(place.known): place for place in chosen if detector.id not in place.known}.values())
        try:
            judged = _judged(detector, [place.text for place in new], revealed)
        except Exception as error:  # noqa: BLE001 - a detector that breaks must not take the others along
            judged = []
            broken = {id(place.known) for place in new}
            for number in {place.number for place in chosen if id(place.known) in broken}:
                replies[number].failed[detector.id] = type(error).__name__
        fresh = {id(place.known): judgement for place, judgement in zip(new, judged, strict=False)}
        coverage: Counter[tuple[int, str]] = Counter()
        remembered: Counter[int] = Counter()
        for place in chosen:
            judgement = place.known.get(detector.id) or fresh.get(id(place.known))
            coverage[place.number, "errored" if judgement is None else judgement.state.value] += 1
            if judgement is not None and judgement.state is not State.SKIPPED:
                place.finding.opinions += self._opinions(judgement.verdicts, place.finding.direction, place.slugs)
            remembered[place.number] += detector.id in place.known
        for place in new:
            judgement = fresh.get(id(place.known))
            if judgement is not None and sum(len(verdict.spans) for verdict in judgement.verdicts) <= _MOST_SPANS:
                place.known[detector.id] = judgement
        for (number, state), texts in coverage.items():
            replies[number].coverage.append((detector.id, state, texts))
        for number, texts in remembered.items():
            if texts:
                replies[number].remembered.append((detector.id, texts))

    def _opinions(
        self, verdicts: Iterable[Verdict], direction: str, slugs: Collection[str] | None
    ) -> Iterable[Opinion]:
        for verdict in verdicts:
            if slugs is None or verdict.slug in slugs:
                threshold = self._thresholds.get((verdict.detector, verdict.slug, direction), 2.0)
                spans = [(span.start, span.end, span.label) for span in verdict.spans]
                yield Opinion(verdict.detector, verdict.slug, verdict.score, verdict.score >= threshold, spans)

    def _digest(self, text: str) -> bytes:
        return blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=12).digest()


def _judged(detector: Detector, texts: Sequence[Text], revealed: dict[str, unhide.Revealed]) -> Sequence[Judgement]:
    """What the detector says of texts and of what they hide, which is looked for once for all detectors."""
    if not texts:
        return []
    for text in texts:
        if text.text not in revealed:
            revealed[text.text] = unhide.reveal(text.text)
    return unhide.judge(detector, texts, [revealed[text.text] for text in texts])


def _finding(passage: Passage, digest: bytes) -> Finding:
    return Finding(
        passage.direction,
        passage.channel,
        list(passage.path),
        passage.choice,
        passage.fresh,
        digest.hex(),
        [],
        language_of(passage.text),
    )


def thresholds(known: Mapping[str, manifest.DetectorInfo], false_alarms: float) -> dict[tuple[str, str, str], float]:
    """(detector id, slug, role) → the score that is flagged at this false-alarm rate."""
    found: dict[tuple[str, str, str], float] = {}
    for info in known.values():
        for (slug, role), table in info.operating.items():
            threshold = manifest.threshold(table, false_alarms)
            if threshold is not None:
                found[info.id, slug, role] = threshold
    return found


def _wanted(case: Case, reply: Findings) -> Iterable[tuple[Passage, str | None, frozenset[str] | None]]:
    """The passages to judge, each with its context and the slugs that are asked of it."""
    operation = Operation(case.operation)
    prompts = read_request(operation, case.prompt) if case.prompt else []
    prompt_slugs = None if case.prompt_slugs is None else frozenset(case.prompt_slugs)
    answer_slugs = None if case.answer_slugs is None else frozenset(case.answer_slugs)
    if prompt_slugs is None or prompt_slugs:
        for passage in _newest([passage for passage in prompts if passage.fresh or not case.fresh], reply):
            yield passage, None, prompt_slugs
    if not case.answer or answer_slugs == frozenset():
        return
    try:
        body, more = decode(case.answer, case.encoding, _ANSWER_BYTES)
    except EncodingError as error:
        reply.unreadable = str(error)
        return
    if more:
        reply.unreadable = f"the answer unpacks to more than {_ANSWER_BYTES} bytes"
        return
    asked = [passage.text for passage in prompts if passage.channel == "user"]
    context = asked[-1][-_CONTEXT_CHARACTERS:] if asked else None
    passages = read_stream(operation, body) if case.stream else read_response(operation, body)
    if not passages and not case.stream and not _is_json(body):
        reply.unreadable = "the answer is not JSON"
    for passage in _newest(passages, reply):
        yield passage, context, answer_slugs


def _newest(passages: Sequence[Passage], reply: Findings) -> Sequence[Passage]:
    """The latest passages within the bounds of one case: no request may occupy the detectors for long."""
    characters = 0
    for number, passage in enumerate(reversed(passages)):
        characters += len(passage.text)
        if number and (characters > _CASE_CHARACTERS or number >= _CASE_PASSAGES):
            reply.cut = True
            return passages[len(passages) - number :]
    return passages


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def serve(line: socket.socket, bench: Bench) -> None:
    """Answer cases until the other side closes."""
    reader = FrameReader()
    decode_case = msgspec.msgpack.Decoder(Case).decode
    urgent: deque[Case] = deque()
    waiting: deque[Case] = deque()
    while True:
        line.setblocking(not (urgent or waiting))
        try:
            data = line.recv(1 << 20)
        except BlockingIOError:
            data = None
        if data == b"":
            return
        for body in reader.feed(data) if data else ():
            case = decode_case(body)
            (urgent if case.urgent else waiting).append(case)
        line.setblocking(True)
        queue = urgent or waiting
        batch = [queue.popleft() for _ in range(min(_BATCH, len(queue)))]
        now = monotonic()
        # A case that nobody waits for is not judged: that would only make the next ones late as well.
        replies = [Findings(case.id, [], [], {}, unreadable=EXPIRED) for case in batch if _is_late(case, now)]
        replies += bench.judge([case for case in batch if not _is_late(case, now)])
        line.sendall(b"".join(map(frame, replies)))


def _is_late(case: Case, now: float) -> bool:
    return 0 < case.expires_at < now


def _load(
    models: Path, fingerprints: Path | None
) -> tuple[list[Detector], dict[str, str], dict[str, manifest.DetectorInfo]]:
    """What can be loaded, and why the rest cannot: one damaged file must not silence the other detectors."""
    built: list[Detector] = []
    absent: dict[str, str] = {}
    known: dict[str, manifest.DetectorInfo] = {}
    for name, factory in registry.factories(fingerprints).items():
        try:
            known[name] = manifest.load_one(name, models)
            built.append(factory(known[name]))
        except manifest.ModelError as error:
            absent[name] = str(error)
    return built, absent, known


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the gateway, which then closes the line
    os.nice(int(sys.argv[2]))
    line = socket.socket(fileno=int(sys.argv[1]))
    key = sys.stdin.buffer.read()[:64]
    built, absent, known = _load(Path(sys.argv[3]), Path(sys.argv[4]) if len(sys.argv) > 4 else None)
    try:
        line.sendall(frame(Hello([detector.id for detector in built], absent)))
        serve(line, Bench(built, thresholds(known, DEFAULT_FALSE_ALARMS), key, absent))
    except (BrokenPipeError, ConnectionResetError):
        return  # the gateway is gone


if __name__ == "__main__":
    main()
