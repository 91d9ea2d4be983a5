"""Verbatim copying against the operator's own corpus: winnowed word 8-grams in a Bloom filter file.

Winnowing (Schleimer, Wilkerson and Aiken 2003) keeps of every WINDOW neighbouring hashes the smallest, so any run of
GUARANTEED words that stands in the corpus leaves at least one of its own. Hits at most WINDOW words apart overlap,
so a reported run is shared word for word; it can fall up to 2 (WINDOW - 1) words short of the whole. Only the
filter is kept, never the texts. Case, accents and punctuation do not count; in scripts without spaces every character
is a word.
"""

import json
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from math import ceil, log
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt

from detectors.manifest import ModelError
from detectors.rules.rule import Rule, RuleFinding, Search

SLUG = "copyrighted_content"
GRAM = 8  # words
WINDOW = 8  # grams, of which one is kept; not above GRAM, or hits would not touch
GUARANTEED = GRAM + WINDOW - 1  # words in a run that is always found
FALSE_POSITIVES = 1e-6  # of one lookup
MAGIC = b"ASSAYFP1"
BATCH = 1_000_000  # code points hashed at once, at least
OVERLAP = 4_000  # code points that two pieces of a file have in common: far more than GUARANTEED words

# Words in the longest run → confidence that the text was copied rather than a common phrase.
LEVELS = ((64, 0.99), (32, 0.95), (20, 0.8), (14, 0.5), (8, 0.1))

Hashes = npt.NDArray[np.uint64]
Positions = npt.NDArray[np.intp]


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file says of itself, as JSON behind the magic: sizes in bits and counts; digest of the bits."""

    gram: int
    window: int
    hashes: Annotated[int, msgspec.Meta(ge=1, le=64)]
    bits: Annotated[int, msgspec.Meta(ge=1)]
    fingerprints: int
    words: int
    texts: int
    false_positives: float
    sha256: str


@dataclass(frozen=True, slots=True)
class Run:
    """A part of a text, in code points, whose `words` words occur in the corpus in this order."""

    start: int
    end: int
    words: int


class Fingerprints:
    """A fingerprint file in memory, ready for lookups."""

    def __init__(self, path: Path) -> None:
        """Read and verify. Raises ModelError when the file is missing, damaged or of another version."""
        self.header, self._filter = _load(path)

    def runs(self, text: str) -> list[Run]:
        """Every run of at least GRAM words that the corpus has, too, in order and without overlaps."""
        words = _words([text])
        grams = _grams(words.hashes)
        hits = np.flatnonzero(_contains(self._filter, self.header, grams))
        if not len(hits):
            return []
        breaks = np.flatnonzero(np.diff(hits) > WINDOW)
        firsts = hits[np.concatenate(([0], breaks + 1))]
        lasts = hits[np.concatenate((breaks, [len(hits) - 1]))] + GRAM - 1
        return [
            Run(int(words.starts[first]), int(words.ends[last]), int(last - first + 1))
            for first, last in zip(firsts, lasts, strict=True)
        ]

    def search(self, text: str) -> Search:
        """The runs, labelled `verbatim_N`; a run has at least N words."""
        for run in self.runs(text):
            words, confidence = next(level for level in LEVELS if run.words >= level[0])
            yield RuleFinding(run.start, run.end, _label(words), confidence)

    def rule(self) -> Rule:
        """The rule that judges replies against this file."""
        levels = tuple(confidence for _, confidence in LEVELS)
        return Rule(SLUG, ("response",), levels, frozenset(_label(words) for words, _ in LEVELS), self.search)


def _label(words: int) -> str:
    return f"verbatim_{words}"


def build(
    texts: Iterable[str],
    path: Path,
    *,
    false_positives: float = FALSE_POSITIVES,
) -> Header:
    """Write the fingerprints of `texts` to `path`, all at once or not at all, and return what the file says of itself.

    Needs about 24 bytes of memory a fingerprint (one in about 4.5 words) and 150 MB for one batch; texts are taken one
    by one, long ones in pieces that overlap. Raises ValueError when the texts hold no run of GRAM words, OSError when
    `path` cannot be written.
    """
    kept: list[Hashes] = []
    words = count = 0
    for batch in _batches(texts):
        found = _words(batch)
        words += len(found.hashes)
        count += len(batch)
        kept.append(_winnowed(found))
    fingerprints = np.unique(np.concatenate(kept)) if kept else np.empty(0, np.uint64)
    if not len(fingerprints):
        raise ValueError(f"the corpus holds no text of {GRAM} words or more, so there is nothing to find again")
    bits = max(64, ceil(-len(fingerprints) * log(false_positives) / log(2) ** 2))
    hashes = max(1, round(bits / len(fingerprints) * log(2)))
    filled = _filled(fingerprints, bits, hashes)
    digest = sha256(filled.tobytes()).hexdigest()
    header = Header(GRAM, WINDOW, hashes, bits, len(fingerprints), words, count, false_positives, digest)
    _write(path, header, filled)
    return header


def read_corpus(path: Path, progress: Callable[[int], object] = lambda _: None) -> Iterator[str]:
    """The texts of a folder (every .txt and .md file below it) or of a JSON-lines file (the field `text` of a line).

    A long file comes in pieces that overlap. `progress` gets the bytes read since it was last called. Raises ValueError
    naming the file and the line when there is nothing to read or a line has no text.
    """
    for file in corpus_files(path):
        if path.is_dir():
            yield from _pieces(file)
        else:
            with file.open("rb") as lines:
                for number, line in enumerate(lines, 1):
                    progress(len(line))
                    if line.strip():
                        yield _text_of(line, f"{path}, line {number}")
            return
        progress(file.stat().st_size)


def corpus_files(path: Path) -> list[Path]:
    """The files that `read_corpus` reads. Raises ValueError when there is none."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ValueError(f"{path}: no such folder or file")
    files = sorted(file for file in path.rglob("*") if file.suffix in (".txt", ".md") and file.is_file())
    if not files:
        raise ValueError(f"{path}: no .txt or .md file in this folder or below it")
    return files


