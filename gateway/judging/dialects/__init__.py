"""How judge models are asked, and what their answers mean in our sub-categories: one row a dialect, all pure.

Second opinions and guards behind HTTP share this table. `requests` makes what is to be sent for a text, `labels` reads
one answer, `merged` puts the answers about a text together.
"""

from collections.abc import Mapping
from types import MappingProxyType

from gateway.judging.dialects.asked import QUESTIONS, SAFEGUARD
from gateway.judging.dialects.base import Dialect, Label, Labels, NonsenseError, Options, Request, merged, tokens_of
from gateway.judging.dialects.endpoints import DECISIONS, MODERATIONS
from gateway.judging.dialects.guards import LLAMA_GUARD, QWEN3GUARD, SHIELD_GEMMA, WILDGUARD

__all__ = [
    "DIALECTS",
    "Dialect",
    "Label",
    "Labels",
    "NonsenseError",
    "Options",
    "Request",
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
    """What a model of this name speaks; of one that is no known judge, the questions for any chat model."""
    name = model.lower()
    return next((row for row in DIALECTS.values() if any(part in name for part in row.models)), QUESTIONS)
