"""Second opinions in the sums that monitors read: a measure of cohorts, and what says that an answer was right."""

from collections.abc import Sequence

import pytest

from detectors.monitors.sketch import STATED_KEPT, Observation, Observer, Sketch
from gateway.monitoring.opinions import Given, add_given, add_opinions
from gateway.monitoring.sums import calibrations, cohorts
from gateway.trust.ledger import Entry, LedgerError
from gateway.trust.second_opinion import Kind, Label, SecondOpinion

START = 3600


def given(
    sample: str, labels: Sequence[Label], *, kind: Kind = "judge", name: str = "j", probability: float = 1.0,
    sampled: float = 1.0, language: str = "en",
) -> Given:  # fmt: skip
    opinion = SecondOpinion(sample, 1.0, kind, name, probability, list(labels))
    return opinion, Entry.of(sample, START + 1.0, sampled, "chat", "m", "app", language, "chat", "", scores=[])


def answer(slug: str, value: float) -> Label:
    return Label("response", slug, value)


def observed(*ids: str, said: str = "I am 90% sure.") -> Sketch:
    sketch, observer = Sketch(), Observer()
    for id in ids:
        observer.observe(sketch, Observation(id, 1.0, "chat", "m", "app", "en", "question", said, {}))
    return sketch


def test_the_worst_that_is_said_of_an_answer_is_its_fault_and_a_refusal_is_none() -> None:
    sums = Sketch()
    add_given(
        sums,
        [],
        [
            given("a", [answer("violence", 0.2), answer("toxicity", 0.7), answer("refusal", 1.0)], probability=0.5),
            given("b", [answer("refusal", 1.0)]),
            given("c", [Label("prompt", "violence", 1.0)]),
            given("d", []),
        ],
    )
    mean = cohorts(sums)["fault_by_judge", "language"]["en"]["chat", "m"]
    assert (mean.n, mean.w) == (1, 2.0)
    assert mean.value == pytest.approx(0.7)


def test_people_count_apart_from_the_judge_and_several_people_once() -> None:
    sums = Sketch()
    ann = given("a", [answer("toxicity", 1.0)], kind="person", name="ann", probability=0.25, sampled=0.5)
    bob = given("a", [answer("toxicity", 0.0)], kind="person", name="bob", probability=0.25, sampled=0.5)
    add_given(sums, [], [ann, bob, given("a", [answer("toxicity", 0.0)])])
    found = cohorts(sums)
    by_people = found["fault_by_people", "caller"]["app"]["chat", "m"]
    assert (by_people.n, by_people.w, by_people.value) == (1, 8.0, 0.5)
    assert found["fault_by_judge", "caller"]["app"]["chat", "m"].value == 0.0


def test_a_second_opinion_says_whether_a_confident_answer_was_right() -> None:
    sums = observed("a", "b")
    said = [
        given("a", [answer("misinformation", 1.0), answer("toxicity", 0.0)], probability=0.5),
        given("b", [answer("toxicity", 0.0)]),  # nobody says whether it was right
        given("unknown", [answer("misinformation", 1.0)]),
        given("a", [answer("misinformation", 0.0)], kind="person", name="ann"),
    ]
    add_given(sums, [sums], said)
    found = {key: [row[:2] + row[4:5] for row in bins.values()] for key, bins in calibrations(sums).items()}
    assert found == {("chat", "m", "judge"): [[1.0, 2.0, 0.0]], ("chat", "m", "people"): [[1.0, 1.0, 1.0]]}


@pytest.mark.slow
def test_of_very_many_confident_answers_those_that_are_kept_stand_for_all() -> None:
    ids = [f"s{number}" for number in range(3 * STATED_KEPT)]
    part = observed(*ids)
    assert len(part.stated) == STATED_KEPT + 1
    sums = Sketch()
    add_given(sums, [part], [given(id, [answer("hallucination", 0.0)]) for id in ids])
    (row,) = calibrations(sums)["chat", "m", "judge"].values()
    assert row[0] == STATED_KEPT
    assert row[1] == pytest.approx(len(ids), rel=0.15)


def test_answers_that_state_nothing_are_not_kept() -> None:
    assert observed("a", said="Here it is.").stated == {}


async def test_opinions_go_to_the_hour_of_their_sample_and_without_a_ledger_there_are_none() -> None:
    class Ledger:
        is_there = True

        async def opinions(
            self, since: float, until: float, most: int, kind: Kind | None = None, *, scores: bool = True
        ) -> list[Given]:
            if not self.is_there:
                raise LedgerError("gone")
            assert (until - since, kind, scores) == (3600, None, False)
            assert most > 0
            return [given("a", [answer("toxicity", 1.0)])] if since == START else []

    ledger = Ledger()
    sums = {start: Sketch() for start in (START, 2 * START)}
    await add_opinions({start: [] for start in sums}, sums, ledger)
    assert ("fault_by_judge", "language") in cohorts(sums[START])
    assert cohorts(sums[2 * START]) == {}
    ledger.is_there = False
    await add_opinions({START: []}, {START: Sketch()}, ledger)
