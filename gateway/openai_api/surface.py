"""What a row of the table of surfaces says of an operation, and what the functions that it names promise."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from gateway.openai_api import chat_replies
from gateway.openai_api.passages import EventRead, EventText, Reading, Turn


class Operation(StrEnum):
    """What a request asks for. The name is a metric label; everything that is not known here is OTHER."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    RESPONSES = "responses"
    MESSAGES = "messages"
    MESSAGE_TOKENS = "message_tokens"
    EMBEDDINGS = "embeddings"
    MODELS = "models"
    MODERATIONS = "moderations"
    RESPONSES_INPUT = "responses_input"
    STORED_RESPONSES = "stored_responses"
    STORED_CHAT = "stored_chat"
    CONVERSATIONS = "conversations"
    DECISIONS = "decisions"
    FILES = "files"
    UPLOAD_PARTS = "upload_parts"
    BATCHES = "batches"
    MESSAGE_BATCHES = "message_batches"
    VECTOR_STORES = "vector_stores"
    OTHER = "other"


class Ending(Protocol):
    """Follows a stream so that it can be ended at any time."""

    def first(self, data: bytes) -> None:
        """The data of the upstream's first event, sent or not: its id, model and time are kept."""
        ...

    def sent(self, event: Mapping[str, Any], said: list[EventText]) -> None:
        """An event that left, with the texts in it as they left."""
        ...

    def blocked(self, choice: int, message: str = "") -> bytes:
        """What has to be sent at once when this choice is blocked, or replaced by `message`."""
        ...

    def close(self, *, done: bool, message: str = "", usage: Any = None) -> bytes:
        """The last events; `done` if [DONE] was already sent. `message` replaces the answer.

        `usage` is the one in the upstream's own ending, if it belongs there (Responses).
        """
        ...


class MessageBody(Protocol):
    """A whole answer that says `text`; `created` in Unix seconds."""

    def __call__(self, model: str, text: str, *, id: str, created: int) -> bytes: ...


class MessageStream(Protocol):
    """The same as a stream, complete with its end."""

    def __call__(self, model: str, text: str, *, id: str, created: int, include_usage: bool) -> bytes: ...


class Replaced(Protocol):
    """A whole answer in which messages replace these choices. Raises ValueError if the body is not an answer."""

    def __call__(self, body: bytes, messages: Mapping[int, str], *, model: str, id: str) -> bytes: ...


class Refusal(Protocol):
    """An answer that refuses, and says why."""

    def __call__(self, model: str, explanation: str, *, id: str) -> bytes: ...


class Refusals(NamedTuple):
    """How an API refuses with a status of success, as a whole answer and as a stream."""

    body: Refusal
    stream: Refusal


@dataclass(frozen=True, slots=True)
class Answers:
    """How the answers of a surface are read and written.

    `read` takes a whole answer, `read_event` one event of a stream, both as JSON objects. `ending` takes the model's
    name, in case the upstream names none. `withheld` gives a whole answer without the texts of some choices, `replaced`
    one in which they say something else; both raise ValueError if the body is not an answer of this surface.
    `with_system` puts a system message into a request and raises ValueError if there is no place for it. `has_choices`:
    an answer has several parts, each blocked or served by itself, and its streams end with [DONE]. With `refusals`, one
    of them answers a block; otherwise an error does.
    """

    read: Callable[[dict[str, Any]], Reading]
    read_event: Callable[[dict[str, Any]], EventRead]
    ending: Callable[[str], Ending]
    message_body: MessageBody
    message_stream: MessageStream
    replaced: Replaced
    withheld: Callable[[bytes, Collection[int]], bytes]
    with_system: Callable[[dict[str, Any], str], None]
    error_body: Callable[[str, str, str | None, str | None, int], bytes] = chat_replies.error_of_status
    error_event: Callable[[str, str, str | None, str | None, int], bytes] = chat_replies.error_event
    refusals: Refusals | None = None
    has_choices: bool = True


@dataclass(frozen=True, slots=True)
class Surface:
    """One operation. `paths` are (method, path); a path that ends in `/` covers everything below it.

    `turns` reads the texts of a request, whose main field is `param`. `modelled`: the body is read for the model, so it
    is never passed on unread. `inference`: a request changes nothing on the server, so it may be sent again.
    `moderated`: a request may ask for moderation. `metered`: answers give the tokens they took, once. `listed`: an
    answer may be a list, whose entries are judged and held back each by itself. `of_any_size`: an answer may be a file,
    so it is read only if its headers say that it may be text and is not too large.

    Without `answers`, only errors (`error_body`) can be written in the form of the surface, and `reads` finds the texts
    of its answers. Without `reads` too, answers should have no texts, which is checked while they pass.
    """

    operation: Operation
    paths: tuple[tuple[str, str], ...] = ()
    turns: Callable[[dict[str, Any]], list[Turn]] | None = None
    param: str | None = None
    answers: Answers | None = None
    reads: Callable[[dict[str, Any]], Reading] | None = None
    error_body: Callable[[str, str, str | None, str | None, int], bytes] = chat_replies.error_of_status
    judged: bool = False
    modelled: bool = False
    inference: bool = True
    moderated: bool = False
    metered: bool = False
    listed: bool = False
    of_any_size: bool = False
