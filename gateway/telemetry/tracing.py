"""Traces of requests for an OpenTelemetry collector: a span for each request, and below it a span for each judging by
the detectors and for each try of an upstream. They hold no texts of requests or answers.

The only module that uses OpenTelemetry's libraries, which are an extra (`otel`); it is loaded only if traces are
configured.
"""

import logging
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Any

import msgspec
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway.exchange import MODEL_CHARACTERS, Asked, Exchange, Recorder, Upstream
from gateway.openai_api import SURFACES, Operation
from gateway.telemetry import attributes as named

log = logging.getLogger("assay")

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Coroutine[Any, Any, None]]

_CONTEXT = TraceContextTextMapPropagator()
_CONTEXT_HEADERS = frozenset({b"traceparent", b"tracestate"})
_PATH_CHARACTERS = 200
_MOST_GUARD_SPANS = 64  # of one request: a long stream is judged hundreds of times
_SILENT_SECONDS = 60.0  # between two log lines about spans that cannot be sent
_NANO = 1_000_000_000
_EXPORT_SECONDS = 5.0

_TRACE: ContextVar["_Trace | None"] = ContextVar("trace", default=None)


class _Clock:
    """Turns monotonic seconds into wall-clock nanoseconds. Each trace has its own, so that its spans fit together even
    if the wall clock jumps."""

    def __init__(self) -> None:
        self._offset = time.time_ns() - int(monotonic() * _NANO)

    def at(self, seconds: float) -> int:
        return int(seconds * _NANO) + self._offset

    def now(self) -> int:
        return self.at(monotonic())


class Attempt:
    """One try of an upstream. `asked` is the request with the headers that pass this span on to the upstream."""

    def __init__(self, span: Span, asked: Asked, clock: _Clock) -> None:
        self.asked = asked
        self.span = span
        self._clock = clock
        self._began = monotonic()
        self._ended_at = 0

    def answered(self, status: int) -> None:
        """The answer's headers have arrived."""
        self.span.set_attribute(named.STATUS, status)
        self.span.set_attribute(named.FIRST_BYTE_SECONDS, monotonic() - self._began)
        if status >= 400:
            self.span.set_attribute(named.ERROR_TYPE, str(status))
            self.span.set_status(StatusCode.ERROR)

    def failed(self, reason: str) -> None:
        """The try failed, or its answer broke off."""
        self.over()
        self.span.set_attribute(named.ERROR_TYPE, reason)
        self.span.set_status(StatusCode.ERROR)

    def over(self) -> None:
        """The last byte has arrived, or no more is wanted. Only the first call counts."""
        self._ended_at = self._ended_at or self._clock.now()

    def close(self) -> None:
        self.over()
        self.span.end(self._ended_at)


class _Trace:
    """The spans of one request."""

    def __init__(self, span: Span, clock: _Clock) -> None:
        self.span = span
        self.clock = clock
        self.context = set_span_in_context(span, Context())
        self.attempts: list[Attempt] = []
        self.guard_calls = 0

    def close(self, exchange: Exchange) -> None:
        for attempt in self.attempts:
            attempt.over()
        if self.attempts and exchange.usage is not None:
            last = self.attempts[-1].span
            last.set_attribute(named.GEN_AI_INPUT_TOKENS, exchange.usage.input_tokens)
            last.set_attribute(named.GEN_AI_OUTPUT_TOKENS, exchange.usage.output_tokens)
            last.set_attribute(named.GEN_AI_CACHED_TOKENS, exchange.usage.cached_tokens)
        for attempt in self.attempts:
            attempt.close()
        self._describe(exchange)
        self.span.end(self.clock.at(exchange.timing.ended_at))

    def _describe(self, exchange: Exchange) -> None:
        span, asked, ruling = self.span, exchange.asked, exchange.ruling
        route = _path_of(asked)
        span.update_name(f"{asked.method} {route}")
        told: dict[str, str | int | float] = {
            named.METHOD: asked.method,
            named.PATH: asked.path[:_PATH_CHARACTERS],
            named.ROUTE: route,
            named.REQUEST_ID: exchange.id,
            named.DECISION: ruling.decision,
            named.GUARD_CALLS: self.guard_calls,
            named.GUARD_SECONDS: exchange.timing.guard_seconds,
            **_model_of(asked),
        }
        if exchange.outcome is not None:
            told[named.OUTCOME] = exchange.outcome.value
        known = {
            named.STATUS: exchange.status,
            named.CALLER: exchange.principal and exchange.principal.name,
            named.ASSAY_ROUTE: exchange.route and exchange.route.name,
            named.POLICY: ruling.revision,
            named.ERROR_TYPE: exchange.reason,
        }
        span.set_attributes(told | {name: value for name, value in known.items() if value})
        if exchange.status >= 500:
            span.set_status(StatusCode.ERROR)


