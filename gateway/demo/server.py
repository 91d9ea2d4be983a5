"""A model server for first runs, tests and benchmarks: it speaks the dialects of OpenAI and Anthropic and answers with
conversations that we wrote. Its knobs (`demo.knobs`) make it slow, broken or rude on demand.

    GET /v1/demo/received     what it received: counters, and the headers and checksum of the last request
"""

import asyncio
import re
import socket
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import msgspec
import uvicorn

from gateway.demo import messages, wire
from gateway.demo.answers import CARELESS, CONVERSATIONS, Answer, Library, Question, answer
from gateway.demo.connection import PIECE, Connection, GoneError, Receive, Send
from gateway.demo.judging import JUDGE_MODEL, DemoJudge
from gateway.demo.knobs import KnobError, Knobs, with_headers, with_query
from gateway.openai_api import error_body

App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

CARELESS_MODEL = "demo-careless"  # does whatever it is told
MODELS = ("demo-small", "demo-large", CARELESS_MODEL, JUDGE_MODEL)
_CREATED = 1_767_225_600  # 2026-01-01, fixed so that equal requests get equal bytes
_JSON = (b"content-type", b"application/json")
_FILE_SIZE = 1_000_000
_MOST_CHOICES = 16
_ERRORS = {401: ("authentication_error", "invalid_api_key"), 404: ("invalid_request_error", "not_found")}
_ERRORS |= {429: ("rate_limit_error", "rate_limit_exceeded"), 403: ("permission_error", "forbidden")}


Shelf = Mapping[str, Library]


