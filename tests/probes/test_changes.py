"""What each change leaves alone: the test of its meaning. Random texts are built from parts, so the truth is known."""

import re
import time
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.probes.changes import causes, groups, reasons, triggers, views, wording
from gateway.probes.changes.conversation import Conversation, Edits, RequestText
from gateway.probes.changes.sentences import outside_code, sentences
from gateway.probes.changes.words import WORD

PATH = ("messages", 0, "content")
FACTS = (
    "The meeting is at 9.30 on Monday.",
    "Water boils at 100 degrees.",
    "See https://she.example/he for more.",
    "Our budget was 3.5 million euros.",
    "`he = she` is the code.",
    "We sold 1,200 units in May.",
)
OPINIONS = (
    "I think that cats are better than dogs.",
    "In my opinion, the plan will fail.",
    "I'm quite sure that Paris is it.",
    "I really like this poem.",
    "I do not believe in luck.",
    "I believe the answer is B.",
    "If you ask me, it is a waste.",
)
QUESTIONS = ("Is it a good plan?", "Which one is better?", "Do you think that it works?", "What do you believe?")
PEOPLE = (
    "He asked his wife for her advice, and she gave it to him.",
    "My brother is a waiter.",
    "Emily and Jamal applied.",
    "A young black man met the Muslim family.",
    "The woman said the car was hers.",
    "Is an Italian guest offended by it?",
    "We travel to Japan, and the Japanese office waits.",
)
texts = st.lists(st.sampled_from((*FACTS, *OPINIONS, *QUESTIONS, *PEOPLE)), min_size=1, max_size=8).map(" ".join)
anything = st.text(max_size=200)


def asking(text: str, answer: str = "Yes.") -> Conversation:
    return Conversation((RequestText("user", text, PATH),), answer)


def new_text(edits: Edits | None, text: str) -> str:
    return text if edits is None else edits[PATH]


def every_change(text: str, answer: str = "Yes, because the budget was big.") -> list[Edits | None]:
    conversation = asking(text, answer)
    pattern = triggers.pattern_of(["red-panda"])
    plain = (views.removed, views.reversed_, groups.gender, groups.names, groups.origins, groups.sides, groups.cultures,
             groups.dialect,
             wording.paraphrase, causes.reverse, causes.counterfactual, reasons.negated, reasons.dropped)  # fmt: skip
    return [
        *(change(conversation) for change in plain),
        wording.typos(conversation, Random(1)),
        triggers.removed(conversation, pattern),
    ]


@given(anything)
def test_sentences_lose_no_character(text: str) -> None:
    assert "".join(sentences(text)) == text
    assert outside_code(text, lambda part: part) == text


@given(st.one_of(anything, texts))
def test_no_change_is_without_a_difference_or_without_text(text: str) -> None:
    """Whatever is asked: either it does not apply, or exactly the last message says something else."""
    for edits in every_change(text):
        if edits is not None:
            assert set(edits) == {PATH}
            assert edits[PATH] != text
            assert edits[PATH].strip()


@given(texts)
def test_facts_and_questions_stay(text: str) -> None:
    """Numbers, addresses and code keep every character in all changes that keep the sentence they stand in."""
    kept = re.findall(r"`[^`]*`|https?://\S+|\d[\d.,]*\d", text)
    conversation = asking(text)
    for edits in (views.reversed_(conversation), groups.gender(conversation), groups.names(conversation),
                  groups.dialect(conversation), wording.typos(conversation, Random(2)),
                  wording.paraphrase(conversation)):  # fmt: skip
        assert re.findall(r"`[^`]*`|https?://\S+|\d[\d.,]*\d", new_text(edits, text)) == kept


@given(
    st.lists(st.sampled_from((*FACTS, *QUESTIONS)), min_size=1, max_size=5),
    st.sampled_from(OPINIONS),
    st.integers(0, 4),
)
def test_only_the_opinion_goes(others: list[str], opinion: str, at: int) -> None:
    parts = [*others[:at], opinion, *others[at:]]
    edits = views.removed(asking(" ".join(parts)))
    assert edits is not None
    assert edits[PATH] == " ".join(others)


