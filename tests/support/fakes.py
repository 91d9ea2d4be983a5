"""Small real classes that stand where something slow, far away or random would stand."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from detectors.panel import Panel
from gateway.access.admission import Admission
from gateway.access.keys import Grant, KeyRing
from gateway.access.prices import Prices
from gateway.access.stored import StoredAnswers
from gateway.config.prices import PriceConfig
from gateway.config.settings import DEFAULT_FORWARDED
from gateway.delivery.budget import MemoryBudget
from gateway.delivery.tap import Tap
from gateway.enforcement.guard import Guard
from gateway.exchange import Exchange, Principal, Route, Sample, Streams, Upstream
from gateway.judging.client import Judging, JudgingError, TracedJudging
from gateway.judging.messages import Findings, JudgingRequest
from gateway.judging.request_panel import RequestPanel
from gateway.moderation.moderations import Moderation
from gateway.pipeline import Pipeline
from gateway.samples.memory_queue import MemoryQueue
from gateway.samples.sampling import Sampler
from gateway.serving.bodies import Bodies, BodyBounds
from gateway.serving.client import CLIENT, UnknownClient
from gateway.telemetry import metrics
from gateway.telemetry.meter import Meter, Models
from gateway.telemetry.recorder import Recorder
from gateway.telemetry.tracing import Tracing
from gateway.trust.judged import Sink
from gateway.trust.sinks import AuditSink, MetricsSink
from gateway.trust.sinks import Journal as AuditJournal
from gateway.upstream.calls import Tries, Upstreams
from gateway.upstream.headers import HeaderFilter
from gateway.upstream.health import Cooldown
from gateway.upstream.routing import Routing
from gateway.upstream.transport import Limits
from policies.compiled import Policy
from policies.compiling import Placed, compile_policy
from policies.detectable import Table
from policies.reading import load_document
from tests.support.judges.words import DETECTOR as DETECTOR
from tests.support.judges.words import LIMITS as LIMITS
from tests.support.judges.words import Words as Words
from tests.support.worlds.seen_tries import SeenTries

Message = MutableMapping[str, Any]
Application = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]

# --- detectors and policies

_TABLE: Table = ((0.001, 0.9), (0.01, 0.5))


def request_panel(absent: Mapping[str, str] | None = None) -> RequestPanel:
    """The real panel of a detector process, with the one detector above unless that is absent ("words")."""
    detectors = [] if absent and "words" in absent else [Words()]
    return RequestPanel(Panel(detectors, LIMITS, absent or {}), b"key")


class JudgingHere:
    """Judges in this process. Set `error` to a reason and it answers nothing; `pause` holds each answer back."""

    is_ready = True
    detectors = (DETECTOR,)
    compared: Sequence[str] = ()

    def __init__(self, absent: Mapping[str, str] | None = None) -> None:
        self.requests: list[JudgingRequest] = []
        self.error = ""
        self.pause: asyncio.Event | None = None
        self._panel = request_panel(absent)

    async def ready(self) -> None:
        """At once."""

    def ask(self, request: JudgingRequest, timeout_seconds: float) -> Coroutine[Any, Any, Findings]:
        return self.judge(request, timeout_seconds)

    async def judge(self, request: JudgingRequest, timeout_seconds: float) -> Findings:
        self.requests.append(request)
        if self.pause is not None:
            try:
                async with asyncio.timeout(timeout_seconds):
                    await self.pause.wait()
            except TimeoutError:
                self._give_up("timed_out")
        if self.error:
            self._give_up(self.error)
        (findings,) = self._panel.judge([request])
        metrics.covered(findings.coverage, findings.remembered, findings.unread)
        return findings

    def _give_up(self, reason: str) -> NoReturn:
        if reason == "timed_out":
            metrics.covered([(detector, reason, 1) for detector in self.detectors], [], [])
        raise JudgingError(reason)


OBSERVE = """
version: 1
mode: monitor
rules:
  - {id: no-violence, when: {subcategory: violence}, then: block}
  - {id: no-attacks, when: {subcategory: prompt_attacks, on: prompt}, then: block}
  - {id: no-secrets, when: {subcategory: privacy_violation, on: response}, then: redact}
