"""`/v1/decisions` for the model `assay`: the questions of a request, and answers made of scores.

The detectors answer predicates whose name is a sub-category. Every other question gets a refusal, which is how that API
declines to answer.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from gateway.moderation.categories import InputScores
from gateway.openai_api import BodyError
from gateway.openai_api.bodies.document import MOST_VALUES, has_too_many_values, parse

OWN_MODEL = "assay"  # the name of the gateway's own detectors as a model
_MOST_QUESTIONS = 400
_TYPES = ("predicate", "choice", "score")
_NO_TOKENS = {
    "input_tokens": 0,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 0,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 0,
}


class DecisionQuestion(NamedTuple):
    """One question: its type, and its name or None."""

    type: str
    name: str | None


def read_questions(body: bytes) -> list[DecisionQuestion]:
    """The questions of a request. Raises BodyError if the body is not a request of this API."""
    if has_too_many_values(body):
        raise BodyError(f"the request body has more than {MOST_VALUES:,} values; send fewer")
    try:
        request = parse(body)
    except (ValueError, RecursionError):
        raise BodyError("the request body is not JSON that can be read") from None
    if not isinstance(request, dict) or not isinstance(request.get("input"), str | list) or not request["input"]:
        raise BodyError("'input' must be a text or a list of items, and not empty", "input")
    questions = request.get("questions")
    if not isinstance(questions, list) or not 1 <= len(questions) <= _MOST_QUESTIONS:
        raise BodyError(f"'questions' must be a list of 1 to {_MOST_QUESTIONS} questions", "questions")
    return [_question(question, f"questions[{i}]") for i, question in enumerate(questions)]


def _question(question: Any, at: str) -> DecisionQuestion:
    kind = question.get("type") if isinstance(question, dict) else None
    if kind not in _TYPES:
        raise BodyError(f"'{at}.type' must be one of {', '.join(_TYPES)}", at)
    name = question.get("name")
    if name is not None and not isinstance(name, str):
        raise BodyError(f"'{at}.name' must be a string", at)
    return DecisionQuestion(kind, name)


def decision_body(questions: Sequence[DecisionQuestion], scored: InputScores, *, failure: str) -> bytes:
    """The reply in OpenAI's form. `assay` tells what judged, and why not all of the input was read, if so.

    Unread text never counts as clean: if not all was read, a sub-category that is not flagged is refused.
    """
    answers = [_answer(question, scored, failure) for question in questions]
    about = {"detectors": scored.detectors, "flags": sorted(scored.flags), "failure": failure or None}
    return msgspec.json.encode({"model": OWN_MODEL, "answers": answers, "usage": _NO_TOKENS, "assay": about})


def _answer(question: DecisionQuestion, scored: InputScores, failure: str) -> dict[str, Any]:
    name = question.name
    score = scored.scores.get(name or "")
    if question.type != "predicate" or score is None or (failure and name not in scored.flags):
        return {"type": "refusal", "name": name}
    return {"type": "predicate", "name": name, "probability": score}
