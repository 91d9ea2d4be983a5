"""What is shown as a rate, and where none is."""

from collections.abc import Mapping
from dataclasses import replace

from detectors import manifest
from detectors.base import Role
from gateway.pages.rates import compared, error_rates, rates
from gateway.trust.card import errors_of, shipped_errors
from gateway.trust.estimates import Errors
from gateway.trust.ledger import LedgerWindow
from gateway.trust.moments import SAID, UNASKED, Sums

INFO = manifest.load(weights=False)["secrets"]
KEY: tuple[str, Role] = ("privacy_violation", "prompt")


def detector(name: str, rates: tuple[float, float] | None) -> manifest.DetectorInfo:
    measured: Mapping[tuple[str, Role], tuple[float, float]] = {} if rates is None else {KEY: rates}
    return replace(INFO, name=name, operating={KEY: ((0.01, 0.5),)}, rates=measured)


def test_error_rates_are_offered_where_one_detector_alone_speaks() -> None:
    assert error_rates([detector("a", (0.8, 0.01))]) == {KEY: (0.8, 0.01)}


def test_no_error_rates_where_several_speak_whichever_was_measured() -> None:
    """What several flag together was not measured: the rates of one of them would be wrong for all."""
    assert error_rates([detector("a", (0.8, 0.01)), detector("b", (0.9, 0.02))]) == {}
    assert error_rates([detector("a", (0.8, 0.01)), detector("b", None)]) == {}
    assert error_rates([detector("a", None), detector("b", (0.8, 0.01))]) == {}


def test_no_error_rates_where_a_detector_separates_nothing() -> None:
    assert error_rates([detector("a", (0.5, 0.5))]) == {}
    assert error_rates([detector("a", None)]) == {}


def sums(*, judged: int, flagged: int, found: int = 0, asked: int = 0, slug: str = "violence") -> Sums:
    """Samples that each stand for one exchange, the flagged ones in a band of their own; of each band a tenth of the
    `asked` are from it, and people find so many."""
    column = (slug, "prompt", "words@1")
    both: Sums = {
        (*column, "detector", 0): [judged - flagged, judged - flagged, judged - flagged, 0, 0, 0],
        (*column, "detector", 7 * SAID): [flagged] * 6,
    }
    if asked:
        both[*column, "person", UNASKED] = [asked, asked, asked, 0, 0, 0]
        both[*column, "person", 7 * SAID + UNASKED] = [asked, asked, asked, found, found, found]
    return both


NEWEST = frozenset({"words@1"})


def test_a_row_for_each_subcategory_and_direction() -> None:
    window = LedgerWindow({**sums(judged=100, flagged=10), **sums(judged=50, flagged=0, slug="hate")}, NEWEST)
    hate, violence = rates(window)
    assert (hate["subcategory"], violence["subcategory"]) == ("hate", "violence")
    assert violence["flagged_share"]["estimate"] == 0.1
    assert (hate["effective_samples"], hate["labels"]) == (50, {"judge": 0, "person": 0})


def test_without_second_opinions_there_is_a_range_and_no_rate() -> None:
    (row,) = rates(LedgerWindow(sums(judged=1000, flagged=0, slug="toxicity"), NEWEST))
    assert row["basis"] == "card"
    assert row["rate"]["estimate"] is row["estimated_rate"] is None
    assert 0 == row["rate"]["low"] < row["rate"]["high"] < 1
    (row,) = rates(LedgerWindow(sums(judged=1000, flagged=0, slug="sycophancy"), NEWEST))
    assert (row["basis"], row["rate"]["high"]) == ("flags", None)


def test_labels_make_a_rate_and_say_so() -> None:
    (row,) = rates(LedgerWindow(sums(judged=1000, flagged=200, asked=100, found=60), NEWEST))
    assert row["basis"] == "labels"
    assert row["rate"]["estimate"] == row["estimated_rate"]["estimate"] == 0.12
    assert row["labels"] == {"judge": 0, "person": 200}


