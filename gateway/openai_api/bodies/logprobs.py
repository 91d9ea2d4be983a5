"""The texts that token log-probabilities spell, by their tokens and by their bytes.

An answer's own tokens say what the answer says, so they are judged only where they differ from it. The alternatives to
them are not a text: joined by rank they read like nonsense, which detectors take for harm (in 7 % of harmless answers).
They are removed where nothing may leave unread.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from gateway.openai_api.bodies.document import WHOLE, Path, parse, rewrite

_ALTERNATIVES = "top_logprobs"
_LISTS = ("content", "refusal", "tokens")
_ENTRY = frozenset(("token", "bytes", "logprob", _ALTERNATIVES))
_ESCAPED = re.compile(rb"\\x([0-9a-fA-F]{2})")
_SPACES = str.maketrans("\u0120\u2581\u010a", "  \n")  # as tokenizers write them


class Spelled(NamedTuple):
    """Texts by the path below the log-probabilities, and values of unknown form."""

    texts: dict[Path, str]
    rest: list[tuple[Path, Any]]


class _Strand:
    """Tokens in order, and the bytes that are given beside them."""

    __slots__ = ("differs", "own", "said")

    def __init__(self) -> None:
        self.said: list[bytes] = []
        self.own: list[bytes] = []
        self.differs = False

    def add(self, token: str, own: bytes | None) -> None:
        said = token.encode("utf-8", "surrogatepass")
        if own is None:
            own = said
        elif own != said:
            if _stands_for(token, own):
                said = own
            else:
                self.differs = True
        self.said.append(said)
        self.own.append(own)

    def texts(self, at: Path) -> Iterator[tuple[Path, str]]:
        said = b"".join(self.said).decode("utf-8", "replace")
        yield at, said.translate(_SPACES)
        if self.differs:
            yield (*at, "bytes"), b"".join(self.own).decode("utf-8", "replace")


def spelled(value: Any) -> Spelled:
    """What log-probabilities spell, in the form of chat (lists under `content` and `refusal`), of completions
    (`tokens`) or of Responses (a list). Alternatives are left out."""
    strands: dict[Path, _Strand] = {}
    rest: list[tuple[Path, Any]] = []
    for at, entries in _lists_in(value, rest):
        _add_entries(strands, rest, entries, at)
    texts = {path: text for at, strand in strands.items() for path, text in strand.texts(at) if text}
    return Spelled(texts, rest)


def unknown_in(value: Any) -> list[tuple[Path, Any]]:
    """Values of unknown form in log-probabilities, by their paths below them; alternatives are left out."""
    rest: list[tuple[Path, Any]] = []
    for at, entries in _lists_in(value, rest):
        for number, entry in enumerate(entries):
            if isinstance(entry, dict):
                _add_unknown(rest, entry, (*at, number), _bytes_of(entry.get("bytes")))
            elif not isinstance(entry, str):
                rest += _unless_number((*at, number), entry)
    return rest


def _lists_in(value: Any, rest: list[tuple[Path, Any]]) -> Iterator[tuple[Path, list[Any]]]:
    """The lists of tokens; everything else is added to the rest."""
    if isinstance(value, list):
        yield (), value
    elif isinstance(value, dict):
        for key, below in value.items():
            if key in _LISTS and isinstance(below, list):
                yield (key,), below
            elif key != _ALTERNATIVES:
                rest.append(((key,), below))
    elif value is not None:
        rest.append(((), value))


def _add_entries(strands: dict[Path, _Strand], rest: list[tuple[Path, Any]], entries: list[Any], at: Path) -> None:
    for number, entry in enumerate(entries):
        place = (*at, number)
        if isinstance(entry, str):
            strands.setdefault(at, _Strand()).add(entry, None)
        elif isinstance(entry, dict):
            _add_token(strands, rest, entry, at, place)
        else:
            rest += _unless_number(place, entry)


def _add_token(strands: dict[Path, _Strand], rest: list[tuple[Path, Any]], entry: Any, at: Path, place: Path) -> None:
    """One token, which stands at `place`."""
    token, own = entry.get("token"), _bytes_of(entry.get("bytes"))
    if isinstance(token, str) or own:
        strands.setdefault(at, _Strand()).add(token if isinstance(token, str) else "", own)
    _add_unknown(rest, entry, place, own)


def _add_unknown(rest: list[tuple[Path, Any]], entry: Any, place: Path, own: bytes | None) -> None:
    token = entry.get("token")
    if not entry.keys() <= _ENTRY:
        rest += [((*place, key), entry[key]) for key in entry if key not in _ENTRY]
    rest += _unless_number((*place, "logprob"), entry.get("logprob"))
    if not isinstance(token, str):
        rest += _unless_number((*place, "token"), token)
    if own is None:
        rest += _unless_number((*place, "bytes"), entry.get("bytes"))


def _unless_number(place: Path, value: Any) -> list[tuple[Path, Any]]:
    return [] if value is None or isinstance(value, int | float) else [(place, value)]


def _bytes_of(value: Any) -> bytes | None:
    try:
        return bytes(value) if isinstance(value, list) else None
    except (TypeError, ValueError):
        return None


def _stands_for(token: str, own: bytes) -> bool:
    """Whether a token stands for these bytes of a part of a character: as "\\xf0\\x9f", or with a replacement mark."""
    escaped = _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), token.encode("utf-8", "surrogatepass"))
    return escaped == own or ("\ufffd" in token and token.replace("\ufffd", "") == own.decode("utf-8", "ignore"))


def without_alternatives(body: bytes) -> bytes:
    """An answer or an event without the alternatives to its tokens; the very same object if it has none."""
    if b"logprobs" not in body and b"\\u" not in body:
        return body
    try:
        found = list(_alternatives(parse(body)))
    except (ValueError, RecursionError):
        return body
    return rewrite(body, dict.fromkeys(found, "")) if found else body


def _alternatives(value: Any) -> Iterator[Path]:
    """Where alternatives stand."""
    todo: list[tuple[Any, Path]] = [(value, ())]
    while todo:
        value, path = todo.pop()
        if isinstance(value, list):
            todo += [(below, (*path, at)) for at, below in enumerate(value) if isinstance(below, list | dict)]
        elif isinstance(value, dict):
            for key, below in value.items():
                if key == _ALTERNATIVES and below and not isinstance(below, int | float):
                    yield (*path, key, WHOLE)
                elif isinstance(below, list | dict):
                    todo.append((below, (*path, key)))
