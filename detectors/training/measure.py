"""Figures from scores: ranking metrics, calibration, operating tables, and the public benchmarks."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from detectors.base import Detector, Judgement, OperatingTable, Role, Text
from detectors.manifest import DetectorInfo, Measurement, threshold
from detectors.training.data import read

Scores = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]

RATES = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
OWN_RATES = {0.01: "recall at 1 % of its own false alarms", 0.001: "recall at 0.1 % of its own false alarms"}
RECALL = "recall at 1 % false alarms"
POINTS = 60  # of a drawn curve
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
SUPPORT = 2  # false alarms that a rate must stand for among the benign rows, or it is not tabled


def auroc(scores: Scores, labels: Labels) -> float:
    """Area under the ROC curve, ties counting half; NaN with one class only."""
    positives, negatives = np.sort(scores[labels]), np.sort(scores[~labels])
    if not len(positives) or not len(negatives):
        return math.nan
    below = np.searchsorted(negatives, positives, "left") + np.searchsorted(negatives, positives, "right")
    return float(below.sum() / 2 / len(positives) / len(negatives))


def average_precision(scores: Scores, labels: Labels) -> float:
    """Area under the precision-recall steps, ties taken together."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(labels[order])
    last = np.append(np.diff(scores[order]) != 0, True)
    precision = (hits / np.arange(1, len(hits) + 1))[last]
    recall_steps = np.diff(hits[last], prepend=0) / max(hits[-1], 1)
    return float((precision * recall_steps).sum())


def f1(flagged: Labels, labels: Labels) -> float:
    """F1 of the positive class."""
    return float(2 * (flagged & labels).sum() / max(flagged.sum() + labels.sum(), 1))


def calibration_error(scores: Scores, labels: Labels) -> float:
    """Expected calibration error over ten bins (Naeini et al. 2015), both classes weighing the same."""
    return sum(abs(said - true) * weight for said, true, weight in _bins(scores, labels))


def _bins(scores: Scores, labels: Labels) -> list[tuple[float, float, float]]:
    """(mean score, share of positives, weight) in ten bins of equal weight, both classes weighing the same."""
    weights = np.where(labels, 0.5 / max(labels.sum(), 1), 0.5 / max((~labels).sum(), 1))
    order = np.argsort(scores, kind="stable")
    below = np.cumsum(weights[order])
    edges = [
        scores[order][min(int(np.searchsorted(below, share)), len(scores) - 1)] for share in np.arange(0.1, 1, 0.1)
    ]
    place = np.searchsorted(np.array(edges), scores)  # equal scores share a bin
    out = []
    for number in np.unique(place):
        part = place == number
        weight = float(weights[part].sum())
        said, true = float(scores[part] @ weights[part]), float(weights[part & labels].sum())
        out.append((said / weight, true / weight, weight))
    return out


def platt(logits: Scores, labels: Labels, ridge: float = 1e-9, weights: Scores | None = None) -> tuple[float, ...]:
    """Slopes and, last, the offset of log-odds on one logit [rows] or several [rows, columns]; rows may have weights.

    Newton's method with halved steps on smoothed targets: Lin, Lin and Weng 2007, "A note on Platt's probabilistic
    outputs for support vector machines", algorithm 1.
    """
    positives, negatives = int(labels.sum()), int((~labels).sum())
    target = np.where(labels, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    counts = np.ones(len(labels)) if weights is None else weights
    design = np.column_stack((logits, np.ones(len(labels))))
    line = np.zeros(design.shape[1])
    line[-1] = math.log((positives + 1) / (negatives + 1)) if weights is None else 0.0
    loss = _cross_entropy(design @ line, target, counts)
    for _ in range(100):
        chance = 1 / (1 + np.exp(-np.clip(design @ line, -500, 500)))
        curvature = (design * (counts * chance * (1 - chance))[:, None]).T @ design + np.eye(len(line)) * ridge
        step = np.linalg.solve(curvature, design.T @ (counts * (chance - target)))
        while (tried := _cross_entropy(design @ (line - step), target, counts)) > loss and np.abs(step).max() > 1e-10:
            step /= 2
        if loss - tried < 1e-10 * len(target):
            break
        line, loss = line - step, tried
    return tuple(line.tolist())


def _cross_entropy(odds: Scores, target: Scores, counts: Scores) -> float:
    return float((counts * (np.logaddexp(0, odds) - target * odds)).sum())


def operating_table(benign: Scores, levels: Iterable[float] = ()) -> OperatingTable:
    """For each rate that the benign rows support, the score from which at most that share of them is flagged.

    `levels` are the scores a rule can give: the threshold is then one of them, and a rate none of them meets is left
    out. Otherwise it is the next number above the highest benign score that must not be flagged.
    """
    falling = np.sort(benign)[::-1]
    out = []
    for rate in RATES:
        allowed = math.floor(rate * len(falling) + 1e-9)
        if allowed < SUPPORT:
            continue
        limit = float(falling[allowed])
        above = sorted(level for level in levels if level > limit) if levels else [math.nextafter(limit, 2.0)]
        if above:
            out.append((rate, above[0]))
    return tuple(out)


def scores_of(detector: Detector, texts: Sequence[Text], slug: str) -> Scores:
    """One score a text; a skipped text, or a slug that the detector does not speak of for its role, scores 0."""
    return scores_in(detector.detect(texts), slug)


def scores_in(judged: Sequence[Judgement], slug: str) -> Scores:
    """The scores for a slug, 0 where there is none."""
    return np.array([next((v.score for v in j.verdicts if v.slug == slug), 0.0) for j in judged])


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
Curve = list[tuple[float, float]]


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


def roc(scores: Scores, labels: Labels) -> Curve:
    """(share of the negatives flagged, share of the positives flagged) at up to POINTS thresholds."""
    limits = np.unique(np.quantile(scores, 1 - np.geomspace(1 / len(scores), 1, POINTS)))[::-1]
    return [(float((scores[~labels] >= at).mean()), float((scores[labels] >= at).mean())) for at in limits]


def reliability(scores: Scores, labels: Labels) -> Curve:
    """(mean score, share of positives) in ten bins of equal weight, both classes weighing the same."""
    return [(said, true) for said, true, _ in _bins(scores, labels)]


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
