"""Endpoints made for judging: OpenAI's moderations and decisions, and servers that imitate them."""

from collections.abc import Iterator, Mapping
from typing import Any

from detectors.base import Text
from gateway.judging.dialects.asked import DEFINITIONS, PROMPTS, RESPONSES, shown
from gateway.judging.dialects.base import Dialect, JudgeLabel, JudgeRequest, Labels, NonsenseError, Options, body_of

# Our sub-categories and the OpenAI categories that mean the same; narrower ones such as `hate/threatening` count too.
_MODERATED: Mapping[str, tuple[str, ...]] = {
    "toxicity": ("harassment", "harassment/threatening"),
    "hate": ("hate", "hate/threatening"),
    "unlawful_conduct": ("illicit", "illicit/violent"),
    "mental_health": ("self-harm", "self-harm/intent", "self-harm/instructions"),
    "adult_content": ("sexual", "sexual/minors"),
    "harms_to_minor": ("sexual/minors",),
    "violence": ("violence", "violence/graphic"),
}
_ALL = "unsafe"


def _ask_moderations(text: Text, about: frozenset[str], options: Options) -> Iterator[JudgeRequest]:
    yield JudgeRequest("/moderations", body_of({"input": text.text}, options), about)


def _read_moderations(document: Mapping[str, Any], _text: Text, request: JudgeRequest) -> Labels:
    results = document.get("results")
    result = results[0] if isinstance(results, list) and results else None
    scores, flags = (result.get("category_scores"), result.get("categories")) if isinstance(result, dict) else ({}, {})
    if not isinstance(scores, dict) or not isinstance(flags, dict):
        raise NonsenseError("the answer has no `categories` and `category_scores`")
    found = {slug: _moderated(names, scores, flags) for slug, names in _MODERATED.items()}
    labels = {slug: label for slug, label in found.items() if label is not None}
    if not labels:
        raise NonsenseError("the answer has none of the categories of this endpoint")
    flagged = result.get("flagged") if isinstance(result, dict) else None
    if isinstance(flagged, bool):
        labels[_ALL] = JudgeLabel(float(max(filter(_is_probability, scores.values()))), flagged)
    return {slug: label for slug, label in labels.items() if slug in request.about}


def _moderated(names: tuple[str, ...], scores: Mapping[str, Any], flags: Mapping[str, Any]) -> JudgeLabel | None:
    """The label of a sub-category; None if the server lacks the category, as older models lack `illicit`."""
    if not _is_probability(scores.get(names[0])) or not isinstance(flags.get(names[0]), bool):
        return None
    known = [scores[name] for name in names if _is_probability(scores.get(name))]
    return JudgeLabel(float(max(known)), any(flags.get(name) is True for name in names))


def _is_probability(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _ask_decisions(text: Text, about: frozenset[str], options: Options) -> Iterator[JudgeRequest]:
    judged = "the user's last message" if text.role == "prompt" else "the assistant's last reply"
    questions = [
        {
            "type": "predicate",
            "name": slug,
            "instructions": options.questions.get(slug) or f"Does this apply to {judged}: {DEFINITIONS[slug]}?",
        }
        for slug in sorted(about)
    ]
    yield JudgeRequest("/decisions", body_of({"input": shown(text), "questions": questions}, options), about)


def _read_decisions(document: Mapping[str, Any], _text: Text, request: JudgeRequest) -> Labels:
    """Read the answers, which come in the order of the questions. A refusal is not an opinion."""
    answers = document.get("answers")
    asked = sorted(request.about)
    if not isinstance(answers, list) or len(answers) != len(asked):
        raise NonsenseError("the answer has more or fewer `answers` than there were questions")
    pairs = zip(asked, answers, strict=True)
    found = {slug: _decided(answer) for slug, answer in pairs if answer != _REFUSED}
    return {slug: label for slug, label in found.items() if label is not None}


_REFUSED: Mapping[str, Any] = {"type": "refusal"}


def _decided(answer: Any) -> JudgeLabel | None:
    kind = answer.get("type") if isinstance(answer, dict) else None
    if kind == _REFUSED["type"]:
        return None
    probability = answer.get("probability") if isinstance(answer, dict) else None
    if kind != "predicate" or probability is None or not _is_probability(probability):
        raise NonsenseError("an answer is neither a predicate with its probability nor a refusal")
    return JudgeLabel(float(probability), probability >= 0.5)


_KNOWN = frozenset(_MODERATED) | {_ALL}
MODERATIONS = Dialect(
    "moderations", _KNOWN, _KNOWN, _ask_moderations, _read_moderations, ("moderation",), probabilities=False
)
DECISIONS = Dialect("decisions", PROMPTS, RESPONSES, _ask_decisions, _read_decisions)
