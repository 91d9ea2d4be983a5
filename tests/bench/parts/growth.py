"""What grows: keys, routes, policy rules, bodies, conversations."""

import json
from contextlib import ExitStack
from pathlib import Path

from tests.bench.load import VARIED, Target, Wrk, interleaved, p50, rate, target
from tests.bench.servers import KEY, LOAD, TESTED, Server, gateway, move_detectors, running, static_upstream
from tests.bench.table import Table

MANY = 10_000


def bench_growth(table: Table, folder: Path, seconds: float, rounds: int) -> None:
    """Ten thousand of each beside one; bodies of 10 MB beside 1 MB, 200 turns beside one."""
    with running(static_upstream(folder, LOAD)) as static:
        with ExitStack() as stack:
            _keys_and_routes(table, folder, seconds, rounds, static, stack)
        for mode in ("monitor", "enforce"):
            with ExitStack() as stack:
                _rules(table, folder, seconds, rounds, static, mode, stack)
        with running(gateway(TESTED, static.port, detectors="false"), "/readyz") as server:
            _bodies(table, folder, server, seconds, rounds)
            _turns(table, folder, server, seconds, rounds)


def _keys_and_routes(table: Table, folder: Path, seconds: float, rounds: int, static: Server, stack: ExitStack) -> None:
    """The model asked for matches none of the names and prefixes, the key is the last."""
    targets = {}
    for name, count in (("one", 1), ("many", MANY)):
        file = folder / f"growth-{count}.yaml"
        file.write_text(_configuration(static.port, count))
        server = gateway(TESTED, static.port, folder / f"growth-{count}.log", config=str(file), detectors="false")
        targets[name] = target(stack.enter_context(running(server, "/readyz")))
    _flat(table, folder, targets, seconds, rounds, "keys and 10,000 routes, c=64, req/s (to one)")


def _configuration(port: int, count: int) -> str:
    routes = "\n".join(f"  r{n}: {{models: ['model-{n}', 'family-{n}-*'], upstreams: [u]}}" for n in range(count - 1))
    keys = "\n".join(f"  - {{name: k{n}, key: sk-bench-filler-{n:06d}}}" for n in range(count - 1))
    return (
        f"upstreams:\n  u: {{url: 'http://127.0.0.1:{port}/v1'}}\nroutes:\n{routes}\n"
        f"  last: {{models: ['*'], upstreams: [u]}}\nkeys:\n{keys}\n  - {{name: bench, key: {KEY}}}\n"
    )


def _rules(
    table: Table, folder: Path, seconds: float, rounds: int, static: Server, mode: str, stack: ExitStack
) -> None:
    """All rules need the one detector, each with a score of its own; every exchange is judged when they enforce."""
    targets = {}
    for name, count in (("one", 1), ("many", MANY)):
        file = folder / f"{mode}-{count}.yaml"
        file.write_text(_policy(mode, count))
        log = folder / f"{mode}-{count}.log"
        server = gateway(TESTED, static.port, log, policy=str(file), sample_rate="0.01")
        stack.enter_context(running(server, "/readyz"))
        move_detectors(server)
        targets[name] = target(server, VARIED)
    _flat(table, folder, targets, seconds, rounds, f"rules, {mode}, c=64, req/s (to one)")


def _policy(mode: str, count: int) -> str:
    when = "subcategory: privacy_violation, detector: secrets, on: response"
    rules = (
        f"  - {{id: r{n}, when: {{{when}, score: {0.5 + n / 100_000:.5f}}}, then: redact}}\n" for n in range(count)
    )
    return f"version: 1\nmode: {mode}\nrules:\n{''.join(rules)}"


def _flat(table: Table, folder: Path, targets: dict[str, Target], seconds: float, rounds: int, what: str) -> None:
    short = round(seconds * rounds)  # a difference of 5 % shows in many short windows rather than in few long ones
    windows = interleaved(Wrk(folder, LOAD), table, targets, 64, 1, short, what)
    ratio = windows.ratio("many", "one", rate)
    table.row(f"{MANY:,} {what}", f"{windows['many'].rate:,.0f}", f"{ratio:.2f}", ">= 0.95", ratio >= 0.95)


def _bodies(table: Table, folder: Path, server: Server, seconds: float, rounds: int) -> None:
    """Time for a body of 10 MB beside one of 1 MB, and the memory that sixteen of them take at once."""
    wrk = Wrk(folder, LOAD)
    targets = {str(size): target(server, body(size, 1)) for size in (1_000_000, 10_000_000)}
    windows = interleaved(wrk, table, targets, 1, seconds, rounds, "bodies")
    small, large = windows["1000000"].p50, windows["10000000"].p50
    ratio = windows.ratio("10000000", "1000000", p50)
    table.row(
        "10 MB body beside 1 MB, c=1, p50, ms", f"{large:.1f} / {small:.1f}", f"{ratio:.1f}", "<= 11", ratio <= 11
    )
    before, at_once = server.rss_mib(), 16
    wrk.shoot(targets["10000000"], at_once, seconds)
    peak = server.peak_mib() - before
    bodies = at_once * 10_000_000 / 2**20
    times = peak / bodies
    table.row(
        f"  memory at most for {at_once} of them at once, MiB", f"{peak:.0f}", f"{times:.1f} bodies", "<= 3", times <= 3
    )


def _turns(table: Table, folder: Path, server: Server, seconds: float, rounds: int) -> None:
    targets = {str(turns): target(server, body(100_000, turns)) for turns in (1, 200)}
    windows = interleaved(Wrk(folder, LOAD), table, targets, 1, 1, round(seconds * rounds), "turns")
    one, many = windows["1"].p50, windows["200"].p50
    ratio = windows.ratio("200", "1", p50)
    table.row(
        "200 turns beside one of the same bytes, c=1, p50, ms",
        f"{many:.2f} / {one:.2f}",
        f"{ratio:.2f}",
        "<= 1.05",
        ratio <= 1.05,
    )


def body(size: int, turns: int) -> str:
    """A chat completion of exactly `size` bytes over `turns` messages."""
    roles = ("user", "assistant")
    messages = [{"role": roles[turn % 2], "content": ""} for turn in range(turns)]
    asked = {"model": "demo-small", "messages": messages}
    each, rest = divmod(size - len(json.dumps(asked)), turns)
    for turn, message in enumerate(messages):
        length = each + (rest if turn == 0 else 0)
        message["content"] = ("word " * (length // 5 + 1))[:length]
    return json.dumps(asked)
