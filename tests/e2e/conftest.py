"""The processes that most of these tests talk to, started once."""

import json
import statistics
from collections.abc import Iterator, Mapping

import pytest

from tests.support.servers.gateway_process import (
    MOST_BODY_BYTES,
    SAID_BEFORE,
    SECRET,
    SILENT,
    UPSTREAM_KEY,
    DemoUpstream,
    GatewayProcess,
)
from tests.support.servers.scripted_upstream import ScriptedUpstream

SILENCE_SECONDS = 2.0


_CANCEL_TIMES = pytest.StashKey[dict[str, list[float]]]()
_CANCEL_AIM_MS = 100


@pytest.fixture(scope="session")
def cancel_times(request: pytest.FixtureRequest) -> dict[str, list[float]]:
    """Seconds from a client's leaving to the end of the upstream's work, by phase; the run ends with their medians."""
    return request.config.stash.setdefault(_CANCEL_TIMES, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    medians = {phase: 1000 * statistics.median(took) for phase, took in config.stash.get(_CANCEL_TIMES, {}).items()}
    if medians:
        shown = ", ".join(f"{phase} {median:.1f}" for phase, median in medians.items())
        terminalreporter.write_line(f"upstream cancelled after its client left, median in ms: {shown}")
    if late := [phase for phase, median in medians.items() if median > _CANCEL_AIM_MS]:
        terminalreporter.write_line(f"slower than the {_CANCEL_AIM_MS} ms promised: {', '.join(late)}", yellow=True)


@pytest.fixture(scope="session")
def upstream() -> Iterator[DemoUpstream]:
    with DemoUpstream() as running:
        yield running


@pytest.fixture(scope="session")
def scripted() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as running:
        yield running


@pytest.fixture(scope="session")
def gateway(upstream: DemoUpstream, scripted: ScriptedUpstream) -> Iterator[GatewayProcess]:
    """Everything goes to the demo upstream, except models that are called `scripted-…`. Nothing is judged."""
    upstreams = {"demo": {"url": upstream.url, "key": UPSTREAM_KEY}, "scripted": {"url": scripted.url}}
    routes = {
        "demo": {"models": ["*"], "upstreams": ["demo"]},
        "scripted": {"models": ["scripted-*"], "upstreams": ["scripted"]},
    }
    with GatewayProcess(_settings(upstreams, routes)) as running:
        yield running


@pytest.fixture(scope="session")
def strict_gateway(upstream: DemoUpstream, scripted: ScriptedUpstream) -> Iterator[GatewayProcess]:
    """Only the models that its routes name, and small bodies; little patience with silence on the routes for it."""
    upstreams = {"demo": {"url": upstream.url}, "scripted": {"url": scripted.url}, "nobody": {"url": _NOBODY}}
    routes: dict[str, Mapping[str, object]] = {
        "demo": {"models": ["demo-*"], "upstreams": ["demo"]},
        "scripted": {"models": ["scripted-*"], "upstreams": ["scripted"]},
        "unreachable": {"models": ["unreachable"], "upstreams": ["nobody"]},
        "hanging": {
            "models": ["demo-small?hang=1"],
            "upstreams": ["demo"],
            "first_byte_timeout_seconds": SILENCE_SECONDS,
        },
        "silent": {
            "models": [f"{SILENT}*"],
            "upstreams": ["scripted"],
            "idle_timeout_seconds": SILENCE_SECONDS,
        },
    }
    bounds = {"ASSAY_MAX_BODY_BYTES": str(MOST_BODY_BYTES)}
    with GatewayProcess(_settings(upstreams, routes) | bounds) as running:
        yield running


WINDOW_POLICY = """
version: 1
mode: enforce
rules:
  - id: block-secrets-out
    when: {subcategory: privacy_violation, detector: secrets, on: response}
    then: block
"""


@pytest.fixture(scope="session")
def leak() -> str:
    """A model of the demo upstream whose answer has a secret behind more text than a window holds back."""
    return f"demo-large?deltas=20&gap_ms=20&say={SAID_BEFORE}The key is {SECRET} so keep it".replace(" ", "+")


@pytest.fixture(scope="session")
def windowed(upstream: DemoUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """Streams go through a window of 64 characters; an answer with a secret is blocked."""
    policy = tmp_path_factory.mktemp("windowed") / "policy.yaml"
    policy.write_text(WINDOW_POLICY)
    settings = {
        "ASSAY_POLICY": str(policy),
        "ASSAY_UPSTREAM_URL": upstream.url,
        "ASSAY_STREAMS": "window",
        "ASSAY_STREAM_WINDOW_CHARS": "64",
        "ASSAY_GUARD_TIMEOUT_SECONDS": "60",
    }
    with GatewayProcess(settings) as running:
        yield running


_NOBODY = "http://127.0.0.1:1/v1"  # nothing listens on port 1


def _settings(upstreams: dict[str, dict[str, str]], routes: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    return {
        "ASSAY_DETECTORS": "false",
        "ASSAY_UPSTREAMS": json.dumps(upstreams),
        "ASSAY_ROUTES": json.dumps(routes),
    }
