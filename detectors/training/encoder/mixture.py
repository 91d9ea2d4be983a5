"""How often each source is shown in training: by domain, and within a domain so that no source is most of it.

What a source is shown counts in word pieces. Within its domain a source weighs as the square root of its rows, times
the weight below; no source gets more than MOST of all pieces (what it loses goes to the others).
"""

from collections.abc import Mapping
from dataclasses import dataclass

MOST = 0.05
# Within a source rows of one kind weigh as the square root of their number, harmless ones so many times that: much
# harmful text in disguise against little harmless text in the same disguise makes every disguise look harmful.
HARMLESS: Mapping[str, float] = {"wildjailbreak_prompts": 3.0}

# Domain → (share of all word pieces, weights of its sources).
DOMAINS: Mapping[str, tuple[float, Mapping[str, float]]] = {
    "prompts": (
        0.27,
        {
            "aart": 0.6,
            "awesome_prompts_2026": 1.0,
            "awesome_chatgpt_prompts": 1.0,
            "cyberseceval_code_tasks": 0.6,
            "cyberseceval_frr": 1.5,
            "cysecbench": 0.4,
            "dolly_safety_only": 0.5,
            "gpteacher_roleplay_prompts": 1.2,
            "guardtrain_prompts": 4.0,
            "mlcommons_v05": 0.5,
            "nq_open_queries": 0.6,
            "phtest_prompts": 2.0,
            "smishing5971": 0.5,
            "spamassassin_ham": 0.3,
            "assay_web_texts": 1.2,
            "wildjailbreak_prompts": 2.0,
        },
    ),
    "attacks": (
        0.13,
        {
            "asb_attack_tools": 0.7,
            "assay_frameworks": 1.5,
            "bipia": 1.5,
            "deepset_prompt_injections": 2.0,
            "gptfuzz_templates": 2.0,
            "inthewild_jailbreaks": 2.0,
            "neuralchemy_injection": 1.5,
            "sap200": 0.6,
            "slabs_injection": 1.0,
            "trustllm_misuse": 1.0,
            "xsafety_attacks": 0.3,
        },
    ),
    "replies": (
        0.33,
        {
            "adaptive_attacks": 1.5,
            "aisafetylab_lg3": 2.5,
            "arena_hard_answers": 0.5,
            "bon_jailbreaks": 1.2,
            "caia_safe": 1.0,
            "cipherchat_gpt4judge": 1.0,
            "cipherchat_human": 1.0,
            "counsel_chat": 0.6,
            "derta_malicious": 1.5,
            "diasafety": 1.2,
            "dices990": 1.5,
            "gpteacher_roleplay_responses": 1.0,
            "gptfuzz_responses": 2.5,
            "llm_self_defense": 2.0,
            "llmbar_natural": 0.7,
            "pandalm_testset": 0.7,
            "refusal_direction_completions": 2.5,
            "shadow_benign": 0.8,
            "shadow_harmful": 1.2,
            "wildbench_replies": 0.5,
            "wildjailbreak_responses": 1.5,
        },
    ),
    "posts": (
        0.14,
        {
            "convabuse": 1.2,
            "davidson": 0.6,
            "edos": 1.2,
            "hatemoji_build": 1.0,
            "hatexplain": 0.8,
            "implicit_hate_safenlp": 1.0,
            "rtp_silver": 1.5,
            "sbic_devtest": 1.0,
            "surge_toxicity": 1.5,
            "toxic_spans_civil": 1.0,
            "toxigen_demos": 1.5,
            "vicomtech_stormfront": 1.0,
        },
    ),
    "other heads": (
        0.13,
        {
            "anthropic_political": 0.4,
            "assay_synthetic": 2.0,
            "cssrs500": 1.5,
            "decodingtrust_stereotype": 0.5,
            "ecare": 0.2,
            "ethics_justice": 0.6,
            "explanation_acceptability": 0.6,
            "goemotions": 0.8,
            "gsm8k_llm_solutions": 0.2,
            "redditbias": 0.8,
            "stereoset": 0.8,
            "sycon_bench": 0.4,
            "truthfulqa_judge": 0.4,
            "assay_composed": 2.0,
        },
    ),
}


@dataclass(frozen=True, slots=True)
class Supply:
    """What there is of a source: its rows, and the mean of the word pieces that one draw shows."""

    rows: int
    pieces: float


def draws(supplies: Mapping[str, Supply]) -> dict[str, float]:
    """How often each source is drawn, in parts of 1. Raises KeyError for a source that no domain names."""
    shares = _capped(_shares(supplies))
    draws = {name: share / supplies[name].pieces for name, share in shares.items()}
    total = sum(draws.values())
    return {name: value / total for name, value in draws.items()}


def _shares(supplies: Mapping[str, Supply]) -> dict[str, float]:
    """The share of all pieces of each source, before the cap."""
    out: dict[str, float] = {}
    for share, weights in DOMAINS.values():
        there = {name: weight * supplies[name].rows ** 0.5 for name, weight in weights.items() if name in supplies}
        out |= {name: share * value / sum(there.values()) for name, value in there.items()}
    if unnamed := supplies.keys() - out.keys():
        raise KeyError(f"no domain of mixture.DOMAINS names {sorted(unnamed)}")
    total = sum(out.values())
    return {name: value / total for name, value in out.items()}


def _capped(shares: dict[str, float]) -> dict[str, float]:
    """Shares of at most MOST each; what is above goes to the others in proportion, until none is above."""
    if len(shares) * MOST <= 1:
        return dict.fromkeys(shares, 1 / len(shares))
    full: set[str] = set()
    while over := {name for name, share in shares.items() if share > MOST + 1e-9}:
        full |= over
        rest = sum(share for name, share in shares.items() if name not in full)
        scale = (1 - len(full) * MOST) / rest
        shares = {name: MOST if name in full else share * scale for name, share in shares.items()}
    return shares
