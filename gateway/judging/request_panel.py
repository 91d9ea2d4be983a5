"""Asks the panel about whole requests: reads their texts, has them judged, and tells for each text what was found."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from detectors.base import PIECE_TEXTS, Comparing, Known, State, Steps, Text, finish
from detectors.panel import Answer, Panel, Question, coverage
from gateway.judging.language import language_of
from gateway.judging.memory import JudgedTexts, Key
from gateway.judging.messages import Finding, Findings, JudgingRequest
from gateway.judging.reading import TextToJudge, texts_to_judge
from gateway.openai_api import Passage

REMEMBERED_BYTES = 8 * 2**20
_LARGE_BYTES = 32 * 1024  # of texts: reading more takes longer than a piece of work may
_LOOK_SECONDS = 0.005  # between two looks whether a thread has read a request
_JUDGED = frozenset({State.SCANNED.value, State.SKIPPED.value})


Read = Callable[[JudgingRequest, Findings, frozenset[str]], Iterable[TextToJudge]]


class RequestPanel:
    """`key` keys the hashes of texts; `remembered_bytes` bounds what is kept in case the same text comes again.

    `compared` are the slugs for which some detector compares a text with what was said before. `read` gives the texts
    of a request.
    """

    def __init__(
        self, panel: Panel, key: bytes, remembered_bytes: int = REMEMBERED_BYTES, *, read: Read = texts_to_judge
    ) -> None:
        self.panel = panel
        self._read = read
        self._reader = ThreadPoolExecutor(1, "reader")  # begins with the first large request
        self.compared = frozenset[str]().union(
            *(detector.slugs for detector in panel.detectors if isinstance(detector, Comparing))
        )
        self._memory = JudgedTexts(remembered_bytes, key)

    def judge(self, requests: Sequence[JudgingRequest]) -> list[Findings]:
        """Findings for each request, in order; the texts of all go through each detector together."""
        return finish(self.steps(requests))

    def steps(self, requests: Sequence[JudgingRequest]) -> Steps[list[Findings]]:
        """What `judge` does, in bounded pieces of work, the latest text of each request first."""
        replies = []
        asked: list[tuple[Findings, Finding]] = []
        questions: list[Question] = []
        keys: list[Key] = []
        known: dict[Key, Known] = {}
        for request in requests:
            reply = Findings(request.id, [], [], dict.fromkeys(self.panel.absent, "absent"))
            replies.append(reply)
            for each in reversed((yield from self._texts_of(request, reply))):
                digest = self._memory.digest(each.passage.text)
                text = Text(each.passage.text, each.passage.direction, each.context, each.turns)
                asked.append((reply, _finding(each, digest)))
                questions.append(Question(text, each.slugs))
                if len(keys) % PIECE_TEXTS == 0:
                    yield
                keys.append(self._memory.key(request.caller, text, digest))
                known.setdefault(keys[-1], self._memory.of(keys[-1]))
        yield
        answers = yield from self.panel.steps(questions, [known[key] for key in keys])
        for number, ((reply, finding), key, answer) in enumerate(zip(asked, keys, answers, strict=True), start=1):
            self._memory.keep({key: known[key]})
            _note(reply, finding, answer)
            if number % PIECE_TEXTS == 0:
                yield
        self._sum_up(replies, asked, answers)
        return replies

    def _texts_of(self, request: JudgingRequest, reply: Findings) -> Steps[list[TextToJudge]]:
        """The texts to judge, in their order; `reply` records what is unread.

        A body of hundreds of thousands of strings takes seconds to read. So a thread reads what is large, one request
        at a time, while other requests are judged. Stopped before its end, nothing of the request is read.
        """
        if request.text_size() <= _LARGE_BYTES:
            return list(self._read(request, reply, self.compared))
        told = Findings(request.id, [], [], {})
        reading = self._reader.submit(lambda: list(self._read(request, told, self.compared)))
        while not wait([reading], _LOOK_SECONDS).done:
            if (yield):
                reading.cancel()
                _note_unread(request, reply)
                return []
        reply.unread += told.unread
        return reading.result()

    @staticmethod
    def _sum_up(
        replies: Sequence[Findings], asked: Sequence[tuple[Findings, Finding]], answers: Sequence[Answer]
    ) -> None:
        by_reply: dict[int, list[Answer]] = {id(reply): [] for reply in replies}
        for (reply, _), answer in zip(asked, answers, strict=True):
            by_reply[id(reply)].append(answer)
        for reply in replies:
            own = by_reply[id(reply)]
            reply.findings.reverse()
            reply.coverage = [(detector, state, texts) for (detector, state), texts in coverage(own).items()]
            reply.remembered = list(Counter(detector for answer in own for detector in answer.remembered).items())


def _note_unread(request: JudgingRequest, reply: Findings) -> None:
    """Say of each side that was to be judged that it took too long to read."""
    if request.prompt_slugs != [] and (request.prompt or request.said):
        reply.note_unread("prompt", "user", "too_long")
    if request.answer_slugs != [] and (request.answer or request.stretches):
        reply.note_unread("response", "assistant", "too_long")


def _note(reply: Findings, finding: Finding, answer: Answer) -> None:
    """Add what the panel says about a text to the findings of its request."""
    finding.opinions += answer.opinions
    reply.findings.append(finding)
    reply.failed |= answer.failed
    for detector, state in answer.states.items():
        told = (finding.direction, finding.channel, detector, state)
        if state not in _JUDGED and told not in reply.unjudged:
            reply.unjudged.append(told)
    for detector, others in answer.instead.items():
        reply.instead[detector] = sorted({*reply.instead.get(detector, ()), *others})
    if answer.is_unreadable:
        reply.note_unread(finding.direction, finding.channel, "language")


def _finding(each: TextToJudge, digest: bytes) -> Finding:
    passage: Passage = each.passage
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
