"""Turns the panel's answers about texts into the signals that policies decide on."""

from collections.abc import Sequence
from typing import Protocol

from detectors.base import Role, Text, Turn
from detectors.panel import Answer, Question
from gateway.judging.language import language_of
from policies.engine import Signal

ROLES: dict[str, Role] = {"prompt": "prompt", "response": "response"}


class Asked(Protocol):
    """A `Panel`, or a `PanelWithGuards`."""

    def ask(self, questions: Sequence[Question]) -> list[Answer]: ...


class PanelSignals:
    """Gives the signals of every detector for texts."""

    def __init__(self, panel: Asked) -> None:
        self._panel = panel

    def __call__(self, text: str, direction: str, channel: str, context: str | None) -> list[Signal]:
        return signals_of(self.answer(text, direction, context), text, direction, channel)

    def answer(self, text: str, direction: str, context: str | None = None) -> Answer:
        """The panel's answer about one text, judged beside what was said before it, if that is given."""
        return self._panel.ask([Question(beside(text, ROLES[direction], context))])[0]

    def several(self, texts: Sequence[tuple[str, str, str]]) -> list[list[Signal]]:
        """The signals for each (text, direction, channel); each detector is called once for all texts."""
        answers = self._panel.ask([Question(Text(text, ROLES[direction])) for text, direction, _ in texts])
        return [signals_of(answer, *about) for answer, about in zip(answers, texts, strict=True)]


def beside(text: str, role: Role, context: str | None) -> Text:
    """A text to judge. `context` is the prompt that a reply answers, or the source that it must agree with; all of it
    counts as a source."""
    return Text(text, role, context, (Turn("given", context),) if context else ())


def signals_of(answer: Answer, text: str, direction: str, channel: str) -> list[Signal]:
    """The signals in the panel's `answer` about this text."""
    language = language_of(text)
    return [
        Signal(
            opinion.slug,
            opinion.score,
            opinion.detector,
            ROLES[direction],
            channel,
            spans=tuple(opinion.spans),
            language=language,
        )
        for opinion in answer.opinions
    ]
