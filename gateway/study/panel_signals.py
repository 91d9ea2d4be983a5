"""What the panel says of texts, as the signals that policies decide on."""

from collections.abc import Sequence
from typing import Protocol

from detectors.base import Role, Text
from detectors.panel import Answer, Question
from gateway.judging.language import language_of
from policies.engine import Signal

ROLES: dict[str, Role] = {"prompt": "prompt", "response": "response"}


class Asked(Protocol):
    """A `Panel`, or one with guards beside it."""

    def ask(self, questions: Sequence[Question]) -> list[Answer]: ...


class PanelSignals:
    """Texts to the signals of every detector."""

    def __init__(self, panel: Asked) -> None:
        self._panel = panel

    def __call__(self, text: str, direction: str, channel: str) -> list[Signal]:
        return self.several([(text, direction, channel)])[0]

    def answer(self, text: str, direction: str) -> Answer:
        """What the detectors say of one text, and what became of it in each."""
        return self._panel.ask([Question(Text(text, ROLES[direction]))])[0]

    def several(self, texts: Sequence[tuple[str, str, str]]) -> list[list[Signal]]:
        """For each (text, direction, channel); one call of each detector for all."""
        answers = self._panel.ask([Question(Text(text, ROLES[direction])) for text, direction, _ in texts])
        return [signals_of(answer, *about) for answer, about in zip(answers, texts, strict=True)]


def signals_of(answer: Answer, text: str, direction: str, channel: str) -> list[Signal]:
    """`answer` is about this text."""
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
