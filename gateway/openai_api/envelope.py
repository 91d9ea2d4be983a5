"""Reads the few fields of a request that are needed before it can be routed."""

import codecs
import json
import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, NoReturn

import msgspec

from gateway.openai_api.bodies.document import MOST_VALUES, has_too_many_values, parse
from gateway.openai_api.surface import Operation


class BodyError(ValueError):
    """The body cannot be used: `message` says what and where, `param` names the field at fault, if one is."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """Which model is asked for, whether the reply is to be a stream, whether that stream ends with usage, and whether
    the request mentions moderation (`read_moderation` reads what)."""

    model: str | None = None
    stream: bool = False
    include_usage: bool = False
    moderated: bool = False


class _StreamOptions(msgspec.Struct, gc=False):
    include_usage: bool | None = None


_NOTHING = msgspec.Raw()


class _Wire(msgspec.Struct, gc=False):
    model: str | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    moderation: msgspec.Raw = _NOTHING  # raw, because its form depends on the operation


_decode = msgspec.json.Decoder(_Wire).decode
_MISMATCH = re.compile(r"Expected `(?P<wanted>[^`]+)`, got `(?P<got>[^`]+)`(?: - at `\$\.(?P<param>[^`]+)`)?")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*?)`(?: - at `\$\.(?P<param>[^`]+)`)?$", re.DOTALL)
_JSON_NAMES = {"str": "a string", "bool": "true or false", "object": "an object", "null": "null"}
_JSON_NAMES |= {"int": "a number", "float": "a number", "array": "an array"}
_SYNTAX = re.compile(r"JSON is malformed: (?P<what>.+)")


def read_envelope(body: bytes) -> Envelope:
    """Read the few fields and skip the rest without building it.

    Null counts as absent. Raises BodyError for what is not a JSON object in UTF-8, or for a field of the wrong
    type. A lone surrogate escape, which strict readers refuse, may stand anywhere but in the model's name.
    """
    if not body.isascii():
        _check_utf8(body)
    try:
        wire = _decode(body)
    except msgspec.ValidationError as error:
        _refuse_types(error)
    except msgspec.DecodeError as error:
        wire = _decode_leniently(body, error)
    except RecursionError:
        raise BodyError("the request body is nested too deeply") from None
    options = wire.stream_options
    moderated = wire.moderation is not _NOTHING and bytes(wire.moderation) != b"null"
    return Envelope(wire.model, wire.stream is True, options is not None and options.include_usage is True, moderated)


class _Asked(msgspec.Struct, gc=False):
    n: int | None = None
    prompt: msgspec.Raw = msgspec.Raw()


_decode_asked = msgspec.json.Decoder(_Asked).decode


def choices_wanted(body: bytes) -> int:
    """How many choices a request of chat or completions asks for: `n` for every prompt; 1 if that cannot be read."""
    try:
        asked = _decode_asked(body)
        several = _prompts_in(asked.prompt)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 1
    return max(asked.n or 1, 1) * max(several, 1)


def _prompts_in(prompt: msgspec.Raw) -> int:
    """How many prompts a field holds; the most that it can hold if it is too large to be built."""
    written = bytes(prompt)
    if not written.startswith(b"["):
        return 1
    if has_too_many_values(written):
        return written.count(b",") + 1
    prompts = msgspec.json.decode(written)
    return sum(isinstance(each, str | list) for each in prompts)  # a list of numbers is one prompt, as tokens


class _NamesEndUser(msgspec.Struct, gc=False):
    """The fields that may name an end user, raw, because they may be anything and of any size."""

    safety_identifier: msgspec.Raw = _NOTHING
    user: msgspec.Raw = _NOTHING
    metadata: msgspec.Raw = _NOTHING


_LONGEST_NAMING = 64 * 1024  # bytes of a field that names an end user; a longer one names nobody
_decode_end_user = msgspec.json.Decoder(_NamesEndUser).decode


def end_user_named(operation: Operation, body: bytes) -> str:
    """The person behind a request, as it names them: `safety_identifier`, else `user`; in Anthropic's dialect
    `metadata.user_id`. Empty if it names nobody or cannot be read."""
    try:
        asked = _decode_end_user(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        asked = _end_user_leniently(body)
    if operation in (Operation.MESSAGES, Operation.MESSAGE_TOKENS):
        metadata = _short_value(asked.metadata)
        return _name(metadata.get("user_id") if isinstance(metadata, dict) else None)
    return _name(_short_value(asked.safety_identifier)) or _name(_short_value(asked.user))


def _name(value: object) -> str:
    return value if isinstance(value, str) else ""


def _short_value(field: msgspec.Raw) -> object:
    written = bytes(field) if len(memoryview(field)) <= _LONGEST_NAMING else b""
    try:
        return parse(written) if written else None
    except (ValueError, RecursionError):
        return None


def _end_user_leniently(body: bytes) -> _NamesEndUser:
    """The same for a body that only lenient readers accept."""
    try:
        value = None if has_too_many_values(body) else parse(body)
    except (ValueError, RecursionError):
        return _NamesEndUser()
    fields = value if isinstance(value, dict) else {}
    names = _NamesEndUser.__struct_fields__
    return _NamesEndUser(*(msgspec.Raw(json.dumps(fields.get(name)).encode()) for name in names))


def _check_utf8(body: bytes) -> None:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise BodyError(f"the request body is not valid UTF-8 (byte {error.start})") from None


def _refuse_types(error: msgspec.ValidationError) -> NoReturn:
    """Raises BodyError that says in JSON's terms which field of a request has the wrong type."""
    found = _MISMATCH.match(str(error))
    unknown = _UNKNOWN.match(str(error))
    if unknown is not None:
        at = unknown["param"] or "moderation.policy"
        raise BodyError(f"'{at}' has no field '{unknown['name']}'", at) from None
    if found is None:
        raise BodyError(f"the request body cannot be read: {error}") from None
    wanted = " or ".join(_JSON_NAMES.get(name, name) for name in found["wanted"].split(" | "))
    got = _JSON_NAMES.get(found["got"], found["got"])
    subject = f"'{found['param']}'" if found["param"] else "the request body"
    raise BodyError(f"{subject} must be {wanted}, not {got}", found["param"]) from None


