"""What goes with the multilingual encoder: lines, thresholds and figures a language."""

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from detectors.base import Judgement, OperatingTable, Role, Text
from detectors.manifest import DEFAULT_FALSE_ALARMS, Measurement, Tables, threshold
from detectors.trained.encoder import Multilingual
from detectors.trained.languages import MANY_LANGUAGES, groups
from detectors.trained.networks import Network
from detectors.training.benign import HALVES, Half
from detectors.training.data import BOTH, HEADS, read
from detectors.training.evidence import Fitted
from detectors.training.measure import RATES, RECALL, SUPPORT, Scores, auroc, average_precision, f1, scores_in
from detectors.training.multilingual.rows import everyday
from detectors.training.public_sets import CATEGORIES, SOME, Benchmark
from detectors.training.tables import BENIGN, DEV, LEFT_OUT, MIN_UNSEEN_AUROC

NAME = "encoder-multilingual"
EVERYDAY = "harmless texts that we wrote in twenty languages, the half that chose nothing"
ALARMS = "false alarms at 1 %"
BY_LANGUAGE = ("Multilingual HateCheck, ", "RTP-LX, ")  # how sets of `public_sets.BENCHMARKS` in one language begin
Detect = Callable[[Sequence[Text]], list[Judgement]]


class Unswitched(Multilingual):
    """Reads every text in scripts that it knows, as if all were in languages for it: what is measured."""

    def _part(self, text: str) -> str | None:
        return self._scripts.readable_part(text)


def everyday_texts(half: Half, role: Role) -> tuple[list[str], list[Text]]:
    """The language of each text, and the texts as they stand on one side of an exchange."""
    found = [(language, Text(text, role)) for language, texts in everyday(half).items() for text in texts]
    return [language for language, _ in found], [text for _, text in found]


def operating(fitted: Fitted, network: Network) -> dict[str, dict[Role, OperatingTable]]:
    """Thresholds by rate: the higher of what benign rows of left-out sources ask for and what everyday texts in other
    languages do, these at the lowest rate that they support where a lower one is asked."""
    out: dict[str, dict[Role, OperatingTable]] = {}
    for role in BOTH:
        logits = network.score(everyday_texts(HALVES[0], role)[1]).logits
        read_at_all = ~np.isnan(logits[:, 0])
        for slug, by_role in fitted.calibration.items():
            if role in by_role:
                slope, offset = by_role[role]
                own = _chance(logits[read_at_all, list(HEADS).index(slug)] * slope + offset)
                rest = _chance(fitted.odds[slug][role][fitted.found[role].benign(slug)])
                out.setdefault(slug, {})[role] = _higher(own, rest)
    return out


def _higher(own: Scores, rest: Scores) -> OperatingTable:
    table = []
    for rate in RATES:
        if rate * len(rest) >= SUPPORT:
            limits = (_limit(each, rate) for each in (own, rest))
            table.append((rate, max(limits)))
    return tuple((rate, score) for rate, score in table if score < 1)


def _limit(benign: Scores, rate: float) -> float:
    falling = np.sort(benign)[::-1]
    allowed = max(math.floor(rate * len(falling) + 1e-9), SUPPORT)
    return math.nextafter(float(falling[min(allowed, len(falling) - 1)]), 2.0)


def _chance(odds: Scores) -> Scores:
    chance: Scores = 1 / (1 + np.exp(-np.clip(odds, -40, 36)))
    return chance


def everyday_figures(detect: Detect, tables: Tables, date: str) -> Iterator[Measurement]:
    """The share of the other half of the everyday texts that each head flags at the default point, by language too."""
    for role in BOTH:
        languages, texts = everyday_texts(HALVES[1], role)
        judged = detect(texts)
        for slug in tables.slugs:
            limit = threshold(tables.operating[slug].get(role, ()), DEFAULT_FALSE_ALARMS)
            if limit is not None:
                flagged = scores_in(judged, slug) >= limit
                yield _alarms(slug, role, "all languages", flagged, date)
                for language in dict.fromkeys(languages):
                    mine = flagged[[each == language for each in languages]]
                    yield _alarms(slug, role, language, mine, date)


def _alarms(slug: str, role: Role, where: str, flagged: Any, date: str) -> Measurement:
    value = round(float(flagged.mean()), 4)
    return Measurement(f"{EVERYDAY}: {where}", slug, f"{role}: {ALARMS}", value, len(flagged), date)


def of_language(language: str) -> Callable[[Mapping[str, Any]], bool]:
    """Rows in this language."""
    return lambda row: row["lang"] == language


