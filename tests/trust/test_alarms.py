"""When a rate has risen, which of many alarms are raised, and what an alarm names."""

from pathlib import Path

import pytest

from gateway.telemetry import metrics
from gateway.trust.intervals import Interval
from gateway.trust.ledger import Ledger
from gateway.trust.second_opinion import Label, SecondOpinion
from gateway.trust.stores.sqlite_ledger import SqliteStore
from gateway.trust.watching.alarms import BASELINE_HOURS, LEAST_BASELINE, RUN_LENGTH_HOURS, Hour, Rise, chosen, rise
from gateway.trust.watching.watch import ROUTES, Watch
from tests.support.worlds.ledgers import HOUR, MIB, NOON, judged, ledger_on

START = 1_790_000_000 // HOUR * HOUR


def stream(*parts: tuple[int, float], size: float = 40.0) -> list[Hour]:
    """Hours of these (number, share) one after the other."""
    shares = [share for number, share in parts for _ in range(number)]
    return [Hour(START + index * HOUR, share, size, share) for index, share in enumerate(shares)]


def test_a_rise_is_found_with_its_time_and_the_rates_before_and_after() -> None:
    found = rise(stream((BASELINE_HOURS + 20, 0.05), (24, 0.2)))
    assert found is not None
    assert found.value > RUN_LENGTH_HOURS
    assert (found.since - START) // HOUR == BASELINE_HOURS + 20
    assert found.before.estimate == pytest.approx(0.05)
    assert found.after.estimate == pytest.approx(0.2)
    assert found.before.high < found.after.low


@pytest.mark.parametrize("later", [0.05, 0.0501, 0.04])
def test_what_stays_as_it_was_raises_nothing(later: float) -> None:
    found = rise(stream((BASELINE_HOURS, 0.05), (168, later)))
    assert found is None or found.value < RUN_LENGTH_HOURS / 50


def test_without_enough_to_go_by_there_is_nothing() -> None:
    assert rise([]) is None
    assert rise(stream((BASELINE_HOURS, 0.05))) is None
    assert rise(stream((BASELINE_HOURS, 0.05), (24, 0.5), size=LEAST_BASELINE / BASELINE_HOURS / 2)) is None
    assert rise([*stream((BASELINE_HOURS, 0.0)), Hour(START + BASELINE_HOURS * HOUR, 1.0, 4.9, 1.0)]) is None


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_what_is_always_so_or_never_breaks_nothing(share: float) -> None:
    for size in (1.0, 1e7):
        found = rise(stream((BASELINE_HOURS, share), (24, share), size=size))
        assert found is None or found.value < RUN_LENGTH_HOURS


def of(value: float, hours: int = 100) -> Rise:
    return Rise(0, HOUR, Interval(0, 0, 0), Interval(0, 0, 0), value, hours)


def test_the_more_series_the_more_evidence_each_needs() -> None:
    """e-BH: of K series the r largest are chosen when the r-th is at least K / (0.05 r)."""
    strong, fair = of(2e5), of(2.2e4)
    assert chosen([strong]) == [0]
    assert chosen([fair, None]) == [0]
    assert chosen([fair, *[None] * 60]) == []
    assert chosen([strong, fair, fair, fair, fair, fair, *[None] * 50]) == [0, 1, 2, 3, 4, 5]
    assert chosen([of(RUN_LENGTH_HOURS - 1, hours=1)]) == []
    assert chosen([]) == []


@pytest.mark.slow
async def test_an_alarm_names_its_samples_and_is_shown_until_its_hours_are_past(tmp_path: Path) -> None:
    now, store = [NOON], SqliteStore(tmp_path / "ledger.db", days=30, most_bytes=64 * MIB)
    ledger = Ledger(store, clock=lambda: now[0])
    async with ledger_on(store):  # which closes it
        opinions = []
        for hour in range(9 * 24):
            for number in range(12):
                id, harm = f"{hour} {number}", number < (6 if hour >= 8 * 24 else 0) or (hour % 4 == 0 and number == 11)
                ledger.take(judged(id, at=NOON - (9 * 24 - hour) * HOUR))
                labels = [Label("prompt", "violence", float(harm))]
                opinions.append(SecondOpinion(id, NOON, "judge", "guard@4", 1.0, labels))
        await ledger.opine(opinions)
        watch, labels_of_it = Watch(ledger), (("direction", "prompt"), ("route", ""), ("subcategory", "violence"))
        await watch.look()
        (alarm,) = watch.alarms
        assert metrics.samples("assay_trust_alarm")[labels_of_it] == 1
        now[0] += 60 * 24 * HOUR
        await watch.look()
        assert watch.alarms == ()
        assert metrics.samples("assay_trust_alarm")[labels_of_it] == 0
    assert alarm.route == ""  # the only route is all traffic: one alarm, not two
    assert (alarm.subcategory, alarm.direction, alarm.basis) == ("violence", "prompt", "judge")
    assert alarm.rise.before.high < alarm.rise.after.low
    assert len(alarm.samples) == 20
    assert all(int(id.split()[0]) >= 8 * 24 - 4 for id in alarm.samples)


async def test_the_routes_that_were_judged_most_are_watched(tmp_path: Path) -> None:
    async with ledger_on(SqliteStore(tmp_path / "ledger.db", days=30, most_bytes=64 * MIB)) as ledger:
        for number in range(ROUTES + 2):
            for sample in range(number + 1):
                ledger.take(judged(f"{number} {sample}", at=NOON - number, route=f"route {number:02}"))
        watch = Watch(ledger)
        await watch.look()
        assert watch.series == 1 + ROUTES
        watched = await watch._routes()  # noqa: SLF001
    assert {cell[1] for cell in watched} == {f"route {number:02}" for number in range(2, ROUTES + 2)}


async def test_a_single_route_is_not_watched_beside_all_traffic(tmp_path: Path) -> None:
    async with ledger_on(SqliteStore(tmp_path / "ledger.db", days=30, most_bytes=64 * MIB)) as ledger:
        ledger.take(judged("s1"))
        watch = Watch(ledger)
        await watch.look()
        assert watch.series == 1
        ledger.take(judged("s2", route="other"))
        await watch.look()
        assert watch.series == 3
