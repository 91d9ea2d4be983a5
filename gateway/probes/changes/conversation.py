"""A request and its answer, in the form that changes work on."""

from collections.abc import Mapping
from typing import NamedTuple

from gateway.openai_api import Path

Edits = Mapping[Path, str]  # new texts for a request, by their paths


class RequestText(NamedTuple):
    """One text of a request. `path` is None if it cannot be changed as one string (it has several parts, or is
    JSON)."""

    channel: str
    text: str
    path: Path | None


class Conversation(NamedTuple):
    """The texts of a request in order, and the answer; `cut` says that a limit ended the answer."""

    texts: tuple[RequestText, ...]
    answer: str
    cut: bool = False

    @property
    def question(self) -> RequestText | None:
        """The last text, if it is the user's and can be changed; else None."""
        last = self.texts[-1] if self.texts else None
        return last if last is not None and last.channel == "user" and last.path is not None else None

    @property
    def has_source(self) -> bool:
        """Whether something was given that the answer can be held against."""
        return any(said.channel in ("tool", "retrieved", "system") for said in self.texts)
