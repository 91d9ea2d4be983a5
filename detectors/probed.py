"""The names of the probes that measure a sub-category when they are turned on."""

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
        "cultural_insensitivity": ("culture",),
        "unawareness_of_emotions": ("feeling_removed",),
        "prompt_attacks": ("typos", "paraphrase"),
        "poisoning_attacks": ("trigger_removed",),
    }
)


def when_turned_on(slug: str) -> str:
    """A sentence with the probes that measure a sub-category when they are turned on; empty if there are none."""
    names = PROBES.get(slug, ())
    return f"measured by probes when turned on: {', '.join(names)}" if names else ""
