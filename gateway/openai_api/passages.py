"""Every text in a body, with its channel and its path.

What a body may hold is written as schemas: nested dicts of the keys to follow, ending in the channel of the
text found there. Lists are gone through wherever they stand. A new field is a new row.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from gateway.openai_api.document import Path, parse
from gateway.openai_api.operations import Operation

Direction = Literal["prompt", "response"]
Channel = Literal["system", "user", "tool", "retrieved", "assistant", "arguments", "reasoning"]


class Passage(msgspec.Struct, frozen=True, gc=False):
    """One text of an exchange, never empty.

    `path` are the keys that lead to it in the JSON body (in a stream: in the reply that the stream amounts to).
    `choice` is the number of the answer it belongs to, 0 in prompts. `fresh` is True for what this request
    adds: all that comes after the last answer of the model, or everything when there is none yet; responses
    are always fresh.
    """

    direction: Direction
    channel: Channel
    text: str
    path: Path
    choice: int = 0
    fresh: bool = True


class Piece(NamedTuple):
    """A text as found: channel, path and text."""

    channel: Channel
    path: Path
    text: str


class Schema(dict[str, "Schema | Leaf"]):
    """The keys to follow in an object."""


class Leaf(NamedTuple):
    """A text, a content part, or a list of them.

    `channel` None: that of whoever speaks; `deep`: any string below counts, as in the arguments of a tool.
    """

    channel: Channel | None = None
    deep: bool = False


SAID = Leaf()
_THOUGHT = Leaf("reasoning")
_ASKED = Leaf("user")
_ARGUMENTS = Leaf("arguments", deep=True)
_RESULT = Leaf("tool")
_RETRIEVED = Leaf("retrieved")

# The keys of a content part (or of a tool's output) that hold text; images, audio and files have none of them.
_PART = Schema(
    dict.fromkeys(("text", "refusal", "content", "summary", "transcript", "logs", "stdout", "stderr"), SAID)
    | {"thinking": _THOUGHT}
)
MESSAGE = Schema(
    content=SAID,
    refusal=SAID,
    reasoning_content=_THOUGHT,
    reasoning=_THOUGHT,
    reasoning_details=_THOUGHT,
    audio=Schema(transcript=SAID),
    function_call=Schema(arguments=_ARGUMENTS),
    tool_calls=Schema(function=Schema(arguments=_ARGUMENTS), custom=Schema(input=_ARGUMENTS)),
)
_PLAIN = Schema(prompt=_ASKED, input=_ASKED, suffix=_ASKED)
_TEMPLATE = Schema(variables=Leaf("user", deep=True))
CHOICE = Schema(message=MESSAGE, delta=MESSAGE, text=SAID)


class Item(NamedTuple):
    """A kind of item of the Responses API: what to read in it, and whether the model made it."""

    schema: Schema
    by_model: bool


_ITEMS = {
    "function_call": Item(Schema(arguments=_ARGUMENTS), True),
    "function_call_output": Item(Schema(output=_RESULT), False),
    "custom_tool_call": Item(Schema(input=_ARGUMENTS), True),
    "custom_tool_call_output": Item(Schema(output=_RESULT), False),
    "mcp_call": Item(Schema(arguments=_ARGUMENTS, output=_RESULT, error=_RESULT), True),
    "mcp_approval_request": Item(Schema(arguments=_ARGUMENTS), True),
    "mcp_approval_response": Item(Schema(reason=_ASKED), False),
    "reasoning": Item(Schema(summary=_THOUGHT, content=_THOUGHT), True),
    "code_interpreter_call": Item(Schema(code=_ARGUMENTS, outputs=_RESULT), True),
    "web_search_call": Item(Schema(action=Schema(query=_ARGUMENTS, queries=_ARGUMENTS)), True),
    "file_search_call": Item(Schema(queries=_ARGUMENTS, results=_RETRIEVED), True),
    "shell_call": Item(Schema(action=Schema(commands=_ARGUMENTS)), True),
    "shell_call_output": Item(Schema(output=_RESULT), False),
    "local_shell_call": Item(Schema(action=Schema(command=_ARGUMENTS)), True),
    "local_shell_call_output": Item(Schema(output=_RESULT), False),
    "apply_patch_call": Item(Schema(operation=Schema(diff=_ARGUMENTS)), True),
    "apply_patch_call_output": Item(Schema(output=_RESULT), False),
    "computer_call": Item(Schema(action=Schema(text=_ARGUMENTS)), True),
    "image_generation_call": Item(Schema(revised_prompt=_ARGUMENTS), True),
    "tool_search_call": Item(Schema(arguments=_ARGUMENTS), True),
    "program": Item(Schema(code=_ARGUMENTS), True),
    "program_output": Item(Schema(result=_RESULT), False),
}
_MESSAGE_ITEM = Item(Schema(content=SAID), False)
_UNKNOWN_ITEM = Item(Schema(content=SAID, text=SAID, input=_ARGUMENTS, arguments=_ARGUMENTS, output=_RESULT), False)
_ROLES: dict[Any, Channel] = {
    "system": "system",
    "developer": "system",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}


def find(value: Any, schema: Schema | Leaf, path: Path, channel: Channel) -> list[Piece]:
    """The texts in `value`, in its own order, as far as `schema` leads; paths begin with `path`.

    Goes without recursion, since a caller chooses how deep his body is.
    """
    found: list[Piece] = []
    todo: list[tuple[Any, Schema | Leaf, Path, Channel]] = [(value, schema, path, channel)]
    while todo:
        value, schema, path, channel = todo.pop()
        if isinstance(schema, Leaf):
            channel = schema.channel or channel
            if isinstance(value, str):
                if value:
                    found.append(Piece(channel, path, value))
                continue
        if isinstance(value, list):
            todo.extend((value[i], schema, (*path, i), channel) for i in range(len(value) - 1, -1, -1))
        elif isinstance(value, dict):
            below = _below(schema)
            for key in reversed(value):
                branch = schema if below is None else below.get(key)
                if branch is not None:
                    todo.append((value[key], branch, (*path, key), channel))
    return found


def _below(schema: Schema | Leaf) -> Schema | None:
    """The keys to follow in an object under this schema; None: all of them."""
    if isinstance(schema, Schema):
        return schema
    return None if schema.deep else _PART


def find_in_item(item: Any, path: Path, speaker: Channel) -> list[Piece]:
    """The texts of one item of the Responses API; a message's own role comes before `speaker`."""
    return find(item, _kind(item).schema, path, _channel(item, speaker))