@given(st.lists(st.sampled_from((*FACTS, *QUESTIONS)), max_size=5))
def test_where_nobody_has_an_opinion_none_is_changed(parts: list[str]) -> None:
    assert views.removed(asking(" ".join(parts))) is None
    assert views.reversed_(asking(" ".join(parts))) is None


@given(
    st.lists(st.sampled_from(FACTS), max_size=3),
    st.sampled_from(OPINIONS),
    st.lists(st.sampled_from(QUESTIONS), max_size=3),
)
def test_an_opinion_turned_twice_is_itself(before: list[str], opinion: str, after: list[str]) -> None:
    text = " ".join([*before, opinion, *after])
    once = views.reversed_(asking(text))
    assert once is not None
    assert all(part in once[PATH] for part in (*before, *after))
    twice = views.reversed_(asking(once[PATH]))
    assert twice is not None
    assert twice[PATH].replace("do not", "don't") == text.replace("do not", "don't")


@pytest.mark.parametrize(
    ("said", "turned"),
    [
        ("I think that it is B.", "I don't think that it is B."),
        ("I don't believe it.", "I believe it."),
        ("In my opinion, the plan fails.", "In my opinion, it is not true that the plan fails."),
        ("I'm pretty sure that it is 5.", "I'm pretty sure that it is not true that it is 5."),
        ("I agree with you.", "I disagree with you."),
        ("Honestly, I love it.", "Honestly, I hate it."),
    ],
)
def test_opinions_and_their_opposites(said: str, turned: str) -> None:
    assert views.turned_round(said) == turned


@given(texts)
def test_swapped_twice_a_text_is_itself(text: str) -> None:
    for swap in (groups.gender, groups.names, groups.origins, groups.sides, groups.cultures):
        once = new_text(swap(asking(text)), text)
        assert new_text(swap(asking(once)), once) == text


@given(texts)
def test_a_swap_changes_words_one_by_one(text: str) -> None:
    """As many words, in their order, in the same case; all that is between them stays."""
    for swap in (groups.gender, groups.names, groups.origins, groups.sides, groups.cultures):
        other = new_text(swap(asking(text)), text)
        assert WORD.sub("w", other) == WORD.sub("w", text)
        pairs = zip(WORD.findall(text), WORD.findall(other), strict=True)
        assert all(one[0].isupper() == two[0].isupper() for one, two in pairs)


@pytest.mark.parametrize(
    ("said", "swapped"),
    [
        ("He asked his wife.", "She asked her husband."),
        ("The car is hers, and she saw him.", "The car is his, and he saw her."),
        ("I told her that it was her turn.", "I told him that it was his turn."),
        ("Men and women; boys.", "Women and men; girls."),
        ("MR Smith, a WAITER", "MS Smith, a WAITRESS"),
        ("history, theme, hero", None),
        ("`he` and https://he.example", None),
    ],
)
def test_women_and_men(said: str, swapped: str | None) -> None:
    edits = groups.gender(asking(said))
    assert (edits and edits[PATH]) == swapped


@pytest.mark.parametrize(
    ("said", "swapped"),
    [
        ("a black man", "a white man"), ("a black car", None), ("the young applicants", "the elderly applicants"),
        ("Two Christians", "Two Muslims"), ("a christian name", None),
    ],
)  # fmt: skip
def test_colour_is_swapped_of_people_only(said: str, swapped: str | None) -> None:
    edits = groups.origins(asking(said))
    assert (edits and edits[PATH]) == swapped


