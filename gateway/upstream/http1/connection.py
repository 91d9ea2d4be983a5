"""One connection to an upstream: idle, or carrying exactly one request and its answer."""

import asyncio
from typing import Protocol, cast

import httptools

from gateway.errors import UpstreamError
from gateway.exchange import Headers
from gateway.heads import TAB, has_tab_behind, untabbed
from gateway.upstream.http1.known_answer import KnownAnswer, known_answer
from gateway.upstream.http1.response import Http1Response
from gateway.upstream.http1.states import BEGUN, TRANSITIONS, ConnectionEvent, Framing, State
from gateway.upstream.transport import FAILURES, HIGH_WATER, MAX_HEADERS, STATUSES, WHOLE_BYTES, Limits, late

_MAX_HEAD_BYTES = 64 * 1024  # of headers, interim answers, chunk extensions or trailers, before a byte of body comes
_VERSIONS = ("1.0", "1.1")
# How an answer begins, by version and status. llhttp also takes RTSP/1.0 and ICE/1.0 for one of these versions.
_BEGINNINGS = {
    (version, status): b"HTTP/%b %d" % (version.encode("ascii"), status)
    for version in _VERSIONS
    for status in range(100, STATUSES.stop)
}
# How nearly all answers begin, so that the parser need not be asked for the version.
_USUAL_BEGINNINGS = {status: _BEGINNINGS["1.1", status] for status in STATUSES}
_WHITE = b" \t"
_MOST_LEARNT = 8  # after so many remembered heads that never came again, this server's heads all differ
# Bound here, because looking up a member of an enumeration costs more than everything else that is done with it.
_IDLE, _CLOSED, _SENDING, _WAITING = State.IDLE, State.CLOSED, State.SENDING, State.WAITING
_BY_CLOSE, _BY_LENGTH, _BY_CHUNKS, _SMALL = Framing
_ON_ASKED, _ON_BEGAN_TO_ASK, _ON_SENT, _ON_HEAD, _ON_END, _ON_SPOILED, _ON_CLOSED = (
    TRANSITIONS[e] for e in ConnectionEvent
)


class Owner(Protocol):
    """The pool, as far as a connection needs it."""

    limits: Limits
    loop: asyncio.AbstractEventLoop

    def release(self, connection: "UpstreamConnection") -> None:
        """It may carry another request."""
        ...

    def forget(self, connection: "UpstreamConnection") -> None:
        """It is closed."""
        ...


