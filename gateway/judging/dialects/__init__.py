"""How judge models are asked, and what their answers mean in our sub-categories: one row for each dialect, all pure.

Second opinions and guards behind HTTP share this table. `requests` makes the requests about a text, `labels` reads one
answer, and `merged` combines the answers about a text.
"""

from collections.abc import Mapping
from types import MappingProxyType

from gateway.judging.dialects.asked import QUESTIONS, SAFEGUARD
from gateway.judging.dialects.base import (
    Dialect,
    JudgeLabel,
    JudgeRequest,
    Labels,
    NonsenseError,
    Options,
    merged,
    tokens_of,
)
from gateway.judging.dialects.endpoints import DECISIONS, MODERATIONS
from gateway.judging.dialects.guards import LLAMA_GUARD, QWEN3GUARD, SHIELD_GEMMA, WILDGUARD

__all__ = [
    "DIALECTS",
    "Dialect",
    "JudgeLabel",
    "JudgeRequest",
    "Labels",
    "NonsenseError",
    "Options",
    "dialect_of",
    "merged",
    "tokens_of",
]

DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        row.name: row
        for row in (
            LLAMA_GUARD,
            QWEN3GUARD,
            SHIELD_GEMMA,
            WILDGUARD,
            SAFEGUARD,
            MODERATIONS,
            DECISIONS,
            QUESTIONS,
        )
    }
)


def dialect_of(model: str) -> Dialect:
    """The dialect of a model by its name; for an unknown judge, the questions for any chat model."""
    name = model.lower()
    return next((row for row in DIALECTS.values() if any(part in name for part in row.models)), QUESTIONS)
