"""Finds the texts of a value by a schema. What a schema does not know is never silently passed over: if it carries
text, it is reported as unread.
"""

from collections.abc import Iterator
from typing import Any

from gateway.openai_api.bodies import logprobs
from gateway.openai_api.bodies.document import KEY, WHOLE, Path
from gateway.openai_api.passages import forms
from gateway.openai_api.passages.schemas import (
    DEFINED,
    EVERYTHING,
    PART,
    Blind,
    File,
    Leaf,
    Node,
    Quiet,
    Schema,
    Spelling,
)
from gateway.openai_api.passages.terms import Channel, Found, Piece, Unread

_WORDS = 4  # so many strings in a list may be the words of a text


def find(value: Any, node: Node, path: Path, channel: Channel) -> Found:
    """The texts in `value`, in its order, as far as `node` leads; paths begin with `path`.

    There is no recursion, because callers choose how deep a body is.
    """
    found = Found([], [])
    todo: list[tuple[Any, Node, Path, Channel]] = [(value, node, path, channel)]
    while todo:
        value, node, path, channel = todo.pop()
        if isinstance(node, Leaf):
            channel = node.channel or channel
        if isinstance(node, Spelling):
            _note_spelled(found, value, path, channel)
        elif value is None or isinstance(node, Quiet | Blind):
            _note_untold(found, value, node, channel)
        elif isinstance(value, str):
            _note_text(found, value, node, path, channel)
        elif isinstance(value, list):
            if isinstance(node, Leaf) and not node.deep and value and all(type(entry) is int for entry in value):
                found.unread.append(Unread(channel, "tokens"))
            if _is_text_in_a_list(value, node):
                found.pieces.extend(
                    Piece(channel, (*path, i), value[i], listed=True) for i in range(len(value)) if value[i]
                )
                continue
            todo.extend((value[i], node, (*path, i), channel) for i in range(len(value) - 1, -1, -1))
        elif isinstance(value, dict):
            todo += _below(found, value, node, path, channel)
    return found


def _is_text_in_a_list(value: list[Any], node: Node) -> bool:
    """Whether these strings may be a text word by word: in a tool's arguments, and in fields of unknown form."""
    follows = isinstance(node, Leaf) and node.deep and (node.unknown or not node.long) and not node.grows
    return follows and len(value) >= _WORDS and all(isinstance(entry, str) for entry in value)


def _note_untold(found: Found, value: Any, node: Node, channel: Channel) -> None:
    """Report what is not followed, if there is something in it."""
    if isinstance(node, Blind) and value not in (None, "", [], {}):
        found.unread.append(Unread(channel, node.reason))
    elif isinstance(node, Quiet) and not node.aside and forms.carries_text(value):
        found.unread.append(Unread(channel, "field"))


def _note_spelled(found: Found, value: Any, path: Path, channel: Channel) -> None:
    """Add what token log-probabilities spell, and what else stands among them."""
    told = logprobs.spelled(value)
    at = (*path, WHOLE)
    found.pieces.extend(Piece(channel, (*at, *below), text) for below, text in told.texts.items())
    for below, more in told.rest:
        found.add(find(more, EVERYTHING, (*at, *below), channel))
        if forms.carries_text(more, or_files=True):
            found.unread.append(Unread(channel, "field"))


def in_place_of_a_list(value: Any, path: Path, channel: Channel) -> Found:
    """What stands in place of a list: its texts, which also count as unread because their meaning is unknown."""
    found = find(value, EVERYTHING, path, channel)
    return Found(found.pieces, [*found.unread, Unread(channel, "field")] if value else [])


def _note_text(found: Found, value: str, node: Node, path: Path, channel: Channel) -> None:
    if not value:
        return
    if isinstance(node, Leaf):
        if (node.unknown and forms.names_something(path, value)) or (node.prose and not forms.carries_text(value)):
            return
        _note_file(found, value, node, channel)
        if not node.long or node.grows or not forms.says_little(value):
            found.pieces.append(Piece(channel, path, value, grows=node.grows, is_name=node.long))
    elif isinstance(node, File):
        text = forms.file_text(value)
        if text is None:
            found.unread.append(Unread(channel, "file"))
        elif text:
            found.pieces.append(Piece(channel, path, text, value))
    else:
        if isinstance(node, Schema) and node.others is not None:
            _note_text(found, value, node.others, path, channel)
        if forms.carries_text(value):
            found.unread.append(Unread(channel, "field"))


def _note_file(found: Found, value: str, node: Leaf, channel: Channel) -> None:
    """Report a file in a definition, such as the archive of a skill."""
    if node == DEFINED and forms.FILE_BEGINS.match(value):
        found.unread.append(Unread(channel, "file"))


def _below(
    found: Found, value: dict[str, Any], node: Node, path: Path, channel: Channel
) -> Iterator[tuple[Any, Node, Path, Channel]]:
    """The fields of an object to follow, last first; unknown ones are noted."""
    if isinstance(node, Leaf) and node.deep:
        found.pieces.extend(Piece(channel, (*path, key, KEY), key) for key in value if forms.says_something(key))
        yield from ((value[key], node, (*path, key), channel) for key in reversed(value))
        return
    schema = node if isinstance(node, Schema) else PART
    for key in reversed(value):
        branch = schema.get(key, schema.others)
        if key not in schema:
            _note_unknown(found, schema, key, value[key], channel)
        if branch is not None:
            yield value[key], branch, (*path, key), channel


def _note_unknown(found: Found, schema: Schema, key: str, value: Any, channel: Channel) -> None:
    if key.casefold() in schema:
        found.unread.append(Unread(channel, "ambiguous"))
    elif schema is PART:
        if isinstance(value, str | list | dict) and value:
            found.unread.append(Unread(channel, "part"))
    elif forms.carries_text(value, or_files=True):
        found.unread.append(Unread(channel, "field"))
    elif isinstance(value, list | dict) and forms.holds_tokens(key, value):
        found.unread.append(Unread(channel, "tokens"))
