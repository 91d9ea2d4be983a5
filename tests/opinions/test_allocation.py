"""Where labels go: to the bands of the scores where those that there are tell least, and nowhere too seldom."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.opinions import Opinion
from gateway.opinions.allocation import Allocation, LearnedAllocations, learned, worth
from gateway.trust.estimates import evidence
from gateway.trust.ledger import Ledger
from gateway.trust.moments import BANDS, Row
from gateway.trust.second_opinion import Label, SecondOpinion
from gateway.trust.stores.sqlite_ledger import SqliteStore
from tests.support.worlds.ledgers import NOON, judged


def score(value: float, flagged: bool = False, slug: str = "violence") -> tuple[str, Opinion]:
    return "prompt", Opinion("words@1", slug, value, flagged, [])


def rows(sizes: dict[int, float], found: dict[int, float] | None = None) -> list[Row]:
    """By band so many of weight one, of which so many are harm."""
    shown = [(sizes.get(band, 0.0), (found or {}).get(band, 0.0)) for band in range(BANDS)]
    return [Row(n, n, n, y, y, y) for n, y in shown]


JUDGED = rows({2: 9000.0, 5: 900.0, 8: 100.0})


def test_with_few_labels_all_bands_are_drawn_almost_alike() -> None:
    for labels in (rows({}), rows({2: 3.0, 8: 2.0}, {8: 1.0})):
        low, high = sorted(worth(JUDGED, labels)[band] for band in (2, 8))
        assert high / low < 4


def test_after_many_labels_those_bands_are_drawn_in_which_harm_and_the_rest_are_mixed() -> None:
    """√(p(1 - p)) of .002, .2 and .5: by Neyman's rule one to nine to eleven."""
    by_band = worth(JUDGED, rows({2: 2000.0, 5: 1000.0, 8: 1000.0}, {2: 4.0, 5: 200.0, 8: 500.0}))
    assert (by_band[5] / by_band[2]) ** 0.5 == pytest.approx(9, rel=0.2)
    assert (by_band[8] / by_band[2]) ** 0.5 == pytest.approx(11, rel=0.2)


def test_while_nothing_was_found_most_labels_go_where_most_of_the_traffic_is() -> None:
    """The interval is as wide as what was not looked at."""
    by_band = worth(JUDGED, rows({2: 270.0, 5: 27.0, 8: 3.0}))
    assert by_band[2] ** 0.5 * 0.9 > 0.9 * 0.8


def test_a_detector_that_is_wrong_is_found_out_by_the_labels() -> None:
    """Half of what scores low is harm, and nothing of what scores high."""
    by_band = worth(JUDGED, rows({2: 200.0, 8: 200.0}, {2: 100.0}))
    assert by_band[2] > 4 * by_band[8]


def test_what_is_labelled_decides_and_what_never_is_does_not() -> None:
    allocation = Allocation({("violence", "prompt"): tuple(float(band) for band in range(BANDS))})
    assert allocation.need([score(0.02), score(0.999, slug="hate")]).value == pytest.approx(3**0.5)
    assert allocation.need([score(0.999, flagged=True, slug="hate")])[:2] == (0.0, "floor")


def test_the_score_that_tells_most_is_named() -> None:
    assert Allocation().need([score(0.001), score(0.5, slug="hate"), score(0.02)])[1:] == ("doubt", "prompt", "hate")
    assert Allocation().need([score(0.5, flagged=True), score(0.02)])[1] == "flagged"
    assert Allocation().need([]) == (0.0, "floor", "", "")
    assert Allocation(about=[("hate", "prompt")]).need([score(0.5)]) == (0.0, "floor", "", "")


@given(st.floats(0, 1))
def test_a_need_is_a_moderate_number(value: float) -> None:
    assert 0.3 < Allocation().need([score(value)]).value < 3


@pytest.mark.parametrize("value", [float("nan"), -1.0, 2.0])
def test_what_is_no_score_breaks_nothing(value: float) -> None:
    assert 0 < Allocation().need([score(value)]).value < 3


def test_the_labels_of_each_kind_are_learned_from_apart() -> None:
    """And what the source does not speak of is left out."""
    places = {("guard@1", 8): [Row(0, 0, 0, 0, 0, 0)] * 2 + [Row(40, 40, 40, 0, 0, 0), Row(40, 40, 40, 40, 40, 40)]}
    sums = {("violence", "prompt", "guard@1", "detector", 8 * 4): [80.0, 80.0, 80.0, 0.0, 0.0, 0.0]}
    found = evidence(sums)
    found["violence", "prompt"].judge = places
    assert learned(found, "judge").worths.keys() == {("violence", "prompt")}
    assert not learned(found, "person").worths
    assert not learned(found, "judge", about=[("hate", "prompt")]).worths


@pytest.mark.real_time
async def test_every_process_learns_the_same_from_the_ledger(tmp_path: Path) -> None:
    """Two hundred labels: of what scores high half is harm, and nothing of what scores low."""
    stores = [SqliteStore(tmp_path / "ledger.db", days=30, most_bytes=2**24) for _ in range(2)]
    ledgers = [Ledger(store, clock=lambda: NOON) for store in stores]
    for number in range(200):
        ledgers[0].take(judged(f"s{number}", flagged=number % 4 == 0))
    given = [
        SecondOpinion(f"s{number}", NOON, "person", "ann", 1.0, [Label("prompt", "violence", float(number % 8 == 0))])
        for number in range(200)
    ]
    assert not await ledgers[0].opine(given)
    needed = []
    for each in ledgers:
        allocations = LearnedAllocations(each)
        need = allocations.needed("person")
        assert need([score(0.9)]).value < 2 * need([score(0.1)]).value
        await allocations.learn()
        needed.append((need([score(0.9)]).value, need([score(0.1)]).value))
    assert needed[0] == needed[1]
    assert needed[0][0] > 4 * needed[0][1]
    for store in stores:
        await store.close()
