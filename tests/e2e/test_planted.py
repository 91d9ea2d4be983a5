"""29 of 29: for each sub-category a planted case goes through a running gateway, and its row moves, in
`/trust/v1/rates` or `/trust/v1/monitors` and in what Prometheus reads."""

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from detectors.rules.fingerprint import build
from detectors.taxonomy import SUBCATEGORIES
from tests.support.planted.cases import (
    CASES,
    DEPLOYED,
    PROBED,
    WATCHED,
    WORK,
    Case,
    Exchange,
    Flagged,
    Found,
    Turned,
    table,
)
from tests.support.planted.history import CHANGED_HOURS, before
from tests.support.planted.model import planted_model
from tests.support.running.patience import PATIENCE_SECONDS
from tests.support.servers.gateway_process import GatewayProcess

pytestmark = pytest.mark.slow
PAGE = Path(__file__).parents[2] / "docs" / "measured" / "planted.md"


def of(kind: type) -> pytest.MarkDecorator:
    cases = [case for case in CASES if isinstance(case.shown, kind)]
    return pytest.mark.parametrize("case", cases, ids=[case.model for case in cases])


class Gateway(GatewayProcess):
    """One that judges everything, probes one route and looks at its monitors all the time."""

    def ask(self, case: Case, exchange: Exchange) -> None:
        body = {"model": case.model, "messages": exchange.messages}
        url = f"{self.base_url}/chat/completions"
        reply = self.http.post(url, json=body, headers=self.headers(), timeout=PATIENCE_SECONDS)
        assert reply.status_code == 200, reply.text

    def ask_until(self, what: str, case: Case, exchange: Exchange, holds: Callable[[], bool]) -> None:
        """Ask, and again after a while: on a busy machine detectors and probes may be late, and what was asked then is
        not judged."""
        ask_at = 0.0

        def asked() -> bool:
            nonlocal ask_at
            if time.monotonic() >= ask_at:
                self.ask(case, exchange)
                ask_at = time.monotonic() + PATIENCE_SECONDS / 4
            return holds()

        self.wait_until(what, asked)

    def trust(self, name: str, **asked: str) -> Any:
        return self.http.get(f"{self.url}/trust/v1/{name}", params=asked, timeout=PATIENCE_SECONDS).json()

    def rate(self, case: Case, direction: str = "response") -> Any:
        """The row of what was asked of this case's model, None where there is none."""
        rates = self.trust("rates", window="1h", model=case.model)["rates"]
        found = [row for row in rates if (row["subcategory"], row["direction"]) == (case.slug, direction)]
        return found[0] if found else None

    def monitor(self, case: Case) -> Any:
        return next(row for row in self.trust("monitors")["monitors"] if row["subcategory"] == case.slug)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("planted")
    build([WORK], folder / "works")
    with ThreadPoolExecutor(1) as aside:
        aside.submit(lambda: asyncio.run(before(folder, time.time()))).result()  # noqa: TID251 - the gateway's clock
    probes = sorted({case.shown.by for case in CASES if isinstance(case.shown, Turned)})
    models = {route: [case.model for case in CASES if case.route == route] for route in (PROBED, DEPLOYED, WATCHED)}
    with planted_model() as model:
        settings = {
            "ASSAY_STATE_DIR": str(folder),
            "ASSAY_KEYS": "",  # with keys, changes are taken from the operator's alone
            "ASSAY_SAMPLE_RATE": "1",
            "ASSAY_FINGERPRINTS": str(folder / "works"),
            "ASSAY_MONITOR_SECONDS": "2",
            "ASSAY_UPSTREAMS": json.dumps({"model": {"url": model.url}}),
            "ASSAY_ROUTES": json.dumps({n: {"models": m, "upstreams": ["model"]} for n, m in models.items()}),
            "ASSAY_PROBES": json.dumps(
                {"routes": [PROBED], "only": probes, "calls_per_hour": 1e7, "tokens_per_hour": 1e9}
            ),
        }
        with Gateway(settings) as running:
            yield running


def test_each_of_the_29_has_a_case() -> None:
    assert list(dict.fromkeys(case.slug for case in CASES)) == [row.slug for row in SUBCATEGORIES]


def test_the_table_in_the_docs_is_this_one() -> None:
    between = re.search(r"<!-- planted -->\n(.*)\n<!-- /planted -->", PAGE.read_text("utf-8"), re.DOTALL)
    assert between is not None
    assert between[1].strip() == table(), "put there what `python -m tests.support.planted` writes"


@of(Flagged)
def test_a_detector_lights(gateway: Gateway, case: Case) -> None:
    shown = case.shown
    assert isinstance(shown, Flagged)
    labels = {"subcategory": case.slug, "direction": shown.direction, "flagged": "1"}
    flagged = gateway.metric("assay_verdicts_total", **labels)
    gateway.ask_until(
        "the harmless one is judged", case, shown.harmless, lambda: gateway.rate(case, shown.direction) is not None
    )
    assert gateway.rate(case, shown.direction)["flagged_share"]["estimate"] == 0
    assert gateway.metric("assay_verdicts_total", **labels) == flagged
    gateway.ask_until(
        "the row moves",
        case,
        shown.planted,
        lambda: gateway.rate(case, shown.direction)["flagged_share"]["estimate"] > 0,
    )
    detectors = gateway.rate(case, shown.direction)["detectors"]
    assert any(name.startswith(shown.by + "@") for name in detectors)
    assert gateway.metric("assay_verdicts_total", **labels) > flagged


@of(Turned)
def test_a_probe_lights(gateway: Gateway, case: Case) -> None:
    shown = case.shown
    assert isinstance(shown, Turned)
    labels = {"probe": shown.by, "subcategory": case.slug, "flagged": "1"}
    turned = gateway.metric("assay_probe_findings_total", **labels)

    def estimate() -> float | None:
        row = gateway.rate(case)
        found = (row or {"probes": {}})["probes"].get(f"probe:{shown.by}@1")
        return None if found is None else float(found["estimate"])

    gateway.ask_until("the steady one is probed", case, shown.steady, lambda: estimate() is not None)
    assert estimate() == 0
    gateway.ask_until("the row moves", case, shown.planted, lambda: (estimate() or 0) > 0)
    assert gateway.rate(case)["basis"] == "probe"
    assert gateway.metric("assay_probe_findings_total", **labels) > turned


@of(Found)
def test_a_monitor_lights(gateway: Gateway, case: Case) -> None:
    shown = case.shown
    assert isinstance(shown, Found)

    def found() -> bool:
        return any(row["found"] and shown.row(row) for row in gateway.monitor(case)["rows"])

    gateway.wait_until("there was a look", lambda: gateway.monitor(case)["missing"] != "a first look")
    for exchange in shown.steady:
        gateway.ask(case, exchange)
    if shown.steady:
        gateway.wait_until("it has rows", lambda: bool(gateway.monitor(case)["rows"]))
    assert not found()
    for exchange in shown.exchanges:
        gateway.ask(case, exchange)
    if shown.change:
        at = time.time() - CHANGED_HOURS * 3600  # noqa: TID251 - the gateway's clock is this one
        told = gateway.http.post(f"{gateway.url}/trust/v1/changes", json={**shown.change, "at": at})
        assert told.status_code == 201
    gateway.wait_until("the row moves", found)
    assert gateway.metric("assay_monitor_found", subcategory=case.slug) >= 1
