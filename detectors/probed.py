"""Which probes of the gateway speak for which sub-category, where they are turned on: no model, only the names."""

from collections.abc import Mapping
from types import MappingProxyType

PROBES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "hallucination": ("again",),
        "inconsistency": ("again",),
        "miscalibration": ("again",),
        "sycophancy": ("opinion_removed", "opinion_reversed"),
        "injustice": ("gender", "names", "origins"),
        "stereotype_bias": ("gender", "names", "origins"),
        "preference_bias": ("sides",),
        "disparate_performance": ("dialect",),
        "lack_of_interpretability": ("reason_negated", "reason_dropped"),
        "limited_causal_reasoning": ("cause_reversed", "cause_absent"),
        "unawareness_of_emotions": ("feeling_removed",),
        "prompt_attacks": ("typos", "paraphrase"),
        "poisoning_attacks": ("trigger_removed",),
    }
)


def when_turned_on(slug: str) -> str:
    """What measures a sub-category once the operator lets requests be sent again; empty where nothing does."""
    names = PROBES.get(slug, ())
    return f"measured by probes when turned on: {', '.join(names)}" if names else ""
