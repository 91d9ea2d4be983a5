"""Figures and comparisons from judged answers."""

import random

import pytest

from gateway.study.evaluation.figures import Figure, calibration_error, compared, figure, paired, share_of
from gateway.study.evaluation.picture import svg
from gateway.study.evaluation.prompts import Check, Item
from gateway.study.evaluation.record import AnswerScore, JudgedItem
from gateway.study.evaluation.report import as_json, table


def items(count: int, check: Check = "letter") -> list[Item]:
    return [Item(f"s/f/{n}", "s", "hallucination", check, (f"{n}?",), 8) for n in range(count)]


def judged(item: Item, failed: bool | None, **more: object) -> JudgedItem:
    reading = "read" if failed is not None or "scores" in more else "unclear"
    fields = {"reading": reading, "failed": failed, **more}
    return JudgedItem("m", item.id, "s", "hallucination", item.asks[0], "text", **fields)  # type: ignore[arg-type]


def known(found: Figure) -> tuple[float, float, float]:
    assert found.estimate is not None
    assert found.low is not None
    assert found.high is not None
    return found.low, found.estimate, found.high


def test_a_share_of_known_outcomes_has_jeffreys_interval() -> None:
    asked = items(40)
    low, estimate, high = known(figure("m", asked, [judged(item, n < 10) for n, item in enumerate(asked)]))
    assert estimate == 0.25
    assert [low, high] == pytest.approx([0.1363, 0.3993], abs=2e-3)  # Beta(10.5, 30.5)


def test_no_failure_found_is_not_zero() -> None:
    asked = items(40)
    low, estimate, high = known(figure("m", asked, [judged(item, False) for item in asked]))
    assert (low, estimate) == (0, 0)
    assert 0.04 < high < 0.1


@pytest.mark.parametrize("reading", ["unclear", "refused", "empty", "failed"])
def test_a_model_that_says_nothing_usable_has_no_figure(reading: str) -> None:
    asked = items(100)
    found = figure("m", asked, [judged(item, None, reading=reading) for item in asked])
    assert (found.basis, found.estimate, found.decides) == ("none", None, None)
    assert getattr(found.counts, reading) == 100
    assert found.counts.answered == (0 if reading == "failed" else 100)


def test_what_was_not_asked_yet_is_not_counted_as_usable() -> None:
    asked = items(100)
    found = figure("m", asked, [judged(item, False) for item in asked[:30]])
    assert (found.usable, found.counts.asked) == (30, 100)


def scored(flagged: bool, slug: str = "unsafe") -> list[AnswerScore]:
    return [AnswerScore(slug, 0.9 if flagged else 0.005, flagged, "d@1")]


def kept_back(asked: list[Item]) -> list[JudgedItem]:
    return [judged(item, False, reading="refused") for item in asked]


@pytest.mark.parametrize("check", ["harm", "refusal"])
def test_answers_that_a_filter_kept_back_did_not_fail(check: Check) -> None:
    found = figure("m", items(40, check), kept_back(items(40, check)))
    assert (found.basis, found.usable, found.counts.refused) == ("exact", 40, 40)
    assert known(found)[:2] == (0, 0)


def test_what_was_kept_back_counts_among_all_with_the_harm_that_came_through() -> None:
    asked = items(200, "harm")
    through = [
        judged(item, None, scores=scored(n < 50), judge="j", label=float(n < 50)) for n, item in enumerate(asked[:100])
    ]
    low, estimate, high = known(figure("m", asked, through + kept_back(asked[100:])))
    assert estimate == pytest.approx(0.25, abs=0.01)
    assert low < 0.25 * 0.86
    assert high > 0.25 * 1.14
    alone = known(figure("m", asked[:100], through))
    assert alone[1] == pytest.approx(0.5, abs=0.01)


def test_the_interval_of_what_came_through_a_filter_covers() -> None:
    rng, covered, runs = random.Random(5), 0, 400
    for _ in range(runs):
        asked = items(120, "harm")
        rows = []
        for item in asked:
            if rng.random() < 0.4:
                rows += kept_back([item])
            else:
                harm = rng.random() < 0.3
                rows.append(
                    judged(item, None, scores=scored(harm != (rng.random() < 0.2)), judge="j", label=float(harm))
                )
        low, _, high = known(figure("m", asked, rows))
        covered += low <= 0.6 * 0.3 <= high
    assert 0.92 <= covered / runs <= 0.985


def test_flags_alone_are_no_rate() -> None:
    asked = items(60, "harm")
    found = figure("m", asked, [judged(item, None, scores=scored(n < 6)) for n, item in enumerate(asked)])
    assert found.estimate is None
    assert found.basis in ("card", "flags")
    assert found.flagged is not None
    assert found.decides == pytest.approx(0.1)


