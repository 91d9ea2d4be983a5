"""Text to windows of word pieces: what the fine-tuned encoder reads.

BERT's word pieces (Devlin et al. 2018, arXiv 1810.04805) of the same normalised text that the n-grams are cut from, or
those of a unigram model (Kudo 2018, arXiv 1804.10959), which keeps upper case. A prompt is `[CLS] text [SEP]`; a reply
is `[CLS] prompt [SEP] text [SEP]`, its own part marked as the second kind.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors.base import Steps, Text, finish, in_pieces
from detectors.trained.bounds import LIMIT
from detectors.trained.features import CONTEXT, normalise
from detectors.trained.onnx import Marks, Tokenizer
from detectors.trained.unigram import UnigramTokenizer

Ids = npt.NDArray[np.int32]

# In word pieces.
LENGTH = 128  # of a window, all included
OVERLAP = 16  # of neighbouring windows
CONTEXT_LENGTH = 40  # of the end of the prompt behind a reply
MAX_WINDOWS = 32
MAX_PERIOD, REPEATS = 16, 5  # a stretch of so many pieces at most that stands so often in a row is read twice

AnyTokenizer = Tokenizer | UnigramTokenizer

UNKNOWN, CLS, SEP = BERT = Tokenizer.marks
MAX_UNKNOWN = 0.3  # share of letters and digits that the vocabulary does not know, above which a text is unreadable
_PICTURE = re.compile("[\u2190-\u2bff\U0001f000-\U0001faff]+")  # arrows, symbols, emoji
_LONG = re.compile(r"\S{90}(?=\S)")  # the vocabulary's algorithm gives up on words of more than 100 characters
_PART = re.compile(r"(?s).{4000}.*? (?=[^ \u2581])")  # to a space between two words: what is before it is cut by itself
MAX_BYTES = 8 * LIMIT  # of a normalised text: NFKC can make 18 code points of one


@dataclass(frozen=True, slots=True)
class Pieces:
    """The word pieces of a text and of the end of the prompt behind it, and whether the text is a reply.

    `unknown` is the share of the text's letters and digits that the vocabulary does not know; `marks` are its special
    pieces.
    """

    text: Ids
    context: Ids
    reply: bool
    unknown: float = 0.0
    marks: Marks = BERT


@dataclass(frozen=True, slots=True)
class Window:
    """What one model run reads: `tokens`, and `kinds` 1 where a reply stands; both [length]."""

    tokens: Ids
    kinds: Ids


def pieces(tokenizer: AnyTokenizer, texts: Sequence[Text]) -> list[Pieces]:
    """The word pieces of each text up to `bounds.LIMIT` code points; none of a text without a letter or a digit."""
    found = finish(pieces_in_steps(tokenizer, texts))
    assert found is not None, "nobody stopped it"
    return found


def pieces_in_steps(tokenizer: AnyTokenizer, texts: Sequence[Text]) -> Steps[list[Pieces] | None]:
    """The same in bounded pieces of work; None when stopped before the end."""
    clean = [_clean(text.text[:LIMIT], tokenizer.cased) for text in texts]
    replies = [text.role == "response" for text in texts]
    contexts = [
        _clean(text.context[-CONTEXT:], tokenizer.cased) if reply and text.context else ""
        for text, reply in zip(texts, replies, strict=True)
    ]
    cut = yield from ids_in_steps(tokenizer, [*clean, *contexts])
    if cut is None:
        return None
    own, behind = cut[: len(texts)], cut[len(texts) :]
    return [
        Pieces(
            _unrepeated(_array(ids if any(map(str.isalnum, text)) else [])),
            _array(context[-CONTEXT_LENGTH:]),
            reply,
            _unknown(tokenizer, text, ids),
            tokenizer.marks,
        )
        for text, ids, context, reply in zip(clean, own, behind, replies, strict=True)
    ]


def ids_in_steps(tokenizer: AnyTokenizer, clean: Sequence[str]) -> Steps[list[list[int]] | None]:
    """What the tokenizer gives for each text. Long ones are cut between words, which it cuts one by one: of words of 90
    letters it would take 50 ms for a text."""
    out: list[list[int]] = [[] for _ in clean]
    parts = [(ids, part) for ids, text in zip(out, clean, strict=True) for part in _parts(text)]
    for number, group in enumerate(in_pieces(parts, lambda part: 2 * len(part[1]))):
        if number and (yield):
            return None
        for (ids, _), found in zip(group, tokenizer.ids([part for _, part in group]), strict=True):
            ids += found
    return out


def _parts(text: str) -> list[str]:
    parts: list[str] = []
    start = 0
    while (found := _PART.match(text, start)) is not None:
        parts.append(text[start : found.end() - 1])
        start = found.end()
    return [*parts, text[start:]]


def starts(found: Pieces, length: int = LENGTH) -> range:
    """Where the windows of a text begin, without the limit on their number."""
    room = length - _frame_length(found)
    last = max(len(found.text) - OVERLAP, 1)
    return range(0, last, max(room - OVERLAP, 1)) if len(found.text) else range(0)


def window(found: Pieces, start: int, length: int = LENGTH) -> Window:
    """The window of at most `length` pieces that begins at `start`."""
    room = length - _frame_length(found)
    text = found.text[start : start + room]
    _, first, last = found.marks
    head = np.concatenate(([first], found.context, [last])) if found.reply else np.array([first])
    tokens = np.concatenate((head, text, [last])).astype(np.int32)
    kinds = np.zeros(len(tokens), dtype=np.int32)
    if found.reply:
        kinds[len(head) :] = 1
    return Window(tokens, kinds)


def has_known(found: Pieces) -> bool:
    """Whether the vocabulary knows anything of the text."""
    return bool((found.text != found.marks.unknown).any())


def is_readable(found: Pieces) -> bool:
    """Whether the vocabulary knows enough of the words to say that the text was read; one of symbols has none."""
    return found.unknown <= MAX_UNKNOWN


def _unknown(tokenizer: AnyTokenizer, text: str, ids: Sequence[int]) -> float:
    if tokenizer.marks.unknown not in ids:
        return 0.0
    there = sum(map(str.isalnum, text))
    return 1 - min(sum(tokenizer.size(piece) for piece in ids) / there, 1) if there else 0.0


def _unrepeated(ids: Ids) -> Ids:
    """Of what is said over and over again, twice: no text like it was trained on, and more of it says nothing more."""
    for period in range(1, MAX_PERIOD + 1):
        if len(ids) < REPEATS * period:
            break
        equal = ids[period:] == ids[:-period]
        if np.count_nonzero(equal) < (REPEATS - 1) * period:
            continue
        same = np.concatenate(([False], equal, [False]))
        turns = np.flatnonzero(np.diff(same.astype(np.int8)))
        keep = np.ones(len(ids), dtype=np.bool_)
        for start, stop in zip(turns[::2].tolist(), turns[1::2].tolist(), strict=True):
            if stop - start >= (REPEATS - 1) * period:
                keep[start + 2 * period : stop + period] = False
        ids = ids[keep]
    return ids


def _frame_length(found: Pieces) -> int:
    return len(found.context) + 3 if found.reply else 2


def _clean(text: str, cased: bool) -> str:
    """Normalised; what would be lost whole, pictures that touch words and endless words, in parts."""
    clean = normalise(text, MAX_BYTES, cased=cased).decode("utf-8", "ignore")
    if not clean.isascii():
        clean = _PICTURE.sub(r" \g<0> ", clean)
    return _LONG.sub(r"\g<0> ", clean)


def _array(ids: list[int]) -> Ids:
    return np.array(ids, dtype=np.int32)
