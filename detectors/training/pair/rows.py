"""Which pairs of a premise and a claim train the model, and how long texts become premises."""

import random
import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectors.comparing.nearness import WINDOW_WORDS, Passages
from detectors.comparing.sentences import sentences
from detectors.training.data import SHIPPABLE, manifest, read
from detectors.training.pair import edits

DEV_ONE_IN = 8
SHOWN_WORDS = 90  # of a premise in training: as in the detector, but quicker
GROUP = ("doc", "page", "id", "claim_id", "src")  # of a row's meta: what keeps rows of one origin on one side

# Set -> rows at most. help_conj_disj gives its labels away by length; hans_generated knows a few templates only.
TRAIN: Mapping[str, int] = {
    "snli_devtest": 16_000,
    "cad_nli": 8_000,
    "conjnli": 13_000,
    "foolmetwice_devtest": 2_600,
    "contractnli": 3_200,
    "hans_generated": 1_500,
    "help_conj_disj": 1_500,
    "q2_wow": 1_200,
    "folio": 900,
}
# How often each is drawn, in hundredths: what looks like an answer and its source more often than its rows.
DRAWN: Mapping[str, int] = {
    "snli_devtest": 13,
    "cad_nli": 9,
    "conjnli": 13,
    "foolmetwice_devtest": 16,
    "contractnli": 6,
    "hans_generated": 2,
    "help_conj_disj": 2,
    "q2_wow": 12,
    "folio": 2,
    edits.SET: 25,
}
# Never trained on: what the lines and thresholds are fitted on, a source that the model does not know.
LEFT_OUT: Mapping[str, int] = {"wice": 1_600}
# Replies whose sentences are changed by rule; the labels of these sets are not used.
EDITED: Mapping[str, int] = {
    "arena_hard_answers": 2_500,
    "caia_safe": 1_500,
    "wildbench_replies": 2_500,
}


@dataclass(frozen=True, slots=True)
class Pair:
    """A claim beside its premise. `nli` is 0 entailed, 1 neutral, 2 contradicted, or None; `grounded` 1 or 0."""

    premise: str
    claim: str
    nli: int | None
    grounded: int
    set: str
    dev: bool


def pairs(data: Path, rng: random.Random) -> list[Pair]:
    """The rows that train, those held out among them; raises ValueError for a set that must not train."""
    licences = manifest(data)
    out = [pair for name, most in TRAIN.items() for pair in of_set(data, name, most, rng)]
    for name, most in EDITED.items():
        _check(name, licences)
        out += _edited(data / "train" / f"{name}.jsonl.gz", most, rng)
    rng.shuffle(out)
    return out


def of_set(data: Path, name: str, most: int, rng: random.Random) -> list[Pair]:
    """So many rows of a set at most; raises ValueError for one that must not train."""
    _check(name, manifest(data))
    found = [pair for raw in read(data / "train" / f"{name}.jsonl.gz") if (pair := _pair(raw, name)) is not None]
    rng.shuffle(found)
    return found[:most]


def premise_of(source: str, claim: str, words: int = WINDOW_WORDS) -> str:
    """What of a long source is shown beside the claim: the very rule that the detector uses."""
    if len(source.split()) <= words:
        return " ".join(source.split())
    return Passages([sentence.text for sentence in sentences(source)]).window(claim, words)


def knowledge_of(context: str) -> str:
    """The knowledge of a dialogue row, without its heading and the user's words."""
    match = _KNOWLEDGE.match(context)
    return match["said"].strip() if match else context


_KNOWLEDGE = re.compile(
    r"(?:Knowledge|Context|Document|Passage): (?P<said>.*?)(?:\n(?:User|Question):.*)?\Z", re.DOTALL
)


def _check(name: str, licences: Mapping[str, Mapping[str, Any]]) -> None:
    if licences[name]["licence_class"] not in SHIPPABLE:
        raise ValueError(f"{name} has licence class {licences[name]['licence_class']!r}: it must not train")


def _pair(raw: dict[str, Any], name: str) -> Pair | None:
    labels, context = raw["labels"], raw["context"]
    if not context or "grounded" not in labels:
        return None
    source = knowledge_of(context)
    return Pair(
        premise_of(source, raw["text"], SHOWN_WORDS),
        raw["text"],
        labels.get("nli"),
        labels["grounded"],
        name,
        _dev(raw, context),
    )


def _dev(raw: Mapping[str, Any], context: str) -> bool:
    meta = raw.get("meta") or {}
    anchor = next((str(meta[key]) for key in GROUP if key in meta), context[:60])
    return zlib.crc32(anchor.lower().encode("utf-8", "replace")) % DEV_ONE_IN == 0


def _edited(path: Path, most: int, rng: random.Random) -> Iterator[Pair]:
    texts = list(_texts(read(path)))
    rng.shuffle(texts)
    for text in texts[:most]:
        dev = zlib.crc32(text[:60].encode("utf-8", "replace")) % DEV_ONE_IN == 0
        for made in edits.edited(text, rng):
            yield Pair(
                premise_of(made.source, made.claim, SHOWN_WORDS), made.claim, made.nli, made.grounded, edits.SET, dev
            )


def _texts(found: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Long prose of each row, once."""
    seen = set()
    for raw in found:
        for text in (raw["text"], raw["context"] or ""):
            if len(text.split()) >= 80 and text[:80] not in seen and "```" not in text and text.isascii():
                seen.add(text[:80])
                yield text


def by_set(found: Iterable[Pair]) -> dict[str, list[Pair]]:
    out: defaultdict[str, list[Pair]] = defaultdict(list)
    for pair in found:
        out[pair.set].append(pair)
    return dict(out)
