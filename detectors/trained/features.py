"""Text to windows to hashed n-gram indices: vectorised over the UTF-8 bytes of a batch, no vocabulary.

The hashing trick (Weinberger et al. 2009, arXiv 0902.2206) over word 1-2-grams and byte 3-5-grams.
Training and serving call the same functions, so they cannot disagree.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.base import Text
from detectors.trained.bounds import LIMIT, STRIDE, WINDOW

Indices = npt.NDArray[np.int32]

CONTEXT = 400  # code points of the end of the prompt behind a reply

BLOCKS = ("words", "grams", "context")  # the model's index inputs

BUCKETS = 1 << 18  # rows of the embedding table; row 0 is the padding row
MAX_BYTES = 6_000  # of one normalised window: NFKC can make 18 code points of one

# Zero-width and direction marks: invisible, so used to break words that a filter looks for.
_INVISIBLE = dict.fromkeys(
    (
        *(0x00AD, 0x034F, 0x061C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180E, 0x3164, 0xFEFF, 0xFFA0),
        *range(0x200B, 0x2010),
        *range(0x202A, 0x202F),
        *range(0x2060, 0x2070),
        *range(0xFE00, 0xFE10),
        *range(0xE0000, 0xE0080),
    )
)
_IS_WORD = np.zeros(256, dtype=np.bool_)
_IS_WORD[[*range(0x30, 0x3A), *range(0x61, 0x7B), *range(0x80, 0x100)]] = True

_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2**64
_BASE_INVERSE = pow(_BASE, -1, 1 << 64)
_WORD_SEED, _PAIR_SEED = np.uint64(0xA0761D6478BD642F), np.uint64(0xE7037ED1A0B428DB)
_GRAM_SEEDS = (np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35), np.uint32(0x27D4EB2F))


@dataclass(frozen=True, slots=True)
class Window:
    """A normalised stretch of a text, the normalised end of the prompt behind it, and whether it is a reply."""

    text: bytes
    context: bytes
    reply: bool


def windows(text: Text) -> list[Window]:
    """The overlapping windows of a text up to LIMIT, blank ones left out; empty when nothing visible is there."""
    last = max(min(len(text.text), LIMIT) - (WINDOW - STRIDE), 1)
    reply = text.role == "response"
    context = normalise(text.context[-CONTEXT:]) if reply and text.context else b""
    stretches = (normalise(text.text[start : start + WINDOW]) for start in range(0, last, STRIDE))
    return [Window(stretch, context, reply) for stretch in stretches if stretch]


def arrays(batch: Sequence[Window]) -> dict[str, npt.NDArray[Any]]:
    """The model's inputs: the BLOCKS as [windows, n] and `role` [windows, 1], 1 for a reply."""
    texts = [window.text for window in batch]
    return {
        "words": word_indices(texts),
        "grams": gram_indices(texts),
        "context": word_indices([window.context for window in batch]),
        "role": np.array([[window.reply] for window in batch], dtype=np.float32),
    }


def normalise(text: str, most: int = MAX_BYTES, *, cased: bool = False) -> bytes:
    """NFKC, lower case unless `cased`, without invisible characters, white space collapsed; UTF-8, up to `most` bytes.

    Lone surrogates become `?`, NUL becomes a space. Empty when nothing visible is left.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(_INVISIBLE))
    return " ".join((text if cased else text.lower()).replace("\0", " ").split()).encode("utf-8", "replace")[:most]


def gram_indices(batch: Sequence[bytes]) -> Indices:
    """Buckets of the byte 3-, 4- and 5-grams of each text, a space around it: [texts, n], 0 for none."""
    codes = _padded(batch).astype(np.uint32)
    width = codes.shape[1]
    out = np.zeros((len(batch), 3, width), dtype=np.int32)
    rolling = codes[:, :-1] * np.uint32(0x01000193) + codes[:, 1:]
    for order, seed in enumerate(_GRAM_SEEDS, start=3):
        if width < order:
            break
        last = codes[:, order - 1 :]
        rolling = rolling[:, : last.shape[1]] * np.uint32(0x01000193) + last
        mixed = (rolling ^ seed) * np.uint32(0x2C1B3C6D)
        mixed ^= mixed >> np.uint32(15)
        mixed *= np.uint32(0x297A2D39)
        mixed ^= mixed >> np.uint32(14)
        bucket = (mixed & np.uint32(BUCKETS - 1)) | (mixed & np.uint32(BUCKETS - 1) == 0)
        out[:, order - 3, : last.shape[1]] = np.where(last != 0, bucket, 0)
    return out.reshape(len(batch), 3 * width)


def word_indices(batch: Sequence[bytes]) -> Indices:
    """Buckets of the words and of the pairs of neighbouring words: [texts, n], 0 for none."""
    if not any(batch):  # the contexts of prompts
        return np.zeros((len(batch), 1), dtype=np.int32)
    matrix = _padded(batch)
    flat = matrix.ravel()
    inside = np.concatenate(([False], _IS_WORD[flat], [False]))
    edges = np.diff(inside.astype(np.int8))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    words = _word_hashes(flat, starts, ends)
    row = starts // matrix.shape[1]
    neighbours = row[1:] == row[:-1]
    pairs = (words[:-1] * np.uint64(_BASE) + words[1:])[neighbours] ^ _PAIR_SEED
    return _by_row(
        np.concatenate((_bucket(words ^ _WORD_SEED), _bucket(pairs))),
        np.concatenate((row, row[1:][neighbours])),
        len(batch),
    )


def _padded(batch: Sequence[bytes]) -> npt.NDArray[np.uint8]:
    """Each text between two spaces, zeros behind it: [texts, longest + 3]; every row ends in a zero."""
    width = max(map(len, batch), default=0) + 3
    joined = b"".join((b" " + text + b" ").ljust(width, b"\0") for text in batch)
    return np.frombuffer(joined, dtype=np.uint8).reshape(len(batch), width)


def _word_hashes(
    flat: npt.NDArray[np.uint8], starts: npt.NDArray[np.intp], ends: npt.NDArray[np.intp]
) -> npt.NDArray[np.uint64]:
    """A polynomial hash of each flat[start:end], from one cumulative sum (Rabin and Karp), modulo 2**64."""
    size = len(flat)
    powers = np.full(size, _BASE, dtype=np.uint64)
    inverse = np.full(size + 1, _BASE_INVERSE, dtype=np.uint64)
    inverse[0] = 1
    sums = np.zeros(size + 1, dtype=np.uint64)
    np.cumsum(flat * np.cumprod(powers), out=sums[1:])
    return (sums[ends] - sums[starts]) * np.cumprod(inverse)[starts]


def _bucket(hashes: npt.NDArray[np.uint64]) -> Indices:
    mixed = (hashes ^ (hashes >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    bucket = (mixed >> np.uint64(40)).astype(np.int32) & (BUCKETS - 1)
    indices: Indices = np.maximum(bucket, 1, dtype=np.int32)
    return indices


def _by_row(values: Indices, rows: npt.NDArray[np.intp], count: int) -> Indices:
    """Scatter values into a zero-padded matrix, in order within their row."""
    order = np.argsort(rows, kind="stable")
    rows, values = rows[order], values[order]
    sizes = np.bincount(rows, minlength=count)
    first = np.cumsum(sizes) - sizes
    out = np.zeros((count, max(int(sizes.max(initial=0)), 1)), dtype=np.int32)
    out[rows, np.arange(len(rows)) - first[rows]] = values
    return out
