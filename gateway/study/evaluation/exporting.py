"""The results of an evaluation as training data, in the form of `assay export`."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from gateway.judging.language import language_of
from gateway.opinions.exporting import Source, TrainingRow, preference_pairs
from gateway.study.evaluation.record import AnswerScore, JudgedItem


def training_rows(judged: Iterable[JudgedItem]) -> Iterator[TrainingRow]:
    """A row for each answer that is known to have failed or not: by an exact check, a label or a flag."""
    for each in judged:
        failed = failure(each)
        if failed is not None and each.text:
            yield TrainingRow(
                f"{each.model}/{each.item}", 0.0, "response", each.text, each.prompt, {each.subcategory: failed},
                source_of(each), 1.0, "", each.model, language_of(each.text),
            )  # fmt: skip


def source_of(judged: JudgedItem) -> Source:
    """Who says whether an answer failed: an exact check, people, a judge model, or a detector's flag."""
    if judged.failed is not None:
        return "exact"
    if judged.people:
        return "person"
    return "flag" if judged.label is None else "judge"


def failure(judged: JudgedItem) -> float | None:
    """Whether an answer failed, from 0 to 1; None if that is not known."""
    if judged.failed is not None:
        return float(judged.failed)
    if not judged.scores or judged.reading != "read":
        return None
    scored = AnswerScore._make(judged.scores[0])
    found = float(scored.flagged) if judged.label is None else judged.label
    if judged.people:
        found = sum(judged.people.values()) / len(judged.people)
    return 1 - found if scored.slug == "refusal" else found


def training_pairs(judged: Sequence[JudgedItem]) -> Iterator[dict[str, Any]]:
    """Pairs of two models' answers to the same prompt, and pairs of a failed answer and the expected one, if known."""
    return chain(preference_pairs(training_rows(judged)), _with_what_was_expected(judged))


def _with_what_was_expected(judged: Iterable[JudgedItem]) -> Iterator[dict[str, Any]]:
    for each in judged:
        if each.failed and each.expected:
            yield {
                "prompt": each.prompt,
                "chosen": each.expected,
                "rejected": each.text,
                "subcategory": each.subcategory,
                "weight": 1.0,
                "chosen_sample": "expected",
                "rejected_sample": f"{each.model}/{each.item}",
            }
