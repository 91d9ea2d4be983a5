"""JSON bodies, and where something stands in one."""

import json
from typing import Any

from gateway.openai_api import Passage, Path

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"city":"Oslo"}'}}


def dump(value: object) -> bytes:
    return json.dumps(value).encode()


def at(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value


def brief(passages: list[Passage]) -> list[tuple[str, str]]:
    return [(passage.channel, passage.text) for passage in passages]
