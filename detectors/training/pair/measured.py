"""What the pair detector scores: its lines and thresholds on held-out rows, its figures on the public sets.

Nothing is chosen on the public sets. Big ones are thinned evenly to `most` rows.
"""

import math
import random
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from detectors.base import Text, Turn
from detectors.comparing import detector as pair
from detectors.comparing.nearness import Passages, overlap
from detectors.comparing.pairings import Pairing, sourced
from detectors.comparing.sentences import Sentence, sentences
from detectors.manifest import DataSet, DetectorInfo, Measurement, Tables, threshold
from detectors.trained.pair import HEADS, Logits, PairModel
from detectors.training import measure
from detectors.training.data import SHIPPABLE, manifest, read
from detectors.training.measure import Labels, Scores
from detectors.training.pair import edits, lines, myths, rows
from detectors.training.pair.rows import Pair
from detectors.training.tables import LEFT_OUT

ROLE = pair.ROLE
TRIPLES = 3  # claims in the benign answers that thresholds are measured on
SHRUNK = 0.2  # a row, the pull of the line to zero: several of its numbers say nearly the same
OF_LEFT_OUT = 2.0  # weight of a source that the model does not know
MOST_DEV = 260  # rows of a set that fit the line; of what is left out, all
# What looks like an answer and its source: the line of hallucination is fitted on these.
SOURCED = frozenset({*rows.LEFT_OUT, edits.SET, edits.CONCLUSIONS, "q2_wow", "foolmetwice_devtest"})
# One sentence beside another: what the thresholds of contradictions are measured on.
STATED = frozenset({"snli_devtest", "cad_nli", "conjnli", "foolmetwice_devtest"})
# Which way each number of `of_source` speaks: 1 for a claim that the source does not hold.
SPEAKS = (-1, -1, 1, -1, -1, 1, -1, -1, -1, 1, 1, 1, 1, 1, 1)
# By hand, so that no set that measures them was used: log-odds of a contradiction, words in common, and the others.
BY_HAND: Mapping[str, tuple[float, ...]] = {
    pair.INCONSISTENCY: (1.0, 1.0, 1.0, -2.5),
    pair.SYCOPHANCY: (0.4, 2.0, -1.5, 0.0),
    pair.REASONING: (1.0, 1.0, 1.0, -2.5),
}


class Public(NamedTuple):
    """A public set: how a row becomes an answer with its turns; the slug applies where `label` has this `value`."""

    title: str
    file: str
    slug: str
    label: str
    turns: Callable[[Mapping[str, Any]], tuple[Turn, ...]]
    most: int
    value: int = 1
    where: Callable[[Mapping[str, Any]], bool] = bool


def _source(row: Mapping[str, Any]) -> tuple[Turn, ...]:
    return (Turn("retrieved", row["context"] or ""),)


def _given(row: Mapping[str, Any]) -> tuple[Turn, ...]:
    return (Turn("given", row["context"] or ""),)


def _earlier(row: Mapping[str, Any]) -> tuple[Turn, ...]:
    return (Turn("assistant", row["context"]),)


def _alone(_row: Mapping[str, Any]) -> tuple[Turn, ...]:
    return (Turn("user", ""),)


def _talk(row: Mapping[str, Any]) -> tuple[Turn, ...]:
    parts = re.split(r"(?:^|\n)(User|Assistant): ", row["context"] or "")
    return tuple(Turn(who.lower(), said.strip()) for who, said in zip(parts[1::2], parts[2::2], strict=True))


def _of_no_training_source(row: Mapping[str, Any]) -> bool:
    return not row["original_split"].startswith("snli")


def _grounded(title: str, file: str, most: int, turns: Callable[[Any], tuple[Turn, ...]] = _source) -> Public:
    return Public(title, file, pair.HALLUCINATION, "grounded", turns, most, value=0)


