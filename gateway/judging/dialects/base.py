"""What a dialect of judge models is: how a text becomes requests, and answers become labels. Pure: no network here.

A label is an opinion. A sub-category that a judge cannot speak of has no label, and that is not the label "no".
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from detectors.base import Role, Text


class Label(NamedTuple):
    """What a judge says of a text for one sub-category.

    `score` is from 0 to 1: a probability where the judge gives one, else 0 or 1. `yes` is the judge's own decision.
    """

    score: float
    yes: bool


Labels = Mapping[str, Label]  # by sub-category
NO, YES = Label(0.0, False), Label(1.0, True)


class NonsenseError(Exception):
    """An answer that cannot be understood; the message says why, without the answer's text."""


class Tokens(NamedTuple):
    """What a request cost, in tokens in and out."""

    input: int
    output: int


class Request(NamedTuple):
    """One request to a judge, to be sent as POST to `path` below the server's `/v1`.

    `about` are the sub-categories that its answer speaks of.
    """

    path: str
    body: bytes
    about: frozenset[str]


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator says of a judge.

    `instructions` replace a dialect's own words to the model, `questions` the question about a sub-category. `extra`
    are fields for the body of each request; None takes a field away.
    """

    model: str
    instructions: str = ""
    questions: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


Ask = Callable[[Text, frozenset[str], Options], Iterator[Request]]
Read = Callable[[Any, Text, Request], Labels]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One row of the table.

    `prompt` and `response` are the sub-categories that it has an opinion on. `ask` makes the requests about a text for
    some of them; `read` turns the JSON of one answer into labels and raises NonsenseError. `models` are words in the
    names of models that speak it. `probabilities` says whether its scores are some, or only rank texts.
    """

    name: str
    prompt: frozenset[str]
    response: frozenset[str]
    ask: Ask
    read: Read
    models: tuple[str, ...] = ()
    probabilities: bool = True

    def about(self, role: Role) -> frozenset[str]:
        """The sub-categories that it has an opinion on, on this side of an exchange."""
        return self.prompt if role == "prompt" else self.response

    def requests(self, text: Text, wanted: Iterable[str], options: Options) -> list[Request]:
        """What to send for the wanted sub-categories; nothing where it has no opinion on any of them."""
        asked = self.about(text.role) & frozenset(wanted)
        return list(self.ask(text, asked, options)) if asked else []

    def labels(self, text: Text, request: Request, answer: bytes) -> Labels:
        """What an answer says. Raises NonsenseError."""
        try:
            document = msgspec.json.decode(answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise NonsenseError("the answer is not JSON") from None
        if not isinstance(document, dict):
            raise NonsenseError("the answer is not a JSON object")
        return self.read(document, text, request)


def merged(answers: Iterable[tuple[Request, Labels]]) -> Labels:
    """The labels of all requests about one text: of each sub-category the strongest.

    One that some request was about and did not answer is left out: the strongest of a part may be too low.
    """
    found: dict[str, Label] = {}
    unsaid: set[str] = set()
    for request, labels in answers:
        unsaid |= request.about - labels.keys()
        for slug, label in labels.items():
            found[slug] = max(found.get(slug, label), label)
    return {slug: label for slug, label in found.items() if slug not in unsaid}


def tokens_of(request: Request, answer: bytes) -> Tokens:
    """The tokens that an answer says it cost; where it does not say, a quarter of the bytes."""
    try:
        usage = msgspec.json.decode(answer, type=_Answer).usage or _NO_USAGE
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        usage = _NO_USAGE
    return Tokens(
        _bounded(usage.prompt_tokens or usage.input_tokens or len(request.body) // _BYTES_A_TOKEN),
        _bounded(usage.completion_tokens or usage.output_tokens or 0),
    )


_BYTES_A_TOKEN = 4
_MOST_TOKENS = 10**7  # of one answer: what says more is not believed


def _bounded(tokens: int) -> int:
    return min(max(tokens, 0), _MOST_TOKENS)


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


class _Answer(msgspec.Struct):
    usage: _Usage | None = None


_NO_USAGE = _Usage()


def body_of(fields: Mapping[str, Any], options: Options) -> bytes:
    """A request's body: the dialect's fields, then the operator's in their place."""
    whole = {"model": options.model, **fields, **options.extra}
    return msgspec.json.encode({name: value for name, value in whole.items() if value is not None})
