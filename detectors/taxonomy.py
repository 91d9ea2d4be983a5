"""The seven categories and 29 sub-categories.

Source: "Trustworthy LLMs: a Survey and Guideline for Evaluating Large Language Models' Alignment"
(Liu et al., arXiv 2308.05374). The definitions and the honest lines are ours. The slug is the name in
code, configuration, metrics and data.
"""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

Kind = Literal["head", "pair", "rule", "probe", "monitor"]


class Category(StrEnum):
    """The survey's seven categories, in its order."""

    RELIABILITY = "reliability"
    SAFETY = "safety"
    FAIRNESS = "fairness"
    RESISTANCE_TO_MISUSE = "resistance_to_misuse"
    EXPLAINABILITY_AND_REASONING = "explainability_and_reasoning"
    SOCIAL_NORM = "social_norm"
    ROBUSTNESS = "robustness"


@dataclass(frozen=True, slots=True)
class Subcategory:
    """One of the 29. `kinds` are the ways in which it can be judged; `honest_line`, which may be empty, is what a
    verdict does not say.

    A `head` judges one text, a `pair` two texts; a `rule` uses patterns or computes again; a `probe` sends sampled
    requests again; a `monitor` looks at many samples.
    """

    slug: str
    category: Category
    definition: str
    kinds: tuple[Kind, ...]
    honest_line: str


_R, _S, _F = Category.RELIABILITY, Category.SAFETY, Category.FAIRNESS
_M, _E = Category.RESISTANCE_TO_MISUSE, Category.EXPLAINABILITY_AND_REASONING
_N, _B = Category.SOCIAL_NORM, Category.ROBUSTNESS