PUBLIC: tuple[Public, ...] = (
    _grounded("SummEdits", "summedits", 600),
    _grounded("BEGIN", "begin", 600, _given),
    _grounded("QAGS", "qags", 700),
    _grounded("WiCE test", "wice", 400),
    _grounded("FEVER-symmetric", "fever_symmetric", 700),
    _grounded("VitaminC", "vitaminc", 700),
    _grounded("HaluEval QA", "halueval_qa_1k", 300, _given),
    Public("BIG-bench fact checker", "bigbench_fact_checker", pair.MISINFORMATION, "misinformation", _alone, 500),
    Public("BECEL test without SNLI", "becel", pair.INCONSISTENCY, "inconsistency", _earlier, 600,
           where=_of_no_training_source),
    Public("SYCON-Bench test", "sycon_bench", pair.SYCOPHANCY, "sycophancy", _talk, 200),
    Public("BIG-bench hard chains", "bbh_cot", pair.REASONING, "limited_logical_reasoning", _alone, 160),
)  # fmt: skip
# Answers of a sentence and more: what is known of them while they grow.
GROWING, SEEN_WORDS = frozenset({"SummEdits", "QAGS"}), (8, 16, 32)
MEAN_OF = ("BEGIN", "QAGS", "WiCE test", "FEVER-symmetric", "VitaminC")
# The model was not trained on this source, but its line and thresholds were fitted on other rows of it.
SEEN = frozenset({"WiCE test"})


def held_out(data: Path, found: Sequence[Pair], rng: random.Random) -> list[Pair]:
    """The rows that trained nothing: of each training set some, and the sets that are left out."""
    out = [each for name, most in rows.LEFT_OUT.items() for each in rows.of_set(data, name, most, rng)]
    for own in rows.by_set(each for each in found if each.dev).values():
        out += own[:MOST_DEV]
    return out


def unmoved(data: Path, rng: random.Random, most: int = 260) -> list[Text]:
    """Answers that stood by what was said, which nothing here was fitted on: for the thresholds of sycophancy."""
    found = [row for row in read(data / "train" / "sycon_bench.jsonl.gz") if row["labels"].get("sycophancy") == 0]
    return [Text(row["text"], ROLE, None, _talk(row)) for row in rng.sample(found, most)]


def fitted(model: PairModel, data: Path, found: Sequence[Pair], answers: Sequence[Text], date: str) -> Tables:
    """The line of hallucination, and every threshold on benign rows.

    `answers` are benign for sycophancy; for the others benign answers are TRIPLES claims of benign pairs.
    """
    own = [each for each in found if each.set in SOURCED]
    evidence = np.array([_of_source(model, each) for each in own])
    labels = np.array([each.grounded == 0 for each in own])
    line = _line(evidence, labels, [each.set for each in own])
    scores = lines.scores(line, evidence)
    stated = [each for each in found if each.set in STATED and each.nli in (0, 1)]
    against = np.array([pair.of_contradiction(_pairing(each), _judged(model, each)) for each in stated])
    benign = {
        slug: _triples(lines.scores(by_hand, against)) for slug, by_hand in BY_HAND.items() if slug != pair.SYCOPHANCY
    }
    benign |= {pair.HALLUCINATION: _triples(scores[~labels]), pair.SYCOPHANCY: _unmoved(model, answers)}
    every = {pair.HALLUCINATION: line, **BY_HAND}
    tables = Tables(
        slugs=tuple(every),
        heads=HEADS,
        operating={slug: {ROLE: measure.operating_table(benign[slug])} for slug in every},
        benign_rows={slug: {ROLE: len(benign[slug])} for slug in every},
        rates={},
        calibration={slug: {ROLE: line} for slug, line in every.items()},
        measured=tuple(_held_out_figures(evidence, labels, [each.set for each in own], date)),
        labels=tuple(sorted(pair.LABELS.values())),
    )
    return myths.with_misinformation(tables, model, data, date)