class UpstreamConnection(asyncio.Protocol):
    """`state` changes by the table in `states`; everything else here is about the one answer under way."""

    def __init__(self, pool: Owner) -> None:
        self.pool = pool
        self.state = _IDLE
        self.answers = 0  # that came whole; after the first, a reset may only mean that the connection was stale
        self.deadline = 0.0  # loop time at which the sweep ends the request; 0 for none
        self.idle_since = 0.0
        self.reading_paused = False
        self._limits = pool.limits  # of the request under way
        self._phase = "first_byte_timeout"  # the reason if the deadline passes
        self._loop = pool.loop
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._answer: Http1Response | None = None
        self._head_only = False
        self._chunked = False  # the request's body goes out in chunks
        self._framing = _BY_CLOSE
        self._overhead = 0  # bytes received since the last byte of body
        self._recent = b""  # what was received of an incomplete head
        self._known: KnownAnswer | None = None  # the head of the last answer that came whole
        self._learnt = 0  # heads that were remembered since one came again
        self._writable: asyncio.Future[None] | None = None  # exists while the upstream takes no more

    @property
    def is_open(self) -> bool:
        return self.state is not _CLOSED

    # --- used by the pool and the response

    def start(
        self, head: bytes, body: bytes | None, head_only: bool, chunked: bool, limits: Limits | None
    ) -> Http1Response:
        """Send a request; `body` None means that it follows through `Http1Response.send`."""
        answer = self._answer = Http1Response(self, self._loop, reused=self.answers > 0)
        self._limits = limits or self.pool.limits
        self._head_only = head_only
        self._overhead = 0
        if not body:
            self._transport.write(head)
        elif len(body) < WHOLE_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))
        if body is None:
            self._chunked = chunked
            self.state = _ON_BEGAN_TO_ASK[self.state]
        else:
            self.state = _ON_ASKED[self.state]
            self._phase = "first_byte_timeout"
            self.deadline = self._loop.time() + self._limits.first_byte_seconds
        return answer

    def write(self, data: bytes) -> None:
        """Send a piece of the body. An empty one is not sent, because as a chunk it would be the last."""
        if data:
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def end_body(self) -> None:
        """The last piece of the body was written."""
        if self._chunked:
            self._transport.write(b"0\r\n\r\n")
        if self.state is _SENDING:
            self._phase = "first_byte_timeout"
            self.deadline = self._loop.time() + self._limits.first_byte_seconds
        self.state = _ON_SENT[self.state]

    async def drain(self) -> None:
        """Wait until the upstream reads what was written."""
        if self._writable is None or not self.is_open:
            return
        self._allow_silence("write_timeout")
        try:
            await asyncio.shield(self._writable)
        finally:
            self.deadline = 0.0
            if self.state in BEGUN and not self.reading_paused:
                self._allow_silence("idle_timeout")

    def resume(self) -> None:
        """The response's buffer has room again."""
        self.reading_paused = False
        self._allow_silence("idle_timeout")
        self._transport.resume_reading()

    def close(self) -> None:
        """Drop the connection at once; the pool forgets it now and not only when the loop reports it lost."""
        if self.is_open:
            self.state = _ON_CLOSED[self.state]
            self.deadline = 0.0
            self.pool.forget(self)
            self._transport.abort()

    def give_up(self, error: UpstreamError) -> None:
        """Close, with this error for whoever waits."""
        answer, self._answer = self._answer, None
        self.close()
        if answer is not None:
            answer.fail(error)

    def time_out(self) -> None:
        """The deadline has passed."""
        self.give_up(late(self._phase, self._limits))

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:  # nothing may come on an idle connection
            self.close()
            return
        if self._known is not None and self._take_known(self._known, answer, data):
            return
        size = answer.size
        self._overhead += len(data)
        if TAB in data and not answer.started:
            data = untabbed(data)
        self._recent = self._recent + data if self._recent else data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse("the upstream switched to another protocol, which was not asked for")
        except httptools.HttpParserError as error:
            self._refuse(f"the upstream's answer is not HTTP/1.1: {error}")
        else:
            self._after_reading(answer, size)

    def eof_received(self) -> None:
        # Nothing can follow. Without this, the transport would first wait for our own bytes to leave.
        self._end(None)
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc)

    def pause_writing(self) -> None:
        if self._writable is None:
            self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    # --- httptools callbacks

    def on_message_begin(self) -> None:
        if self._answer is None:  # an unasked answer must not pass for the answer to the next request
            self.state = _ON_SPOILED[self.state]
        self._framing = _BY_CLOSE

    def on_header(self, name: bytes, value: bytes) -> None:
        answer = self._answer
        if answer is None or answer.started:  # trailers are ignored: the client has the headers by now
            return
        name, raw, value = name.lower(), value, value.strip(_WHITE)
        answer.headers.append((name, value))
        if name == b"content-length":
            small = value.isdigit() and int(value) <= WHOLE_BYTES
            self._framing = _SMALL if small else _BY_LENGTH
        elif name == b"transfer-encoding":
            # With a tab behind the name, as when the rest of the line came later, the parser would read to the end.
            if self._framing is not _BY_CLOSE or value.lower() != b"chunked" or has_tab_behind(raw):
                self._refuse("the upstream used a transfer-encoding that was not asked for")
            self._framing = _BY_CHUNKS

    def on_headers_complete(self) -> None:
        answer = self._answer
        if answer is None:
            return
        status = self._parser.get_status_code()
        if len(answer.headers) > MAX_HEADERS or self._overhead > _MAX_HEAD_BYTES < _size(answer.headers):
            self._refuse_flood()
        elif not self._recent.startswith(_USUAL_BEGINNINGS.get(status, b"\n")) and not self._begins_so(status):
            self._refuse_beginning(status)
        elif status < STATUSES.start:  # 100 Continue and its like only announce the answer
            answer.headers.clear()
        else:
            answer.status = status
            answer.started = True
            answer.is_small = self._framing is _SMALL and status < FAILURES
            self.state = _ON_HEAD[self.state]
            if self._head_only:
                self._finish(again=False)  # the parser would wait for a body that never comes

    def on_body(self, data: bytes) -> None:
        answer = self._answer
        if answer is not None and answer.add(data) > HIGH_WATER and not self.reading_paused:
            self.reading_paused = True
            self.deadline = 0.0  # the silence is ours: the client is slow
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() >= 200:
            self._finish()

    # --- inside

    def _allow_silence(self, phase: str) -> None:
        self._phase = phase
        self.deadline = self._loop.time() + self._limits.idle_seconds

    def _after_reading(self, answer: Http1Response, size_before: int) -> None:
        """All of one read was parsed: wake whoever waits, hand the connection back, or watch for floods."""
        recent = self._recent
        if answer.started:
            self._recent = b""
        if answer.complete:
            if self.state is _IDLE:
                self.answers += 1
                if self._learnt < _MOST_LEARNT:
                    self._known = known_answer(recent, answer.status, answer.headers)
                    self._learnt += 1
                self.pool.release(self)
            else:
                self.close()
            return
        if answer.size > size_before:
            self._overhead = 0
        elif self._overhead > _MAX_HEAD_BYTES:
            self._refuse_flood()
        if not self.is_open or not answer.started:
            return
        if not self.reading_paused:
            self._allow_silence("idle_timeout")
        if not answer.is_small:
            answer.arrived()

    def _take_known(self, known: KnownAnswer, answer: Http1Response, data: bytes) -> bool:
        """Take a whole answer with a known head without the parser; False for anything else."""
        if self.state is not _WAITING or self._recent or self._head_only:
            return False
        found = known.read(data)
        if found is None:
            return False
        self._learnt = 0
        answer.headers, start = found
        answer.status = known.status
        answer.started = answer.is_small = True
        self.state = _ON_HEAD[self.state]
        if start < len(data):
            answer.add(data[start:])
        self._answer = None
        self.deadline = 0.0
        self.state = _ON_END[self.state]
        answer.finish()
        self.answers += 1
        self.pool.release(self)
        return True

    def _finish(self, *, again: bool = True) -> None:
        """The last byte of the answer is here. The connection is used `again` only if the upstream agrees."""
        answer, self._answer = self._answer, None
        if answer is None:
            return
        self.deadline = 0.0
        if self.reading_paused:
            self.reading_paused = False
            self._transport.resume_reading()
        self.state = _ON_END[self.state]
        if not again or not self._parser.should_keep_alive():
            self.state = _ON_SPOILED[self.state]
        answer.finish()

    def _end(self, exc: Exception | None) -> None:
        """The upstream is gone."""
        begun = self.state in BEGUN
        if self.is_open:
            self.state = _ON_CLOSED[self.state]
            self.pool.forget(self)
        self.resume_writing()
        answer, self._answer = self._answer, None
        if answer is None:
            return
        if begun and self._framing is _BY_CLOSE and exc is None:
            answer.finish()
        elif begun:
            answer.fail(UpstreamError("truncated", "the upstream closed the connection in the middle of its answer"))
        else:
            answer.fail(UpstreamError("reset", "the upstream closed the connection without an answer"))

    def _begins_so(self, status: int) -> bool:
        """Whether an HTTP answer with this status is among what was received; interim answers may precede it."""
        beginning = _BEGINNINGS.get((self._parser.get_http_version(), status))
        return beginning is not None and _has_line(self._recent, beginning)

    def _refuse_beginning(self, status: int) -> None:
        version = self._parser.get_http_version()
        if version in _VERSIONS and _has_line(self._recent, b"HTTP/%b %03d" % (version.encode("ascii"), status)):
            self._refuse(f"the upstream answered with {status:03}, which is not a status")
        else:
            self._refuse("the upstream answered in a protocol other than HTTP/1.1")

    def _refuse_flood(self) -> None:
        self._refuse(f"the upstream's answer has more than {MAX_HEADERS} headers or {_MAX_HEAD_BYTES} bytes of them")

    def _refuse(self, message: str) -> None:
        self.give_up(UpstreamError("bad_response", message))


def _has_line(received: bytes, beginning: bytes) -> bool:
    """Whether a line begins like this. A header can say anything, but not at the beginning of a line."""
    return b"\n" + beginning in received or received.startswith(beginning)


def _size(headers: Headers) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers)
