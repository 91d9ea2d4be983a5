"""A JSON body as a tree of texts: read leniently, changed in places, the rest left byte for byte."""

import json
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, cast

import msgspec

Path = tuple[str | int, ...]

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_entries = msgspec.json.Decoder(list[msgspec.Raw]).decode
_text = msgspec.json.Decoder(str).decode


def parse(body: bytes) -> Any:
    """Any JSON value. What the strict reader refuses though it is JSON (a lone surrogate escape, a number out
    of range) is read by the standard library. Raises ValueError for what is not JSON, RecursionError for what
    is nested too deeply."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return json.loads(body.decode(), parse_int=_integer, parse_constant=_not_json)


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) < 4000 else float(digits)  # int() refuses more digits than about that


def _not_json(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def rewrite(body: bytes, edits: Mapping[Path, str]) -> bytes:
    """The body with the texts at these paths replaced; every other value keeps its bytes, keys their order.

    One thing goes with a text: its token log-probabilities, which would spell out what was replaced (an object
    becomes null, an array empty). Raises KeyError with the path when there is no text at it, so that no
    redaction is lost in silence, and ValueError when the body is not JSON.
    """
    if not edits:
        return body
    try:
        return _graft(body, _tree(edits), ())
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _graft_leniently(body, edits)


def _tree(edits: Mapping[Path, str]) -> dict[str | int, Any]:
    root: dict[str | int, Any] = {}
    for path, text in edits.items():
        if not path:
            raise KeyError(path)
        node = root
        for key in path[:-1]:
            node = node.setdefault(key, {})
        node[path[-1]] = text
    return root


def _graft(raw: bytes | msgspec.Raw, tree: dict[str | int, Any] | str, path: Path) -> bytes:
    try:
        if isinstance(tree, str):
            _text(raw)
            return _encode_text(tree)
        node = cast(
            "dict[str | int, msgspec.Raw]",
            _fields(raw) if isinstance(next(iter(tree)), str) else dict(enumerate(_entries(raw))),
        )
    except msgspec.ValidationError:
        raise KeyError(path) from None
    for key, branch in tree.items():
        if key not in node:
            raise KeyError((*path, key))
        node[key] = msgspec.Raw(_graft(node[key], branch, (*path, key)))
    logprobs = bytes(node.get("logprobs", b""))
    if logprobs[:1] in (b"{", b"["):
        node["logprobs"] = msgspec.Raw(b"null" if logprobs[:1] == b"{" else b"[]")
    return msgspec.json.encode(list(node.values()) if 0 in node else node)


def _encode_text(text: str) -> bytes:
    try:
        return msgspec.json.encode(text)
    except UnicodeEncodeError:  # a lone surrogate, from a body that was read leniently
        return json.dumps(text).encode()


def _graft_leniently(body: bytes, edits: Mapping[Path, str]) -> bytes:
    root = parse(body)
    for path, text in edits.items():
        node, above = root, root
        for key in path:
            if isinstance(node, dict) and isinstance(node.get("logprobs"), dict | list):
                node["logprobs"] = None if isinstance(node["logprobs"], dict) else []
            node, above = _child(node, key, path), node
        if not path or not isinstance(node, str):
            raise KeyError(path)
        above[path[-1]] = text
    return json.dumps(root, separators=(",", ":"), allow_nan=False).encode()


def _child(node: Any, key: str | int, path: Path) -> Any:
    try:
        return node[key]
    except (KeyError, IndexError, TypeError):
        raise KeyError(path) from None


def set_fields(body: bytes, changes: Mapping[str, bytes | None]) -> bytes:
    """An object with these fields of its own set to other JSON, or left out where that is None.

    Every other value keeps its bytes, keys their order; new ones come last. Raises ValueError when it is no object.
    """
    try:
        whole: dict[str, Any] = dict(_fields(body))
        new = {key: None if raw is None else msgspec.Raw(raw) for key, raw in changes.items()}
    except msgspec.ValidationError:
        raise ValueError("the body is no object") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        whole = parse(body)
        new = {key: None if raw is None else parse(raw) for key, raw in changes.items()}
    if not isinstance(whole, dict):
        raise ValueError("the body is no object")
    for key, value in new.items():
        if value is None:
            whole.pop(key, None)
        else:
            whole[key] = value
    try:
        return msgspec.json.encode(whole)
    except UnicodeEncodeError:
        return json.dumps(whole, separators=(",", ":"), allow_nan=False).encode()


def map_entries(body: bytes, key: str, each: Callable[[int, Any], Any]) -> bytes:
    """The body with every entry of the list under `key` put through `each`: its number and its value.

    What `each` gives back as the very same object keeps its bytes, None is left out, everything else is written anew;
    the rest of the body keeps its bytes. Raises ValueError when there is no such list.
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
    try:
        return msgspec.json.encode(whole)
    except UnicodeEncodeError:
        return json.dumps(whole, separators=(",", ":"), allow_nan=False).encode()


def _fields_leniently(body: bytes, key: str) -> tuple[Any, list[Any], list[Any]]:
    root = parse(body)
    entries = root.get(key) if isinstance(root, dict) else None
    if not isinstance(entries, list):
        raise ValueError(f"the body has no list under {key!r}")
    return root, entries, entries


def fields_of(value: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    """The fields of an object as they stand; none of what is no object."""
    try:
        return _fields(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
