"""The probes that wait for one upstream, and whether it may be asked now: at the first failure they pause, because
traffic comes first."""

from collections.abc import Callable
from typing import Protocol

from gateway.probes.queue import ProbeQueue
from gateway.upstream.posts import PostAnswer

_FIRST_REST_SECONDS = 60.0
_LONGEST_REST_SECONDS = 3600.0


class Post(Protocol):
    """Sends a request to the upstream: `upstream.posts.Poster`."""

    async def post(self, path: str, body: bytes) -> PostAnswer: ...


class Lane:
    """One upstream, asked for `model` (None: the model that the client named).

    `is_up` says whether the traffic can use the upstream; `clock` gives monotonic seconds. After a failure the lane
    rests: a minute at first, twice as long each time, and at least as long as the upstream asks for.
    """

    def __init__(
        self,
        upstream: str,
        post: Post,
        *,
        model: str | None = None,
        waiting: int = 256,
        is_up: Callable[[], bool] = lambda: True,
        clock: Callable[[], float],
        draw: Callable[[], float],
    ) -> None:
        self.upstream = upstream
        self.post = post
        self.model = model
        self.queue = ProbeQueue(waiting, draw=draw)
        self.trouble = ""
        self._is_up = is_up
        self._clock = clock
        self._rest = _FIRST_REST_SECONDS
        self._until = 0.0

    def rest_seconds(self) -> float:
        """Seconds until the upstream may be asked; 0 when it may be asked now."""
        if not self._is_up():
            return _FIRST_REST_SECONDS
        return max(0.0, self._until - self._clock()) if self.trouble else 0.0

    def failed(self, reason: str, asks_seconds: float) -> None:
        self.trouble = reason
        self._until = self._clock() + max(self._rest, asks_seconds)
        self._rest = min(2 * self._rest, _LONGEST_REST_SECONDS)

    def answered(self) -> None:
        self.trouble = ""
        self._rest = _FIRST_REST_SECONDS
