"""Prompts from templates: enough of them, different, the same at every call; and what is wrong with a file."""

import re
from pathlib import Path

import pytest

from gateway.study.evaluation.asking import AskedModel, request
from gateway.study.evaluation.checks import LEAST_RUN, recited
from gateway.study.evaluation.prompts import Item, PromptsError, Study, items, merged, read, shipped

STUDIES = shipped()
EVERY_STUDY = pytest.mark.parametrize("name", STUDIES)
OWN = """study: opinions
failure: wrong answers
families:
  - name: colour
    subcategory: hallucination
    check: letter
    rows: things
    options: {right: "{colour}", wrong: "no colour"}
    wrong: [wrong]
    ask: ["{Lead} what colour has {thing}?\\n{options}"]
slots: {lead: [please, now]}
tables:
  things: [{thing: snow, colour: white}, {thing: coal, colour: black}]
"""


def own(tmp_path: Path, text: str = OWN) -> Study:
    file = tmp_path / "own.yaml"
    file.write_text(text, "utf-8")
    return read(file)


def test_the_eight_studies_are_there_in_the_papers_order() -> None:
    assert list(STUDIES) == [
        "hallucination", "general_safety", "gender_stereotype", "miscalibration", "misuse", "copyright_leakage",
        "causal_reasoning", "typo_robustness",
    ]  # fmt: skip
    assert all(name == study.study for name, study in STUDIES.items())


@EVERY_STUDY
def test_a_study_has_300_different_prompts(name: str) -> None:
    found = items(STUDIES[name], 300)
    assert len({item.asks for item in found}) == len({item.id for item in found}) == 300
    assert not [ask for item in found for ask in item.asks if re.search(r"\{\w+\}|  | [.?!]", ask)]


@EVERY_STUDY
@pytest.mark.parametrize("completions", [False, True], ids=["instruct", "base"])
def test_a_model_is_sent_300_different_requests(name: str, completions: bool) -> None:
    target = AskedModel("m", "m", completions)
    found = items(STUDIES[name], 300)
    assert len({request(target, item, 0).asked for item in found}) == 300


@EVERY_STUDY
def test_prompts_are_the_same_at_every_call_and_others_with_another_seed(name: str) -> None:
    first = items(STUDIES[name], 60)
    assert items(STUDIES[name], 60) == first
    assert items(STUDIES[name], 20) == first[:20]
    assert items(STUDIES[name], 60, seed=1) != first


@EVERY_STUDY
def test_what_has_choices_has_a_right_one_and_its_place_varies(name: str) -> None:
    chosen = [item for item in items(STUDIES[name], 300) if item.options]
    assert all(item.right not in item.wrong and item.expected for item in chosen)
    places = {item.expected[:1] for item in chosen}
    assert len(places) > 1 if chosen else name in ("general_safety", "misuse", "copyright_leakage")


def test_no_study_of_right_answers_can_be_passed_by_always_saying_the_same() -> None:
    """Of cause and effect half of the right answers are no."""
    said = [item.expected for item in items(STUDIES["causal_reasoning"], 300)]
    assert abs(said.count("Yes") - said.count("No")) <= 2


def test_typing_errors_leave_numbers_names_and_the_choices_alone() -> None:
    for item in items(STUDIES["typo_robustness"], 300):
        plain, typed = item.asks
        assert plain != typed
        question, choices = (text.split("\nA)") for text in (plain, typed))
        assert question[1] == choices[1]
        names = re.findall(r"(?<!^)(?<!: )(?<!\. )\b[A-Z]\w+|\d+", question[0])
        assert all(name in choices[0] for name in names)


def test_the_rest_of_a_known_text_is_not_in_its_prompt() -> None:
    """Every opening that there can be, not only the first 300."""
    for item in items(STUDIES["copyright_leakage"], 10_000):
        assert item.opening in item.asks[0]
        assert item.rest not in item.asks[0]
        assert len(item.rest.split()) >= 25
        assert recited(item.rest, item.opening) < LEAST_RUN, item.opening


def test_known_texts_have_a_source_and_are_free() -> None:
    """Their authors died more than a hundred years ago; what has none whose death is known is itself as old."""
    works = STUDIES["copyright_leakage"].tables["works"]
    assert len({row["work"] for row in works}) == len({row["text"] for row in works}) == len(works)
    assert not [row["work"] for row in works if not row["author"] or int(row.get("died", row["year"])) > 1925]


def test_the_same_opening_in_other_words_is_the_same_item(tmp_path: Path) -> None:
    text = " ".join(f"word{number}" for number in range(100))
    own_text = f"""study: texts
failure: recited
families:
  - name: opening
    subcategory: copyrighted_content
    check: verbatim
    rows: works
    ask: ["Go on: {{opening}}", "How does it go on? {{opening}}", "Continue {{opening}}", "Finish {{opening}}"]
tables:
  works: [{{text: {text}}}]
"""
    found = items(own(tmp_path, own_text), 100)
    assert sorted(len(item.opening.split()) for item in found) == [30, 40, 50, 60]


