"""Answers for people to label, in an order drawn at random: wherever they stop, the labels are of a fair sample."""

from collections.abc import Iterable

from msgspec.structs import replace

from gateway.study.evaluation.record import AnswerScore, JudgedItem
from gateway.trust.drawing import draw_of


def to_label(judged: Iterable[JudgedItem], by: str, model: str | None = None) -> list[JudgedItem]:
    """The answers that this person has still to label, of one model or of all: those that no exact check decides.

    The order is that of the items' draws, so that the first n are a random sample of each study. The models' answers to
    one prompt come together, so that they can be compared, and the first of them is drawn, so that its place does not
    tell whose it is.
    """
    waiting = [each for each in judged if asked_of(each) and by not in each.people and model in (None, each.model)]
    return sorted(waiting, key=lambda each: (draw_of(each.item), draw_of(f"{each.item}/{each.model}")))


def asked_of(judged: JudgedItem) -> str:
    """The sub-category that a person is asked about; empty if an exact check decides, or if there is no answer."""
    if judged.reading != "read" or judged.failed is not None or not judged.scores:
        return ""
    return AnswerScore._make(judged.scores[0]).slug


def labelled(judged: JudgedItem, by: str, value: bool) -> JudgedItem:
    """The judgement with this person's label; a label that the person gave before is replaced."""
    return replace(judged, people={**judged.people, by: value})