class _RefusalError(Exception):
    """An error for the client, in OpenAI's shape."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = error_body(message, "invalid_request_error", param, code)


@dataclass(slots=True)
class Received:
    """Counts of requests: begun, answered completely, left by their client, cut off by a knob; and the last request."""

    started: int = 0
    finished: int = 0
    cancelled: int = 0
    cut: int = 0
    in_flight: int = 0
    last: dict[str, Any] = field(default_factory=dict)


class _Surface(NamedTuple):
    """How one of the endpoints for texts reads requests and writes answers."""

    question: Callable[[wire.Body], Question]
    whole: Callable[[str, str, wire.Body, list[Answer]], bytes]
    stream: Callable[[str, str, wire.Body, list[Answer], int], Iterable[bytes]]


def _response(id: str, model: str, body: wire.Body, answers: list[Answer]) -> dict[str, Any]:
    return wire.responses_object(id, _CREATED, model, body, answers[0])


def _message(id: str, model: str, body: wire.Body, answers: list[Answer]) -> dict[str, Any]:
    return messages.messages_object(id, model, body, answers[0])


_SURFACES = {
    "/v1/chat/completions": _Surface(
        wire.chat_question,
        lambda id, model, body, answers: wire.chat_body(id, _CREATED, model, body, answers),
        lambda id, model, body, answers, count: wire.chat_stream(id, _CREATED, model, body, answers, count),
    ),
    "/v1/completions": _Surface(
        wire.completion_question,
        lambda id, model, body, answers: wire.completion_body(id, _CREATED, model, body, answers),
        lambda id, model, body, answers, count: wire.completion_stream(id, _CREATED, model, body, answers, count),
    ),
    "/v1/responses": _Surface(
        wire.responses_question,
        lambda *asked: msgspec.json.encode(_response(*asked)),
        lambda id, model, body, answers, count: wire.responses_stream(_response(id, model, body, answers), count),
    ),
    "/v1/messages": _Surface(
        messages.messages_question,
        lambda *asked: msgspec.json.encode(_message(*asked)),
        lambda id, model, body, answers, count: messages.messages_stream(
            _message(id, model, body, answers), answers[0], count
        ),
    ),
}


def create(settings: Knobs | None = None, library: Library | None = None) -> App:
    """The server as an ASGI application, behaving as `settings` say unless a request asks for otherwise."""
    knobs = settings or Knobs()
    shelf = _shelf() if library is None else dict.fromkeys(MODELS, library)
    received = Received()

    async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] != "http":
            raise ValueError(f"the demo upstream speaks HTTP only, not {scope['type']}")
        elif scope["path"] == "/v1/demo/received":
            body = msgspec.json.encode(received)
            await Connection(scope, receive, send, Knobs()).reply(200, [_JSON], body)
        else:
            await _count(Connection(scope, receive, send, knobs), shelf, received)

    return app


def _shelf() -> Shelf:
    """The conversations of each model."""
    written, careless = CONVERSATIONS.read_bytes(), CARELESS.read_bytes()
    return {**dict.fromkeys(MODELS, Library(written)), CARELESS_MODEL: Library(careless + written)}


async def _live(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


async def _count(connection: Connection, shelf: Shelf, received: Received) -> None:
    received.started += 1
    received.in_flight += 1
    try:
        complete = await _serve(connection, shelf, received)
        received.finished += complete
        received.cut += not complete
    except GoneError:
        received.cancelled += 1
    except asyncio.CancelledError:
        received.cancelled += 1
        raise
    finally:
        received.in_flight -= 1


async def _serve(connection: Connection, shelf: Shelf, received: Received) -> bool:
    try:
        connection.knobs = with_query(with_headers(connection.knobs, connection.headers), connection.query)
        body = await connection.read(keep=connection.path != "/v1/files")
        received.last = _note(connection)
        return await _answer(connection, body, shelf)
    except KnobError as error:
        refusal = _RefusalError(400, f"{error}.", "model", "unknown_knob")
    except wire.QuestionError as error:
        refusal = _RefusalError(400, f"{error}.")
    except _RefusalError as error:
        refusal = error
    return await connection.reply(refusal.status, [_JSON], refusal.body)


def _note(connection: Connection) -> dict[str, Any]:
    return {
        "method": connection.method,
        "path": connection.path,
        "query": connection.query,
        "headers": [(name.decode("latin-1"), value.decode("latin-1")) for name, value in connection.headers],
        "body_bytes": connection.size,
        "body_sha256": connection.digest.hexdigest(),
    }


async def _answer(connection: Connection, body: bytes, shelf: Shelf) -> bool:
    surface = _SURFACES.get(connection.path) if connection.method == "POST" else None
    embeds = (connection.method, connection.path) == ("POST", "/v1/embeddings")
    counts = (connection.method, connection.path) == ("POST", "/v1/messages/count_tokens")
    named = surface is not None or embeds or counts
    asked = _fields(body) if named else {}
    model = _model(connection, asked.get("model")) if named else ""
    misbehaved = await _misbehave(connection)
    if misbehaved is not None:
        return misbehaved
    if surface:
        return await _speak(connection, surface, model, asked, body, shelf[model])
    if counts:
        return await connection.reply(200, [_JSON], msgspec.json.encode({"input_tokens": wire.prompt_tokens(asked)}))
    if embeds:
        return await connection.reply(200, [_JSON], wire.embeddings_body(model, asked))
    return await _plain(connection)


async def _speak(
    connection: Connection, surface: _Surface, model: str, asked: wire.Body, body: bytes, library: Library
) -> bool:
    question, id_ = surface.question(asked), f"{zlib.crc32(body):08x}"
    wanted = asked.get("n")
    count = min(max(wanted, 1), _MOST_CHOICES) if isinstance(wanted, int) else 1
    answers = [answer(library, question, connection.knobs, number) for number in range(count)]
    if model == JUDGE_MODEL:
        answers = [Answer(_judge().answer(asked))] * count
    if asked.get("stream") is True:
        return await connection.stream(surface.stream(id_, model, asked, answers, connection.knobs.deltas))
    return await connection.reply(200, [_JSON], surface.whole(id_, model, asked, answers))


@cache
def _judge() -> DemoJudge:
    return DemoJudge()


def _fields(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _RefusalError(400, f"We could not parse the JSON body of your request: {error}.") from None


def _model(connection: Connection, asked: object) -> str:
    if not isinstance(asked, str) or not asked:
        raise _RefusalError(400, "You must provide a model parameter.", "model")
    name, _, query = asked.partition("?")
    if name not in MODELS:
        raise _no_model(name)
    connection.knobs = with_query(connection.knobs, query)
    return name


def _no_model(name: str) -> _RefusalError:
    message = f"The model `{name}` does not exist or you do not have access to it."
    return _RefusalError(404, message, "model", "model_not_found")


async def _misbehave(connection: Connection) -> bool | None:
    """Does what the knobs say in place of an answer; None if there is to be an answer."""
    knobs = connection.knobs
    if knobs.hang:
        await connection.pause(None)
    if knobs.html:
        page = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
        return await connection.reply(502, [(b"content-type", b"text/html")], page)
    if knobs.status >= 400:
        kind, code = _ERRORS.get(knobs.status, ("server_error" if knobs.status >= 500 else "demo_error", None))
        body = error_body(f"The demo upstream was told to answer {knobs.status}.", kind, None, code)
        wait = [(b"retry-after", b"1")] if knobs.status in (429, 503) else []
        return await connection.reply(knobs.status, [_JSON, *wait], body)
    return None


# What a download repeats: 64 KiB of bytes that are neither text nor zeros.
DOWNLOAD_PIECE = (bytes(range(251)) * (PIECE // 251 + 1))[:PIECE]
_DOWNLOAD = re.compile(r"/v1/files/(?:file-)?(?P<size>\d{1,12})?[^/]*/content")
_FILE_FIELDS = re.compile(rb'name="(?P<field>purpose)"\r\n\r\n(?P<value>[^\r]*)|filename="(?P<name>[^"\r]*)"')


async def _plain(connection: Connection) -> bool:
    """The endpoints without a model's answer: models and files."""
    asked = (connection.method, connection.path)
    if asked == ("GET", "/v1/models"):
        body = msgspec.json.encode({"object": "list", "data": [_model_card(name) for name in MODELS]})
        return await connection.reply(200, [_JSON], body)
    if connection.method == "GET" and connection.path.startswith("/v1/models/"):
        name = connection.path.removeprefix("/v1/models/")
        if name not in MODELS:
            raise _no_model(name)
        return await connection.reply(200, [_JSON], msgspec.json.encode(_model_card(name)))
    if asked == ("POST", "/v1/files"):
        return await connection.reply(200, [_JSON], msgspec.json.encode(_upload(connection)))
    download = _DOWNLOAD.fullmatch(connection.path) if connection.method == "GET" else None
    if download:
        return await _download(connection, connection.knobs.big or int(download["size"] or _FILE_SIZE))
    raise _RefusalError(404, f"Invalid URL ({connection.method} {connection.path})", None, "unknown_url")


