"""Which tools an answer calls. Probes compare answers that call tools by these names; nobody runs the tools."""

from collections.abc import Iterator

import msgspec

from gateway.openai_api import sse

_CALLS = frozenset({"tool_use", "function_call", "custom_tool_call"})


class _Named(msgspec.Struct):
    name: str | None = None


class _Call(msgspec.Struct):
    function: _Named | None = None
    custom: _Named | None = None


class _Message(msgspec.Struct):
    tool_calls: list[_Call] | None = None
    function_call: _Named | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    message: _Message | None = None
    delta: _Message | None = None


class _Block(msgspec.Struct):
    type: str = ""
    name: str | None = None


class _Piece(msgspec.Struct):
    """A whole answer, or an event of a stream: of chat (`choices`), responses (`output`, `item`) or messages
    (`content`, `content_block`)."""

    choices: list[_Choice] | None = None
    output: list[_Block] | None = None
    item: _Block | None = None
    content: list[_Block] | str | None = None
    content_block: _Block | None = None


_decode = msgspec.json.Decoder(_Piece).decode


def tools_called(answer: bytes, *, stream: bool = False) -> list[str]:
    """The names of the tools that the first choice calls, sorted, each once."""
    pieces = [event.data for event in sse.events_of(answer)] if stream else [answer]
    return sorted({name for piece in pieces if b'"name"' in piece for name in _names(piece) if name})


def _names(piece: bytes) -> Iterator[str | None]:
    try:
        read = _decode(piece)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    for choice in read.choices or ():
        for said in (choice.message, choice.delta):
            if said is not None and choice.index == 0:
                yield from _in_message(said)
    blocks = read.content if isinstance(read.content, list) else []
    for block in (*(read.output or ()), *blocks, read.item, read.content_block):
        if block is not None and block.type in _CALLS:
            yield block.name


def _in_message(said: _Message) -> Iterator[str | None]:
    called = [said.function_call]
    for call in said.tool_calls or ():
        called += [call.function, call.custom]
    yield from (each.name for each in called if each is not None)