"""
ENFORCE = OBSERVE.replace("monitor", "enforce")
STRICT = ENFORCE.replace("block}", "block, on_error: block}")


def rules(*written: str) -> str:
    """An enforcing policy of these rules, each the inside of a YAML mapping."""
    return "version: 1\nmode: enforce\nrules:\n" + "".join(f"  - {{{text}}}\n" for text in written)


def policy(text: str, own: Mapping[str, str] = MappingProxyType({}), routes: Iterable[str] = ()) -> Policy:
    """A policy about what the detector above can find, and those of routes that have their own."""
    return _compiled(text, tuple(own.items()), tuple(routes))


@cache
def _compiled(text: str, own: tuple[tuple[str, str], ...], routes: tuple[str, ...]) -> Policy:
    more = [Placed(load_document(text, f"{route}.yaml"), frozenset({route}), f"of-{route}") for route, text in own]
    return compile_policy(
        load_document(text, "policy.yaml"),
        *more,
        routes=routes,
        categories={"safety": ("violence", "privacy_violation"), "robustness": ("prompt_attacks",)},
        operating={(DETECTOR, slug, role): _TABLE for slug in Words.slugs for role in ("prompt", "response")},
    )


# --- what is recorded


class Journal:
    """Keeps what would be written into the audit file."""

    path: Path | None = Path("nowhere")

    def __init__(self) -> None:
        self.lines: list[tuple[str, Mapping[str, Any]]] = []

    def append(self, kind: str, fields: Mapping[str, Any]) -> None:
        self.lines.append((kind, fields))


CATEGORIES = {"violence": "safety", "prompt_attacks": "robustness", "privacy_violation": "safety"}


def sinks(journal: AuditJournal, *, keeps_texts: bool = False) -> list[Sink]:
    """The metrics, and what is written down."""
    return [MetricsSink(CATEGORIES), AuditSink(journal, keeps_texts=keeps_texts)]


class Notebook:
    """Keeps every closed exchange and passes it on to the real recorder."""

    def __init__(self, recorder: Recorder) -> None:
        self.closed_ones: list[Exchange] = []
        self._recorder = recorder

    def closed(self, exchange: Exchange) -> None:
        self.closed_ones.append(exchange)
        self._recorder.closed(exchange)


class Counts:
    """What was added to a counter since this was made."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._before = self._now()

    def added(self) -> dict[tuple[str, ...], float]:
        """By the values of the labels, in the order of the labels' names; what did not change is left out."""
        now = self._now()
        changes = {key: value - self._before.get(key, 0.0) for key, value in now.items()}
        return {tuple(value for _, value in key): change for key, change in changes.items() if change}

    def _now(self) -> dict[tuple[tuple[str, str], ...], float]:
        metrics.flush()
        return metrics.samples(self._name)


class Observed:
    """What one histogram took in since this was made: how many observations, and their sum."""

    def __init__(self, name: str, **labels: str) -> None:
        self._name = name
        self._labels = tuple(sorted(labels.items()))
        self._before = self._now()

    def added(self) -> tuple[float, float]:
        count, total = self._now()
        return count - self._before[0], total - self._before[1]

    def _now(self) -> tuple[float, float]:
        metrics.flush()
        count, total = (metrics.samples(self._name + each).get(self._labels, 0.0) for each in ("_count", "_sum"))
        return count, total


def sample(id: str = "s1", **changes: Any) -> Sample:
    """A completed chat exchange as a sample."""
    fields: dict[str, Any] = {
        "closed_at": 1000.0,
        "probability": 1.0,
        "route": "default",
        "principal": "anyone",
        "operation": "chat",
        "model": "m",
        "outcome": "completed",
        "status": 200,
        "stream": False,
        "prompt": chat("hello"),
        "answer": completion("hi"),
        "encoding": "",
        "cut": False,
        "guarded": False,
    }
    return Sample(id=id, **(fields | changes))


# --- bodies


def chat(text: str, *, model: str = "m", **more: Any) -> bytes:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": text}], **more}).encode()