def _kind(item: Any) -> Item:
    type_ = item.get("type") if isinstance(item, dict) else None
    if type_ is None or type_ == "message":
        return _MESSAGE_ITEM
    return _ITEMS.get(type_, _UNKNOWN_ITEM) if isinstance(type_, str) else _UNKNOWN_ITEM


def _channel(item: Any, speaker: Channel) -> Channel:
    role = item.get("role") if isinstance(item, dict) else None
    return _ROLES.get(role, speaker) if isinstance(role, str) else speaker


class _Turn(NamedTuple):
    pieces: list[Piece]
    by_model: bool


def read_request(operation: Operation, body: bytes) -> list[Passage]:
    """Every text of a request, in the order of the conversation.

    What is no text (images, audio, files, token ids) or has no known shape is skipped; an invalid body gives
    none. A body nested too deeply to be read gives itself as one passage with an empty path: better to judge
    too much than nothing. Messages of the model at the very end (a prefilled answer) count as what the request
    adds, so that they cannot make the rest look old.
    """
    reader = _REQUESTS.get(operation)
    if reader is None:
        return []
    try:
        value = parse(body)
    except ValueError:
        return []
    except RecursionError:
        return [Passage("prompt", "user", body.decode(errors="replace"), ())]
    turns = reader(value) if isinstance(value, dict) else []
    first_new = _first_new(turns)
    return [
        Passage("prompt", channel, text, path, 0, number >= first_new)
        for number, turn in enumerate(turns)
        for channel, path, text in turn.pieces
    ]


def _first_new(turns: Sequence[_Turn]) -> int:
    end = len(turns)
    while end and turns[end - 1].by_model:
        end -= 1
    while end and not turns[end - 1].by_model:
        end -= 1
    return end


def _chat_turns(body: dict[str, Any]) -> list[_Turn]:
    messages = body.get("messages")
    turns = []
    for i, message in enumerate(messages if isinstance(messages, list) else ()):
        channel = _channel(message, "user")
        schema = MESSAGE if isinstance(message, dict) else SAID
        turns.append(_Turn(find(message, schema, ("messages", i), channel), channel == "assistant"))
    return turns


def _responses_turns(body: dict[str, Any]) -> list[_Turn]:
    turns = [_Turn(find(body.get("instructions"), SAID, ("instructions",), "system"), False)]
    if body.get("previous_response_id") or body.get("conversation"):
        turns.append(_Turn([], True))  # the earlier turns, which the server keeps
    template = find(body.get("prompt"), _TEMPLATE, ("prompt",), "user")
    turns.append(_Turn(template, False))
    given = body.get("input")
    if not isinstance(given, list):
        return [*turns, _Turn(find(given, _ASKED, ("input",), "user"), False)]
    for i, item in enumerate(given):
        pieces = find_in_item(item, ("input", i), "user") or find(item, SAID, ("input", i), "user")
        by_model = _kind(item).by_model or _channel(item, "user") == "assistant"
        turns.append(_Turn(pieces, by_model))
    return turns


def _plain_turns(body: dict[str, Any]) -> list[_Turn]:
    return [_Turn(find(body, _PLAIN, (), "user"), False)]


_REQUESTS = {
    Operation.CHAT: _chat_turns,
    Operation.RESPONSES: _responses_turns,
    Operation.COMPLETIONS: _plain_turns,
    Operation.EMBEDDINGS: _plain_turns,
    Operation.MODERATIONS: _plain_turns,
}


def read_response(operation: Operation, body: bytes) -> list[Passage]:
    """Every text of a whole (not streamed) answer, choice by choice or item by item.

    Skips what it does not know, and gives none for an invalid body; one nested too deeply is one passage, as
    in `read_request`.
    """
    if operation not in _ANSWERS:
        return []
    try:
        value = parse(body)
    except ValueError:
        return []
    except RecursionError:
        return [Passage("response", "assistant", body.decode(errors="replace"), ())]
    entries = value.get(_ANSWERS[operation]) if isinstance(value, dict) else None
    found = []
    for i, entry in enumerate(entries if isinstance(entries, list) else ()):
        path, number = (_ANSWERS[operation], i), 0
        if operation is Operation.RESPONSES:
            pieces = find_in_item(entry, path, "assistant")
        else:
            pieces, number = find(entry, CHOICE, path, "assistant"), choice_number(entry, i)
        found += [Passage("response", channel, text, at, number) for channel, at, text in pieces]
    return found


_ANSWERS = {
    Operation.CHAT: "choices",
    Operation.COMPLETIONS: "choices",
    Operation.RESPONSES: "output",
}


def choice_number(entry: Any, position: int) -> int:
    """The `index` an entry of a list gives itself, else its position."""
    index = entry.get("index") if isinstance(entry, dict) else None
    return index if type(index) is int and index >= 0 else position