_CATEGORIES = tuple(slug for slug in CATEGORIES if slug != "cyberattack_misuse")  # as BeaverTails has them
_BOTH_KINDS = ("zh", "th", "bn")  # that MultiJail and MGSM share
# Beside what `public_sets.BENCHMARKS` has in other languages.
TRANSLATED: tuple[Benchmark, ...] = tuple(
    Benchmark(
        f"BeaverTails 30k test, {language}", "beavertails_30k_test", slug, "response", slug, of_language(language), SOME
    )
    for language in ("de", "es", "fr")
    for slug in ("unsafe", *_CATEGORIES)
)


def against_harmless(detect: Detect, tables: Tables, data: Path, date: str) -> Iterator[Measurement]:
    """Sets that have harmful rows only, against harmless rows in the same languages: MultiJail against questions of
    MGSM, injections of CyberSecEval against NotInject's prompts, AILuminate's French prompts by category and others
    against our everyday texts."""
    jail, maths = (list(read(data / "eval" / f"{name}.jsonl.gz")) for name in ("multijail", "mgsm"))
    for language in _BOTH_KINDS:
        harmful, asked = (
            [Text(row["text"], "prompt") for row in rows if row["lang"] == language] for rows in (jail, maths)
        )
        yield from _contrast(f"MultiJail against MGSM, {language}", "unsafe", detect, tables, harmful, asked, date)
    languages, harmless = everyday_texts(HALVES[1], "prompt")
    attacks = [row for row in read(data / "eval" / "cyberseceval_prompt_injection.jsonl.gz") if row["lang"] != "en"]
    texts = [Text(row["text"], "prompt") for row in attacks]
    asked = [Text(row["text"], "prompt") for row in read(data / "eval" / "notinject.jsonl.gz")]
    alike = [text for text in asked if groups(text.text) == {MANY_LANGUAGES}]
    title = "CyberSecEval injections in other languages against NotInject's harmless prompts in such"
    yield from _contrast(title, "prompt_attacks", detect, tables, texts, alike, date)
    demo = [row for row in read(data / "eval" / "ailuminate_demo.jsonl.gz") if row["lang"] == "fr"]
    for slug in tables.slugs:
        if mine := [Text(row["text"], "prompt") for row in demo if row["labels"].get(slug) == 1]:
            title = "AILuminate in French against harmless texts"
            yield from _contrast(title, slug, detect, tables, mine, harmless, date)
    for language in ("it", "vi", "ar", "ko"):
        mine = [Text(row["text"], "prompt") for row in jail if row["lang"] == language]
        own = [text for each, text in zip(languages, harmless, strict=True) if each == language]
        title = f"MultiJail against our harmless texts, {language}"
        yield from _contrast(title, "unsafe", detect, tables, mine, own, date)


def _contrast(
    title: str,
    slug: str,
    detect: Detect,
    tables: Tables,
    harmful: Sequence[Text],
    harmless: Sequence[Text],
    date: str,
) -> Iterator[Measurement]:
    if slug not in tables.operating:
        return
    scores = scores_in(detect([*harmful, *harmless]), slug)
    labels = np.arange(len(scores)) < len(harmful)
    limit = threshold(tables.operating[slug]["prompt"])
    figures = {
        "AUROC": auroc(scores, labels),
        "average precision": average_precision(scores, labels),
        "F1 at score 0.5": f1(scores >= 0.5, labels),
    }
    if limit is not None:
        figures |= {RECALL: float((scores[labels] >= limit).mean()), ALARMS: float((scores[~labels] >= limit).mean())}
    for metric, value in figures.items():
        yield Measurement(title, slug, f"prompt: {metric}", round(value, 4), len(scores), date)


def in_other_languages(tables: Tables) -> Tables:
    """With only those figures that were taken on other languages, which alone say whether a head carries there.

    Of a head that carries in less than half of the languages that it was measured in, what is below the limit: a good
    figure in one of them says nothing of the rest.
    """
    there = [
        msgspec.structs.replace(item, seen=False)  # what may have been shown in training was in English
        for item in tables.measured
        if _language(item) not in ("", "en")
    ]
    best: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for item in there:
        if item.metric.endswith(": AUROC"):
            found = best[item.slug]
            found[_language(item)] = max(item.value, found.get(_language(item), 0.0))
    narrow = {slug for slug, found in best.items() if statistics.median(found.values()) < MIN_UNSEEN_AUROC}
    kept = [item for item in there if item.slug not in narrow or item.value < MIN_UNSEEN_AUROC]
    return msgspec.structs.replace(tables, measured=tuple(kept))


def _language(item: Measurement) -> str:
    """Of the rows of a figure, as its set's name tells: empty where they are in English, "many" where in several."""
    if item.set.startswith((LEFT_OUT, DEV, BENIGN)):
        return ""
    if "in French" in item.set:
        return "fr"
    last = item.set.rpartition(", ")[2]
    return last if len(last) == 2 else "many"  # an ISO 639-1 code
