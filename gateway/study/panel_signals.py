"""Turns the panel's answers about texts into the signals that policies decide on."""

from collections.abc import Sequence
from typing import Protocol

from detectors.base import Role, Text
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

    def __call__(self, text: str, direction: str, channel: str) -> list[Signal]:
        return self.several([(text, direction, channel)])[0]

    def answer(self, text: str, direction: str) -> Answer:
        """The panel's answer about one text."""
        return self._panel.ask([Question(Text(text, ROLES[direction]))])[0]

    def several(self, texts: Sequence[tuple[str, str, str]]) -> list[list[Signal]]:
        """The signals for each (text, direction, channel); each detector is called once for all texts."""
        answers = self._panel.ask([Question(Text(text, ROLES[direction])) for text, direction, _ in texts])
        return [signals_of(answer, *about) for answer, about in zip(answers, texts, strict=True)]


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
