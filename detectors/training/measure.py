"""Figures from scores: ranking metrics, calibration, operating tables, and the public benchmarks."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.base import Detector, OperatingTable, Role, Text
from detectors.manifest import DetectorInfo, Measurement, threshold
from detectors.training.data import read

Scores = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]

RATES = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
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
    """Expected calibration error over ten bins of equal count (Naeini et al. 2015)."""
    bins = np.array_split(np.argsort(scores, kind="stable"), 10)
    return float(
        sum(abs(scores[part].mean() - labels[part].mean()) * len(part) for part in bins if len(part)) / len(scores)
    )


def platt(logits: Scores, labels: Labels) -> tuple[float, float]:
    """Slope and offset of log-odds on the logit: Newton's method with halved steps on smoothed targets.

    Lin, Lin and Weng 2007, "A note on Platt's probabilistic outputs for support vector machines", algorithm 1.
    """
    positives, negatives = int(labels.sum()), int((~labels).sum())
    target = np.where(labels, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    design = np.stack((logits, np.ones_like(logits)), 1)
    weights = np.array([0.0, math.log((positives + 1) / (negatives + 1))])
    loss = _cross_entropy(design @ weights, target)
    for _ in range(100):
        chance = 1 / (1 + np.exp(-(design @ weights)))
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + np.eye(2) * 1e-9
        step = np.linalg.solve(curvature, design.T @ (chance - target))
        while (tried := _cross_entropy(design @ (weights - step), target)) > loss and np.abs(step).max() > 1e-10:
            step /= 2
        if loss - tried < 1e-10 * len(target):
            break
        weights, loss = weights - step, tried
    return float(weights[0]), float(weights[1])


def _cross_entropy(odds: Scores, target: Scores) -> float:
    return float((np.logaddexp(0, odds) - target * odds).sum())


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
    judged = detector.detect(texts)
    return np.array([next((v.score for v in j.verdicts if v.slug == slug), 0.0) for j in judged])


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One figure's data: rows of eval/`file` that `where` keeps and that carry `label`, judged as `role` by `head`."""

    title: str
    file: str
    head: str
    role: Role
    label: str
    where: Callable[[Mapping[str, Any]], bool] = bool