@EVERY_STUDY
def test_examples_show_the_form_and_give_nothing_away(name: str) -> None:
    """Each answer of a choice is shown as often as the others; no example is one of the questions. Where the answer is
    free text there is no form to show, and a base model would repeat it."""
    found = items(STUDIES[name], 300)
    examples = found[0].examples
    assert bool(examples) == bool(found[0].options)
    assert not {example[0] for example in examples} & {item.asks[0] for item in found}
    shown = [example[1] for example in examples]
    if found[0].options:
        assert len({shown.count(answer) for answer in shown}) == 1


def test_neither_wording_of_a_follow_up_stands_beside_one_confidence_alone() -> None:
    (item,) = items(STUDIES["miscalibration"], 1)
    for wording in STUDIES["miscalibration"].slots["how_sure"]:
        assert len({turns[3] for turns in item.examples if turns[2] == wording}) >= 3


def test_a_follow_up_comes_behind_each_question() -> None:
    for item in items(STUDIES["miscalibration"], 300):
        question, follow_up = item.asks
        assert item.is_followed_up
        assert "\nC) " in question
        assert "0" in follow_up
        assert "\n" not in follow_up


def test_prompts_of_ones_own_become_a_study_or_join_one(tmp_path: Path) -> None:
    study = own(tmp_path)
    found = items(study, 100)
    assert {item.expected[3:] for item in found} == {"white", "black"}
    assert {item.asks[0].split("\n")[0] for item in found} == {
        f"{lead} what colour has {thing}?" for lead in ("Please", "Now") for thing in ("snow", "coal")
    }
    assert list(merged(STUDIES, [study])) == [*STUDIES, "opinions"]
    joined = merged(STUDIES, [own(tmp_path, OWN.replace("opinions", "hallucination"))])["hallucination"]
    assert {item.id.split("/")[1] for item in items(joined, 30)} == {"passage", "fact", "colour"}


def test_families_take_turns(tmp_path: Path) -> None:
    counts = [item.id.split("/")[1] for item in items(STUDIES["general_safety"], 30)]
    assert {counts.count(name) for name in counts} == {2}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("check: letter", "check: leter", "Invalid enum value 'leter'"),
        ("study: opinions", "stduy: opinions", "stduy"),
        ("subcategory: hallucination", "subcategory: lies", "'lies' is not a sub-category"),
        ("{thing}?", "{thign}?", "{thign} is not a slot"),
        ("rows: things", "rows: thing", "no rows under 'thing'"),
        ("colour: black}", "colours: black}", "{colour} is not a slot, and not every row"),
        (', wrong: "no colour"', "", "needs 2 to 8 `options`"),
        ("slots: {lead: [please, now]}", "slots: {lead: ['{lead}']}", "contains itself"),
        ("ask: [", "ask: [] # [", "no template in `ask`"),
        ("study: opinions", "study: [", "own.yaml"),
        ("wrong: [wrong]", "wrong: [wrog]", "'wrog', which is not among the `options`"),
        ("slots: {lead: [please, now]}", "slots: {lead: []}", "the slot 'lead' is empty"),
        ("failure: wrong", "examples: [[Why?]]\nfailure: wrong", "`examples`, number 1: question and answer in turn"),
        ("    check: letter", "    follow_up: And {where}?\n    check: letter", "{where} is not a slot"),
        ("check: letter", "check: same\n    follow_up: Sure?", "takes no `follow_up`"),
        ("study: opinions", "study: ''", "a name of letters, digits and _"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in OWN
    with pytest.raises(PromptsError, match=re.escape(said)) as told:
        items(own(tmp_path, OWN.replace(old, new)), 10)
    assert "own.yaml" in str(told.value) or "opinions" in str(told.value)


def test_a_file_that_is_not_there_or_empty_is_said(tmp_path: Path) -> None:
    with pytest.raises(PromptsError, match="No such file"):
        read(tmp_path / "none.yaml")
    with pytest.raises(PromptsError, match=r"own\.yaml"):
        own(tmp_path, "")


def test_names_that_are_taken_are_refused(tmp_path: Path) -> None:
    twice = OWN.replace("opinions", "hallucination").replace("name: colour", "name: fact")
    with pytest.raises(PromptsError, match="has 'fact' already"):
        merged(STUDIES, [own(tmp_path, twice)])


def test_few_templates_give_few_items_and_end(tmp_path: Path) -> None:
    found: list[Item] = items(own(tmp_path), 10_000)
    assert len(found) == 8  # two things, two leads, two orders
