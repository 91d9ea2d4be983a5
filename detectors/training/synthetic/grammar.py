"""The grammar of the rows we write ourselves: a YAML file is a topic, its families are expanded at random, seeded.

A family has `labels`, a `role` and texts. Its texts stand in `text` (with the prompts behind them in `context`) or
under its name in `exchanges`, which keep a prompt and the replies of several families together. `frame` says how
texts are put together: each `{text}` is another text of the same exchange. `{slot}` is replaced by one of the slot's
phrases, `{Slot}` by one with a capital, `{slot!}` by the same one all over the row, prompt included; `{{` and `}}`
are braces. `sloppy` is the share of rows typed in a hurry.
"""

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from detectors.base import Role
from detectors.taxonomy import SUBCATEGORIES
from detectors.training.data import BOTH, HARMS, HEADS, Row

Name = Literal["assay_synthetic", "assay_web_texts", "assay_frameworks"]
SET: Name = "assay_synthetic"
WEB_TEXTS: Name = "assay_web_texts"  # what no public set that may be shipped resembles: shown as a source of its own
FRAMEWORKS: Name = "assay_frameworks"  # what programs write around a question: likewise
SETS = (SET, WEB_TEXTS, FRAMEWORKS)
KNOWN = {*HEADS, *HARMS, *(item.slug for item in SUBCATEGORIES), "distress", "political_lean"}
DEPTH = 8  # slots inside slots
TRIES = 40  # draws for each row wanted, before a family counts as too small
_SLOT = re.compile(r"\{\{|\}\}|\{(\w+)(!?)\}|[{}]")
_ROLES: Mapping[str, tuple[Role, ...]] = {"prompt": ("prompt",), "response": ("response",), "both": BOTH}


class Family(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Texts that share their labels. `harmless` adds 0 for `unsafe`, `prompt_attacks` and every harm."""

    name: str
    role: Literal["prompt", "response", "both"]
    count: int
    labels: dict[str, bool | int] = {}
    harmless: bool = False
    context: list[str] = []
    text: list[str] = []
    frame: list[str] = []
    sloppy: float = 0.0


class Topic(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One file. In an exchange, `context` has prompts, every other key names a family and has its texts."""

    families: list[Family]
    set: Name = SET
    slots: dict[str, list[str | int | float]] = {}
    exchanges: list[dict[str, list[str]]] = []


def topic_rows(path: Path) -> list[Row]:
    """The rows of one YAML file, the same at every call.

    Raises ValueError with file and family for a wrong field, an unknown label or slot, or too few texts for `count`.
    """
    try:
        topic = msgspec.yaml.decode(path.read_bytes(), type=Topic)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path.name}: {error}") from error
    names = [family.name for family in topic.families]
    stray = {key for exchange in topic.exchanges for key in exchange} - {*names, "context"}
    if stray or len(set(names)) < len(names):
        raise ValueError(f"{path.name}: every family is defined once; without a definition or twice: {stray or names}")
    return [row for family in topic.families for row in _family_rows(topic, family, path.name)]


def _family_rows(topic: Topic, family: Family, file: str) -> Iterator[Row]:
    where = f"{file}, family {family.name!r}"
    labels = _labels(family, where)
    groups = [(family.context, family.text)] if family.text else []
    groups += [(item.get("context", []), item[family.name]) for item in topic.exchanges if family.name in item]
    if not groups or ("prompt" in _ROLES[family.role] and family.context):
        raise ValueError(f"{where}: needs texts, and only a response has a context")
    rng = random.Random(f"{file}/{family.name}")
    seen: set[tuple[str, str]] = set()
    for _ in range(TRIES * family.count):
        if len(seen) == family.count:
            return
        contexts, texts = rng.choices(groups, [len(texts) for _, texts in groups])[0]
        frame = rng.choice([item for item in family.frame if item.count("{text}") <= len(texts)] or ["{text}"])
        draw = Draw(topic.slots, rng, rng.sample(texts, frame.count("{text}")), where)
        context = tidy(draw.expand(rng.choice(contexts))) if contexts else None
        text = tidy(draw.expand(frame))
        if rng.random() < family.sloppy:
            text = _sloppy(text, rng)
        if context and rng.random() < family.sloppy:
            context = _sloppy(context, rng)
        key = (text.lower(), (context or "").lower())
        if text and key not in seen:
            seen.add(key)
            yield Row(
                text, context if family.role == "response" else None, _ROLES[family.role], labels, topic.set, False
            )
    if len(seen) < family.count:
        raise ValueError(f"{where}: gives {len(seen)} different rows, not {family.count}: add texts or lower the count")


def _labels(family: Family, where: str) -> dict[str, int]:
    labels = {slug: int(value) for slug, value in family.labels.items() if slug != "harmless"}
    unknown = set(labels) - KNOWN
    if unknown or not set(labels.values()) <= {0, 1}:
        raise ValueError(f"{where}: labels are 0 or 1 and one of the heads, not {unknown or labels}")
    harmless = {"prompt_attacks": 0, "unsafe": 0} if family.harmless or family.labels.get("harmless") else {}
    none_of_them = dict.fromkeys(HARMS, 0) if harmless or labels.get("unsafe") == 0 else {}
    harmful = {"unsafe": 1} if any(labels.get(slug) == 1 for slug in HARMS) else {}
    return {**harmless, **none_of_them, **harmful, **labels}


class Draw:
    """The random choices of one row."""

    def __init__(self, slots: Mapping[str, Sequence[object]], rng: random.Random, texts: list[str], where: str) -> None:
        self._slots, self._rng, self._texts, self._where = slots, rng, texts, where
        self._kept: dict[str, str] = {}
        self._used: set[tuple[str, object]] = set()  # a row does not say the same thing twice where it can help it

    def expand(self, text: str, depth: int = 0) -> str:
        if depth > DEPTH:
            raise ValueError(f"{self._where}: slots nested deeper than {DEPTH}, at {text!r}")
        return _SLOT.sub(lambda found: self._fill(found, depth), text)

    def _fill(self, found: re.Match[str], depth: int) -> str:
        name, keep = found[1], found[2]
        if name == "text" and self._texts and not depth:
            return self.expand(self._texts.pop(), depth + 1)
        if name is None and len(found[0]) == 2:
            return found[0][0]
        capital = name is not None and name not in self._slots and name[:1].isupper()
        slot = name[0].lower() + name[1:] if capital else name
        if slot not in self._slots:
            raise ValueError(f"{self._where}: {found[0]!r} names no slot; a brace is written twice")
        if not keep or slot not in self._kept:
            values = self._slots[slot]
            phrase = self._rng.choice([item for item in values if (slot, item) not in self._used] or values)
            self._used.add((slot, phrase))
            value = self.expand(str(phrase), depth + 1)
            self._kept.update({slot: value} if keep else {})
        else:
            value = self._kept[slot]
        return value[:1].upper() + value[1:] if capital else value


def tidy(text: str) -> str:
    """Without the spaces that empty phrases leave; indentation stays."""
    return re.sub(r"(?<=\S) +(?= |\n)", "", text).strip()


def _sloppy(text: str, rng: random.Random) -> str:
    """Typed in a hurry: small letters, no apostrophes, a slip of two fingers."""
    text = text.lower().replace("'", "").replace("’", "").rstrip(".")
    at = rng.randrange(max(1, len(text) - 2))
    if text[at : at + 2].isalpha():
        text = text[:at] + text[at + 1 : at + 2] + text[at] + text[at + 2 :]
    return text
