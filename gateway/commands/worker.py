"""`assay worker`: judges the samples that gateways leave in Redis."""

import argparse
from importlib.metadata import version

from gateway.commands import out, warn
from gateway.commands.serve import export
from gateway.config.load import load_with_notes
from gateway.serving import process
from gateway.telemetry import logs

FLAGS = ("redis_url", "policy")  # settings that may be given as flags


def worker(parsed: argparse.Namespace) -> int:
    """`assay worker`, until it is stopped. Raises ConfigError, PolicyError and ModelError."""
    flags = {name: getattr(parsed, name) for name in FLAGS}
    config, notes = load_with_notes(flags, path=parsed.config)
    for sentence in notes:
        warn(sentence)
    export({name: value for name, value in flags.items() if value is not None}, parsed.config)
    logs.configure(config.log_format, config.log_level)
    listening = process.listen(parsed.metrics_host, parsed.metrics_port, "--metrics-host or --metrics-port")
    host, port = listening.getsockname()[:2]
    announced = f"Assay {version('assay-gateway')} worker: policy {config.policy}; metrics http://{host}:{port}/metrics"
    process.run(
        "gateway.worker_app:create_worker_app",
        listening,
        workers=1,
        # A second for a last scrape; the application itself waits for its current batch.
        ending=process.ProcessEnding(0, 1),
        announce=lambda: out(announced),
    )
    return 0
