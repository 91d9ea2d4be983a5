"""The places of the 29 sub-categories in public lists: OWASP, NIST, MLCommons, Llama Guard, OpenAI.

Each entry of a list is mapped to the sub-categories that measure it, at least in part; this mapping is our reading. An
entry without a sub-category is not about texts, or nothing here measures it: `note` says what there is instead.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a list, by its code and title there."""

    code: str
    title: str
    slugs: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Mapped:
    """One list; `source` names the edition."""

    title: str
    source: str
    entries: tuple[Entry, ...]


_LIMITS = "bounded by limits and budgets of keys"
_RIGHTS = "a matter of rights and design, not of texts"
_SUPPLY = "a matter of where models and packages come from"

OWASP = Mapped(
    "OWASP Top 10 for LLM Applications and for Agentic Applications",
    "OWASP GenAI Security Project: LLM applications 2025, agentic applications 2026",
    (
        Entry("LLM01", "Prompt Injection", ("prompt_attacks",)),
        Entry("LLM02", "Sensitive Information Disclosure", ("privacy_violation",)),
        Entry("LLM03", "Supply Chain", note=_SUPPLY),
        Entry("LLM04", "Data and Model Poisoning", ("poisoning_attacks",)),
        Entry("LLM05", "Improper Output Handling", ("cyberattack_misuse",), "the rule for payloads reads answers"),
        Entry("LLM06", "Excessive Agency", note=_RIGHTS),
        Entry("LLM07", "System Prompt Leakage", ("privacy_violation", "prompt_attacks")),
        Entry("LLM08", "Vector and Embedding Weaknesses", ("poisoning_attacks", "prompt_attacks")),
        Entry("LLM09", "Misinformation", ("misinformation", "hallucination", "miscalibration", "sycophancy")),
        Entry("LLM10", "Unbounded Consumption", note=_LIMITS),
        Entry("ASI01", "Agent Goal Hijack", ("prompt_attacks",)),
        Entry("ASI02", "Tool Misuse and Exploitation", ("prompt_attacks", "cyberattack_misuse")),
        Entry("ASI03", "Identity and Privilege Abuse", note=_RIGHTS),
        Entry("ASI04", "Agentic Supply Chain Vulnerabilities", note=_SUPPLY),
        Entry("ASI05", "Unexpected Code Execution", ("cyberattack_misuse",)),
        Entry("ASI06", "Memory and Context Poisoning", ("poisoning_attacks", "prompt_attacks")),
        Entry("ASI07", "Insecure Inter-Agent Communication", ("prompt_attacks",), "as far as it passes the gateway"),
        Entry("ASI08", "Cascading Failures", ("hallucination", "interventional_effect")),
        Entry("ASI09", "Human-Agent Trust Exploitation", ("social_engineering_misuse", "miscalibration", "sycophancy")),
        Entry("ASI10", "Rogue Agents", ("distribution_shift",), "seen as a change in what passes, no more"),
    ),
)

NIST = Mapped(
    "NIST AI 600-1, Generative AI Profile",
    "NIST, July 2024, section 2",
    (
        Entry("2.1", "CBRN Information or Capabilities", ("violence", "unlawful_conduct")),
        Entry("2.2", "Confabulation", ("hallucination", "misinformation", "inconsistency", "miscalibration")),
        Entry(
            "2.3",
            "Dangerous, Violent, or Hateful Content",
            ("violence", "unlawful_conduct", "mental_health", "toxicity", "stereotype_bias"),
        ),
        Entry("2.4", "Data Privacy", ("privacy_violation",)),
        Entry("2.5", "Environmental Impacts", note="token counts are there; energy is not measured"),
        Entry(
            "2.6",
            "Harmful Bias and Homogenization",
            ("injustice", "stereotype_bias", "preference_bias", "disparate_performance"),
        ),
        Entry(
            "2.7",
            "Human-AI Configuration",
            ("sycophancy", "miscalibration", "lack_of_interpretability", "unawareness_of_emotions"),
        ),
        Entry("2.8", "Information Integrity", ("misinformation", "propagandistic_misuse")),
        Entry(
            "2.9",
            "Information Security",
            ("prompt_attacks", "cyberattack_misuse", "social_engineering_misuse", "poisoning_attacks"),
        ),
        Entry("2.10", "Intellectual Property", ("copyrighted_content",)),
        Entry("2.11", "Obscene, Degrading, and/or Abusive Content", ("adult_content", "harms_to_minor", "toxicity")),
        Entry("2.12", "Value Chain and Component Integration", ("distribution_shift", "interventional_effect")),
    ),
)

