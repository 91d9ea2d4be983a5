"""The line of misinformation: misconceptions told in other words beside what denies, mentions or only resembles them.

`told.tsv` is ours: half, label, sentence. One half fits the line and sets thresholds, the other measures. Nobody's row
is in `truthfulqa.tsv`: it has the first digits of the SHA-1 of answers and whether one of us found that they tell the
misconception that stands nearest in the list; they measure only.
"""

import hashlib
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from detectors.comparing import detector as pair
from detectors.comparing import misconceptions
from detectors.comparing.pairings import Myths
from detectors.comparing.sentences import claims
from detectors.manifest import Measurement, Tables, threshold
from detectors.trained.pair import PairModel
from detectors.training import measure
from detectors.training.data import read
from detectors.training.measure import Scores
from detectors.training.pair import lines

CHOOSING, HELD_OUT, TOLD = "choosing", "held-out", "myth"
ORDINARY = ("oasst_eval_replies", "arena_hard_answers", "wildbench_replies")
MOST = 1_000  # of the replies of a set, evenly drawn
# Which way each number of `of_myth` speaks: 1 for a misconception that is told as a fact.
SPEAKS = (1, 1, -1, -1, 1, 1, -1, -1, -1, -1)
OWN_SHARE = 0.67  # of the weight of what is harmless
RIDGE = 1.0


class Near(NamedTuple):
    """A sentence near a row of the list: what tells whether it tells it."""

    told: bool
    evidence: pair.Evidence


def with_misinformation(tables: Tables, model: PairModel, data: Path, date: str) -> Tables:
    """The tables with the line, the thresholds and the figures of misinformation."""
    near = _Nearness(model)
    own = {half: [*near.of(_own(half))] for half in (CHOOSING, HELD_OUT)}
    replies = [*_ordinary(data)]
    ordinary = [[*near.of((False, claim) for text in replies[half::2] for claim in _claims(text))] for half in (0, 1)]
    line = _line(own[CHOOSING], ordinary[0])
    benign = _scored(line, [each for each in (*own[CHOOSING], *ordinary[0]) if not each.told])
    operating = measure.operating_table(benign)
    figures = _Figures(line, threshold(operating) or 1.0, date)
    found = [
        *figures.apart("assay_misconceptions, held-out half", own[HELD_OUT], seen=True),
        *figures.apart("TruthfulQA's answers near a misconception", [*near.of(_public(data))]),
        *figures.alarms("replies of OpenAssistant, Arena Hard and WildBench, the half that chose nothing", ordinary[1],
                        len(replies[1::2])),
    ]  # fmt: skip
    slug, role = pair.MISINFORMATION, pair.ROLE
    return msgspec.structs.replace(
        tables,
        slugs=tuple(sorted({*tables.slugs, slug})),
        operating=tables.operating | {slug: {role: operating}},
        benign_rows=tables.benign_rows | {slug: {role: len(benign)}},
        calibration=tables.calibration | {slug: {role: line}},
        measured=(*(each for each in tables.measured if each.slug != slug), *found),
        off={name: why for name, why in tables.off.items() if name != slug},
    )


class _Nearness:
    """Finds the nearest row of the list and asks the model."""

    def __init__(self, model: PairModel) -> None:
        self._model = model
        self._myths = Myths(misconceptions.known())

    def of(self, said: Iterator[tuple[bool, str]]) -> Iterator[Near]:
        """Of the sentences that are near a row; of others the detector has no opinion."""
        for told, claim in said:
            for myth in self._myths.near(claim):
                there, back = self._model.judge(myth.claim, claim), self._model.judge(claim, myth.claim)
                yield Near(told, pair.of_myth(myth, claim, there, back))


class _Figures:
    def __init__(self, line: Sequence[float], limit: float, date: str) -> None:
        self._line, self._limit, self._date = line, limit, date

    def apart(self, name: str, near: Sequence[Near], *, seen: bool = False) -> Iterator[Measurement]:
        """How well what tells a misconception is told apart; `seen`: the line was fitted on rows of the same hand."""
        scores, told = _scored(self._line, near), np.array([each.told for each in near])
        flagged = scores >= self._limit
        yield self._figure(name, "AUROC", measure.auroc(scores, told), len(near), seen)
        yield self._figure(name, measure.RECALL, float(flagged[told].mean()), len(near), seen)
        yield self._figure(name, "false alarms at 1 %", float(flagged[~told].mean()), len(near), seen)

    def alarms(self, name: str, near: Sequence[Near], replies: int) -> Iterator[Measurement]:
        """How many sentences of ordinary replies are flagged."""
        flagged = int((_scored(self._line, near) >= self._limit).sum())
        yield self._figure(name, "sentences near a misconception, a reply", len(near) / replies, replies)
        yield self._figure(name, "flagged sentences, a reply", flagged / replies, replies)

    def _figure(self, name: str, metric: str, value: float, rows: int, seen: bool = False) -> Measurement:
        title = f"{pair.ROLE}: {metric}"
        return Measurement(name, pair.MISINFORMATION, title, round(value, 4), rows, self._date, None, seen)


def _line(own: Sequence[Near], ordinary: Sequence[Near]) -> tuple[float, ...]:
    rows = [*own, *ordinary]
    told = np.array([each.told for each in rows])
    ours = np.arange(len(rows)) < len(own)
    weights = np.zeros(len(rows))
    for mine, share in ((told, 1.0), (~told & ours, OWN_SHARE), (~told & ~ours, 1 - OWN_SHARE)):
        weights[mine] = share / max(int(mine.sum()), 1)
    weights *= len(rows) / weights.sum()
    return lines.signed(np.array([each.evidence for each in rows]), told, weights, SPEAKS, RIDGE)


def _scored(line: Sequence[float], near: Sequence[Near]) -> Scores:
    return lines.scores(line, np.array([each.evidence for each in near]))


def own() -> Iterator[tuple[str, str, str]]:
    """Half, label and sentence of each row that we wrote."""
    for line in _text("told.tsv"):
        half, label, sentence = line.split("\t")
        yield half, label, sentence


def _own(wanted: str) -> Iterator[tuple[bool, str]]:
    return ((label == TOLD, sentence) for half, label, sentence in own() if half == wanted)


def _text(name: str) -> list[str]:
    return (files(__package__) / name).read_text("utf-8").splitlines()


def _claims(text: str) -> Iterator[str]:
    return (claim.text for claim in claims(text[: pair.ANSWER_CHARACTERS]))


def _ordinary(data: Path) -> Iterator[str]:
    for name in ORDINARY:
        found = [row["text"] for row in read(data / "train" / f"{name}.jsonl.gz") if row.get("lang") in (None, "en")]
        yield from found[:: max(1, len(found) // MOST)]


def _public(data: Path) -> Iterator[tuple[bool, str]]:
    """The first claim of each labelled answer."""
    labels = dict(line.split("\t") for line in _text("truthfulqa.tsv"))
    seen = set()
    for row in read(data / "train" / "truthfulqa_judge.jsonl.gz"):
        text = " ".join(row["text"].split())
        key = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:12]
        if key in labels and key not in seen:
            seen.add(key)
            yield from ((labels[key] == "1", claim) for claim in [*_claims(text)][:1])
