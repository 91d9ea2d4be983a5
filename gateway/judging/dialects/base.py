"""What a dialect of judge models is: it makes requests of a text, and labels of answers. Pure: no network.

A label is an opinion. A sub-category on which a judge has no opinion has no label, which is not the label "no".
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from detectors.base import Role, Text


class JudgeLabel(NamedTuple):
    """What a judge says about a text for one sub-category.

    `score` is from 0 to 1: a probability if the judge gives one, else 0 or 1. `yes` is the judge's own decision.
    """

    score: float
    yes: bool


Labels = Mapping[str, JudgeLabel]  # by sub-category
NO, YES = JudgeLabel(0.0, False), JudgeLabel(1.0, True)


class NonsenseError(Exception):
    """An answer cannot be understood. The message says why, without the answer's text."""


class Tokens(NamedTuple):
    """The tokens of a request and of its answer."""

    input: int
    output: int


class JudgeRequest(NamedTuple):
    """One request to a judge, to be sent as POST to `path` below the server's `/v1`.

    `about` are the sub-categories that its answer is about.
    """

    path: str
    body: bytes
    about: frozenset[str]


@dataclass(frozen=True, slots=True)
class Options:
    """The operator's settings of a judge.

    `instructions` replace a dialect's own words to the model, `questions` the question about a sub-category. `extra`
    are fields for the body of each request; None removes a field.
    """

    model: str
    instructions: str = ""
    questions: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


Ask = Callable[[Text, frozenset[str], Options], Iterator[JudgeRequest]]
Read = Callable[[Any, Text, JudgeRequest], Labels]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One row of the table.

    `prompt` and `response` are the sub-categories on which it has an opinion. `ask` makes the requests about a text for
    some of them; `read` turns the JSON of one answer into labels and raises NonsenseError. `models` are words in the
    names of models that speak it. `probabilities` says whether its scores are probabilities, or only rank texts.
    """

    name: str
    prompt: frozenset[str]
    response: frozenset[str]
    ask: Ask
    read: Read
    models: tuple[str, ...] = ()
    probabilities: bool = True

    def about(self, role: Role) -> frozenset[str]:
        """The sub-categories on which it has an opinion, for this side of an exchange."""
        return self.prompt if role == "prompt" else self.response

    def requests(self, text: Text, wanted: Iterable[str], options: Options) -> list[JudgeRequest]:
        """The requests for the wanted sub-categories; none if it has no opinion on any of them."""
        asked = self.about(text.role) & frozenset(wanted)
        return list(self.ask(text, asked, options)) if asked else []

    def labels(self, text: Text, request: JudgeRequest, answer: bytes) -> Labels:
        """What an answer says. Raises NonsenseError."""
        try:
            document = msgspec.json.decode(answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise NonsenseError("the answer is not JSON") from None
        if not isinstance(document, dict):
            raise NonsenseError("the answer is not a JSON object")
        return self.read(document, text, request)


def merged(answers: Iterable[tuple[JudgeRequest, Labels]]) -> Labels:
    """The labels of all requests about one text: the strongest for each sub-category.

    A sub-category that one of its requests did not answer is left out, because the strongest of the rest may be too
    low.
    """
    found: dict[str, JudgeLabel] = {}
    unsaid: set[str] = set()
    for request, labels in answers:
        unsaid |= request.about - labels.keys()
        for slug, label in labels.items():
            found[slug] = max(found.get(slug, label), label)
    return {slug: label for slug, label in found.items() if slug not in unsaid}


def tokens_of(request: JudgeRequest, answer: bytes) -> Tokens:
    """The tokens that an answer says it took; if it does not say, a quarter of the request's bytes."""
    try:
        usage = msgspec.json.decode(answer, type=_Answer).usage or _NO_USAGE
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        usage = _NO_USAGE
    return Tokens(
        _bounded(usage.prompt_tokens or usage.input_tokens or len(request.body) // _BYTES_A_TOKEN),
        _bounded(usage.completion_tokens or usage.output_tokens or 0),
    )


_BYTES_A_TOKEN = 4
_MOST_TOKENS = 10**7  # of one answer: we do not believe more


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
    """A request's body: the dialect's fields, which the operator's replace."""
    whole = {"model": options.model, **fields, **options.extra}
    return msgspec.json.encode({name: value for name, value in whole.items() if value is not None})
