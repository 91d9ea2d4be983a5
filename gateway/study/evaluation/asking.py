"""Asks the models: a bounded number of requests at a time, again where that may help, each answer kept at once."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple, Protocol

import msgspec

from gateway.opinions.judge import Retries
from gateway.study.evaluation.prompts import Item
from gateway.study.evaluation.record import Answered, Record
from gateway.upstream.posts import Answer, PostError

CHAT, COMPLETIONS = "/chat/completions", "/completions"
MOST_FAILURES = 5  # in a row, each after its retries, before a model is given up
_FRAME = "Question: {}\nAnswer:"
_STOP = "\nQuestion:"


class Post(Protocol):
    """The way to a model: `upstream.posts.Poster`."""

    async def post(self, path: str, body: bytes) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Target:
    """A model to ask. `label` names it in the report; `completions` asks it to go on with a text, as base models do."""

    label: str
    model: str
    completions: bool = False
    system: str = ""
    temperature: float = 0.0


class Request(NamedTuple):
    """One request: `number` of the item's prompts, and the digest that it is known by."""

    item: Item
    number: int
    path: str
    body: bytes
    asked: str


class GivenUpError(Exception):
    """A model could not be asked; the message says why. What was answered before is kept."""


def requests(target: Target, items: Iterable[Item]) -> Iterator[Request]:
    """What the items' prompts are sent as."""
    for item in items:
        for number, prompt in enumerate(item.asks):
            path, fields = _fields(target, item, prompt)
            body = msgspec.json.encode({"model": target.model, "temperature": target.temperature, **fields})
            digest = blake2b(path.encode() + b"\0" + body, digest_size=12).hexdigest()
            yield Request(item, number, path, body, digest)


def _fields(target: Target, item: Item, prompt: str) -> tuple[str, dict[str, object]]:
    if target.completions:
        framed = item.opening or _FRAME.format(prompt)
        text = f"{target.system}\n\n{framed}" if target.system else framed
        return COMPLETIONS, {"prompt": text, "max_tokens": item.tokens, "stop": [_STOP]}
    system = [{"role": "system", "content": target.system}] if target.system else []
    return CHAT, {"messages": [*system, {"role": "user", "content": prompt}], "max_tokens": item.tokens}


async def ask(
    target: Target,
    wanted: Iterable[Request],
    post: Post,
    record: Record,
    *,
    at_once: int,
    retries: Retries,
    step: Callable[[], object],
) -> None:
    """Ask what the record has no answer to; `step` is called for each request, known ones too.

    Raises GivenUpError when MOST_FAILURES requests in a row bring nothing, or all of them where they are fewer.
    """
    todo = iter(wanted)
    failures, error, is_any_answered = 0, "", False

    async def work() -> None:
        nonlocal failures, error, is_any_answered
        for request in todo:
            answer = record.answer(target.label, request.asked)
            if answer is None:
                answer = await _answered(target, request, post, retries)
                record.add(answer)
                failures, error = (failures + 1, answer.error) if answer.error else (0, "")
                if failures >= MOST_FAILURES:
                    raise GivenUpError(f"{target.label}: {failures} requests in a row failed; the last: {error}")
            is_any_answered |= not answer.error
            step()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(work())
    except* GivenUpError as errors:
        raise GivenUpError(str(errors.exceptions[0])) from None
    if failures and not is_any_answered:
        raise GivenUpError(f"{target.label}: all of {failures} requests failed; the last: {error}")


async def _answered(target: Target, request: Request, post: Post, retries: Retries) -> Answered:
    prompt = request.item.asks[request.number]
    about = (target.label, request.item.id, request.number, request.asked, prompt)
    attempt = 0
    while True:
        try:
            answer = await post.post(request.path, request.body)
            said = text_of(answer.body)
        except PostError as error:
            if not error.again or attempt >= retries.times:
                return Answered(*about, error=f"{error.reason}: {error}")
            await retries.pause(attempt, error.wait_seconds)
            attempt += 1
        except ValueError as error:
            return Answered(*about, error=f"nonsense: {error}")
        else:
            usage = said.usage or _Usage()
            tokens = usage.prompt_tokens or 0, usage.completion_tokens or 0
            return Answered(*about, said.text, "", *tokens, round(answer.seconds, 3))


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Message | None = None
    text: str | None = None


class _Document(msgspec.Struct):
    choices: list[_Choice]
    usage: _Usage | None = None


class _Said(NamedTuple):
    text: str
    usage: _Usage | None


_THOUGHT = "</think>"


def text_of(body: bytes) -> _Said:
    """The text of a completion, without what the model thought aloud; it may be empty. Raises ValueError."""
    try:
        document = msgspec.json.decode(body, type=_Document)
    except RecursionError:
        raise ValueError("the answer is nested too deeply") from None
    if not document.choices:
        raise ValueError("the answer has no choices")
    first = document.choices[0]
    message = first.message or _Message()
    text = first.text or message.content or message.refusal or ""
    return _Said(text.rpartition(_THOUGHT)[2].strip(), document.usage)