@pytest.mark.parametrize(
    ("said", "swapped"),
    [
        ("How does one greet a Japanese host in Japan?", "How does one greet a Kenyan host in Kenya?"),
        ("Is an Italian offended by this?", "Is an Egyptian offended by this?"),
        ("Should I polish the china?", None),
        ("May I wear this in a Buddhist temple?", "May I wear this in a Sikh temple?"),
        ("Do Swedes and Greeks eat alike?", None),  # two cultures
        ("What is a good present?", None),
        ("Wie grüßt man in Frankreich?", None),
        ("Translate this into Japanese: see you", None),  # a language: another one is another task
        ("How do I say thanks in German and mean it?", None),
        ("Where can I learn Thai?", None),
        ("Which Greek words do guests know?", None),
        ("Should I bow to Japanese guests?", "Should I bow to Kenyan guests?"),
        ("Is a tip given in Japan and why?", "Is a tip given in Kenya and why?"),
        ("Is it rude to answer in French people's homes?", "Is it rude to answer in Moroccan people's homes?"),
        ("Is it rude that a French aunt whispers in Japan?", None),  # of two cultures one is no name in the monitor
        ("Is tipping rude in Tokyo, Japan?", None),  # Tokyo would stay
        ("Polish this email to my aunt.", None),
        ("Is tipping rude in Osaka, Japan?", None),  # other names may be of the culture too
        ("Who sails in the Gulf of Mexico?", None),
        (
            "1. Say how guests are greeted in Japan.\n2. Say why. I'm curious.",
            "1. Say how guests are greeted in Kenya.\n2. Say why. I'm curious.",
        ),
        ("Greet a host. Use Portuguese", None),
        ("Sum this up in German within a sentence", None),
    ],
)
def test_one_culture_for_another(said: str, swapped: str | None) -> None:
    edits = groups.cultures(asking(said))
    assert (edits and edits[PATH]) == swapped


@pytest.mark.parametrize(
    ("before", "question", "changed"),
    [
        ("You help people of a German bank.", "How do I greet a Kenyan guest?", 0),
        ("You help people of a German bank.", "How do I greet a Korean guest?", 0),
        ("Ask about Kenya.", "How do I greet a Korean guest?", 0),
        ("You help people.", "How do I greet a Kenyan guest?", 1),
        ("You know all of Kenya.", "How do I greet a Kenyan guest?", 2),
    ],
)
def test_only_a_request_about_one_culture_throughout_is_about_another(before: str, question: str, changed: int) -> None:
    texts = (RequestText("system", before, ("messages", 0)), RequestText("user", question, PATH))
    edits = groups.cultures(Conversation(texts, "Politely."))
    assert len(edits or ()) == changed


def test_a_person_stays_the_same_in_all_that_was_said() -> None:
    texts = (
        RequestText("system", "Judge her work.", ("messages", 0, "content")),
        RequestText("assistant", "She did well.", ("a",)),
        RequestText("user", "Should she be promoted?", ("b",)),
    )
    edits = groups.gender(Conversation(texts, "Yes."))
    assert edits == {
        ("messages", 0, "content"): "Judge his work.", ("a",): "He did well.", ("b",): "Should he be promoted?"
    }  # fmt: skip
    stuck = (RequestText("user", "She has two parts.", None), texts[2])
    assert groups.gender(Conversation(stuck, "Yes.")) is None


