"""A JSON body: read leniently, changed in places, and otherwise left byte for byte."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import msgspec

Path = tuple[str | int, ...]
KEY = -1  # at the end of a path: it leads to a key itself and not to its value
WHOLE = -2  # in a path: what it leads to so far is changed as a whole; the keys behind it only tell texts apart

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_entries = msgspec.json.Decoder(list[msgspec.Raw]).decode


def parse(body: bytes, *, with_nan: bool = True) -> Any:
    """Any JSON value, as clients read it. The standard library reads what the strict reader refuses: a lone surrogate
    escape, a number out of range, a byte order mark, and NaN and Infinity unless `with_nan` is False. Raises ValueError
    for what is not JSON, RecursionError for what is nested too deeply."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return json.loads(body, parse_int=_integer, parse_constant=float if with_nan else _not_json)


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) < 4000 else float(digits)  # int() refuses about this many digits and more


def _not_json(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


MOST_VALUES = 500_000  # commas and brackets: each value costs more memory and time than its bytes show


def has_too_many_values(body: bytes) -> bool:
    """Whether a body has more values than we build from a body."""
    return len(body) > MOST_VALUES and body.count(b",") + body.count(b"[") + body.count(b"{") > MOST_VALUES


def strings_in(body: bytes) -> Iterator[str]:
    """Every string of a body, keys included; none if it is not JSON or has too many values."""
    try:
        todo = [parse(body)] if body and not has_too_many_values(body) else []
    except (ValueError, RecursionError):
        return
    while todo:
        value = todo.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            todo += value
        elif isinstance(value, dict):
            yield from value
            todo += value.values()


def has_repeated_keys(body: bytes) -> bool:
    """Whether an object of the body has a key twice: readers differ in which of the two they take."""
    repeated = False

    def note(pairs: list[tuple[str, Any]]) -> None:
        nonlocal repeated
        repeated = repeated or len(dict(pairs)) != len(pairs)

    json.loads(body, parse_int=_integer, object_pairs_hook=note)
    return repeated


def rewrite(body: bytes, edits: Mapping[Path, str]) -> bytes:
    """The body with the texts at these paths replaced; everything else keeps its bytes.

    A path that ends in KEY leads to the key before it. What a path with WHOLE leads to is emptied: an object becomes
    null, an array empty. The token log-probabilities beside a replaced text are emptied too, because they would spell
    it out. Raises KeyError with the path if there is no text at it, so that no redaction is lost silently, and
    ValueError if the body is not JSON.
    """
    if not edits:
        return body
    parse(body)
    return _Splice(_in_utf8(body), _tree(edits)).done()


def rewrite_lines(body: bytes, edits: Mapping[Path, str]) -> bytes:
    """As `rewrite`, for lines of JSON: a path begins with the number of its line, not counting empty lines."""
    by_line: dict[int, dict[Path, str]] = {}
    for (number, *path), text in edits.items():
        by_line.setdefault(int(number), {})[tuple(path)] = text
    lines = body.splitlines(keepends=True)
    written = [at for at, line in enumerate(lines) if line.strip()]
    for number, changes in by_line.items():
        lines[written[number]] = rewrite(lines[written[number]], changes)
    return b"".join(lines)


def _in_utf8(body: bytes) -> bytes:
    encoding = json.detect_encoding(body)
    return body if encoding.startswith("utf-8") else body.decode(encoding, "surrogatepass").encode(errors="replace")


_EMPTIED = object()
Tree = dict[Any, Any]  # key → what is below it, in the end a text or _EMPTIED; (key,) → what the key itself becomes


def _tree(edits: Mapping[Path, str]) -> Tree:
    root: Tree = {}
    for path, text in edits.items():
        if not path:
            raise KeyError(path)
        change: object = text
        if WHOLE in path:
            path, change = path[: path.index(WHOLE)], _EMPTIED
        is_key = path[-1] == KEY
        *above, last = path[:-1] if is_key else path
        node = root
        for key in above:
            node = node.setdefault(key, {})
        node[(last,) if is_key else last] = change
    return root


_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+', re.DOTALL)


class _Frame:
    """An object or a list that is open: what has to be changed in it, and the key of the next value."""

    __slots__ = ("dropped", "is_list", "key", "node")

    def __init__(self, node: Tree | None, is_list: bool, dropped: tuple[int, bytes] | None) -> None:
        self.node = node
        self.is_list = is_list
        self.key: str | int | None = 0 if is_list else None  # None: a key comes
        self.dropped = dropped  # if it is dropped: where it begins, and what replaces it


class _Splice:
    """Replaces texts in one pass over the tokens of a body."""

    def __init__(self, body: bytes, tree: Tree) -> None:
        self._body = body
        self._tree = tree
        self._pieces: list[bytes] = []
        self._last = 0
        self._frames: list[_Frame] = []
        self._left = dict(_leaves(tree, ()))

    def done(self) -> bytes:
        for token in _TOKEN.finditer(self._body):
            self._take(token.group(), token.start(), token.end())
        for path in self._left.values():
            raise KeyError(path)
        return b"".join([*self._pieces, self._body[self._last :]])

    def _take(self, token: bytes, start: int, end: int) -> None:
        frame = self._frames[-1] if self._frames else None
        if token in b"{[":
            self._open(frame, token, start)
        elif token in b"}]":
            dropped = self._frames.pop().dropped
            if dropped is not None:
                self._put(dropped[0], end, dropped[1])
        elif token == b",":
            assert frame is not None
            frame.key = frame.key + 1 if isinstance(frame.key, int) else None
        elif token != b":":
            if frame is not None and frame.key is None:
                self._key(frame, token, start, end)
            else:
                self._value(frame, token, start, end)

    def _key(self, frame: _Frame, token: bytes, start: int, end: int) -> None:
        frame.key = parse(token)
        new = None if frame.node is None else frame.node.get((frame.key,))
        if new is not None:
            self._left.pop((id(frame.node), (frame.key,)), None)
            self._put(start, end, encoded(new))

    def _open(self, frame: _Frame | None, token: bytes, start: int) -> None:
        below = self._below(frame)
        dropped = None
        beside = frame is not None and frame.key == "logprobs" and frame.node is not None and below is None
        if below is _EMPTIED and frame is not None:
            self._left.pop((id(frame.node), frame.key), None)
        if below is _EMPTIED or beside:
            dropped = (start, b"null" if token == b"{" else b"[]")
        self._frames.append(_Frame(below if isinstance(below, dict) else None, token == b"[", dropped))

    def _value(self, frame: _Frame | None, token: bytes, start: int, end: int) -> None:
        below = self._below(frame)
        if frame is not None and token.startswith(b'"') and (isinstance(below, str) or below is _EMPTIED):
            self._left.pop((id(frame.node), frame.key), None)
            self._put(start, end, encoded(below) if isinstance(below, str) else b'""')

    def _below(self, frame: _Frame | None) -> Any:
        if frame is None:
            return self._tree
        return None if frame.node is None or frame.key is None else frame.node.get(frame.key)

    def _put(self, start: int, end: int, new: bytes) -> None:
        if start >= self._last:
            self._pieces += [self._body[self._last : start], new]
            self._last = end


def encoded(value: Any) -> bytes:
    """A value as JSON. A lone surrogate, from a body that was read leniently, is written as an escape."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"), default=lambda raw: parse(bytes(raw))).encode()


def _leaves(tree: Tree, path: Path) -> Iterator[tuple[tuple[int, Any], Path]]:
    """Where each text goes, and its whole path."""
    for key, below in tree.items():
        if not isinstance(below, dict):
            yield (id(tree), key), (*path, key)
        else:
            yield from _leaves(below, (*path, key))


def set_fields(body: bytes, changes: Mapping[str, bytes | None]) -> bytes:
    """An object in which these fields have other JSON, or are left out if that is None.

    Every other value keeps its bytes and keys keep their order; new keys come last. Raises ValueError if the body is
    not an object.
    """
    try:
        whole: dict[str, Any] = dict(_fields(body))
        new = {key: None if raw is None else msgspec.Raw(raw) for key, raw in changes.items()}
    except msgspec.ValidationError:
        raise ValueError("the body is not an object") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        whole = parse(body)
        new = {key: None if raw is None else parse(raw) for key, raw in changes.items()}
    if not isinstance(whole, dict):
        raise ValueError("the body is not an object")
    for key, value in new.items():
        if value is None:
            whole.pop(key, None)
        else:
            whole[key] = value
    return encoded(whole)


def map_entries(body: bytes, key: str, each: Callable[[int, Any], Any]) -> bytes:
    """The body with every entry of the list under `key` replaced by what `each` returns for its number and value.

    If that is the very same object, the entry keeps its bytes; None leaves it out; anything else is written. The rest
    of the body keeps its bytes. Raises ValueError if there is no such list.
    """
    try:
        fields = _fields(body)
        raws: list[Any] = list(_entries(fields[key]))
        values = [parse(bytes(raw)) for raw in raws]
    except msgspec.ValidationError:
        raise ValueError(f"the body has no list under {key!r}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError):
        fields, raws, values = _fields_leniently(body, key)
    changed = [each(i, value) for i, value in enumerate(values)]
    kept = [raws[i] if new is values[i] else new for i, new in enumerate(changed) if new is not None]
    whole: dict[str, Any] = {**fields, key: kept}
    return encoded(whole)


def _fields_leniently(body: bytes, key: str) -> tuple[Any, list[Any], list[Any]]:
    root = parse(body)
    entries = root.get(key) if isinstance(root, dict) else None
    if not isinstance(entries, list):
        raise ValueError(f"the body has no list under {key!r}")
    return root, entries, entries


def fields_of(value: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    """The fields of an object, undecoded; none if the value is not an object."""
    try:
        return _fields(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
