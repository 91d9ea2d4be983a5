"""The vocabulary of the two paths: what an exchange, a route, an upstream and a sample are."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from gateway.errors import REASONS, Source
from gateway.openai_api import Channel, Moderated, Operation
from gateway.openai_api.uploads import Ends
from policies.engine import Reroute

Headers = list[tuple[bytes, bytes]]
Streams = Literal["observe", "window", "hold"]
Balance = Literal["order", "weights", "latency"]
HedgeAfter = float | Literal["p95", "never"]
_OF_THE_BYTES = frozenset({b"content-length", b"content-encoding", b"etag", b"content-md5"})
_END_BYTES = 4096  # kept of the end of an answer that comes in pieces: its usage stands there
MODEL_CHARACTERS = 200  # kept on record of a model's name: clients may send any length


def rewritten(headers: Headers, length: int | None) -> Headers:
    """The headers of a body that is no longer the upstream's own bytes; `length` None when it is not known."""
    kept = [(name, value) for name, value in headers if name not in _OF_THE_BYTES]
    if length is not None:
        kept.append((b"content-length", b"%d" % length))
    return kept


class Stretch(NamedTuple):
    """Text of a streamed answer that is to be judged. It may begin with characters that have already left."""

    choice: int
    channel: Channel
    text: str


class Treatment(NamedTuple):
    """What is done with a stretch. `cuts` are (start, end, label) in its code points, sorted and disjoint.

    `message` replaces what is blocked, as long as nothing of that choice has left.
    """

    blocked: bool = False
    cuts: tuple[tuple[int, int, str], ...] = ()
    message: str = ""


class Outcome(StrEnum):
    """How an exchange ended: exactly one each."""

    COMPLETED = "completed"
    REJECTED = "rejected"
    BLOCKED = "blocked"
    UPSTREAM_FAILED = "upstream_failed"
    CLIENT_GONE = "client_gone"
    INTERNAL = "internal"


_OUTCOME_OF_SOURCE = {
    Source.CLIENT: Outcome.REJECTED,
    Source.POLICY: Outcome.BLOCKED,
    Source.UPSTREAM: Outcome.UPSTREAM_FAILED,
    Source.INTERNAL: Outcome.INTERNAL,
}


def outcome_of(reason: str) -> Outcome:
    """The outcome that an error's reason leads to."""
    if reason == "client_gone":
        return Outcome.CLIENT_GONE
    return _OUTCOME_OF_SOURCE[REASONS[reason].source]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling: a configured key's name, never the key. `routes` None means every route."""

    name: str
    routes: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Upstream:
    """A model server that speaks OpenAI's dialect. `base_path` ends before the operation, e.g. `/v1`.

    `http2` offers it HTTP/2; `proxy` is the URL of the proxy that leads to it, with its credentials. `model` is the
    name it knows every model by, `headers` and `query` (without `?`) go with every request to it. Seconds that are None
    are the gateway's own.
    """

    name: str
    scheme: str
    host: str
    port: int
    base_path: str
    key: str | None = field(default=None, repr=False)
    http2: bool = False
    proxy: str | None = field(default=None, repr=False)
    model: str | None = None
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    query: str = ""
    weight: float = 1.0
    connect_seconds: float | None = None
    first_byte_seconds: float | None = None
    idle_seconds: float | None = None

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def base_url(self) -> str:
        return self.origin + self.base_path


@dataclass(frozen=True, slots=True)
class Route:
    """Where requests for some models go: upstreams in the order they are tried, and what is done on the way.

    `streams` is how a stream is treated whose answer an enforced rule would judge. `balance` is which upstream comes
    first: as they are listed, by weight, or the one that answers soonest. Seconds that are None are the upstream's own.
    """

    name: str
    upstreams: tuple[Upstream, ...]
    sample_rate: float
    model: str | None = None  # the name the upstream knows the model by, when it differs
    streams: Streams = "hold"
    balance: Balance = "order"
    first_byte_seconds: float | None = None
    idle_seconds: float | None = None
    hedge_after: HedgeAfter | None = None  # None: as the gateway's


class Sample(msgspec.Struct, frozen=True):
    """A closed exchange chosen for judging, as raw bytes: nothing was parsed for it on the request path.

    `probability` is the known inclusion probability, 0 < p <= 1. `answer` holds at most the configured number
    of bytes; `cut` says that there was more. `encoding` is the content-encoding the answer bytes are in.
    `closed_at` is Unix seconds.
    """

    id: str
    closed_at: float
    probability: float
    route: str
    principal: str
    operation: str
    model: str
    outcome: str
    status: int
    stream: bool
    prompt: bytes
    answer: bytes
    encoding: str
    cut: bool
    guarded: bool  # the answer was judged inline before it left
    upstream: str = ""  # name of the one that answered
    seconds: float = 0.0  # from the end of the request to the end of the answer; 0 if not known

    def size(self) -> int:
        """Bytes it holds in a queue."""
        return len(self.prompt) + len(self.answer) + 256


@dataclass(frozen=True, slots=True)
class Taken:
    """A sample handed to a worker; with `receipt` the worker acknowledges it, and the queue forgets it."""

    receipt: str
    sample: Sample


class SampleQueue(Protocol):
    """Where samples wait. One contract for every backend (tests/contracts/queue.py).

    `offer` never waits and never raises: False means that the sample was dropped and the caller counts it.
    Delivery is at least once: a sample that was taken and not acknowledged may be taken again.
    """

    def offer(self, sample: Sample) -> bool: ...

    async def take(self, most: int, wait_seconds: float) -> Sequence[Taken]: ...

    async def acknowledge(self, receipts: Sequence[str]) -> None: ...

    def depth(self) -> tuple[int, int]:
        """Items and bytes that wait here."""
        ...

    async def close(self) -> None: ...