def test_a_difference_is_shown_only_where_it_is() -> None:
    high = LedgerWindow(sums(judged=1000, flagged=200, asked=300, found=200), NEWEST)
    low = LedgerWindow(sums(judged=1000, flagged=100, asked=300, found=100), NEWEST)
    ((up,), (down,), (same,)) = compared(high, low), compared(low, high), compared(high, high)
    assert (up["words"], down["words"], same["words"]) == ("higher", "lower", "no difference shown")
    assert up["of"] == "rate"
    assert up["difference"]["low"] > 0
    assert same["difference"]["low"] < 0 < same["difference"]["high"]


def test_flags_are_compared_where_there_is_no_rate_and_never_over_two_detectors() -> None:
    one, other = (
        LedgerWindow(sums(judged=1000, flagged=200), NEWEST),
        LedgerWindow(sums(judged=1000, flagged=100), NEWEST),
    )
    ((row,),) = (compared(one, other),)
    assert (row["of"], row["words"]) == ("flagged_share", "higher")
    replaced: Sums = {(slug, way, "words@2", source, at): row for (slug, way, _, source, at), row in other.sums.items()}
    ((row,),) = (compared(one, LedgerWindow(replaced, frozenset({"words@2"}))),)
    assert (row["of"], row["words"]) == (None, "cannot be compared")


def test_the_card_speaks_by_public_benchmarks_alone() -> None:
    """Never by rows of the training sources: their error rates do not carry over."""
    at = {"slug": "privacy_violation", "date": "2026-11-28", "rows": 500}
    measured = tuple(
        manifest.Measurement(set=name, metric=f"prompt: {metric}", value=value, seen=seen, **at)  # type: ignore[arg-type]
        for name, found, false, seen in (
            ("held-out rows of the training sets", 0.9, 0.01, False),
            ("A test", 0.8, 0.02, True),
            ("B test", 0.4, 0.05, False),
        )
        for metric, value in (("recall at 1 % false alarms", found), ("false alarms at 1 %", false))
    )
    info = replace(detector("a", (0.9, 0.01)), measured=measured)
    assert errors_of([info]) == {KEY: Errors(((0.4, 0.05),))}
    assert errors_of([info, detector("b", None)]) == {}
    assert len(shipped_errors()[("toxicity", "prompt")].benchmarks) > 1


def test_over_many_rows_a_difference_must_be_clearer_than_in_one() -> None:
    """Asked for alone it is shown at 95 %; among twenty rows in which nothing differs it may be there by chance."""
    quiet: Sums = {}
    for number in range(20):
        quiet |= sums(judged=1000, flagged=100, found=40, asked=100, slug=f"row {number}")
    more = {**quiet, **sums(judged=1000, flagged=100, found=66, asked=100)}
    less = {**quiet, **sums(judged=1000, flagged=100, found=36, asked=100)}
    one, other = LedgerWindow(more, NEWEST), LedgerWindow(less, NEWEST)
    (alone,) = compared(one, other, subcategory="violence", direction="prompt")
    assert (alone["words"], alone["level"]) == ("higher", 0.95)
    together = compared(one, other)
    assert {row["words"] for row in together} == {"no difference shown"}
    assert {row["level"] for row in together} == {round(1 - 0.05 / 21, 6)}
    assert compared(one, other, direction="response") == []


def test_words_and_intervals_of_many_rows_say_the_same() -> None:
    one: Sums = {}
    other: Sums = {}
    for number in range(12):
        one |= sums(judged=1000, flagged=100, found=40 + 4 * number, asked=100, slug=f"row {number:02}")
        other |= sums(judged=1000, flagged=100, found=40, asked=100, slug=f"row {number:02}")
    rows = compared(LedgerWindow(one, NEWEST), LedgerWindow(other, NEWEST))
    for row in rows:
        assert (row["difference"]["low"] > 0) == (row["words"] == "higher")
    words = [row["words"] for row in rows]
    assert words == sorted(words, reverse=True)  # the clearer ones, and only those
    assert len(set(words)) == 2