def _held_out_figures(evidence: Scores, labels: Labels, sets: Sequence[str], date: str) -> Iterator[Measurement]:
    """On rows that trained nothing: each set by a line that was fitted on the others."""
    for name in sorted(set(sets)):
        mine = np.array([own == name for own in sets])
        line = _line(evidence[~mine], labels[~mine], [own for own in sets if own != name])
        value = round(measure.auroc(lines.scores(line, evidence[mine]), labels[mine]), 3)
        title = f"{LEFT_OUT}: {name}" if name in rows.LEFT_OUT else f"{name}, held-out rows"
        metric = "AUROC" if name in rows.LEFT_OUT else "AUROC by a line that was fitted without it"
        yield Measurement(title, pair.HALLUCINATION, f"{ROLE}: {metric}", value, int(mine.sum()), date, None,
                          name not in rows.LEFT_OUT)  # fmt: skip


def _unmoved(model: PairModel, answers: Sequence[Text]) -> Scores:
    """The scores of the answers that there is an opinion on."""
    slug = pair.SYCOPHANCY
    info = DetectorInfo(
        "pair", "0", "pair", frozenset({slug}), HEADS, None, "", (), {}, {}, {}, {(slug, ROLE): BY_HAND[slug]}, ()
    )
    judged = pair.PairDetector(info, model).detect(answers)
    return np.array([verdict.score for each in judged for verdict in each.verdicts])


def _of_source(model: PairModel, each: Pair) -> pair.Evidence:
    """As the detector sees a claim and its source."""
    passages = Passages([sentence.text for sentence in sentences(each.source)])
    found = sourced(passages, Sentence(each.claim, 0, len(each.claim)))
    return pair.of_source(found, model.judge(found.premise, each.claim), model.judge(found.nearest, each.claim))


def _judged(model: PairModel, each: Pair) -> Logits:
    return model.judge(each.premise, each.claim)


def _pairing(each: Pair) -> Pairing:
    return Pairing(each.premise, Sentence(each.claim, 0, len(each.claim)), overlap(each.claim, each.premise))


def _line(evidence: Scores, labels: Labels, sets: Sequence[str]) -> tuple[float, ...]:
    """Each set weighs the same, and in it both classes. What speaks against its own meaning, because others say nearly
    the same, is left out: on sources that nothing was fitted on it would mislead."""
    weights = np.zeros(len(labels))
    for name in set(sets):
        for side in (True, False):
            mine = np.array([own == name for own in sets]) & (labels == side)
            weights[mine] = (OF_LEFT_OUT if name in rows.LEFT_OUT else 1.0) / max(mine.sum(), 1)
    weights *= len(labels) / weights.sum()
    return lines.signed(evidence, labels, weights, SPEAKS, shrink=SHRUNK * len(labels))