class Reply(Protocol):
    """The way to the client, as far as an answer needs it. `delivery.reply.ClientReply` describes each method."""

    started: bool

    async def start(self, status: int, headers: Headers, *, decided: bool = True) -> None: ...

    async def at_once(self, status: int, headers: Headers, data: bytes, *, decided: bool = True) -> None: ...

    def offer(self, data: bytes) -> bool: ...

    async def settle(self) -> None: ...

    async def send(self, data: bytes) -> None: ...

    async def finish(self, data: bytes = b"") -> None: ...


# gc=False below: none of these is in a reference cycle, and there are very many.


class Asked(msgspec.Struct, gc=False):
    """What the client asks for: its request, and what was read from it.

    `path` is as it came, percent-encoded; `headers` have lower-cased names. `body` is the client's own bytes without
    their content-encoding; `packed` is the body as it came where it had one, else empty. `notes` caches what was worked
    out from path and headers; requests with the same head share it.
    """

    method: str
    path: str
    query: bytes = b""
    headers: Headers = []
    operation: Operation = Operation.OTHER
    body: bytes = b""
    packed: bytes = b""
    model: str = ""
    stream: bool = False
    include_usage: bool = False
    end_user: bytes | None = None  # hashed; empty if the request names none, None until a policy asks
    file_revision: str = ""  # of the policy that judged the file which the request names; empty for none
    pieces: list[Ends] = []  # remembered pieces of the file that the request puts together
    moderated: Moderated | None = None  # the moderation that the request asks for, if it is done here
    notes: dict[Any, Any] = {}

    @property
    def tail(self) -> bytes:
        """The path after `/v1`, with its query."""
        path = self.path[3:].encode("latin-1")
        return path + b"?" + self.query if self.query else path


class Ruling(msgspec.Struct, gc=False):
    """What the policy decided about the exchange."""

    decision: str = "allow"
    revision: str = ""  # of the policy that decided; empty if none was asked
    guarded: bool = False  # the answer was judged before it left
    wholly_read: bool = False  # all of an upload was judged before it went on
    ends: Ends | None = None  # of an upload that is a piece of a file
    counted: frozenset[str] = frozenset()  # the rules that have counted this exchange for its caller
    replacement: str = ""  # what the policy answers in place of the model
    detour: Reroute | None = None


class Transcript(msgspec.Struct, gc=False):
    """What is known and kept of the answer. `pieces` are kept only of a sampled answer, `size` bytes in all.

    `stream` says that the answer comes as events; until it begins, that the client asked for them. `encoding` is its
    content-encoding, `probability` the chance with which it was sampled. `cut` says that there was more than was kept.
    `end` has its last bytes, or all of a short answer or one in one piece; `beginning` has the first of a longer one.
    """

    stream: bool = False
    encoding: str = ""
    sampled: bool = False
    probability: float = 0.0
    pieces: list[bytes] = []
    size: int = 0
    cut: bool = False
    beginning: bytes = b""
    end: bytes | bytearray = b""

    def keep(self, data: bytes, most: int) -> None:
        """Add to what is kept: both ends of every answer, and `most` bytes in all of a sampled one."""
        if not self.end:
            self.end = data
        elif data:
            self._keep_end(data)
        if not self.sampled or not data:
            return
        room = most - self.size
        self.cut = len(data) > room
        if room > 0:
            self.pieces.append(data[:room])
            self.size += min(len(data), room)

    def _keep_end(self, data: bytes) -> None:
        end = self.end
        if type(end) is not bytearray:
            end = self.end = bytearray(end)
        end += data
        if len(end) > 2 * _END_BYTES:
            self.beginning = self.beginning or bytes(end[:_END_BYTES])
            del end[:-_END_BYTES]


class Timing(msgspec.Struct, gc=False):
    """When things happened, in monotonic seconds, and how long others took.

    `upstream_seconds` is the time from the call to the answer's first byte, over all tries. `first_byte_at` is when our
    first byte left.
    """

    received_at: float = 0.0
    read_at: float = 0.0
    upstream_seconds: float = 0.0
    guard_seconds: float = 0.0
    first_byte_at: float = 0.0
    ended_at: float = 0.0


class Usage(msgspec.Struct, gc=False, frozen=True):
    """The tokens that the upstream says it read and wrote. `cached_tokens` are those of the input it had cached."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0


class Exchange(msgspec.Struct, gc=False):
    """One request and its reply, from the first header to the recorded outcome.

    `usage` is None if the upstream reported none.
    """

    id: str
    asked: Asked
    timing: Timing = msgspec.field(default_factory=Timing)
    ruling: Ruling = msgspec.field(default_factory=Ruling)
    transcript: Transcript = msgspec.field(default_factory=Transcript)
    usage: Usage | None = None
    principal: Principal | None = None
    route: Route | None = None
    upstream: Upstream | None = None
    status: int = 0
    outcome: Outcome | None = None
    reason: str = ""

    def close(self, outcome: Outcome, reason: str, now: float) -> bool:
        """Record the outcome. The first call wins; False when it was closed already."""
        if self.outcome is not None:
            return False
        self.outcome = outcome
        self.reason = reason
        self.timing.ended_at = now
        return True


class Recorder(Protocol):
    """Told of every closed exchange: metrics, audit, sampler."""

    def closed(self, exchange: Exchange) -> None: ...
