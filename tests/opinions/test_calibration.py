"""Local operating points: what labels make of the tables, and when there are enough of them."""

import random
from collections.abc import Iterator

import pytest

from gateway.opinions.calibration import ENOUGH, Local, Table, effective, false_alarm_table, locals_of, merged_table
from gateway.trust.ledger import Entry, Score
from gateway.trust.second_opinion import Kind, Label, SecondOpinion

HEAD = ("words@1", "violence", "prompt")
CARD: Table = ((0.0005, 0.99), (0.001, 0.98), (0.01, 0.5), (0.1, 0.2))


def rows(
    count: int,
    *,
    kind: Kind = "judge",
    harmful_share: float = 0.0,
    probability: float = 1.0,
    detector: str = "words@1",
    name: str = "j",
    seed: int = 1,
) -> Iterator[tuple[SecondOpinion, Entry]]:
    """Samples of which the harmless score uniformly from 0 to 1, and the harmful 0.9."""
    draw = random.Random(seed).random
    for number in range(count):
        harmful = number < harmful_share * count
        score = 0.9 if harmful else draw()
        scores = [Score("prompt", "violence", score, score >= 0.5, detector)]
        entry = Entry.of(f"s{number}", 1000.0, 1.0, "default", "m", "app", "en", "chat", "", scores=scores)
        label = Label("prompt", "violence", float(harmful))
        yield SecondOpinion(entry.id, 1000.0, kind, name, probability, [label]), entry


def the_one(found: list[Local]) -> Local:
    (local,) = found
    return local


def test_a_rate_needs_so_many_harmless_labels() -> None:
    """The rule: ENOUGH/rate. With 500 harmless labels 1 % is given and 0.5 % is not."""
    for count, given in ((49, ()), (50, (0.1,)), (499, (0.02, 0.05, 0.1)), (500, (0.01, 0.02, 0.05, 0.1))):
        local = the_one(locals_of(rows(count), {HEAD: CARD}))
        assert local.local_rates == given
        assert all(count * rate >= ENOUGH for rate in local.local_rates)


def test_weights_count_as_fewer_labels() -> None:
    assert effective([1.0] * 100) == 100
    assert effective([1.0] * 99 + [100.0]) < 4


def test_the_threshold_is_the_share_of_this_traffic() -> None:
    local = the_one(locals_of(rows(5000), {HEAD: CARD}))
    table = dict(local.rows)
    for rate in (0.01, 0.1):
        assert table[rate] == pytest.approx(1 - rate, abs=0.01)
    assert local.false_positive_rate == pytest.approx(0.5, abs=0.03)
    assert local.true_positive_rate is None  # no harmful ones


def test_no_more_of_the_harmless_than_the_rate_reach_it() -> None:
    harmless = [(score / 1000, 1.0 + score % 3) for score in range(1000)]
    total = sum(weight for _, weight in harmless)
    for rate, threshold in false_alarm_table(harmless):
        assert sum(weight for score, weight in harmless if score >= threshold) <= rate * total * (1 + 1e-9)


def test_scores_that_are_all_the_same_flag_nothing() -> None:
    table = dict(false_alarm_table([(1.0, 1.0)] * 1000))
    assert all(threshold > 1.0 for threshold in table.values())


def test_rare_rates_stay_the_cards_and_never_fall_below_the_local() -> None:
    table, local = merged_table(((0.01, 0.985), (0.1, 0.8)), CARD)
    assert table == ((0.0005, 0.99), (0.001, 0.985), (0.01, 0.985), (0.1, 0.8))
    assert local == (0.01, 0.1)
    assert merged_table((), CARD) == (CARD, ())


def test_error_rates_weigh_each_label_by_what_it_stands_for() -> None:
    """Harmless ones drawn with a probability of a tenth count ten times."""
    common = list(rows(300, probability=0.1))
    flagged = [(opinion, entry) for opinion, entry in common if entry.scores[0].flagged]
    clear = [(opinion, entry) for opinion, entry in common if not entry.scores[0].flagged]
    all_flagged = [
        (SecondOpinion(opinion.sample, 1.0, "judge", "j", 1.0, opinion.labels), entry) for opinion, entry in flagged
    ]
    local = the_one(locals_of([*clear, *all_flagged], {HEAD: CARD}))
    expected = len(flagged) / (len(flagged) + 10 * len(clear))
    assert local.false_positive_rate == pytest.approx(expected, abs=1e-4)


def test_harmful_ones_make_no_false_alarms() -> None:
    local = the_one(locals_of(rows(2000, harmful_share=0.5), {HEAD: CARD}))
    assert local.true_positive_rate == 1.0
    assert local.harmless == 1000
    assert dict(local.rows)[0.01] == pytest.approx(0.99, abs=0.01)


def test_people_go_before_the_judge_once_they_are_enough() -> None:
    judge = list(rows(600, name="judge"))
    few = the_one(locals_of([*judge, *rows(20, kind="person", name="ann")], {HEAD: CARD}))
    assert (few.source, few.labels) == ("judge", 600)
    many = the_one(locals_of([*judge, *rows(80, kind="person", name="ann")], {HEAD: CARD}))
    assert (many.source, many.local_rates) == ("labels", (0.1,))


def test_a_sample_that_two_people_labelled_counts_once() -> None:
    both = [*rows(100, kind="person", name="ann"), *rows(100, kind="person", name="bob")]
    assert the_one(locals_of(both, {HEAD: CARD})).labels == 100


def test_of_two_judges_of_a_sample_the_latest_counts() -> None:
    """As in the rates: a judge that was replaced was replaced for a reason."""
    earlier = [
        (SecondOpinion(o.sample, 900.0, "judge", "old", 1.0, [Label("prompt", "violence", 1.0)]), entry)
        for o, entry in rows(600)
    ]
    later = list(rows(600, name="new"))
    assert the_one(locals_of([*later, *earlier], {HEAD: CARD})) == the_one(locals_of(later, {HEAD: CARD}))


def test_what_another_version_of_a_detector_said_is_left_out() -> None:
    assert locals_of(rows(600, detector="words@0"), {HEAD: CARD}) == []


def test_an_opinion_without_labels_says_nothing() -> None:
    asked_in_vain = [(SecondOpinion(o.sample, 1.0, "judge", "j", 1.0, []), entry) for o, entry in rows(600)]
    assert locals_of(asked_in_vain, {HEAD: CARD}) == []