def _pieces(file: Path) -> Iterator[str]:
    """The text in parts of BATCH code points. Each begins with the end of the last one, so that no run is cut."""
    with file.open(encoding="utf-8", errors="replace") as stream:
        piece = stream.read(BATCH)
        while piece:
            yield piece
            more = stream.read(BATCH)
            piece = piece[-OVERLAP:] + more if more else ""


def _text_of(line: bytes, place: str) -> str:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{place}: not JSON ({error}); a line is an object with a field `text`") from error
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise ValueError(f"{place}: no field `text` with a string; a line is an object with a field `text`")
    return str(row["text"])


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        for start in range(0, max(len(text), 1), BATCH):
            batch.append(text[max(start - OVERLAP, 0) : start + BATCH])
            size += len(batch[-1])
            if size >= BATCH:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


@dataclass(frozen=True, slots=True)
class _Words:
    """The words of some texts, one after the other: their hashes, their places (`starts` to `ends`), and their text."""

    hashes: Hashes
    starts: Positions
    ends: Positions
    owners: Positions


_SEPARATOR, _INSIDE, _ALONE, _IGNORED = range(4)
_TABLE_SIZE = 0x30000  # beyond lie private use, tags and the supplementary ideographs' tail
# Scripts written without spaces: Thai to Khmer, kana, CJK ideographs.
_NO_SPACES = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x3400, 0x9FFF),
              (0xF900, 0xFAFF), (0x20000, 0x2FFFF))  # fmt: skip


@cache
def _tables() -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint8]]:
    """For each code point: the one that it counts as (lower case, no accent), and its role in a word."""
    folded = np.arange(_TABLE_SIZE, dtype=np.uint32)
    kinds = np.full(_TABLE_SIZE, _SEPARATOR, dtype=np.uint8)
    for code in range(0x20000):
        character = chr(code)
        if character.isalnum():
            kinds[code] = _INSIDE
            folded[code] = ord(unicodedata.normalize("NFKD", character)[0].lower()[0])
        elif unicodedata.category(character) in ("Mn", "Cf"):
            kinds[code] = _IGNORED
    for first, last in _NO_SPACES:
        stretch = kinds[first : last + 1]
        stretch[stretch == _INSIDE] = _ALONE
    kinds[0x20000:] = _ALONE
    return folded, kinds


_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2**64
_BASE_INVERSE = pow(_BASE, -1, 1 << 64)
_GRAM_BASE = np.uint64(0xD6E8FEB86659FD93)


def _words(texts: list[str]) -> _Words:
    """Words and their polynomial hashes from one cumulative sum (Rabin and Karp), modulo 2**64.

    Starts and ends count from the first text; texts never share a word.
    """
    joined = "\n".join(texts)
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    folded, kinds = _tables()
    clipped = np.minimum(codes, _TABLE_SIZE - 1)
    part = np.where(codes < _TABLE_SIZE, kinds[clipped], _SEPARATOR)
    places = np.flatnonzero(part != _IGNORED)
    codes, part = folded[clipped[places]].astype(np.uint64), part[places]
    is_word = part != _SEPARATOR
    alone = part == _ALONE
    before = np.concatenate(([False], is_word[:-1] & ~alone[:-1]))
    after = np.concatenate((is_word[1:] & ~alone[1:], [False]))
    starts = np.flatnonzero(is_word & (alone | ~before))
    ends = np.flatnonzero(is_word & (alone | ~after)) + 1
    size = len(codes)
    inverse = np.full(size + 1, _BASE_INVERSE, dtype=np.uint64)
    inverse[:1] = 1
    sums = np.zeros(size + 1, dtype=np.uint64)
    np.cumsum((codes + np.uint64(1)) * np.cumprod(np.full(size, _BASE, dtype=np.uint64)), out=sums[1:])
    hashes = _mixed((sums[ends] - sums[starts]) * np.cumprod(inverse)[starts])
    lengths = np.array([len(text) + 1 for text in texts])
    owners = np.searchsorted(np.cumsum(lengths), places[starts], side="right")
    return _Words(hashes, places[starts], places[ends - 1] + 1, owners)


