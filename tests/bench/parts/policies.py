"""What an enforced policy costs: a prompt judged first, the same one again, many rules, a stream through a window."""

import statistics
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import uvloop

from tests.bench.load import Target, Wrk, interleaved, p50, p99, short_body, target
from tests.bench.parts.streams import GAP_MS, on_the_load_core
from tests.bench.servers import (
    KEY,
    LOAD,
    TESTED,
    Server,
    gateway,
    model_server,
    move_detectors,
    running,
    static_upstream,
)
from tests.bench.streams import read, request
from tests.bench.table import Table, progress

_P50_MS, _P99_MS = 10.0, 30.0
_RULES = 10
_WINDOW = 256  # characters, the default of `stream_window_chars`
_DELTAS = 128
_DELTA_CHARACTERS = 7  # of the model server's words
_STREAMS = 8
_JUDGING_MS = 30.0
_ONE_RULE = "  - {{id: r{n}, when: {{subcategory: unsafe, on: {on}, score: {score:.3f}}}, then: block}}\n"


def bench_policies(table: Table, folder: Path, seconds: float, rounds: int) -> None:
    """Prompts of some 64 word pieces at c=1, each another one; then streams through a window."""
    _prompts(table, folder, seconds, rounds)
    _window(table, folder, rounds)


def _policy(folder: Path, rules: int, on: str = "prompt") -> str:
    """Rules with a threshold each, all about what one pass of the encoder says."""
    file = folder / f"{on}-{rules}.yaml"
    lines = "".join(_ONE_RULE.format(n=n, on=on, score=0.99 + n / 1000) for n in range(rules))
    file.write_text(f"version: 1\nmode: enforce\nrules:\n{lines}")
    return str(file)


def _prompts(table: Table, folder: Path, seconds: float, rounds: int) -> None:
    settings: Mapping[str, Mapping[str, str]] = {
        "guards off": {"detectors": "false"},
        "one rule": {"policy": _policy(folder, 1), "sample_rate": "0"},
        "ten rules": {"policy": _policy(folder, _RULES), "sample_rate": "0"},
    }
    with ExitStack() as stack:
        static = stack.enter_context(running(static_upstream(folder, LOAD)))
        targets: dict[str, Target] = {}
        for name, chosen in settings.items():
            server = gateway(TESTED, static.port, folder / f"policies-{name}.log", **chosen)
            stack.enter_context(running(server, "/readyz"))
            move_detectors(server)
            targets[name] = target(server, short_body(varied=True))
            if name == "one rule":
                targets["the same prompt"] = target(server, short_body(varied=False))
        windows = interleaved(Wrk(folder, LOAD), table, targets, 1, seconds, rounds, "policies, c=1")
    median, tail = (windows.added("one rule", "guards off", figure) for figure in (p50, p99))
    table.row(
        "64-token prompt judged, c=1, p50 / p99 added, ms",
        f"{median:.1f} / {tail:.1f}",
        "",
        "<= 10 / 30 ms",
        median <= _P50_MS and tail <= _P99_MS,
    )
    again = windows.added("the same prompt", "guards off", p50)
    table.row(
        "  the same prompt again, p50 added, ms", f"{again:.2f}", f"{again / median:.2f}", "<= 0.5", again <= median / 2
    )
    many = windows.added("ten rules", "guards off", p50)
    table.row(
        f"  {_RULES} rules, p50 added, ms (to one)",
        f"{many:.1f}",
        f"{many / median:.2f}",
        "<= 1.1",
        many <= 1.1 * median,
    )


def _window(table: Table, folder: Path, rounds: int) -> None:
    with ExitStack() as stack:
        stack.enter_context(on_the_load_core())
        upstream = stack.enter_context(running(model_server(LOAD)))
        bare = gateway(TESTED, upstream.port, folder / "policies-bare.log", detectors="false")
        held = {"policy": _policy(folder, 1, on="response"), "streams": "window", "stream_window_chars": str(_WINDOW)}
        server = gateway(TESTED, upstream.port, folder / "policies-window.log", **held)
        for one in (bare, server):
            stack.enter_context(running(one, "/readyz"))
        move_detectors(server)
        added = []
        for number in range(rounds + 1):
            progress(f"window: round {number} of {rounds}")
            first = _first_text(server) - _first_text(bare)
            added += [first] if number else []
    window = -(-(_WINDOW + 1) // _DELTA_CHARACTERS) * GAP_MS
    median = statistics.median(added)
    table.row(
        f"streams through a window of {_WINDOW} characters ({window} ms): first text, ms",
        f"{median:+.0f}",
        f"{median / window:.2f} windows",
        f"<= 1 window + {_JUDGING_MS:.0f} ms",
        median <= window + _JUDGING_MS,
    )


def _first_text(server: Server) -> float:
    """Milliseconds from the request to the first event with text, the median over some streams at once."""
    asking = request(KEY, f"bench-{_DELTAS}x{GAP_MS}")
    readers = uvloop.run(read(server.port, asking, _STREAMS, _DELTAS * GAP_MS / 1000, 1))
    waits = [
        (arrived[1] - sent) * 1000
        for reader in readers
        for sent, arrived in zip(reader.sent, reader.arrivals, strict=True)
    ]
    return float(np.median(waits))
