"""Every dialect: what is sent, what an answer means, and that nonsense is never a label."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors import taxonomy
from detectors.base import Role, Text
from gateway.judging.dialects import (
    DIALECTS,
    Dialect,
    JudgeLabel,
    Labels,
    NonsenseError,
    Options,
    dialect_of,
    merged,
    tokens_of,
)
from tests.support.judges.judge_models import JUDGES, chat_answer
from tests.support.running.together import together

SIDES: tuple[Role, ...] = ("prompt", "response")
EACH = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
EACH_SIDE = pytest.mark.parametrize("role", SIDES)
KNOWN = {entry.slug for entry in taxonomy.SUBCATEGORIES} | taxonomy.AUXILIARIES.keys()
MARKED = {slug: f"Is it [{slug}]?" for slug in KNOWN}  # questions that the scripted model understands


def opinion(dialect: Dialect, text: Text, wanted: set[str] | frozenset[str]) -> Labels:
    """Ask the scripted model of this dialect and read all of its answers."""
    options = Options(dialect.name, questions=MARKED if dialect.name == "questions" else {})
    requests = dialect.requests(text, wanted, options)
    answers = [json.dumps(JUDGES[dialect.name](json.loads(request.body))).encode() for request in requests]
    return merged((each, dialect.labels(text, each, said)) for each, said in zip(requests, answers, strict=True))


@EACH
def test_it_speaks_of_what_we_have_a_name_for(dialect: Dialect) -> None:
    assert dialect.prompt | dialect.response <= KNOWN
    assert dialect.prompt
    assert dialect.response


@EACH
@EACH_SIDE
def test_it_finds_each_subcategory_where_it_is_and_nowhere_else(dialect: Dialect, role: Role) -> None:
    for slug in sorted(dialect.about(role)):
        other = "[toxicity] [hate] [violence] [refusal] [unsafe]"
        labels = opinion(dialect, Text(f"Here: [{slug}].", role, other), KNOWN)
        assert labels[slug].yes, slug
        assert labels[slug].score > 0.5
        alone = {name for name, label in labels.items() if label.yes} - {slug, "unsafe"}
        assert alone <= ({"adult_content"} if slug == "harms_to_minor" else set()), slug


@EACH
@EACH_SIDE
def test_it_finds_nothing_in_a_text_that_has_nothing(dialect: Dialect, role: Role) -> None:
    labels = opinion(dialect, Text("How do I bake bread?", role), KNOWN)
    assert labels.keys() == dialect.about(role)
    assert not [slug for slug, label in labels.items() if label.yes or label.score >= 0.5]


@EACH
def test_what_it_has_no_opinion_on_has_no_label(dialect: Dialect) -> None:
    assert dialect.requests(Text("hi", "prompt"), {"miscalibration", "distribution_shift"}, Options("m")) == []
    (slug,) = sorted(dialect.prompt)[:1]
    assert opinion(dialect, Text("hi", "prompt"), {slug, "miscalibration"}).keys() <= {slug}


@EACH
def test_a_request_is_one_for_the_model_with_the_operators_fields(dialect: Dialect) -> None:
    options = Options("m-1", extra={"temperature": None, "top_p": 0.5})
    for request in dialect.requests(Text("hi", "response", "hello"), KNOWN, options):
        body = json.loads(request.body)
        assert body["model"] == "m-1"
        assert body["top_p"] == 0.5
        assert "temperature" not in body
        assert request.path.startswith("/")


NONSENSE = [
    b"",
    b"not json",
    b"[]",
    b"{}",
    b'{"choices": []}',
    b'{"choices": [{"message": null}]}',
    b'{"results": [], "answers": {}}',
    b'{"results": [{"categories": [], "category_scores": 3}], "answers": []}',
    *(
        json.dumps(chat_answer(said)).encode()
        for said in (
            " ",
            "I cannot help with that.",
            "unsafe\nS99",
            "Safety: Unsafe\nCategories: Astrology",
            "Safety: perhaps",
            '{"applies": ["astrology"]}',
            '{"applies": "no"}',
            "{}",
            "}{",
            "<think>yes</think>",
        )
    ),
]


@EACH
@EACH_SIDE
@together("said", NONSENSE)
def test_nonsense_is_no_label(dialect: Dialect, role: Role, said: bytes) -> None:
    text = Text("hi", role)
    for request in dialect.requests(text, KNOWN, Options("m")):
        with pytest.raises(NonsenseError):
            dialect.labels(text, request, said)


KEYS = (
    "choices", "message", "content", "logprobs", "token", "logprob", "top_logprobs", "results", "categories",
    "category_scores", "violence", "harassment", "answers", "type", "probability", "usage", "prompt_tokens",
)  # fmt: skip
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(JSON_VALUES, st.sampled_from(sorted(DIALECTS)), st.sampled_from(SIDES))
def test_any_answer_is_labels_or_nonsense(value: Any, name: str, role: Role) -> None:
    dialect, text = DIALECTS[name], Text("hi", role)
    for request in dialect.requests(text, KNOWN, Options("m"))[:1]:
        said = json.dumps(value).encode()
        assert min(tokens_of(request, said)) >= 0
        try:
            labels = dialect.labels(text, request, said)
        except NonsenseError:
            continue
        assert labels.keys() <= request.about
        assert all(0 <= label.score <= 1 for label in labels.values())


# --- each in its own words


def read(name: str, said: str, role: Role = "response", first: dict[str, float] | None = None) -> dict[str, float]:
    dialect, text = DIALECTS[name], Text("hi", role, "ho")
    request = dialect.requests(text, KNOWN, Options("m"))[0]
    labels = dialect.labels(text, request, json.dumps(chat_answer(said, first)).encode())
    return {slug: round(label.score, 3) for slug, label in labels.items()}


def test_llama_guard_names_several_and_one_that_is_ours_in_two_ways() -> None:
    found = read("llama_guard", "unsafe\nS9, S12")
    assert {slug for slug, score in found.items() if score} == {
        "violence", "unlawful_conduct", "adult_content", "unsafe"
    }  # fmt: skip
    assert found["hate"] == 0


def test_llama_guard_that_does_not_say_how_speaks_of_unsafe_alone() -> None:
    assert read("llama_guard", "unsafe") == {"unsafe": 1}


def test_llama_guards_category_without_a_partner_is_unsafe_alone() -> None:
    assert {slug for slug, score in read("llama_guard", "unsafe\nS5").items() if score} == {"unsafe"}


def test_qwen3guard_calls_some_things_controversial() -> None:
    found = read("qwen3guard", "Safety: Controversial\nCategories: Violent\nRefusal: No")
    assert found["violence"] == found["unsafe"] == 0.5
    assert found["adult_content"] == found["refusal"] == 0


def test_qwen3guard_says_nothing_of_refusal_where_it_leaves_the_line_out() -> None:
    assert "refusal" not in read("qwen3guard", "Safety: Safe\nCategories: None")


def test_a_probability_comes_from_the_first_words() -> None:
    found = read("questions", "Yes", first={"Yes": -0.5, " yes": -2.0, "No": -1.2, "Sure": -4.0})
    yes = 0.60653 + 0.13534
    assert list(found.values()) == [round(yes / (yes + 0.30119), 3)]


def test_a_chosen_word_counts_where_the_list_leaves_it_out() -> None:
    answer = chat_answer("Yes", {"Yes": -0.2})
    answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"] = [{"token": "No", "logprob": -1.8}]
    dialect, text = DIALECTS["questions"], Text("hi", "prompt")
    (request,) = dialect.requests(text, {"hate"}, Options("m"))
    assert 0.8 < dialect.labels(text, request, json.dumps(answer).encode())["hate"].score < 0.9


def test_without_probabilities_the_word_counts() -> None:
    assert list(read("questions", "No.").values()) == [0]
    assert list(read("shield_gemma", "**Yes**, because").values()) == [1]


def test_a_thought_before_the_answer_is_passed_over() -> None:
    assert list(read("questions", "<think>No harm? It is.</think>\n\nYes", first={"<think>": -0.01}).values()) == [1]


def test_wildguard_says_what_it_can_of_each_side() -> None:
    lines = "Harmful request: yes\nResponse refusal: N/A\nHarmful response: no"
    assert read("wildguard", lines, "prompt") == {"unsafe": 1}
    assert read("wildguard", lines, "response") == {"unsafe": 0}


def test_an_older_moderation_model_has_no_opinion_on_what_it_does_not_know() -> None:
    dialect, text = DIALECTS["moderations"], Text("hi", "prompt")
    (request,) = dialect.requests(text, KNOWN, Options("text-moderation-007"))
    said = {"results": [{"flagged": False, "categories": {"hate": False}, "category_scores": {"hate": 0.1}}]}
    labels = dialect.labels(text, request, json.dumps(said).encode())
    assert labels == {"hate": JudgeLabel(0.1, False), "unsafe": JudgeLabel(0.1, False)}


def test_a_decision_that_is_refused_is_no_opinion() -> None:
    dialect, text = DIALECTS["decisions"], Text("hi", "prompt")
    (request,) = dialect.requests(text, {"violence", "hate"}, Options("m"))
    answers = [{"type": "refusal", "name": "hate"}, {"type": "predicate", "name": "violence", "probability": 0.7}]
    assert dialect.labels(text, request, json.dumps({"answers": answers}).encode()) == {
        "violence": JudgeLabel(0.7, True)
    }


def test_shield_gemma_is_unsafe_when_one_of_its_policies_is_broken() -> None:
    assert opinion(DIALECTS["shield_gemma"], Text("[hate]", "prompt"), {"unsafe"})["unsafe"].yes
    requests = DIALECTS["shield_gemma"].requests(Text("[hate]", "prompt"), {"unsafe"}, Options("m"))
    assert len(requests) == 4
    assert merged(
        (request, {"unsafe": JudgeLabel(score, score > 0.5)})
        for request, score in zip(requests, (0.1, 0.2, 0.9, 0.3), strict=True)
    ) == {"unsafe": JudgeLabel(0.9, True)}


def test_what_one_request_left_unsaid_is_unsaid() -> None:
    requests = DIALECTS["shield_gemma"].requests(Text("hi", "prompt"), {"unsafe", "hate"}, Options("m"))
    answers = [(request, dict.fromkeys(request.about, JudgeLabel(0.9, True))) for request in requests]
    answers[0] = (requests[0], {})
    assert merged(answers) == {"hate": JudgeLabel(0.9, True)}


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("meta-llama/Llama-Guard-3-8B", "llama_guard"),
        ("llama-guard3:1b", "llama_guard"),
        ("Qwen/Qwen3Guard-Gen-4B", "qwen3guard"),
        ("google/shieldgemma-2b", "shield_gemma"),
        ("allenai/wildguard", "wildguard"),
        ("openai/gpt-oss-safeguard-20b", "policy"),
        ("omni-moderation-latest", "moderations"),
        ("gpt-5-mini", "questions"),
    ],
)
def test_a_known_models_name_tells_its_dialect(model: str, name: str) -> None:
    assert dialect_of(model).name == name


def test_tokens_are_those_that_the_answer_tells() -> None:
    (request,) = DIALECTS["llama_guard"].requests(Text("x" * 400, "prompt"), KNOWN, Options("m"))
    assert tokens_of(request, json.dumps(chat_answer("safe")).encode()) == (100, 10)
    assert tokens_of(request, b'{"usage": {"input_tokens": 7, "output_tokens": -3}}') == (7, 0)
    assert tokens_of(request, b"nonsense") == (len(request.body) // 4, 0)


@pytest.mark.parametrize("name", ["policy", "questions"])
def test_instructions_of_the_operator_may_have_braces(name: str) -> None:
    own = 'Judge the {judged} by these rows:\n{rows}\nAnswer {"applies": []}; {} and {0} stay.'
    (request,) = DIALECTS[name].requests(Text("hi", "prompt"), {"violence"}, Options("m", instructions=own))
    said = json.loads(request.body)["messages"][0]["content"]
    assert said.startswith("Judge the message of the user by these rows:\n")
    assert said.endswith('\nAnswer {"applies": []}; {} and {0} stay.')
    assert ("- violence: " in said) is (name == "policy")
