"""How much of a reply must be seen before it is flagged: prefix curves, and thresholds for replies still growing."""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from detectors.base import Judgement, OperatingTable, Role, Text
from detectors.manifest import DetectorInfo, Measurement, threshold
from detectors.training.data import Row
from detectors.training.evidence import MIN_POSITIVES, Evidence, is_unseen
from detectors.training.measure import Scores, operating_table, scores_in

WORDS = (8, 16, 32, 64, 128, 256)  # seen of a reply when it is judged; at last all of it
ROLE: Role = "response"
SET = "held-out replies, judged while they grow"
BENIGN_ROWS, POSITIVE_ROWS = 2_200, 60  # of each head; as many as there is time for
AFTER = "recall after {} words"
AT_END = "recall at the end"
NAIVE = "false alarms at the threshold for whole texts"

_WORD = re.compile(r"\S+")

Detect = Callable[[Sequence[Text]], list[Judgement]]


class Streams(NamedTuple):
    """The figures, and by slug the thresholds by the share of benign replies that reach them at any moment."""

    measured: list[Measurement]
    tables: dict[str, dict[Role, OperatingTable]]


def streams(detect: Detect, info: DetectorInfo, rows: Sequence[Row], rng: random.Random, date: str) -> Streams:
    """Judge each reply at every length in WORDS and whole. A threshold counts the highest score so far."""
    shown = _sample(rows, sorted(info.slugs), rng)
    cut = [list(_prefixes(row)) for row in shown]
    judged = detect([text for texts in cut for text in texts])
    last = np.cumsum([len(texts) for texts in cut]) - 1
    # One column a moment; a reply that has ended keeps its last score.
    moments = np.array(
        [
            [min(end - len(texts) + 1 + step, end) for step in range(len(WORDS) + 1)]
            for end, texts in zip(last, cut, strict=True)
        ]
    )
    found = Evidence(ROLE, shown, np.empty((len(shown), 0)))
    out = Streams([], {})
    for slug in sorted(info.slugs):
        if (slug, ROLE) in info.operating:
            highest = np.maximum.accumulate(scores_in(judged, slug)[moments], axis=1)
            _add_head(out, slug, highest, found, info, date)
    return out


def _add_head(out: Streams, slug: str, highest: Scores, found: Evidence, info: DetectorInfo, date: str) -> None:
    benign, (_, positive) = found.benign(slug), found.labels[slug]
    if not benign.any():
        return
    table = operating_table(highest[benign, -1])
    out.tables[slug] = {ROLE: table}
    whole, growing = threshold(info.operating[slug, ROLE]), threshold(table)
    if whole is not None:
        alarms = float((highest[benign, -1] >= whole).mean())
        out.measured.append(Measurement(SET, slug, f"{ROLE}: {NAIVE}", round(alarms, 4), int(benign.sum()), date))
    if growing is None or positive.sum() < MIN_POSITIVES:
        return
    recalls = (highest[positive] >= growing).mean(axis=0)
    for metric, recall in zip((*map(AFTER.format, WORDS), AT_END), recalls.tolist(), strict=True):
        out.measured.append(Measurement(SET, slug, f"{ROLE}: {metric}", round(recall, 4), int(positive.sum()), date))


def _sample(rows: Sequence[Row], slugs: Sequence[str], rng: random.Random) -> list[Row]:
    """Replies: harmless ones of sources that nothing was trained on, and some of every head's positives."""
    replies = [row for row in rows if ROLE in row.roles]
    rng.shuffle(replies)
    seen: Counter[str] = Counter()
    out = []
    for row in replies:
        reasons = [slug for slug in slugs if row.labels.get(slug) == 1 and seen[slug] < POSITIVE_ROWS]
        if is_unseen(row) and row.labels.get("unsafe", 0) == 0 and seen["benign"] < BENIGN_ROWS:
            reasons.append("benign")
        seen.update(reasons)
        out += [row] if reasons else []
    return out


def _prefixes(row: Row) -> Iterator[Text]:
    """The text up to each length that it exceeds, then whole."""
    ends = [match.end() for match in _WORD.finditer(row.text)]
    whole = row.as_text(ROLE)
    for words in WORDS:
        if words < len(ends):
            yield Text(row.text[: ends[words - 1]], ROLE, whole.context)
    yield whole
