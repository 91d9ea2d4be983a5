"""The public benchmarks: which rows of which set each figure is measured on, and the figures of a detector on them."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from detectors.base import Judgement, Role, Text
from detectors.manifest import DetectorInfo, Measurement, threshold
from detectors.training.data import read
from detectors.training.measure import RECALL, Curve, Labels, Scores, auroc, average_precision, f1, roc, scores_in

OWN_RATES = {0.01: "recall at 1 % of its own false alarms", 0.001: "recall at 0.1 % of its own false alarms"}
# The benchmarks whose ROC curves are drawn.
DRAWN = frozenset(
    {
        "OpenAI moderation",
        "ToxicChat test",
        "WildGuardTest prompts",
        "WildGuardTest responses",
        "XSTest responses",
        "HarmBench responses",
        "BeaverTails 30k test, English",
    }
)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One figure's data: rows of eval/`file` that `where` keeps and that carry `label`, judged as `role` by `head`.

    Of a big set that is no goal of ours every n-th row, about `most` in all.
    """

    title: str
    file: str
    head: str
    role: Role
    label: str
    where: Callable[[Mapping[str, Any]], bool] = bool
    most: int | None = None


SOME = 1_200  # rows of a big set that is no goal


def _of(field: str, value: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda row: row[field] == value


def _per_head(
    title: str,
    file: str,
    role: Role,
    heads: Iterable[str],
    where: Callable[[Any], bool] = bool,
    most: int | None = None,
) -> list[Benchmark]:
    return [Benchmark(title, file, head, role, head, where, most) for head in heads]


_PROMPT, _REPLY, _ENGLISH = _of("role", "prompt"), _of("role", "response"), _of("lang", "en")
_GUARD = "guardreasoner_bench"
CATEGORIES = (
    "violence",
    "unlawful_conduct",
    "harms_to_minor",
    "adult_content",
    "mental_health",
    "privacy_violation",
    "cyberattack_misuse",
    "toxicity",
    "hate",
)
_MULTILINGUAL_HATECHECK = ("ar", "de", "es", "fr", "hi", "it", "nl", "pl", "pt", "zh")
_MULTIJAIL = ("en", "zh", "it", "vi", "ar", "ko", "th", "bn", "sw", "jv")
_RTP_LX = ("en", "de", "es", "fr")
BENCHMARKS: tuple[Benchmark, ...] = (
    *_per_head("OpenAI moderation", "openai_moderation", "prompt", ("unsafe", *CATEGORIES)),
    Benchmark("ToxicChat test", "toxicchat_test", "unsafe", "prompt", "toxicity"),
    *_per_head("ToxicChat test", "toxicchat_test", "prompt", ("toxicity", "prompt_attacks")),
    *_per_head(
        "WildGuardTest prompts",
        "wildguardtest",
        "prompt",
        ("unsafe", "prompt_attacks", "copyrighted_content", *CATEGORIES),
        _PROMPT,
    ),
    *_per_head("WildGuardTest responses", "wildguardtest", "response", ("unsafe", "refusal", *CATEGORIES), _REPLY),
    *_per_head("XSTest prompts", "xstest", "prompt", ("unsafe", "prompt_attacks")),
    *_per_head("XSTest responses", _GUARD, "response", ("unsafe",), _of("original_split", "xstest_resp_harmful")),
    *_per_head("XSTest responses", _GUARD, "response", ("refusal",), _of("original_split", "xstest_resp_refusal")),
    *_per_head("XSTest completions", "xstest_completions", "response", ("refusal",)),
    *_per_head("HarmBench responses", _GUARD, "response", ("unsafe",), _of("original_split", "harmbench_response")),
    *_per_head("BeaverTails 30k test, English", "beavertails_30k_test", "response", ("unsafe", *CATEGORIES), _ENGLISH),
    *_per_head("SafeRLHF test", _GUARD, "response", ("unsafe",), _of("original_split", "safe_rlhf_test")),
    *_per_head("Aegis test prompts", _GUARD, "prompt", ("unsafe",), _of("original_split", "aegis_test")),
    *_per_head("SimpleSafetyTests", "simplesafetytests", "prompt", ("unsafe",)),
    *_per_head("JailbreakBench behaviours", "jbb_behaviors", "prompt", ("unsafe", "prompt_attacks")),
    *_per_head("StrongREJECT", "strongreject", "prompt", ("unsafe", "prompt_attacks")),
    *_per_head("NotInject", "notinject", "prompt", ("prompt_attacks",)),
    Benchmark("NotInject", "notinject", "unsafe", "prompt", "prompt_attacks"),
    Benchmark(
        "WildGuardTest harmless prompts",
        "wildguardtest",
        "prompt_attacks",
        "prompt",
        "unsafe",
        lambda row: row["role"] == "prompt" and row["labels"].get("unsafe") == 0,
    ),
    *_per_head("BIPIA test", "bipia", "prompt", ("prompt_attacks",)),
    *_per_head("CyberSecEval prompt injection", "cyberseceval_prompt_injection", "prompt", ("prompt_attacks",)),
    *_per_head("HateCheck", "hatecheck", "prompt", ("hate", "toxicity")),
    *_per_head("RTP-LX", "rtp_lx", "prompt", ("toxicity",)),
    *_per_head("ConvAbuse test", "convabuse", "prompt", ("toxicity", "adult_content")),
    *_per_head("Stormfront test", "vicomtech_stormfront", "prompt", ("hate",)),
    *_per_head("EDOS test", "edos", "prompt", ("hate",)),
    *_per_head(
        "DiaSafety test", "diasafety", "response", ("unsafe", "toxicity", "mental_health", "unawareness_of_emotions")
    ),
    *_per_head("EPITOME", "epitome_empathy", "response", ("unawareness_of_emotions",)),
    *_per_head("GPTFuzz responses test", "gptfuzz_responses", "response", ("unsafe",)),
    *_per_head("SMS phishing test", "smishing5971", "prompt", ("social_engineering_misuse",)),
    *_per_head("StereoSet test", "stereoset", "response", ("stereotype_bias",)),
    *_per_head("CrowS-Pairs", "crows_pairs", "response", ("stereotype_bias",), most=SOME),
    *_per_head("ETHICS justice test", "ethics_justice", "response", ("injustice",), most=SOME),
    *_per_head("BABE", "babe", "response", ("preference_bias",)),
    *_per_head("GSM8K solutions test", "gsm8k_llm_solutions", "response", ("limited_logical_reasoning",)),
    *_per_head("BIG-bench hard chains", "bbh_cot", "response", ("limited_logical_reasoning",), most=SOME),
    Benchmark("Fallacies in prose", "logical_fallacy", "limited_logical_reasoning", "response", "fallacy", most=SOME),
    *_per_head("BIG-bench causal", "bigbench_causal", "response", ("limited_causal_reasoning",)),
    *_per_head("XCOPA", "xcopa", "response", ("limited_causal_reasoning",), most=SOME),
    *_per_head(
        "Explanation acceptability test", "explanation_acceptability", "response", ("lack_of_interpretability",)
    ),
    *_per_head("TrustLLM sycophancy", "trustllm_sycophancy", "response", ("sycophancy",)),
    *_per_head("NormDial", "normdial", "response", ("cultural_insensitivity",)),
    *_per_head("BIG-bench fact checker", "bigbench_fact_checker", "response", ("misinformation",), most=SOME),
    *_per_head("SYCON-Bench test", "sycon_bench", "response", ("sycophancy",)),
    *(
        Benchmark(
            f"Multilingual HateCheck, {lang}",
            "multilingual_hatecheck",
            "hate",
            "prompt",
            "hate",
            _of("lang", lang),
            SOME,
        )
        for lang in _MULTILINGUAL_HATECHECK
    ),
    *(Benchmark(f"RTP-LX, {lang}", "rtp_lx", "toxicity", "prompt", "toxicity", _of("lang", lang)) for lang in _RTP_LX),
    *(
        Benchmark(f"MultiJail, {lang}", "multijail", "unsafe", "prompt", "unsafe", _of("lang", lang))
        for lang in _MULTIJAIL
    ),
)
# Training sets that come from where a benchmark's rows come from: its figure then says nothing of other sources.
SOURCES: Mapping[str, tuple[str, ...]] = {
    "BIPIA test": ("bipia",),
    "ConvAbuse test": ("convabuse",),
    "DiaSafety test": ("diasafety",),
    "EDOS test": ("edos",),
    "ETHICS justice test": ("ethics_justice",),
    "Explanation acceptability test": ("explanation_acceptability",),
    "GPTFuzz responses test": ("gptfuzz_responses",),
    "GSM8K solutions test": ("gsm8k_llm_solutions",),
    "RTP-LX": ("rtp_silver",),
    "SMS phishing test": ("smishing5971",),
    "StereoSet test": ("stereoset",),
    "Stormfront test": ("vicomtech_stormfront",),
    "SYCON-Bench test": ("sycon_bench",),
}
# Prompts of which our training sets have others from the same collection or pipeline (guardtrain_prompts mixes rows of
# WildGuardMix, Aegis and ToxicChat; wildjailbreak's adversarial prompts are made as WildGuardTest's): not in-source,
# and not an independent domain either. The cards mark them.
# BEGIN's replies are to Wizard of Wikipedia's turns, as are those of q2_wow.
RELATED = frozenset(
    {"WildGuardTest prompts", "WildGuardTest harmless prompts", "Aegis test prompts", "ToxicChat test", "BEGIN"}
)
# Sentences with made-up personal data, names and addresses among them: what the rules are measured on.
PERSONAL_DATA_BENCHMARKS = (
    Benchmark("Presidio synthetic test", "presidio_synth", "privacy_violation", "response", "privacy_violation"),
)
Detect = Callable[[Sequence[Text]], list[Judgement]]


def benchmarks(
    detect: Detect, info: DetectorInfo, items: Sequence[Benchmark], data: Path, date: str
) -> tuple[list[Measurement], dict[str, Curve]]:
    """The figures of the benchmarks for which `info` has a head, and the ROC curves of those in DRAWN.

    Nothing is chosen on these rows.
    """
    out: list[Measurement] = []
    curves: dict[str, Curve] = {}
    spoken = [item for item in items if (item.head, item.role) in info.operating]
    by_texts: defaultdict[tuple[str, Role], list[Benchmark]] = defaultdict(list)
    for item in spoken:
        by_texts[item.file, item.role].append(item)
    for (file, role), group in tqdm(by_texts.items(), desc=f"benchmarks of {info.name}", mininterval=5):
        rows = _rows(group, read(data / "eval" / f"{file}.jsonl.gz"))
        texts = [text_of(row, role) for row in rows]
        judged = detect(texts)
        for item in group:
            mine = [place for place, row in enumerate(rows) if item.label in row["labels"] and item.where(row)]
            out += _benchmark(item, info, mine, rows, texts, judged, date)
            if item.title in DRAWN and item.head in ("unsafe", "refusal") and mine:
                labels = np.array([rows[place]["labels"][item.label] == 1 for place in mine])
                scores = scores_in([judged[place] for place in mine], item.head)
                curves[f"{item.title}: {item.head}"] = roc(scores, labels)
    return out, curves


def _rows(group: Sequence[Benchmark], found: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows that any of the group wants, thinned evenly for those that want some."""
    wanted: dict[int, Mapping[str, Any]] = {}
    everything = list(found)
    for item in group:
        places = [place for place, row in enumerate(everything) if item.label in row["labels"] and item.where(row)]
        step = math.ceil(len(places) / item.most) if item.most else 1
        wanted |= {place: everything[place] for place in places[:: max(step, 1)]}
    return [wanted[place] for place in sorted(wanted)]


def text_of(row: Mapping[str, Any], role: Role) -> Text:
    """A benchmark's row as a detector gets it: a reply with the prompt before it."""
    return Text(row["text"], role, row["context"] if role == "response" else None)


def _benchmark(
    item: Benchmark,
    info: DetectorInfo,
    mine: Sequence[int],
    rows: Sequence[Mapping[str, Any]],
    texts: Sequence[Text],
    judged: Sequence[Judgement],
    date: str,
) -> list[Measurement]:
    if not mine:
        return []
    labels = np.array([rows[place]["labels"][item.label] == 1 for place in mine])
    scores = scores_in([judged[place] for place in mine], item.head)
    lengths = np.array([float(len(texts[place].text)) for place in mine])
    figures = _figures(scores, labels, lengths, threshold(info.operating[item.head, item.role]))
    trained_on = {entry.set for entry in info.data}
    seen = not trained_on.isdisjoint(SOURCES.get(item.title.partition(",")[0], ()))
    return [
        Measurement(item.title, item.head, f"{item.role}: {metric}", round(value, 4), len(mine), date, length, seen)
        for metric, value, length in figures
    ]


def _figures(
    scores: Scores, labels: Labels, lengths: Scores, flag_from: float | None
) -> list[tuple[str, float, float | None]]:
    out: list[tuple[str, float, float | None]] = []
    if labels.any() and not labels.all():
        length = auroc(lengths, labels)
        out += [
            ("AUROC", auroc(scores, labels), round(length, 3)),
            ("average precision", average_precision(scores, labels), None),
            ("F1 at score 0.5", f1(scores >= 0.5, labels), None),
            ("recall at score 0.5", float((scores[labels] >= 0.5).mean()), None),
        ]
        for rate, name in OWN_RATES.items():
            limit = np.sort(scores[~labels])[::-1][math.floor(rate * (~labels).sum())]
            out.append((name, float((scores[labels] > limit).mean()), None))
    if flag_from is not None:
        flagged = scores >= flag_from
        if labels.any():
            out.append((RECALL, float(flagged[labels].mean()), None))
        if not labels.all():
            out.append(("false alarms at 1 %", float(flagged[~labels].mean()), None))
    if not labels.any():
        out.append(("accuracy at score 0.5", float((scores < 0.5).mean()), None))
    return out
