"""Other gateways on the same core, with the same load and upstream, where `make bench-peers` has installed them.

Each does the same job: reads the key (Portkey has none of its own and passes it on), routes the model, sends the
request on and the whole answer back. That is checked before anything is measured.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from tests.bench.load import BODY, Target, Windows, Wrk, ask, interleaved, p50, p99, rate, target
from tests.bench.servers import (
    ANSWER,
    KEY,
    LOAD,
    TESTED,
    Server,
    gateway,
    nginx_proxy,
    running,
    static_upstream,
)
from tests.bench.table import Table
from tests.support.servers.ports import HeldPort

INSTALLED = Path(__file__).parents[3] / ".bench"
_LITELLM = """model_list:
  - model_name: demo-small
    litellm_params: {{model: openai/demo-small, api_base: "http://127.0.0.1:{behind}/v1", api_key: sk-upstream}}
general_settings: {{master_key: {key}}}
litellm_settings: {{telemetry: false}}
"""
_FERRO = """strategy: {mode: fallback}
targets: [{virtual_key: openai}]
"""


class Launch(NamedTuple):
    """How a peer is started, and how it is asked."""

    arguments: list[str]
    env: Mapping[str, str]
    aim: Target


@dataclass(frozen=True, slots=True)
class Peer:
    """A gateway: what it needs to be there, where it says that it is ready, the goal of our rate over its own."""

    name: str
    program: Path
    ready: str
    times: float
    checks_keys: bool
    launch: Callable[[Path, Path, int, int], Launch]


def _ferro(program: Path, folder: Path, port: int, behind: int) -> Launch:
    """It routes by its catalogue of models, so that it is asked for one it knows; its rate limit is off."""
    file = folder / "ferro.yaml"
    file.write_text(_FERRO)
    env = {
        "MASTER_KEY": KEY,
        "RATE_LIMIT_RPS": "0",
        "OPENAI_API_KEY": "sk-upstream",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{behind}/v1",
        "GATEWAY_CONFIG": str(file),
        "LOG_LEVEL": "error",
        "PORT": str(port),
    }
    aim = Target(f"http://127.0.0.1:{port}", BODY.replace("demo-small", "gpt-4o-mini"))
    return Launch([str(program), "serve"], env, aim)


def _portkey(program: Path, folder: Path, port: int, behind: int) -> Launch:
    headers = {
        "authorization": f"Bearer {KEY}",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"http://127.0.0.1:{behind}/v1",
    }
    arguments = ["node", str(program), f"--port={port}", "--headless"]
    return Launch(arguments, {"NODE_ENV": "production"}, Target(f"http://127.0.0.1:{port}", headers=headers))


def _litellm(program: Path, folder: Path, port: int, behind: int) -> Launch:
    file = folder / "litellm.yaml"
    file.write_text(_LITELLM.format(behind=behind, key=KEY))
    options = ["--config", str(file), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    return Launch([str(program), *options], env, Target(f"http://127.0.0.1:{port}"))


_PORTKEY = Path("portkey/node_modules/@portkey-ai/gateway/build/start-server.js")
PEERS = (
    Peer("Ferro", INSTALLED / "ferro/bin/ferrogw", "/readyz", 1.2, True, _ferro),
    Peer("Portkey", INSTALLED / _PORTKEY, "/", 8, False, _portkey),
    Peer("LiteLLM", INSTALLED / "litellm/bin/litellm", "/health/readiness", 60, True, _litellm),
)


class _Standing(NamedTuple):
    """A gateway that runs: its memory before load, and how long it took to be ready."""

    server: Server
    aim: Target
    idle_mib: float
    started_seconds: float


def bench_peers(table: Table, folder: Path, seconds: float, rounds: int) -> None:
    """Throughput at c=64, latency at c=1, memory and cold start of each peer, interleaved with nginx and ours."""
    present = [peer for peer in PEERS if peer.program.exists()]
    for peer in PEERS:
        if peer not in present:
            table.note(f"{peer.name} is not installed and not measured; `make bench-peers` installs it")
    if not present:
        return
    with ExitStack() as stack:
        static = stack.enter_context(running(static_upstream(folder, LOAD)))
        nginx = stack.enter_context(running(nginx_proxy(folder, TESTED, static.port)))
        ours = gateway(TESTED, static.port, folder / "peers-ours.log", detectors="false")
        standing = {"ours": _stand(stack, ours, target(ours), "/readyz")}
        for peer in present:
            port = HeldPort()
            launch = peer.launch(peer.program, folder, port.number, static.port)
            server = Server(launch.arguments, TESTED, port, launch.env, folder / f"{peer.name}.log")
            standing[peer.name] = _stand(stack, server, launch.aim, peer.ready)
            check_answer(peer, launch.aim)
        targets = {"nginx": target(nginx)} | {name: one.aim for name, one in standing.items()}
        wrk = Wrk(folder, LOAD)
        many = interleaved(wrk, table, targets, 64, seconds, rounds, "peers, c=64")
        few = interleaved(wrk, table, targets, 1, seconds, rounds, "peers, c=1")
        for peer in present:
            if peer.name in many:
                _rate_row(table, peer, many)
        for name, one in standing.items():
            _cost_rows(table, name, one, few)


def _stand(stack: ExitStack, server: Server, aim: Target, ready: str) -> _Standing:
    stack.callback(server.stop)
    started = server.wait(ready)
    for _ in range(20):  # what is loaded at the first requests counts as idle
        ask(aim)
    return _Standing(server, aim, server.rss_mib(), started)


def check_answer(peer: Peer, aim: Target) -> None:
    """Raises AssertionError unless the peer gives the whole answer, and refuses a wrong key where it knows keys."""
    status, body = ask(aim)
    assert status == 200, f"{peer.name} answers {status}: {body[:300]!r}"
    said, wanted = json.loads(body), json.loads(ANSWER)
    assert said["choices"][0]["message"]["content"] == wanted["choices"][0]["message"]["content"], body
    assert {name: said["usage"][name] for name in wanted["usage"]} == wanted["usage"], body
    status, _ = ask(replace(aim, headers={**aim.headers, "authorization": "Bearer sk-wrong-9876543210"}))
    assert (400 <= status < 500) == peer.checks_keys, f"{peer.name} answers {status} to a wrong key"


def _rate_row(table: Table, peer: Peer, windows: Windows) -> None:
    times = windows.ratio("ours", peer.name, rate)
    table.row(
        f"{peer.name}, c=64, req/s; ours {windows['ours'].rate:,.0f}",
        f"{windows[peer.name].rate:,.0f}",
        f"ours {times:.1f} x",
        f"ours >= {peer.times:g} x",
        times >= peer.times,
    )


def _cost_rows(table: Table, name: str, one: _Standing, few: Windows) -> None:
    if name in few:
        added = f"{few.added(name, 'nginx', p50):.2f} / {few.added(name, 'nginx', p99):.2f}"
        table.row(f"{name}, c=1, p50 / p99 added to nginx, ms", added)
    memory = f"{one.idle_mib:.0f} / {one.server.rss_mib():.0f}"
    table.row("  memory idle / after the load, MiB; cold start on one core, s", memory, f"{one.started_seconds:.2f} s")