def _model_card(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": "assay-demo"}


def _upload(connection: Connection) -> dict[str, Any]:
    found = {match["field"] or b"filename": match["value"] or match["name"] for match in _file_fields(connection)}
    digest = connection.digest.hexdigest()
    return {
        "id": f"file-{digest[:24]}",
        "object": "file",
        "bytes": connection.size,
        "created_at": _CREATED,
        "filename": found.get(b"filename", b"").decode(errors="replace"),
        "purpose": found.get(b"purpose", b"user_data").decode(errors="replace"),
        "status": "processed",
        "sha256": digest,
    }


def _file_fields(connection: Connection) -> Iterable[re.Match[bytes]]:
    return _FILE_FIELDS.finditer(connection.head)


async def _download(connection: Connection, size: int) -> bool:
    pieces = (DOWNLOAD_PIECE[: size - start] for start in range(0, size, PIECE))
    headers = [(b"content-type", b"application/octet-stream")]
    if not connection.knobs.gzip:
        headers.append((b"content-length", b"%d" % size))
    return await connection.pass_on(200, headers, pieces)


def serve(
    host: str = "127.0.0.1", port: int = 8081, settings: Knobs | None = None, *, listening: socket.socket | None = None
) -> None:
    """Run the server until it is told to stop; with `listening`, on that socket."""
    config = uvicorn.Config(create(settings), host=host, port=port, log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=None if listening is None else [listening])
