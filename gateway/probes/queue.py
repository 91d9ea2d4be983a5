"""The queue of one upstream: routes take turns, and within a route the probes do.

In a single queue, a probe that applies to nearly every request, or that is slow, would keep all others waiting. So each
probe of each route has a queue of its own, and the one that was served longest ago is next. Each of them that has
something waiting gets equally many samples through.
"""

from collections.abc import Callable

from gateway.opinions.thinned import ThinnedQueue
from gateway.probes.drawn import DrawnForProbe

_Rows = dict[str, ThinnedQueue[DrawnForProbe]]  # the queues by probe; the one served longest ago comes first


class ProbeQueue:
    """At most `most` samples wait in all; beyond that the longest queue is thinned, so that each probability stays
    known. `draw` gives random numbers in [0, 1)."""

    def __init__(self, most: int, *, draw: Callable[[], float]) -> None:
        self._most = max(2, most)
        self._draw = draw
        self._routes: dict[str, _Rows] = {}  # the route served longest ago comes first

    def __len__(self) -> int:
        return sum(map(len, self._rows()))

    def _rows(self) -> list[ThinnedQueue[DrawnForProbe]]:
        return [row for rows in self._routes.values() for row in rows.values()]

    def _row(self, drawn: DrawnForProbe) -> ThinnedQueue[DrawnForProbe]:
        rows = self._routes.setdefault(drawn.judged.route, {})
        row = rows.get(drawn.probe.name)
        if row is None:
            row = rows[drawn.probe.name] = ThinnedQueue(self._most, draw=self._draw)
        return row

    def offer(self, drawn: DrawnForProbe, probability: float) -> dict[str, int]:
        """Add a sample that was drawn with this probability; returns by probe how many were dropped for want of
        room."""
        dropped = {drawn.probe.name: self._row(drawn).offer(drawn, probability)}
        while len(self) > self._most:
            rows = [(len(row), name, row) for rows in self._routes.values() for name, row in rows.items()]
            _, name, longest = max(rows, key=lambda row: row[0])
            before = len(longest)
            if not longest.thin():
                break
            dropped[name] = dropped.get(name, 0) + before - len(longest)
        return dropped

    def take(self) -> tuple[DrawnForProbe, float] | None:
        """The sample whose turn it is, with its probability; None when no sample waits."""
        for route, rows in self._routes.items():
            for name, row in rows.items():
                taken = row.take()
                if taken is not None:
                    rows[name] = rows.pop(name)
                    self._routes[route] = self._routes.pop(route)
                    return taken
        return None

    def put_back(self, drawn: DrawnForProbe, probability: float) -> None:
        """Return a sample that was taken and must be tried again; it is the next of its queue."""
        self._row(drawn).put_back(drawn, probability)
