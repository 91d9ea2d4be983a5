"""The command `assay`: serve · worker · check · score · policy · fingerprint · taxonomy · settings · demo-upstream."""

import argparse
import importlib
import math
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import uvicorn
from uvicorn.supervisors import Multiprocess

from detectors.manifest import ModelError
from gateway.config import routes, settings
from gateway.config.explain import settings_table, unknown_environment
from gateway.config.load import load
from gateway.config.settings import Config, ConfigError
from gateway.demo import server as demo_upstream
from gateway.enforcement.signals import load_policy
from gateway.serving.connection import ServerConnection
from policies.model import CHANNELS, DIRECTIONS
from policies.source import PolicyError

# Settings that `assay serve` takes as flags; each is also in the file and in the environment.
FLAGS = ("host", "port", "workers", "upstream_url", "upstream_key", "keys", "policy", "sample_rate", "redis_url")
WORKER_FLAGS = ("redis_url", "policy")
_BAD_USE = 2

Command = Callable[[argparse.Namespace], int]


def out(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0 fine, 1 the work found fault, 2 it could not begin."""
    parsed = _parser().parse_args(arguments)
    command: Command = parsed.command
    try:
        return command(parsed)
    except (ConfigError, PolicyError, ModelError) as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"assay: {line}\n")
        return _BAD_USE
    except OSError as error:
        sys.stderr.write(f"assay: {error.filename or ''}: {error.strerror or error}\n")
        return _BAD_USE
    except KeyboardInterrupt:
        return 130


# --- serve


def _serve(parsed: argparse.Namespace) -> int:
    flags = {name: getattr(parsed, name) for name in FLAGS}
    config = load(flags, path=parsed.config)
    for sentence in unknown_environment(os.environ):
        sys.stderr.write(f"assay: {sentence}\n")
    policy = load_policy(config.policy, routes.targets(config), routes.route_names(config))
    for sentence in policy.warnings:
        sys.stderr.write(f"assay: {config.policy}: {sentence}\n")
    listening = _listen(config.host, config.port, "--host or --port")
    port = listening.getsockname()[1]
    # Worker processes read the same settings again: what came as a flag goes to them through the environment.
    _export({name: value for name, value in flags.items() if value is not None})
    _export({"port": str(port), "audit_hash_key": _hash_key(config)})
    if parsed.config:
        os.environ["ASSAY_CONFIG"] = parsed.config
    demo = _start_demo() if config.uses_demo else None
    folder = tempfile.mkdtemp(prefix="assay-metrics-") if config.workers > 1 else None
    if folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    try:
        out(_banner(config, port, policy.revision, policy.mode))
        _run(config, listening)
    finally:
        if demo is not None:
            demo.terminate()
            demo.wait()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


def _run(config: Config, listening: socket.socket) -> None:
    server_config = uvicorn.Config(
        "gateway.app:create_app",
        factory=True,
        workers=config.workers,
        loop="uvloop",
        http=ServerConnection,
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        date_header=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=math.ceil(config.drain_seconds),
    )
    # uvicorn stops gracefully on SIGTERM and then raises it again: by then it only means "done".
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    if config.workers > 1:
        _Workers(server_config, sockets=[listening]).run()
    else:
        uvicorn.Server(server_config).run(sockets=[listening])


class _Workers(Multiprocess):
    """Worker processes that share the port. When they are told to stop, so does the parent: as long as it held the
    port open, new connections would wait in a queue that nobody serves."""

    def terminate_all(self) -> None:
        for listening in self.sockets:
            listening.close()
        super().terminate_all()

    def handle_hup(self) -> None:
        """The workers read the policy's file again; nothing is restarted."""
        for process in self.processes:
            if process.pid is not None:
                os.kill(process.pid, signal.SIGHUP)


def _listen(host: str, port: int, flags: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigError([f"cannot listen on {host}:{port}: {error.strerror}; choose another with {flags}"]) from None
    listening.set_inheritable(True)
    return listening


def _hash_key(config: Config) -> str:
    return config.audit_hash_key.get_secret_value() if config.audit_hash_key else secrets.token_hex(32)


def _export(values: dict[str, str]) -> None:
    for name, value in values.items():
        os.environ[settings.env_name(name)] = value


def _start_demo() -> subprocess.Popen[bytes]:
    """The demo upstream as a process of its own, on a free port; ours to end. Its address goes to the settings."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "demo-upstream", "--port", str(port), "--with-parent"],
        stdin=subprocess.PIPE,
    )
    _export({"upstream_url": f"http://127.0.0.1:{port}/v1"})
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
            continue
        break
    return process


def _banner(config: Config, port: int, revision: str, mode: str) -> str:
    host = f"[{config.host}]" if ":" in config.host else config.host
    base = f"http://{host}:{port}"
    key = "any, none is configured (local callers only)" if not config.keys else "one of the configured keys"
    shown = "sk-local" if not config.keys else "$ASSAY_KEY"
    model = "demo-small" if config.uses_demo else "MODEL"
    upstream = "demo (replays conversations; set OPENAI_API_KEY or ASSAY_UPSTREAM_URL for a real one)"
    if not config.uses_demo:
        upstream = ", ".join(entry.origin for entry in routes.upstreams(config).values())
    body = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "Say hello"}}]}}'
    return "\n".join(
        [
            f"Assay {version('assay-gateway')}",
            f"  base URL  {base}/v1",
            f"  key       {shown} ({key})",
            f"  upstream  {upstream}",
            f"  policy    {config.policy}, revision {revision}, mode {mode}; sample rate {config.sample_rate:g}",
            f"  metrics   {base}/metrics",
            f"  trust     {base}/trust",
            "  try       "
            f"curl {base}/v1/chat/completions -H 'authorization: Bearer {shown}' "
            f"-H 'content-type: application/json' -d '{body}'",
        ]
    )


# --- worker


def _worker(parsed: argparse.Namespace) -> int:
    flags = {name: getattr(parsed, name) for name in WORKER_FLAGS}
    config = load(flags, path=parsed.config)
    for sentence in unknown_environment(os.environ):
        sys.stderr.write(f"assay: {sentence}\n")
    _export({name: value for name, value in flags.items() if value is not None})
    if parsed.config:
        os.environ["ASSAY_CONFIG"] = parsed.config
    server_config = uvicorn.Config(
        "gateway.app:create_worker_app",
        factory=True,
        loop="uvloop",
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=1,  # for a scrape; what counts is the batch, which the lifespan waits for
    )
    server_config.load()
    listening = _listen(parsed.metrics_host, parsed.metrics_port, "--metrics-host or --metrics-port")
    host, port = listening.getsockname()[:2]
    out(f"Assay {version('assay-gateway')} worker: policy {config.policy}; metrics http://{host}:{port}/metrics")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    uvicorn.Server(server_config).run(sockets=[listening])
    return 0


# --- the commands that need no server


_MODULES = {"policy_false_alarms": "gateway.commands.false_alarms"}


def _with_models(name: str) -> Command:
    """A command of a module that is imported when it runs: a process that serves holds no model code."""
    module = _MODULES.get(name, "gateway.commands.policy" if name.startswith("policy_") else "gateway.commands.models")

    def run(parsed: argparse.Namespace) -> int:
        command: Command = getattr(importlib.import_module(module), name)
        return command(parsed)

    return run


def _check(parsed: argparse.Namespace) -> int:
    config = load(path=parsed.config)
    policy = load_policy(config.policy, routes.targets(config), routes.route_names(config))
    for sentence in (*unknown_environment(os.environ), *policy.warnings):
        out(f"note: {sentence}")
    if config.fingerprints:
        _with_models("fingerprint_check")(argparse.Namespace(file=config.fingerprints))
    names = ", ".join(routes.upstreams(config))
    out(f"ok: upstreams {names}; {len(config.keys)} keys; policy {config.policy} {policy.revision} ({policy.mode})")
    return 0


def _settings(_: argparse.Namespace) -> int:
    out(settings_table())
    return 0


def _demo(parsed: argparse.Namespace) -> int:
    if parsed.with_parent:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    demo_upstream.serve(parsed.host, parsed.port)
    return 0


def _end_with_parent() -> None:
    """Standard input closes when the parent ends, however it ended."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="assay", description="An OpenAI-compatible gateway that assays what passes.")
    parser.add_argument("--version", action="version", version=f"assay {version('assay-gateway')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="serve the gateway")
    serve.add_argument("--config", metavar="FILE", help="the configuration file (default: assay.yaml if it exists)")
    _add_settings(serve, FLAGS)
    serve.set_defaults(command=_serve)

    worker = commands.add_parser("worker", help="judge the samples that gateways leave in Redis")
    worker.add_argument("--config", metavar="FILE", help="the configuration file (default: assay.yaml if it exists)")
    _add_settings(worker, WORKER_FLAGS)
    worker.add_argument("--metrics-host", default="127.0.0.1", metavar="HOST", help="address of /metrics (127.0.0.1)")
    worker.add_argument("--metrics-port", type=int, default=9108, metavar="PORT", help="port of /metrics (9108)")
    worker.set_defaults(command=_worker)

    check = commands.add_parser("check", help="say what is wrong with the configuration and the policy")
    check.add_argument("--config", metavar="FILE")
    check.set_defaults(command=_check)

    score = commands.add_parser("score", help="judge JSON lines from standard input")
    score.add_argument("--only", metavar="SLUG,SLUG", help="only these sub-categories")
    score.add_argument("--batch", type=int, default=64, metavar="N", help="texts judged at once (64)")
    score.set_defaults(command=_with_models("score"))

    taxonomy = commands.add_parser("taxonomy", help="the 29 sub-categories, their detectors and measured figures")
    taxonomy.add_argument("--json", action="store_true")
    taxonomy.set_defaults(command=_with_models("taxonomy"))

    table = commands.add_parser("settings", help="the table of settings, as Markdown")
    table.set_defaults(command=_settings)

    _add_policy(commands.add_parser("policy", help="try a policy out"))

    _add_fingerprint(commands.add_parser("fingerprint", help="make a file that finds verbatim copies of your works"))

    demo = commands.add_parser("demo-upstream", help="a model server that replays conversations")
    demo.add_argument("--host", default="127.0.0.1")
    demo.add_argument("--port", type=int, default=8081)
    demo.add_argument("--with-parent", action="store_true", help="end when standard input closes")
    demo.set_defaults(command=_demo)
    return parser


def _add_settings(command: argparse.ArgumentParser, names: Sequence[str]) -> None:
    for name in names:
        description = (Config.model_fields[name].description or "").replace("%", "%%")
        command.add_argument("--" + name.replace("_", "-"), dest=name, metavar="VALUE", help=description)


def _add_policy(policy: argparse.ArgumentParser) -> None:
    what = "`observe`, `default`, `strict`, or the path of a policy file"
    actions = policy.add_subparsers(required=True, metavar="ACTION")
    test = actions.add_parser("test", help="run the cases beside a policy (NAME.cases.yaml beside NAME.yaml)")
    test.add_argument("file", metavar="FILE", help=what)
    test.set_defaults(command=_with_models("policy_test"))

    explain = actions.add_parser("explain", help="judge the text on standard input and show what each rule makes of it")
    explain.add_argument("file", metavar="FILE", help=what)
    explain.add_argument("--role", choices=DIRECTIONS, default="prompt", help="which side wrote the text (prompt)")
    explain.add_argument("--channel", choices=CHANNELS, help="where it stood (user in a prompt, else assistant)")
    explain.add_argument("--route", default="default", metavar="NAME", help="the route it took (default)")
    explain.add_argument("--model", default="", metavar="NAME", help="the model that was asked for")
    explain.add_argument("--caller", default="", metavar="NAME", help="the name of the caller's key")
    explain.add_argument("--draw", type=float, default=0.0, metavar="N", help="0 to 1: which canaries act (0: all)")
    explain.set_defaults(command=_with_models("policy_explain"))

    simulate = actions.add_parser("simulate", help="decide recorded traffic once more and show what would change")
    simulate.add_argument("--traffic", type=Path, required=True, metavar="FILE", help="an audit file (audit_path)")
    simulate.add_argument("--policy", required=True, metavar="FILE", help=what)
    simulate.set_defaults(command=_with_models("policy_simulate"))

    cost = actions.add_parser("cost", help="measure false alarms and catches on labelled texts")
    cost.add_argument("--data", type=Path, required=True, metavar="DIR", help="a folder of SET.jsonl[.gz] files")
    cost.add_argument("--policy", action="append", metavar="FILE", help=f"{what}; all three when left out")
    cost.add_argument("--most", type=int, default=500, metavar="N", help="texts of a set and kind at most (500)")
    cost.add_argument("sets", nargs="*", metavar="SET", help="sets of the folder (all of them)")
    cost.set_defaults(command=_with_models("policy_cost"))

    alarms = actions.add_parser("false-alarms", help="count what harmless texts set off, by head, length and rule")
    alarms.add_argument("file", type=Path, metavar="FILE", help="JSON lines: `text`, and `role`, `channel`, `kind`")
    alarms.add_argument("--policy", action="append", metavar="FILE", help=f"{what}; default and strict when left out")
    alarms.set_defaults(command=_with_models("policy_false_alarms"))

    schema = actions.add_parser("schema", help="print the JSON Schema of policy files, for editors")
    schema.set_defaults(command=_with_models("policy_schema"))


def _add_fingerprint(fingerprint: argparse.ArgumentParser) -> None:
    actions = fingerprint.add_subparsers(required=True, metavar="ACTION")
    build = actions.add_parser("build", help="read a corpus and write its fingerprints; the texts are not kept")
    build.add_argument(
        "corpus", type=Path, metavar="CORPUS", help="a folder of .txt and .md files, or JSON lines with a field `text`"
    )
    build.add_argument("file", type=Path, metavar="FILE", help="the file to write, for the setting `fingerprints`")
    build.set_defaults(command=_with_models("fingerprint_build"))

    check = actions.add_parser("check", help="say what a fingerprint file holds, or what is wrong with it")
    check.add_argument("file", type=Path, metavar="FILE")
    check.set_defaults(command=_with_models("fingerprint_check"))


if __name__ == "__main__":
    sys.exit(main())
