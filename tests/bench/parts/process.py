"""The process itself: cold start, memory at rest, after a burst, after texts in other languages."""

import json
import statistics
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from tests.bench.load import Wrk, target
from tests.bench.parts.traffic import warm_up
from tests.bench.servers import BOTH, KEY, LOAD, Server, gateway, running, static_upstream
from tests.bench.table import Table, progress

_WITH = "with detectors"
_OTHER_LANGUAGES = (
    "Wie geht es dir heute, mein lieber Freund?",
    "Qu'est-ce que tu fais demain avec tes amis ?",
    "¿Qué vamos a comer hoy en la casa de mi madre?",
    "Как дела, дорогой друг, что нового?",
    "你今天过得怎么样，我的朋友？",
    "كيف حالك اليوم يا صديقي؟",
)


def bench_process(table: Table, folder: Path, rounds: int) -> None:
    """Without detectors and with them; goals in MB are read as MiB.

    The memory is that of all processes, once the detectors have judged samples: before, those are not all there.
    """
    with running(static_upstream(folder, LOAD)) as static:
        for name, most, settings in (
            ("without detectors", 90, {"detectors": "false"}),
            (_WITH, 220, {"sample_rate": "0.01"}),
        ):
            starts = []
            for number in range(rounds):
                progress(f"cold start {name}, {number + 1} of {rounds}")
                server = gateway(BOTH, static.port, folder / "cold.log", **settings)
                try:
                    starts.append(server.wait("/readyz"))
                    if number == rounds - 1:
                        _memory(table, folder, server, name, most)
                finally:
                    server.stop()
            start = statistics.median(starts)
            table.row(f"cold start {name}, s", f"{start:.2f}", "", "<= 1.5 s", start <= 1.5)


def _memory(table: Table, folder: Path, server: Server, name: str, most: int) -> None:
    has_detectors = name == _WITH
    if has_detectors:
        warm_up(server, requests=100)
    wrk = Wrk(folder, LOAD)
    wrk.shoot(target(server), 1, 4)
    resting = server.rss_at_rest_mib if has_detectors else server.rss_mib
    idle = resting()
    wrk.shoot(target(server), 256, 5)
    wrk.shoot(target(server), 1, 3)
    after = resting()
    table.row(f"memory {name}, all processes, MiB", f"{idle:.0f}", "", f"<= {most} MB", idle <= most)
    ratio = after / idle
    table.row("  after a burst of 256 connections, MiB", f"{after:.0f}", f"{ratio:.2f}", "<= 1.10", ratio <= 1.10)
    if has_detectors:
        _judge(server, _OTHER_LANGUAGES)
        table.row("  after texts in six other languages, MiB", f"{server.rss_mib():.0f}")


def _judge(server: Server, texts: Sequence[str]) -> None:
    headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
    body = json.dumps({"input": texts}).encode()
    with urllib.request.urlopen(
        urllib.request.Request(f"{server.url}/v1/moderations", body, headers), timeout=60
    ) as reply:
        reply.read()