MLCOMMONS = Mapped(
    "MLCommons AILuminate hazards",
    "MLCommons AILuminate 1.0 (arXiv 2503.05731)",
    (
        Entry("vcr", "Violent Crimes", ("violence",)),
        Entry("ncr", "Nonviolent Crimes", ("unlawful_conduct", "cyberattack_misuse", "social_engineering_misuse")),
        Entry("src", "Sex-Related Crimes", ("unlawful_conduct", "adult_content")),
        Entry("cse", "Child Sexual Exploitation", ("harms_to_minor",)),
        Entry("iwp", "Indiscriminate Weapons, CBRNE", ("violence", "unlawful_conduct")),
        Entry("ssh", "Suicide and Self-Harm", ("mental_health",)),
        Entry("hte", "Hate", ("toxicity", "stereotype_bias")),
        Entry("dfm", "Defamation", ("misinformation",)),
        Entry("prv", "Privacy", ("privacy_violation",)),
        Entry("ipv", "Intellectual Property", ("copyrighted_content",)),
        Entry("sxc", "Sexual Content", ("adult_content",)),
        Entry("spc", "Specialized Advice", ("misinformation",), "false advice; that it was given is not looked for"),
    ),
)

LLAMA_GUARD = Mapped(
    "Llama Guard hazards",
    "Llama Guard 3 and 4, model cards",
    (
        Entry("S1", "Violent Crimes", ("violence",)),
        Entry("S2", "Non-Violent Crimes", ("unlawful_conduct", "cyberattack_misuse", "social_engineering_misuse")),
        Entry("S3", "Sex-Related Crimes", ("unlawful_conduct", "adult_content")),
        Entry("S4", "Child Sexual Exploitation", ("harms_to_minor",)),
        Entry("S5", "Defamation", ("misinformation",)),
        Entry("S6", "Specialized Advice", ("misinformation",), "false advice; that it was given is not looked for"),
        Entry("S7", "Privacy", ("privacy_violation",)),
        Entry("S8", "Intellectual Property", ("copyrighted_content",)),
        Entry("S9", "Indiscriminate Weapons", ("violence", "unlawful_conduct")),
        Entry("S10", "Hate", ("toxicity", "stereotype_bias")),
        Entry("S11", "Suicide and Self-Harm", ("mental_health",)),
        Entry("S12", "Sexual Content", ("adult_content",)),
        Entry("S13", "Elections", ("misinformation", "propagandistic_misuse")),
        Entry("S14", "Code Interpreter Abuse", ("cyberattack_misuse", "prompt_attacks")),
    ),
)

OPENAI = Mapped(
    "OpenAI moderation categories",
    "OpenAI, POST /v1/moderations, omni-moderation",
    (
        Entry("harassment", "Harassment", ("toxicity",)),
        Entry("harassment/threatening", "Harassment with threats", ("toxicity", "violence")),
        Entry("hate", "Hate", ("toxicity", "stereotype_bias")),
        Entry("hate/threatening", "Hate with threats", ("toxicity", "violence")),
        Entry("illicit", "Illicit acts", ("unlawful_conduct", "cyberattack_misuse", "social_engineering_misuse")),
        Entry("illicit/violent", "Violent illicit acts", ("unlawful_conduct", "violence")),
        Entry("self-harm", "Self-harm", ("mental_health",)),
        Entry("self-harm/intent", "Intent of self-harm", ("mental_health",)),
        Entry("self-harm/instructions", "Instructions for self-harm", ("mental_health",)),
        Entry("sexual", "Sexual content", ("adult_content",)),
        Entry("sexual/minors", "Sexual content with minors", ("harms_to_minor",)),
        Entry("violence", "Violence", ("violence",)),
        Entry("violence/graphic", "Graphic violence", ("violence",)),
    ),
)

MAPS: Mapping[str, Mapped] = MappingProxyType(
    {"owasp": OWASP, "nist": NIST, "mlcommons": MLCOMMONS, "llamaguard": LLAMA_GUARD, "openai": OPENAI}
)


SEPARATOR = ","  # between codes; no code contains it


def codes(slug: str) -> dict[str, str]:
    """By list, the codes of the entries that a sub-category measures, at least in part; empty if there are none."""
    return {
        name: SEPARATOR.join(entry.code for entry in mapped.entries if slug in entry.slugs)
        for name, mapped in MAPS.items()
    }


def unmapped(name: str, slugs: Sequence[str]) -> list[str]:
    """The sub-categories that no entry of a list is mapped to, in the given order."""
    known = {slug for entry in MAPS[name].entries for slug in entry.slugs}
    return [slug for slug in slugs if slug not in known]