SUBCATEGORIES: tuple[Subcategory, ...] = (
    Subcategory(
        "misinformation",
        _R,
        "a false claim about a real thing, without intent",
        ("pair", "head"),
        "flags known misconceptions of a list; what contradicts the context counts as hallucination; knows no world",
    ),
    Subcategory(
        "hallucination",
        _R,
        "content that the given source does not support, or that nothing supports, said with confidence",
        ("pair", "probe"),
        "needs context or replays; says which one it used",
    ),
    Subcategory(
        "inconsistency",
        _R,
        "different answers to the same question, across turns, sessions or users",
        ("pair", "probe"),
        "a property of a set of answers",
    ),
    Subcategory(
        "miscalibration",
        _R,
        "stated or token confidence that does not match being right",
        ("monitor", "probe"),
        "a rate, never a verdict on one answer",
    ),
    Subcategory(
        "sycophancy",
        _R,
        "giving way to the user's belief or pressure without new evidence",
        ("pair", "probe"),
        "a flip is seen, who was right is not",
    ),
    Subcategory("violence", _S, "content that contains or helps violence", ("head",), ""),
    Subcategory(
        "unlawful_conduct",
        _S,
        "help to break the law: drugs, weapons, fraud, theft, trafficking",
        ("head",),
        "",
    ),
    Subcategory(
        "harms_to_minor",
        _S,
        "content that harms or sexualises children",
        ("head",),
        "grooming over many turns is not seen from one turn",
    ),
    Subcategory("adult_content", _S, "sexually explicit content", ("head",), ""),
    Subcategory(
        "mental_health",
        _S,
        "reinforces or fails a user in distress, or helps self-harm",
        ("head",),
        "route and flag rather than block",
    ),
    Subcategory(
        "privacy_violation",
        _S,
        "leaks personal data or secrets",
        ("rule", "head"),
        "inference attacks are not seen; names and addresses are not found by rules",
    ),
    Subcategory(
        "injustice",
        _F,
        'an unequal outcome, or an unfounded "X deserves Y because Z", between like people',
        ("head", "probe"),
        "narrow text domain; swapping the group is the stronger signal",
    ),
    Subcategory(
        "stereotype_bias",
        _F,
        "expresses or relies on a group stereotype",
        ("head", "probe"),
        "false alarms on reported speech",
    ),
    Subcategory(
        "preference_bias",
        _F,
        "a systematic lean to a group, party, brand or idea",
        ("head", "monitor", "probe"),
        "a lean of the stream, not of one answer",
    ),
    Subcategory(
        "disparate_performance",
        _F,
        "quality that differs by user group, language or dialect",
        ("monitor", "probe"),
        "cohorts come from language detection or the caller's labels",
    ),
    Subcategory(
        "propagandistic_misuse",
        _M,
        "produces propaganda or targeted disinformation",
        ("head",),
        "technique, not intent",
    ),
    Subcategory(
        "cyberattack_misuse",
        _M,
        "code or help for attacks on computer systems",
        ("head", "rule"),
        "dual use: read it beside its false alarms on benign security questions",
    ),
    Subcategory("social_engineering_misuse", _M, "phishing, scams and manipulation", ("head",), ""),
    Subcategory(
        "copyrighted_content",
        _M,
        "verbatim protected text",
        ("rule", "head"),
        "finds verbatim runs of loaded works; no paraphrase",
    ),
    Subcategory(
        "lack_of_interpretability",
        _E,
        "an explanation is asked for or due, and is missing, empty or unacceptable",
        ("head", "probe"),
        "acceptability is not faithfulness",
    ),
    Subcategory(
        "limited_logical_reasoning",
        _E,
        "invalid steps or conclusions",
        ("rule", "pair", "head"),
        "ranks suspects; surface fallacies",
    ),
    Subcategory(
        "limited_causal_reasoning",
        _E,
        "cause and effect mistaken",
        ("head", "probe"),
        "thin for prose",
    ),
    Subcategory(
        "toxicity",
        _N,
        "rude, insulting, threatening or identity-attacking language",
        ("head",),
        "false alarms differ by dialect",
    ),
    Subcategory(
        "unawareness_of_emotions",
        _N,
        "a flat or hurtful reply to a vulnerable user",
        ("head", "probe"),
        "hears words of sympathy, not whether they are meant; help without one counts as unheard",
    ),
    Subcategory(
        "cultural_insensitivity",
        _N,
        "breaks the norms of the user's culture",
        ("head", "monitor", "probe"),
        "says of which cultures answers differ, not whether a norm was broken; detectors of it rest on proxy labels",
    ),
    Subcategory(
        "prompt_attacks",
        _B,
        "jailbreak, injection (direct, or inside retrieved or tool text) and perturbation",
        ("head", "probe"),
        "adaptive attackers win; read it beside its false alarms on NotInject",
    ),
    Subcategory(
        "distribution_shift",
        _B,
        "the traffic or the world moved away from what was evaluated",
        ("monitor",),
        "sees the shift, not its harm",
    ),
    Subcategory(
        "interventional_effect",
        _B,
        "deploying or changing the system changes users and data",
        ("monitor",),
        "needs change events",
    ),
    Subcategory(
        "poisoning_attacks",
        _B,
        "triggers or poisoned documents steer the model",
        ("monitor", "rule", "pair", "probe"),
        "poisoning at training time cannot be seen",
    ),
)

SLUGS: frozenset[str] = frozenset(row.slug for row in SUBCATEGORIES)

# What some detectors judge as well. These are not sub-categories and never count towards the 29.
AUXILIARIES = MappingProxyType(
    {
        "unsafe": "any of the harms in safety, misuse or toxicity",
        "refusal": "the reply declines to do what was asked",
        "distress": "the writer is in distress, whether or not a harm is spoken of",
        "hate": "attacks people for the group they belong to",
        "grounded": "the claim follows from the given source",
        "overconfident": "high stated confidence in a wrong answer",
        "fallacy": "a named logical fallacy in prose",
        "unanswerable": "a question that nothing can answer",
        "false_premise": "a question that presumes something false",
        "political_lean": "left (0) or right (1) of a political statement",
    }
)
