"""What Prometheus sees of models that show more of a sub-category than others."""

import math
from pathlib import Path

import pytest

from gateway.telemetry import metrics
from gateway.trust.comparing.models import ModelComparison
from gateway.trust.ledger import Ledger
from gateway.trust.second_opinion import Kind, Label, SecondOpinion
from gateway.trust.stores.sqlite_ledger import SqliteStore
from tests.support.worlds.ledgers import MIB, NOON, judged, ledger_on


def shown(model: str) -> float | None:
    labels = {"subcategory": "violence", "direction": "prompt", "model": model}
    return metrics.samples("assay_trust_model_times").get(tuple(sorted(labels.items())))


async def labelled(ledger: Ledger, model: str, harmful: int, kind: Kind = "judge", first: int = 0) -> None:
    """Two hundred samples of a model with opinions, of which so many say yes."""
    names = [f"{model} {number}" for number in range(first, first + 200)]
    for name in names:
        ledger.take(judged(name, model=model))
    await ledger.opine(
        [
            SecondOpinion(name, NOON, kind, "them", 1.0, [Label("prompt", "violence", float(number < harmful))])
            for number, name in enumerate(names)
        ]
    )


@pytest.mark.slow
async def test_a_worse_model_is_shown_and_no_longer_once_it_is_not(tmp_path: Path) -> None:
    async with ledger_on(SqliteStore(tmp_path / "ledger.db", days=30, most_bytes=64 * MIB)) as ledger:
        comparison = ModelComparison(ledger)
        await labelled(ledger, "small", 60)
        await labelled(ledger, "large", 10)
        await labelled(ledger, "other large", 12)
        await comparison.refresh()
        times = shown("small")
        assert times is not None
        assert 2 < times < 6
        assert shown("large") is None
        await labelled(ledger, "large", 80, first=1000)
        await labelled(ledger, "large", 80, first=2000)
        await labelled(ledger, "other large", 80, first=1000)
        await labelled(ledger, "other large", 80, first=2000)
        await comparison.refresh()
        assert math.isnan(shown("small") or 0)


async def test_people_and_a_judge_are_not_compared(tmp_path: Path) -> None:
    async with ledger_on(SqliteStore(tmp_path / "ledger.db", days=30, most_bytes=64 * MIB)) as ledger:
        await labelled(ledger, "by people", 100, kind="person")
        await labelled(ledger, "by a judge", 5)
        await ModelComparison(ledger).refresh()
        assert shown("by people") is None
