"""The detector process: `python -m gateway.judge_main FD NICE MODELS [FINGERPRINTS]`, started by `gateway.judge`.

Reads cases from the socket, urgent ones first, and answers each with its findings. What a text hides is brought to
light once, for all detectors. A detector that raises costs
only its own opinions. It ends when the gateway closes the line.
"""

import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from time import monotonic
from types import MappingProxyType

import msgspec

from detectors import manifest, registry, unhide
from detectors.base import Detector, Judgement, State, Text, Verdict
from detectors.manifest import DEFAULT_FALSE_ALARMS
from gateway.content_encoding import EncodingError, decode
from gateway.judge import EXPIRED, Case, Finding, Findings, FrameReader, Hello, Opinion, frame
from gateway.language import language_of
from gateway.openai_api import Operation, Passage, read_request, read_response, read_stream

_ANSWER_BYTES = 32 * 2**20
_CONTEXT_CHARACTERS = 2000
_CASE_CHARACTERS = 200_000
_CASE_PASSAGES = 1_000
_BATCH = 8  # background cases judged in one go: an urgent case waits at most for these


class Bench:
    """The detectors and their default thresholds; those that could not be loaded fail every case, and say so."""

    def __init__(
        self,
        detectors: Sequence[Detector],
        thresholds: Mapping[tuple[str, str, str], float],
        key: bytes,
        absent: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.detectors = detectors
        self._absent = absent
        self._thresholds = thresholds
        self._key = key

    def judge(self, cases: Sequence[Case]) -> list[Findings]:
        """Findings for each case, in order; the texts of all cases go through each detector in one batch."""
        replies: list[Findings] = []
        texts: list[Text] = []
        places: list[tuple[int, Finding, frozenset[str] | None]] = []
        for number, case in enumerate(cases):
            reply = Findings(case.id, [], [], dict.fromkeys(self._absent, "absent"))
            replies.append(reply)
            for passage, context, slugs in _wanted(case, reply):
                finding = self._finding(passage)
                reply.findings.append(finding)
                texts.append(Text(passage.text, passage.direction, context))
                places.append((number, finding, slugs))
        revealed = [unhide.reveal(text.text) for text in texts]
        for detector in self.detectors:
            self._run(detector, texts, revealed, places, replies)
        return replies

    def _run(
        self,
        detector: Detector,
        texts: Sequence[Text],
        revealed: Sequence[unhide.Revealed],
        places: Sequence[tuple[int, Finding, frozenset[str] | None]],
        replies: Sequence[Findings],
    ) -> None:
        chosen = [
            index for index, (_, _, slugs) in enumerate(places) if slugs is None or not slugs.isdisjoint(detector.slugs)
        ]
        if not chosen:
            return
        coverage: dict[tuple[int, str], int] = {}
        try:
            judgements: Sequence[Judgement | None] = unhide.judge(
                detector, [texts[index] for index in chosen], [revealed[index] for index in chosen]
            )
        except Exception as error:  # noqa: BLE001 - a detector that breaks must not take the others along
            judgements = [None] * len(chosen)
            for number in {places[index][0] for index in chosen}:
                replies[number].failed[detector.id] = type(error).__name__
        for index, judgement in zip(chosen, judgements, strict=True):
            number, finding, slugs = places[index]
            state = "errored" if judgement is None else judgement.state.value
            coverage[number, state] = coverage.get((number, state), 0) + 1
            if judgement is not None and judgement.state is not State.SKIPPED:
                finding.opinions += self._opinions(judgement.verdicts, finding.direction, slugs)
        for (number, state), texts_in_state in coverage.items():
            replies[number].coverage.append((detector.id, state, texts_in_state))

    def _opinions(
        self, verdicts: Iterable[Verdict], direction: str, slugs: Collection[str] | None
    ) -> Iterable[Opinion]:
        for verdict in verdicts:
            if slugs is None or verdict.slug in slugs:
                threshold = self._thresholds.get((verdict.detector, verdict.slug, direction), 2.0)
                spans = [(span.start, span.end, span.label) for span in verdict.spans]
                yield Opinion(verdict.detector, verdict.slug, verdict.score, verdict.score >= threshold, spans)

    def _finding(self, passage: Passage) -> Finding:
        digest = blake2b(passage.text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=12).hexdigest()
        return Finding(
            passage.direction,
            passage.channel,
            list(passage.path),
            passage.choice,
            passage.fresh,
            digest,
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
