"""Answers that people label: who is asked what, in which order, and what the labels make of the figures."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from detectors.opinions import Opinion
from detectors.panel import Answer, Panel, Question
from gateway.commands.review import label_answers
from gateway.study.evaluation.figures import compared, figure
from gateway.study.evaluation.judging import with_scores
from gateway.study.evaluation.labelling import asked_of, labelled, to_label
from gateway.study.evaluation.prompts import Check, Item
from gateway.study.evaluation.record import AnswerScore, JudgedItem, Record


def item(number: int, check: Check = "harm") -> Item:
    return Item(f"s/f/{number}", "s", "violence", check, (f"{number}?",), 8)


def answer(of: Item, model: str = "m", *, flagged: bool = False, slug: str = "unsafe", **more: object) -> JudgedItem:
    fields = {"reading": "read", "scores": [AnswerScore(slug, 0.9 if flagged else 0.005, flagged, "d@1")], **more}
    return JudgedItem(model, of.id, "s", "violence", of.asks[0], f"{model} says {of.id}", **fields)  # type: ignore[arg-type]


def typed(keys: str) -> Callable[[], str]:
    left = iter(keys)
    return lambda: next(left, "q")


def test_only_what_no_exact_check_decides_is_asked() -> None:
    known = answer(item(1), failed=True)
    unusable = [answer(item(2), reading=reading) for reading in ("unclear", "empty", "refused", "failed")]
    unscored = answer(item(3), scores=[])
    assert [asked_of(each) for each in (known, *unusable, unscored)] == [""] * 6
    assert asked_of(answer(item(4), slug="refusal")) == "refusal"
    assert to_label([known, *unusable, unscored], "ann") == []


def test_both_models_answers_to_a_prompt_come_together_and_neither_is_always_first() -> None:
    judged = [answer(item(number), model) for model in ("base", "tuned") for number in range(60)]
    order = to_label(judged, "ann")
    assert len(order) == 120
    assert [one.item for one in order[::2]] == [other.item for other in order[1::2]]
    assert 15 < sum(one.model == "base" for one in order[::2]) < 45
    assert [each.item for each in order] != [each.item for each in judged]
    assert to_label(judged, "ann", "base") == [each for each in order if each.model == "base"]


def test_who_labelled_an_answer_is_not_asked_again_and_others_are() -> None:
    done = labelled(answer(item(1)), "ann", True)
    assert to_label([done], "ann") == []
    assert to_label([done], "bob") == [done]
    assert labelled(labelled(done, "bob", True), "ann", False).people == {"ann": False, "bob": True}


def test_labels_in_the_terminal_are_kept_at_once_and_do_not_name_the_model(tmp_path: Path) -> None:
    record, said = Record(tmp_path / "r.jsonl"), list[str]()
    judged = [answer(item(number), "secret") for number in range(8)]
    for each in judged:
        record.add(replace(each, text="An answer."))
    label_answers(record, "ann", None, typed("ynsxi" + "y"), said.append)
    record.close()
    again = Record(tmp_path / "r.jsonl")
    order = [each.item for each in to_label(judged, "ann")]
    found = {each.item: each.people for each in again.all_judged() if each.people}
    assert found == {order[0]: {"ann": True}, order[1]: {"ann": False}, order[4]: {"ann": True}}
    assert "secret" not in "".join(said)
    assert "Answers labelled: 3." in said[-1]
    assert "Skipped: 2." in said[-2]
    label_answers(again, "ann", None, typed("q"), said.append)
    again.close()
    assert "; 5 answers have no label of yours" in "".join(said)


class Detectors:
    """A panel of one detector of this version, which flags everything."""

    def __init__(self, version: int) -> None:
        self.id = f"d@{version}"
        self.detectors = [self]
        self.asked = 0

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        self.asked += len(questions)
        return [Answer([Opinion(self.id, "unsafe", 0.9, True, [])]) for _ in questions]


@pytest.mark.parametrize(("version", "asked"), [(1, 0), (2, 1)])
def test_labels_of_the_same_answer_survive_other_detectors(tmp_path: Path, version: int, asked: int) -> None:
    record, of = Record(tmp_path / "r.jsonl"), item(1)
    old = labelled(answer(of, judge="j", label=0.25), "ann", True)
    record.add(old)
    panel: Panel = Detectors(version)  # type: ignore[assignment]
    (same,) = with_scores([(of, answer(of, scores=[]))], panel, record, lambda _: None)
    assert (same.people, same.judge, same.label) == ({"ann": True}, "j", 0.25)
    assert same.scores[0].detector == f"d@{version}"
    assert panel.asked == asked  # type: ignore[attr-defined]
    (other,) = with_scores([(of, replace(answer(of, scores=[]), text="Another."))], panel, record, lambda _: None)
    assert (other.people, other.label) == ({}, None)
    record.close()


def by_ann(judged: Sequence[JudgedItem], harmful: set[tuple[str, str]], most: int) -> list[JudgedItem]:
    """The answers after Ann labelled so many in her order."""
    first = {(each.model, each.item) for each in to_label(judged, "ann")[:most]}
    return [
        labelled(each, "ann", (each.model, each.item) in harmful) if (each.model, each.item) in first else each
        for each in judged
    ]


def test_the_interval_of_some_labels_covers_the_rate_of_all_whatever_the_detector_flags() -> None:
    """300 answers, of which a third is harmful; the detector flags half of them and half of the others. 60 labels."""
    rng, covered, runs = random.Random(3), 0, 200
    for _ in range(runs):
        asked = [item(rng.getrandbits(48)) for _ in range(300)]
        harmful = {("m", each.id) for each in rng.sample(asked, 100)}
        judged = by_ann([answer(each, flagged=rng.random() < 0.5) for each in asked], harmful, 60)
        found = figure("m", asked, judged)
        assert found.basis == "labels"
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 1 / 3 <= found.high
    assert 0.92 <= covered / runs <= 1


def test_people_correct_a_judge_model_that_says_yes_to_everything() -> None:
    asked = [item(number) for number in range(300)]
    harmful = {("m", each.id) for each in asked[:60]}
    judged = by_ann([answer(each, flagged=True, judge="j", label=1.0) for each in asked], harmful, 100)
    found = figure("m", asked, judged)
    assert found.basis == "labels"
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.2 < found.high < 0.35


def test_two_models_are_compared_by_labels_where_both_have_enough() -> None:
    """Nothing is flagged; all of one model's answers are harmful, none of the other's."""
    asked = [item(number) for number in range(60)]
    both = [answer(each, model) for model in ("a", "b") for each in asked]
    harmful = {("a", each.id) for each in asked}
    for labels, of, estimate, pairs in ((60, "labels", 1.0, 30), (30, "flags", 0.0, 60)):
        judged = by_ann(both, harmful, labels)
        found = compared("s", asked, *([each for each in judged if each.model == model] for model in "ab"))
        assert found.difference is not None
        assert (found.of, found.items, found.difference.estimate) == (of, pairs, estimate)


def test_what_a_filter_kept_back_counts_beside_labels_as_often_as_among_all() -> None:
    """A filter keeps back three in four answers of one model and two in four of the other, and all others are harmful.
    40 % of those are labelled."""
    asked = [item(number) for number in range(800)]

    def of(model: str, kept: int) -> list[JudgedItem]:
        """Every answer in `kept` of four is kept back."""
        return [
            answer(each, model, reading="refused", failed=False, scores=[]) if place % 4 < kept else answer(each, model)
            for place, each in enumerate(asked)
        ]

    harmful = {(model, each.id) for model in "ab" for each in asked}
    judged = by_ann(of("a", 3) + of("b", 2), harmful, 240)
    found = compared("s", asked, *([each for each in judged if each.model == model] for model in "ab"))
    assert found.of == "labels"
    assert found.items == pytest.approx(320, rel=0.2)
    assert found.difference is not None
    assert found.difference.estimate == pytest.approx(-0.25, abs=0.06)


def test_a_refusal_that_people_find_is_no_failure() -> None:
    asked = [item(number, "refusal") for number in range(40)]
    refusals = {("m", each.id) for each in asked[:10]}
    found = figure("m", asked, by_ann([answer(each, slug="refusal") for each in asked], refusals, 40))
    assert found.basis == "labels"
    assert found.estimate == pytest.approx(0.75)
