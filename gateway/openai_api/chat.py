"""Reads chat and plain completions: requests, whole answers, and streams of chunks."""

from collections.abc import Collection
from typing import Any

from gateway.openai_api.bodies.document import Path, map_entries, parse
from gateway.openai_api.passages import (
    ARGUMENTS,
    ASKED,
    AUDIO,
    BESIDE,
    CITED,
    DEFINED,
    EVERYTHING,
    IMAGE,
    IN_PIECES,
    LOGPROBS,
    NAME,
    NAME_IN_PIECES,
    QUIET,
    SAID,
    THOUGHT,
    TOKENS,
    TOLD,
    TOOL_NAME,
    TOOL_NAME_IN_PIECES,
    EventRead,
    EventText,
    Found,
    Leaf,
    Reading,
    Schema,
    Turn,
    aside,
    carries_text,
    channel_of,
    choice_number,
    find,
    in_place_of_a_list,
    passages_of,
    quiet,
    rows,
)

# Gemini's signatures of thoughts, as its own API and LiteLLM hand them on.
_SIGNED = Schema(google=quiet("thought_signature")) | quiet("thought_signature thought_signatures")


def _message(name: Leaf, tool_name: Leaf) -> Schema:
    """The fields of a message; its names are read in these ways."""
    call = Schema(name=tool_name, arguments=ARGUMENTS, description=DEFINED)
    custom = Schema(name=tool_name, input=ARGUMENTS)
    return Schema(
        content=SAID,
        refusal=SAID,
        name=name,
        tool_name=name,
        reasoning_content=THOUGHT,
        reasoning=THOUGHT,
        reasoning_details=THOUGHT,
        thinking=THOUGHT,
        audio=Schema(transcript=SAID, data=AUDIO, id=QUIET),
        images=IMAGE,
        annotations=CITED,
        citations=CITED,
        context=CITED,
        function_call=call,
        tool_calls=Schema(function=call, custom=custom, extra_content=_SIGNED) | quiet("id type index"),
        extra_content=_SIGNED,
    ) | quiet("role tool_call_id prefix cache_control index")


_MESSAGE = _message(NAME, TOOL_NAME)
_STORED_MESSAGE = _MESSAGE | {"content_parts": SAID} | quiet("id object")


def _choice(message: Schema, others: Leaf) -> Schema:
    """A choice of an answer. Fields that a server adds to it or to its message are read by `others`."""
    message = message.with_others(others)
    read = Schema(message=message, delta=message, text=SAID, logprobs=LOGPROBS, error=EVERYTHING).with_others(others)
    told = rows("stop_reason content_filter_results content_filter_result", TOLD)
    return read | quiet("index finish_reason") | told


_CHOICE = _choice(_MESSAGE, EVERYTHING)
_CHUNK_CHOICE = _choice(_message(NAME_IN_PIECES, TOOL_NAME_IN_PIECES), IN_PIECES)
_REQUEST = Schema(
    tools=DEFINED,
    functions=DEFINED,
    response_format=DEFINED,
    prediction=Schema(content=ASKED, type=QUIET),
    documents=CITED,
    chat_template=DEFINED,
    chat_template_kwargs=DEFINED,
    image_data=IMAGE,
    multimodal_data=IMAGE,
    prompt_embeds=TOKENS,
    tool_choice=QUIET,
    function_call=QUIET,
) | aside("messages metadata user safety_identifier stop web_search_options moderation")
_PLAIN = (
    Schema(prompt=ASKED, input=ASKED, suffix=ASKED, query=ASKED, documents=ASKED)
    | Schema(image_data=IMAGE, multimodal_data=IMAGE, prompt_embeds=TOKENS)
    | aside("metadata user safety_identifier stop")
)
_ANSWER = (
    Schema(error=EVERYTHING, warnings=EVERYTHING, search_results=CITED, citations=CITED, response_format=DEFINED)
    | quiet("id object created system_fingerprint service_tier obfuscation")
    | rows("model provider usage prompt_filter_results", TOLD)
    | aside("choices metadata moderation tools user")
).with_others(EVERYTHING)
_CHUNK = _ANSWER.with_others(IN_PIECES)
_USUAL = frozenset(
    ("id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier", "obfuscation")
)


# A message in a chunk may be a piece, all so far, or all. It has its own path, since deltas may stand beside it.
_REPLY_FIELDS: dict[Any, str] = {"delta": "message", "message": "whole_message"}


_NAMES = ("id", "object", "model", "system_fingerprint", "service_tier", "obfuscation", "created")


def chat_turns(body: dict[str, Any]) -> list[Turn]:
    """The messages of a chat request, after what the application defines."""
    messages = body.get("messages")
    turns = [Turn(find(body, _REQUEST, (), "user"), False)]
    if not isinstance(messages, list):
        turns.append(Turn(in_place_of_a_list(messages, ("messages",), "user"), False))
    for i, message in enumerate(messages if isinstance(messages, list) else ()):
        channel = channel_of(message, "user")
        schema = _MESSAGE if isinstance(message, dict) else SAID
        turns.append(Turn(find(message, schema, ("messages", i), channel), channel == "assistant"))
    return turns


