"""`assay serve`: the gateway, in one process or several."""

import argparse
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from functools import partial
from importlib.metadata import version
from pathlib import Path

from gateway.commands import out, warn
from gateway.config import routes
from gateway.config.load import load_with_notes
from gateway.config.settings import Config, ConfigError, env_name
from gateway.demo.process import start as start_demo_upstream
from gateway.enforcement.local_tables import local_tables_of, operating_of, read_local_tables
from gateway.enforcement.signals import policy_of
from gateway.own_detectors.described import own_detectors
from gateway.serving import descriptors, process
from gateway.telemetry import logs, shared_files
from policies.engine import Policy

# Settings that may be given as flags; each may also be set in the file and in the environment.
FLAGS = ("host", "port", "workers", "upstream_url", "upstream_key", "keys", "policy", "sample_rate", "redis_url")


def serve(parsed: argparse.Namespace) -> int:
    """`assay serve`, until it is stopped. Raises ConfigError, PolicyError and ModelError."""
    flags = {name: getattr(parsed, name) for name in FLAGS}
    config, notes = load_with_notes(flags, path=parsed.config)
    own = own_detectors(config, operating_of(read_local_tables(local_tables_of(config))))
    policy = policy_of(config, own.infos())
    for sentence in (*notes, *policy.warnings):
        warn(sentence)
    for name, fault in own.faults.items():
        warn(f"detectors.{name}: {fault}; the gateway starts without this detector")
    _configure_logs(config)
    descriptors.raise_limit()
    if told := descriptors.shortfall(config.max_requests_in_flight, descriptors.in_use().most):
        warn(told)
    listening = process.listen(config.host, config.port, "--host or --port", shared=config.reuse_port)
    # Worker processes read the settings again, so flags are passed on to them in the environment.
    export({name: value for name, value in flags.items() if value is not None}, parsed.config)
    _run(config, policy, listening)
    return 0


def _configure_logs(config: Config) -> None:
    logs.configure(config.log_format, config.log_level, one_of_many=config.workers > 1)


def _run(config: Config, policy: Policy, listening: socket.socket) -> None:
    """Run the processes that serve, with the files that they share."""
    port = listening.getsockname()[1]
    export({"port": str(port), "audit_hash_key": _hash_key(config)})
    demo = _start_demo() if config.uses_demo else None
    folder = _shared_folder(config.workers)
    if config.workers > 1:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = f"{folder}/metrics"
    if config.state_dir is None:
        export({"state_dir": f"{folder}/state"})
    try:
        process.run(
            "gateway.app:create_app",
            listening,
            workers=config.workers,
            ending=process.ProcessEnding(config.shutdown_delay_seconds, config.drain_seconds),
            announce=lambda: out(_banner(config, port, policy.revision, policy.mode)),
            prepare=partial(_configure_logs, config),
        )
    finally:
        if demo is not None:
            demo.terminate()
            demo.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _shared_folder(workers: int) -> str:
    """A temporary folder that the processes of this start share. Raises ConfigError if it cannot be made."""
    try:
        folder = tempfile.mkdtemp(prefix="assay-run-")
    except OSError as error:
        raise ConfigError([_no_folder(error)]) from None
    try:
        for inner in ("metrics", "state"):  # apart, because every `.db` file beside the metrics counts as metrics
            (Path(folder) / inner).mkdir()
        if workers > 1:
            room = Path(folder) / "room"
            shared_files.take_room(room, workers * shared_files.BYTES)
            room.unlink()
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        what = f"{Path(folder).parent} has no room for the files that the processes share ({error.strerror})"
        needed = f"the metrics of {workers} processes take {workers * shared_files.BYTES / 2**20:.0f} MiB"
        raise ConfigError([f"{what}; {needed}: free some space, or name another folder in TMPDIR"]) from None
    return folder


def _no_folder(error: OSError) -> str:
    why = error.strerror or error
    return f"no temporary folder can be created ({why}); mount a tmpfs at /tmp, or name a writable folder in TMPDIR"


def export(values: dict[str, str], config_file: str | None = None) -> None:
    """Pass settings, and the place of the configuration file, on to child processes."""
    for name, value in values.items():
        os.environ[env_name(name)] = value
    if config_file:
        os.environ["ASSAY_CONFIG"] = config_file


def _hash_key(config: Config) -> str:
    return config.audit_hash_key.get_secret_value() if config.audit_hash_key else secrets.token_hex(32)


def _start_demo() -> subprocess.Popen[bytes]:
    """Start the demo upstream and set it as the upstream. The caller must end it."""
    process, url = start_demo_upstream()
    export({"upstream_url": url})
    return process


_MODES = {"monitor": "it records and stops nothing", "enforce": "it acts on what its rules find"}


def _banner(config: Config, port: int, revision: str, mode: str) -> str:
    host = f"[{config.host}]" if ":" in config.host else config.host
    base = f"http://{host}:{port}"
    key = "one of the configured keys" if config.keys else "sk-local (or any other: none is configured)"
    shown = "YOUR_KEY" if config.keys else "sk-local"
    model = "demo-small" if config.uses_demo else routes.named_model(config) or "MODEL"
    upstream = "demo (replays conversations; set OPENAI_API_KEY or ASSAY_UPSTREAM_URL for a real one)"
    if not config.uses_demo:
        named = routes.upstreams(config)
        upstream = ", ".join(
            f"{name} at {entry.base_url}" if len(named) > 1 else entry.base_url for name, entry in named.items()
        )
    body = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "Say hello"}}]}}'
    own = routes.route_policies(config)
    elsewhere = f"; {', '.join(f'{source} on {route}' for route, source in own.items())}" if own else ""
    return "\n".join(
        [
            f"Assay {version('assay-gateway')}",
            f"  base URL  {base}/v1",
            f"  key       {key}",
            f"  upstream  {upstream}",
            f"  policy    {config.policy}{elsewhere}, revision {revision}: {_MODES.get(mode, mode)}; "
            f"sample rate {config.sample_rate:g}",
            f"  metrics   {base}/metrics",
            f"  trust     {base}/trust",
            "  try       "
            f"curl {base}/v1/chat/completions -H 'authorization: Bearer {shown}' "
            f"-H 'content-type: application/json' -d '{body}'",
            *([f"            with a model of {base}/v1/models in place of MODEL"] if model == "MODEL" else []),
        ]
    )
