"""Reads what a request asks for, and refuses what two servers could understand differently."""

from collections.abc import Mapping
from urllib.parse import unquote

import msgspec

from gateway.encodings import READABLE
from gateway.errors import GatewayError
from gateway.exchange import Asked, Headers
from gateway.openai_api import (
    SURFACES,
    BodyError,
    Operation,
    operation_of,
    read_envelope,
    read_moderation,
    set_fields,
)

# Their bodies name the model, so they must be read.
_ENVELOPED = frozenset(surface.operation for surface in SURFACES.values() if surface.modelled)
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_ONCE = frozenset(
    {b"host", b"origin", b"authorization", b"api-key", b"x-api-key", b"content-type", b"content-encoding"}
)


class Head(msgspec.Struct, frozen=True, gc=False):
    """What a request's head says, except the length of its body; requests with the same head share it.

    `headers` are by name, without the content-length. `enveloped` says that the body names the model and must be read;
    `streamed_through` that it is forwarded as it comes, because it may be large. `packing` is the content-encoding that
    must be undone to read it; empty for none. `tail` is the path after `/v1`, with its query.
    """

    operation: Operation
    headers: Mapping[bytes, bytes]
    enveloped: bool
    streamed_through: bool
    packing: str
    tail: bytes


def head_of(asked: Asked) -> Head:
    """What the request's head says; left in its notes.

    Raises GatewayError bad_header, method_not_allowed, and not_found for a path that leaves `/v1/`.
    """
    headers = _named(asked.headers)
    operation = asked.operation = _operation(asked)
    streamed_through = _is_streamed_through(operation, headers)
    headers.pop(b"content-length", None)
    enveloped, packing = operation in _ENVELOPED, _packing(operation, headers)
    head = asked.notes[Head] = Head(operation, headers, enveloped, streamed_through, packing, asked.tail)
    return head


def _named(headers: Headers) -> dict[bytes, bytes]:
    """Headers by name. Raises GatewayError bad_header where one that decides something has two values: the gateway
    could act on one, and the model server on the other."""
    by_name = dict(headers)
    if len(by_name) != len(headers):
        _refuse_repeated(headers)
    return by_name


def _refuse_repeated(headers: Headers) -> None:
    seen: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _ONCE and seen.setdefault(name, value) != value:
            raise GatewayError("bad_header", f"the header {name.decode()} was sent with two values; send it once")


def refuse_beyond(most: int, open: int) -> None:
    """Raises GatewayError overloaded when more requests are open than the gateway takes at once."""
    if open > most:
        sentence = f"the gateway has {most} requests open; try again shortly"
        raise GatewayError("overloaded", sentence, retry_after_seconds=1)


def _operation(asked: Asked) -> Operation:
    """Raises GatewayError method_not_allowed, and not_found for a path that leaves `/v1/` or begins with it twice."""
    if asked.method not in _METHODS:
        raise GatewayError("method_not_allowed", f"the method {asked.method[:20]} is not forwarded")
    path = asked.path
    if "%" in path:  # a server behind us may decode it, even twice, so the decoded path is what counts
        path = unquote(unquote(path))
    if not asked.path.startswith("/v1/") or (("/." in path or "\\" in path) and _climbs(path)):
        raise GatewayError("not_found", "the path leaves /v1; write it plainly, without dot segments")
    if path.startswith("/v1/v1/"):
        sentence = "the path begins with /v1/v1; leave /v1 out of the base URL of this client, which adds it itself"
        raise GatewayError("not_found", sentence)
    return operation_of(asked.method, path)


def _climbs(path: str) -> bool:
    """Whether a server behind us could resolve the path to something outside `/v1`."""
    segments = path.replace("\\", "/").split("/")
    return ".." in segments or "." in segments


def _is_streamed_through(operation: Operation, headers: Mapping[bytes, bytes]) -> bool:
    if operation in _ENVELOPED:
        return False
    if b"content-length" not in headers and b"transfer-encoding" not in headers:
        return False
    return b"json" not in headers.get(b"content-type", b"").lower()


def _packing(operation: Operation, headers: Mapping[bytes, bytes]) -> str:
    """The content-encoding to undo; empty for none, and for an unknown one of a body that nobody needs to read."""
    if b"content-encoding" not in headers:
        return ""
    encoding = headers[b"content-encoding"].decode("latin-1").strip().lower()
    if encoding in ("", "identity"):
        return ""
    return encoding if operation in _ENVELOPED or encoding in READABLE else ""


def read_body(asked: Asked, head: Head, *, moderates: bool) -> bytes:
    """Set model, stream and usage as the body says; returns the body for the upstream.

    If the gateway `moderates`, the moderation that the body asks for is set too and taken out of the body, because it
    is done here. Raises GatewayError bad_body.
    """
    if not head.enveloped:
        asked.model = _model_of_other(asked)
        return asked.body
    try:
        envelope = read_envelope(asked.body)
        asked.stream = envelope.stream
        asked.include_usage = envelope.include_usage
        asked.model = envelope.model or ""
        if not (envelope.moderated and moderates and SURFACES[asked.operation].moderated):
            return asked.body
        asked.moderated = read_moderation(asked.body)
        return set_fields(asked.body, {"moderation": None})
    except BodyError as error:
        raise GatewayError("bad_body", str(error), param=error.param) from None


def _model_of_other(asked: Asked) -> str:
    """The model of a request we do not know: from its JSON body or from /v1/models/NAME, else empty."""
    if asked.operation == "models":
        return unquote(asked.path).strip("/").partition("models")[2].strip("/")
    try:
        return read_envelope(asked.body).model or ""
    except BodyError:
        return ""