def plain_turns(body: dict[str, Any]) -> list[Turn]:
    """The texts of a request without roles, as one turn."""
    return [Turn(find(body, _PLAIN, (), "user"), False)]


def read_choices(body: dict[str, Any]) -> Reading:
    """Every text of a whole answer, choice by choice."""
    entries = body.get("choices")
    about = find(body, _ANSWER, (), "assistant")
    if not isinstance(entries, list):
        about.add(in_place_of_a_list(entries, ("choices",), "assistant"))
    reading = Reading(passages_of(about.pieces, "response", BESIDE), about.unread)
    for i, entry in enumerate(entries if isinstance(entries, list) else ()):
        found = find(entry, _CHOICE, ("choices", i), "assistant")
        reading.passages.extend(passages_of(found.pieces, "response", choice_number(entry, i)))
        reading.unread.extend(found.unread)
    return reading


def find_stored(entry: Any, path: Path) -> Found:
    """The texts of a stored answer, or of one of its stored messages."""
    choices = entry.get("choices") if isinstance(entry, dict) else None
    if not isinstance(choices, list):
        return find(entry, _STORED_MESSAGE, path, "assistant")
    found = find(entry, _ANSWER | aside("request_id input_user tool_choice response_format"), path, "assistant")
    for i, choice in enumerate(choices):
        found.add(find(choice, _CHOICE, (*path, "choices", i), "assistant"))
    return found


def read_chunk(value: dict[str, Any]) -> EventRead:
    """One event of a stream of chunks."""
    read = EventRead(value, [], [], [], [], [])
    if not value.keys() <= _USUAL or value.get("usage") or carries_text([value.get(key) for key in _NAMES]):
        about = find(value, _CHUNK, (), "assistant")
        read.said.extend(
            EventText(piece.channel, piece.path, piece.path, piece.text, False, 0, piece.grows, piece.is_name)
            for piece in about.pieces
        )
        read.unread.extend(about.unread)
    entries = value.get("choices")
    if not isinstance(entries, list):
        read.unread.extend(in_place_of_a_list(entries, ("choices",), "assistant").unread)
    for i, entry in enumerate(entries if isinstance(entries, list) else ()):
        _read_choice(read, entry, i)
    return read


def _read_choice(read: EventRead, entry: Any, position: int) -> None:
    """Read a choice of a chunk; the `index` of entries in its lists tells which they are."""
    choice = choice_number(entry, position)
    read.choices.append(choice)
    if not isinstance(entry, dict):
        return
    if entry.get("finish_reason"):  # some servers write "" until the end
        read.ends.append(("choices", choice))
    if entry.get("logprobs"):
        read.with_logprobs.append(choice)
    found = find(entry, _CHUNK_CHOICE, ("choices", position), "assistant")
    read.unread.extend(found.unread)
    for piece in found.pieces:
        field, *below = piece.path[2:]
        if below[:1] == ["tool_calls"] and len(below) > 1:
            calls = entry[field]["tool_calls"]
            if isinstance(calls, list) and isinstance(below[1], int):
                below[1] = choice_number(calls[below[1]], below[1])
        path = ("choices", choice, _REPLY_FIELDS.get(field, field), *below)
        grows = piece.grows or field == "message"
        read.said.append(EventText(piece.channel, piece.path, path, piece.text, False, choice, grows, piece.is_name))


def without_choices(data: bytes, numbers: Collection[int]) -> bytes | None:
    """An event of chat or completions without its entries for these choices; None if nothing else is in it."""
    told = map_entries(data, "choices", lambda i, entry: None if choice_number(entry, i) in numbers else entry)
    return None if says_nothing(told) else told


def without_logprobs(data: bytes, numbers: Collection[int]) -> bytes:
    """An event of chat or completions without the token log-probabilities of these choices."""

    def silent(i: int, entry: Any) -> Any:
        tells = isinstance(entry, dict) and entry.get("logprobs") and choice_number(entry, i) in numbers
        return {**entry, "logprobs": None} if tells else entry

    return map_entries(data, "choices", silent)


_ENVELOPE_KEYS = {"id", "object", "created", "model", "system_fingerprint", "service_tier", "obfuscation"}


def says_nothing(data: bytes) -> bool:
    """Whether an event of chat or completions has nothing left but ids, names and indexes."""
    todo = [value for key, value in parse(data).items() if key not in _ENVELOPE_KEYS]
    while todo:
        value = todo.pop()
        if isinstance(value, list):
            todo += value
        elif isinstance(value, dict):
            todo += [below for key, below in value.items() if key != "index"]
        elif value is not None and value != "":
            return False
    return True