def _decode_leniently(body: bytes, strict: msgspec.DecodeError) -> _Wire:
    """Read a body again that the strict reader refused: only lone surrogate escapes are accepted."""
    if not body.strip():
        raise BodyError("the request body is empty; send a JSON object") from None
    if body.startswith(codecs.BOM_UTF8):
        raise BodyError("the request body begins with a byte order mark, which JSON must not (RFC 8259, 8.1)") from None
    if b"\\u" not in body:
        _refuse_syntax(body, strict)
    if has_too_many_values(body):
        raise BodyError(f"the request body is not strict JSON, and has more than {MOST_VALUES:,} values") from None
    try:
        value = parse(body, with_nan=False)
        wire = msgspec.convert(_only_what_is_read(value), _Wire)
    except msgspec.ValidationError as error:
        _refuse_types(error)
    except ValueError:
        _refuse_syntax(body, strict)
    except RecursionError:
        raise BodyError("the request body is nested too deeply") from None
    if wire.model is not None and any("\ud800" <= char <= "\udfff" for char in wire.model):
        raise BodyError("'model' holds characters that are not valid Unicode text", "model")
    if value.get("moderation") is not None:
        wire.moderation = msgspec.Raw(b"{}")
    return wire


def _only_what_is_read(value: Any) -> Any:
    """The body without texts on which `convert` would fail as the strict reader did."""
    if isinstance(value, dict):
        return {key: value[key] for key in _Wire.__struct_fields__ if key in value and key != "moderation"}
    return "" if isinstance(value, str) else value


def _refuse_syntax(body: bytes, error: msgspec.DecodeError) -> NoReturn:
    found = _SYNTAX.match(str(error))
    what = found["what"] if found else f"it ends too early (byte {len(body)})"
    raise BodyError(f"the request body is not valid JSON: {what}") from None


# --- what a request asks of its moderation

Mode = Literal["score", "block"]


class Moderated(NamedTuple):
    """What a request asks for on each side: only to report, or to block as well."""

    input: Mode = "score"
    output: Mode = "score"


# Unknown fields are refused here: a misspelt side that should be blocked would only be scored.
class _Side(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    mode: str | None = None


class _Policy(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    input: _Side | None = None
    output: _Side | None = None


class _Moderation(msgspec.Struct, gc=False):
    model: str | None = None
    policy: _Policy | None = None
    input: msgspec.Raw = _NOTHING  # these two belong in `policy`
    output: msgspec.Raw = _NOTHING


class _Moderates(msgspec.Struct, gc=False):
    moderation: _Moderation
    background: msgspec.Raw = _NOTHING


def _moderates(body: bytes) -> _Moderates:
    """The two fields; nothing else of a strict JSON body is built."""
    try:
        return _decode_moderates(body)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError):
        value = parse(body)  # it has not too many values: `read_envelope` refuses such a body
        moderation = msgspec.convert(value.get("moderation"), _Moderation)
        return _Moderates(moderation, msgspec.Raw(b"true" if value.get("background") is True else b""))


_decode_moderates = msgspec.json.Decoder(_Moderates).decode
_MODES: Mapping[str | None, Mode] = {"score": "score", "block": "block"}


def read_moderation(body: bytes) -> Moderated:
    """The `moderation` of a request that has one. Raises BodyError.

    A side whose policy is left out is scored. An answer that is made in the background is fetched without passing this
    moderation, so it cannot be blocked.
    """
    try:
        asked = _moderates(body)
    except msgspec.ValidationError as error:
        _refuse_types(error)
    except (ValueError, RecursionError):
        raise BodyError("the request body is not JSON that can be read") from None
    if asked.moderation.model is None:
        raise BodyError("'moderation.model' must name a model, such as 'omni-moderation-latest'", "moderation.model")
    if asked.moderation.input is not _NOTHING or asked.moderation.output is not _NOTHING:
        where = '{"policy": {"input": {"mode": "block"}, "output": {"mode": "block"}}}'
        raise BodyError(f"'input' and 'output' belong below 'moderation.policy': {where}", "moderation.policy")
    policy = asked.moderation.policy or _Policy()
    modes = Moderated(_mode(policy.input, "input"), _mode(policy.output, "output"))
    if modes.output == "block" and bytes(asked.background) == b"true":
        param = "moderation.policy.output.mode"
        raise BodyError(f"'{param}' cannot be 'block' for an answer that is made in the background", param)
    return modes


def _mode(side: _Side | None, name: str) -> Mode:
    if side is None:
        return "score"
    if side.mode not in _MODES:
        param = f"moderation.policy.{name}.mode"
        raise BodyError(f"'{param}' must be 'score' or 'block'", param)
    return _MODES[side.mode]
