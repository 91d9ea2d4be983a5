"""What is read of `/v1/decisions`: what is to be decided about, and the questions."""

from typing import Any

from gateway.openai_api.document import Path
from gateway.openai_api.passages import SAID, Channel, Leaf, Piece, Turn, channel_of, find
from gateway.openai_api.responses import find_in_item


def decision_turns(body: dict[str, Any]) -> list[Turn]:
    """What is to be decided about, then what is asked of it."""
    asked = Turn(_in_questions(body.get("questions")), False)
    given = body.get("input")
    if not isinstance(given, list):
        return [Turn(find(given, SAID, ("input",), "user"), False), asked]
    items = [
        Turn(_in_item(item, ("input", i)), channel_of(item, "user") == "assistant") for i, item in enumerate(given)
    ]
    return [*items, asked]


def _in_item(item: Any, path: Path) -> list[Piece]:
    """A message, whose parts may be JSON, or another item of the Responses API."""
    parts = item.get("content") if isinstance(item, dict) else None
    return find_in_item(item, path, "user") + _in_json(parts, (*path, "content"), channel_of(item, "user"))


def _in_json(parts: Any, path: Path, channel: Channel) -> list[Piece]:
    """Every string in the parts that are JSON."""
    return [
        piece
        for i, part in enumerate(parts if isinstance(parts, list) else ())
        if isinstance(part, dict) and part.get("type") == "input_json"
        for piece in find(part.get("data"), Leaf(channel, deep=True), (*path, i, "data"), channel)
    ]


def _in_questions(questions: Any) -> list[Piece]:
    found: list[Piece] = []
    for i, question in enumerate(questions if isinstance(questions, list) else ()):
        path: Path = ("questions", i)
        given = question.get("instructions") if isinstance(question, dict) else None
        found += find(given, SAID, (*path, "instructions"), "system")
        found += _in_json(given, (*path, "instructions"), "system")
        for key in ("choices", "levels"):
            options = question.get(key) if isinstance(question, dict) else None
            found += find(options, Leaf("system", deep=True), (*path, key), "system")
    return found
