"""What a request says and what was answered, as a change sees it."""

from collections.abc import Mapping
from typing import NamedTuple

from gateway.openai_api import Path

Edits = Mapping[Path, str]  # texts of a request that say something else, by their paths


class Said(NamedTuple):
    """One text of a request. `path` is None where it cannot be changed as one string (several parts, JSON in it)."""

    channel: str
    text: str
    path: Path | None


class Conversation(NamedTuple):
    """What a request says, in its order, and what was answered; `cut` where a limit ended the answer."""

    texts: tuple[Said, ...]
    answer: str
    cut: bool = False

    @property
    def question(self) -> Said | None:
        """What the user said last, when it is the last thing said and can be changed."""
        last = self.texts[-1] if self.texts else None
        return last if last is not None and last.channel == "user" and last.path is not None else None

    @property
    def has_source(self) -> bool:
        """Whether something was given that the answer can be held against."""
        return any(said.channel in ("tool", "retrieved", "system") for said in self.texts)