def _triples(benign: Scores) -> Scores:
    """The highest score of every three: what a benign answer of so many claims scores."""
    shuffled = np.random.default_rng(5).permutation(np.tile(benign, TRIPLES))
    highest: Scores = shuffled[: len(shuffled) // TRIPLES * TRIPLES].reshape(-1, TRIPLES).max(axis=1)
    return highest


def public(
    model: PairModel, info: DetectorInfo, data: Path, date: str, slugs: Collection[str] = pair.SLUGS
) -> Iterator[tuple[Public, list[Measurement]]]:
    """Set by set its figures, of these sub-categories."""
    for item in (each for each in PUBLIC if each.slug in slugs):
        found = _rows(item, data)
        texts = [Text(row["text"], ROLE, None, item.turns(row)) for row in found]
        labels = np.array([row["labels"][item.label] == item.value for row in found])
        told = _told(model, info, item, texts)
        scores = _or_half(told)
        lengths = np.array([float(len(text.text)) for text in texts])
        limit = threshold(info.operating.get((item.slug, ROLE), ()))
        figures = list(_figures(scores, labels, limit))
        figures.append(("share of rows with an opinion", sum(score is not None for score in told) / len(told)))
        if item.title in GROWING:
            figures += _growing(model, info, item, texts, labels)
        length = round(measure.auroc(lengths, labels), 3)
        yield (
            item,
            [
                Measurement(
                    item.title, item.slug, f"{ROLE}: {name}", round(value, 4), len(found), date,
                    length if name == "AUROC" else None, item.title in SEEN,
                )
                for name, value in figures
            ],
        )  # fmt: skip


def _rows(item: Public, data: Path) -> list[dict[str, Any]]:
    raw = read(data / "eval" / f"{item.file}.jsonl.gz")
    found = [row for row in raw if item.label in row["labels"] and item.where(row)]
    return found[:: max(1, math.ceil(len(found) / item.most))]


def _told(model: PairModel, info: DetectorInfo, item: Public, texts: Sequence[Text]) -> list[float | None]:
    judged = pair.PairDetector(replace(info, slugs=frozenset({item.slug})), model).detect(texts)
    return [next((v.score for v in each.verdicts if v.slug == item.slug), None) for each in judged]


def _or_half(told: Sequence[float | None]) -> Scores:
    return np.array([0.5 if score is None else score for score in told])


def _growing(
    model: PairModel, info: DetectorInfo, item: Public, texts: Sequence[Text], labels: Labels
) -> Iterator[tuple[str, float]]:
    """The answers judged when so much of them has been seen; one that has ended stays as it is."""
    for words in SEEN_WORDS:
        cut = [replace(text, text=first_words(text.text, words)) for text in texts]
        yield f"AUROC after {words} words", measure.auroc(_or_half(_told(model, info, item, cut)), labels)


def first_words(text: str, words: int) -> str:
    """The text up to the end of so many words, as it stood; all of one that has fewer."""
    ends = [found.end() for found in re.finditer(r"\S+", text)]
    return text[: ends[words - 1]] if words < len(ends) else text


def _figures(scores: Scores, labels: Labels, limit: float | None) -> Iterator[tuple[str, float]]:
    yield "AUROC", measure.auroc(scores, labels)
    yield "average precision", measure.average_precision(scores, labels)
    at_half = scores >= 0.5
    yield "balanced accuracy at score 0.5", float((at_half[labels].mean() + (~at_half)[~labels].mean()) / 2)
    if limit is not None:
        yield measure.RECALL, float((scores >= limit)[labels].mean())
        yield "false alarms at 1 %", float((scores >= limit)[~labels].mean())


def three_way(model: PairModel, data: Path, date: str, most: int = 600) -> Measurement:
    """ANLI's dev rows, all rounds: how often the likeliest of the three relations is the right one."""
    found = list(read(data / "eval" / "anli_dev.jsonl.gz"))
    found = found[:: max(1, math.ceil(len(found) / most))]
    right = 0
    for row in found:
        premise = rows.premise_of(row["context"], row["text"])
        said = model.judge(premise, row["text"])[:3]
        right += max(range(3), key=said.__getitem__) == row["labels"]["nli"]
    value = round(right / len(found), 4)
    return Measurement("ANLI dev", pair.HALLUCINATION, f"{ROLE}: three-way accuracy", value, len(found), date)


def trained_on(data: Path, found: Sequence[Pair]) -> list[DataSet]:
    """The sets of the pairs with their licences and how many rows of each trained."""
    licences = manifest(data)
    own = rows.by_set(each for each in found if not each.dev)
    return [DataSet(name, _licence(name, licences), len(own[name])) for name in sorted(own)]


def _licence(name: str, licences: Mapping[str, Mapping[str, Any]]) -> str:
    if name not in licences:
        own = sorted({str(licences[each]["licence"]).partition(" (")[0] for each in (*rows.EDITED, *rows.COMPOSED)})
        return f"those of the sets whose texts were changed: {', '.join(own)}; Wikipedia's sentences: CC-BY-SA"
    assert licences[name]["licence_class"] in SHIPPABLE
    return str(licences[name]["licence"])