def completion(text: str) -> bytes:
    message = {"role": "assistant", "content": text}
    return json.dumps({"id": "c1", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()


def chunk(text: str, **more: Any) -> bytes:
    """One event of a streamed chat answer."""
    body = {"id": "c1", "created": 7, "model": "m", "choices": [{"index": 0, "delta": {"content": text}, **more}]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


# --- a client without sockets


@dataclass(slots=True)
class Seen:
    """What a client saw of an answer; `ended` tells that it came to its end."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)
    ended: bool = False

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def error(self) -> dict[str, Any]:
        """The error in the body; it has the four keys of an OpenAI error and no other."""
        content: dict[str, Any] = json.loads(self.body)["error"]
        assert set(content) == {"message", "type", "param", "code"}
        return content


class LeavingClient(UnknownClient):
    """A client whose going is noticed."""

    def watch(self) -> None:
        self.watched = True
        self._task = asyncio.current_task()

    def leave(self) -> None:
        if self.watched and self._task is not None:
            self.watched, self.gone = False, True
            self._task.cancel()


@dataclass(slots=True)
class _Talk:
    """The messages between a server and the application about one request."""

    pieces: list[bytes]
    unended: bool
    gone: asyncio.Event
    on_message: Callable[[Message], Awaitable[None]] | None
    seen: Seen = field(default_factory=Seen)

    async def receive(self) -> Message:
        if self.pieces:
            piece = self.pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(self.pieces) or self.unended}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        seen = self.seen
        if message["type"] == "http.response.start":
            assert not seen.status, "a second status line"
            seen.status = message["status"]
            seen.headers = dict(message["headers"])
        else:
            assert seen.status, "a body before the status line"
            assert not seen.ended, "a body after its end"
            seen.pieces.append(message["body"])
            seen.ended = not message["more_body"]
        if self.on_message is not None:
            await self.on_message(message)


class Caller:
    """Drives an ASGI application as a server does.

    `unended` announces more of the body than comes; `leave` makes the client go when it is set. `on_message` is
    told of every message of the answer, and what it awaits holds the application back.
    """

    def __init__(self, app: Application) -> None:
        self._app = app

    async def ask(
        self,
        path: str = "/v1/chat/completions",
        body: bytes | Sequence[bytes] = b"",
        *,
        method: str = "POST",
        headers: Iterable[tuple[bytes, bytes]] = (),
        unended: bool = False,
        leave: asyncio.Event | None = None,
        on_message: Callable[[Message], Awaitable[None]] | None = None,
    ) -> Seen:
        plain, _, query = path.partition("?")
        client = LeavingClient()
        scope: Message = {
            "type": "http",
            "method": method,
            "path": plain,
            "raw_path": plain.encode(),
            "query_string": query.encode(),
            "headers": [*headers],
            "extensions": {CLIENT: client},
        }
        gone = leave or asyncio.Event()
        talk = _Talk([body] if isinstance(body, bytes) else [*body], unended, gone, on_message)

        async def tell_of_the_end() -> None:
            await gone.wait()
            client.leave()

        async with asyncio.TaskGroup() as group:
            telling = group.create_task(tell_of_the_end())
            try:
                await self._app(scope, talk.receive, talk.send)
            finally:
                telling.cancel()
        return talk.seen


def ring(keys: Iterable[tuple[str, Principal]]) -> KeyRing:
    """Keys that never expire."""
    return KeyRing([Grant(sha256(key.encode()).digest(), principal) for key, principal in keys], lambda: 0.0)


def meter(routes: Iterable[str], journal: "Journal", prices: Mapping[str, PriceConfig] | None = None) -> Meter:
    """Knows no model by name, and gives series to five."""
    known: dict[str, tuple[str, ...]] = dict.fromkeys(routes, ())
    return Meter(known, Models((), 5), cost=Prices(prices or {}).cost, currency="EUR", append=journal.append)


_BOUNDS = BodyBounds(each=10_000, all=1_000_000, seconds=5.0)
_LIMITS = Limits(connect_seconds=2.0, first_byte_seconds=5.0, idle_seconds=5.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What may be chosen of a `World`."""

    rules: str = OBSERVE
    judge: JudgingHere | None = None
    keys: Iterable[tuple[str, Principal]] = ()
    local_only: bool = True
    routes: Sequence[tuple[Sequence[str], Route]] = ()
    bounds: BodyBounds = _BOUNDS
    in_flight: int = 100
    limits: Limits = _LIMITS
    streams: Streams = "hold"
    window_characters: int = 64
    held_bytes: int = 100_000
    held_together_bytes: int = 10**8
    sample_bytes: int = 10_000
    ping_seconds: float = 5.0
    guard_seconds: float = 2.0
    draw: Callable[[], float] = lambda: 0.5
    queue_items: int = 100
    moderates: bool = True
    prices: Mapping[str, PriceConfig] | None = None
    tracing: Tracing | None = None
    own_rules: Mapping[str, str] = field(default_factory=dict)


class World(Caller):
    """The request path of one process: every stage is the real one. Close it, so that connections end."""

    def __init__(self, *ports: int, **changes: Any) -> None:
        """With one upstream on each port; `changes` are fields of `Setup`."""
        setup = self._setup = Setup(**changes)
        tracing = setup.tracing
        self.judge = setup.judge or JudgingHere()
        judging: Judging = self.judge if tracing is None else TracedJudging(self.judge, tracing.guarding)
        self.journal = Journal()
        self.queue = MemoryQueue(setup.queue_items, 10**6)
        self.failures: list[tuple[str, str]] = []
        self.tries = SeenTries(self.failures)
        self.upstreams = Upstreams(
            setup.limits,
            HeaderFilter(DEFAULT_FORWARDED),
            self.tries,
            tries=Tries(pause_seconds=0),
            cooldown=Cooldown(1e-9, 1e-9),
            tracing=tracing,
        )
        servers = tuple(upstream(port, f"up{number}") for number, port in enumerate(ports))
        usual = Route("default", servers, 1.0, streams=setup.streams)
        routing = Routing(setup.routes or [(("*",), usual)])
        names = [route.name for route in routing.routes]
        self.guard = Guard(
            policy(setup.rules, setup.own_rules, names),
            judging,
            self.journal,
            timeout_seconds=setup.guard_seconds,
            routes=names,
            forwards=HeaderFilter(DEFAULT_FORWARDED).passes,
        )
        self.stored = StoredAnswers()
        self.budget = MemoryBudget(setup.held_together_bytes)
        self.meter = meter(names, self.journal, setup.prices)
        self.pipeline = self._pipeline(routing, judging)
        super().__init__(self.pipeline if tracing is None else tracing.around(self.pipeline))

    def _pipeline(self, routing: Routing, judging: Judging) -> Pipeline:
        setup, tracing = self._setup, self._setup.tracing
        sampler = Sampler()
        self.notebook = Notebook(Recorder(sampler, self.queue, self.meter))
        moderation = Moderation(judging, held_seconds=setup.guard_seconds, held_bytes=setup.held_bytes)
        return Pipeline(
            admission=Admission(ring(setup.keys), local_only=setup.local_only),
            bodies=Bodies(setup.bounds),
            routing=routing,
            guard=self.guard,
            moderation=moderation if setup.moderates else None,
            upstreams=self.upstreams,
            tap=Tap(
                self.guard,
                sample_bytes=setup.sample_bytes,
                held_bytes=setup.held_bytes,
                budget=self.budget,
                window_characters=setup.window_characters,
                ping_seconds=setup.ping_seconds,
                observed=sampler.insist,
            ),
            sampler=sampler,
            recorder=self.notebook if tracing is None else tracing.recording(self.notebook),
            stored=self.stored,
            in_flight=setup.in_flight,
            ids=(f"req_t{n:08x}{int(setup.draw() * 2**32):08x}" for n in count()),
        )

    async def __aenter__(self) -> "World":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.upstreams.close()
        await asyncio.sleep(0)  # aborted transports end in the loop's next turn

    @property
    def last(self) -> Exchange:
        """The exchange that was closed last."""
        return self.notebook.closed_ones[-1]

    @property
    def fate(self) -> tuple[str, str]:
        """Outcome and reason of the only exchange there was."""
        (exchange,) = self.notebook.closed_ones
        assert exchange.outcome is not None
        assert self.pipeline.open == 0
        return exchange.outcome.value, exchange.reason


def upstream(port: int, name: str = "up0", key: str | None = "sk-upstream") -> Upstream:
    return Upstream(name, "http", "127.0.0.1", port, "/v1", key)
