"""A small world of detectors for the tests: names, categories and invented operating tables."""

from policies.compiled import Policy
from policies.compiling import compile_policy
from policies.detectable import Operating, Table
from policies.model import Document
from policies.reading import load_document

CATEGORIES = {
    "safety": (
        "violence",
        "unlawful_conduct",
        "harms_to_minor",
        "adult_content",
        "mental_health",
        "privacy_violation",
    ),
    "resistance_to_misuse": (
        "propagandistic_misuse",
        "cyberattack_misuse",
        "social_engineering_misuse",
        "copyrighted_content",
    ),
    "social_norm": ("toxicity", "unawareness_of_emotions", "cultural_insensitivity"),
    "fairness": ("injustice", "stereotype_bias"),
    "robustness": ("prompt_attacks", "distribution_shift"),
}
TABLE: Table = ((0.001, 0.9), (0.005, 0.7), (0.01, 0.5), (0.05, 0.2))
BOTH = (
    "violence",
    "unlawful_conduct",
    "harms_to_minor",
    "adult_content",
    "mental_health",
    "privacy_violation",
    "propagandistic_misuse",
    "cyberattack_misuse",
    "social_engineering_misuse",
    "toxicity",
    "stereotype_bias",
    "unsafe",
    "hate",
)
ROLES = ("prompt", "response")
OPERATING: Operating = {
    **{("ngram@1", slug, role): TABLE for slug in BOTH for role in ROLES},
    ("ngram@1", "prompt_attacks", "prompt"): TABLE,
    ("ngram@1", "refusal", "response"): TABLE,
    ("ngram@1", "unawareness_of_emotions", "response"): TABLE,
    **{("secrets@2", "privacy_violation", role): ((0.0005, 0.95), (0.01, 0.7)) for role in ROLES},
    **{("pii@1", "privacy_violation", role): () for role in ROLES},
}
HEAD = "version: 1\nmode: enforce\nrules:\n"


def compiled(text: str) -> Policy:
    return with_tables(load_document(text, "p.yaml"))


def with_tables(document: Document) -> Policy:
    return compile_policy(document, categories=CATEGORIES, operating=OPERATING)
