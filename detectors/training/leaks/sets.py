"""The labelled set: texts with what must be cut out of them, and texts in which nothing may be.

Two halves that share no format, no frame and no file: DEV, against which the rules were written, and HELD_OUT, on
which they are measured.
"""

import random
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TypeVar

from detectors.training.leaks import frames, harmless
from detectors.training.leaks.formats import NAMED, PASSWORDS, TOKENS, draw, password
from detectors.training.leaks.wholes import WHOLES

T = TypeVar("T")

DEV, HELD_OUT = 0, 1
SEED = 7
EACH_TOKEN = 6  # texts of a format
EACH_NAMED = 5  # texts of a frame
EACH_WHOLE = 4
EACH_HARMLESS = 8  # texts of a frame whose parts are drawn, else one


@dataclass(frozen=True, slots=True)
class Item:
    """A text, its `secrets` (none: harmless), the format or kind it is of, and whether it is a source file."""

    text: str
    secrets: tuple[str, ...]
    kind: str
    is_file: bool = False


def positives(half: int, seed: int = SEED) -> list[Item]:
    """Texts that carry a secret, the same for the same seed."""
    rng = random.Random(seed + half)
    return [*_tokens(half, rng), *_named(half, rng), *_passwords(half, rng), *_wholes(half, rng)]


def negatives(half: int, seed: int = SEED, with_files: bool = True) -> list[Item]:
    """Texts that carry none. The files depend on what is installed."""
    rng = random.Random(seed + half)
    items = list(_harmless(half, rng))
    if with_files:
        items += [
            Item(text, (), f"source: {path.split('/')[0]}", True)
            for path, text in harmless.files()
            if _is_in(path, half)
        ]
        items += [Item(text, (), "API documentation") for name, text in harmless.documentation() if _is_in(name, half)]
    return items


def _is_in(name: str, half: int) -> bool:
    return zlib.crc32(name.encode()) % 2 == half


def _of(entries: Sequence[T], half: int) -> Sequence[T]:
    return entries[half::2]


def _tokens(half: int, rng: random.Random) -> Iterator[Item]:
    around = _of(frames.AROUND_TOKENS, half)
    for kind in _of(list(TOKENS), half):
        for frame in rng.sample(around, EACH_TOKEN):
            shown = draw(TOKENS[kind], rng)
            _, _, inner = shown.rpartition("«")
            value = inner.partition("»")[0]
            yield Item(_filled(frame, v=shown.replace("«", "").replace("»", "")), (value,), kind)


def _named(half: int, rng: random.Random) -> Iterator[Item]:
    kinds = cycle(_of(list(NAMED), half))
    for frame, names in _of(frames.AROUND_NAMED, half):
        for _ in range(EACH_NAMED):
            kind = next(kinds)
            value = draw(NAMED[kind], rng)
            yield Item(_filled(frame, v=value, n=rng.choice(names)), (value,), f"named, {kind}")


def _passwords(half: int, rng: random.Random) -> Iterator[Item]:
    kinds = cycle(_of(PASSWORDS, half))
    for frame, names in _of(frames.AROUND_PASSWORDS, half):
        for _ in range(EACH_NAMED):
            kind = next(kinds)
            value = password(kind, rng)
            yield Item(_filled(frame, v=value, n=rng.choice(names)), (value,), f"password, {kind}")


def _wholes(half: int, rng: random.Random) -> Iterator[Item]:
    for kind in _of(list(WHOLES), half):
        for _ in range(EACH_WHOLE):
            yield Item(*WHOLES[kind](rng), kind)


def _harmless(half: int, rng: random.Random) -> Iterator[Item]:
    for kind, texts in harmless.FRAMES:
        for frame in _of(texts, half):
            drawn = draw(frame, rng)
            for _ in range(EACH_HARMLESS if drawn != frame else 1):
                yield Item(draw(frame, rng), (), kind)


def _filled(frame: str, **parts: str) -> str:
    return frame.format(**parts)
