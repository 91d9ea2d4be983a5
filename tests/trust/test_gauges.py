"""What Prometheus sees of the estimates."""

import asyncio
import math
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.telemetry import metrics
from gateway.trust.estimates import Errors
from gateway.trust.ledger import MODELS_A_ROUTE, Ledger
from gateway.trust.second_opinion import Label, SecondOpinion
from gateway.trust.stores.sqlite_ledger import SqliteStore
from gateway.trust.watching.gauges import GROUPS, LANGUAGES, TrustGauges
from tests.support.worlds.ledgers import MIB, NOON, judged, ledger_on

ERRORS = {("violence", "prompt"): Errors(((0.5, 0.02),))}


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with ledger_on(SqliteStore(tmp_path / "ledger.db", days=30, most_bytes=64 * MIB)) as ledger:
        yield ledger


def shown(name: str, basis: str, route: str = "", model: str = "") -> float | None:
    labels = {"subcategory": "violence", "direction": "prompt", "route": route, "model": model, "basis": basis}
    return metrics.samples(name).get(tuple(sorted(labels.items())))


@pytest.mark.slow
async def test_a_range_then_a_rate_and_never_both(ledger: Ledger) -> None:
    """What is not there is NaN: zero would say that there is no harm."""
    gauges = TrustGauges(ledger, ERRORS)
    for number in range(100):
        ledger.take(judged(f"s{number}", flagged=number < 10))
    await gauges.refresh()
    assert math.isnan(shown("assay_trust_rate", "card") or 0)
    assert 0 < (shown("assay_trust_rate_high", "card") or 0) < 1
    given = [
        SecondOpinion(f"s{number}", NOON, "judge", "guard@4", 1.0, [Label("prompt", "violence", float(number < 5))])
        for number in range(100)
    ]
    await ledger.opine(given)
    await gauges.refresh()
    assert shown("assay_trust_rate", "judge") == pytest.approx(0.05)
    assert math.isnan(shown("assay_trust_rate_high", "card") or 0)
    low, high = shown("assay_trust_rate_low", "judge"), shown("assay_trust_rate_high", "judge")
    assert low is not None
    assert high is not None
    assert 0 < low < 0.05 < high < 0.15
    assert (shown("assay_trust_effective_samples", "judge") or 0) > 50


async def test_pairs_of_route_and_model_are_bounded(ledger: Ledger) -> None:
    for number in range(GROUPS + 15):
        for sample in range(1 if number >= GROUPS else 3):
            ledger.take(judged(f"{number} {sample}", route="gauges", model=f"model {number}"))
    await TrustGauges(ledger, {}).refresh()
    groups = {
        (labels["route"], labels["model"])
        for pairs in metrics.samples("assay_trust_effective_samples")
        if (labels := dict(pairs))["route"] in ("gauges", "other")
    }
    assert len(groups) == GROUPS + 1
    assert ("other", "other") in groups
    assert shown("assay_trust_effective_samples", "flags", "other", "other") == 15


async def test_a_model_called_other_hides_nothing(ledger: Ledger) -> None:
    """Models beyond the ledger's bound are shown as `other`: a client may name its model so, too."""
    for number in range(MODELS_A_ROUTE + 3):
        name = "other" if number == 0 else f"model {number}"
        for sample in range(3 if number == 0 else 1):
            ledger.take(judged(f"{number} {sample}", route="named", model=name))
    await TrustGauges(ledger, {}).refresh()
    alone = MODELS_A_ROUTE - 1  # models with one sample each, of which the gauges show GROUPS
    assert shown("assay_trust_effective_samples", "flags", "named", "model 1") == 1
    rest = shown("assay_trust_effective_samples", "flags", "other", "other")
    assert rest == 3 + alone - GROUPS + 3


async def test_languages_are_shown_and_bounded(ledger: Ledger) -> None:
    for number in range(LANGUAGES + 3):
        for sample in range(1 if number >= LANGUAGES else 3):
            ledger.take(replace(judged(f"{number} {sample}"), language=f"l{number}" if number else ""))
    await TrustGauges(ledger, ERRORS).refresh()
    found = {
        labels["language"]: value
        for pairs, value in metrics.samples("assay_trust_language_rate_high").items()
        if (labels := dict(pairs))["basis"] == "card" and not math.isnan(value)
    }
    assert found.keys() == {"unknown", "other", *(f"l{number}" for number in range(1, LANGUAGES))}
    assert all(0 < high <= 1 for high in found.values())


@pytest.mark.parametrize(("work", "pause"), [(0.1, 15.0), (2.0, 40.0), (3600.0, 300.0)])
async def test_the_pause_follows_the_processor_time(ledger: Ledger, work: float, pause: float) -> None:
    """However long it took on a busy machine: the figures are never older than some minutes."""
    began, times = asyncio.get_running_loop().time(), []

    class Slow(TrustGauges):
        async def refresh(self) -> None:
            times.append(asyncio.get_running_loop().time() - began)
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2 * (60 + pause) - 1):
            await Slow(ledger, {}, worked=count(0.0, work).__next__).run()
    assert times == pytest.approx([0, 60 + pause], abs=0.1)
