"""Asks the models: a bounded number of requests at a time, with retries where they may help; answers are recorded at
once."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import cycle, zip_longest
from typing import NamedTuple, Protocol

import msgspec

from gateway.opinions.judge import Retries
from gateway.study.evaluation.prompts import Item
from gateway.study.evaluation.record import Answered, Record
from gateway.upstream.posts import PostAnswer, PostError

CHAT, COMPLETIONS = "/chat/completions", "/completions"
MOST_FAILURES = 5  # in a row, each after its retries, before a model is given up
# How a filter before or behind a model reports that it kept something back: as the code of an error, or as the reason
# why an answer ended.
FILTERED = frozenset({"content_filter", "content_policy_violation"})
_FRAME = "Question: {}\nAnswer: {}"
_STOP = "\nQuestion:"


class Post(Protocol):
    """Sends a request to a model: `upstream.posts.Poster`."""

    async def post(self, path: str, body: bytes) -> PostAnswer: ...


@dataclass(frozen=True, slots=True)
class AskedModel:
    """A model to ask. `label` names it in the report; with `completions` it is asked to continue a text, as base models
    are."""

    label: str
    model: str
    completions: bool = False
    system: str = ""
    temperature: float = 0.0


class ItemRequest(NamedTuple):
    """One request: for the item's prompt with this `number`; `asked` is the request's digest."""

    item: Item
    number: int
    path: str
    body: bytes
    asked: str


class GivenUpError(Exception):
    """A model could not be asked any more; the message says why. Its answers so far are recorded."""


def is_due(item: Item, number: int, answers: Sequence[str]) -> bool:
    """Whether a prompt of an item can be asked after these answers; an empty answer has no follow-up."""
    return not (item.is_followed_up and number) or bool(answers[0].strip())


def request(target: AskedModel, item: Item, number: int, answers: Sequence[str] = ()) -> ItemRequest:
    """The request for an item's prompt; `answers` are those to its earlier prompts, which a follow-up includes."""
    turns = [item.asks[0], answers[0], item.asks[number]] if item.is_followed_up and number else [item.asks[number]]
    path, fields = _completion(target, item, turns) if target.completions else _chat(target, item, turns)
    body = msgspec.json.encode({"model": target.model, "temperature": target.temperature, **fields})
    digest = blake2b(path.encode() + b"\0" + body, digest_size=12).hexdigest()
    return ItemRequest(item, number, path, body, digest)


def _chat(target: AskedModel, item: Item, turns: Sequence[str]) -> tuple[str, dict[str, object]]:
    said = [("system", target.system)] if target.system else []
    said += zip(cycle(("user", "assistant")), turns, strict=False)
    messages = [{"role": role, "content": text} for role, text in said]
    return CHAT, {"messages": messages, "max_tokens": item.tokens}


def _completion(target: AskedModel, item: Item, turns: Sequence[str]) -> tuple[str, dict[str, object]]:
    framed = item.opening or "\n\n".join(map(_framed, [*item.examples, turns]))
    text = f"{target.system}\n\n{framed}" if target.system else framed
    return COMPLETIONS, {"prompt": text, "max_tokens": item.tokens, "stop": [_STOP]}


def _framed(turns: Sequence[str]) -> str:
    """A conversation as a text to continue; it may end with a question."""
    return "\n\n".join(_FRAME.format(*pair).rstrip() for pair in zip_longest(turns[::2], turns[1::2], fillvalue=""))


class _Failures:
    """Counts requests to a model that failed in a row; after too many the model is given up."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._in_a_row, self._last = 0, ""
        self.are_all = True  # whether every request so far failed

    def count(self, answer: Answered) -> None:
        """Raises GivenUpError."""
        self._in_a_row, self._last = (self._in_a_row + 1, answer.error) if answer.error else (0, "")
        if self._in_a_row >= MOST_FAILURES:
            raise GivenUpError(f"{self._label}: {self._in_a_row} requests in a row failed; the last: {self._last}")

    def end(self) -> None:
        """Raises GivenUpError."""
        if self._in_a_row and self.are_all:
            raise GivenUpError(f"{self._label}: all of {self._in_a_row} requests failed; the last: {self._last}")


async def ask(
    target: AskedModel,
    items: Iterable[Item],
    post: Post,
    record: Record,
    *,
    at_once: int,
    retries: Retries,
    step: Callable[[], object],
) -> None:
    """Ask everything to which the record has no answer. `step` is called for every prompt, also for answered ones.

    Raises GivenUpError if MOST_FAILURES requests in a row fail, or all of them if there are fewer.
    """
    todo, failures = iter(items), _Failures(target.label)

    async def answered(item: Item, number: int, before: Sequence[str]) -> str:
        wanted = request(target, item, number, before)
        answer = record.answer(target.label, wanted.asked)
        if answer is None:
            answer = await _answered(target, wanted, post, retries)
            record.add(answer)
            failures.count(answer)
        failures.are_all &= bool(answer.error)
        return answer.text

    async def work() -> None:
        for item in todo:
            answers: list[str] = []
            for number in range(len(item.asks)):
                answers.append(await answered(item, number, answers) if is_due(item, number, answers) else "")
                step()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(work())
    except* GivenUpError as errors:
        raise GivenUpError(str(errors.exceptions[0])) from None
    failures.end()


async def _answered(target: AskedModel, request: ItemRequest, post: Post, retries: Retries) -> Answered:
    prompt = request.item.asks[request.number]
    about = (target.label, request.item.id, request.number, request.asked, prompt)
    attempt = 0
    while True:
        try:
            answer = await post.post(request.path, request.body)
            said = text_of(answer.body)
        except PostError as error:
            if error.code in FILTERED:
                return Answered(*about, filtered=True)
            if not error.again or attempt >= retries.times:
                return Answered(*about, error=f"{error.reason}: {error}")
            await retries.pause(attempt, error.wait_seconds)
            attempt += 1
        except ValueError as error:
            return Answered(*about, error=f"unreadable: {error}")
        else:
            usage = said.usage or _Usage()
            tokens = usage.prompt_tokens or 0, usage.completion_tokens or 0
            return Answered(*about, said.text, "", *tokens, round(answer.seconds, 3), said.filtered)


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Part(msgspec.Struct):
    text: str = ""  # other parts, such as thoughts, have no text


class _Message(msgspec.Struct):
    content: str | list[_Part] | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Message | None = None
    text: str | None = None
    finish_reason: object = None


class _Document(msgspec.Struct):
    choices: list[_Choice] = []
    error: object = None
    usage: _Usage | None = None


class _Said(NamedTuple):
    text: str
    usage: _Usage | None
    filtered: bool


_THOUGHT = "</think>"
_STREAMED = (b"data:", b"event:", b":")


def text_of(body: bytes) -> _Said:
    """The text of a completion without the model's thoughts; it may be empty. Raises ValueError."""
    if body.lstrip().startswith(_STREAMED):
        raise ValueError("the answer is a stream of events, which was not asked for")
    try:
        document = msgspec.json.decode(body, type=_Document)
    except RecursionError:
        raise ValueError("the answer is nested too deeply") from None
    if not document.choices:
        raise ValueError("the answer is an error" if document.error else "the answer has no choices")
    first = document.choices[0]
    message = first.message or _Message()
    text = first.text or _joined(message.content) or message.refusal or ""
    filtered = isinstance(first.finish_reason, str) and first.finish_reason in FILTERED
    return _Said(text.rpartition(_THOUGHT)[2].strip(), document.usage, filtered)


def _joined(content: str | list[_Part] | None) -> str | None:
    return "".join(part.text for part in content) if isinstance(content, list) else content