def test_a_judge_model_makes_a_rate_that_is_right_however_wrong_the_detector_is() -> None:
    """The detector flags what is harmless; the judge is shown half of the answers."""
    asked = items(400, "harm")
    rows = [
        judged(item, None, scores=scored(n % 4 == 0), judge="j", label=float(n % 5 == 0))
        for n, item in enumerate(asked)
    ]
    low, estimate, high = known(found := figure("m", asked, rows, judge_share=0.5))
    assert found.basis == "judge"
    assert low < 0.2 < high
    assert estimate == pytest.approx(0.2, abs=0.06)


def test_a_refusal_that_is_found_is_a_request_that_did_not_succeed() -> None:
    asked = items(50, "refusal")
    rows = [judged(item, None, scores=scored(n < 40, "refusal"), judge="j", label=float(n < 40))
            for n, item in enumerate(asked)]  # fmt: skip
    low, estimate, high = known(figure("m", asked, rows))
    assert estimate == pytest.approx(0.2)
    assert low < 0.2 < high


@pytest.mark.parametrize(
    ("pairs", "error"),
    [
        ([(0.9, True)] * 9 + [(0.9, False)], 0.0),
        ([(1.0, False)] * 5, 1.0),
        ([(0.8, True), (0.8, False)] * 10, 0.3),
        ([(0.2, True)] * 10 + [(0.9, False)] * 10, 0.85),
    ],
)
def test_the_calibration_error_of_known_cases(pairs: list[tuple[float, bool]], error: float) -> None:
    assert calibration_error(pairs) == pytest.approx(error)


def test_the_study_of_confidence_says_how_sure_and_how_right() -> None:
    asked = items(40, "confidence")
    rows = [judged(item, n < 20, confidence=0.9 if n % 2 else 0.7) for n, item in enumerate(asked)]
    found = figure("m", asked, rows)
    low, estimate, high = known(found)
    assert estimate == pytest.approx(0.3)
    assert low <= estimate <= high
    assert found.more == {
        "accuracy": 0.5, "mean confidence": pytest.approx(0.8), "Brier score": pytest.approx(0.35),
        "sure and wrong": 0.25, "AUROC": 0.5,
    }  # fmt: skip


@pytest.mark.slow
def test_a_paired_difference_covers_the_truth_and_is_narrower_than_an_unpaired_one() -> None:
    """Two models that mostly fail on the same items, with failure rates .30 and .20: 200 studies of 150 items."""
    rng = random.Random(0)
    covered, narrower = 0, 0
    for _ in range(200):
        outcomes = []
        for _ in range(150):
            hard = rng.random()
            outcomes.append((hard < 0.3, hard < 0.2 if rng.random() < 0.8 else rng.random() < 0.2))
        found = paired(outcomes)
        one, other = share_of([a for a, _ in outcomes]), share_of([b for _, b in outcomes])
        covered += found.low <= 0.1 <= found.high
        narrower += (found.high - found.low) ** 2 < (one.high - one.low) ** 2 + (other.high - other.low) ** 2
    assert covered >= 182  # 95 % of 200, less three standard deviations
    assert narrower == 200


def test_equal_models_show_no_difference_and_different_ones_do() -> None:
    asked = items(100)
    one = [judged(item, n < 60) for n, item in enumerate(asked)]
    other = [judged(item, n < 20) for n, item in enumerate(asked)]
    same, less = compared("s", asked, one, one), compared("s", asked, other, one)
    assert same.difference is not None
    assert less.difference is not None
    assert (same.difference.estimate, same.difference.words) == (0, "no difference shown")
    assert less.difference.estimate == pytest.approx(-0.4)
    assert less.difference.words == "lower"


def test_only_what_both_answered_is_compared() -> None:
    asked = items(100)
    one = [judged(item, n < 60) for n, item in enumerate(asked)]
    other = [judged(item, False if n < 10 else None) for n, item in enumerate(asked)]
    found = compared("s", asked, one, other)
    assert (found.items, found.difference) == (10, None)
    assert "too few pairs" in table([], [found], [], markdown=False)


def test_the_report_has_a_row_for_each_and_the_picture_a_bar() -> None:
    asked = items(40)
    found = [
        figure("a|b", asked, [judged(item, n < 10) for n, item in enumerate(asked)]),
        figure("<none>", asked, []),
    ]
    text = table(found, [], [], markdown=True)
    assert "| s | a\\|b | 25.0% | 13." in text
    assert "% | exact | 40/40 | 0 | 0 | 0 | 0 |" in text
    assert "| s | <none> | - | - | none | 0/40 |" in text
    drawn = svg("A & B", found)
    assert "A &amp; B" in drawn
    assert "&lt;none&gt;" in drawn
    assert "25.0% (exact, 40)" in drawn
    assert "no figure" in drawn
    assert as_json(found, [], [], {"seed": 1})["figures"][0]["estimate"] == 0.25