def _of(field: str, value: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda row: row[field] == value


def _per_head(
    title: str, file: str, role: Role, heads: Iterable[str], where: Callable[[Any], bool] = bool
) -> list[Benchmark]:
    return [Benchmark(title, file, head, role, head, where) for head in heads]


_PROMPT, _REPLY, _ENGLISH = _of("role", "prompt"), _of("role", "response"), _of("lang", "en")
_GUARD = "guardreasoner_bench"
_CATEGORIES = (
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

BENCHMARKS: tuple[Benchmark, ...] = (
    *_per_head("OpenAI moderation", "openai_moderation", "prompt", ("unsafe", *_CATEGORIES)),
    Benchmark("ToxicChat test", "toxicchat_test", "unsafe", "prompt", "toxicity"),
    *_per_head("ToxicChat test", "toxicchat_test", "prompt", ("toxicity", "prompt_attacks")),
    *_per_head("WildGuardTest prompts", "wildguardtest", "prompt", ("unsafe", "prompt_attacks", *_CATEGORIES), _PROMPT),
    *_per_head("WildGuardTest responses", "wildguardtest", "response", ("unsafe", "refusal", *_CATEGORIES), _REPLY),
    *_per_head("XSTest prompts", "xstest", "prompt", ("unsafe", "prompt_attacks")),
    *_per_head("XSTest responses", _GUARD, "response", ("unsafe",), _of("original_split", "xstest_resp_harmful")),
    *_per_head("XSTest responses", _GUARD, "response", ("refusal",), _of("original_split", "xstest_resp_refusal")),
    *_per_head("XSTest completions", "xstest_completions", "response", ("refusal",)),
    *_per_head("HarmBench responses", _GUARD, "response", ("unsafe",), _of("original_split", "harmbench_response")),
    *_per_head("BeaverTails 30k test, English", "beavertails_30k_test", "response", ("unsafe", *_CATEGORIES), _ENGLISH),
    *_per_head("SafeRLHF test", _GUARD, "response", ("unsafe",), _of("original_split", "safe_rlhf_test")),
    *_per_head("Aegis test prompts", _GUARD, "prompt", ("unsafe",), _of("original_split", "aegis_test")),
    *_per_head("SimpleSafetyTests", "simplesafetytests", "prompt", ("unsafe",)),
    *_per_head("MultiJail", "multijail", "prompt", ("unsafe",)),
    *_per_head("StrongREJECT", "strongreject", "prompt", ("unsafe", "prompt_attacks")),
    *_per_head("NotInject", "notinject", "prompt", ("prompt_attacks",)),
    Benchmark("NotInject", "notinject", "unsafe", "prompt", "prompt_attacks"),
    *_per_head("BIPIA test", "bipia", "prompt", ("prompt_attacks",)),
    *_per_head("CyberSecEval prompt injection", "cyberseceval_prompt_injection", "prompt", ("prompt_attacks",)),
    *_per_head("HateCheck", "hatecheck", "prompt", ("hate", "toxicity")),
    *_per_head("Multilingual HateCheck", "multilingual_hatecheck", "prompt", ("hate",)),
    *_per_head("RTP-LX", "rtp_lx", "prompt", ("toxicity",)),
    *_per_head("ConvAbuse test", "convabuse", "prompt", ("toxicity", "adult_content")),
    *_per_head("Stormfront test", "vicomtech_stormfront", "prompt", ("hate",)),
    *_per_head("EDOS test", "edos", "prompt", ("hate",)),
    *_per_head(
        "DiaSafety test", "diasafety", "response", ("unsafe", "toxicity", "mental_health", "unawareness_of_emotions")
    ),
    *_per_head("GPTFuzz responses test", "gptfuzz_responses", "response", ("unsafe",)),
    *_per_head("SMS phishing test", "smishing5971", "prompt", ("social_engineering_misuse",)),
    *_per_head("StereoSet test", "stereoset", "response", ("stereotype_bias",)),
    *_per_head("CrowS-Pairs", "crows_pairs", "response", ("stereotype_bias",)),
    *_per_head("ETHICS justice test", "ethics_justice", "response", ("injustice",)),
    *_per_head("BABE", "babe", "response", ("preference_bias",)),
    *_per_head("GSM8K solutions test", "gsm8k_llm_solutions", "response", ("limited_logical_reasoning",)),
    *_per_head("BIG-bench hard chains", "bbh_cot", "response", ("limited_logical_reasoning",)),
    *_per_head("BIG-bench causal", "bigbench_causal", "response", ("limited_causal_reasoning",)),
    *_per_head("XCOPA", "xcopa", "response", ("limited_causal_reasoning",)),
    *_per_head(
        "Explanation acceptability test", "explanation_acceptability", "response", ("lack_of_interpretability",)
    ),
    *_per_head("BIG-bench fact checker", "bigbench_fact_checker", "response", ("misinformation",)),
    *_per_head("SYCON-Bench test", "sycon_bench", "response", ("sycophancy",)),
)
# Sentences with made-up personal data, names and addresses among them: what the rules are measured on.
PERSONAL_DATA_BENCHMARKS = (
    Benchmark("Presidio synthetic test", "presidio_synth", "privacy_violation", "response", "privacy_violation"),
)


def benchmark(detector: Detector, info: DetectorInfo, item: Benchmark, data: Path, date: str) -> list[Measurement]:
    """The figures of one benchmark; none when `detector` has no head for it. Nothing is chosen on these rows."""
    table = info.operating.get((item.head, item.role))
    rows = [
        row for row in read(data / "eval" / f"{item.file}.jsonl.gz") if item.where(row) and item.label in row["labels"]
    ]
    if table is None or not rows:
        return []
    labels = np.array([row["labels"][item.label] == 1 for row in rows])
    texts = [Text(row["text"], item.role, row["context"] if item.role == "response" else None) for row in rows]
    scores = scores_of(detector, texts, item.head)
    return [
        Measurement(item.title, item.head, f"{item.role}: {metric}", round(value, 4), len(rows), date, length)
        for metric, value, length in _figures(scores, labels, texts, threshold(table))
    ]


def _figures(
    scores: Scores, labels: Labels, texts: Sequence[Text], flag_from: float | None
) -> list[tuple[str, float, float | None]]:
    out: list[tuple[str, float, float | None]] = []
    if labels.any() and not labels.all():
        length = auroc(np.array([float(len(text.text)) for text in texts]), labels)
        out += [
            ("AUROC", auroc(scores, labels), round(length, 3)),
            ("average precision", average_precision(scores, labels), None),
            ("F1 at score 0.5", f1(scores >= 0.5, labels), None),
        ]
    if flag_from is not None:
        flagged = scores >= flag_from
        if labels.any():
            out.append(("recall at 1 % false alarms", float(flagged[labels].mean()), None))
        if not labels.all():
            out.append(("false alarms at 1 %", float(flagged[~labels].mean()), None))
    if not labels.any():
        out.append(("accuracy at score 0.5", float((scores < 0.5).mean()), None))
    return out