def _grams(hashes: Hashes) -> Hashes:
    """Hashes of every GRAM words in a row."""
    count = max(len(hashes) - GRAM + 1, 0)
    total = np.zeros(count, dtype=np.uint64)
    for offset in range(GRAM):
        total = total * _GRAM_BASE + hashes[offset : offset + count]
    return _mixed(total)


def _winnowed(words: _Words) -> Hashes:
    """The smallest of every WINDOW neighbouring grams, and of every shorter text its smallest."""
    grams = _grams(words.hashes)
    if not len(grams):
        return grams
    owners = words.owners[: len(grams)]
    is_whole = owners == words.owners[GRAM - 1 :]
    whole: Hashes = grams[is_whole]
    owners = owners[is_whole]
    if not len(whole):
        return whole
    least: Hashes = np.minimum.reduceat(whole, np.flatnonzero(np.diff(owners, prepend=-1)))
    if len(whole) < WINDOW:
        return least
    smallest = np.lib.stride_tricks.sliding_window_view(whole, WINDOW).min(axis=1)
    kept: Hashes = np.unique(np.concatenate((smallest, least)))
    return kept


def _mixed(hashes: Hashes) -> Hashes:
    """Spread the bits (the finaliser of SplitMix64, Steele, Lea and Flood 2014)."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Hashes = hashes ^ (hashes >> np.uint64(31))
    return mixed


def _places(fingerprints: Hashes, bits: int, number: int) -> Hashes:
    """The bit that the filter's hash function `number` gives.

    Mixed anew for each: the usual double hashing gives thirty times as many false hits in a small filter.
    """
    places: Hashes = np.remainder(_mixed(fingerprints + np.uint64((number * _BASE) % 2**64)), np.uint64(bits))
    return places


def _filled(fingerprints: Hashes, bits: int, hashes: int) -> npt.NDArray[np.uint8]:
    out = np.zeros((bits + 7) // 8, dtype=np.uint8)
    for number in range(hashes):
        place = _places(fingerprints, bits, number)
        np.bitwise_or.at(out, place >> np.uint64(3), np.uint8(1) << (place & np.uint64(7)).astype(np.uint8))
    return out


def _contains(filled: npt.NDArray[np.uint8], header: Header, grams: Hashes) -> npt.NDArray[np.bool_]:
    """For each gram, whether the filter has it. Each hash function looks only at grams that the ones before let
    pass."""
    left = np.arange(len(grams))
    for number in range(header.hashes):
        if not len(left):
            break
        place = _places(grams[left], header.bits, number)
        left = left[(filled[place >> np.uint64(3)] >> (place & np.uint64(7)).astype(np.uint8)) & np.uint8(1) == 1]
    out = np.zeros(len(grams), dtype=np.bool_)
    out[left] = True
    return out


def _write(path: Path, header: Header, filled: npt.NDArray[np.uint8]) -> None:
    """MAGIC, the header's size and CRC-32 (4 bytes each, little-endian), the header, the bits."""
    encoded = msgspec.json.encode(header)
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(MAGIC + len(encoded).to_bytes(4, "little") + zlib.crc32(encoded).to_bytes(4, "little"))
            file.write(encoded)
            file.write(filled.tobytes())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _load(path: Path) -> tuple[Header, npt.NDArray[np.uint8]]:
    advice = "build it again with `assay fingerprint build`"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); {advice}") from error
    if not content.startswith(MAGIC):
        raise ModelError(f"{path}: no fingerprint file of this version; {advice}")
    size, crc = int.from_bytes(content[8:12], "little"), int.from_bytes(content[12:16], "little")
    encoded, bits = content[16 : 16 + size], content[16 + size :]
    if len(encoded) != size or zlib.crc32(encoded) != crc:
        raise ModelError(f"{path}: its header is damaged; {advice}")
    try:
        header = msgspec.json.decode(encoded, type=Header)
    except msgspec.DecodeError as error:
        raise ModelError(f"{path}: its header is not what this version reads ({error}); {advice}") from error
    if (header.gram, header.window) != (GRAM, WINDOW):
        raise ModelError(f"{path}: made of other n-grams than this version reads; {advice}")
    if len(bits) != (header.bits + 7) // 8 or sha256(bits).hexdigest() != header.sha256:
        raise ModelError(f"{path}: its bits are damaged; {advice}")
    return header, np.frombuffer(bits, dtype=np.uint8)
