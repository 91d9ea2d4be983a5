"""The demo's judge model, in the dialect `policy`. It knows what the demo's texts show, because we wrote them."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.demo.answers import CARELESS, CONVERSATIONS

JUDGE_MODEL = "demo-judge"
_ASKED = re.compile(r"^- (\w+):", re.MULTILINE)
_PART = re.compile(r"^### \w+$", re.MULTILINE)
_INSULTS = "Eres un idiota inútil y nadie te soporta."
# What the prompts of a topic show, if their row does not say it (`asks`); what replies show is in the rows (`shows`).
_PROMPTS: Mapping[str, tuple[str, ...]] = {
    "injection": ("prompt_attacks",),
    "privacy": ("privacy_violation",),
    "secrets": ("privacy_violation",),
    "misuse": ("unlawful_conduct", "unsafe"),
}


class DemoJudge:
    """Answers with one JSON object, as the dialect demands."""

    def __init__(self) -> None:
        self._known: dict[str, frozenset[str]] = {_INSULTS: frozenset({"toxicity", "hate", "unsafe"})}
        for line in (CONVERSATIONS.read_bytes() + CARELESS.read_bytes()).splitlines():
            row = msgspec.json.decode(line)
            *_, asked, reply = row["messages"]
            self._learn(asked.get("content"), row.get("asks", _PROMPTS.get(row["topic"], ())))
            self._learn(reply.get("content"), row.get("shows", ()))

    def _learn(self, text: str | None, shows: tuple[str, ...]) -> None:
        if text and shows:
            self._known[text] = frozenset(shows)

    def answer(self, body: Mapping[str, Any]) -> str:
        """The answer to a chat completion whose first message says what to look for and whose last has the exchange."""
        said = [str(message.get("content")) for message in body.get("messages", ()) if isinstance(message, dict)]
        last = _PART.split(said[-1])[-1].strip() if said else ""
        asked = set(_ASKED.findall(said[0])) if said else set()
        found: set[str] = set()
        for text, shows in self._known.items():
            if text in last:
                found |= shows
        return msgspec.json.encode({"applies": sorted(found & asked)}).decode()
