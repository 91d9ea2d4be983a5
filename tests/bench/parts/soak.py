"""What must hold over time: nothing leaks when clients leave, and a slow client holds its upstream back."""

import asyncio
import json
import socket
import time
import urllib.request
from pathlib import Path

import uvloop

from tests.bench.parts.streams import on_the_load_core
from tests.bench.servers import KEY, LOAD, TESTED, Server, gateway, metric, model_server, running
from tests.bench.soak import Soak
from tests.bench.streams import request
from tests.bench.table import Table, progress

_CONNECTIONS = 64
_FLOOD_MIB = 1024
_REST_SECONDS = 10.0
_KEEPALIVE_SECONDS = 2.0
_JUDGED_SECONDS = 3.0  # the first sample is judged after its stream has ended


def bench_soak(table: Table, folder: Path, requests: int) -> None:
    """Requests of which one in ten is left by its client: afterwards all is as it was."""
    settings = {"detectors": "false", "keepalive_seconds": f"{_KEEPALIVE_SECONDS:g}"}
    with on_the_load_core(), running(model_server(LOAD)) as upstream:
        server = gateway(TESTED, upstream.port, folder / "soak.log", **settings)
        with running(server, "/readyz"):
            _soak(server, requests // 10, "warming up")
            before = _at_rest(server, upstream)
            began = time.monotonic()
            soak = _soak(server, requests, "soak")
            rate = requests / (time.monotonic() - began)
            after = _at_rest(server, upstream)
            _soak_rows(table, soak, requests, rate, before, after)
            gone = metric(server, 'assay_requests_total{operation="chat",outcome="client_gone"')
            table.row("  counted as client_gone, with the warm-up", f"{gone:,.0f}")


def _soak(server: Server, requests: int, what: str) -> Soak:
    progress(f"{what}: {requests:,} requests, one in ten left by its client")
    soak = Soak(server.port, KEY, requests, _CONNECTIONS)
    uvloop.run(soak.run())
    return soak


def _at_rest(server: Server, upstream: Server) -> dict[str, float]:
    """What is open when nobody asks any more, after idle connections have expired; waits for it to come to rest."""
    deadline = time.monotonic() + _REST_SECONDS
    time.sleep(_KEEPALIVE_SECONDS + 1)
    while True:
        with urllib.request.urlopen(upstream.url + "/open", timeout=10) as reply:
            theirs = json.load(reply)
        found = {
            "busy": metric(server, 'assay_upstream_connections{state="busy"'),
            "idle": metric(server, 'assay_upstream_connections{state="idle"'),
            "in flight": metric(server, "assay_requests_in_flight"),
            "at the upstream": float(theirs["connections"] - 1),  # that which asks
            "streams": float(theirs["streams"]),
            "files": float(server.descriptors()),
            "MiB": server.rss_mib(),
        }
        if not any(found[name] for name in _MUST_BE_NONE) or time.monotonic() > deadline:
            return found
        time.sleep(0.5)


_MUST_BE_NONE = ("busy", "idle", "in flight", "at the upstream", "streams")


def _soak_rows(
    table: Table, soak: Soak, requests: int, rate: float, before: dict[str, float], after: dict[str, float]
) -> None:
    left = sum(count for fate, count in soak.fates.items() if fate.startswith("left"))
    wrong = soak.fates["wrong"]
    table.row(
        f"soak, {requests:,} requests at {rate:,.0f}/s: left by the client / wrong answers",
        f"{left:,} / {wrong}",
        f"{left / requests:.3f}",
        "0 wrong",
        wrong == 0,
    )
    open_now = [int(after[name]) for name in _MUST_BE_NONE]
    table.row(
        "  then: busy, idle, in flight, open and streaming at the upstream",
        ", ".join(map(str, open_now)),
        "",
        "all 0",
        not any(open_now),
    )
    files = int(before["files"]), int(after["files"])
    table.row("  open files before / after", f"{files[0]} / {files[1]}", "", "no more", files[1] <= files[0])
    growth = after["MiB"] / before["MiB"]
    table.row(
        "  memory before / after, MiB",
        f"{before['MiB']:.0f} / {after['MiB']:.0f}",
        f"{growth:.2f}",
        "<= 1.10",
        growth <= 1.10,
    )


def bench_slow_reader(table: Table, folder: Path) -> None:
    """A stream of 1 GB read at 100 MB/s with a pause, judged and not: the gateway keeps none of it."""
    for name, settings in (("guards off", {"detectors": "false"}), ("sampled", {"sample_rate": "1"})):
        with on_the_load_core(), running(model_server(LOAD)) as upstream:
            server = gateway(TESTED, upstream.port, folder / "slow.log", **settings)
            with running(server, "/readyz"):
                _ = asyncio.run(read_slowly(server, 16, megabytes_a_second=1000))  # what the first stream loads
                time.sleep(_JUDGED_SECONDS)
                before = server.rss_mib()
                progress(f"slow reader, {name}: {_FLOOD_MIB} MiB")
                received, peak = asyncio.run(read_slowly(server, _FLOOD_MIB, megabytes_a_second=100))
        table.row(
            f"slow reader, {name}, {received / 2**20:,.0f} MiB: memory before / most, MiB",
            f"{before:.0f} / {peak:.0f}",
            f"+{peak - before:.1f}",
            "+ 16 at most, all came",
            peak - before <= 16 and received >= _FLOOD_MIB * 2**20,
        )


async def read_slowly(server: Server, mebibytes: int, *, megabytes_a_second: float) -> tuple[int, float]:
    """Bytes of the body, with its framing, and the most memory of the gateway meanwhile, in MiB.

    Half-way it does not read at all for two seconds.
    """
    loop = asyncio.get_running_loop()
    received, peak = 0, 0.0
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        connection.setblocking(False)
        await loop.sock_sendall(connection, request(KEY, f"bench-flood-{mebibytes}"))
        began, looked, paused, tail = loop.time(), 0.0, False, b""
        while not tail.endswith(b"\r\n0\r\n\r\n"):
            data = await loop.sock_recv(connection, 2**16)
            if not data:
                break
            received += len(data)
            tail = (tail + data)[-16:]
            now = loop.time()
            if now - looked > 0.05:
                looked, peak = now, max(peak, server.rss_mib())
            if not paused and received > mebibytes * 2**19:
                paused = True
                await asyncio.sleep(2)
                began += 2
                peak = max(peak, server.rss_mib())
            ahead = received / (megabytes_a_second * 1e6) - (loop.time() - began)
            if ahead > 0.002:
                await asyncio.sleep(ahead)
    return received, peak
