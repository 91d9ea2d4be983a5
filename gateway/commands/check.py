"""`assay check`: what is wrong with the configuration, the policy and the files that they need; and `assay detectors`:
what is known of the operator's own detectors."""

import argparse
from collections.abc import Iterator
from importlib import import_module

from gateway.commands import out
from gateway.config import routes
from gateway.config.load import load_with_notes
from gateway.config.settings import Config
from gateway.enforcement.local_tables import local_tables_of, operating_of, read_local_tables
from gateway.enforcement.signals import policy_of
from gateway.own_detectors.cards import cards
from gateway.own_detectors.described import own_detectors


def check(parsed: argparse.Namespace) -> int:
    """`assay check`: 2 if one of the operator's detectors cannot work. Raises ConfigError, PolicyError and
    ModelError."""
    config, notes = load_with_notes(path=parsed.config)
    own = own_detectors(config, operating_of(read_local_tables(local_tables_of(config))))
    policy = policy_of(config, own.infos())
    for sentence in (*notes, *policy.warnings):
        out(f"note: {sentence}")
    if config.fingerprints:  # reading them takes model code, which `assay serve` does without
        import_module("gateway.commands.fingerprint").check(argparse.Namespace(file=config.fingerprints))
    for sentence in _routes(config):
        out(sentence)
    problems = []
    if own.specs:  # loading them takes model code too
        checking = import_module("gateway.own_detectors.checking")
        problems = list(checking.faults(own))
        for sentence in checking.notes(config, own):
            out(f"note: {sentence}")
        for problem in problems:
            out(problem)
    names = ", ".join(routes.upstreams(config))
    about = f"upstreams {names}; {len(config.keys)} keys; policy {config.policy} {policy.revision} ({policy.mode})"
    out(f"{'not ok' if problems else 'ok'}: {about}")
    return 2 if problems else 0


def _routes(config: Config) -> Iterator[str]:
    """A sentence for each configured route: what is in force on it."""
    for name, route in config.routes.items():
        policy = route.policy or config.policy
        told = [f"models {', '.join(route.models)}", f"upstreams {', '.join(route.upstreams)} by {route.balance}"]
        told += [f"policy {policy}", f"streams {route.streams or config.streams}"]
        if route.sample_rate is not None:
            told.append(f"sample rate {route.sample_rate:g}")
        waits = {"first byte": route.first_byte_timeout_seconds, "idle": route.idle_timeout_seconds}
        told += [f"{what} within {seconds:g} s" for what, seconds in waits.items() if seconds is not None]
        hedge = config.hedge_after_seconds if route.hedge_after_seconds is None else route.hedge_after_seconds
        if hedge != "never" and len(route.upstreams) > 1:
            told.append(f"a second try after {hedge}" + (" s" if isinstance(hedge, float) else ""))
        yield f"route {name}: {'; '.join(told)}"


def detectors(parsed: argparse.Namespace) -> int:
    """`assay detectors`: 1 when there are none. Raises ConfigError and PolicyError."""
    config = load_with_notes(path=parsed.config).config
    local = read_local_tables(local_tables_of(config))
    own = own_detectors(config, operating_of(local))
    if not own.specs:
        out("You have no detectors of your own (setting `detectors`); `assay taxonomy` shows the shipped ones.")
        return 1
    out(cards(own, local))
    return 0