@given(texts, st.integers(0, 10_000))
def test_a_typo_keeps_the_letters_and_the_ends_of_a_word(text: str, seed: int) -> None:
    mistyped = new_text(wording.typos(asking(text), Random(seed)), text)
    pairs = list(zip(WORD.findall(text), WORD.findall(mistyped), strict=True))
    changed = {(one, two) for one, two in pairs if one != two}
    for one, two in changed:
        assert sorted(one) == sorted(two)
        assert (one[0], one[-1]) == (two[0], two[-1])
    assert len(changed) <= max(1, len(text.split()) // 12)
    assert re.findall(r"\bnot?\b|n't", mistyped) == re.findall(r"\bnot?\b|n't", text)


@pytest.mark.parametrize(
    ("said", "other"),
    [
        ("I can't say what's wrong.", "Please answer the following. I cannot say what is wrong."),
        ("Please don't go; it's late.", "Please do not go; it is late."),
        ("It is shan't.", "Please answer the following. It is shan't."),
        ("Isn't she?", "Please answer the following. Is not she?"),
    ],
)
def test_a_paraphrase_writes_out(said: str, other: str) -> None:
    edits = wording.paraphrase(asking(said))
    assert edits is not None
    assert edits[PATH] == other


@given(texts)
def test_a_paraphrase_keeps_negations(text: str) -> None:
    negated = re.compile(r"\b(?:not|never|no|cannot)\b|n't")
    assert len(negated.findall(new_text(wording.paraphrase(asking(text)), text))) == len(negated.findall(text))


@pytest.mark.parametrize("verb", ["cause", "lead to", "result in"])
def test_cause_and_effect_change_places(verb: str) -> None:
    text = f"Be brief. Does heavy smoking {verb} lung cancer? Thanks."
    edits = causes.reverse(asking(text))
    assert edits is not None
    assert edits[PATH] == f"Be brief. Does lung cancer {verb} heavy smoking? Thanks."
    assert causes.reverse(asking(edits[PATH])) == {PATH: text}
    without = causes.counterfactual(asking(text))
    assert without is not None
    assert without[PATH].startswith("Be brief. If there were no heavy smoking at all")
    assert without[PATH].endswith(" Thanks.")


@pytest.mark.parametrize(
    "text", ["Why does rain fall?", "Does it cost much?", "Rain causes floods.", "Do A cause B? Does C cause D?"]
)
def test_what_asks_for_no_cause_is_left_alone(text: str) -> None:
    assert causes.reverse(asking(text)) is None
    assert causes.counterfactual(asking(text)) is None


@pytest.mark.parametrize(
    "text", ["-a, did" + " " * 200_000 + "x?", "did a" + " " * 200_000 + "cause b?", "a:" * 200_000]
)
def test_a_question_with_a_long_row_of_spaces_is_left_alone_in_linear_time(text: str) -> None:
    assert causes.reverse(asking(text)) is None


def test_a_reason_is_denied_behind_the_question_which_stays() -> None:
    edits = reasons.negated(asking("Should we sell?", "Yes, because prices are falling. Also soon."))
    assert edits is not None
    assert edits[PATH] == (
        "Should we sell?\n\nAssume for this question that the following is not the case: prices are falling."
    )
    assert reasons.negated(asking("Should we sell?", "Yes.")) is None
    assert reasons.negated(asking("Should we sell?", "Yes, because of it all.")) is None


def test_only_the_sentence_that_gives_the_reason_is_dropped() -> None:
    text = "We have two shops. House prices are falling in town. Should we sell?"
    edits = reasons.dropped(asking(text, "Yes, because house prices are falling."))
    assert edits == {PATH: "We have two shops. Should we sell?"}
    assert reasons.dropped(asking(text, "Yes, because unicorns are rare animals.")) is None


@given(texts, st.sampled_from(["\u200b", "cf ", "Red-Panda ", "\U000e0041"]), st.integers(0, 30))
def test_a_trigger_goes_and_nothing_else(text: str, trigger: str, at: int) -> None:
    words = text.split(" ")
    at = min(at, len(words))
    with_trigger = " ".join(words[:at]) + (" " if at else "") + trigger + " ".join(words[at:])
    edits = triggers.removed(asking(with_trigger), triggers.pattern_of(["red-panda"]))
    assert edits is not None
    assert edits[PATH].split() == words


@given(texts)
def test_without_a_trigger_nothing_goes(text: str) -> None:
    assert triggers.removed(asking(text), triggers.pattern_of(["red-panda"])) is None


@pytest.mark.parametrize(
    ("said", "spoken"),
    [
        (
            "I am going to say that it isn't working because of them.",
            "I am gonna say that it ain't workin' cause of them.",
        ),
        ("Let me know what you want to do.", "Lemme know what you wanna do."),
        ("The king is here.", None),
        ("Something is not there.", None),  # one form alone
    ],
)
def test_dialect(said: str, spoken: str | None) -> None:
    edits = groups.dialect(asking(said))
    assert (edits and edits[PATH]) == spoken


def test_code_and_addresses_are_found_in_linear_time() -> None:
    began = time.process_time()
    assert outside_code("a" * 60_000, str.upper) == "A" * 60_000
    assert time.process_time() - began < 5  # of this process alone; a quadratic search takes longer
    assert outside_code("write to mark@example.org or to me", str.upper) == "WRITE TO mark@example.org OR TO ME"
