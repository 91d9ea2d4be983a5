"""`assay check`: what is wrong with the configuration, the policy and what they need of the machine."""

import argparse
from importlib import import_module

from gateway.commands import out
from gateway.config import routes
from gateway.config.load import load_with_notes
from gateway.enforcement.local_tables import local_tables_of, read_local_tables
from gateway.enforcement.signals import load_policy


def check(parsed: argparse.Namespace) -> int:
    """`assay check`. Raises ConfigError, PolicyError and ModelError."""
    config, notes = load_with_notes(path=parsed.config)
    policy = load_policy(
        config.policy,
        routes.targets(config),
        routes.route_names(config),
        read_local_tables(local_tables_of(config)),
    )
    for sentence in (*notes, *policy.warnings):
        out(f"note: {sentence}")
    if config.fingerprints:  # reading them takes model code, which `assay serve` does without
        import_module("gateway.commands.fingerprint").check(argparse.Namespace(file=config.fingerprints))
    names = ", ".join(routes.upstreams(config))
    out(f"ok: upstreams {names}; {len(config.keys)} keys; policy {config.policy} {policy.revision} ({policy.mode})")
    return 0
