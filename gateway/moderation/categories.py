"""`/v1/moderations` in OpenAI's form: which inputs a request has, and how its answer is made of scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from gateway.openai_api.bodies.document import MOST_VALUES, Path, has_too_many_values, parse
from gateway.openai_api.envelope import BodyError

_MOST_INPUTS = 2048


class Category(NamedTuple):
    """One of OpenAI's categories in terms of ours: the highest score of `any_of`, but at most that of each of
    `also`."""

    any_of: tuple[str, ...]
    also: tuple[str, ...] = ()


# OpenAI's narrower categories have no detector of their own. They are the wider category together with what narrows it
# down, if we have that; `violence/graphic` and the narrower two of self-harm equal the wider category.
CATEGORIES: Mapping[str, Category] = {
    "harassment": Category(("toxicity",)),
    "harassment/threatening": Category(("toxicity",), ("violence",)),
    "hate": Category(("hate",)),
    "hate/threatening": Category(("hate",), ("violence",)),
    "illicit": Category(("unlawful_conduct", "cyberattack_misuse", "social_engineering_misuse")),
    "illicit/violent": Category(("unlawful_conduct", "cyberattack_misuse"), ("violence",)),
    "self-harm": Category(("mental_health",)),
    "self-harm/instructions": Category(("mental_health",)),
    "self-harm/intent": Category(("mental_health",)),
    "sexual": Category(("adult_content",)),
    "sexual/minors": Category(("adult_content",), ("harms_to_minor",)),
    "violence": Category(("violence",)),
    "violence/graphic": Category(("violence",)),
}


@dataclass(slots=True)
class InputScores:
    """What the detectors say about one input: calibrated scores, and flags at the default operating point."""

    scores: dict[str, float] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)
    detectors: dict[str, str] = field(default_factory=dict)


def read_inputs(body: bytes) -> int | None:
    """How many inputs a request has, each with a result of its own; None if all of `input` is one.

    Each string of a list is an input; a list of content parts is one. Raises BodyError.
    """
    if has_too_many_values(body):
        raise BodyError(f"the request body has more than {MOST_VALUES:,} values; send fewer")
    try:
        request = parse(body)
    except (ValueError, RecursionError):
        raise BodyError("the request body is not JSON that can be read") from None
    given = request.get("input") if isinstance(request, dict) else None
    if isinstance(given, str):
        return None
    if not isinstance(given, list) or not given:
        raise BodyError("'input' must be a string, a list of strings or a list of content parts", "input")
    if len(given) > _MOST_INPUTS:
        raise BodyError(f"'input' has {len(given)} entries; send at most {_MOST_INPUTS} at once", "input")
    if all(isinstance(entry, str) for entry in given):
        return len(given)
    if all(isinstance(entry, dict) and entry.get("type") == "text" for entry in given):
        return None
    if any(isinstance(entry, dict) and entry.get("type") == "image_url" for entry in given):
        raise BodyError("'input' has an image; the detectors here read text only", "input")
    raise BodyError("'input' must hold strings only, or content parts of type text only", "input")


def number_of(path: Path, inputs: int | None) -> int:
    """Which input the text at `path`, which begins with `input`, belongs to."""
    return int(path[1]) if inputs is not None and len(path) > 1 else 0


def moderation_body(id: str, model: str, results: Sequence[InputScores], *, failure: str) -> bytes:
    """The reply in OpenAI's form. `assay` holds our sub-categories, what judged them, and whether all was read.

    A category whose detectors are missing scores 0 and is not flagged; `assay.scores` lacks it then.
    """
    return msgspec.json.encode(
        {"id": f"modr-{id}", "model": model, "results": [result(scored, failure) for scored in results]}
    )


def flagged_categories(scored: InputScores) -> list[str]:
    """OpenAI's categories that are flagged."""
    return [name for name, category in CATEGORIES.items() if _flagged(category, scored.flags)]


def result(scored: InputScores, failure: str) -> dict[str, Any]:
    """One entry of `results`; `failure` is a code that says why not all of the text was judged, else empty."""
    flagged = flagged_categories(scored)
    return {
        "flagged": bool(flagged),
        "categories": {name: name in flagged for name in CATEGORIES},
        "category_scores": {name: _score(category, scored.scores) for name, category in CATEGORIES.items()},
        "category_applied_input_types": {name: ["text"] for name in CATEGORIES},
        "assay": {
            "scores": scored.scores,
            "flags": sorted(scored.flags),
            "detectors": scored.detectors,
            "truncated": failure == "truncated",
            "failure": failure or None,
        },
    }


def _flagged(category: Category, flags: set[str]) -> bool:
    return not flags.isdisjoint(category.any_of) and flags.issuperset(category.also)


def _score(category: Category, scores: Mapping[str, float]) -> float:
    widest = max(scores.get(slug, 0.0) for slug in category.any_of)
    return min([widest, *(scores.get(slug, 0.0) for slug in category.also)])
