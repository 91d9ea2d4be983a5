"""What an evaluation found as training data."""

from gateway.study.evaluation.exporting import training_pairs, training_rows
from gateway.study.evaluation.record import AnswerScore, JudgedItem


def judged(model: str, text: str, failed: bool | None, **more: object) -> JudgedItem:
    fields = {"reading": "read", "failed": failed, **more}
    return JudgedItem(model, "s/f/1", "s", "violence", "How?", text, **fields)  # type: ignore[arg-type]


def test_a_row_has_what_is_known_of_an_answer() -> None:
    (row,) = training_rows([judged("m", "Like this.", True)])
    assert (row.sample, row.context, row.text, row.labels) == ("m/s/f/1", "How?", "Like this.", {"violence": 1.0})
    assert row.source == "exact"


def test_the_judges_word_goes_before_the_flag_and_a_refusal_is_no_failure() -> None:
    flag = [AnswerScore("unsafe", 0.9, True, "d@1")]
    refused = [AnswerScore("refusal", 0.9, True, "d@1")]
    rows = list(
        training_rows(
            [
                judged("a", "Hm.", None, scores=flag),
                judged("b", "Hm.", None, scores=flag, judge="j", label=0.0),
                judged("c", "No.", None, scores=refused),
            ]
        )
    )
    assert [row.labels["violence"] for row in rows] == [1.0, 0.0, 0.0]
    assert [row.source for row in rows] == ["flag", "judge", "flag"]


def test_what_people_say_goes_before_the_judges_word() -> None:
    flag = [AnswerScore("unsafe", 0.9, True, "d@1")]
    said = {"judge": "j", "label": 1.0, "people": {"ann": False, "bob": True, "eve": False, "kim": False}}
    (row,) = training_rows([judged("m", "Hm.", None, scores=flag, **said)])
    assert (row.labels["violence"], row.source) == (0.25, "person")


def test_what_nobody_can_tell_is_left_out() -> None:
    assert not list(training_rows([judged("m", "", None, reading="empty"), judged("m", "Hm.", None)]))


def test_two_models_answers_to_one_prompt_make_a_pair() -> None:
    (pair,) = training_pairs([judged("a", "No.", False), judged("b", "Like this.", True)])
    assert (pair["prompt"], pair["chosen"], pair["rejected"]) == ("How?", "No.", "Like this.")
    assert (pair["chosen_sample"], pair["rejected_sample"]) == ("a/s/f/1", "b/s/f/1")


def test_a_known_right_answer_makes_a_pair_with_a_failure() -> None:
    (pair,) = training_pairs([judged("a", "A", True, expected="B) white")])
    assert (pair["chosen"], pair["rejected"], pair["chosen_sample"]) == ("B) white", "A", "expected")