class Tracing:
    """Makes spans; a process has one. `close` sends those that wait, and blocks meanwhile.

    `processors` receive the spans as they end. Of the traces that begin here the share `sample_rate` is kept; a trace
    that a caller began is kept if the caller keeps it.
    """

    def __init__(self, *processors: SpanProcessor, sample_rate: float = 1.0, version: str = "") -> None:
        sampler = ParentBased(TraceIdRatioBased(sample_rate))
        self._provider = TracerProvider(sampler, _resource(version), shutdown_on_exit=False)
        for processor in processors:
            self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("assay", version)

    def around(self, application: Application) -> Application:
        """The application, with a trace for each request: a new one, or the caller's continued."""

        async def traced(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
            _TRACE.set(self._begin(scope["method"], scope["headers"]))
            await application(scope, receive, send)

        return traced

    def recording(self, recorder: Recorder) -> Recorder:
        """A recorder that does what this one does and then ends the exchange's trace."""
        return _TracingRecorder(recorder)

    def attempt(self, asked: Asked, upstream: Upstream) -> Attempt:
        """Begin the span of a try of this upstream."""
        trace = _TRACE.get() or self._begin(asked.method, asked.headers)
        about = _model_of(asked)
        about[named.GEN_AI_PROVIDER] = named.provider_of(upstream.host, asked.operation)
        name = f"{about.get(named.GEN_AI_OPERATION, asked.method)} {about.get(named.GEN_AI_REQUEST_MODEL, '')}".strip()
        span = self._tracer.start_span(
            name,
            trace.context,
            SpanKind.CLIENT,
            {**about, named.UPSTREAM: upstream.name, named.SERVER: upstream.host, named.PORT: upstream.port},
            start_time=trace.clock.now(),
        )
        attempt = Attempt(span, _introduced(asked, span), trace.clock)
        trace.attempts.append(attempt)
        return attempt

    @contextmanager
    def guarding(self, direction: str) -> Iterator[None]:
        """A span around asking the detectors about a request. Of an exception only the `reason` or type is recorded."""
        trace = _TRACE.get()
        if trace is None or trace.guard_calls >= _MOST_GUARD_SPANS:
            if trace is not None:
                trace.guard_calls += 1
            yield
            return
        trace.guard_calls += 1
        span = self._tracer.start_span(
            f"{named.APPLY_GUARDRAIL} {direction}",
            trace.context,
            attributes={named.GEN_AI_OPERATION: named.APPLY_GUARDRAIL, named.DIRECTION: direction},
            start_time=trace.clock.now(),
        )
        try:
            yield
        except BaseException as error:
            span.set_attribute(named.ERROR_TYPE, getattr(error, "reason", type(error).__name__))
            span.set_status(StatusCode.ERROR)
            raise
        finally:
            span.end(trace.clock.now())

    def close(self, seconds: float = _EXPORT_SECONDS) -> None:
        """Send the spans that wait, and end. Blocks for `seconds` at most, because the collector may hang."""
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(seconds)

    def _begin(self, method: str, headers: list[tuple[bytes, bytes]]) -> _Trace:
        given = {name.decode(): value.decode("latin-1") for name, value in headers if name in _CONTEXT_HEADERS}
        clock = _Clock()
        parent = _CONTEXT.extract(given, Context())
        return _Trace(self._tracer.start_span(method, parent, SpanKind.SERVER, start_time=clock.now()), clock)


def tracing_to(endpoint: str, *, sample_rate: float, version: str) -> Tracing:
    """Traces that are sent to the collector at this base URL, by OTLP over HTTP. `OTEL_EXPORTER_OTLP_HEADERS` and the
    exporter's other environment variables apply."""
    _report_rarely(endpoint)
    url = endpoint if endpoint.endswith("/v1/traces") else endpoint + "/v1/traces"
    exporter = OTLPSpanExporter(url, timeout=_EXPORT_SECONDS)
    return Tracing(BatchSpanProcessor(exporter), sample_rate=sample_rate, version=version)


class _TracingRecorder:
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def closed(self, exchange: Exchange) -> None:
        self._recorder.closed(exchange)
        trace = _TRACE.get()
        if trace is not None:
            _TRACE.set(None)
            trace.close(exchange)


def _resource(version: str) -> Resource:
    """Our name and version; `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` take precedence."""
    found = Resource.create({SERVICE_VERSION: version})
    if str(found.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        found = found.merge(Resource({SERVICE_NAME: "assay"}))
    return found


def _introduced(asked: Asked, span: Span) -> Asked:
    """The request with the context of this span in place of the client's."""
    told: dict[str, str] = {}
    _CONTEXT.inject(told, set_span_in_context(span, Context()))
    kept = [header for header in asked.headers if header[0] not in _CONTEXT_HEADERS]
    own = [(name.encode(), value.encode("latin-1")) for name, value in told.items()]
    return msgspec.structs.replace(asked, headers=[*kept, *own], notes={})


def _path_of(asked: Asked) -> str:
    """The path of the operation, without what differs from request to request."""
    if asked.operation is Operation.OTHER:
        return "/v1/*"
    path = next((path for method, path in SURFACES[asked.operation].paths if method == asked.method), "/v1/*")
    return path + "*" if path.endswith("/") else path


def _model_of(asked: Asked) -> dict[str, str | int | float]:
    about: dict[str, str | int | float] = {}
    if (operation := named.OPERATIONS.get(asked.operation)) is not None:
        about[named.GEN_AI_OPERATION] = operation
    if asked.model:
        # JSON allows half a surrogate pair, with which a whole batch of spans could not be sent.
        about[named.GEN_AI_REQUEST_MODEL] = asked.model[:MODEL_CHARACTERS].encode("utf-8", "replace").decode()
    return about


class RareLines(logging.Handler):
    """Writes to our own log the first message of OpenTelemetry's libraries in each minute."""

    def __init__(self, endpoint: str, clock: Callable[[], float] = monotonic) -> None:
        super().__init__(logging.WARNING)
        self._endpoint = endpoint
        self._clock = clock
        self._silent_until = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        now = self._clock()
        if now >= self._silent_until:
            self._silent_until = now + _SILENT_SECONDS
            log.warning(
                "traces cannot be sent to %s (otlp_endpoint) and are lost; requests are not affected: %s",
                self._endpoint,
                record.getMessage(),
            )


def _report_rarely(endpoint: str) -> None:
    libraries = logging.getLogger("opentelemetry")
    libraries.handlers = [RareLines(endpoint)]
    libraries.propagate = False
